"""What a covariance structure owes the normal family; `emjax.families.covariance` describes the four."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray, Hyperparameter
from emjax.families.frame import Frame

_SHARE = 1e-3
"""What is added of the dispersion of all the data to that within clusters."""


class Moments(NamedTuple):
    """Sums over the data of responsibilities times one ``(K,)``, the features ``(K, d)``, and products ``(K, q)``."""

    counts: Array
    sums: Array
    products: Array


@dataclasses.dataclass(frozen=True)
class CovarianceStructure(abc.ABC):
    """A structure's shapes, its whitening, its scatter, and its prior."""

    name: ClassVar[str]
    site: ClassVar[str]
    shared: ClassVar[bool] = False
    common_scale: ClassVar[bool] = False
    has_correlation: ClassVar[bool] = False

    @abc.abstractmethod
    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """The shape of ``dispersion``."""

    @abc.abstractmethod
    def n_parameters(self, n_components: int, n_features: int) -> int:
        """The number of free parameters."""

    @abc.abstractmethod
    def unit(self, n_components: int, n_features: int) -> np.ndarray:
        """The dispersion of identity covariances, on the host."""

    @abc.abstractmethod
    def pooled(self, x: Any, n_components: int) -> np.ndarray:
        """The dispersion of which every component has the covariance of the data ``x (n, d)``, on the host."""

    def of_clusters(self, x: np.ndarray, labels: np.ndarray, pooled: np.ndarray, n_components: int) -> np.ndarray:
        """The dispersion of the clusters ``labels (n,)`` of ``x (n, d)``, on the host; ``pooled`` is that of all data.

        Each is drawn towards what clusters have within them on average, with the weight of as many rows as it has
        parameters per feature: a cluster of few rows has no dispersion of its own.
        """
        sizes = np.bincount(labels, minlength=n_components)
        own = {j: self.pooled(x[labels == j], 1) for j in range(n_components) if sizes[j]}
        # Clusters of equal rows, or of fewer than features, have no dispersion at all but for a share of the data's.
        within = _SHARE * (pooled if self.shared else pooled[:1])
        for j, dispersion in own.items():
            within = within + sizes[j] / len(x) * dispersion
        if self.shared:
            return within
        prior = self.n_parameters(1, x.shape[1]) / x.shape[1]
        mixed = [(sizes[j] * own.get(j, within) + prior * within) / (sizes[j] + prior) for j in range(n_components)]
        return np.concatenate(mixed)

    @abc.abstractmethod
    def root(self, dispersion: AnyArray) -> Array:
        """The square root: Cholesky factors, or standard deviations."""

    @abc.abstractmethod
    def whiten(self, root: Array, centred: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        """``root^-1 (x - mean)``."""

    @abc.abstractmethod
    def color(self, root: Array, whitened: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        """``root y``, the inverse of `whiten`."""

    @abc.abstractmethod
    def log_determinant(self, root: Array, n_components: int, n_features: int) -> Float[Array, " K"]:
        """``log det root``: half the log determinant of each covariance."""

    @abc.abstractmethod
    def scatter(self, weights: Float[Array, "K n"], y: Float[Array, "K n d"]) -> Array:
        """``sum_n w y y'`` in the structure's own shape."""

    @abc.abstractmethod
    def color_scatter(self, root: Array, scatter: Array) -> Array:
        """A scatter of whitened data as the scatter of the data."""

    # The natural form, whose sufficient statistics are products of features (see `Family.sufficient_statistics`).

    @abc.abstractmethod
    def products(self, x: Float[Array, "d n"]) -> Float[Array, "q n"]:
        """The products of features whose sums the structure needs, feature-major."""

    @abc.abstractmethod
    def natural(self, root: Array, mean: Float[AnyArray, "K d"]) -> tuple[Float[Array, "K d"], Float[Array, "K q"]]:
        """What multiplies the features and their `products` in the log density."""

    @abc.abstractmethod
    def centred_products(self, moments: Moments, mean: Float[AnyArray, "K d"]) -> Array:
        """``sum r (x - mean)(x - mean)'`` in the structure's own shape."""

    @abc.abstractmethod
    def cancellation(self, root: Array, mean: Float[AnyArray, "K d"]) -> Float[Array, ""]:
        """How much larger than their sum the terms of the natural form are, for data one deviation from a mean."""

    @abc.abstractmethod
    def degrees(self, counts: Float[Array, " K"], n_features: int) -> Array:
        """What a scatter is divided by for the maximum-likelihood dispersion."""

    @abc.abstractmethod
    def prior_degrees(self, degrees_of_freedom: Hyperparameter, n_components: int, n_features: int) -> Array:
        """What a conjugate prior adds to `degrees` at the joint mode of means and dispersion."""

    @abc.abstractmethod
    def default_scatter(self, x: np.ndarray, n_components: int) -> np.ndarray:
        """The prior's scatter from the data."""

    @abc.abstractmethod
    def default_degrees(self, n_features: int) -> float:
        """The prior's degrees of freedom: the fewest with a finite mean and whole-number shape."""

    @abc.abstractmethod
    def log_prior(
        self, dispersion: AnyArray, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter
    ) -> Float[Array, ""]:
        """The log density of all dispersions."""

    @abc.abstractmethod
    def log_normalizer(self, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter) -> Array:
        """The logarithm of what `log_prior` multiplies its kernel with, for each dispersion."""

    @abc.abstractmethod
    def prior_site(
        self, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter, n_components: int, n_features: int
    ) -> Any:
        """The same prior as a NumPyro distribution."""

    @abc.abstractmethod
    def draw(self, key: Array, degrees_of_freedom: Array, scatter: Array) -> tuple[Array, Array]:
        """A draw of the dispersion from its inverse Wishart (or inverse gammas), and a square root of it for `color`.

        ``scatter`` has the shape of the dispersion, ``degrees_of_freedom`` broadcasts to it like `degrees`.
        """

    @abc.abstractmethod
    def unconstrain(self, dispersion: AnyArray) -> Array:
        """Log-Cholesky entries, or log standard deviations."""

    @abc.abstractmethod
    def constrain(self, unconstrained: AnyArray, n_features: int) -> Array:
        """The inverse of `unconstrain`."""

    @abc.abstractmethod
    def log_volume(self, dispersion: AnyArray) -> Float[Array, ""]:
        """``log |d dispersion / d unconstrained|`` over all dispersions."""

    @abc.abstractmethod
    def rescale(self, dispersion: Any, scale: Float[AnyArray, " d"]) -> Any:
        """The dispersion, or the prior's scatter, of data multiplied by ``scale``."""

    @abc.abstractmethod
    def add_diagonal(self, dispersion: Array, variances: Float[Array, " d"]) -> Array:
        """The dispersion of covariances with ``variances`` added to their diagonals."""

    @abc.abstractmethod
    def log_jacobian(self, n_components: int, frame: Frame) -> Float[Array, ""]:
        """``log |d dispersion(z) / d dispersion(x)|`` over all dispersions."""

    @abc.abstractmethod
    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "*s K d d"]:
        """The covariance matrices, whatever the structure; NumPy in, NumPy out; other axes may lead."""

    @abc.abstractmethod
    def singular(self, dispersion: np.ndarray) -> bool:
        """Whether a dispersion of standardised data is singular to the rounding of float64, on the host."""

    @abc.abstractmethod
    def collapsed(self, root: Array, mean: Float[AnyArray, "K d"]) -> Array:
        """Whether a component is so narrow that its width is rounding, or has no positive definite covariance."""

    @abc.abstractmethod
    def resolution(self, root: Array) -> Float[Array, ""]:
        """See `Family.resolution`."""

    @abc.abstractmethod
    def points_without_bound(self, n_features: int) -> int:
        """See `Family.points_without_bound`."""

    @abc.abstractmethod
    def smallest_ratio(self, dispersion: AnyArray, reference: Float[AnyArray, "d d"], xp: Any) -> Float[AnyArray, " K"]:
        """Of each component, the smallest ratio of its variance to that of the ``reference``, over all directions.

        Only directions in which the structure is free to be narrow: single features where it is diagonal.
        """
