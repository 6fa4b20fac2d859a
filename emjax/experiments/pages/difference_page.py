"""The page of what changed between two runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from emjax.experiments.pages.build import PAGE, write_page

if TYPE_CHECKING:
    from emjax.experiments.archive.differences import Difference
    from emjax.experiments.archive.single import SingleRun
    from emjax.experiments.results import StudyResult

_MOST_ROWS = 200


def write_difference(
    difference: Difference, first: SingleRun | StudyResult, second: SingleRun | StudyResult, path: Path
) -> Path:
    """Write the page of what differs between two runs, and return its path.

    Parameters
    ----------
    difference
        Theirs (`emjax.experiments.archive.differences.difference`).
    first, second
        The runs; of two studies the page also has their measures side by side.
    path
        Where the page goes; an existing file is replaced, a link is not followed.
    """
    from emjax.experiments.summary.changes import difference_tables, moved_table, said_of

    names = ("A", "B")
    sentence, mark, known = said_of(difference.numbers, names)
    tables = difference_tables(difference, names)
    views = [getattr(run, "view", None) for run in (first, second)]
    if views[0] is not None and views[1] is not None:
        tables.insert(0, moved_table(views[0], views[1], names).first(_MOST_ROWS))
    runs = []
    for name, run in zip(names, (first, second), strict=True):
        page = run.folder / PAGE
        link = Path(os.path.relpath(page, path.absolute().parent)).as_posix() if page.is_file() else ""
        runs.append((name, str(run.folder), link))
    return write_page(
        path,
        "difference.html.j2",
        title="What changed",
        subject="",
        sentence=sentence,
        mark=mark,
        known=known,
        runs=runs,
        tables=[table for table in tables if table],
    )
