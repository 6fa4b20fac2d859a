r"""The evidence by THAMES, the truncated harmonic mean estimator, for mixtures: the draws alone, and their densities.

With :math:`A` the ellipsoid of radius :math:`\sqrt{p + 1}` around the mean of :math:`p`-dimensional draws, by their
covariance, and :math:`H` the points whose density :math:`p^*` is above a level,

.. math::

    \frac1Z = E \left[ \frac{1}{K!} \sum_\sigma \frac{1_{A \cap H}(P_\sigma u)}{p^*(u) \, |A \cap H|} \right]

over draws :math:`u` of the posterior in whatever order their components stand. In :math:`H` the summand is bounded, so
that the error is finite, unlike that of the harmonic mean. Mean, covariance and level (the median of the draws'
densities) are those of the first halves of the chains, and the average is over the second ones. The volume of
:math:`A` is known, and the share of it that lies in :math:`H` is found by uniform points of :math:`A`.

References: Metodiev, Irons, Perrot-Dockès, Latouche and Raftery, "Easily computed marginal likelihoods for multivariate
mixture models using the THAMES estimator", arXiv:2504.21812, 2025, whose sum over orders this is, in full where they
leave out orders that no draw has; Metodiev, Perrot-Dockès, Ouadah, Irons, Latouche and Raftery, "Easily computed
marginal likelihoods from posterior simulation using the THAMES estimator", Bayesian Analysis, 2024 (the radius).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

from emjax.bayes.numbering import MOST_ENUMERATED
from emjax.bayes.target import Target
from emjax.selection.chains_of import Chains, effective_draws

_FEWEST_INSIDE = 20
"""With fewer draws, or uniform points, in the region there is no estimate."""


def thames(chains: Chains, rng: np.random.Generator, n_points: int) -> tuple[float, float]:
    """The logarithm of the density's integral over all copies, and its standard error; NaN where too few draws count.

    ``n_points`` are drawn uniformly from the ellipsoid.
    """
    target = chains.target
    if target.n_alike > MOST_ENUMERATED:
        return math.nan, math.nan
    first, second, values = chains.halves
    n_parameters = first.shape[1]
    center = first.mean(axis=0)
    covariance = np.atleast_2d(np.cov(first.T))
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return math.nan, math.nan
    radius = math.sqrt(n_parameters + 1.0)
    level = float(np.median(chains.values[:, : chains.points.shape[1] // 2]))
    uniform = center + radius * _in_ball(rng, n_points, n_parameters) @ root.T
    above = chains.evaluate(uniform)[0] > level
    inside = _orders_inside(target, second.reshape(-1, n_parameters), center, root, radius).reshape(values.shape)
    counted = np.where(values > level, inside, 0)
    if min(int(above.sum()), int((counted > 0).sum())) < _FEWEST_INSIDE:
        return math.nan, math.nan
    terms = counted * np.exp(level - values)
    share = above.mean()
    log_volume = n_parameters * math.log(radius) + 0.5 * n_parameters * math.log(math.pi) + np.log(np.diag(root)).sum()
    log_volume -= gammaln(0.5 * n_parameters + 1.0)
    log_integral = chains.log_copies + log_volume + math.log(share) + level - math.log(terms.mean())
    relative = terms.var(ddof=1) / terms.mean() ** 2 / effective_draws(terms)
    return float(log_integral), math.sqrt(relative + (1.0 - share) / (share * n_points))


def _in_ball(rng: np.random.Generator, n_points: int, n_dimensions: int) -> Float[np.ndarray, "n p"]:
    """Uniform points of the unit ball."""
    directions = rng.standard_normal((n_points, n_dimensions))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * rng.uniform(size=(n_points, 1)) ** (1.0 / n_dimensions)


def _orders_inside(
    target: Target, points: Float[np.ndarray, "n p"], center: np.ndarray, root: np.ndarray, radius: float
) -> np.ndarray:
    """In how many orders of its components each point lies in the ellipsoid, ``(n,)``."""
    inverse = np.linalg.inv(root)
    counts = np.zeros(len(points), int)
    for order in itertools.permutations(range(target.n_alike)):
        moved = points if target.n_alike == 1 else target.permute(points, np.array(order))
        counts += (((moved - center) @ inverse.T) ** 2).sum(axis=1) <= radius**2
    return counts
