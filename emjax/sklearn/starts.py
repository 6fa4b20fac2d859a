"""Where EM begins: scikit-learn's four kinds of starts, and starts that are given in whole or in part."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.utils import check_array

from emjax.sklearn.density import covariance_shape, covariances_of, precisions_cholesky


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Weights ``(K,)``, means ``(K, d)``, and covariances in the shape of their covariance type; float64."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


@dataclasses.dataclass(frozen=True)
class Given:
    """What the caller gave of a start; ``None`` where it is to be drawn."""

    weights: np.ndarray | None
    means: np.ndarray | None
    covariances: np.ndarray | None

    @property
    def complete(self) -> bool:
        """True where nothing is left to draw."""
        return self.weights is not None and self.means is not None and self.covariances is not None


def check_given(
    weights: Any, means: Any, precisions: Any, *, covariance_type: str, n_components: int, n_features: int
) -> Given:
    """The caller's ``weights_init``, ``means_init`` and ``precisions_init`` as float64.

    Raises
    ------
    ValueError
        If a shape or a value does not fit, in scikit-learn's words.
    """
    return Given(
        weights=None if weights is None else _check_weights(weights, n_components),
        means=None if means is None else _check_shape(means, (n_components, n_features), "means"),
        covariances=None
        if precisions is None
        else covariances_of(_check_precisions(precisions, covariance_type, n_components, n_features), covariance_type),
    )


def _check_shape(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    value = check_array(value, dtype=np.float64, ensure_2d=False, allow_nd=True)
    if value.shape != shape:
        raise ValueError(f"The parameter '{name}' should have the shape of {shape}, but got {value.shape}")
    return value


def _check_weights(weights: Any, n_components: int) -> np.ndarray:
    single = np.asarray(weights).dtype == np.float32
    weights = _check_shape(weights, (n_components,), "weights")
    if (weights < 0).any() or (weights > 1).any():
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got "
            f"max value {weights.min():.5f}, min value {weights.max():.5f}"
        )
    if abs(weights.sum() - 1) > (1e-6 if single else 1e-8):
        raise ValueError(f"The parameter 'weights' should be normalized, but got sum(weights) = {weights.sum():.5f}")
    return weights / weights.sum()


def _check_precisions(precisions: Any, covariance_type: str, n_components: int, n_features: int) -> np.ndarray:
    name = f"{covariance_type} precision"
    precisions = _check_shape(precisions, covariance_shape(covariance_type, n_components, n_features), name)
    if covariance_type in ("diag", "spherical"):
        if (precisions <= 0).any():
            raise ValueError(f"'{name}' should be positive")
        return precisions
    symmetric = np.allclose(precisions, np.swapaxes(precisions, -1, -2))
    if not symmetric or (np.linalg.eigvalsh(precisions) <= 0).any():
        raise ValueError(f"'{name}' should be symmetric, positive-definite")
    return precisions


def draw_start(
    x: np.ndarray,
    given: Given,
    *,
    covariance_type: str,
    n_components: int,
    init_params: str,
    reg_covar: float,
    random_state: np.random.RandomState,
) -> Parameters:
    """One start: responsibilities as scikit-learn draws them, their M-step, and in its place whatever was given.

    Raises
    ------
    ValueError
        If a covariance of the start is not positive definite.
    """
    if given.complete:
        drawn = None
    else:
        responsibilities = draw_responsibilities(x, n_components, init_params, random_state)
        drawn = _maximize(np.asarray(x, np.float64), responsibilities, reg_covar, covariance_type)
    chosen = {
        field.name: getattr(drawn if getattr(given, field.name) is None else given, field.name)
        for field in dataclasses.fields(Parameters)
    }
    start = Parameters(**chosen)
    precisions_cholesky(start.covariances, covariance_type)
    return start


def draw_responsibilities(
    x: np.ndarray, n_components: int, init_params: str, random_state: np.random.RandomState
) -> np.ndarray:
    """Responsibilities ``(n_samples, n_components)``, the same as scikit-learn draws from the same random state.

    ``"kmeans"`` assigns every row to a cluster and ``"random"`` shares every row out. ``"k-means++"`` and
    ``"random_from_data"`` give each component one row and leave all others unassigned.
    """
    n_samples = len(x)
    responsibilities = np.zeros((n_samples, n_components))
    if init_params == "kmeans":
        labels = KMeans(n_clusters=n_components, n_init=1, random_state=random_state).fit(x).labels_
        responsibilities[np.arange(n_samples), labels] = 1.0
    elif init_params == "random":
        shares = random_state.uniform(size=(n_samples, n_components))
        responsibilities = shares / shares.sum(axis=1, keepdims=True)
    else:
        if init_params == "k-means++":
            _, rows = kmeans_plusplus(x, n_components, random_state=random_state)
        else:
            rows = random_state.choice(n_samples, size=n_components, replace=False)
        responsibilities[rows, np.arange(n_components)] = 1.0
    return responsibilities


def _maximize(x: np.ndarray, responsibilities: np.ndarray, reg_covar: float, covariance_type: str) -> Parameters:
    """The M-step of responsibilities, whose rows may add up to less than one.

    The tied covariance is the mean of the full ones, weighted by their counts. scikit-learn takes it from the scatter
    of all rows about the origin, which for ``"k-means++"`` and ``"random_from_data"``, where most rows belong to no
    component, is so wide that EM stops at once with all components alike.
    """
    eps = np.finfo(np.float64).eps
    counts = responsibilities.sum(axis=0) + 10 * eps
    means = responsibilities.T @ x / counts[:, None]
    rounding = 16 * eps * np.abs(x).max(axis=0)
    n_components, n_features = means.shape
    matrices = covariance_type in ("full", "tied")
    covariances = np.empty((n_components, n_features, n_features) if matrices else (n_components, n_features))
    for k in range(n_components):
        centred = x - means[k]
        # Equal rows have no variance, whatever the rounding of their mean says.
        centred[np.abs(centred) <= rounding] = 0.0
        weighted = responsibilities[:, k, None] * centred
        covariances[k] = (weighted.T @ centred if matrices else (weighted * centred).sum(axis=0)) / counts[k]
    if covariance_type == "tied":
        covariances = np.average(covariances, axis=0, weights=counts)
    elif covariance_type == "spherical":
        covariances = covariances.mean(axis=1)
    covariances = covariances + (reg_covar * np.eye(n_features) if matrices else reg_covar)
    return Parameters(weights=counts / counts.sum(), means=means, covariances=covariances)
