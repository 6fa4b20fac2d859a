r"""Random numbers of the conjugate families: gammas, and the inverse Wishart by Bartlett's decomposition.

What is drawn here is drawn inside the Gibbs sampler's loop, where the generator's own code decides how long the program
compiles: every call of ``jax.random`` costs 0.05 to 0.1 s, and the nested loops of ``jax.random.loggamma`` 0.5 s.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.linalg import cholesky, inverse_lower, product

_PROPOSALS = 6

_N_DRAWN = 4096
"""Draws from which moments are taken."""


def log_gamma(key: Array, shape: Float[Array, "*s"]) -> Float[Array, "*s"]:
    r"""Logs of independent draws from ``Gamma(shape, 1)``: a draw of a small shape would underflow, its log does not.

    With :math:`d = a - 1/3` and a standard normal :math:`z`, :math:`d v` with :math:`v = (1 + z / \sqrt{9 d})^3` is
    accepted with a probability of at least 0.95 for every shape :math:`a \ge 1`; a smaller shape takes
    :math:`\log \Gamma_a = \log \Gamma_{a+1} + \log(U) / a`. Six proposals are made at once, without a loop. At the
    shape where most are refused, all six are in less than :math:`1.5 \cdot 10^{-8}` of the draws, which then take the
    centre :math:`v = 1`: by so much, at most, the distribution is off.

    References
    ----------
    Marsaglia and Tsang, A simple method for generating gamma variables, ACM Transactions on Mathematical Software 26,
    2000.
    """
    uniform = jax.random.uniform(
        key, (2 * _PROPOSALS + 1, *shape.shape), shape.dtype, minval=jnp.finfo(shape.dtype).tiny
    )
    small = shape < 1.0
    d = jnp.where(small, shape + 1.0, shape) - 1.0 / 3.0
    log_boost = jnp.where(small, jnp.log(uniform[-1]) / shape, 0.0)
    # Held apart: fused into the choice below, XLA computes each of these functions once for every place it is read at.
    z = jax.lax.optimization_barrier(math.sqrt(2.0) * jax.lax.erf_inv(2.0 * uniform[:_PROPOSALS] - 1.0))
    shift = z * (1.0 / jnp.sqrt(9.0 * d))[None]
    # log1p and expm1, because d times the rounding of 1 - v + log(v) would refuse at random where d is large.
    log_v = jax.lax.optimization_barrier(3.0 * jnp.log1p(jnp.where(shift > -1.0, shift, 0.0)))
    bound = 0.5 * z * z + d[None] * (log_v - jnp.expm1(log_v))
    accepted = jax.lax.optimization_barrier((shift > -1.0) & (uniform[_PROPOSALS:-1] < jnp.exp(bound)))
    chosen = jnp.zeros_like(shape)
    for proposal in reversed(range(_PROPOSALS)):
        chosen = jnp.where(accepted[proposal], log_v[proposal], chosen)
    return jnp.log(d) + chosen + log_boost


def inverse_wishart_root(
    key: Array, degrees_of_freedom: Float[Array, "*batch"], scatter: Float[Array, "*batch d d"]
) -> Float[Array, "*batch d d"]:
    r"""A square root :math:`B` of a draw :math:`B B' \sim \mathrm{IW}(\nu, \Psi)`; it is not triangular.

    With :math:`\Psi = L L'` and the lower triangular :math:`A` of Bartlett (standard normals below the diagonal, roots
    of :math:`\chi^2_{\nu - i}`, :math:`i = 0, \dots, d - 1`, on it), :math:`A A' \sim W(\nu, I)` and
    :math:`B = L A^{-\prime}`.

    References
    ----------
    Smith and Hocking, Algorithm AS 53: Wishart variate generator, Applied Statistics 21, 1972.
    """
    size, batch = scatter.shape[-1], degrees_of_freedom.ndim
    gamma_key, normal_key = jax.random.split(key)
    index = jnp.arange(size, dtype=scatter.dtype)[(None,) * batch]
    chi_square = 2.0 * jnp.exp(log_gamma(gamma_key, 0.5 * (degrees_of_freedom[..., None] - index)))
    factor = jnp.sqrt(chi_square)[..., None] * jnp.eye(size, dtype=scatter.dtype)[(None,) * batch]
    if size > 1:  # one feature has nothing below the diagonal, and a generator less is compiled sooner
        factor = factor + jnp.tril(jax.random.normal(normal_key, scatter.shape, scatter.dtype), -1)
    return product(cholesky(scatter), jnp.swapaxes(inverse_lower(factor), -1, -2))


def drawn_moments(family: Any, params: Any) -> tuple[np.ndarray, np.ndarray]:
    """Means and covariance matrices by draws from each component; other axes may lead."""
    weights = np.asarray(params["weights"])
    k, leading = weights.shape[-1], weights.shape[:-1]
    flat = jax.tree.map(lambda leaf: np.reshape(leaf, (-1, *np.shape(leaf)[len(leading) :])), params)
    draws = np.asarray(_drawn(family, flat, np.repeat(np.arange(k), _N_DRAWN)), float)
    draws = draws.reshape(*leading, k, _N_DRAWN, draws.shape[-1])
    mean = draws.mean(axis=-2)
    centred = draws - mean[..., None, :]
    return mean, np.swapaxes(centred, -1, -2) @ centred / _N_DRAWN


@functools.partial(jax.jit, static_argnums=0)
def _drawn(family: Any, params: Any, labels: Array) -> Float[Array, "S n d"]:
    return jax.vmap(lambda one: family.sample(one, jax.random.key(0), labels))(params)
