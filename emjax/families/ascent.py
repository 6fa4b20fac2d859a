r"""EM for a density and nothing else: the expected log density's gradient and Hessian as its statistics.

.. math::

    g_k = \sum_n r_{nk} \nabla \log p(x_n \mid \theta_k), \qquad
    H_k = \sum_n r_{nk} \nabla^2 \log p(x_n \mid \theta_k)

in free coordinates, at the present parameters. They add up over data like any other statistics, and the M-step is one
Newton step of :math:`g + \nabla \log p(\theta)` and :math:`H + \nabla^2 \log p(\theta)`, with eigenvalues made
positive: close to the limit it is as fast as EM (Lange, Journal of the Royal Statistical Society B 57, 1995). It may
overshoot far from the limit; the loop then shortens it (`emjax.em.state`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from emjax.families.coordinates import Coordinates
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams, Values

_FLOOR = 1e-9
"""The least curvature, as a share of the largest."""

_LARGEST = 0.7
"""No coordinate that is not the number itself moves by more in one step: a factor of two on a log scale."""


_STEP = 1e-5
"""The step of differences in free coordinates."""


class Derivatives(NamedTuple):
    """Gradient and Hessian of the expected log density, with one row for each component, or one of all together."""

    gradient: Any
    hessian: Any


def derivatives(
    family: Any, params: MixtureParams, rows: Observations, responsibilities: Float[Array, "K n"]
) -> Derivatives:
    """The statistics of an E-step at ``params``."""
    return slopes(family, params, lambda moved: jnp.sum(responsibilities * family.log_kernel(moved, rows)))


def slopes(family: Any, params: MixtureParams, expected: Callable[[MixtureParams], Float[Array, ""]]) -> Derivatives:
    """The same where the expected log density is a function of parameters, such as of moments that are given."""
    coordinates = coordinates_of(family, params)
    flat = coordinates.flat(params)

    def of_flat(flat: Float[Array, "b q"]) -> Float[Array, ""]:
        return expected(coordinates.params(flat))

    hessian = _hessian(of_flat, flat) if family.smooth else _differences(of_flat, flat)
    return Derivatives(jax.grad(of_flat)(flat), hessian)


def ascend(family: Any, statistics: Derivatives, params: MixtureParams, laws: Mapping[str, Any]) -> Values:
    """One Newton step from the statistics, plus the laws' log density."""
    coordinates = coordinates_of(family, params)
    flat = coordinates.flat(params)

    def log_prior(flat: Float[Array, "b q"]) -> Float[Array, ""]:
        moved = coordinates.params(flat)
        terms = (jnp.sum(law.log_prob(family.at_site(site, moved), moved)) for site, law in laws.items())
        return sum(terms, jnp.zeros((), flat.dtype))

    gradient = statistics.gradient + jax.grad(log_prior)(flat)
    hessian = statistics.hessian + _hessian(log_prior, flat)
    values, vectors = jnp.linalg.eigh(-hessian)
    lengths = jnp.abs(values)
    lengths = jnp.maximum(lengths, _FLOOR * jnp.max(lengths, axis=1, keepdims=True))
    along = jnp.einsum("bji,bj->bi", vectors, gradient) / jnp.where(lengths > 0, lengths, 1.0)
    step = jnp.einsum("bij,bj->bi", vectors, along)
    # Places have the data's units, and a step as long as it is; what is free on a log scale has none.
    longest = jnp.max(jnp.abs(step) * coordinates.curved[None, :], axis=1, keepdims=True)
    moved = coordinates.params(flat + step * jnp.minimum(1.0, _LARGEST / jnp.maximum(longest, _LARGEST)))
    return {name: moved[name] for name in family.parameters}


def coordinates_of(family: Any, params: Any) -> Coordinates:
    """Those of components alone, without weights."""
    own = (len(params[name]) for name, parameter in family.declared if not parameter.shared)
    return Coordinates(family, next(own, 1), family.n_features(params), weights=None)


def _hessian(function: Callable[[Array], Array], flat: Float[Array, "b q"]) -> Float[Array, "b q q"]:
    """The Hessian of each row: rows do not touch each other, so that ``q`` forward derivatives give all of them."""

    def column(direction: Array) -> Array:
        return jax.jvp(jax.grad(function), (flat,), (jnp.broadcast_to(direction[None, :], flat.shape),))[1]

    return jnp.moveaxis(jax.vmap(column)(jnp.eye(flat.shape[1], dtype=flat.dtype)), 0, -1)


def _differences(function: Callable[[Array], Array], flat: Float[Array, "b q"]) -> Float[Array, "b q q"]:
    """The same by central differences of the gradient."""

    def column(direction: Array) -> Array:
        step = _STEP * direction[None, :]
        return (jax.grad(function)(flat + step) - jax.grad(function)(flat - step)) / (2.0 * _STEP)

    columns = jnp.moveaxis(jax.vmap(column)(jnp.eye(flat.shape[1], dtype=flat.dtype)), 0, -1)
    return 0.5 * (columns + jnp.swapaxes(columns, -1, -2))
