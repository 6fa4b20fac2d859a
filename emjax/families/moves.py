r"""Moves of the components given the labels: an exact draw where all laws are conjugate, else a step of Gibbs sampling.

For normals, a prior of the means that does not know of the covariances, `emjax.families.laws.Normal`, is conjugate only
given these. With :math:`\mu_k \sim N(m, S)`, :math:`S` diagonal, and the conjugate law of the dispersion,

.. math::

    \mu_k \mid \Sigma_k, z, x \sim N\big(P_k^{-1} (\Sigma_k^{-1} s_k + S^{-1} m), P_k^{-1}\big), \quad
    P_k = N_k \Sigma_k^{-1} + S^{-1}, \qquad \Sigma_k \mid \mu_k, z, x \sim \text{conjugate},

with :math:`N_k` data in the component and :math:`s_k` their sum: the "independence prior" of Richardson and Green,
Journal of the Royal Statistical Society B 59, 1997, and of Frühwirth-Schnatter, "Finite Mixture and Markov Switching
Models", 2006, section 6.2. A component without data is drawn from its prior, whatever it was before.

A move that changes labels, too, needs the density of what it proposes. Where all laws are conjugate and parameters are
drawn from :math:`p(\theta_k \mid z, x)`, the ratio :math:`p(x_k, \theta_k) / q(\theta_k)` is the evidence
:math:`p(x_k)` of a component's data, whichever they are. Of the two steps above only the first is left in it,

.. math::

    \frac{p(x_k, \mu_k, \Sigma_k)}{q(\mu_k \mid \Sigma_0) \, p(\Sigma_k \mid \mu_k, x_k)}
    = \frac{p(\mu_k) \, p(x_k \mid \mu_k)}{q(\mu_k \mid \Sigma_0)},

with the covariance integrated out of :math:`p(x_k \mid \mu_k)` in closed form, and :math:`\Sigma_0` that of the
parameters from which the move goes on. A covariance that all components share stays as it is, and given it the means
are drawn exactly, under `emjax.families.laws.NormalGiven` too.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from emjax.families import laws as all_laws
from emjax.families.base import Family, Laws
from emjax.families.linalg import cholesky, diagonal, inverse_lower, product
from emjax.families.normal import Normal
from emjax.families.normal_step import NormalStatistics
from emjax.families.parameters import MixtureParams, Values


def refuses_moves(family: Family, laws: Laws) -> str | None:
    """Why there is no such move: the site whose law does not allow it; else None."""
    return None if _independent(family, laws) else family.refuses_gibbs(laws)


def move_components(
    family: Family, key: Array, statistics: Any, counts: Float[Array, " K"], params: MixtureParams, laws: Laws
) -> Values:
    """Parameters after a move that leaves ``p(parameters | labels, x)`` as it is; arguments as of `draw_components`.

    The statistics are relative to ``params``, from which the move goes on.
    """
    if not _independent(family, laws):
        return family.draw_components(key, statistics, counts, params, laws)
    structure: Any = family.structure  # type: ignore[attr-defined]
    mean_key, dispersion_key = jax.random.split(key)
    step = _mean_step(structure, statistics, counts, params, laws["mean"]).draw(mean_key)
    dispersion, _ = structure.draw(dispersion_key, _dispersion_law(structure, statistics, counts, step, laws))
    return {"mean": params.mean + step, structure.site: dispersion}


def propose_components(
    family: Family,
    key: Array,
    statistics: Any,
    counts: Float[Array, " K"],
    params: MixtureParams,
    laws: Laws,
    given: MixtureParams,
    is_given: Bool[Array, " K"],
) -> tuple[Values, Float[Array, " K"]]:
    """Parameters as of `move_components` or as ``given``, and ``log p(x, parameters) - log q(parameters)`` of each.

    The base measure of the data is left out. What components share stays as it is, and with it given, what depends on
    the data alone is left out too.
    """

    def chosen(drawn: Values) -> Values:
        return {
            name: jnp.where(is_given.reshape(-1, *(1,) * (value.ndim - 1)), given[name], value)
            for name, value in drawn.items()
        }

    if any(parameter.shared for parameter in family.parameters.values()):
        law = _mean_step(family.structure, statistics, counts, params, laws["mean"])  # type: ignore[attr-defined]
        kept = {name: params[name] for name in family.parameters}
        own = kept | chosen({"mean": params.mean + law.draw(key)})
        return own, _log_ratio_of_means(family, law, statistics, counts, params, own["mean"], laws["mean"])
    if not _independent(family, laws):
        drawn = family.draw_components(key, statistics, counts, params, laws)
        return chosen(drawn), _log_evidence(family, statistics, counts, params, laws)
    structure: Any = family.structure  # type: ignore[attr-defined]
    mean_key, dispersion_key = jax.random.split(key)
    law = _mean_step(structure, statistics, counts, params, laws["mean"])
    mean = chosen({"mean": params.mean + law.draw(mean_key)})["mean"]
    after = _dispersion_law(structure, statistics, counts, mean - params.mean, laws)
    dispersion, _ = structure.draw(dispersion_key, after)
    before: Any = laws[structure.site]
    before = before.updated(0.0 * structure.degrees(counts, mean.shape[1]), jnp.zeros_like(dispersion))
    ratio = (before.log_normalizer - after.log_normalizer).reshape(len(counts), -1).sum(axis=1)
    ratio = ratio + laws["mean"].log_prob(mean).sum(axis=1) - law.log_prob(mean - params.mean)
    return {"mean": mean, **chosen({structure.site: dispersion})}, ratio


def _log_ratio_of_means(
    family: Any, step: _MeanStep, statistics: Any, counts: Any, params: MixtureParams, mean: Any, law: Any
) -> Float[Array, " K"]:
    r"""``log p(x, mean) - log q(mean)`` of each component given the dispersion, less what depends on the data alone."""
    structure = family.structure
    total = statistics.first + counts[:, None] * params.mean
    root = structure.root(structure.of(params))
    white = structure.whiten(root, jnp.stack([mean, total - 0.5 * counts[:, None] * mean], axis=1))
    log_prior = law.log_prob(mean, params).reshape(len(counts), -1).sum(axis=1)
    return jnp.sum(white[:, 0] * white[:, 1], axis=1) + log_prior - step.log_prob(mean - params.mean)


def _log_evidence(
    family: Family, statistics: Any, counts: Float[Array, " K"], params: MixtureParams, laws: Laws
) -> Float[Array, " K"]:
    """`Family.log_evidence` of each component."""

    def one(given: Any) -> Array:
        statistics, counts, params = jax.tree.map(lambda leaf: leaf[None], given)
        return family.log_evidence(statistics, counts, params, laws)

    return jax.vmap(one)((statistics, counts, params))


def _independent(family: Family, laws: Laws) -> bool:
    """Whether means are normal whatever the covariances, which are conjugate given the means."""
    if not isinstance(family, Normal):
        return False
    structure = family.structure
    return isinstance(laws.get("mean"), all_laws.Normal) and isinstance(laws.get(structure.site), structure.law)


@dataclasses.dataclass(frozen=True)
class _MeanStep:
    """The normal law of the means given the dispersions, less the means that the statistics are taken at.

    With the precision ``P = L L'`` and ``P`` times the location ``b``, a draw is ``L'^-1 (L^-1 b + e)``; ``factor`` is
    ``L``, ``inverse`` its inverse (of both the diagonal where there are no correlations) and ``whitened`` ``L^-1 b``.
    """

    factor: Any
    inverse: Any
    whitened: Any

    def draw(self, key: Array) -> Float[Array, "K d"]:
        noise = jax.random.normal(key, self.whitened.shape, self.whitened.dtype)
        return _times(self.inverse, self.whitened + noise, transposed=True)

    def log_prob(self, step: Float[Array, "K d"]) -> Float[Array, " K"]:
        noise = _times(self.factor, step, transposed=True) - self.whitened
        log_roots = jnp.log(self.factor if self.factor.ndim == 2 else diagonal(self.factor))
        return jnp.sum(log_roots + all_laws.Normal(0.0, 1.0).log_prob(noise), axis=1)


def _times(roots: Float[Array, "K d *d"], vectors: Float[Array, "K d"], *, transposed: bool = False) -> Array:
    if roots.ndim == 2:
        return roots * vectors
    return product(jnp.swapaxes(roots, -1, -2) if transposed else roots, vectors[:, :, None])[:, :, 0]


def _mean_step(
    structure: Any, statistics: NormalStatistics, counts: Float[Array, " K"], params: MixtureParams, law: Any
) -> _MeanStep:
    k, d = params.mean.shape
    away = jnp.broadcast_to(law.mean, (k, d)) - params.mean
    if not structure.has_correlation:
        own = jnp.square(params.scale) ** -1
        prior = jnp.broadcast_to(law.scale, (k, d)) ** -2
        factor = jnp.sqrt(counts[:, None] * own + prior)
        return _MeanStep(factor, 1.0 / factor, (statistics.first * own + prior * away) / factor)
    inverse = inverse_lower(cholesky(params.covariance))
    own = product(jnp.swapaxes(inverse, -1, -2), inverse)
    if isinstance(law, all_laws.NormalGiven):
        prior = law.precision * own
    else:
        prior = jnp.broadcast_to(law.scale, (k, d))[:, :, None] ** -2 * jnp.eye(d, dtype=own.dtype)[None]
    factor = cholesky(counts[:, None, None] * own + prior)
    root = inverse_lower(factor)
    return _MeanStep(factor, root, _times(root, _times(own, statistics.first) + _times(prior, away)))


def _dispersion_law(
    structure: Any, statistics: NormalStatistics, counts: Float[Array, " K"], step: Float[Array, "K d"], laws: Laws
) -> Any:
    """The law of the dispersions given the means, ``step`` from those that the statistics are taken at."""
    held = jnp.maximum(statistics.masses(counts), jnp.finfo(counts.dtype).tiny)
    shift = statistics.first / held[:, None]
    # sum r (c - s)(c - s)' = sum r c c' - N m m' + N (s - m)(s - m)' with the mean m of c.
    scatter = statistics.second - structure.scatter(held[:, None], shift[:, None, :])
    scatter = scatter + structure.scatter(counts[:, None], (step - shift)[:, None, :])
    law: Any = laws[structure.site]
    return law.updated(structure.degrees(counts, step.shape[1]), scatter)
