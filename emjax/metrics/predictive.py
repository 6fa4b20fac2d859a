r"""Distance between two predictive distributions, and how well one predicts: no labels involved.

Total variation is :math:`\mathrm{TV}(p, q) = \tfrac12 \int |p - q|`, the largest difference in the
probability that the two give to any event: 0 when they are equal, 1 when they share no support.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emjax.errors import DataError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A Monte-Carlo mean.

    Attributes:
        value: the mean.
        standard_error: its standard error, the sd over the square root of the number of values; NaN for one
            value.
    """

    value: float
    standard_error: float


def total_variation(log_p: ArrayLike, log_q: ArrayLike) -> Estimate:
    r"""Total variation of two densities in any dimension, by Monte Carlo over their equal mixture.

    With points drawn from :math:`m = (p + q)/2`, :math:`\mathrm{TV}(p, q) = \mathrm{E}_m\,|p - q|/(p + q)`;
    the integrand lies in [0, 1], so that no weight can dominate. It is computed as :math:`|\tanh((\log p -
    \log q)/2)|`, which cannot overflow.

    Args:
        log_p: (n_points,) natural-log density of `p` at points of which half were drawn from `p`, half from
            `q`.
        log_q: (n_points,) natural-log density of `q` at the same points; -inf outside a support is allowed.

    Returns:
        The `Estimate`. Its standard error takes the points as independent; for exactly half from each density
        it is slightly too large, never too small. Noise in a log density that is itself a mean over draws
        adds to a small total variation, not to the standard error.

    Raises:
        DataError: shapes that differ, no points, NaN or +inf, or a point where both densities are 0.
    """
    first, second = _log_pair(log_p, log_q, "total_variation")
    if np.any(np.isneginf(first) & np.isneginf(second)):
        raise DataError("metrics.total_variation: a point has density 0 under both; draw the points from the two")
    return _mean_and_error(np.abs(np.tanh(0.5 * (first - second))))


def total_variation_counts(log_p: ArrayLike, log_q: ArrayLike, tolerance: float = 1e-6) -> float:
    r"""Total variation :math:`\tfrac12 \sum_x |p(x) - q(x)|` of two distributions on one discrete grid.

    Exact where the grid holds the whole support, otherwise exact to the mass left out, at most `tolerance`.

    Args:
        log_p: natural-log probabilities on the grid, any shape (a grid in several dimensions is summed
            whole).
        log_q: natural-log probabilities on the same grid; -inf is allowed.
        tolerance: how far each total may be from 1.

    Returns:
        A number between 0 and 1.

    Raises:
        DataError: shapes that differ, an empty grid, NaN or +inf, or a total that differs from 1 by more than
            `tolerance`.
    """
    first, second = (np.exp(values) for values in _log_pair(log_p, log_q, "total_variation_counts"))
    for name, total in (("p", first.sum()), ("q", second.sum())):
        if abs(total - 1.0) > tolerance:
            raise DataError(
                f"metrics.total_variation_counts: {name} sums to {total:.8g} on the grid; widen the grid to the support"
            )
    return float(min(1.0, 0.5 * np.abs(first - second).sum()))


def total_variation_grid(log_p: ArrayLike, log_q: ArrayLike, spacing: float, tolerance: float = 1e-2) -> float:
    """Total variation of two densities in one dimension, by the trapezoid rule on an even grid.

    The error is of order `spacing` squared, plus the mass outside the grid.

    Args:
        log_p: (n_points,) natural-log density of `p` on the grid.
        log_q: (n_points,) natural-log density of `q` on the same grid; -inf is allowed.
        spacing: distance between neighbouring points, in the units of the data.
        tolerance: how far each density's integral over the grid may be from 1.

    Returns:
        A number between 0 and 1.

    Raises:
        DataError: shapes that differ, fewer than 2 points, a spacing that is not positive, NaN or +inf, or an
            integral that differs from 1 by more than `tolerance`: the grid is too coarse or too short.
    """
    first, second = (np.exp(values) for values in _log_pair(log_p, log_q, "total_variation_grid"))
    if first.ndim != 1 or first.size < 2 or not (np.isfinite(spacing) and spacing > 0):
        raise DataError(
            f"metrics.total_variation_grid: needs 2 or more points in one dimension and a positive spacing; "
            f"got shape {first.shape} and spacing {spacing!r}"
        )
    for name, density in (("p", first), ("q", second)):
        total = np.trapezoid(density, dx=spacing)
        if abs(total - 1.0) > tolerance:
            raise DataError(
                f"metrics.total_variation_grid: {name} integrates to {total:.6g}; use a wider or a finer grid"
            )
    return float(min(1.0, 0.5 * np.trapezoid(np.abs(first - second), dx=spacing)))


def log_mean_exp(values: ArrayLike, axis: int = 0) -> FloatArray:
    """``log(mean(exp(values)))`` along an axis: the log of the posterior predictive from log densities of
    draws.

    Args:
        values: (n_draws, ...) natural-log densities; -inf counts as density 0.
        axis: the axis of the draws.

    Returns:
        `values` without that axis, -inf where every draw is -inf, NaN where any draw is NaN.

    Raises:
        DataError: no draws.
    """
    logs = np.asarray(values, np.float64)
    if logs.ndim == 0 or logs.shape[axis] == 0:
        raise DataError("metrics.log_mean_exp: no draws; give an array (n_draws, ...)")
    peak = logs.max(axis=axis, keepdims=True)
    # An infinite peak must not be subtracted: inf - inf is NaN.
    shift = np.where(np.isfinite(peak), peak, 0.0)
    mean = np.exp(logs - shift).mean(axis=axis)
    with np.errstate(divide="ignore"):  # log(0) = -inf is the answer where every draw is -inf
        return np.asarray(np.log(mean) + np.squeeze(shift, axis=axis))


def log_score(log_density: ArrayLike) -> Estimate:
    """Mean log predictive density per datum with its standard error; higher is better.

    The logarithmic score (Good 1952, *J. R. Stat. Soc. B* 14, 107-114).

    Args:
        log_density: (n_samples,) natural-log predictive density of each datum, in nats.

    Returns:
        The `Estimate`; -inf with standard error NaN if any datum has density 0, NaN if any is NaN.

    Raises:
        DataError: no data, or not one number per datum.
    """
    values = np.asarray(log_density, np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DataError(f"metrics.log_score: log densities {values.shape} must be one number per datum")
    if not np.isfinite(values).all():
        return Estimate(float(values.sum()), float("nan"))
    return _mean_and_error(values)


def _log_pair(log_p: ArrayLike, log_q: ArrayLike, place: str) -> tuple[FloatArray, FloatArray]:
    first, second = np.asarray(log_p, np.float64), np.asarray(log_q, np.float64)
    if first.shape != second.shape or first.size == 0:
        raise DataError(f"metrics.{place}: log_p {first.shape} and log_q {second.shape} must have one, non-empty shape")
    for name, values in (("log_p", first), ("log_q", second)):
        if np.any(np.isnan(values) | np.isposinf(values)):
            raise DataError(f"metrics.{place}: {name} holds NaN or +inf; look at the status of the estimate")
    return first, second


def _mean_and_error(values: FloatArray) -> Estimate:
    if values.size < 2:
        return Estimate(float(values.mean()), float("nan"))
    error = cast(float, values.std(ddof=1)) / np.sqrt(values.size)
    return Estimate(float(values.mean()), float(error))
