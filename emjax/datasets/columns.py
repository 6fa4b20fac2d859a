"""Choosing columns by name or position, and the words of the messages about it."""

from __future__ import annotations

import csv
import io
import numbers
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from emjax.bounds import written
from emjax.errors import DataError
from emjax.floats import quoted
from emjax.matrix import is_nameless
from emjax.nearest import nearest

__all__ = [
    "KEEP",
    "Columns",
    "check_unique",
    "check_width",
    "choose_columns",
    "for_option",
    "listed",
    "refuse_truth",
    "split_columns",
]

type Columns = str | int | Sequence[str | int] | None

KEEP = ", or keep empty cells with --missing (missing = 'keep')"
"""How a file with cells that are not there is read."""

_LONGEST_LIST = 12

MOST_COLUMNS = 100_000
"""More make no features of a mixture, and reading them would take its time."""


def choose_columns(names: Sequence[str], columns: Columns, place: str) -> list[int]:
    """The positions of the chosen columns, in the order asked for.

    Args:
        names: the names of all columns; an empty string is a column without a name.
        columns: None for all of them; a name, a position counting from 0, or several of these.  One text
            may hold several, separated by commas: ``"eruptions,waiting"``; a name that has a comma stands in
            quotes: ``'"a,b",c'``.  A text of digits is a position unless a column has that name.
        place: how messages call the data.

    Raises:
        DataError: for a column that is not there (with the nearest name), one chosen twice, none chosen, or,
            with ``columns=None``, a column without a name.
    """
    if columns is None:
        _check_named(names, place)
        return list(range(len(names)))
    if isinstance(columns, str):
        wanted: list[Any] = [columns] if columns in names else split_columns(columns)
    elif isinstance(columns, Iterable) and not isinstance(columns, bytes):
        wanted = list(columns)
    else:
        wanted = [columns]
    if not wanted or wanted == [""]:
        raise DataError(f"{place}: no column was chosen: choose from {listed(names)}")
    places = {name: position for position, name in reversed(list(enumerate(names))) if name}
    chosen: dict[int, None] = {}
    for entry in wanted:
        position = _position(names, places, entry, place)
        if position in chosen:
            raise DataError(f"{place}: column {quoted(entry)} is chosen twice: name each column once")
        chosen[position] = None
    return list(chosen)


def split_columns(text: str) -> list[str]:
    """The names in a text, separated by commas; one that has a comma or a quote is quoted, as in a CSV file."""
    try:
        return [name.strip() for name in next(csv.reader([text], skipinitialspace=True, strict=True), [""])]
    except csv.Error:
        return [name.strip() for name in text.split(",")]


def for_option(names: Sequence[str]) -> str:
    """What `split_columns` takes apart again, quoted for a shell: at most a dozen names."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names[:_LONGEST_LIST])
    line = shlex.quote(text.getvalue()) if text.getvalue().isprintable() else quoted(text.getvalue())
    more = len(names) - _LONGEST_LIST
    return f"{line} and {more} more" if more > 0 else line


def refuse_truth(names: Sequence[str], truth: Sequence[bool], place: str) -> None:
    """Raise :class:`DataError` if a column that nobody asked for by name holds true and false."""
    if any(truth):
        name = names[list(truth).index(True)]
        others = [other for other, is_truth in zip(names, truth, strict=True) if not is_truth]
        remedy = f"choose the others, --columns {for_option(others)}; " if others else ""
        raise DataError(
            f"{place}: column {quoted(name)} holds true and false, which are no measurements: {remedy}"
            f"--columns {for_option(names)} reads them as 1 and 0"
        )


def check_width(n_columns: int, place: str) -> None:
    """Raise :class:`DataError` for more columns than `MOST_COLUMNS`."""
    if n_columns > MOST_COLUMNS:
        raise DataError(
            f"{place} has {n_columns:,} columns, and {MOST_COLUMNS:,} are the most: write the columns to use to a file "
            "of their own, or turn it about if its rows are columns"
        )


def check_unique(names: Sequence[str], place: str) -> None:
    """Raise :class:`DataError` if two columns have the same (non-empty) name."""
    first_seen: dict[str, int] = {}
    for position, name in enumerate(names):
        if name and name in first_seen:
            raise DataError(
                f"{place}: columns {first_seen[name]} and {position} (counting from 0) are both called "
                f"{quoted(name)}: rename one of them"
            )
        first_seen[name] = position


def listed(names: Sequence[str]) -> str:
    """The names separated by commas, on one line, at most a dozen of them."""
    shown = [name if name.isprintable() and name else quoted(name) for name in names[:_LONGEST_LIST]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _check_named(names: Sequence[str], place: str) -> None:
    nameless = [position for position, name in enumerate(names) if is_nameless(name)]
    if nameless:
        named = [name for position, name in enumerate(names) if position not in nameless]
        raise DataError(
            f"{place}: column {nameless[0]} (counting from 0) has no name (row numbers written "
            "by R or pandas?): "
            f"name it, or choose the columns to use, for instance --columns {for_option(named or ['0'])}"
        )


def _position(names: Sequence[str], places: Mapping[str, int], entry: Any, place: str) -> int:
    if isinstance(entry, str) and entry in places:
        return places[entry]
    if not isinstance(entry, str | numbers.Integral) or isinstance(entry, bool):
        raise DataError(
            f"{place}: {written(entry)} is neither the name of a column nor its position, a whole number from 0: "
            f"choose from {listed(names)}"
        )
    if not isinstance(entry, str) or (entry.isascii() and entry.isdigit()):
        # No file has so many columns, and Python reads no number of thousands of digits.
        position = int(entry) if not isinstance(entry, str) or len(entry) < 20 else len(names)
        if not 0 <= position < len(names):
            raise DataError(
                f"{place}: there is no column {written(entry).strip(chr(39))}: positions count from 0 to "
                f"{len(names) - 1} ({listed(names)})"
            )
        return position
    close = nearest(entry, names)
    hint = f"did you mean {quoted(close)}? The columns are" if close else "the columns are"
    raise DataError(f"{place}: there is no column {quoted(entry)}; {hint}: {listed(names)}")
