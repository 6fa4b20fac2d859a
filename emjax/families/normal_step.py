"""The M-step of the normal family: closed where the laws are conjugate, Newton's method on the moments where not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from emjax.families.coordinates import Coordinates
from emjax.families.laws import Flat, NormalGiven
from emjax.families.newton import newton
from emjax.families.parameters import MixtureParams, Values
from emjax.shown import Shown

Laws = Mapping[str, Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class NormalStatistics(Shown):
    """Sums over the data of ``r c`` and ``r c c'``, with ``c = x - mean`` of the parameters they were taken at.

    ``mass (K,)`` is the sum of ``r`` where that is not the number of data: where data weigh more or less.
    """

    first: Any
    second: Any
    mass: Any = None

    def masses(self, counts: Float[Array, " K"]) -> Float[Array, " K"]:
        """How much the data of each component weigh."""
        return counts if self.mass is None else self.mass


def estimated(
    family: Any,
    statistics: NormalStatistics,
    counts: Float[Array, " K"],
    params: MixtureParams,
    laws: Laws,
) -> Values:
    """The joint mode of conjugate laws, any of them flat."""
    structure, (k, d) = family.structure, params.mean.shape
    law, mean_law = laws.get(structure.site, Flat()), laws["mean"]
    flat_mean = isinstance(mean_law, Flat)
    if isinstance(law, Flat):
        mean, scatter, _ = _with_mean(family, statistics, counts, params, mean_law)
        # The density of a mean whose law is given its covariance counts as a datum more of its component.
        return {"mean": mean, **structure.estimate(scatter, counts if flat_mean else counts + 1.0, params)}
    mean, scatter, _ = _with_mean(family, statistics, counts, params, mean_law)
    after: Any = law.updated(structure.degrees(counts, d), scatter)
    return {"mean": mean, structure.site: after.mode(0 if flat_mean else structure.n_means(k, d))}


def updated(
    family: Any,
    statistics: NormalStatistics,
    counts: Float[Array, " K"],
    params: MixtureParams,
    laws: Laws,
) -> tuple[NormalGiven, Any]:
    """The laws of the means ``(K, d)`` given their covariances, and of the dispersion, given the data."""
    structure = family.structure
    mean, scatter, precision = _with_mean(family, statistics, counts, params, laws["mean"])
    law: Any = laws[structure.site]
    return NormalGiven(mean, precision), law.updated(structure.degrees(counts, mean.shape[1]), scatter)


def _with_mean(
    family: Any, statistics: NormalStatistics, counts: Float[Array, " K"], params: MixtureParams, law: Any
) -> tuple[Float[Array, "K d"], Array, Array]:
    """The means with their prior, the scatter about them and about the prior's, and how many data each is worth."""
    structure, counts = family.structure, statistics.masses(counts)
    shift = statistics.first / jnp.maximum(counts, jnp.finfo(counts.dtype).tiny)[:, None]
    # sum r (c - m)(c - m)' = sum r c c' - N m m': near the optimum the shift m is near zero, so nothing cancels.
    scatter = statistics.second - structure.scatter(counts[:, None], shift[:, None, :])
    mean = params.mean + shift
    if isinstance(law, Flat):
        return mean, scatter, counts
    center = jnp.broadcast_to(law.mean, mean.shape)
    precision = law.precision + counts
    shrink = law.precision * counts / precision
    distance = structure.scatter(shrink[:, None], (mean - center)[:, None, :])
    mean = (law.precision * center + counts[:, None] * mean) / precision[:, None]
    return mean, scatter + distance, precision


def maximized(
    family: Any,
    statistics: NormalStatistics,
    counts: Float[Array, " K"],
    params: MixtureParams,
    laws: Laws,
) -> Values:
    r"""The mode of :math:`\langle \eta, T \rangle + \log p` under any laws, by Newton's method in free coordinates.

    A row for each component, or one of all where they share their covariance.
    """
    k = len(params.mean)
    mass = statistics.masses(counts)
    shift = statistics.first / jnp.maximum(mass, jnp.finfo(mass.dtype).tiny)[:, None]
    moved_mean = {name: params[name] for name in family.parameters} | {"mean": params.mean + shift}
    coordinates = Coordinates(family, k, params.mean.shape[1], weights=None)

    def objective(u: Float[Array, "b q"]) -> Float[Array, " b"]:
        moved = coordinates.params(u)
        value = _expected(family, statistics, counts, params, moved)
        for site, law in laws.items():
            terms = law.log_prob(family.at_site(site, moved), moved)
            whole = family.joint and family.site(site).shared
            terms = jnp.sum(terms) / k if whole else jnp.sum(terms.reshape(k, -1), axis=1) if terms.ndim else terms
            value = value + terms
        return jnp.sum(value)[None] if family.joint else value

    moved = coordinates.params(newton(objective, coordinates.flat(moved_mean)))
    return {name: moved[name] for name in family.parameters}


def _expected(
    family: Any, statistics: NormalStatistics, counts: Float[Array, " K"], at: MixtureParams, params: MixtureParams
) -> Float[Array, " K"]:
    """The expected log density of each component's data, the statistics being those at ``at``."""
    structure, (k, d) = family.structure, params.mean.shape
    root = structure.root(structure.of(params))
    away = params.mean - at.mean
    log_det = structure.log_determinant(root, k, d)
    # tr(S^-1 sum r (x - m)(x - m)') with x - m = c - away.
    squares = structure.trace(root, statistics.second, k)
    both = structure.whiten(root, jnp.stack([statistics.first, away], axis=1))
    cross = jnp.sum(both[:, 1] * (statistics.masses(counts)[:, None] * both[:, 1] - 2.0 * both[:, 0]), axis=-1)
    return -0.5 * (squares + cross) - counts * log_det
