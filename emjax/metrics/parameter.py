"""Agreement of an EM estimate and a posterior on named, aligned parameters.

All functions broadcast and work elementwise. What is undefined is NaN, never infinite and never a warning, so
that a comparison with a threshold is False for it.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emjax.errors import ConfigError, DataError

FloatArray = NDArray[np.float64]

ROUNDING = 1e-12
"""A spread at most this share of the numbers it belongs to is rounding, and counts as 0."""


def difference_in_sd(em: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> FloatArray:
    r"""Signed difference :math:`(\hat\theta_{\mathrm{EM}} - \mathrm{mean}) / \mathrm{sd}`, in posterior sds.

    Args:
        em: EM's estimates.
        mean: posterior means.
        sd: posterior standard deviations.

    Returns:
        The broadcast shape. Where `sd` is 0 (to rounding: a parameter that cannot move, such as the only
        weight of one component): 0 if the estimate equals the mean to rounding, else NaN. NaN for non-finite
        input or `sd` < 0.
    """
    estimate, centre, spread = _broadcast(em, mean, sd)
    size = np.maximum(np.abs(estimate), np.abs(centre))
    finite = np.isfinite(estimate) & np.isfinite(centre) & np.isfinite(spread) & (spread >= 0)
    gap = np.subtract(estimate, centre, out=np.full(estimate.shape, np.nan), where=finite)
    fixed = finite & (spread <= ROUNDING * size)
    result = np.divide(gap, spread, out=np.full(estimate.shape, np.nan), where=finite & ~fixed)
    return np.where(fixed & (np.abs(gap) <= ROUNDING * size), 0.0, result)


def width_ratio(em_lower: ArrayLike, em_upper: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> FloatArray:
    """Width of EM's interval over the width of the posterior's; below 1 where EM is the surer of the two.

    Args:
        em_lower: lower ends of EM's intervals.
        em_upper: upper ends of EM's intervals.
        lower: lower ends of the posterior's intervals, of the same level.
        upper: upper ends of the posterior's intervals.

    Returns:
        The broadcast shape. Where the posterior's width is 0 (to rounding): 1 if EM's is 0 too, else NaN. NaN
        for non-finite ends and for ends in the wrong order.
    """
    ends = _broadcast(em_lower, em_upper, lower, upper)
    valid = np.isfinite(ends).all(axis=0) & (ends[1] >= ends[0]) & (ends[3] >= ends[2])
    ends = np.where(valid, ends, 0.0)
    em_width, width = ends[1] - ends[0], ends[3] - ends[2]
    zero = ROUNDING * np.abs(ends).max(axis=0)
    result = np.divide(em_width, width, out=np.full(width.shape, np.nan), where=valid & (width > zero))
    return np.where(valid & (width <= zero) & (em_width <= zero), 1.0, result)


def mass_inside(draws: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> FloatArray:
    """Share of the posterior draws that lie in an interval, ends included: the posterior mass of EM's
    interval.

    For a 90 % interval of an EM that is as good as the posterior this is near 0.9.

    Args:
        draws: (n_draws, ...).
        lower: lower ends, of the remaining shape or one number.
        upper: upper ends, likewise.

    Returns:
        The remaining shape, between 0 and 1; NaN where an end or any draw is NaN. Infinite ends are allowed.

    Raises:
        DataError: no draws.
    """
    values = _as_draws(draws, "mass_inside")
    low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    share = ((values >= low) & (values <= high)).mean(axis=0)
    undefined = np.isnan(values).any(axis=0) | np.isnan(low) | np.isnan(high)
    return np.where(undefined, np.nan, share)


def equal_tailed(draws: ArrayLike, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
    """Equal-tailed interval: the quantiles (1 - level)/2 and (1 + level)/2, linear between order statistics.

    (Hyndman & Fan 1996, definition 7.)

    Args:
        draws: (n_draws, ...).
        level: between 0 and 1, exclusive.

    Returns:
        Lower and upper ends, of the remaining shape; NaN where any draw is NaN.

    Raises:
        ConfigError: `level` outside (0, 1).
        DataError: no draws.
    """
    if not 0.0 < level < 1.0:
        raise ConfigError(f"equal_tailed: level {level!r} must lie between 0 and 1, such as 0.9")
    values = _as_draws(draws, "equal_tailed")
    lower, upper = np.quantile(values, [0.5 * (1.0 - level), 0.5 * (1.0 + level)], axis=0)
    return np.asarray(lower), np.asarray(upper)


def _broadcast(*values: ArrayLike) -> FloatArray:
    """Stack of the broadcast arguments, one leading row each."""
    return np.stack(np.broadcast_arrays(*(np.asarray(value, np.float64) for value in values)))


def _as_draws(draws: ArrayLike, place: str) -> FloatArray:
    values = np.asarray(draws, np.float64)
    if values.ndim == 0 or values.shape[0] == 0:
        raise DataError(f"metrics.{place}: no draws; give an array (n_draws, ...)")
    return values
