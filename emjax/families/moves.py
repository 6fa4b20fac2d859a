r"""Moves of the components given the labels: an exact draw where all laws are conjugate, else a step of Gibbs sampling.

For normals, a prior of the means that does not know of the covariances, `emjax.families.laws.Normal`, is conjugate only
given these. With :math:`\mu_k \sim N(m, S)`, :math:`S` diagonal, and the conjugate law of the dispersion,

.. math::

    \mu_k \mid \Sigma_k, z, x \sim N\big(P_k^{-1} (\Sigma_k^{-1} s_k + S^{-1} m), P_k^{-1}\big), \quad
    P_k = N_k \Sigma_k^{-1} + S^{-1}, \qquad \Sigma_k \mid \mu_k, z, x \sim \text{conjugate},

with :math:`N_k` data in the component and :math:`s_k` their sum: the "independence prior" of Richardson and Green,
Journal of the Royal Statistical Society B 59, 1997, and of Frühwirth-Schnatter, "Finite Mixture and Markov Switching
Models", 2006, section 6.2. A component without data is drawn from its prior, whatever it was before.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from emjax.families import laws as all_laws
from emjax.families.base import Family, Laws
from emjax.families.linalg import cholesky, inverse_lower, product
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
    step = _mean_step(structure, mean_key, statistics, counts, params, laws["mean"])
    held = jnp.maximum(statistics.masses(counts), jnp.finfo(counts.dtype).tiny)
    shift = statistics.first / held[:, None]
    # sum r (c - s)(c - s)' = sum r c c' - N m m' + N (s - m)(s - m)' with the mean m of c.
    scatter = statistics.second - structure.scatter(held[:, None], shift[:, None, :])
    scatter = scatter + structure.scatter(counts[:, None], (step - shift)[:, None, :])
    law: Any = laws[structure.site]
    after = law.updated(structure.degrees(counts, step.shape[1]), scatter)
    dispersion, _ = structure.draw(dispersion_key, after)
    return {"mean": params.mean + step, structure.site: dispersion}


def _independent(family: Family, laws: Laws) -> bool:
    """Whether means are normal whatever the covariances, which are conjugate given the means."""
    if not isinstance(family, Normal):
        return False
    structure = family.structure
    return isinstance(laws.get("mean"), all_laws.Normal) and isinstance(laws.get(structure.site), structure.law)


def _mean_step(
    structure: Any,
    key: Array,
    statistics: NormalStatistics,
    counts: Float[Array, " K"],
    params: MixtureParams,
    law: Any,
) -> Float[Array, "K d"]:
    """A draw of the means given the dispersions, less the means that the statistics are taken at."""
    k, d = params.mean.shape
    center, scale = jnp.broadcast_to(law.mean, (k, d)), jnp.broadcast_to(law.scale, (k, d))
    noise = jax.random.normal(key, (k, d), params.mean.dtype)
    away = (center - params.mean) / scale**2
    if not structure.has_correlation:
        variance = jnp.square(params.scale)
        precision = counts[:, None] / variance + scale**-2
        return (statistics.first / variance + away) / precision + noise / jnp.sqrt(precision)
    inverse = inverse_lower(cholesky(params.covariance))
    own = product(jnp.swapaxes(inverse, -1, -2), inverse)
    prior = scale[:, :, None] ** -2 * jnp.eye(d, dtype=own.dtype)[None]
    root = inverse_lower(cholesky(counts[:, None, None] * own + prior))
    # With P = L L', the mean is L^-T L^-1 b and the noise L^-T e.
    whitened = product(root, product(own, statistics.first[:, :, None]) + away[:, :, None])
    return product(jnp.swapaxes(root, -1, -2), whitened + noise[:, :, None])[:, :, 0]
