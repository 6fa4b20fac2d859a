"""What is known of the component of each row: labels with gaps, names, or probabilities; checked once, at the door."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from emjax.errors import DataError
from emjax.floats import as_number, is_gap, quoted, to_float
from emjax.matrix import as_array, is_boolean
from emjax.weights import NAMED_ELSEWHERE

__all__ = ["Labels", "checked_labels", "read_labels"]

_UNKNOWN = -1
"""The label of a row without one, as scikit-learn's semi-supervised methods write it."""

_SUM = 1e-6
"""How far from 1 the probabilities of a row may sum."""

_MOST_ENTRIES = 2**31
"""Rows times components; more would not fit into the memory of most machines."""


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
    """What is known of the component of each row.

    Attributes:
        log_prob: the natural log of the probability that a row belongs to a component ``(n_samples, n_components)``:
            0 for the one that it is known to belong to and -inf for the others; all 0 where nothing is known.
        names: the names of the first components, where labels were names; else None.
    """

    log_prob: np.ndarray | None
    names: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class _Codes:
    """A column of labels as numbers from 0 ``(n_samples,)``, -1 for gaps; ``texts`` where they stand for names."""

    codes: np.ndarray
    texts: tuple[str, ...] | None = None


def checked_labels(
    labels: Any,
    n_samples: int,
    n_components: int | None = None,
    *,
    counts: np.ndarray | None = None,
    name: str = "labels",
    of: str = "x",
) -> Labels | None:
    """Partial labels of any kind as log probabilities; None where none are given or nothing is known of any row.

    Args:
        labels: one of

            * ``(n_samples,)`` whole numbers from 0 to ``n_components - 1``; a gap is -1, NaN or None;
            * ``(n_samples,)`` names, of which at most ``n_components`` differ; a gap is None, NaN or an empty text.
              In alphabetical order they are the names of components 0, 1, ...;
            * ``(n_samples, n_components)`` probabilities, which sum to 1 in each row; a row of NaN is a gap, and 0
              excludes a component.
        n_samples: the rows of the data.
        n_components: the components of the mixture; None for as many as the labels have.
        counts: whether each row counts (has a weight above 0): names that no other row has are gaps. None: all do.
        name: how messages call the labels.
        of: how messages call the data.

    Raises:
        DataError: in one line, for what is none of these.
    """
    if labels is None:
        return None
    array = _array_of(labels, n_samples, name, of)
    if array.ndim == 2:
        return _from_probabilities(array, n_components, name)
    column = _codes_of(array, name)
    if column.texts is not None:
        column = _named_in_order(column, counts)
    codes = column.codes
    if not (codes >= 0).any():
        return None
    n_needed = int(codes.max()) + 1
    if n_components is None:
        n_components = n_needed
    if n_needed > n_components:
        raise DataError(_too_many(column, n_components, name))
    if n_samples * n_components > _MOST_ENTRIES:
        raise DataError(
            f"{name} of {n_samples:,} rows are of {n_components:,} components, which need too much memory: is this the "
            "column of labels?"
        )
    log_prob = np.zeros((n_samples, n_components))
    known = np.flatnonzero(codes >= 0)
    log_prob[known] = -np.inf
    log_prob[known, codes[known]] = 0.0
    return Labels(log_prob, column.texts)


def read_labels(labels: Any, n_samples: int, *, name: str = "labels", of: str = "x") -> np.ndarray:
    """Labels of any kind as an array, after all that can be wrong with them in any mixture; raises `DataError`."""
    array = _array_of(labels, n_samples, name, of)
    if array.ndim == 2:
        _from_probabilities(array, None, name)
    else:
        _codes_of(array, name)
    return array


def _array_of(labels: Any, n_samples: int, name: str, of: str) -> np.ndarray:
    if isinstance(labels, str):
        raise DataError(f"{name} is the text {labels!r}: give one label for each row; {NAMED_ELSEWHERE}")
    # NumPy would make texts of numbers and None beside texts.
    array = np.array(labels, dtype=object) if isinstance(labels, list | tuple) else as_array(labels, name)
    if array.ndim not in (1, 2):
        raise DataError(
            f"{name} has the shape {array.shape}: give labels ({n_samples},) or probabilities "
            f"({n_samples}, n_components)"
        )
    if len(array) != n_samples:
        raise DataError(f"{name} has {len(array):,} rows and {of} has {n_samples:,}: give as many")
    if is_boolean(array):
        raise DataError(f"{name} holds true and false: write 1 and 0, as astype(int) does")
    return array


# --- a column -------------------------------------------------------------------------------------------


