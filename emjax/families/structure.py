"""What a covariance structure owes the normal family; `emjax.families.covariance` describes them."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray
from emjax.families.laws import InverseGamma, InverseWishart, Law
from emjax.families.parameters import Parameter, Values
from emjax.moments import Summary

_SHARE = 1e-3
"""What is added of the dispersion of all the data to that within clusters."""


class Moments(NamedTuple):
    """Sums over the data of responsibilities times one ``(K,)``, the features ``(K, d)``, and products ``(K, q)``."""

    counts: Array
    sums: Array
    products: Array


@dataclasses.dataclass(frozen=True)
class CovarianceStructure(abc.ABC):
    """A structure's geometry: whitening, scatter, and where it is singular; the rest follows from `parameter`."""

    name: ClassVar[str]
    site: ClassVar[str]
    """What the dispersion is called: ``covariance`` or ``variance``."""

    parameter: ClassVar[Parameter]
    """What is declared of the dispersion."""

    law: ClassVar[type[InverseWishart | InverseGamma]]
    """The law of a dispersion that a normal likelihood is conjugate to."""

    common_scale: ClassVar[bool] = False
    has_correlation: ClassVar[bool] = False

    @property
    def shared(self) -> bool:
        """Whether no component can be narrow alone: all have one dispersion, or turned copies of one."""
        return self.parameter.shared

    # -- the parameters that a dispersion is made of: by default itself

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """What is declared of them."""
        return {self.site: self.parameter}

    def of(self, params: Any) -> Any:
        """The dispersion of some parameters; NumPy in, NumPy out, other axes may lead."""
        return params[self.site]

    def values(self, dispersion: AnyArray) -> Values:
        """The parameters whose dispersion is nearest to one by the Kullback-Leibler distance; the inverse of `of`."""
        return {self.site: dispersion}

    def estimate(self, scatter: Array, counts: Float[Array, " K"], before: Any) -> Values:
        """The parameters of maximum likelihood, found from those ``before``."""
        degrees = self.degrees(counts, before["mean"].shape[1])
        return {self.site: scatter / jnp.maximum(degrees, jnp.finfo(counts.dtype).tiny)}

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """The shape of ``dispersion``."""
        return self.parameter.shape(n_components, {"feature": n_features})

    @abc.abstractmethod
    def unit(self, n_components: int, n_features: int) -> np.ndarray:
        """The dispersion of identity covariances, on the host."""

    @abc.abstractmethod
    def pooled(self, summary: Summary, n_components: int) -> np.ndarray:
        """The dispersion of which every component has the covariance of the data, on the host."""

    @abc.abstractmethod
    def default_law(self, summary: Summary, n_components: int) -> InverseWishart | InverseGamma:
        """A dispersion's law: of the fewest degrees of freedom with a finite mean and whole-number shape."""

    def default_laws(self, summary: Summary, n_components: int) -> dict[str, Law]:
        """Those of the `parameters` in the default prior."""
        return {self.site: self.default_law(summary, n_components)}

    @abc.abstractmethod
    def nearest(self, covariance: np.ndarray) -> np.ndarray:
        """The dispersion of matrices ``(K, d, d)``, without a check that nothing is lost; on the host."""

    @abc.abstractmethod
    def n_means(self, n_components: int, n_features: int) -> int:
        """How many means' densities each number of a dispersion scales: what these add to its joint mode."""

    def of_clusters(self, x: np.ndarray, labels: np.ndarray, pooled: np.ndarray, n_components: int) -> np.ndarray:
        """The dispersion of the clusters ``labels (n,)`` of ``x (n, d)``, on the host; ``pooled`` is that of all data.

        Each is drawn towards what clusters have within them on average, with the weight of as many rows as it has
        parameters per feature: a cluster of few rows has no dispersion of its own.
        """
        sizes = np.bincount(labels, minlength=n_components)
        own = {j: self.pooled(Summary(x[labels == j]), 1) for j in range(n_components) if sizes[j]}
        # Clusters of equal rows, or of fewer than features, have no dispersion at all but for a share of the data's.
        one_of_all = self.parameter.shared
        within = _SHARE * (pooled if one_of_all else pooled[:1])
        for j, dispersion in own.items():
            within = within + sizes[j] / len(x) * dispersion
        if one_of_all:
            return within
        prior = math.prod(self.parameter.domain.free_shape(self.shape(1, x.shape[1]))) / x.shape[1]
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

    @abc.abstractmethod
    def trace(self, root: Array, scatter: Array, n_components: int) -> Float[Array, " K"]:
        """``tr(covariance^-1 scatter)`` of each component; of a scatter that all share, an equal part of it."""

    @abc.abstractmethod
    def summed(self, weights: Float[Array, "K n"], spread: Array) -> Array:
        """``sum_n w V_n`` in the structure's own shape, of matrices ``(K, n, d, d)`` or variances ``(K, n, d)``."""

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
    def draw(self, key: Array, law: Any) -> tuple[Array, Array]:
        """A draw of the dispersion from its law, whose numbers have its shape, and a square root of it for `color`."""

    @abc.abstractmethod
    def add_diagonal(self, dispersion: Array, variances: Float[Array, " d"]) -> Array:
        """The dispersion of covariances with ``variances`` added to their diagonals."""

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
