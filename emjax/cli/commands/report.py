"""The command ``report``: the pages of studies.

Exit codes: 0 where every page was written (or lies there already, for a single run); 2 where a folder is neither a
study's nor a run's, or where nothing can be written; 1 for what nobody expected.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from emjax.cli.console import Console
from emjax.cli.exits import EXIT_OK
from emjax.errors import ConfigError
from emjax.experiments.archive.door import is_file
from emjax.wording import printable

INDEX = "studies.html"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("report")(report_command)


def report_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Folders of studies.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the pages go (each study's own folder).")
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures/--no-figures", help="Also write figures as SVG and PDF (yes).")
    ] = True,
    json: Annotated[bool, typer.Option("--json", metavar="", help="One JSON document on stdout.")] = False,
) -> int:
    """Write the page of a study: its table, its curves, its cells. Runs nothing."""
    from emjax.cli.commands.archive import opened_run
    from emjax.experiments.archive.single import SingleRun
    from emjax.experiments.pages.build import write_index, write_pages

    console = Console(json=json)
    # Before anything is written: a wrong folder leaves nothing behind.
    opened = [opened_run(run, console) for run in runs]
    documents: list[dict[str, Any]] = []
    pages = []
    for run, found, target in zip(runs, opened, _targets(runs, out), strict=True):
        if isinstance(found, SingleRun):
            documents.append({"run": str(run), "kind": "single", "page": str(_single_page(run, console)), "files": []})
            continue
        written = _tried(target, write_pages, found.view, target, figures=figures)
        pages.append(written)
        console.show(printable(written.page), written.answer)
        files = [str(path) for path in written.files]
        page = {"page": str(written.page), "answer": written.answer, "files": files}
        documents.append({"run": str(run), "kind": "study", **page})
    if len(pages) > 1:
        # Beside the pages: in --out, or in the folder that holds all of them.
        folder = out if out is not None else Path(os.path.commonpath([run.resolve().parent for run in runs]))
        index = _tried(folder, write_index, pages, folder / INDEX)
        console.show(f"{printable(index)}: links all of them")
        documents.append({"run": None, "kind": "index", "page": str(index), "files": []})
    console.document({"reports": documents})
    return EXIT_OK


def _targets(runs: list[Path], out: Path | None) -> list[Path]:
    """Where the pages of each run go: its own folder, ``out``, or a folder of its name in ``out`` if there are many."""
    if out is None:
        return list(runs)
    if len(runs) == 1:
        return [out]
    names = [run.resolve().name for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"--out: two of the folders are called {printable(twice)!r}; report them one by one")
    return [out / name for name in names]


def _tried(folder: Path, write: Callable[..., Any], *given: Any, **options: Any) -> Any:
    try:
        return write(*given, **options)
    except OSError as error:
        raise ConfigError(
            f"{printable(folder)}: {error.strerror or error}; choose another folder with --out"
        ) from error


def _single_page(run: Path, console: Console) -> Path:
    page = run / "report.html"
    if not is_file(page):
        raise ConfigError(
            f"{printable(run)}: a single run without a page; `emjax compare` and `emjax run` write one where EM and "
            "MCMC are compared"
        )
    console.show(f"{printable(page)}: the page of a single run, written when it ran")
    return page
