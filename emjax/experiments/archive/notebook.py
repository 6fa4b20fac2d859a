"""How a study looks in a notebook: one compact table, everything escaped."""

import html
from typing import TYPE_CHECKING

from emjax.experiments.archive.overview import CAPTION, overview_table

if TYPE_CHECKING:
    from emjax.experiments.results import StudyResult

_MOST_ROWS = 60
_STYLE = "text-align:right;padding:2px 8px"


def html_of(result: "StudyResult") -> str:
    """The title, the progress and a table of cells and methods with their main quantities."""
    question = f"<br>{_safe(result.question)}" if result.question else ""
    body = _table(result) if result.finished else "<p>No job is done yet.</p>"
    return f"<div><p><strong>{_safe(result.title)}</strong>: {_safe(result.progress)}{question}</p>{body}</div>"


def _table(result: "StudyResult") -> str:
    table = overview_table(result)
    header = "".join(f'<th scope="col" style="{_STYLE}">{_safe(name)}</th>' for name in table.header)
    lines = ["".join(f'<td style="{_STYLE}">{_safe(text)}</td>' for text in row) for row in table.rows[:_MOST_ROWS]]
    hidden = len(table.rows) - len(lines)
    more = f"<p>... and {hidden} more rows: see <code>.overview()</code></p>" if hidden else ""
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    caption = f"<caption>{CAPTION}</caption>"
    return f"<table>{caption}<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>{more}"


def _safe(value: object) -> str:
    return html.escape(str(value))
