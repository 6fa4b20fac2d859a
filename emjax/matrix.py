"""Whatever the caller holds, as a float64 matrix ``(n_samples, n_features)`` with a name for each column.

Only NumPy is imported: tables are recognised by what they have (``columns``, ``column_names``, ``data_vars``), not by
their class.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from emjax.errors import DataError, DataWarning
from emjax.floats import is_gap, quoted, to_float
from emjax.levels import Coder
from emjax.threads import in_threads, pieces

__all__ = [
    "as_array",
    "as_matrix",
    "check_finite",
    "check_not_empty",
    "default_feature_names",
    "has_names",
    "is_boolean",
    "is_nameless",
    "real_names",
    "row_numbers",
]

_NAMED_BY = ("feature_names", "columns", "column_names", "data_vars", "coords", "to_numpy")
"""What has one of these may have names of its own, and what has none has none."""
_SHAPES = "(n_samples,) or (n_samples, n_features)"

_FEWEST_COUNTED = 10
"""In fewer rows 1, 2, 3, ... may be a measurement."""


def as_matrix(
    x: Any, name: str, *, missing: bool = False, coder: Coder | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The numbers of ``x`` as C-contiguous float64 ``(n_samples, n_features)``, and the names of its columns.

    Args:
        x: what `emjax.samples.as_samples` takes.
        name: how messages call it.
        missing: whether cells may be empty: NaN, None, pandas' NA, a null, a masked entry. They become NaN.
        coder: writes texts as the numbers of their levels; without one they are refused.

    Raises:
        DataError: if it is empty, has more than two dimensions, or holds anything but finite real numbers (and empty
            cells, where they are allowed).

    Warns:
        DataWarning: where a column of a table numbers its rows.
    """
    table = _columns_of(x, name)
    if table is not None:
        values, feature_names = _from_table(*table, name, missing=missing, coder=coder)
    else:
        values, feature_names = _from_array(x, name, missing=missing, coder=coder)
    check_finite(values, feature_names, name, missing=missing)
    for column in row_numbers(values, feature_names) if table is not None else ():
        told = f"{name}: column {quoted(column)} numbers the rows, and is read as a feature: leave it out if it is none"
        warnings.warn(told, DataWarning, stacklevel=2)
    return values, feature_names


def is_nameless(name: str) -> bool:
    """Whether a column has no name, or only the one that pandas gives to a column without."""
    return not name or re.fullmatch(r"Unnamed: \d+", name) is not None


def row_numbers(values: np.ndarray, names: Sequence[str]) -> list[str]:
    """Which of several columns number the rows, from 0 or 1."""
    n_rows, n_columns = values.shape
    if n_rows < _FEWEST_COUNTED or n_columns == 1:
        return []
    # The ends say it of nearly all columns, and no numbers are made to compare with.
    ends = (values[0] == 0) | (values[0] == 1)
    ends &= values[-1] - values[0] == n_rows - 1
    found = [
        names[i]
        for i in np.flatnonzero(ends).tolist()
        if np.array_equal(values[:, i] - values[0, i], np.arange(n_rows))
    ]
    return found if len(found) < n_columns else []


def default_feature_names(n_features: int) -> tuple[str, ...]:
    """``("x",)`` for one column, ``("x0", "x1", ...)`` for several."""
    return ("x",) if n_features == 1 else tuple(f"x{position}" for position in range(n_features))


def check_not_empty(shape: tuple[int, ...], name: str) -> None:
    """Raise :class:`DataError` if a two-dimensional shape has no rows or no columns."""
    if 0 in shape:
        missing = "rows" if shape[0] == 0 else "columns"
        raise DataError(f"{name} is empty: it has no {missing} (shape {shape}); give at least one")


