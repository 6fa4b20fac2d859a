"""The data of an estimator: one float64 matrix with named columns, weights, cells not seen, and partial labels.

Every estimator of emjax passes its data through :func:`as_samples` once, so that bad data are refused
here, in one line, with the row and the column, and never inside a jitted function.  Only NumPy is
imported.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from emjax.bounds import LARGEST
from emjax.errors import DataError
from emjax.floats import quoted
from emjax.labels import Labels, checked_labels
from emjax.levels import Coder, LevelNames, texts_of
from emjax.matrix import as_matrix, check_finite, has_names, real_names
from emjax.moments import Summary
from emjax.shown import Shown
from emjax.weights import checked_weights

__all__ = [
    "Samples",
    "as_samples",
    "as_samples_like",
    "check_against_components",
    "check_counts",
    "check_not_constant",
    "check_squares",
    "place_of",
]

_LARGEST_COUNT = 2.0**53
_NARROWEST = 1e-130
"""Widths of columns whose squares float64 holds, with sums and quotients of them, and a collapse's."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Samples(Shown):
    """Checked data: one row per sample, with what is known of each row. Made by `as_samples`.

    Attributes:
        values: float64, C-contiguous, shape ``(n_samples, n_features)``; finite, or NaN where a cell was not seen.
            It may share memory with the caller's array; nothing in emjax writes into it.
        feature_names: one name per column, all different.
        weights: how often each row counts ``(n_samples,)``, finite and at least 0; None where each counts once.
        labels: the natural log of what is known of the component of each row ``(n_samples, n_components)``: 0 for the
            one it belongs to and -inf for the others, or log probabilities; all 0 where nothing is known. None where
            nothing is known of any row.
        label_names: the names of components 0, 1, ... where labels were names; else None.
        level_names: the names of the levels 0, 1, ... of each column where any column was of texts; else None.
    """

    values: np.ndarray
    feature_names: tuple[str, ...]
    weights: np.ndarray | None = None
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] | None = None
    level_names: LevelNames | None = None

    @property
    def n_samples(self) -> int:
        """The number of rows, whatever their weight."""
        return int(self.values.shape[0])

    @property
    def n_features(self) -> int:
        """The number of columns."""
        return int(self.values.shape[1])

    @functools.cached_property
    def summary(self) -> Summary:
        """Weighted moments and ranges of the cells that were seen, each made when it is first asked for."""
        return Summary(self.values, self.weights)

    @property
    def has_holes(self) -> bool:
        """Whether any cell was not seen."""
        return self.summary.has_holes

    @property
    def total_weight(self) -> float:
        """The number of rows, each counted as often as its weight says."""
        return self.summary.total_weight

    @functools.cached_property
    def n_unseen_rows(self) -> int:
        """How many rows have no cell that was seen; they are kept, and say nothing about the parameters."""
        return int(np.isnan(self.values).all(axis=1).sum()) if self.has_holes else 0

    @property
    def roles(self) -> dict[str, float]:
        """What is to be known of the data beside their shape, by name; only what there is.

        ``missing_cells``, ``unseen_rows`` (no cell was seen), ``total_weight`` and ``labelled_rows`` (something is
        known of the component).
        """
        n_missing = int(np.isnan(self.values).sum()) if self.has_holes else 0
        n_labelled = 0 if self.labels is None else int((self.labels != 0).any(axis=1).sum())
        found: dict[str, float] = {"missing_cells": n_missing, "unseen_rows": self.n_unseen_rows}
        if self.weights is not None:
            found["total_weight"] = self.total_weight
        return {name: value for name, value in {**found, "labelled_rows": n_labelled}.items() if value}

    def same_as(self, other: Samples) -> bool:
        """Whether the numbers are the same, and what is known of them; names may differ."""
        mine, theirs = ((each.values, each.weights, each.labels) for each in (self, other))
        return all(
            a is b or (a is not None and b is not None and np.array_equal(a, b, equal_nan=True))
            for a, b in zip(mine, theirs, strict=True)
        )

    def take(self, rows: Any) -> Samples:
        """Some of the rows, with what is known of them."""
        weights = None if self.weights is None else self.weights[rows]
        labels = None if self.labels is None else self.labels[rows]
        return dataclasses.replace(self, values=self.values[rows], weights=weights, labels=labels)

    @property
    def counts(self) -> np.ndarray:
        """Which rows count ``(n_samples,)``: those with a weight above 0."""
        return np.ones(self.n_samples, bool) if self.weights is None else self.weights > 0

    @functools.cached_property
    def counted(self) -> Samples:
        """The rows that count, or these same samples where all do."""
        if self.weights is None or self.counts.all():
            return self
        return self.take(self.counts)