def _codes_of(array: np.ndarray, name: str) -> _Codes:
    """A column of whole numbers or of names; those are in no order yet."""
    gaps = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else np.zeros(len(array), bool)
    array = np.asarray(array)
    if array.dtype.kind in "iuf":
        return _Codes(_whole(array, gaps | np.isnan(array), name))
    values = array.astype(object)
    gaps |= np.array([is_gap(value) or (isinstance(value, str) and not value.strip()) for value in values], bool)
    known = np.flatnonzero(~gaps)
    is_text = np.array([isinstance(values[row], str) for row in known], bool)
    if len(known) and is_text.all():
        texts = [str(value).strip() for value in values[known]]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        codes = np.full(len(array), _UNKNOWN)
        codes[known] = [places[text] for text in texts]
        return _Codes(codes, tuple(places))
    found = np.full(len(array), np.nan)
    for row, text in zip(known, is_text, strict=True):
        number = _number(values[row])
        if number is None:
            also = " among numbers" if text else ""
            raise DataError(
                f"{name}: row {row} (counting from 0) holds {quoted(values[row])}{also}: give whole numbers from 0, or "
                "names, and None for a gap"
            )
        found[row] = number
    return _Codes(_whole(found, gaps, name))


def _number(value: Any) -> float | None:
    """A label that is a number; None for anything else, truth values too."""
    try:
        return None if isinstance(value, bool | np.bool_) else as_number(value)
    except OverflowError:
        return np.inf


def _whole(values: np.ndarray, gaps: np.ndarray, name: str) -> np.ndarray:
    """Labels that are numbers, -1 at gaps."""
    filled = np.where(gaps, _UNKNOWN, values.astype(float))
    wrong = (filled < _UNKNOWN) | (filled != np.floor(filled)) | (filled >= 2.0**31)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{name}: row {row} (counting from 0) is labelled {filled[row]:g}: give whole numbers from 0, and -1 or "
            "NaN for a gap"
        )
    return filled.astype(int)


def _named_in_order(column: _Codes, counts: np.ndarray | None) -> _Codes:
    """The names in alphabetical order; one that only rows without weight have is a gap."""
    assert column.texts is not None
    counting = column.codes if counts is None else column.codes[counts]
    there = sorted(column.texts[code] for code in np.unique(counting) if code >= 0)
    places = {text: place for place, text in enumerate(there)}
    new = np.array([*(places.get(text, _UNKNOWN) for text in column.texts), _UNKNOWN])  # -1 is the last
    return _Codes(new[column.codes], tuple(there))


def _counted(n_components: int) -> str:
    return "1 component" if n_components == 1 else f"{n_components:,} components"


def _too_many(column: _Codes, n_components: int, name: str) -> str:
    if column.texts is not None:
        shown = ", ".join(quoted(text) for text in column.texts[:6]) + (", ..." if len(column.texts) > 6 else "")
        return (
            f"{name} has {len(column.texts)} names ({shown}), more than the {_counted(n_components)} asked for: "
            "ask for more components, or leave some rows without a label"
        )
    row = int(np.argmax(column.codes >= n_components))
    most = "the only label is 0" if n_components == 1 else f"labels are 0 to {n_components - 1}"
    return (
        f"{name}: row {row} (counting from 0) is labelled {column.codes[row]}, and of {_counted(n_components)} "
        f"{most}: number them from 0, or give names"
    )


# --- probabilities --------------------------------------------------------------------------------------


def _from_probabilities(array: np.ndarray, n_components: int | None, name: str) -> Labels | None:
    n_columns = array.shape[1]
    if n_columns != (n_components or n_columns) or n_columns == 0:
        wanted = f"the mixture has {_counted(n_components)}" if n_components else "a mixture has one or more"
        raise DataError(f"{name} has the shape {array.shape} and {wanted}: give a probability for each")
    share = to_float(array, tuple(map(str, range(n_columns))), name, missing=True)
    gaps = np.isnan(share)
    unknown = gaps.all(axis=1)
    total = np.where(gaps, 0.0, share).sum(axis=1)
    for wrong, what in (
        (gaps.any(axis=1) & ~unknown, "has some probabilities and lacks others"),
        ((share < 0).any(axis=1), "has a negative probability"),
        (~unknown & ~(np.abs(total - 1.0) <= _SUM), "sums to {total:.6g}"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"{name}: row {row} (counting from 0) {what.format(total=total[row])}: give probabilities that sum "
                "to 1, or NaN alone where nothing is known"
            )
    if unknown.all():
        return None
    with np.errstate(divide="ignore"):
        log_prob = np.log(share / np.where(unknown, 1.0, total)[:, np.newaxis])
    log_prob[unknown] = 0.0
    return Labels(log_prob)
