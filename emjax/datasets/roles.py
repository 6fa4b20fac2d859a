"""What the columns of a file are for: features, the weights of rows, labels of their components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from emjax.datasets.columns import KEEP, Columns, choose_columns, for_option, listed
from emjax.datasets.dataset import Table
from emjax.errors import DataError
from emjax.floats import quoted
from emjax.levels import Coder
from emjax.matrix import check_finite, is_nameless, row_numbers

__all__ = ["Places", "Request", "assembled", "floats_of", "without_payload"]


class Places(NamedTuple):
    """Where the columns of each role stand; ``features`` in the order asked for."""

    features: list[int]
    weights: int | None
    labels: int | None

    @property
    def all(self) -> list[int]:
        """The columns to read, features first."""
        return [*self.features, *(place for place in (self.weights, self.labels) if place is not None)]


@dataclass(frozen=True)
class Request:
    """What is asked of a reader.

    Attributes:
        columns: the features, as `choose_columns` takes them; None for all that have no other role.
        header: whether the first row of a text file holds names; None finds out.
        weights: the column with the weights of the rows, a name or a position; None for none.
        labels: the column with labels of components, a name or a position; None for none.
        missing: whether a cell may be empty, which then is NaN.
        levels: whether a feature may be of texts, which then are the numbers of their levels.
    """

    columns: Columns = None
    header: bool | None = None
    weights: str | int | None = None
    labels: str | int | None = None
    missing: bool = False
    levels: bool = False

    def places(self, names: Sequence[str], place: str, default: Sequence[str] | None = None) -> Places:
        """The columns of each role.

        Args:
            names: of all columns; an empty string is a column without a name.
            place: how messages call the file.
            default: the names that are features where none were asked for; None for all.

        Raises:
            DataError: as `choose_columns`; where a column is asked for in two roles, or none is left for the features.
        """
        weights, labels = (_one(names, wanted, place) for wanted in (self.weights, self.labels))
        if weights is not None and weights == labels:
            raise DataError(f"{place}: column {quoted(names[weights])} holds either weights or labels: name another")
        taken = {weights: "weights", labels: "labels"}
        if self.columns is not None:
            features = choose_columns(names, self.columns, place)
            for position in features:
                if position in taken:
                    raise DataError(
                        f"{place}: column {quoted(names[position])} holds the {taken[position]}, so it is no feature: "
                        "leave it out of the columns"
                    )
            return Places(features, weights, labels)
        wanted = set(names if default is None else default)
        rest = [position for position, name in enumerate(names) if position not in taken and name in wanted]
        if not rest:
            besides = f" besides {listed(names)}" if names else ""
            raise DataError(f"{place} has no column for the features{besides}: add one")
        if any(is_nameless(names[position]) for position in rest):
            choose_columns(names, None, place)  # refuses it
        return Places(rest, weights, labels)


def _one(names: Sequence[str], wanted: str | int | None, place: str) -> int | None:
    return None if wanted is None else choose_columns(names, [wanted], place)[0]


def assembled(
    columns: Mapping[int, np.ndarray],
    places: Places,
    names: tuple[str, ...],
    place: str,
    request: Request,
    notes: tuple[str, ...] = (),
) -> Table:
    """The columns of a file, by their positions, in their roles.

    Features are numbers, or with ``request.levels`` texts; raises `DataError` where one is missing or not finite.
    """
    values = np.column_stack([columns[position] for position in places.features])
    coder = Coder()
    if request.levels:
        values = np.asarray(coder.coded(values, names, place), dtype=float)
    check_finite(values, names, place, missing=request.missing, keep=KEEP)
    values = without_payload(values) if request.missing else values
    if request.columns is None:
        notes = (*notes, *_counting(values, names))
    weights, labels = (None if role is None else columns[role] for role in (places.weights, places.labels))
    return Table(values, names, notes, weights, labels, coder.names(values, names, place) if request.levels else None)


def _counting(values: np.ndarray, names: Sequence[str]) -> list[str]:
    """A sentence where one of several columns that nobody asked for by name numbers the rows."""
    counts = row_numbers(values, names)
    rest = f"--columns {for_option([name for name in names if name not in counts])} leaves it out"
    return [f"column {quoted(name)} numbers the rows, and is read as a feature; {rest}" for name in counts[:1]]


def floats_of(column: Any) -> np.ndarray:
    """A column of numbers of pyarrow as float64, NaN where there is none.

    Its own ``to_numpy`` would import pandas, and so would a scalar that is made from a number.
    """
    import pyarrow as pa

    if column.type != pa.float64():
        column = column.cast(pa.float64(), safe=False)
    if column.null_count:
        nan = pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(np.full(1, np.nan))])[0]
        column = column.fill_null(nan)
    return np.concatenate([np.empty(0), *(np.from_dlpack(chunk) for chunk in column.chunks)])


def without_payload(values: np.ndarray) -> np.ndarray:
    """The same array with every NaN of one and the same bits, so that its fingerprint follows from the data alone."""
    gaps = np.isnan(values)
    if gaps.any():
        values[gaps] = np.nan
    return values
