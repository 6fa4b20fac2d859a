r"""How good the Laplace mixture is, by Pareto-smoothed importance sampling; and draws from the posterior by it.

With :math:`S` points from the mixture :math:`q` and weights :math:`w_s = p(u_s, x) / q(u_s)`, the shape :math:`\hat k`
of the generalized Pareto distribution that fits the largest weights says whether averages over them may be believed:
up to :math:`\min(1 - 1 / \log_{10} S, 0.7)` they may, above they may not (Vehtari, Simpson, Gelman, Yao and Gabry,
Journal of Machine Learning Research 25, 2024). The smoothed weights give the masses of the modes; their mean is the
evidence :math:`p(x)`.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from emjax.bayes.empty import Ridge
from emjax.bayes.modes import LaplaceMixture
from emjax.bayes.run import Run
from emjax.bayes.target import Evaluator

GOOD_PARETO_K = 0.7
"""Above this shape averages over importance weights converge too slowly, however many points there are."""


def good_pareto_k(n_points: int) -> float:
    """The largest shape at which averages over so many weighted points may be believed, ``min(1 - 1/log10 S, 0.7)``.

    With fewer than 2,154 points less than 0.7: 0.616 for 400.
    """
    return min(1.0 - 1.0 / math.log10(n_points), GOOD_PARETO_K) if n_points > 1 else -math.inf


@dataclasses.dataclass(frozen=True)
class ImportanceSample:
    """Weighted points from a Laplace mixture.

    Attributes
    ----------
    mixture
        What they were drawn from.
    points, which
        The points ``(S, p)`` and the part of the posterior that each belongs to, ``(S,)``: a mode, or after all modes a
        ridge.
    values
        The target's log density at them, ``(S,)``.
    weights
        Pareto-smoothed importance weights, adding up to one.
    pareto_k
        The shape of the weights' tail.
    log_evidence
        Logarithm of the mean weight, over all copies of the posterior: the target's normalizing constant.
    ridges
        Where components are empty, if that is a part of the posterior: with one of them, with two, and so on.
    labelled
        Whether half of the points are from conjugate posteriors of labellings (`emjax.bayes.adaptive`), as where the
        modes' normals alone do not have the posterior's shape.
    """

    mixture: LaplaceMixture
    points: np.ndarray
    which: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    pareto_k: float
    log_evidence: float
    ridges: tuple[Ridge, ...] = ()
    labelled: bool = False

    @property
    def effective_sample_size(self) -> float:
        """``1 / sum w^2``: how many unweighted draws the points are worth."""
        return float(1.0 / np.sum(self.weights**2))

    @property
    def masses(self) -> np.ndarray:
        """The mass of each mode and then of each ridge, corrected by the weights."""
        return np.bincount(self.which, self.weights, minlength=len(self.mixture.modes) + len(self.ridges))

    @property
    def laplace_masses(self) -> np.ndarray:
        """The same by the Laplace approximations alone."""
        log_masses = np.array([part.log_mass for part in (*self.mixture.modes, *(r.mode for r in self.ridges))])
        masses = np.exp(log_masses - log_masses.max())
        return masses / masses.sum()

    @property
    def good_pareto_k(self) -> float:
        """The limit of ``pareto_k`` for so many points, see `good_pareto_k`."""
        return good_pareto_k(len(self.values))

    @property
    def good(self) -> bool:
        """Whether averages over the weights may be believed."""
        return self.pareto_k <= self.good_pareto_k


def importance_sample(
    evaluate: Evaluator, mixture: LaplaceMixture, rng: np.random.Generator, n_points: int
) -> ImportanceSample:
    """Points from the mixture with their Pareto-smoothed weights."""
    points, which = mixture.sample(rng, n_points)
    values, _ = evaluate(points)
    log_weights = np.where(np.isfinite(values), values, -np.inf) - mixture.log_prob(points)
    smoothed, shape = smoothed_weights(log_weights)
    log_copies = math.lgamma(mixture.target.n_alike + 1)
    log_mean = np.logaddexp.reduce(log_weights) - math.log(n_points)
    return ImportanceSample(mixture, points, which, values, smoothed, shape, float(log_mean + log_copies))


def smoothed_weights(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Normalized weights after Pareto smoothing, and the shape of their tail; infinity where it cannot be estimated."""
    from arviz_stats.base import array_stats

    finite = np.isfinite(log_weights)
    if not finite.any():
        return np.full(len(log_weights), 1.0 / len(log_weights)), math.inf
    shifted = log_weights - log_weights[finite].max()
    # A weight of zero is as good as one this small, and the fit of the tail needs numbers.
    shifted = np.maximum(np.where(finite, shifted, -np.inf), -700.0)
    if np.ptp(shifted) < 1e-12:
        return np.full(len(shifted), 1.0 / len(shifted)), -math.inf  # the mixture is the posterior itself
    # ArviZ takes minus log weights: it was made for pointwise log-likelihoods, whose weights are their inverses.
    with np.errstate(over="ignore"):  # the quantiles of a tail as heavy as that
        smoothed, shape = array_stats.psislw(-shifted)
    if not np.isfinite(smoothed).all():
        smoothed, shape = shifted, math.inf
    weights = np.exp(smoothed - smoothed.max())
    shape = float(shape)
    return weights / weights.sum(), math.inf if math.isnan(shape) else shape


def resample(sample: ImportanceSample, rng: np.random.Generator, chains: int, draws: int) -> Run:
    """Draws from the posterior by systematic resampling of the weighted points, in random order, cut in chains."""
    n_draws = chains * draws
    places = (np.arange(n_draws) + rng.uniform()) / n_draws
    chosen = np.minimum(np.searchsorted(np.cumsum(sample.weights), places), len(sample.weights) - 1)
    chosen = rng.permutation(chosen)
    shape = (chains, draws)
    return Run(
        flat=sample.points[chosen].reshape(*shape, -1),
        sample_stats={"lp": sample.values[chosen].reshape(shape)},
    )
