"""The commands on what was run: ``ls``, ``show``, ``diff`` and ``rerun``.

Exit codes: 0 where the command did what it was asked; of ``diff`` and ``rerun`` 0 where the numbers are the same, to
rounding at least, and 3 where they are not; 2 where a folder or an option is wrong.
"""

import dataclasses
import functools
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emjax.cli.console import Console, unbroken
from emjax.cli.exits import EXIT_DIFFERENT, EXIT_NOT_CONVERGED, EXIT_OK
from emjax.cli.options import Bars, Json, NoCache, flag
from emjax.errors import ConfigError
from emjax.experiments.config.parts import python_files_of
from emjax.wording import printable

if TYPE_CHECKING:
    from emjax.experiments.archive.single import SingleRun
    from emjax.experiments.results import StudyResult

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a study or of a single run.")]


def ls(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where runs lie.")] = Path("runs"),
    json: Json = False,
) -> int:
    """List studies and single runs, the newest first. Runs nothing."""
    from emjax.cli import terminal_study
    from emjax.experiments.archive.listing import list_runs

    console = Console(json=json)
    entries = list_runs(folder)
    console.show(*terminal_study.runs_table(entries, str(folder)))
    console.document({"runs": entries})
    return EXIT_OK


def show(run: RunArgument, json: Json = False) -> int:
    """Show what a run was, how far it is, and its main numbers. Runs nothing."""
    from emjax.cli import terminal_study
    from emjax.experiments.archive.single import SingleRun

    console = Console(json=json)
    opened = opened_run(run, console)
    if isinstance(opened, SingleRun):
        console.show(*terminal_study.single_view(opened), terminal_study.where_made(opened))
        if json:
            parts = {name: getattr(opened, name) for name in ("folder", "config", "environment", "document", "newer")}
            console.document({"kind": opened.task, "run": str(opened.folder), **parts})
        return EXIT_OK
    console.show(*terminal_study.study_view(opened, console.width))
    if json:
        console.document(_study_document(opened))
    return EXIT_OK


def opened_run(run: Path, console: Console) -> "SingleRun | StudyResult":
    """Open a folder, with a warning where a newer emjax wrote it."""
    from emjax.experiments.results import open_run

    opened = open_run(run)
    if opened.newer is not None:
        console.warn(f"{opened.newer}; it is shown as far as it can be read")
    return opened


def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="The folder of a study or of a single run.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another of the same kind.")],
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also a page of what changed, measures side by side.")
    ] = None,
    json: Json = False,
) -> int:
    """Tell what differs between two runs: settings, versions, numbers. Runs nothing."""
    from emjax.cli import terminal_study
    from emjax.experiments.archive.differences import difference

    console = Console(json=json)
    runs = opened_run(first, console), opened_run(second, console)
    found = difference(*runs)
    console.show(*terminal_study.difference_view(found, ("A", "B")))
    document = {"same": found.same, "first": str(first), "second": str(second), **dataclasses.asdict(found)}
    if page is not None:
        from emjax.experiments.pages.difference_page import write_difference

        document["page"] = str(write_difference(found, *runs, page))
        console.show(unbroken(f"\n{printable(page)}"))
    console.document(document)
    return EXIT_OK if found.same else EXIT_DIFFERENT


def rerun(
    run: RunArgument,
    sample: Annotated[
        int | None, typer.Option("--sample", metavar="N", min=1, help="Of a study: N jobs, spread over the sweep.")
    ] = None,
    job: Annotated[
        list[str] | None, typer.Option("--job", metavar="KEY", help="Of a study: this job; repeatable.")
    ] = None,
    replicate: Annotated[
        int | None, typer.Option("--replicate", metavar="N", min=0, help="Of a study: this one result; nothing else.")
    ] = None,
    cell: Annotated[
        str | None, typer.Option("--cell", metavar="CELL", help="With --replicate: the cell, by number or key.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="NAME", help="With --replicate: the method, by its name.")
    ] = None,
    debug: Annotated[
        bool, flag("--debug", help="With --replicate: look into a failure with Python's debugger.", panel=None)
    ] = False,
    json: Json = False,
    progress: Bars = None,
    no_cache: NoCache = False,
    dry_run: Annotated[
        bool, flag("--dry-run", help="Check the run and say what would be computed.", panel=None)
    ] = False,
) -> int:
    """Compute a run anew and say whether the numbers are the same.

    Runs the Python file of the run's model, if it names one. With --dry-run nothing is run.
    """
    from emjax.cli import terminal_study
    from emjax.experiments.execution import runtime
    from emjax.experiments.execution.rerun import intend, repeat
    from emjax.experiments.results import open_run

    console = Console(json=json, progress=progress)
    opened = open_run(run)
    if replicate is not None:
        return _one_result(opened, cell, replicate, method, debug, console)
    if cell is not None or method is not None or debug:
        raise ConfigError("--cell, --method and --debug are for one result: name it with --replicate")
    intention = intend(opened, jobs=job or (), sample=sample)
    if dry_run:
        console.show(*terminal_study.intention_view(intention))
        console.document({"run": str(run), **dataclasses.asdict(intention)})
        return EXIT_OK
    for file in intention.model_files:
        console.note(f"runs the file {file}, which {run} names")
    if not intention.jobs:
        runtime.one_line_warnings(show=True)
        runtime.configure(cache=not no_cache)
    with console.bar("jobs") as tell:
        say = functools.partial(tell, detail="computed anew")
        repetition = repeat(opened, jobs=job or (), sample=sample, cache=not no_cache, on_job=say)
    console.show(*terminal_study.repetition_view(repetition))
    console.document({"same": repetition.same, "run": str(run), **dataclasses.asdict(repetition)})
    return EXIT_OK if repetition.same else EXIT_DIFFERENT


def _one_result(
    opened: "SingleRun | StudyResult",
    cell: str | None,
    replicate: int,
    method: str | None,
    debug: bool,
    console: Console,
) -> int:
    from emjax.cli.terminal_study import one_result_view
    from emjax.experiments.archive.single import SingleRun
    from emjax.experiments.execution.one_result import repeat_one

    if isinstance(opened, SingleRun):
        raise ConfigError("--replicate is for studies, and this is a single run: leave it out")
    for file in dict.fromkeys(python_files_of(opened.study)):
        console.note(f"runs the file {file}, which {opened.folder} names")
    found = repeat_one(opened, cell=cell, replicate=replicate, method=method)
    console.show(*one_result_view(found))
    told = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    raised = "" if found.error is None else "".join(traceback.format_exception(found.error))
    console.document({**told, "rows": found.rows.to_dict("records"), "error": raised})
    if found.error is not None and not console.json:
        sys.stderr.write(raised)
    if found.error is not None and debug:
        import pdb

        pdb.post_mortem(found.error.__traceback__)
    return EXIT_NOT_CONVERGED if found.error is not None else EXIT_DIFFERENT if found.same is False else EXIT_OK


def _study_document(result: "StudyResult") -> dict[str, Any]:
    declaration, progress, summary = result.declaration, result.progress, result.summary()
    return {
        "kind": "study",
        "run": str(result.folder),
        "title": result.title,
        "question": result.question,
        "seed": declaration["seed"],
        "level": declaration["level"],
        "methods": result.methods,
        "sweep": result.swept,
        "progress": {**dataclasses.asdict(progress), "n_missing": progress.n_missing},
        "cells": result.cells.to_dict("records"),
        "summary": summary[~summary["group"].str.contains("[", regex=False)].to_dict("records"),
        "failures": result.failures,
        "newer": result.newer,
        "provenance": declaration["provenance"],
    }