def check_finite(
    values: np.ndarray, feature_names: Sequence[str], name: str, *, missing: bool = False, keep: str = ""
) -> None:
    """Raise :class:`DataError` naming the first infinite value of a matrix, or the first NaN if not ``missing``.

    ``keep`` ends the message of NaN: how such cells are kept.
    """
    if all(in_threads(lambda rows: bool(np.isfinite(values[rows]).all()), pieces(*values.shape))):
        return
    finite = np.isfinite(values)
    if missing:
        finite |= np.isnan(values)
        if finite.all():
            return
    row, column = (int(position) for position in np.argwhere(~finite)[0])
    n_rows = int((~finite).any(axis=1).sum())
    others = "" if n_rows == 1 else f" ({n_rows} rows are affected)"
    unseen = bool(np.isnan(values[row, column]))
    what = "NaN" if unseen else "an infinite value"
    raise DataError(
        f"{name}: {what} in row {row} (counting from 0), column {quoted(feature_names[column])}{others}: "
        f"remove such rows or fill in the values{keep if unseen else ''}"
    )


def as_array(x: Any, name: str) -> np.ndarray:
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


def has_names(x: Any) -> bool:
    """Whether ``x`` is of a kind that may have names for its columns."""
    return any(hasattr(x, attribute) for attribute in _NAMED_BY)


def real_names(feature_names: tuple[str, ...]) -> bool:
    """Whether somebody gave these names: not the defaults of emjax, nor the numbers of pandas."""
    n_features = len(feature_names)
    return feature_names not in (default_feature_names(n_features), tuple(map(str, range(n_features))))


def is_boolean(array: np.ndarray) -> bool:
    """Whether an array holds true and false, as objects too."""
    if array.dtype != object:
        return array.dtype.kind == "b"
    return isinstance(next((value for value in array.flat if not is_gap(value)), None), bool | np.bool_)


# --- private --------------------------------------------------------------------------------------------


def _from_array(x: Any, name: str, *, missing: bool, coder: Coder | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    array = as_array(x, name)
    if array.ndim == 0:
        raise DataError(
            f"{name} is a single {type(x).__name__}, not an array of numbers: pass an array of shape {_SHAPES} "
            "(emjax.datasets.load reads a file)"
        )
    if array.ndim > 2:
        raise DataError(f"{name} has {array.ndim} dimensions, shape {array.shape}: reshape it to {_SHAPES}")
    if array.ndim == 1:
        array = array[:, np.newaxis]
    feature_names = _names_of(x, array.shape[1])
    check_not_empty(array.shape, name)
    if coder is not None:
        array = coder.coded(array, feature_names, name)
    if is_boolean(array):
        raise DataError(
            f"{name} holds true and false, which are no measurements: {name}.astype(float) reads them as 1 and 0"
        )
    return to_float(array, feature_names, name, missing=missing), feature_names


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
            shown = ", ".join(map(quoted, sorted(map(str, dims))))
            raise DataError(
                f"{name} is a Dataset with the dimensions {shown}: its variables need one, the same; pass one of them, "
                f"{name}[...]"
            )
    elif not (hasattr(x, "columns") and hasattr(x, "to_numpy")):  # pandas, polars
        return None
    labels = list(x.data_vars if hasattr(x, "data_vars") else x.columns)
    return labels, lambda place: x[labels[place]]


def _from_table(
    labels: Sequence[Any],
    column_at: Callable[[int], Any],
    name: str,
    *,
    missing: bool,
    coder: Coder | None = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A data frame, column by column, so that one text column does not turn the others into objects."""
    feature_names = tuple(str(label) for label in labels)
    for label in feature_names:
        if feature_names.count(label) > 1:
            raise DataError(f"{name}: two columns are called {quoted(label)}: rename one of them")
        if is_nameless(label):
            raise DataError(
                f"{name}: column {quoted(label)} has no name (row numbers written by R or pandas?): leave it out, or "
                "rename it"
            )
    arrays = [np.asarray(column_at(place))[:, np.newaxis] for place in range(len(feature_names))]
    check_not_empty((len(arrays[0]) if arrays else 1, len(arrays)), name)
    if coder is not None:
        arrays = [coder.coded(array, (label,), name) for label, array in zip(feature_names, arrays, strict=True)]
    for label, array in zip(feature_names, arrays, strict=True):
        if is_boolean(array):
            raise DataError(
                f"{name}: column {quoted(label)} holds true and false, which are no measurements: leave it out, or "
                "turn it into 1 and 0 yourself"
            )
    columns = [
        to_float(array, (label,), name, missing=missing) for label, array in zip(feature_names, arrays, strict=True)
    ]
    return np.ascontiguousarray(np.concatenate(columns, axis=1)), feature_names
