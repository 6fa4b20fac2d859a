"""Starts for EM, as a batch: k-means++, random points, given means, given parameters, given responsibilities.

Everything here works in the standard frame.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.em.step import from_responsibilities
from emjax.families.frame import Frame
from emjax.mixture import Mixture, MixtureParams, Prior

_SUBSAMPLE = 10_000
"""Starts are made from at most this many rows: more do not make a start better."""

_LLOYD_STEPS = 3
"""k-means iterations after the seeding: enough to lose a bad seed, few enough to keep the starts different."""


def pooled(mixture: Mixture, z: Float[Array, "n d"]) -> MixtureParams:
    """Equal weights, and every component at the estimate of all the data."""
    k = mixture.n_components
    components = mixture.family.pooled(z, jnp.ones(z.shape[0], z.dtype), k)
    return MixtureParams(weights=jnp.full(k, 1.0 / k, z.dtype), components=components)


def random_points(mixture: Mixture, keys: Array, z: Float[Array, "n d"]) -> MixtureParams:
    """The textbook start: different means drawn from the data, equal weights, and the data's own covariance.

    Equal means, which counts and rounded data would often give, are a saddle that EM never leaves.
    """
    base = pooled(mixture, z)

    def one(key: Array) -> MixtureParams:
        means = _seed(key, z, mixture.n_components, uniform=True)
        return dataclasses.replace(base, components=mixture.family.at_means(base.components, means))

    return jax.vmap(one)(keys)


def kmeans_plus_plus(mixture: Mixture, keys: Array, z: Float[Array, "n d"], prior: Prior) -> MixtureParams:
    """k-means++ seeds, a few k-means iterations, then the M-step of the hard assignment.

    The M-step takes the default prior, so that a cluster of a few points starts with a usable covariance; the
    iterations that follow do not. (Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", 2007.)
    """
    k, reference = mixture.n_components, pooled(mixture, z)

    def one(key: Array) -> MixtureParams:
        centres = _seed(key, z, k)
        centres = jax.lax.fori_loop(0, _LLOYD_STEPS, lambda _, c: _lloyd(z, c), centres)
        assigned = jax.nn.one_hot(jnp.argmin(_squared_distances(z, centres), axis=1), k, axis=0, dtype=z.dtype)
        # A seed that lost all its points keeps a share of every point, so that no start has an empty component.
        assigned = 0.999 * assigned + 0.001 / k
        return from_responsibilities(mixture, reference, z, assigned, prior)

    return jax.vmap(one)(keys)


def _seed(key: Array, z: Float[Array, "n d"], n_components: int, *, uniform: bool = False) -> Float[Array, "K d"]:
    """Rows of ``z``, each drawn by its squared distance to those before, or evenly among those that differ."""

    def draw(nearest: Float[Array, " n"], key: Array) -> tuple[Float[Array, " n"], Float[Array, " d"]]:
        chance = (nearest > 0).astype(z.dtype) if uniform else nearest
        # Where every point is a centre already, all distances are zero and any point will do.
        chance = jnp.where(jnp.sum(nearest) > 0, chance, jnp.ones_like(nearest))
        centre = z[jax.random.categorical(key, jnp.log(chance))]
        return jnp.minimum(nearest, jnp.sum((z - centre[None, :]) ** 2, axis=1)), centre

    first_key, rest_key = jax.random.split(key)
    first = z[jax.random.randint(first_key, (), 0, z.shape[0])]
    nearest = jnp.sum((z - first[None, :]) ** 2, axis=1)
    _, others = jax.lax.scan(draw, nearest, jax.random.split(rest_key, n_components - 1))
    return jnp.concatenate([first[None, :], others])


def _lloyd(z: Float[Array, "n d"], centres: Float[Array, "K d"]) -> Float[Array, "K d"]:
    k = centres.shape[0]
    assigned = jax.nn.one_hot(jnp.argmin(_squared_distances(z, centres), axis=1), k, axis=0, dtype=z.dtype)
    counts = jnp.sum(assigned, axis=1)[:, None]
    return jnp.where(counts > 0, assigned @ z / jnp.maximum(counts, 1.0), centres)


def _squared_distances(z: Float[Array, "n d"], centres: Float[Array, "K d"]) -> Float[Array, "n K"]:
    return jnp.sum(centres**2, axis=1)[None, :] - 2.0 * z @ centres.T


def drawn_starts(mixture: Mixture, z: np.ndarray, *, key: Array, n_init: int, starts: str) -> MixtureParams:
    """``n_init`` starts, stacked: of one kind, or (``"mixed"``) k-means++ and random points in equal parts."""
    n_kmeans = {"kmeans++": n_init, "random": 0, "mixed": -(-n_init // 2)}[starts]
    return _drawn(mixture, key, z, _start_prior(mixture, z), n_kmeans, n_init - n_kmeans)


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _drawn(
    mixture: Mixture, key: Array, z: Float[Array, "n d"], prior: Prior, n_kmeans: int, n_random: int
) -> MixtureParams:
    sub_key, start_key = jax.random.split(key)
    if len(z) > _SUBSAMPLE:
        z = z[jax.random.choice(sub_key, len(z), (_SUBSAMPLE,), replace=False)]
    keys = jax.random.split(start_key, n_kmeans + n_random)
    batches = []
    if n_kmeans:
        batches.append(kmeans_plus_plus(mixture, keys[:n_kmeans], z, prior))
    if n_random:
        batches.append(random_points(mixture, keys[n_kmeans:], z))
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *batches)


def _start_prior(mixture: Mixture, z: np.ndarray) -> Prior:
    components = mixture.family.default_prior(z, mixture.n_components)
    return Prior(
        concentration=np.ones(mixture.n_components, z.dtype),
        components=jax.tree.map(lambda leaf: np.asarray(leaf, z.dtype), components),
    )


def given_start(mixture: Mixture, z: np.ndarray, init: Any, frame: Frame, prior: Prior | None) -> MixtureParams:
    """One start, stacked, from parameters, a fit, means ``(K, d)`` or responsibilities ``(n, K)``.

    Raises
    ------
    ValueError
        If ``init`` is none of these, with the shapes that would have done.
    """
    params = getattr(init, "params", init)
    if isinstance(params, MixtureParams):
        lane = jax.tree.map(lambda leaf: np.asarray(leaf, float), params)
        _check_components(mixture, z, lane)
        lane = mixture.to_frame(lane, frame)
    else:
        lane = _from_array(mixture, z, np.asarray(init, dtype=float), frame, prior)
    return jax.tree.map(lambda leaf: np.asarray(leaf, z.dtype)[None], lane)


def _check_components(mixture: Mixture, z: np.ndarray, lane: MixtureParams) -> None:
    expected = jax.eval_shape(functools.partial(pooled, mixture), z)
    same = jax.tree.structure(lane) == jax.tree.structure(expected)  # type: ignore[operator]
    if not same or jax.tree.map(np.shape, lane) != jax.tree.map(np.shape, expected):
        raise ValueError(
            f"init holds parameters of another mixture: expected {mixture.n_components} {mixture.family.name} "
            f"components of {z.shape[1]} features"
        )


def _from_array(mixture: Mixture, z: np.ndarray, init: np.ndarray, frame: Frame, prior: Prior | None) -> MixtureParams:
    k, (n_samples, n_features) = mixture.n_components, z.shape
    if init.ndim == 1 and n_features == 1:
        init = init[:, None]
    if not np.isfinite(init).all():
        raise ValueError("init holds NaN or infinity")
    if init.shape == (k, n_features):
        return _at_means(mixture, z, frame.apply(init).astype(z.dtype))
    if init.shape == (n_samples, k):
        if (init < 0).any() or not np.allclose(init.sum(axis=1), 1.0, atol=1e-6):
            raise ValueError("init responsibilities must be non-negative and add up to 1 in every row")
        return _at_responsibilities(mixture, z, init.T.astype(z.dtype), prior)
    raise ValueError(
        f"init of shape {init.shape} is neither means {(k, n_features)} nor responsibilities {(n_samples, k)}; "
        "parameters come from mixture.params(...)"
    )


@functools.partial(jax.jit, static_argnums=0)
def _at_means(mixture: Mixture, z: Float[Array, "n d"], means: Float[Array, "K d"]) -> MixtureParams:
    base = pooled(mixture, z)
    return dataclasses.replace(base, components=mixture.family.at_means(base.components, means))


@functools.partial(jax.jit, static_argnums=0)
def _at_responsibilities(
    mixture: Mixture, z: Float[Array, "n d"], responsibilities: Float[Array, "K n"], prior: Prior | None
) -> MixtureParams:
    return from_responsibilities(mixture, pooled(mixture, z), z, responsibilities, prior)
