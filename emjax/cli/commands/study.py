"""What `emjax run` does with the config of a study, and what it says about it."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table

from emjax.cli.console import Console, print_error, unbroken
from emjax.cli.exits import EXIT_NOT_CONVERGED, EXIT_OK, Explained
from emjax.cli.terminal_study import study_view
from emjax.experiments.archive.folder import Archive
from emjax.experiments.config.schema import Study
from emjax.experiments.execution.interrupts import StudyInterrupted
from emjax.experiments.execution.listener import Bars
from emjax.experiments.execution.progress import StudyProgress, in_words, said
from emjax.experiments.execution.run import run_study, shard_of
from emjax.experiments.execution.runtime import one_line_warnings
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.summary.stepwise import check_measures
from emjax.experiments.summary.words import value_text
from emjax.wording import count, printable

MOST_LINES = 20
"""Cells that are listed; the rest is counted."""

LINE_SECONDS = 30.0
"""How often a line is printed where there is no terminal for bars."""

MOST_BARS = 6
"""With more methods than this there is one bar for all of them."""


def run(study: Study, target: Path, *, shard: str | None, console: Console, **options: Any) -> int:
    """Run a study in a folder and say what came of it; return the exit code. The options are those of `run_study`."""
    one_line_warnings(show=not console.quiet)
    heard: deque[StudyProgress] = deque(maxlen=1)

    def tell(progress: StudyProgress) -> None:
        show(progress)
        heard.append(progress)

    try:
        with shown(console) as show:
            result = run_study(study, folder=target, shard=shard, listener=console, on_progress=tell, **options)
    except StudyInterrupted as error:
        # Said here, because the command line's framework has one way to end for all keyboard interrupts.
        print_error(error)
        return Explained(128 + error.number)
    # As declared, not planned again: a plan reads the data that it names.
    jobs = shard_of(result.declaration["jobs"], shard)
    failed = [{**job, "error": result.failures[job["key"]]["error"]} for job in jobs if job["key"] in result.failures]
    # On one line, however long: it is there to be copied.
    hint = unbroken(f"\nThe report:  emjax report {printable(_shown(target))}")
    console.show(*study_view(result, console.width), hint)
    done = [job for job in jobs if job["key"] in result.finished]
    n_missing = len(jobs) - len(done) - len(failed)
    if n_missing:
        what = "1 job that was done is" if n_missing == 1 else f"{n_missing} jobs that were done are"
        console.warn(f"{result.folder / 'jobs'}: {what} not there any more; the same command does them again")
    n_own = heard[-1].n_own if heard else 0
    console.document(
        {
            "folder": str(result.folder),
            "n_jobs": len(jobs),
            "n_done": len(done),
            "n_missing": n_missing,
            "n_results": sum(job["stop"] - job["first"] for job in done),
            "n_results_of_this_run": n_own,
            "failures": failed,
        }
    )
    return EXIT_NOT_CONVERGED if failed or n_missing else EXIT_OK


def show_plan(study: Study, target: Path, shard: str | None, console: Console) -> int:
    """Say what a run would do, and write nothing; return the exit code."""
    check_measures(study)
    archive = Archive(target)
    plan = make_plan(study, archive.known_jobs())
    jobs = shard_of(plan.jobs, shard)
    finished = archive.finished([job.key for job in jobs])
    n_results = sum(job.stop - job.first for job in jobs)
    n_sets = len({(job.cell, number) for job in jobs for number in range(job.first, job.stop)})
    decides = study.solve is not None or bool(study.sweep.until)
    lines: list[Any] = [
        f"{printable(study.title or 'Study')}: {_extent(study, len(plan.cells))} x "
        f"{count(len(study.methods), 'method')}",
        f"{'First step: ' if decides else ''}{count(len(jobs), 'job')}, {count(n_sets, 'data set')}, "
        f"{count(n_results, 'result')}; "
        f"{count(len(finished), 'job')} done already in {printable(_shown(target))}",
    ]
    keys = list(dict.fromkeys(key for cell in plan.cells for key in cell.settings))
    if keys:
        table = Table("cell", *map(printable, keys), box=None, pad_edge=False)
        for cell in plan.cells[:MOST_LINES]:
            table.add_row(cell.key, *(value_text(cell.settings.get(key, "")) for key in keys))
        lines += ["", table] + [f"and {len(plan.cells) - MOST_LINES} more"] * (len(plan.cells) > MOST_LINES)
    console.show(*lines)
    console.document(
        {
            "folder": str(target),
            "cells": [{"index": cell.index, "key": cell.key, "settings": dict(cell.settings)} for cell in plan.cells],
            "methods": [method.label for method in study.methods],
            "replicates": study.sweep.replicates,
            "jobs": [
                {name: getattr(job, name) for name in ("key", "cell", "method", "first", "stop")}
                | {"finished": job.key in finished}
                for job in jobs
            ],
            "n_results": n_results,
        }
    )
    return EXIT_OK


def _extent(study: Study, n_cells: int) -> str:
    """How many data sets there will be; at most, where the study decides as it goes."""
    solve, replicates = study.solve, study.sweep.replicates
    if solve is not None:
        where = f"{printable(solve.over)} from {solve.low:g} to {solve.high:g}"
        return f"{count(len(solve.candidates), 'value')} of {where}, at most {count(solve.most, 'data set')}"
    return f"{count(n_cells, 'cell')} x {'at most ' if study.sweep.until else ''}{count(replicates, 'replicate')}"


def _shown(folder: Path) -> Path:
    """The folder as a user would write it here."""
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


@contextmanager
def shown(console: Console) -> Iterator[Callable[[StudyProgress], None]]:
    """Yield a function that shows progress: as bars on a terminal, else as a line on stderr now and then."""
    with console.bars() as bars:
        # From nothing to the first line takes its time too: there is no news before.
        last = time.monotonic()

        def show(progress: StudyProgress) -> None:
            nonlocal last
            _move(bars, progress)
            now = time.monotonic()
            if console.prints_progress_lines and now - last >= LINE_SECONDS:
                last = now
                console.note(said(progress))

        yield show


def _move(bars: Bars, progress: StudyProgress) -> None:
    if progress.done:
        bars.update("results", progress.done, progress.total, in_words(progress))
    else:
        # Without a total the bar moves although nobody knows how far it is.
        bars.update("results", 0, None, f"of {progress.total}; the first jobs compile their programs")
    if 1 < len(progress.methods) <= MOST_BARS:
        for method, (done, total) in progress.methods.items():
            bars.update(f"  {method}", done, total)
