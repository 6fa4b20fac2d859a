"""Whatever the caller holds, as one float64 array ``(n_samples, n_features)`` with named columns.

Every estimator of emjax passes its data through :func:`as_samples` once, so that bad data are refused
here, in one line, with the row and the column, and never inside a jitted function.  Only NumPy is
imported: tables are recognised by what they can do (``columns`` and ``to_numpy``), not by their class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emjax.errors import DataError

__all__ = ["Samples", "as_samples", "check_against_components", "check_counts", "check_not_constant"]

_SHAPES = "(n_samples,) or (n_samples, n_features)"
_LONGEST_QUOTE = 60


@dataclass(frozen=True, eq=False)
class Samples:
    """Checked data: finite numbers, one row per sample.

    Attributes:
        values: float64, C-contiguous, shape ``(n_samples, n_features)``, all finite.  It may share memory
            with the caller's array; nothing in emjax writes into it.
        feature_names: one name per column, all different.
    """

    values: np.ndarray
    feature_names: tuple[str, ...]

    @property
    def n_samples(self) -> int:
        """The number of rows."""
        return int(self.values.shape[0])

    @property
    def n_features(self) -> int:
        """The number of columns."""
        return int(self.values.shape[1])


def as_samples(x: Any, *, name: str = "x") -> Samples:
    """Turn ``x`` into checked :class:`Samples`.

    Args:
        x: numbers as a NumPy or JAX array, nested lists, an object with ``feature_names`` and
            ``__array__`` (such as :class:`emjax.datasets.Dataset`), a data frame (pandas, polars) or a
            series.  Shape ``(n_samples,)`` means ``(n_samples, 1)``.  Integers and booleans are converted.
        name: how messages call the data.

    Returns:
        The data as float64 with feature names: those of ``x`` where it has them, otherwise ``x`` for a
        single column and ``x0``, ``x1``, ... for several.

    Raises:
        DataError: if ``x`` is empty, has more than two dimensions, holds anything but real numbers, or
            holds NaN or an infinite value.  The message is one line with the row (counting from 0) and
            the column.
    """
    if isinstance(x, Samples):
        return x
    if hasattr(x, "columns") and hasattr(x, "to_numpy"):
        return _from_table(x, name)
    array = _as_array(x, name)
    if array.ndim == 0:
        raise DataError(
            f"{name} is a single {type(x).__name__}, not an array of numbers: pass an array of "
            f"shape {_SHAPES}"
            " (emjax.datasets.load reads a file)"
        )
    if array.ndim > 2:
        raise DataError(f"{name} has {array.ndim} dimensions, shape {array.shape}: reshape it to {_SHAPES}")
    if array.ndim == 1:
        array = array[:, np.newaxis]
    feature_names = _names_of(x, array.shape[1])
    check_not_empty(array.shape, name)
    values = to_float(array, feature_names, name)
    check_finite(values, feature_names, name)
    return Samples(values, feature_names)


def check_against_components(samples: Samples, n_components: int, *, name: str = "x") -> None:
    """Raise :class:`DataError` if there are fewer rows than components."""
    if samples.n_samples < n_components:
        rows = "1 row" if samples.n_samples == 1 else f"{samples.n_samples} rows"
        raise DataError(
            f"{name} has {rows}, fewer than the {n_components} components asked for: "
            f"give more rows or ask for at most {samples.n_samples}"
        )


def check_not_constant(samples: Samples, *, name: str = "x") -> None:
    """Raise :class:`DataError` if a column holds one value only, because no variance can be estimated."""
    if samples.n_samples == 1:
        raise DataError(f"{name} has 1 row: a variance needs at least 2; give more rows")
    constant = _constant_columns(samples.values)
    if constant.size:
        column = int(constant[0])
        raise DataError(
            f"{name}: column {quoted(samples.feature_names[column])} is constant (every value is "
            f"{float(samples.values[0, column]):.12g}), so it has no variance to estimate: leave "
            "this column out"
        )


def _constant_columns(values: np.ndarray) -> np.ndarray:
    # Few columns are constant on their first rows, and those few are looked at whole: a pass over all data saved.
    suspects = np.flatnonzero((values[:1000] == values[0]).all(axis=0))
    return suspects[(values[:, suspects] == values[0, suspects]).all(axis=0)]


def check_counts(samples: Samples, *, name: str = "x") -> None:
    """Raise :class:`DataError` if a value is not a count 0, 1, 2, … or a column holds only zeros."""
    bad = np.argwhere((samples.values < 0) | (samples.values != np.floor(samples.values)))
    if bad.size:
        row, column = (int(place) for place in bad[0])
        raise DataError(
            f"{name} must hold counts 0, 1, 2, …: row {row} (counting from 0) of column "
            f"{quoted(samples.feature_names[column])} is {samples.values[row, column]:g}; choose other columns or a "
            "normal mixture"
        )
    zero = np.flatnonzero(~samples.values.any(axis=0))
    if zero.size:
        column = int(zero[0])
        raise DataError(f"{name}: column {quoted(samples.feature_names[column])} holds only zeros: leave it out")


# --- parts the file readers use too ---------------------------------------------------------------------


def quoted(value: object) -> str:
    """``value`` in quotes on one line: control characters are escaped, long texts cut."""
    text = repr(str(value))
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 4] + "...'"


def default_feature_names(n_features: int) -> tuple[str, ...]:
    """``("x",)`` for one column, ``("x0", "x1", ...)`` for several."""
    return ("x",) if n_features == 1 else tuple(f"x{position}" for position in range(n_features))


def check_not_empty(shape: tuple[int, ...], name: str) -> None:
    """Raise :class:`DataError` if a two-dimensional shape has no rows or no columns."""
    if 0 in shape:
        missing = "rows" if shape[0] == 0 else "columns"
        raise DataError(f"{name} is empty: it has no {missing} (shape {shape}); give at least one")


def to_float(array: np.ndarray, feature_names: Sequence[str], name: str) -> np.ndarray:
    """A two-dimensional array as C-contiguous float64, or a :class:`DataError` naming the column."""
    if isinstance(array, np.ma.MaskedArray):
        # np.asarray would hand out what lies under the mask as if it were data
        masked = np.ma.getmaskarray(array)
        array = np.array(array.data, dtype=np.float64 if array.dtype.kind in "biuf" else object)
        array[masked] = np.nan
    if array.dtype.kind in "biuf":
        return np.ascontiguousarray(array, dtype=np.float64)
    if array.dtype.kind == "c":
        raise DataError(f"{name} holds complex numbers: pass real numbers (for instance x.real)")
    if array.dtype.kind == "V" and array.dtype.names is None:
        # JAX's small floats (bfloat16, float8) report themselves as "void" and convert all the same
        try:
            return np.ascontiguousarray(array, dtype=np.float64)
        except (TypeError, ValueError):
            pass
    return _floats_one_by_one(array, feature_names, name)


def check_finite(values: np.ndarray, feature_names: Sequence[str], name: str) -> None:
    """Raise :class:`DataError` naming the first NaN or infinite value of a two-dimensional array."""
    finite = np.isfinite(values)
    if finite.all():
        return
    row, column = (int(position) for position in np.argwhere(~finite)[0])
    n_rows = int((~finite).any(axis=1).sum())
    others = "" if n_rows == 1 else f" ({n_rows} rows are affected)"
    what = "NaN" if np.isnan(values[row, column]) else "an infinite value"
    raise DataError(
        f"{name}: {what} in row {row} (counting from 0), column {quoted(feature_names[column])}{others}: "
        "remove such rows or fill in the values"
    )


# --- private --------------------------------------------------------------------------------------------


def _as_array(x: Any, name: str) -> np.ndarray:
    """``np.asarray`` that keeps masks and says in words that rows have different lengths."""
    if isinstance(x, np.ma.MaskedArray):
        return x
    try:
        return np.asarray(x)
    except ValueError as error:
        raise DataError(f"{name} is not a rectangular array: give every row the same number of values") from error


def _names_of(x: Any, n_features: int) -> tuple[str, ...]:
    """The names ``x`` carries (``feature_names``, or the name of a series), else the defaults."""
    names = getattr(x, "feature_names", None)
    if names is not None and len(names) == n_features:
        return tuple(str(entry) for entry in names)
    series_name = getattr(x, "name", None)
    if n_features == 1 and isinstance(series_name, str) and hasattr(x, "to_numpy"):
        return (series_name,)
    return default_feature_names(n_features)


def _from_table(table: Any, name: str) -> Samples:
    """A data frame, column by column, so that one text column does not turn the others into objects."""
    labels = list(table.columns)
    feature_names = tuple(str(label) for label in labels)
    check_not_empty((len(table), len(labels)), name)
    for label in feature_names:
        if feature_names.count(label) > 1:
            raise DataError(f"{name}: two columns are called {quoted(label)}: rename one of them")
    columns = [
        to_float(np.asarray(table[label])[:, np.newaxis], (feature_name,), name)
        for label, feature_name in zip(labels, feature_names, strict=True)
    ]
    values = np.ascontiguousarray(np.concatenate(columns, axis=1))
    check_finite(values, feature_names, name)
    return Samples(values, feature_names)


def _floats_one_by_one(array: np.ndarray, feature_names: Sequence[str], name: str) -> np.ndarray:
    """Objects that are numbers (Decimal, Fraction, Python integers) converted; any other is refused."""
    values = np.empty(array.shape)
    for column, feature_name in enumerate(feature_names):
        for row in range(array.shape[0]):
            number = _number(array[row, column])
            if number is None:
                row, column, feature_name = _clearest_offence(array, row, column, feature_names)
                raise DataError(
                    f"{name}: column {quoted(feature_name)} is not numeric (row {row}, counting "
                    "from 0, holds "
                    f"{quoted(array[row, column])}): leave this column out or convert it to numbers"
                )
            values[row, column] = number
    return values


def _number(value: object) -> float | None:
    """``value`` as a float, or None if it is text, a date or anything else without a number in it."""
    if isinstance(value, (str, bytes, np.datetime64, np.timedelta64)):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _clearest_offence(array: np.ndarray, row: int, column: int, feature_names: Sequence[str]) -> tuple[int, int, str]:
    """In an array that is text throughout, the first cell that is not even the text of a number.

    ``[[1, "a"]]`` becomes an array of texts ``"1"`` and ``"a"``: it is the second that explains the error.
    """
    if array.dtype.kind == "U":
        for position, text in enumerate(array.flat):
            try:
                float(text)
            except ValueError:
                row, column = divmod(position, array.shape[1])
                break
    return row, column, feature_names[column]