def as_samples(
    x: Any,
    *,
    name: str = "x",
    weights: Any = None,
    labels: Any = None,
    n_components: int | None = None,
    missing: bool = False,
    unseen: bool = False,
    levels: LevelNames | None = None,
) -> Samples:
    """Turn ``x`` into checked :class:`Samples`.

    Args:
        x: numbers as a NumPy or JAX array, nested lists, an object with ``feature_names`` and
            ``__array__`` (such as :class:`emjax.datasets.Dataset`), a data frame (pandas, polars), a pyarrow
            table, an xarray array or data set, or a series.  Shape ``(n_samples,)`` means ``(n_samples, 1)``.
            Integers are converted; booleans are refused, for they are no measurements.
        name: how messages call the data.
        weights: how often each row counts ``(n_samples,)``, see `emjax.weights.checked_weights`.  None: as often as a
            data set that was loaded with weights says, else once.
        labels: what is known of the component of each row, see `emjax.labels.checked_labels`.  None: what a data set
            that was loaded with labels says, else nothing.
        n_components: the components that labels are of; None for as many as they name.
        missing: whether a cell may be empty (NaN, None, pandas' NA, a null, a masked entry): it then was not seen.
        unseen: whether a whole column may be empty.
        levels: for a family of categories, whose columns may be texts (true and false are such): the names of the
            levels of each column, or ``()`` for those that occur.  None, for any other: texts are refused.

    Returns:
        The data as float64 with feature names: those of ``x`` where it has them (of an xarray array the labels of
        its second dimension), otherwise ``x`` for a single column and ``x0``, ``x1``, ... for several.  `Samples` are
        handed back as they are, unless weights or labels are given.

    Raises:
        DataError: if ``x`` is empty, has more than two dimensions, holds anything but real numbers, or holds an
            infinite value or NaN; with ``missing``, if nothing of a column was seen in a row that counts; if weights
            or labels are none of these rows.  The message is one line with the row (counting from 0) and the column.
    """
    if isinstance(x, Samples):
        samples = x
        if not missing and x.has_holes:
            check_finite(x.values, x.feature_names, name)
    else:
        coder = None if levels is None else Coder(levels)
        x = _with_known_levels(x, levels, name)
        values, feature_names = as_matrix(x, name, missing=missing, coder=coder)
        names = coder.names(values, feature_names, name) if coder else None
        samples = Samples(values, feature_names, level_names=names or _carried(x, "level_names"))
        weights = _carried(x, "weights") if weights is None else weights
        labels = _carried(x, "partial_labels") if labels is None else labels
    n_samples = samples.n_samples
    if weights is not None:
        samples = dataclasses.replace(samples, weights=checked_weights(weights, n_samples, of=name))
    if labels is not None:
        counts = None if samples.weights is None else samples.weights > 0
        found = checked_labels(labels, n_samples, n_components, counts=counts, of=name) or Labels(None)
        samples = dataclasses.replace(samples, labels=found.log_prob, label_names=found.names)
    if samples is not x and not unseen:
        _check_seen(samples, name)
    if n_components is not None and samples.labels is not None and samples.labels.shape[1] != n_components:
        raise DataError(
            f"{name} has labels of {samples.labels.shape[1]} components, and {n_components} are asked for: give labels "
            "of as many"
        )
    return samples


def _with_known_levels(x: Any, levels: LevelNames | None, name: str) -> Any:
    """A data set whose columns were read as levels, refused where they are none, with the numbers of known levels."""
    own = _carried(x, "level_names")
    if own is None or (levels is not None and levels in ((), own)):
        return x
    if levels is None:
        raise DataError(f"{name} has columns of texts, and levels are for categorical mixtures: choose other columns")
    coded = Coder(levels).coded(texts_of(x.values, own), x.feature_names, name)
    return dataclasses.replace(x, values=coded, level_names=levels)


def _carried(x: Any, role: str) -> Any:
    """What a data set was loaded with. A frame may have a column of that name, which is none: its type has not."""
    return getattr(x, role) if hasattr(type(x), "partial_labels") else None


def _check_seen(samples: Samples, name: str) -> None:
    if samples.has_holes:
        unseen = np.flatnonzero(samples.summary.observed == 0)
        if unseen.size:
            column = quoted(samples.feature_names[int(unseen[0])])
            rows = "any row" if samples.weights is None else "any row with a weight above 0"
            raise DataError(f"{name}: column {column} has no value in {rows}: leave this column out")


def check_against_components(samples: Samples, n_components: int, *, name: str = "x") -> None:
    """Raise :class:`DataError` if there are fewer rows than components.

    Rows that do not count, and those of which nothing was seen, are none; a weight of 2 makes two of a row.
    """
    n_rows, total = samples.n_samples - samples.n_unseen_rows, 0.0
    if samples.weights is not None:
        counts = samples.weights[~np.isnan(samples.values).all(axis=1)] if samples.n_unseen_rows else samples.weights
        n_rows, total = int((counts > 0).sum()), float(counts.sum())
    if max(n_rows, int(total)) < n_components:
        rows = "1 row" if n_rows == 1 else f"{n_rows} rows"
        which = "" if n_rows == samples.n_samples else f" that count{'s' * (n_rows == 1)}"
        raise DataError(
            f"{name} has {rows}{which}, fewer than the {n_components} components asked for: "
            f"give more rows or ask for at most {n_rows}"
        )


