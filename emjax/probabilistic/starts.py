"""Where EM starts for a program that says nothing but its density: what data, and labels of them, speak for."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.ascent import ascend, coordinates_of, derivatives
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams, Values
from emjax.probabilistic.prior import Outside

_ROWS = 2_000
"""Starts are climbed to with at most so many data, and weights with covariates are averaged over as many."""

_TRIPS = 15
"""Newton steps from labels to the parameters that they speak for."""


def some_rows(x: np.ndarray) -> np.ndarray:
    """Some of the rows, evenly, where they are many."""
    return x if len(x) <= _ROWS else x[np.linspace(0, len(x) - 1, _ROWS).astype(int)]


def near_the_middle(family: Any, seed: int) -> Values:
    """A point near the middle of the unconstrained space, the same for all components."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, parameter in family.parameters.items():
        shape = parameter.shape(family.n_components, family.lengths(family.n_columns))
        given = rng.uniform(-0.5, 0.5, parameter.domain.free_shape(shape))
        if not parameter.shared:
            given[:] = given[:1]
        found[name] = np.asarray(parameter.domain.from_free(given))
    return found


def pooled(family: Any, x: np.ndarray) -> Values:
    """Every component where all data ``x (n, d)`` together say, from several points of the unconstrained space."""
    if not family.parameters:
        return {}
    k = family.n_components
    shares = np.full((k, len(x)), 1.0 / k)
    ends = [_climbed(family, near_the_middle(family, seed), x, shares) for seed in range(3)]
    values, heights = zip(
        *[({name: np.asarray(v) for name, v in one.items()}, float(at)) for one, at in ends], strict=True
    )
    return values[int(np.nanargmax(np.where(np.isfinite(heights), heights, -np.inf)))]


def spoken_for(family: Any, params: Any, x: np.ndarray, labels: np.ndarray) -> Values:
    """The parameters for which labels ``(m,)`` of rows ``x (m, d)`` speak, by Newton steps from ``params``."""
    if not family.parameters:
        return {}
    x, labels, k = some_rows(x), some_rows(labels), family.n_components
    # A tenth of the others' share, so that no component is without data.
    shares = 0.9 * (np.arange(k)[:, None] == labels[None]) + 0.1 / k
    begin = {name: np.asarray(params[name], float) for name in family.parameters}
    values, _ = _climbed(family, begin, np.asarray(x, float), shares)
    return {name: np.asarray(value) for name, value in values.items()}


@functools.partial(jax.jit, static_argnums=0)
def _climbed(family: Any, values: Values, x: Array, shares: Float[Array, "K n"]) -> tuple[Values, Array]:
    """The parameters after Newton steps on the log density of data with such shares, plus the prior, and its height.

    A step that falls is tried again half as long.
    """
    rows, laws = Observations(y=x.T), {name: Outside() for name in list(family.parameters)[:1]}
    coordinates = coordinates_of(family, MixtureParams(family, values))

    def height(params: MixtureParams) -> Array:
        kernel = family.log_kernel(params, rows)
        return jnp.sum(jnp.where(shares > 0, shares * kernel, 0.0)) + family.log_prior(params)

    def trip(_: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        flat, at, length = state
        params = coordinates.params(flat)
        target = ascend(family, derivatives(family, params, rows, shares), params, laws)
        moved = flat + length * (coordinates.flat(target) - flat)
        there = height(coordinates.params(moved))
        better = there >= at
        # From where the density is zero or no number anything is better.
        better = better | (~jnp.isfinite(at) & jnp.isfinite(there))
        return (
            jnp.where(better, moved, flat),
            jnp.where(better, there, at),
            jnp.where(better, jnp.minimum(2.0 * length, 1.0), 0.5 * length),
        )

    flat = coordinates.flat(values)
    begin = flat, height(coordinates.params(flat)), jnp.ones((), flat.dtype)
    flat, at, _ = jax.lax.fori_loop(0, _TRIPS, trip, begin)
    found = coordinates.params(flat)
    return {name: found[name] for name in family.parameters}, at
