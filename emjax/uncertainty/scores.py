r"""What single data say of the parameters: the middle of the sandwich.

With the scores :math:`s_i = \nabla \log p(x_i)` of rows that count :math:`w_i` times, in EM's unconstrained space,

.. math:: M = \sum_i w_i \, (s_i - \bar s)(s_i - \bar s)', \qquad \bar s = \sum_i w_i s_i \big/ \sum_i w_i ,

estimates the covariance of the gradient whatever the data come from, and :math:`I^{-1} M I^{-1}` that of the estimate.
Where the model is right, :math:`M` and :math:`I` agree. The mean is zero at a maximum of the likelihood, and not at one
of a posterior. References: Huber, Proceedings of the Fifth Berkeley Symposium 1, 1967; White, Econometrica 50, 1982.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from emjax.em.blocks import Blocks
from emjax.families.observations import Observations
from emjax.mixture import Mixture, MixtureParams


@functools.partial(jax.jit, static_argnums=0)
def spread_of_scores(mixture: Mixture, params: MixtureParams, data: Blocks) -> Float[Array, "p p"]:
    """:math:`M` at parameters, all in the standard frame; scores exist for one block of rows at a time."""
    coordinates = mixture.coordinates(mixture.family.n_features(params))
    flat = coordinates.flat(params)

    def scores(rows: Observations) -> Float[Array, "n p"]:
        log_densities = lambda at: mixture.log_prob(coordinates.params(at), rows)  # noqa: E731
        # Column by column, so that no more than a few copies of a block's densities are held.
        one = lambda direction: jax.jvp(log_densities, (flat,), (direction,))[1]  # noqa: E731
        return jax.lax.map(one, jnp.eye(flat.size, dtype=flat.dtype)).T

    def add(total: tuple[Array, Array], block: tuple[Observations, Array]) -> tuple[Any, None]:
        rows, weights = block
        # A row of weight zero may have no score that is a number.
        found = jnp.where(weights[:, None] > 0, scores(rows), 0.0)
        weighed = found * weights[:, None]
        return (total[0] + weighed.T @ found, total[1] + jnp.sum(weighed, axis=0)), None

    begin = jnp.zeros((flat.size, flat.size), flat.dtype), jnp.zeros_like(flat)
    (squares, sums), _ = jax.lax.scan(add, begin, (data.rows, data.weights))
    return squares - jnp.outer(sums, sums) / data.total_weight
