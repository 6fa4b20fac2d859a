r"""The evidence by bridge sampling between a posterior's draws and a proposal that knows all copies of it.

With the density :math:`p^* = Z p` known up to :math:`Z` and a proposal :math:`q` that can be evaluated,

.. math::

    Z = \frac{E_q[\alpha p^*]}{E_p[\alpha q]}, \qquad
    \alpha = \frac{1}{s_1 p + s_2 q}, \quad s_1 = \frac{N_1}{N_1 + N_2}, \quad s_2 = 1 - s_1

for any function :math:`\alpha` (Meng and Wong, "Simulating ratios of normalizing constants via a simple identity",
Statistica Sinica 6, 1996), that of the second formula has the least error for independent draws, and contains the
:math:`Z` that is looked for: a fixed point. :math:`N_1` counts effective draws of the posterior, :math:`N_2` those of
the proposal.

A mixture's posterior has :math:`K!` copies, and so has the proposal: it is the sum over all orders of the components
(Frühwirth-Schnatter, "Estimating marginal likelihoods for mixture and Markov switching models using bridge sampling
techniques", Econometrics Journal 7, 2004). Both densities are then the same in every order, so that it does not matter
in which one a draw is. The proposal is learned from the first halves of the chains, and the second halves are what the
bridge is built on (Gronau et al., "A tutorial on bridge sampling", Journal of Mathematical Psychology 81, 2017):

- normals around the modes, with centres, covariances and weights estimated from the draws;
- where the family has conjugate draws, half of the points from conjugate posteriors of labellings drawn at the draws
  (`emjax.bayes.jumps`), which is the proposal of Frühwirth-Schnatter with all permutations, its density a permanent
  (`emjax.bayes.adaptive`).

The error of the logarithm follows from the two relative variances, that of the posterior's draws by their effective
sample size (Frühwirth-Schnatter 2004, equation 22; Gronau et al. 2017, appendix).
"""

from __future__ import annotations

import math

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import expit

from emjax.bayes.adaptive import labelled_points, log_density
from emjax.bayes.jumps import LabellingJumps, labelling_jumps
from emjax.bayes.numbering import MOST_ENUMERATED
from emjax.selection.chains_of import Chains, effective_draws

_LABELLINGS, _FEW_LABELLINGS = 300, 100
_MOST_PERMANENTS = 8
"""Up to so many components the densities of labellings are summed over all orders, in ``2^K K`` products each."""

_STEPS = 1000
_AT_REST = 1e-10


def bridge_sampling(chains: Chains, rng: np.random.Generator, n_points: int) -> tuple[float, float]:
    """The logarithm of the density's integral over all copies, and its standard error; NaN where there is no proposal.

    ``n_points`` are drawn from the proposal.
    """
    first, second, values = chains.halves
    proposal = _Proposal(chains, first, rng)
    if not proposal.known:
        return math.nan, math.nan
    drawn = proposal.draw(rng, n_points)
    at_proposals = chains.evaluate(drawn)[0]
    at_proposals = np.where(np.isfinite(at_proposals), at_proposals, -np.inf) - proposal.log_density(drawn)
    at_draws = values - proposal.log_density(second.reshape(-1, second.shape[2])).reshape(values.shape)
    return bridged(at_draws, at_proposals, chains.log_copies)


def bridged(
    at_draws: Float[np.ndarray, "c n"], at_proposals: Float[np.ndarray, " m"], log_copies: float = 0.0
) -> tuple[float, float]:
    """The fixed point and its standard error.

    Parameters
    ----------
    at_draws, at_proposals
        ``log p* - log q`` at draws of the posterior ``(chain, draw)`` and of the proposal; minus infinity where the
        posterior has no density.
    log_copies
        What is added: ``log K!`` where both are densities of one copy of a posterior out of so many.
    """
    middle = float(np.median(at_draws))
    n_effective = effective_draws(np.clip(at_draws, middle - 50.0, middle + 50.0))
    log_odds = math.log(n_effective) - math.log(at_proposals.size)
    share = float(expit(log_odds))
    log_z = middle
    for _ in range(_STEPS):
        # alpha p* over both: with t = log(s1 p / s2 q), p / (s1 p + s2 q) = expit(t) / s1, q / (...) = expit(-t) / s2.
        upper = expit(at_proposals - log_z + log_odds).mean() / share
        lower = expit(-(at_draws - log_z + log_odds)).mean() / (1.0 - share)
        if not (upper > 0 and lower > 0):
            return math.nan, math.nan
        step = math.log(upper) - math.log(lower)
        log_z += step
        if abs(step) < _AT_REST:
            break
    of_proposals = expit(at_proposals - log_z + log_odds)
    of_draws = expit(-(at_draws - log_z + log_odds))
    relative = of_proposals.var(ddof=1) / of_proposals.mean() ** 2 / of_proposals.size
    relative += of_draws.var(ddof=1) / of_draws.mean() ** 2 / effective_draws(of_draws)
    return log_z + log_copies, math.sqrt(relative)


class _Proposal:
    """Normals, and where they can be had conjugate posteriors of labellings, learned from draws."""

    def __init__(self, chains: Chains, points: Float[np.ndarray, "m p"], rng: np.random.Generator) -> None:
        self.evaluate, self.key = chains.evaluate, jax.random.key(int(rng.integers(2**31)))
        target, data = self.evaluate.target, self.evaluate.data
        self.normals = chains.modes.refined(points) if target.n_alike <= MOST_ENUMERATED else None
        repeated = chains.problem.z.repeated
        self.labellings: LabellingJumps | None = None
        if chains.problem.refuses_gibbs or repeated is None or not data.blocks.natural:
            return
        if target.n_alike <= _MOST_PERMANENTS:
            most = _LABELLINGS if target.n_alike <= MOST_ENUMERATED else _FEW_LABELLINGS
            self.labellings = labelling_jumps(target, data, repeated, rng.permutation(points), self.key, most)

    @property
    def known(self) -> bool:
        """Whether there is a proposal that is summed over all orders."""
        return self.normals is not None or self.labellings is not None

    def draw(self, rng: np.random.Generator, n_points: int) -> np.ndarray:
        """Points ``(n, p)``, half of them of each part where there are both."""
        if self.labellings is None:
            assert self.normals is not None
            return self.normals.sample(rng, n_points)[0]
        n_labelled = n_points if self.normals is None else n_points // 2
        parts = [labelled_points(self.evaluate, self.labellings, jax.random.fold_in(self.key, 1), n_labelled)]
        if self.normals is not None:
            parts.append(self.normals.sample(rng, n_points - n_labelled)[0])
        return np.concatenate(parts)

    def log_density(self, points: Float[np.ndarray, "n p"]) -> Float[np.ndarray, " n"]:
        """Its log density, of one copy out of ``K!``."""
        parts = [] if self.normals is None else [self.normals.log_prob(points)]
        if self.labellings is not None:
            parts.append(log_density(self.evaluate.target, self.evaluate.data, self.labellings, points))
        return np.asarray(np.logaddexp.reduce(parts, axis=0) - math.log(len(parts)))
