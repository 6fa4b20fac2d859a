"""Tables on the terminal: the only place that knows both `emjax.table` and rich."""

from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from emjax.table import Cell, Table
from emjax.wording import printable

MAX_ROWS = 40
"""Rows of a table on the terminal; the files, or ``--json``, always hold all."""

_STYLES = {"good": "green", "fair": "yellow", "bad": "red", "faint": "dim"}


def terminal_table(table: Table, rest: str = "", *, header: bool = True) -> list[RenderableType]:
    """A table for the terminal, with its title above and its notes below; ``rest`` says where further rows are."""
    shown = table.first(MAX_ROWS, rest)
    grid = RichTable(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False, show_header=header)
    for head in shown.header:
        number = head.kind == "number"
        grid.add_column(
            Text(_typed(head.name)),
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=number,
            min_width=min(4, len(head.name)) if number else None,
        )
    for row in shown.rows:
        grid.add_row(*map(_cell, row))
    title = [Text(f"\n{_typed(shown.title)}:")] if shown.title else []
    return [*title, grid, *(Text(_typed(note), style="dim") for note in shown.notes)]


def _cell(cell: Cell) -> Text:
    return Text(_typed(cell.shown), style=_STYLES.get(cell.mark, ""))


def _typed(text: str) -> str:
    """The text with the minus sign that other programs read: people copy numbers from a terminal."""
    return printable(text).replace("−", "-")
