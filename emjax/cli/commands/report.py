"""The command `emjax report`: the pages of studies, and figures and tables of studies and single runs as files.

Exit codes: 0 where every page was written (or lies there already, for a single run); 2 where a folder is neither a
study's nor a run's, or where nothing can be written; 1 for what nobody expected.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emjax.atomic import StorageError
from emjax.cli.console import Console, unbroken
from emjax.cli.exits import EXIT_OK
from emjax.cli.options import Json
from emjax.errors import ConfigError, DataError
from emjax.experiments.archive.door import is_file
from emjax.wording import printable

if TYPE_CHECKING:
    from emjax.experiments.archive.single import SingleRun

INDEX = "studies.html"


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Folders of studies or single runs.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the files go (each run's own folder).")] = None,
    figures: Annotated[
        bool,
        typer.Option(
            "--figures/--no-figures", help="Also write figures as SVG and PDF, and of single runs tables (yes)."
        ),
    ] = True,
    json: Json = False,
) -> int:
    """Write the page of a study, and the figures and tables of a study or a single run as files. Runs nothing."""
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
            documents.append(_single(run, found, target, console, figures=figures))
            continue
        written = _tried(target, write_pages, found, target, figures=figures)
        pages.append(written)
        console.show(unbroken(printable(written.page)), written.answer)
        files = [str(path) for path in written.files]
        page = {"page": str(written.page), "answer": written.answer, "files": files}
        documents.append({"run": str(run), "kind": "study", **page})
    if len(pages) > 1:
        # Beside the pages: in --out, or in the folder that holds all of them.
        folder = out if out is not None else Path(os.path.commonpath([run.resolve().parent for run in runs]))
        index = _tried(folder, write_index, pages, folder / INDEX)
        console.show(unbroken(f"{printable(index)}: links all of them"))
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


def _single(run: Path, found: "SingleRun", target: Path, console: Console, *, figures: bool) -> dict[str, Any]:
    """Write the figures and tables of a single run, whose page, where its command writes one, lies there already."""
    from emjax.experiments.pages.build import write_single

    page = run / "report.html" if is_file(run / "report.html") else None
    files: list[Path] = []
    if figures:
        try:
            files = _tried(target, write_single, found, target)
        except (DataError, ConfigError) as error:
            if page is None or isinstance(error, StorageError):
                raise
            console.warn(f"no figures and tables: {error}")
    if page is not None:
        console.show(unbroken(f"{printable(page)}: the page of a single run, written when it ran"))
    elif not files:
        raise ConfigError(
            f"{printable(run)}: a single run without a page; leave --no-figures out for its figures and tables"
        )
    if files:
        console.show(unbroken(f"{printable(target)}: figures/ and tables/, {len(files)} files"))
    written = {"page": None if page is None else str(page), "files": [str(path) for path in files]}
    return {"run": str(run), "kind": "single", **written}
