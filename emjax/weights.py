"""How often each row of the data counts: checked once, at the door."""

from __future__ import annotations

from typing import Any

import numpy as np

from emjax.bounds import LARGEST
from emjax.errors import DataError
from emjax.floats import to_float
from emjax.matrix import as_array, is_boolean

__all__ = ["NAMED_ELSEWHERE", "checked_weights"]

NAMED_ELSEWHERE = "a column is named in emjax.datasets.load and on the command line alone"


def checked_weights(weights: Any, n_samples: int, *, name: str = "weights", of: str = "x") -> np.ndarray | None:
    """Weights of rows as float64 ``(n_samples,)``; None where none are given or each row counts once.

    A weight of 2 is two copies of a row, one of 0 is none. They need not be whole numbers, nor sum to anything.

    Args:
        weights: a NumPy or JAX array, a list, or a series (pandas, polars, pyarrow): finite, at least 0, not all 0.
        n_samples: the rows of the data.
        name: how messages call the weights.
        of: how messages call the data.

    Raises:
        DataError: for another number of weights than rows, and for a weight that is none: text, a truth value, a
            gap, a negative or an infinite number.
    """
    if weights is None:
        return None
    if isinstance(weights, str):
        raise DataError(f"{name} is the text {weights!r}: give one number for each row; {NAMED_ELSEWHERE}")
    array = as_array(weights, name)
    if array.ndim != 1:
        raise DataError(f"{name} has the shape {array.shape}: give one number for each row of {of}, ({n_samples},)")
    if len(array) != n_samples:
        raise DataError(f"{name} has {len(array):,} values and {of} has {n_samples:,} rows: give one for each row")
    if is_boolean(array):
        raise DataError(f"{name} holds true and false, which are no weights: write 1 and 0, as astype(float) does")
    values = to_float(array[:, np.newaxis], ("weights",), name, missing=True)[:, 0]
    for wrong, what, remedy in (
        (np.isnan(values), "is not there", "a row that does not count has the weight 0"),
        (values < 0, "is negative", "give how often the row counts, 0 for never"),
        (values > LARGEST, f"is above {LARGEST:g}", "divide all weights by a power of ten"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            others = "" if wrong.sum() == 1 else f" ({int(wrong.sum()):,} rows are affected)"
            shown = "" if np.isnan(values[row]) else f", {values[row]:g},"
            raise DataError(f"{name}: that of row {row} (counting from 0){shown} {what}{others}: {remedy}")
    if not values.any():
        raise DataError(f"{name} are 0 in every row: no row counts; give some a weight above 0")
    total = float(values.sum())
    if not 1.0 / LARGEST <= total <= LARGEST:
        raise DataError(
            f"{name} sum to {total:.4g}, which float64 computes badly with: multiply them by a power of ten"
        )
    return None if (values == 1.0).all() else values
