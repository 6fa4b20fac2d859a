"""Data drawn from a known mixture, with the true labels and parameters kept beside them.

Pure NumPy, and written independently of emjax's own densities, so that a test which recovers these
parameters does not check the library against itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emjax.datasets.dataset import Dataset
from emjax.errors import DataError
from emjax.samples import default_feature_names

__all__ = ["normal_mixture", "poisson_mixture"]


def normal_mixture(
    *,
    weights: Any,
    mean: Any,
    scale: Any = None,
    covariance: Any = None,
    n_samples: int,
    seed: int,
) -> Dataset:
    r"""Draw from :math:`p(x) = \sum_k w_k \, \mathcal N(x \mid \mu_k, \Sigma_k)`.

    Args:
        weights: shape ``(n_components,)``, non-negative, summing to 1.
        mean: shape ``(n_components, n_features)``, or ``(n_components,)`` for one feature.
        scale: standard deviations (not variances) of uncorrelated features, same shape as ``mean``.
        covariance: shape ``(n_components, n_features, n_features)``, symmetric positive definite.  Exactly
            one of ``scale`` and ``covariance`` is given.
        n_samples: the number of rows to draw.
        seed: seed of ``numpy.random.default_rng``; the same seed gives the same data.

    Returns:
        A data set with ``labels`` (the component of each row, integers from 0) and ``truth``: ``weights``
        ``(n_components,)``, ``mean`` and ``scale`` ``(n_components, n_features)``, ``covariance``
        ``(n_components, n_features, n_features)``.

    Raises:
        DataError: if shapes do not fit, or a value is not allowed.
    """
    weights, n_samples = _checked_weights(weights), _checked_size(n_samples)
    mean = _by_component(mean, weights.size, "mean")
    n_features = mean.shape[1]
    if (scale is None) == (covariance is None):
        raise DataError("normal_mixture needs exactly one of scale and covariance: give the other as None")
    if scale is not None:
        scale = _by_component(scale, weights.size, "scale")
        if scale.shape != mean.shape:
            raise DataError(f"scale has shape {scale.shape}: give it the shape of mean, {mean.shape}")
        if not (scale > 0).all():
            raise DataError("scale has a value that is not positive: standard deviations must be above 0")
        covariance = np.einsum("kd,de->kde", scale**2, np.eye(n_features))
    covariance = _checked_covariance(covariance, (weights.size, n_features, n_features))
    rng = np.random.default_rng(seed)
    labels = rng.choice(weights.size, size=n_samples, p=weights)
    values = rng.standard_normal((n_samples, n_features))
    for component, factor in enumerate(np.linalg.cholesky(covariance)):
        members = labels == component
        values[members] = mean[component] + values[members] @ factor.T
    truth = {
        "weights": weights,
        "mean": mean,
        "scale": np.sqrt(np.einsum("kdd->kd", covariance)),
        "covariance": covariance,
    }
    return _simulated(values, labels, truth, f"{weights.size} normal components", seed)


def poisson_mixture(*, weights: Any, rate: Any, n_samples: int, seed: int) -> Dataset:
    r"""Draw from :math:`p(x) = \sum_k w_k \prod_j \mathrm{Poisson}(x_j \mid \lambda_{kj})`.

    Args:
        weights: shape ``(n_components,)``, non-negative, summing to 1.
        rate: expected counts, positive, shape ``(n_components, n_features)`` or ``(n_components,)``.
        n_samples: the number of rows to draw.
        seed: seed of ``numpy.random.default_rng``; the same seed gives the same data.

    Returns:
        A data set with ``labels`` and ``truth`` (``weights`` and ``rate``), as :func:`normal_mixture`.

    Raises:
        DataError: if shapes do not fit, or a value is not allowed.
    """
    weights, n_samples = _checked_weights(weights), _checked_size(n_samples)
    rate = _by_component(rate, weights.size, "rate")
    if not (rate > 0).all():
        raise DataError("rate has a value that is not positive: expected counts must be above 0")
    rng = np.random.default_rng(seed)
    labels = rng.choice(weights.size, size=n_samples, p=weights)
    values = rng.poisson(rate[labels]).astype(np.float64)
    truth = {"weights": weights, "rate": rate}
    return _simulated(values, labels, truth, f"{weights.size} Poisson components", seed)


def _simulated(values: np.ndarray, labels: np.ndarray, truth: dict[str, np.ndarray], what: str, seed: int) -> Dataset:
    return Dataset(
        values=values,
        feature_names=default_feature_names(values.shape[1]),
        name="simulated",
        source=f"drawn by emjax.datasets.simulate with seed {seed}",
        license="none needed (simulated)",
        description=f"{values.shape[0]} draws from a mixture of {what}.",
        labels=labels,
        truth=truth,
    )


def _checked_weights(weights: Any) -> np.ndarray:
    array = _numbers(weights, "weights")
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"weights has shape {array.shape}: give one weight for each component, (n_components,)")
    if (array < 0).any():
        raise DataError("weights has a negative value: give probabilities")
    total = float(array.sum())
    if abs(total - 1.0) > 1e-8:
        raise DataError(f"weights sum to {total:.6g}, not 1: divide them by their sum")
    return array / total


def _checked_size(n_samples: int) -> int:
    if isinstance(n_samples, bool) or not isinstance(n_samples, (int, np.integer)) or n_samples < 1:
        raise DataError(f"n_samples is {n_samples!r}: give an integer of at least 1")
    return int(n_samples)


def _by_component(values: Any, n_components: int, name: str) -> np.ndarray:
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


def _checked_covariance(covariance: Any, shape: tuple[int, int, int]) -> np.ndarray:
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
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} is not a rectangular array of numbers: give real numbers") from error
    if not np.isfinite(array).all():
        raise DataError(f"{name} has NaN or an infinite value: give finite numbers")
    return array
