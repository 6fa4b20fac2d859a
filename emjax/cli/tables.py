"""Tables on the terminal: the only place that knows both `emjax.table` and rich."""

from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from emjax.table import Cell, Column, Table
from emjax.wording import printable

MAX_ROWS = 40
"""Rows of a table on the terminal; the files, or ``--json``, always hold all."""

_STYLES = {"good": "green", "fair": "yellow", "bad": "red", "faint": "dim"}


def terminal_table(table: Table, rest: str = "", *, title: bool = True, header: bool = True) -> list[RenderableType]:
    """A table for the terminal, with its title above and its notes below; ``rest`` says where further rows are."""
    shown = table.first(MAX_ROWS, rest)
    grid = RichTable(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False, show_header=header)
    for head in shown.header:
        number = head.kind == "number"
        grid.add_column(
            Text(typed(head.name)),
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=number,
            min_width=min(4, len(head.name)) if number else None,
        )
    for row in shown.rows:
        grid.add_row(*(_cell(cell, head) for cell, head in zip(row, shown.header, strict=True)))
    above = [Text(f"\n{typed(shown.title)}:")] if title and shown.title else []
    return [*above, grid, *(Text(typed(note), style="dim") for note in shown.notes)]


def _cell(cell: Cell, head: Column) -> Text:
    text = typed(cell.shown)
    return Text(text.replace(",", "") if head.kind == "number" else text, style=_STYLES.get(cell.mark, ""))


def typed(text: str) -> str:
    """The text on one line, with the minus sign that other programs read: people copy numbers from a terminal."""
    return printable(text).replace("−", "-")
