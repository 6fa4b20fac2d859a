"""Whether the first line of a text file holds names, where it holds numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from emjax.datasets.numbers import MISSING, number
from emjax.floats import quoted

__all__ = ["find_header"]

_WHOLE = re.compile(r"[+-]?\d+")
_ENOUGH = 10
"""Cells with a fraction below a first line of whole numbers, for chance to be no explanation of it."""

_COUNTED = 5
"""So many whole numbers that count up from 0 are names whatever stands below them."""


def find_header(rows: Sequence[Sequence[str]], decimal: str) -> tuple[bool, str | None]:
    """Whether the first row is names, and a sentence for the reader where it might be the other.

    Without a number in it, or with a text above numbers, it is names.  Numbers alone are data, and numbers beside texts
    are names, unless there is evidence to the contrary:

    * numbers in quotes above numbers without them are names, as R and ``csv.QUOTE_NONNUMERIC`` write them;
    * whole numbers above columns in which every cell has a fraction are names, if there are several, or a single 0;
    * 0, 1, 2, ... as pandas writes unnamed columns are names, if there are five or more or no column below is whole;
    * a text that comes again below, or a date above dates, makes it data.

    Args:
        rows: the head of the file, cells as they stand there, quotes included.
        decimal: the sign between units and tenths.
    """
    first, below = [cell.strip() for cell in rows[0]], [[cell.strip() for cell in row] for row in rows[1:]]
    bare = [_bare(cell) for cell in first]
    numeric = [position for position, cell in enumerate(bare) if number(cell, decimal) is not None]
    texts = [position for position, cell in enumerate(bare) if position not in numeric and cell.lower() not in MISSING]
    if not numeric or not below:
        return not numeric or bool(texts), None
    columns = [[row[position] for row in below] for position in range(len(first))]
    if _has_names(first, numeric, columns, decimal):
        return True, None if texts else _said(bare, names=True)
    above_numbers = any(number(_bare(cell), decimal) is not None for position in texts for cell in columns[position])
    if above_numbers:
        return True, None
    if texts:
        repeated = any(_comes_again(bare[position], list(map(_bare, columns[position]))) for position in texts)
        return not repeated, _said(bare, names=not repeated)
    return False, _said(bare, names=False) if _may_be_names([bare[position] for position in numeric], below) else None


def _has_names(first: list[str], numeric: list[int], columns: list[list[str]], decimal: str) -> bool:
    """Whether numbers in the first row are surely names."""
    if all(first[position].startswith('"') for position in numeric) and not any(
        cell.startswith('"') for position in numeric for cell in columns[position]
    ):
        return True
    cells = [_bare(first[position]) for position in numeric]
    counting = cells == [str(place) for place in range(len(cells))]
    if not all(_WHOLE.fullmatch(cell) for cell in cells):
        return False
    below = [_bare(cell) for position in numeric for cell in columns[position]]
    fractions = all(number(cell, decimal) is not None and not _WHOLE.fullmatch(cell) for cell in below)
    if fractions and (len(cells) > 1 or counting) and (len(below) >= _ENOUGH or (counting and len(cells) > 1)):
        return True
    if not counting or len(cells) < 2:
        return False
    # pandas' row numbers have no name: a first cell that is empty above cells that are not
    indexed = first[0] == "" and numeric == list(range(1, len(first))) and "" not in columns[0]
    goes_on = [column[0] for column in columns] == [str(len(cells) + place) for place in range(len(cells))]
    return indexed or (len(cells) >= _COUNTED and not goes_on)


def _may_be_names(cells: list[str], below: list[list[str]]) -> bool:
    """Whether whole numbers that were read as data look like names all the same: 0,1 or 1990,1991,1992."""
    return _is_count(cells) and not _is_count([_bare(cell) for cell in below[0]])


def _is_count(cells: list[str]) -> bool:
    if len(cells) < 2 or not all(_WHOLE.fullmatch(cell) and len(cell) < 10 for cell in cells):
        return False
    start = int(cells[0])
    up_by_one = [int(cell) for cell in cells] == list(range(start, start + len(cells)))
    return up_by_one and (start == 0 or len(cells) > 2)


def _comes_again(cell: str, texts: list[str]) -> bool:
    shape = re.sub(r"\d", "0", cell)
    dated = "0" in shape and all(re.sub(r"\d", "0", text) == shape for text in texts)
    return dated or cell in texts


def _bare(cell: str) -> str:
    return cell[1:-1].strip() if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _said(cells: list[str], names: bool) -> str:
    line = quoted(",".join(cells))
    if names:
        return f"the first line {line} was read as names; header = false (--no-header) reads it as data"
    return f"the first line {line} was read as data; header = true (--header) reads it as names"
