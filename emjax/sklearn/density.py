r"""Normal densities of the four covariance types in NumPy, from scikit-learn's attributes.

With the upper triangular ``precisions_cholesky_`` :math:`P_k`, where :math:`P_k P_k' = \Sigma_k^{-1}`,

.. math::

    \log N(x \mid \mu_k, \Sigma_k) = -\tfrac{d}{2} \log 2\pi + \log\det P_k - \tfrac12 \lVert (x - \mu_k) P_k \rVert^2 .

The mean is subtracted before anything is squared, so that data far from the origin lose no digits. NumPy and not JAX: a
prediction compiles nothing, and a stored estimator predicts where JAX is not installed.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical covariance (for instance "
    "caused by singleton or collapsed samples). Try to decrease the number of components, increase reg_covar, or scale "
    "the input data."
)
"""What scikit-learn says where a covariance is not positive definite, word for word."""


_BLOCK_ELEMENTS = 1 << 15
"""Numbers of one block of rows: a quarter of a megabyte, so that what is squared is still in the cache."""


def covariance_shape(covariance_type: str, n_components: int, n_features: int) -> tuple[int, ...]:
    """The shape of ``covariances_``, ``precisions_`` and ``precisions_cholesky_``."""
    return {
        "full": (n_components, n_features, n_features),
        "tied": (n_features, n_features),
        "diag": (n_components, n_features),
        "spherical": (n_components,),
    }[covariance_type]


def n_covariance_parameters(covariance_type: str, n_components: int, n_features: int) -> int:
    """The number of free parameters of all covariances together."""
    of_one = n_features * (n_features + 1) // 2
    free = {"full": n_components * of_one, "tied": of_one, "diag": n_components * n_features}
    return free.get(covariance_type, n_components)


def precisions_cholesky(covariances: np.ndarray, covariance_type: str) -> np.ndarray:
    """Upper triangular factors of the precisions, or inverse standard deviations.

    Raises
    ------
    ValueError
        If a covariance is not positive definite.
    """
    if covariance_type in ("full", "tied"):
        try:
            factors = [_inverse_factor(matrix) for matrix in np.reshape(covariances, (-1, *covariances.shape[-2:]))]
        except LinAlgError:
            raise ValueError(ILL_DEFINED) from None
        return np.reshape(factors, covariances.shape)
    if not (covariances > 0).all():
        raise ValueError(ILL_DEFINED)
    return 1.0 / np.sqrt(covariances)


def _inverse_factor(covariance: np.ndarray) -> np.ndarray:
    root = cholesky(covariance, lower=True)
    return solve_triangular(root, np.eye(len(root)), lower=True).T


def precisions(factors: np.ndarray, covariance_type: str) -> np.ndarray:
    """The precisions of their factors."""
    if covariance_type in ("full", "tied"):
        return factors @ np.swapaxes(factors, -1, -2)
    return factors**2


def covariances_of(precisions: np.ndarray, covariance_type: str) -> np.ndarray:
    """The covariances of given precisions."""
    return np.linalg.inv(precisions) if covariance_type in ("full", "tied") else 1.0 / precisions


def log_density(x: np.ndarray, means: np.ndarray, factors: np.ndarray, covariance_type: str) -> np.ndarray:
    """``log N(x_n | mean_k, covariance_k)``, shape ``(n_samples, n_components)``."""
    n_components, n_features = means.shape
    if covariance_type == "tied":
        factors = np.broadcast_to(factors, (n_components, *factors.shape))
    constants = [_log_determinant(factor, n_features) - 0.5 * n_features * math.log(2 * math.pi) for factor in factors]
    densities = np.empty((len(x), n_components), np.result_type(x, means))
    rows = max(1, _BLOCK_ELEMENTS // n_features)
    for first in range(0, len(x), rows):
        block = x[first : first + rows]
        for k, (mean, factor) in enumerate(zip(means, factors, strict=True)):
            y = block - mean
            y = y @ factor if factor.ndim == 2 else np.multiply(y, factor, out=y)
            densities[first : first + rows, k] = constants[k] - 0.5 * np.einsum("ni,ni->n", y, y)
    return densities


def _log_determinant(factor: np.ndarray, n_features: int) -> float:
    diagonal = np.diagonal(factor) if factor.ndim == 2 else np.broadcast_to(factor, n_features)
    return float(np.log(diagonal).sum())