def as_samples_like(
    x: Any, feature_names: Sequence[str], *, of: str, name: str = "x", levels: LevelNames | None = None
) -> Samples:
    """`as_samples` for data that come after an estimate: the features must be those of the estimate, in its order.

    Nothing need be seen of a column: a single row with a gap has such columns.

    Args:
        x: as in `as_samples`.
        feature_names: those of the estimate.
        of: how messages call the estimate, such as "the fit".
        name: how messages call the data.
        levels: the names of the levels of each column of the estimate, as in `as_samples`.

    Raises:
        DataError: as in `as_samples`; if names were given on both sides and differ, or are in another order; or, where
            names are missing on either side, if the number of features differs.
    """
    samples = as_samples(x, name=name, missing=True, unseen=True, levels=levels)
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
    if not isinstance(x, Samples) and not has_names(x):
        return dataclasses.replace(samples, feature_names=theirs)
    if sorted(ours) == sorted(theirs):
        raise DataError(
            f"{name} has its columns in the order {_named(ours)}, {of} in the order {_named(theirs)}: "
            "give them in the order of the latter"
        )
    if real_names(ours) and real_names(theirs):
        raise DataError(f"{name} has the columns {_named(ours)}, {of} was made from {_named(theirs)}: give these")
    return samples


def _named(feature_names: Sequence[str]) -> str:
    shown = ", ".join(quoted(label) for label in feature_names[:6])
    return shown if len(feature_names) <= 6 else f"{shown}, ..."


# --- what a family may ask of its data: rows without weight and cells not seen decide nothing ----------------


def check_squares(samples: Samples, *, name: str = "x") -> None:
    """Raise :class:`DataError` if float64 does not hold the squares that a variance of a column is made of."""
    low, high = samples.summary.minimum, samples.summary.maximum
    largest = np.maximum(np.abs(low), np.abs(high))
    for column in np.flatnonzero(largest > LARGEST):
        values = samples.counted.values[:, column]
        rows = np.flatnonzero(np.abs(values) > LARGEST)
        value, few = values[rows[0]], 2 * len(rows) <= len(values)
        others = "" if len(rows) == 1 else f" ({len(rows)} rows are affected)"
        label = quoted(samples.feature_names[column])
        remedy = f"divide the column by {_power_of_ten(largest[column])}"
        raise DataError(
            f"{name}: column {label} holds {value:.4g} in row {place_of(samples, rows[0])} (counting from 0){others}, "
            "whose square is too large for float64: "
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


def place_of(samples: Samples, row: int) -> int:
    """The place among all rows of one that counts."""
    return int(row if samples.weights is None else np.flatnonzero(samples.weights > 0)[row])


def check_not_constant(samples: Samples, *, name: str = "x") -> None:
    """Raise :class:`DataError` if a column holds one value only, because no variance can be estimated."""
    if samples.counted.n_samples == 1:
        which = "" if samples.n_samples == 1 else " that counts"
        raise DataError(f"{name} has 1 row{which}: a variance needs at least 2; give more rows")
    constant = np.flatnonzero(samples.summary.minimum == samples.summary.maximum)
    if constant.size:
        column = int(constant[0])
        raise DataError(
            f"{name}: column {quoted(samples.feature_names[column])} is constant (every value is "
            f"{float(samples.summary.minimum[column]):.12g}), so it has no variance to estimate: leave "
            "this column out"
        )


def check_counts(samples: Samples, *, name: str = "x") -> None:
    """Raise :class:`DataError` if a value is not a count 0, 1, 2, … up to 2**53 or a column holds only zeros."""
    values = samples.counted.values
    # NaN is neither below 0 nor above anything, and differs from whatever it is compared with.
    bad = np.argwhere((values < 0) | (np.floor(values) < values))
    if bad.size:
        row, column = (int(place) for place in bad[0])
        raise DataError(
            f"{name} must hold counts 0, 1, 2, …: row {place_of(samples, row)} (counting from 0) of column "
            f"{quoted(samples.feature_names[column])} is {values[row, column]:g}; choose other columns or a "
            "normal mixture"
        )
    large = np.argwhere(values > _LARGEST_COUNT)
    if large.size:
        row, column = (int(place) for place in large[0])
        raise DataError(
            f"{name}: row {place_of(samples, row)} (counting from 0) of column {quoted(samples.feature_names[column])} "
            f"is {values[row, column]:.4g}, and float64 does not hold every count above 2**53 = 9.007e15: leave "
            "such rows out or choose a normal mixture"
        )
    zero = np.flatnonzero(samples.summary.maximum == 0)
    if zero.size:
        column = int(zero[0])
        raise DataError(f"{name}: column {quoted(samples.feature_names[column])} holds only zeros: leave it out")
