"""A posterior's draws on the space that its density is a function of, with the density: what evidence is made of."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from emjax.bayes.handoff import LANES, modes_near
from emjax.bayes.modes import MOST_PARAMETERS, LaplaceMixture
from emjax.bayes.numbering import MOST_ENUMERATED
from emjax.bayes.posterior import Posterior, thinning
from emjax.bayes.problem import Problem, prepare
from emjax.bayes.target import Evaluator, Target
from emjax.errors import ConfigError
from emjax.families.frame import Frame
from emjax.mixture import MixtureParams

_MOST_DRAWS = 4000
_FEWEST_DRAWS = 400
_ENTRIES = 1 << 28
"""At most so many log densities of a datum in a component are evaluated for each set of points, some seconds' worth."""

_SMALLEST_WEIGHT = 1e-300


@dataclasses.dataclass(frozen=True)
class Chains:
    """Draws of a posterior in the unconstrained space and the standard frame.

    Attributes
    ----------
    problem, evaluate
        The posterior and its density, up to `constant`.
    modes
        The Laplace mixture over the modes near EM's optima.
    points
        ``(n_chains, n_draws, p)``, thinned where the data are many; in one order of the components where all orders can
        be looked at.
    values
        The density's logarithm there, ``(n_chains, n_draws)``.
    constant
        What has to be added to the logarithm of the density's integral for ``log p(x)`` in the data's units.
    """

    problem: Problem
    evaluate: Evaluator
    modes: LaplaceMixture
    points: np.ndarray
    values: np.ndarray
    constant: float

    @property
    def target(self) -> Target:
        """The density."""
        return self.evaluate.target

    @property
    def log_copies(self) -> float:
        """``log K!`` where the components are alike, else zero."""
        return math.lgamma(self.target.n_alike + 1)

    @property
    def halves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points of the first halves of all chains ``(m, p)``; points and values of the second ones, chain by chain."""
        middle = self.points.shape[1] // 2
        first = self.points[:, :middle].reshape(-1, self.points.shape[2])
        return first, self.points[:, middle:], self.values[:, middle:]


def chains_of(posterior: Posterior) -> Chains:
    """The draws of a posterior with their densities.

    Raises
    ------
    ConfigError
        If a law of the prior does not integrate, the parameters are too many for their covariance to be estimated, or
        there are fewer than eight draws in a chain.
    """
    problem = prepare(posterior.mixture, posterior.map_fit.samples)
    target, data = problem.precise_target(posterior.map_fit.params, LANES, np.float64)
    if target.n_parameters > MOST_PARAMETERS:
        raise ConfigError(
            f"the mixture has {target.n_parameters} parameters, and the evidence needs the covariance of its draws: "
            f"that is for {MOST_PARAMETERS} at most"
        )
    n_chains, n_draws = posterior.diagnostics.n_chains, posterior.diagnostics.n_draws
    if n_draws < 8:
        raise ConfigError(f"chains of {n_draws} draws are too short: the evidence needs 8 of each at least")
    evaluate = Evaluator(target, data, LANES)
    entries = data.blocks.weights.size * problem.mixture.n_components
    most = int(np.clip(_ENTRIES // entries, _FEWEST_DRAWS, _MOST_DRAWS))
    kept = thinning(n_draws, max(8, most // n_chains))
    params = jax.tree.map(lambda leaf: leaf.reshape(n_chains, n_draws, *leaf.shape[1:])[:, kept], posterior.params)
    flat = _flattened(target, problem, params)
    modes = modes_near(problem, evaluate, posterior.map_fit).numbered_alike()
    if 1 < target.n_alike <= MOST_ENUMERATED:
        flat = modes.relabelled(flat)
    values, _ = evaluate(flat)
    lost = float(problem.samples.summary.observed @ np.log(problem.frame.scale))
    return Chains(
        problem=problem,
        evaluate=evaluate,
        modes=modes,
        points=flat.reshape(n_chains, len(kept), -1),
        values=values.reshape(n_chains, len(kept)),
        constant=float(data.base_measure) - lost,
    )


def _flattened(target: Target, problem: Problem, params: MixtureParams) -> np.ndarray:
    """Parameters ``(chain, draw, ...)`` in data units as points ``(chain * draw, p)``."""
    # A weight of zero has no place among the log-ratios.
    params = params.replace(weights=np.maximum(params.weights, _SMALLEST_WEIGHT))
    merged = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, *np.shape(leaf)[2:]), params)
    return np.asarray(_flat(target, merged, problem.frame))


@partial(jax.jit, static_argnums=0)
def _flat(target: Target, params: MixtureParams, frame: Frame) -> jax.Array:
    def one(params: MixtureParams) -> jax.Array:
        return target.flat(target.likelihood.to_frame(jax.tree.map(jnp.asarray, params), frame))

    return jax.vmap(one)(params)


def effective_draws(values: np.ndarray) -> float:
    """How many independent draws the mean of ``(chain, draw)`` values is worth, by ArviZ; at most their number."""
    from arviz_stats.base import array_stats

    if values.shape[1] < 4 or np.ptp(values) == 0:
        return float(values.size)
    found = float(array_stats.ess(values, method="mean"))
    return min(found, float(values.size)) if np.isfinite(found) else 1.0
