"""Diagonal and spherical covariances: variances, standard deviations, and the inverse gamma."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray
from emjax.families.domains import POSITIVE_SQUARE
from emjax.families.laws import InverseGamma
from emjax.families.linalg import PRECISION, narrowest
from emjax.families.parameters import Parameter, Unit
from emjax.families.structure import CovarianceStructure, Moments
from emjax.moments import Summary


class _Variances(CovarianceStructure):
    """What diag and spherical share: variances, standard deviations, and the inverse gamma."""

    site: ClassVar[str] = "variance"
    law: ClassVar[Any] = InverseGamma

    def unit(self, n_components: int, n_features: int) -> np.ndarray:
        return np.ones(self.shape(n_components, n_features))

    def root(self, dispersion: AnyArray) -> Array:
        return jnp.sqrt(dispersion)

    def color_scatter(self, root: Array, scatter: Array) -> Array:
        return root * root * scatter

    def draw(self, key: Array, law: Any) -> tuple[Array, Array]:
        dispersion = law.draw(key)
        return dispersion, jnp.sqrt(dispersion)

    def singular(self, dispersion: np.ndarray) -> bool:
        return not dispersion.min() > 0

    def resolution(self, root: Array) -> Float[Array, ""]:
        return jnp.finfo(root.dtype).eps * jnp.ones((), root.dtype)

    def points_without_bound(self, n_features: int) -> int:
        return 1


class Diag(_Variances):
    """One variance per component and feature."""

    name: ClassVar[str] = "diag"
    parameter: ClassVar[Parameter] = Parameter(POSITIVE_SQUARE, ("feature",), Unit.VARIANCE)

    def default_law(self, summary: Summary, n_components: int) -> InverseGamma:
        return InverseGamma(np.asarray(1.5), 0.5 * summary.variance / n_components ** (2 / summary.n_features))

    def nearest(self, covariance: np.ndarray) -> np.ndarray:
        return np.diagonal(covariance, axis1=-2, axis2=-1).copy()

    def n_means(self, n_components: int, n_features: int) -> int:
        return 1

    def whiten(self, root: Array, centred: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return centred * (1.0 / root)[:, None, :]

    def color(self, root: Array, whitened: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return whitened * root[:, None, :]

    def products(self, x: Float[Array, "d n"]) -> Float[Array, "q n"]:
        return x * x

    def natural(self, root: Array, mean: Float[AnyArray, "K d"]) -> tuple[Float[Array, "K d"], Float[Array, "K q"]]:
        precision = 1.0 / (root * root)
        return precision * mean, -0.5 * precision

    def centred_products(self, moments: Moments, mean: Float[AnyArray, "K d"]) -> Float[Array, "K d"]:
        counts, sums, products = moments
        return products - mean * (2.0 * sums - counts[:, None] * mean)

    def cancellation(self, root: Array, mean: Float[AnyArray, "K d"]) -> Float[Array, ""]:
        return jnp.max(jnp.sum((1.0 + jnp.abs(mean) / root) ** 2, axis=-1))

    def collapsed(self, root: Array, mean: Float[AnyArray, "K d"]) -> Array:
        return ~jnp.all(root > narrowest(mean))

    def smallest_ratio(self, dispersion: AnyArray, reference: Float[AnyArray, "d d"], xp: Any) -> Float[AnyArray, " K"]:
        return (dispersion / xp.diagonal(reference)[None, :]).min(axis=1)

    def log_determinant(self, root: Array, n_components: int, n_features: int) -> Float[Array, " K"]:
        return jnp.sum(jnp.log(root), axis=-1)

    def scatter(self, weights: Float[Array, "K n"], y: Float[Array, "K n d"]) -> Array:
        return self.summed(weights, y * y)

    def trace(self, root: Array, scatter: Array, n_components: int) -> Float[Array, " K"]:
        return jnp.sum(scatter / (root * root), axis=1)

    def summed(self, weights: Float[Array, "K n"], spread: Array) -> Array:
        return jnp.einsum("kn,kni->ki", weights, spread, precision=PRECISION)

    def degrees(self, counts: Float[Array, " K"], n_features: int) -> Array:
        return counts[:, None]

    def pooled(self, summary: Summary, n_components: int) -> np.ndarray:
        return np.tile(summary.variance, (n_components, 1))

    def add_diagonal(self, dispersion: Array, variances: Float[Array, " d"]) -> Array:
        return dispersion + variances[None, :]

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "*s K d d"]:
        return dispersion[..., None] * np.eye(n_features, dtype=dispersion.dtype)[(None,) * (dispersion.ndim - 1)]


class Spherical(_Variances):
    """One variance per component, the same in every direction."""

    name: ClassVar[str] = "spherical"
    parameter: ClassVar[Parameter] = Parameter(POSITIVE_SQUARE, (), Unit.VARIANCE)
    common_scale: ClassVar[bool] = True

    def default_law(self, summary: Summary, n_components: int) -> InverseGamma:
        scatter = np.mean(summary.variance) / n_components ** (2 / summary.n_features)
        return InverseGamma(np.asarray(1.5), np.asarray(0.5 * scatter))

    def nearest(self, covariance: np.ndarray) -> np.ndarray:
        return covariance[:, 0, 0].copy()

    def n_means(self, n_components: int, n_features: int) -> int:
        return n_features

    def whiten(self, root: Array, centred: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return centred * (1.0 / root)[:, None, None]

    def color(self, root: Array, whitened: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return whitened * root[:, None, None]

    def products(self, x: Float[Array, "d n"]) -> Float[Array, "q n"]:
        return jnp.sum(x * x, axis=0, keepdims=True)

    def natural(self, root: Array, mean: Float[AnyArray, "K d"]) -> tuple[Float[Array, "K d"], Float[Array, "K q"]]:
        precision = (1.0 / (root * root))[:, None]
        return precision * mean, -0.5 * precision

    def centred_products(self, moments: Moments, mean: Float[AnyArray, "K d"]) -> Float[Array, " K"]:
        counts, sums, products = moments
        return products[:, 0] - jnp.sum(mean * (2.0 * sums - counts[:, None] * mean), axis=1)

    def cancellation(self, root: Array, mean: Float[AnyArray, "K d"]) -> Float[Array, ""]:
        return jnp.max(jnp.sum((1.0 + jnp.abs(mean) / root[:, None]) ** 2, axis=-1))

    def collapsed(self, root: Array, mean: Float[AnyArray, "K d"]) -> Array:
        return ~jnp.all(root[:, None] > narrowest(mean))

    def smallest_ratio(self, dispersion: AnyArray, reference: Float[AnyArray, "d d"], xp: Any) -> Float[AnyArray, " K"]:
        return dispersion / xp.diagonal(reference).mean()

    def log_determinant(self, root: Array, n_components: int, n_features: int) -> Float[Array, " K"]:
        return n_features * jnp.log(root)

    def scatter(self, weights: Float[Array, "K n"], y: Float[Array, "K n d"]) -> Array:
        return self.summed(weights, y * y)

    def trace(self, root: Array, scatter: Array, n_components: int) -> Float[Array, " K"]:
        return scatter / (root * root)

    def summed(self, weights: Float[Array, "K n"], spread: Array) -> Array:
        return jnp.einsum("kn,kni->k", weights, spread, precision=PRECISION)

    def degrees(self, counts: Float[Array, " K"], n_features: int) -> Array:
        return counts * n_features

    def pooled(self, summary: Summary, n_components: int) -> np.ndarray:
        return np.full(n_components, summary.variance.mean())

    def add_diagonal(self, dispersion: Array, variances: Float[Array, " d"]) -> Array:
        return dispersion + jnp.mean(variances)

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "*s K d d"]:
        eye = np.eye(n_features, dtype=dispersion.dtype)
        return dispersion[..., None, None] * eye[(None,) * dispersion.ndim]
