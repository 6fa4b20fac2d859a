"""Why a covariance could not be estimated: what in the data is to blame, with the names of columns.

The pooled covariance is looked at first, since where it is singular no component can do better. All on the host, and
only after a fit has failed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emjax.families.linalg import least_conditional_variance
from emjax.samples import Samples, quoted

_MOST_NAMES = 4
_NOTABLE = 1e-6
"""The least coefficient of a column, in standard deviations, that makes it part of a dependence."""

_EQUAL = 1e-7
"""Rows are equal in a column if they differ by less than this share of its standard deviation."""

_MOST_ROWS = 20_000
"""A dependence between columns shows in so many rows, spread over all."""


def explain_singular(samples: Samples, mean: np.ndarray, scale: np.ndarray, *, correlated: bool) -> str | None:
    """One sentence with a remedy, or ``None`` where the data themselves show nothing.

    Parameters
    ----------
    mean, scale
        The collapsed mixture's means and standard deviations ``(n_components, n_features)``.
    correlated
        Whether the covariances are matrices, which columns that determine each other make singular.
    """
    if correlated:
        found = _few_rows(samples) or explain_dependence(samples)
        if found:
            return found
    return _equal_rows(samples) or (None if correlated else _one_value(samples, mean, scale))


def _few_rows(samples: Samples) -> str | None:
    n_samples, n_features = samples.values.shape
    if n_samples > n_features:
        return None
    return (
        f"{n_samples} rows of {n_features} features have no covariance matrix, which needs at least {n_features + 1} "
        'rows; use covariance="diag" or "spherical", a prior, or fewer features.'
    )


def explain_dependence(samples: Samples) -> str | None:
    """The first column that the others determine to rounding, and by which of them; ``None`` if there is none."""
    n_samples, n_features = samples.values.shape
    step = max(1, n_samples // max(_MOST_ROWS, 2 * n_features))
    y = samples.values[::step] - samples.values.mean(axis=0)
    scale = y.std(axis=0)
    y = (y - y.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    least = np.sqrt(least_conditional_variance(n_features, y.dtype) * len(y))
    factor = np.linalg.qr(y, mode="r")
    dependent = np.flatnonzero(np.abs(np.diagonal(factor)) <= least)
    if not len(dependent):
        return None
    column = int(dependent[0])
    coefficients = np.linalg.lstsq(factor[:column, :column], factor[:column, column], rcond=None)[0]
    partners = np.flatnonzero(np.abs(coefficients) > _NOTABLE)
    names = [samples.feature_names[i] for i in partners]
    name = quoted(samples.feature_names[column])
    if not names:
        return f"column {name} has one value in nearly all rows, so it has no variance to estimate; leave it out."
    how = "is proportional to" if len(names) == 1 else "is determined by"
    if len(names) == 1 and np.array_equal(samples.values[:, column], samples.values[:, partners[0]]):
        how = "repeats"
    return (
        f"column {name} {how} {_listed(names)}, so the covariance of all columns is singular; "
        'leave one of them out, or use covariance="diag", or a prior.'
    )


def _equal_rows(samples: Samples) -> str | None:
    """The rows that stand at one point, if they are more than have a covariance."""
    _, first, counts = np.unique(samples.values, axis=0, return_index=True, return_counts=True)
    most = int(np.argmax(counts))
    if counts[most] <= samples.n_features + 1:
        return None
    return (
        f"a component collapsed on {counts[most]} equal rows (the first is row {first[most]}, counting from 0), where "
        "the likelihood has no bound; use a prior, fewer components, or model these rows apart."
    )


def _one_value(samples: Samples, mean: np.ndarray, scale: np.ndarray) -> str | None:
    """The column that has no variance in the narrowest component."""
    spread = samples.values.std(axis=0)
    shares = np.where(np.isfinite(scale), scale, 0.0) / spread[None, :]
    component, column = np.unravel_index(int(np.argmin(shares)), shares.shape)
    values = samples.values[:, column]
    alike = np.abs(values - mean[component, column]) <= _EQUAL * spread[column]
    if alike.sum() <= 1:
        return None
    return (
        f"in a component the column {quoted(samples.feature_names[column])} takes one value, {values[alike][0]:.6g} as "
        f"in {alike.sum()} rows, and has no variance; use a prior or leave the column out."
    )


def _listed(names: Sequence[str]) -> str:
    shown = [quoted(name) for name in names[:_MOST_NAMES]]
    if len(names) > _MOST_NAMES:
        return f"{', '.join(shown)} and {len(names) - _MOST_NAMES} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
