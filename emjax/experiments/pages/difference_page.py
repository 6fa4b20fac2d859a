"""The page of what changed between two runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.experiments.pages.build import PAGE, link_from, write_page
from emjax.experiments.summary.changes import difference_tables, moved_table, said_of
from emjax.experiments.summary.view import StudyView

if TYPE_CHECKING:
    from emjax.experiments.archive.differences import Difference
    from emjax.experiments.archive.single import SingleRun
    from emjax.experiments.results import StudyResult

_MOST_ROWS = 200


def write_difference(
    difference: Difference, first: SingleRun | StudyResult, second: SingleRun | StudyResult, path: Path
) -> Path:
    """Write the page of what differs between two runs, and return its path.

    Of two studies it has their measures side by side. An existing file at ``path`` is replaced, no link is followed.
    """
    names = ("A", "B")
    sentence, mark, known = said_of(difference.numbers, names)
    tables = difference_tables(difference, names)
    if isinstance(first, StudyView) and isinstance(second, StudyView):
        tables.insert(0, moved_table(first, second, names).first(_MOST_ROWS))
    runs = []
    for name, run in zip(names, (first, second), strict=True):
        page = run.folder / PAGE
        runs.append((name, str(run.folder), link_from(path, page) if page.is_file() else ""))
    said: dict[str, Any] = {"title": "What changed", "subject": "", "sentence": sentence, "mark": mark, "known": known}
    return write_page(path, "difference.html.j2", **said, runs=runs, tables=[table for table in tables if table])
