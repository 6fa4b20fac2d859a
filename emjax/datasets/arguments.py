"""What the simulators ask of their arguments: each check answers with a float64 copy or a `DataError` of one line."""

from __future__ import annotations

from typing import Any

import numpy as np

from emjax.bounds import LARGEST
from emjax.errors import DataError


def checked_weights(weights: Any) -> np.ndarray:
    """Probabilities ``(n_components,)`` that sum to 1."""
    array = _numbers(weights, "weights")
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"weights has shape {array.shape}: give one weight for each component, (n_components,)")
    if (array < 0).any():
        raise DataError("weights has a negative value: give probabilities")
    total = float(array.sum())
    if abs(total - 1.0) > 1e-8:
        raise DataError(f"weights sum to {total:.6g}, not 1: divide them by their sum")
    return array / total


def by_component(values: Any, n_components: int, name: str) -> np.ndarray:
    """Shape ``(n_components, n_features)``; ``(n_components,)`` means one feature."""
    array = _numbers(values, name)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.shape[0] != n_components or array.shape[1] == 0:
        raise DataError(
            f"{name} has shape {np.shape(values)}: with {n_components} weights give "
            f"({n_components}, n_features), "
            f"or ({n_components},) for one feature"
        )
    return array


def checked_components(mean: Any, scale: Any, covariance: Any, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Means ``(n_components, n_features)`` and covariances, from exactly one of ``scale`` and ``covariance``."""
    mean = by_component(mean, n_components, "mean")
    n_features = mean.shape[1]
    if (scale is None) == (covariance is None):
        raise DataError("normal_mixture needs exactly one of scale and covariance: give the other as None")
    if scale is not None:
        scale = by_component(scale, n_components, "scale")
        if scale.shape != mean.shape:
            raise DataError(f"scale has shape {scale.shape}: give it the shape of mean, {mean.shape}")
        if not (scale > 0).all():
            raise DataError("scale has a value that is not positive: standard deviations must be above 0")
        covariance = np.einsum("kd,de->kde", scale**2, np.eye(n_features))
    return mean, checked_covariance(covariance, (n_components, n_features, n_features))


def checked_rate(rate: Any, n_components: int) -> np.ndarray:
    """Expected counts ``(n_components, n_features)``, positive."""
    rate = by_component(rate, n_components, "rate")
    if not (rate > 0).all():
        raise DataError("rate has a value that is not positive: expected counts must be above 0")
    if not (rate <= 1e12).all():
        raise DataError("rate has a value above 1e12: expected counts must be at most that")
    return rate


def checked_covariance(covariance: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """Symmetric positive definite matrices of the shape ``(n_components, n_features, n_features)``."""
    array = _numbers(covariance, "covariance")
    if array.shape != shape:
        raise DataError(f"covariance has shape {array.shape}: with this mean give {shape}")
    for component, matrix in enumerate(array):
        if not np.allclose(matrix, matrix.T, rtol=1e-10, atol=0.0):
            raise DataError(f"covariance[{component}] is not symmetric: give the same value at [i, j] and [j, i]")
        if np.linalg.eigvalsh(matrix)[0] <= 0.0:
            raise DataError(f"covariance[{component}] is not positive definite: all its eigenvalues must be above 0")
    return array


def _numbers(values: Any, name: str) -> np.ndarray:
    """A float64 copy, finite."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{name} is not a rectangular array of numbers: give real numbers") from error
    if not (np.abs(array) <= LARGEST).all():
        raise DataError(f"{name} has NaN, an infinite value or one beyond {LARGEST:g}: give smaller finite numbers")
    return array
