"""Whatever the caller holds, as one float64 array ``(n_samples, n_features)`` with named columns.

Every estimator of emjax passes its data through :func:`as_samples` once, so that bad data are refused
here, in one line, with the row and the column, and never inside a jitted function.  Only NumPy is
imported: tables are recognised by what they have (``columns``, ``column_names``, ``data_vars``), not by their class.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emjax.bounds import LARGEST
from emjax.errors import DataError
from emjax.floats import quoted, to_float
from emjax.moments import Summary
from emjax.shown import Shown

__all__ = [
    "Samples",
    "as_samples",
    "as_samples_like",
    "check_against_components",
    "check_counts",
    "check_not_constant",
    "check_squares",
]

_NAMED_BY = ("feature_names", "columns", "column_names", "data_vars", "coords", "to_numpy")
"""What has one of these may have names of its own, and what has none has none."""
_SHAPES = "(n_samples,) or (n_samples, n_features)"
_LARGEST_COUNT = 2.0**53
_NARROWEST = 1e-130
"""Widths of columns whose squares float64 holds, with sums and quotients of them, and a collapse's."""


@dataclass(frozen=True, eq=False, repr=False)
class Samples(Shown):
    """Checked data: finite numbers, one row per sample.

    Attributes:
        values: float64, C-contiguous, shape ``(n_samples, n_features)``, all finite.  It may share memory
            with the caller's array; nothing in emjax writes into it.
        feature_names: one name per column, all different.
    """

    values: np.ndarray
    feature_names: tuple[str, ...]
    weights: np.ndarray | None = None
    labels: np.ndarray | None = None

    @functools.cached_property
    def summary(self) -> Summary:
        """Moments and ranges of the columns."""
        return Summary(self.values)

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
            ``__array__`` (such as :class:`emjax.datasets.Dataset`), a data frame (pandas, polars), a pyarrow
            table, an xarray array or data set, or a series.  Shape ``(n_samples,)`` means ``(n_samples, 1)``.
            Integers are converted; booleans are refused, for they are no measurements.
        name: how messages call the data.

    Returns:
        The data as float64 with feature names: those of ``x`` where it has them (of an xarray array the labels of
        its second dimension), otherwise ``x`` for a single column and ``x0``, ``x1``, ... for several.

    Raises:
        DataError: if ``x`` is empty, has more than two dimensions, holds anything but real numbers, or
            holds NaN or an infinite value.  The message is one line with the row (counting from 0) and
            the column.
    """
    if isinstance(x, Samples):
        return x
    table = _columns_of(x, name)
    if table is not None:
        return _from_table(*table, name)
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
    if _is_boolean(array):
        raise DataError(
            f"{name} holds true and false, which are no measurements: {name}.astype(float) reads them as 1 and 0"
        )
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


def as_samples_like(x: Any, feature_names: Sequence[str], *, of: str, name: str = "x") -> Samples:
    """`as_samples` for data that come after an estimate: the features must be those of the estimate, in its order.

    Args:
        x: as in `as_samples`.
        feature_names: those of the estimate.
        of: how messages call the estimate, such as "the fit".
        name: how messages call the data.

    Raises:
        DataError: as in `as_samples`; if names were given on both sides and differ, or are in another order; or, where
            names are missing on either side, if the number of features differs.
    """
    samples = as_samples(x, name=name)
    ours, theirs = samples.feature_names, tuple(feature_names)
    if ours == theirs:
        return samples
    if len(ours) != len(theirs):
        count = "1 feature" if len(ours) == 1 else f"{len(ours)} features"
        one_row = np.ndim(x) == 1 and len(samples.values) == len(theirs)
        raise DataError(
            f"{name} has {count} ({_named(ours)}), {of} has {len(theirs)} ({_named(theirs)}): "
            + (f"one datum is {name}[None, :], of shape (1, {len(theirs)})" if one_row else "give the same columns")
        )
    if not isinstance(x, Samples) and not any(hasattr(x, attribute) for attribute in _NAMED_BY):
        return Samples(samples.values, theirs)
    if sorted(ours) == sorted(theirs):
        raise DataError(
            f"{name} has its columns in the order {_named(ours)}, {of} in the order {_named(theirs)}: "
            "give them in the order of the latter"
        )
    if _are_real(ours) and _are_real(theirs):
        raise DataError(f"{name} has the columns {_named(ours)}, {of} was made from {_named(theirs)}: give these")
    return samples


def check_squares(samples: Samples, *, name: str = "x") -> None:
    """Raise :class:`DataError` if float64 does not hold the squares that a variance of a column is made of."""
    low, high = samples.values.min(axis=0), samples.values.max(axis=0)
    largest = np.maximum(np.abs(low), np.abs(high))
    for column in np.flatnonzero(largest > LARGEST):
        values = np.abs(samples.values[:, column])
        rows = np.flatnonzero(values > LARGEST)
        row, few = int(rows[0]), 2 * len(rows) <= len(values)
        others = "" if len(rows) == 1 else f" ({len(rows)} rows are affected)"
        label, value = quoted(samples.feature_names[column]), samples.values[row, column]
        remedy = f"divide the column by {_power_of_ten(largest[column])}"
        raise DataError(
            f"{name}: column {label} holds {value:.4g} in row {row} (counting from 0){others}, whose square is too "
            "large for float64: "
            + (f"remove such rows if it stands for a missing value, or {remedy}" if few else remedy)
        )
    for column in np.flatnonzero((high > low) & (high - low < _NARROWEST)):
        width = high[column] - low[column]
        raise DataError(
            f"{name}: the values of column {quoted(samples.feature_names[column])} differ by {width:.4g} at most, "
            f"whose square is too small for float64: multiply the column by {_power_of_ten(1.0 / max(width, 1e-300))}"
        )


def _power_of_ten(number: float) -> str:
    return f"1e{int(np.floor(np.log10(number)))}"


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
    """Raise :class:`DataError` if a value is not a count 0, 1, 2, … up to 2**53 or a column holds only zeros."""
    bad = np.argwhere((samples.values < 0) | (samples.values != np.floor(samples.values)))
    if bad.size:
        row, column = (int(place) for place in bad[0])
        raise DataError(
            f"{name} must hold counts 0, 1, 2, …: row {row} (counting from 0) of column "
            f"{quoted(samples.feature_names[column])} is {samples.values[row, column]:g}; choose other columns or a "
            "normal mixture"
        )
    large = np.argwhere(samples.values > _LARGEST_COUNT)
    if large.size:
        row, column = (int(place) for place in large[0])
        raise DataError(
            f"{name}: row {row} (counting from 0) of column {quoted(samples.feature_names[column])} is "
            f"{samples.values[row, column]:.4g}, and float64 does not hold every count above 2**53 = 9.007e15: leave "
            "such rows out or choose a normal mixture"
        )
    zero = np.flatnonzero(~samples.values.any(axis=0))
    if zero.size:
        column = int(zero[0])
        raise DataError(f"{name}: column {quoted(samples.feature_names[column])} holds only zeros: leave it out")


# --- parts the file readers use too ---------------------------------------------------------------------


def default_feature_names(n_features: int) -> tuple[str, ...]:
    """``("x",)`` for one column, ``("x0", "x1", ...)`` for several."""
    return ("x",) if n_features == 1 else tuple(f"x{position}" for position in range(n_features))


def check_not_empty(shape: tuple[int, ...], name: str) -> None:
    """Raise :class:`DataError` if a two-dimensional shape has no rows or no columns."""
    if 0 in shape:
        missing = "rows" if shape[0] == 0 else "columns"
        raise DataError(f"{name} is empty: it has no {missing} (shape {shape}); give at least one")


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
    """``np.asarray`` that keeps masks and says in words what it cannot take."""
    if isinstance(x, np.ma.MaskedArray):
        return x
    try:
        return np.asarray(x)
    except TypeError as error:
        if type(error).__name__ != "TracerArrayConversionError":
            raise
        raise TypeError(
            f"{name} is traced by jax.jit, jax.vmap or jax.grad, and what takes data works on the host: call it "
            "outside; Mixture.log_prob, responsibilities and sample can be traced"
        ) from None
    except ValueError as error:
        raise DataError(f"{name} is not a rectangular array: give every row the same number of values") from error


def _are_real(feature_names: tuple[str, ...]) -> bool:
    """Whether somebody gave these names: not the defaults of emjax, nor the numbers of pandas."""
    n_features = len(feature_names)
    return feature_names not in (default_feature_names(n_features), tuple(map(str, range(n_features))))


def _named(feature_names: Sequence[str]) -> str:
    shown = ", ".join(quoted(label) for label in feature_names[:6])
    return shown if len(feature_names) <= 6 else f"{shown}, ..."


def _names_of(x: Any, n_features: int) -> tuple[str, ...]:
    """The names ``x`` carries (``feature_names``, labels of a dimension, a series' name), else the defaults."""
    names = getattr(x, "feature_names", None)
    if names is not None and len(names) == n_features:
        return tuple(str(entry) for entry in names)
    coords = getattr(x, "coords", None)
    dims: tuple[Any, ...] = getattr(x, "dims", ())
    if coords is not None and len(dims) == 2 and dims[1] in coords:  # an xarray array
        labels = tuple(map(str, np.asarray(coords[dims[1]])))
        if len(set(labels)) == n_features:
            return labels
    series_name = getattr(x, "name", None)
    if n_features == 1 and isinstance(series_name, str) and hasattr(x, "to_numpy"):
        return (series_name,)
    return default_feature_names(n_features)


def _columns_of(x: Any, name: str) -> tuple[list[Any], Callable[[int], Any]] | None:
    """The labels of a table, and the column at each place; None for what is no table."""
    if hasattr(x, "column_names") and hasattr(x, "column"):  # pyarrow
        return list(x.column_names), x.column
    if hasattr(x, "data_vars"):  # xarray
        dims = {dim for variable in x.data_vars.values() for dim in variable.dims}
        if len(dims) != 1:
            raise DataError(
                f"{name} is a Dataset with the dimensions {_named(sorted(map(str, dims)))}: its variables need one, "
                f"the same; pass one of them, {name}[...]"
            )
    elif not (hasattr(x, "columns") and hasattr(x, "to_numpy")):  # pandas, polars
        return None
    labels = list(x.data_vars if hasattr(x, "data_vars") else x.columns)
    return labels, lambda place: x[labels[place]]


def _is_boolean(array: np.ndarray) -> bool:
    """Whether an array holds true and false, as objects too."""
    return array.dtype.kind == "b" or (array.dtype == object and isinstance(next(array.flat, None), bool | np.bool_))


def _from_table(labels: Sequence[Any], column_at: Callable[[int], Any], name: str) -> Samples:
    """A data frame, column by column, so that one text column does not turn the others into objects."""
    feature_names = tuple(str(label) for label in labels)
    for label in feature_names:
        if feature_names.count(label) > 1:
            raise DataError(f"{name}: two columns are called {quoted(label)}: rename one of them")
    arrays = [np.asarray(column_at(place))[:, np.newaxis] for place in range(len(feature_names))]
    check_not_empty((len(arrays[0]) if arrays else 1, len(arrays)), name)
    for label, array in zip(feature_names, arrays, strict=True):
        if _is_boolean(array):
            raise DataError(
                f"{name}: column {quoted(label)} holds true and false, which are no measurements: leave it out, or "
                "turn it into 1 and 0 yourself"
            )
    columns = [to_float(array, (label,), name) for label, array in zip(feature_names, arrays, strict=True)]
    values = np.ascontiguousarray(np.concatenate(columns, axis=1))
    check_finite(values, feature_names, name)
    return Samples(values, feature_names)
