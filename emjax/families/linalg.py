"""Products, and Cholesky factors of many small matrices.

XLA sends every factorisation of a matrix to LAPACK, one call for each, which for the one- and two-dimensional
covariances of most mixtures costs more than the density itself. Those two sizes are written out.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray

PRECISION = jax.lax.Precision.HIGHEST
"""Of every product: accelerators would otherwise multiply float32 in fewer bits (TF32, bfloat16)."""


def product(a: Any, b: Any) -> Any:
    """``a @ b``, in all the digits of its type on every device; NumPy in, NumPy out."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a @ b
    return jnp.matmul(a, b, precision=PRECISION)


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


def narrowest(mean: Float[AnyArray, "K d"]) -> Float[Array, "K d"]:
    """The standard deviation below which a component at ``mean`` (data near one) is as wide as its rounding."""
    return 16 * jnp.finfo(mean.dtype).eps * (1.0 + jnp.abs(mean))


def least_conditional_variance(n_features: int, dtype: Any) -> float:
    """The smallest conditional variance of a feature, as a share of its variance, that a stored matrix can hold."""
    return float(32 * n_features * jnp.finfo(dtype).eps)


def smallest_ratios(matrices: Float[AnyArray, "K d d"], reference: Float[AnyArray, "d d"], xp: Any) -> AnyArray:
    """The smallest generalised eigenvalue ``(K,)`` of each matrix relative to the reference.

    It changes with no change of units or coordinates. Directions that the reference lacks do not count.
    """
    variances, directions = xp.linalg.eigh(reference)
    tiny = xp.finfo(reference.dtype).tiny
    held = variances > 1e-12 * variances[-1]
    whitening = directions * xp.where(held, 1.0 / xp.sqrt(xp.where(held, variances, 1.0)), 0.0)[None, :]
    whitened = product(product(xp.swapaxes(whitening, -1, -2)[None], matrices), whitening[None])
    missing = xp.where(held, 0.0, 1.0 / tiny**0.5)
    return xp.linalg.eigvalsh(whitened + (xp.eye(len(reference)) * missing[None, :])[None])[:, 0]


def _lower_two(a: Array, b: Array, c: Array) -> Array:
    zero = jnp.zeros_like(a)
    return jnp.stack([jnp.stack([a, zero], axis=-1), jnp.stack([b, c], axis=-1)], axis=-2)
