"""Columns of categories as numbers 0, 1, 2, ... and the names of these levels. Only NumPy is imported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emjax.errors import DataError
from emjax.floats import is_gap, quoted

LevelNames = tuple[tuple[str, ...], ...]
"""The names of the levels of each column."""

_MOST_LEVELS = 1_000_000
"""Each has a name; more are identifiers or measurements."""


def level_names(given: Sequence[Sequence[str] | int]) -> LevelNames:
    """The names of the levels of each column: as they are given, or ``"0"``, ``"1"``, ... of so many.

    Raises `ValueError` where a column has no level or one of them twice.
    """
    if isinstance(given, str) or not all(isinstance(one, int | Sequence) and not isinstance(one, str) for one in given):
        raise ValueError(f"levels has to hold names or a number for each column, as [('no', 'yes'), 3], not {given!r}")
    found = tuple(_numbers(one) if isinstance(one, int) else tuple(str(name) for name in one) for one in given)
    for names in found:
        if not names or len(set(names)) < len(names):
            raise ValueError(f"levels of a column have to be different names, at least one of them, not {names!r}")
    return found


def _numbers(n_levels: int) -> tuple[str, ...]:
    return tuple(map(str, range(n_levels)))


class Coder:
    """Writes texts as the numbers of their levels, column by column, and remembers the names.

    Parameters
    ----------
    known
        The levels of each column where these are known, such as those of an estimate; else all that occur, in
        alphabetical order.
    """

    def __init__(self, known: LevelNames = ()) -> None:
        self.known = known
        self._found: list[tuple[str, ...] | None] = []

    def coded(self, array: np.ndarray, feature_names: Sequence[str], name: str) -> np.ndarray:
        """The next columns ``(n, d)``, with numbers in place of texts; columns of numbers stay as they are.

        Raises
        ------
        DataError
            Where a text is none of the known levels; the message names the row and the column.
        """
        columns = [self._column(array[:, j], label, name) for j, label in enumerate(feature_names)]
        if all(column is None for column in columns):
            return array
        return np.stack([array[:, j] if column is None else column for j, column in enumerate(columns)], axis=1)

    def names(self, values: np.ndarray, feature_names: Sequence[str], name: str) -> LevelNames | None:
        """The names of all columns of the data as numbers; None where there were no texts.

        Raises
        ------
        DataError
            Where a column of numbers beside texts goes beyond `_MOST_LEVELS`.
        """
        if all(names is None for names in self._found):
            return None
        largest = np.nan_to_num(np.fmax.reduce(values, axis=0))
        for label, number in zip(feature_names, largest, strict=True):
            if number >= _MOST_LEVELS:
                raise DataError(
                    f"{name}: column {quoted(label)} has levels up to {number:g}, and {_MOST_LEVELS:,} are the most: "
                    "give levels as texts, or leave this column out"
                )
        numbers = (_numbers(int(each) + 1 if each >= 0 else 1) for each in largest)
        return tuple(own if own is not None else other for own, other in zip(self._found, numbers, strict=True))

    def _column(self, column: np.ndarray, label: str, name: str) -> np.ndarray | None:
        place = len(self._found)
        self._found.append(None)
        if not _is_text(column):
            return None
        gaps = np.array([is_gap(value) for value in column])
        texts = [None if gap else str(value) for value, gap in zip(column, gaps, strict=True)]
        occurring = {text for text in texts if text is not None}
        known = self.known[place] if place < len(self.known) else tuple(sorted(occurring))
        self._found[place] = known
        numbers = {text: float(i) for i, text in enumerate(known)}
        for row, text in enumerate(texts):
            if text is not None and text not in numbers:
                shown = ", ".join(map(quoted, known[:6])) + (", ..." if len(known) > 6 else "")
                raise DataError(
                    f"{name}: column {quoted(label)} holds {quoted(text)} in row {row} (counting from 0), which is "
                    f"none of its levels {shown}"
                )
        return np.array([np.nan if text is None else numbers[text] for text in texts])


def texts_of(values: np.ndarray, names: LevelNames) -> np.ndarray:
    """The levels' names in place of their numbers ``(n, d)``; None where a cell was not seen."""
    found = np.full(values.shape, None, dtype=object)
    for row, column in np.argwhere(~np.isnan(values)):
        found[row, column] = names[column][int(values[row, column])]
    return found


def _is_text(column: np.ndarray) -> bool:
    """Whether a column holds texts, or true and false."""
    if column.dtype.kind in "USTb":
        return True
    return column.dtype == object and any(isinstance(value, str | bool | np.bool_) for value in column)
