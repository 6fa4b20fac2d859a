"""Cholesky factors of many small matrices.

XLA sends every factorisation of a matrix to LAPACK, one call for each, which for the one- and two-dimensional
covariances of most mixtures costs more than the density itself. Those two sizes are written out.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray


def cholesky(matrix: Float[AnyArray, "*batch d d"]) -> Float[Array, "*batch d d"]:
    """The lower Cholesky factor; NaN where a matrix is not positive definite."""
    matrix = jnp.asarray(matrix)
    size = matrix.shape[-1]
    if size == 1:
        return jnp.sqrt(matrix)
    if size == 2:
        a = jnp.sqrt(matrix[..., 0, 0])
        b = matrix[..., 1, 0] / a
        c = jnp.sqrt(matrix[..., 1, 1] - b * b)
        return _lower_two(a, b, c)
    return jnp.linalg.cholesky(matrix)


def inverse_lower(factor: Float[Array, "*batch d d"]) -> Float[Array, "*batch d d"]:
    """The inverse of a lower triangular matrix."""
    size = factor.shape[-1]
    if size == 1:
        return 1.0 / factor
    if size == 2:
        a, b, c = factor[..., 0, 0], factor[..., 1, 0], factor[..., 1, 1]
        return _lower_two(1.0 / a, -b / (a * c), 1.0 / c)
    identity = jnp.broadcast_to(jnp.eye(size, dtype=factor.dtype), factor.shape)
    return jax.scipy.linalg.solve_triangular(factor, identity, lower=True)


def diagonal(matrix: Float[AnyArray, "*batch d d"]) -> Float[AnyArray, "*batch d"]:
    """The diagonals of a stack of matrices; NumPy in, NumPy out."""
    index = np.arange(matrix.shape[-1])
    return matrix[..., index, index]


def _lower_two(a: Array, b: Array, c: Array) -> Array:
    zero = jnp.zeros_like(a)
    return jnp.stack([jnp.stack([a, zero], axis=-1), jnp.stack([b, c], axis=-1)], axis=-2)
