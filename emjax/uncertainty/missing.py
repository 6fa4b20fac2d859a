r"""How much of what is to be known of a number is missing, as nobody knows the labels.

With the observed information :math:`I` and, from the scores :math:`s_{nk} = \nabla \log p(x_n, z_n = k)` of rows that
count :math:`w_n` times, what the labels would tell beyond it,

.. math:: M = \sum_n w_n \sum_k r_{nk} (s_{nk} - \bar s_n)(s_{nk} - \bar s_n)', \qquad \bar s_n = \sum_k r_{nk} s_{nk},

:math:`I + M` is the information of complete data. For a number with gradient j the **share that is there** is

.. math:: 1 - \gamma = \frac{j' (I + M)^{-1} j}{j' I^{-1} j} \in (0, 1],

and this share of the component's rows, were their labels known, would tell as much of it. References: Louis, Journal of
the Royal Statistical Society B 44, 1982, for M; Barnard and Rubin, Biometrika 86, 1999, whose degrees of freedom are
those of complete data times this share.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from emjax.em.blocks import Blocks
from emjax.families.frame import Frame
from emjax.families.observations import Observations
from emjax.mixture import Mixture, MixtureParams
from emjax.uncertainty.quantities import Reading


@functools.partial(jax.jit, static_argnums=(0, 1))
def share_there(
    mixture: Mixture,
    reading: Reading,
    params: MixtureParams,
    data: Blocks,
    frame: Frame,
    information: Float[Array, "p p"],
) -> Float[Array, " m"]:
    """:math:`1 - \\gamma` of every number, at parameters in the standard frame; NaN of one that cannot move."""
    coordinates = mixture.coordinates(mixture.family.n_features(params))
    flat = coordinates.flat(params)

    def numbers(flat: Float[Array, " p"]) -> Float[Array, " m"]:
        return reading.scaled(mixture, mixture.from_frame(coordinates.params(flat), frame))

    # Of unit diagonal, so that no unit makes the matrices hard to solve.
    scale = 1.0 / jnp.sqrt(jnp.diagonal(information))
    there = information * scale[:, None] * scale[None, :]
    hidden = told_by_labels(mixture, params, data) * scale[:, None] * scale[None, :]
    slopes = jax.jacfwd(numbers)(flat) * scale[None, :]
    complete, observed = (
        jnp.sum(slopes * jnp.linalg.solve(all_, slopes.T).T, axis=1) for all_ in (there + hidden, there)
    )
    return complete / observed


def told_by_labels(mixture: Mixture, params: MixtureParams, data: Blocks) -> Float[Array, "p p"]:
    """:math:`M`, block by block; scores exist for one block of rows at a time."""
    coordinates = mixture.coordinates(mixture.family.n_features(params))
    flat = coordinates.flat(params)

    def block(rows: Observations, weights: Float[Array, " n"]) -> Float[Array, "p p"]:
        joint = lambda at: mixture.log_joint(coordinates.params(at), rows)  # noqa: E731
        responsibilities = jax.nn.softmax(joint(flat), axis=0)[None]
        shares = responsibilities * weights[None, None, :]
        one = lambda direction: jax.jvp(joint, (flat,), (direction,))[1]  # noqa: E731
        # What a row or a label counts nothing for may have no score that is a number.
        scores = jnp.where(shares > 0, jax.lax.map(one, jnp.eye(flat.size, dtype=flat.dtype)), 0.0)
        apart = (scores - jnp.sum(responsibilities * scores, axis=1, keepdims=True)) * jnp.sqrt(shares)
        apart = apart.reshape(flat.size, -1)
        return apart @ apart.T

    def add(total: Array, one: tuple[Observations, Array]) -> tuple[Array, Any]:
        return total + block(*one), None

    return jax.lax.scan(add, jnp.zeros((flat.size, flat.size), flat.dtype), (data.rows, data.weights))[0]
