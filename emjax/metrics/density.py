r"""Distances between a density that can be drawn from and one that can only be evaluated.

A truth :math:`p` is sampled; an estimate :math:`q`, such as a posterior predictive, is known by its log density alone.
Total variation is :math:`\mathrm{TV} = \tfrac12 \int |p - q|`, the Hellinger distance :math:`H` is the root of
:math:`\tfrac12 \int (\sqrt p - \sqrt q)^2`; both lie between 0 and 1, and :math:`H^2 \le \mathrm{TV} \le \sqrt 2 H`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emjax.errors import DataError
from emjax.metrics.predictive import Estimate

FloatArray = NDArray[np.float64]


def distances_on_line(log_p: ArrayLike, log_q: ArrayLike, nodes: ArrayLike) -> tuple[float, float]:
    r"""Total variation and Hellinger distance in one dimension, by the trapezoid rule on any nodes.

    Args:
        log_p: (n_nodes,) natural-log density; -inf is allowed.
        log_q: (n_nodes,), likewise.
        nodes: (n_nodes,) ascending, fine where either density is; equal neighbours are allowed.

    Returns:
        Both distances; NaN where a density is NaN.

    Raises:
        DataError: shapes that differ, fewer than two nodes, or nodes that do not ascend.
    """
    first, second, places = (np.asarray(values, np.float64) for values in (log_p, log_q, nodes))
    if first.ndim != 1 or first.shape != second.shape or first.shape != places.shape or first.size < 2:
        raise DataError(
            f"metrics.distances_on_line: log_p {first.shape}, log_q {second.shape} and nodes {places.shape} must be "
            "one number for each of two or more nodes"
        )
    if not (np.diff(places) >= 0).all():
        raise DataError("metrics.distances_on_line: the nodes must ascend; sort them")
    p, q = np.exp(first), np.exp(second)
    # The integral of (p - q)+ needs no node where q alone is, such as a spike of its own.
    total_variation = np.trapezoid(np.maximum(p - q, 0.0), places)
    squared = 0.5 * np.trapezoid((np.exp(0.5 * first) - np.exp(0.5 * second)) ** 2, places)
    return float(np.minimum(total_variation, 1.0)), float(np.sqrt(np.minimum(squared, 1.0)))


def distances_on_counts(log_p: ArrayLike, log_q: ArrayLike) -> tuple[float, float]:
    r"""Total variation and Hellinger distance of two discrete distributions, by sums over the support of the first.

    :math:`\sum (p - q)_+` and the root of :math:`1 - \sum \sqrt{p q}`: what `q` does where `p` is 0 need not be known.

    Args:
        log_p: (n_points,) natural-log probabilities on a grid that holds all but a rounding error of `p`.
        log_q: (n_points,) on the same grid; -inf is allowed.

    Returns:
        Both distances; NaN where a probability is NaN.

    Raises:
        DataError: shapes that differ, or no points.
    """
    first, second = _pair(log_p, log_q, "distances_on_counts")
    p, q = np.exp(first), np.exp(second)
    squared = 1.0 - np.exp(0.5 * (first + second)).sum()
    return float(np.maximum(p - q, 0.0).sum()), float(np.sqrt(np.clip(squared, 0.0, 1.0)))


def distances_from_draws(log_p: ArrayLike, log_q: ArrayLike, log_proposal: ArrayLike) -> tuple[Estimate, Estimate]:
    r"""Total variation and Hellinger distance by draws from a third density :math:`m` that covers both.

    :math:`\mathrm{TV} = \mathrm{E}_m (p - q)_+ / m` and :math:`H^2 = 1 - \mathrm{E}_m \sqrt{p q} / m`, with
    :math:`p/m` and :math:`q/m`, whose means are known to be 1, as control variates (Owen 2013, *Monte Carlo theory,
    methods and examples*, section 8.9). Both are exact for equal densities. A narrow part of `q` that no draw meets
    still counts in the total variation, as mass that is missing elsewhere; the Hellinger distance then is too small.

    With half of the draws from `p` and half from something wider, 4,096 draws were met to be exact to 2% of any
    distance, two normals in two and five dimensions.

    Args:
        log_p: (n_draws,) natural-log density of `p` at draws from `m`; -inf is allowed.
        log_q: (n_draws,), likewise.
        log_proposal: (n_draws,) natural-log density of `m`.

    Returns:
        Both distances with their standard errors, that of the second by the delta method; NaN where a log density is.

    Raises:
        DataError: shapes that differ, fewer than four draws, or a draw where `m` is not finite.
    """
    first, second = _pair(log_p, log_q, "distances_from_draws")
    proposal = np.asarray(log_proposal, np.float64)
    if proposal.shape != first.shape or not np.isfinite(proposal).all() or first.size < 4:
        raise DataError(
            "metrics.distances_from_draws: log_proposal must be one finite number for each of 4 draws or more"
        )
    if np.isnan(first).any() or np.isnan(second).any():
        return Estimate(float("nan"), float("nan")), Estimate(float("nan"), float("nan"))
    ratios = np.exp(np.stack([first - proposal, second - proposal], axis=1))
    variation = _controlled(np.maximum(ratios[:, 0] - ratios[:, 1], 0.0), ratios)
    affinity = _controlled(np.exp(0.5 * (first + second) - proposal), ratios)
    hellinger = float(np.sqrt(np.clip(1.0 - affinity.value, 0.0, 1.0)))
    error = affinity.standard_error / (2.0 * hellinger) if hellinger > 0.0 else np.sqrt(affinity.standard_error)
    total_variation = float(np.clip(variation.value, 0.0, 1.0))
    return Estimate(total_variation, variation.standard_error), Estimate(hellinger, float(error))


def _controlled(values: FloatArray, ratios: FloatArray) -> Estimate:
    """The mean of values, less what their regression on ``ratios`` explains by the known means of these, 1."""
    centred = ratios - ratios.mean(axis=0)
    slopes = np.linalg.lstsq(centred, values - values.mean(), rcond=1e-10)[0]
    return _mean(values - (ratios - 1.0) @ slopes)


def _pair(log_p: ArrayLike, log_q: ArrayLike, place: str) -> tuple[FloatArray, FloatArray]:
    first, second = np.asarray(log_p, np.float64), np.asarray(log_q, np.float64)
    if first.ndim != 1 or first.shape != second.shape or first.size == 0:
        raise DataError(f"metrics.{place}: log_p {first.shape} and log_q {second.shape} must be one number per point")
    return first, second


def _mean(values: FloatArray) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size)))
