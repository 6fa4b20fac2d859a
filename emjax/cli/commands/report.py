"""The command ``report``: the pages of studies.

Exit codes: 0 where every page was written (or lies there already, for a single run); 2 where a folder is neither a
study's nor a run's, or where nothing can be written; 1 for what nobody expected.
"""

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
    console = Console(json=json)
    documents, pages = _write_all(runs, out, figures, console)
    if len(pages) > 1:
        documents.append(_write_index(pages, out, runs, console))
    console.document({"reports": documents})
    return EXIT_OK


def _write_all(runs: list[Path], out: Path | None, figures: bool, console: Console) -> tuple[list[Any], list[Any]]:
    """Write the page of every study; what is a document of each run, and what was written for studies."""
    from emjax.cli.commands.archive import opened_run
    from emjax.experiments.archive.single import SingleRun

    opened = [
        opened_run(run, console) for run in runs
    ]  # before anything is written: a wrong folder leaves nothing behind
    targets = _targets(runs, out)
    documents: list[Any] = []
    pages: list[Any] = []
    for run, found, target in zip(runs, opened, targets, strict=True):
        if isinstance(found, SingleRun):
            documents.append({"run": str(run), "kind": "single", "page": str(_single_page(run, console)), "files": []})
            continue
        written = _write(run, target, figures)
        pages.append(written)
        console.show(printable(written.page), written.answer)
        documents.append(
            {
                "run": str(run),
                "kind": "study",
                "page": str(written.page),
                "answer": written.answer,
                "files": [str(path) for path in written.files],
            }
        )
    return documents, pages


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


def _write(run: Path, target: Path, figures: bool) -> Any:
    from emjax.experiments.pages.build import write_pages
    from emjax.experiments.summary.sweep import read_sweep

    sweep = read_sweep(run)
    try:
        return write_pages(sweep, target, figures=figures)
    except OSError as error:
        raise ConfigError(
            f"{printable(target)}: {error.strerror or error}; choose another folder with --out"
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


def _write_index(pages: list[Any], out: Path | None, runs: list[Path], console: Console) -> Any:
    """The page that links the others: in ``out``, or in the folder that holds all of them."""
    import os

    from emjax.experiments.pages.build import write_index

    folder = out if out is not None else Path(os.path.commonpath([run.resolve().parent for run in runs]))
    try:
        path = write_index(pages, folder / INDEX)
    except OSError as error:
        raise ConfigError(
            f"{printable(folder)}: {error.strerror or error}; choose another folder with --out"
        ) from error
    console.show(f"{printable(path)}: links all of them")
    return {"run": None, "kind": "index", "page": str(path), "files": []}
