r"""Rotations, and numbers whose product is one: where the axes and the proportions of a covariance lie.

Rotations :math:`D` stand in Cayley's coordinates, the entries below the diagonal of the skew matrix

.. math:: S = (I - D)(I + D)^{-1}, \qquad D = (I - S)(I + S)^{-1},

which are all that is free of them. The uniform law of rotations has the density
:math:`2^{d (d - 1) / 2} \det(I + S)^{-(d - 1)} / \prod_{k=1}^{d-1} |S^k|` there, with the areas of spheres. No
coordinates have the rotations that turn some direction by 180 degrees; the axes of an ellipsoid have no signs, and
`upright` chooses those that stay far from there.

Proportions :math:`a` of product one stand in :math:`H' \log a` with the orthonormal contrasts of Helmert, the isometric
log-ratios of Egozcue et al., Mathematical Geology 35 (2003).

References
----------
Léon, Massé and Rivest, "A statistical model for random rotations", Journal of Multivariate Analysis 97, 2006;
O'Dorney, "Minimizing the Cayley transform of an orthogonal matrix by multiplying by signature matrices", Linear
Algebra and its Applications 448, 2014.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray
from emjax.families.domains import Domain
from emjax.families.linalg import product


class Proportions(Domain):
    """Positive numbers whose product is one, ``(..., d)``; free are ``d - 1`` of them."""

    link: ClassVar[str] = "log"
    demands: ClassVar[str] = "positive and of product one"
    laws: ClassVar[tuple[str, ...]] = ("LogRatios",)
    n_axes: ClassVar[int] = 1

    def to_free(self, value: Any) -> Any:
        return product(jnp.log(value), _contrasts(value.shape[-1]).astype(value.dtype))

    def from_free(self, free: Any) -> Any:
        return jnp.exp(product(free, _contrasts(free.shape[-1] + 1).T.astype(free.dtype)))

    def log_volume(self, value: Any) -> Any:
        return jnp.zeros(value.shape[:-1], value.dtype)  # their measure is that of the log-ratios

    def free_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return *shape[:-1], shape[-1] - 1

    def holds(self, value: np.ndarray) -> bool:
        if not (np.isfinite(value) & (value > 0)).all():
            return False
        return bool((np.abs(np.log(value).sum(axis=-1)) < 1e-8).all())


class Rotations(Domain):
    """Orthogonal matrices of determinant one, ``(..., d, d)``."""

    link: ClassVar[str] = "identity"
    demands: ClassVar[str] = "orthogonal and of determinant one"
    laws: ClassVar[tuple[str, ...]] = ("UniformRotations",)
    n_axes: ClassVar[int] = 2

    def to_free(self, value: Any) -> Any:
        size = value.shape[-1]
        if size == 2:  # minus the tangent of half the angle
            return -(value[..., 1, 0] / (1.0 + value[..., 0, 0]))[..., None]
        rows, columns = np.tril_indices(size, -1)
        return cayley(value)[..., rows, columns]

    def from_free(self, free: Any) -> Any:
        size = (math.isqrt(8 * free.shape[-1] + 1) + 1) // 2
        if size == 1:
            return jnp.ones((*free.shape[:-1], 1, 1), free.dtype)
        if size == 2:
            tangent = free[..., 0]
            length = 1.0 + tangent * tangent
            cosine, sine = (1.0 - tangent * tangent) / length, -2.0 * tangent / length
            pair = [jnp.stack([cosine, -sine], axis=-1), jnp.stack([sine, cosine], axis=-1)]
            return jnp.stack(pair, axis=-2)
        rows, columns = np.tril_indices(size, -1)
        lower = jnp.zeros((*free.shape[:-1], size, size), free.dtype).at[..., rows, columns].set(free)
        return cayley(lower - jnp.swapaxes(lower, -1, -2))

    def log_volume(self, value: Any) -> Any:
        size = value.shape[-1]
        # det(I + S) det(I + D) = 2^d.
        log_det = size * math.log(2.0) - jnp.linalg.slogdet(_eye(value) + value)[1]
        return 0.5 * size * (size - 1) * math.log(2.0) - (size - 1.0) * log_det

    def free_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return *shape[:-2], shape[-1] * (shape[-1] - 1) // 2

    def holds(self, value: np.ndarray) -> bool:
        if not np.isfinite(value).all():
            return False
        off = np.swapaxes(value, -1, -2) @ value - np.eye(value.shape[-1])
        return bool((np.abs(off) < 1e-8).all() and (np.linalg.det(value) > 0).all())


PROPORTIONS = Proportions()
ROTATIONS = Rotations()


def log_volume_of_rotations(n_features: int) -> float:
    """The logarithm of the volume of all rotations, where entries of a small skew matrix are lengths."""
    halves = [0.5 * (k + 1) for k in range(1, n_features)]
    return sum(math.log(2.0) + half * math.log(math.pi) - math.lgamma(half) for half in halves)


@functools.partial(jax.jit, static_argnums=(1, 2))
def draw_rotations(key: jax.Array, shape: tuple[int, ...], n_features: int) -> Any:
    """Uniform rotations: the orthogonal factor of normal matrices, with the signs of the triangular factor's diagonal.

    (Mezzadri, "How to generate random matrices from the classical compact groups", Notices of the AMS 54, 2007.)
    """
    orthogonal, triangular = jnp.linalg.qr(jax.random.normal(key, (*shape, n_features, n_features)))
    diagonal = jnp.diagonal(triangular, axis1=-2, axis2=-1)
    orthogonal = orthogonal * jnp.where(diagonal < 0, -1.0, 1.0)[..., None, :]
    turned = jnp.where(jnp.linalg.det(orthogonal) < 0, -1.0, 1.0)
    return orthogonal.at[..., :, 0].multiply(turned[..., None])


def cayley(matrices: Any) -> Any:
    """``(I - S)(I + S)^-1``: rotations of skew matrices, and skew matrices of rotations."""
    if matrices.shape[-1] == 1:
        return (1.0 - matrices) / (1.0 + matrices)
    eye = _eye(matrices)
    return jnp.linalg.solve(eye + matrices, eye - matrices)  # both commute


def upright(matrices: Float[Array, "*s d d"]) -> Float[Array, "*s d d"]:
    """Orthogonal matrices with the signs of their columns chosen so that they are rotations far from 180 degrees."""
    return matrices * _signs(matrices)[..., None, :]


def continued(matrices: Float[Array, "*s d d"], before: Float[Array, "*s d d"]) -> Float[Array, "*s d d"]:
    """The same with signs chosen so that they are near those ``before``, as far as their coordinates stay small."""
    near = matrices * _signs(product(jnp.swapaxes(before, -1, -2), matrices))[..., None, :]
    far = jnp.max(jnp.abs(ROTATIONS.to_free(near)), axis=-1, initial=0.0) > _LARGEST
    return jnp.where(far[..., None, None], upright(matrices), near)


def _signs(matrices: Float[Array, "*s d d"]) -> Float[Array, "*s d"]:
    """Elimination on ``I + D`` takes for each column the sign that makes its pivot the larger, at least one."""
    rest, signs = matrices, list[Array]()
    for i in range(matrices.shape[-1]):
        sign = jnp.where(rest[..., i, i] < 0, -1.0, 1.0).astype(matrices.dtype)
        signs.append(sign)
        pivot = 1.0 + sign * rest[..., i, i]
        column, row = rest[..., :, i] * (sign / pivot)[..., None], rest[..., i, :]
        rest = rest - column[..., :, None] * row[..., None, :]
    return jnp.stack(signs, axis=-1)


_LARGEST = 10.0
"""Coordinates of rotations above this, by 168 degrees and more, are replaced by those of other signs."""


def _contrasts(size: int) -> np.ndarray:
    """Helmert's contrasts ``(d, d - 1)``: orthonormal columns that add up to zero."""
    index = np.arange(size)[:, None]
    column = np.arange(1, size)[None, :]
    raw = np.where(index < column, 1.0, np.where(index == column, -column, 0.0))
    return raw / np.sqrt(column * (column + 1.0))


def _eye(like: AnyArray) -> Array:
    size = like.shape[-1]
    return jnp.eye(size, dtype=like.dtype)[(None,) * (like.ndim - 2)]
