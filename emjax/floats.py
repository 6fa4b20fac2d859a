"""Numbers of any type as float64; what float64 does not reach or does not tell apart is refused with its column.

Only NumPy is imported: `emjax.samples` and the readers of files use it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emjax.errors import DataError

_LONGEST_QUOTE = 60
_EXACT = 2.0**53  # whole numbers up to here are float64s

_ROUNDED = 1e-6
"""Numbers are refused where float64 rounds them by more than this share of their column's width."""


def quoted(value: object) -> str:
    """``value`` in quotes on one line: control characters are escaped, long texts cut."""
    text = repr(str(value))
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 4] + "...'"


def is_gap(value: object) -> bool:
    """Whether an object stands for a value that is not there: None, pandas' NA, or NaN."""
    if value is None or type(value).__name__ == "NAType":
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def to_float(array: np.ndarray, feature_names: Sequence[str], name: str, *, missing: bool = False) -> np.ndarray:
    """A two-dimensional array as C-contiguous float64, or a :class:`DataError` naming the column.

    With ``missing`` an object that is a gap (`is_gap`) becomes NaN, as what is masked always does.
    """
    if isinstance(array, np.ma.MaskedArray):
        # np.asarray would hand out what lies under the mask as if it were data
        masked = np.ma.getmaskarray(array)
        array = np.array(array.data, dtype=np.float64 if array.dtype.kind in "biuf" else object)
        array[masked] = np.nan
    if array.dtype.kind in "biuf":
        return _narrowed(array, feature_names, name)
    if array.dtype.kind == "c":
        raise DataError(f"{name} holds complex numbers: pass real numbers (for instance x.real)")
    if array.dtype.kind == "V" and array.dtype.names is None:
        # JAX's small floats (bfloat16, float8) report themselves as "void" and convert all the same
        try:
            return np.ascontiguousarray(array, dtype=np.float64)
        except (TypeError, ValueError):
            pass
    return _floats_one_by_one(array, feature_names, name, missing=missing)


def _narrowed(array: np.ndarray, feature_names: Sequence[str], name: str) -> np.ndarray:
    """Numbers of any type as float64; refused where they overflow, or are rounded by more than differences can bear."""
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, dtype=np.float64)
    if array.dtype.kind == "b" or array.dtype.itemsize < 8 or array.dtype == np.float64 or not array.size:
        return values
    if array.dtype.kind == "f":
        for row, column in np.argwhere(np.isinf(values) & np.isfinite(array))[:1]:
            raise _too_large(str(array[row, column]), int(row), feature_names[column], name)
    exact = 0.0 if array.dtype.kind == "f" else _EXACT
    with np.errstate(invalid="ignore"):
        width = np.fmax.reduce(values) - np.fmin.reduce(values)
        alike = (np.fmax.reduce(np.abs(values)) > exact) & (width < _EXACT)
    for column in np.flatnonzero(alike):
        there = ~np.isnan(values[:, column])
        given = array[there, column]
        # Differences of values that are so much alike are exact, in any of these types.
        apart = np.where(given >= given[0], given - given[0], given[0] - given).astype(np.float64)
        _check_rounding(apart, values[there, column], int(column), feature_names, name)
    return values


def _check_rounding(
    exact: np.ndarray, values: np.ndarray, column: int, feature_names: Sequence[str], name: str
) -> None:
    """Refuse a column whose ``exact`` distances to its first value are other ones in float64."""
    off, width = float(np.nanmax(np.abs(exact - np.abs(values - values[0])))), float(np.nanmax(exact))
    if off > _ROUNDED * width:
        raise DataError(
            f"{name}: column {quoted(feature_names[column])} holds numbers near {values[0]:.4g} that lie within "
            f"{width:.4g} of each other, and float64 rounds them by {off:.2g}: subtract a constant from the column"
        )


def _floats_one_by_one(array: np.ndarray, feature_names: Sequence[str], name: str, *, missing: bool) -> np.ndarray:
    """Objects that are numbers (Decimal, Fraction, Python integers) converted; any other is refused."""
    values = np.empty(array.shape)
    for column, feature_name in enumerate(feature_names):
        for row in range(array.shape[0]):
            if missing and is_gap(array[row, column]):
                values[row, column] = np.nan
                continue
            try:
                number = as_number(array[row, column])
            except OverflowError:
                raise _too_large(_digits(array[row, column]), row, feature_name, name) from None
            if number is None:
                row, column, feature_name = _clearest_offence(array, row, column, feature_names)
                raise DataError(
                    f"{name}: column {quoted(feature_name)} is not numeric (row {row}, counting "
                    "from 0, holds "
                    f"{quoted(array[row, column])}): leave this column out or convert it to numbers"
                )
            values[row, column] = number
        there = ~np.isnan(values[:, column])
        _check_objects(array[there, column], values[there, column], column, feature_names, name)
    return values


def _check_objects(given: np.ndarray, values: np.ndarray, column: int, feature_names: Sequence[str], name: str) -> None:
    """The check of rounding for Python's own exact numbers."""
    if not np.abs(values).max(initial=0.0) > _EXACT or not np.ptp(values) < _EXACT:
        return
    try:
        exact = np.array([abs(float(one - given[0])) for one in given])
    except (TypeError, ValueError, ArithmeticError):
        return  # numbers of different types, such as Decimal and float, know no difference
    _check_rounding(exact, values, column, feature_names, name)


def as_number(value: object) -> float | None:
    """``value`` as a float, or None if it is text, a date or anything else without a number in it.

    Raises `OverflowError` where a finite number is larger than float64 goes.
    """
    if isinstance(value, (str, bytes, np.datetime64, np.timedelta64)):
        return None
    try:
        with np.errstate(over="ignore"):
            number = float(value)  # type: ignore[arg-type]
        if np.isinf(number) and value not in (np.inf, -np.inf):
            raise OverflowError  # as a Decimal does not
    except (TypeError, ValueError):
        return None
    return number


def _too_large(text: str, row: int, feature_name: str, name: str) -> DataError:
    text = text if len(text) <= 24 else f"{text[:8]}... ({len(text)} digits)"
    return DataError(
        f"{name}: row {row} (counting from 0) of column {quoted(feature_name)} holds {text}, larger than float64 goes "
        "(1.8e308): remove such rows, or divide the column by a power of ten"
    )


def _digits(value: object) -> str:
    """A number as text; Python refuses to write out the digits of the largest ones."""
    try:
        return str(value)
    except ValueError:
        return "a number of thousands of digits"


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
