"""Diagonal and spherical covariances: variances, standard deviations, and the inverse gamma."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray, Hyperparameter
from emjax.families.draws import log_gamma
from emjax.families.frame import Frame
from emjax.families.linalg import PRECISION, narrowest
from emjax.families.moments import variance
from emjax.families.structure import CovarianceStructure, Moments


class _Variances(CovarianceStructure):
    """What diag and spherical share: variances, standard deviations, and the inverse gamma."""

    site: ClassVar[str] = "variance"

    def unit(self, n_components: int, n_features: int) -> np.ndarray:
        return np.ones(self.shape(n_components, n_features))

    def root(self, dispersion: AnyArray) -> Array:
        return jnp.sqrt(dispersion)

    def color_scatter(self, root: Array, scatter: Array) -> Array:
        return root * root * scatter

    def default_degrees(self, n_features: int) -> float:
        return 3.0

    def log_prior(
        self, dispersion: AnyArray, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter
    ) -> Float[Array, ""]:
        scatter = jnp.broadcast_to(scatter, dispersion.shape)
        constant = self.log_normalizer(degrees_of_freedom, scatter)
        return jnp.sum(constant - (0.5 * degrees_of_freedom + 1.0) * jnp.log(dispersion) - 0.5 * scatter / dispersion)

    def log_normalizer(self, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter) -> Array:
        half = 0.5 * degrees_of_freedom
        return half * jnp.log(0.5 * scatter) - gammaln(half)

    def prior_site(
        self, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter, n_components: int, n_features: int
    ) -> Any:
        import numpyro.distributions as dist

        shape = self.shape(n_components, n_features)
        return dist.InverseGamma(0.5 * degrees_of_freedom, 0.5 * scatter).expand(shape).to_event(len(shape))

    def draw(self, key: Array, degrees_of_freedom: Array, scatter: Array) -> tuple[Array, Array]:
        half = jnp.broadcast_to(0.5 * degrees_of_freedom, scatter.shape)
        dispersion = 0.5 * scatter * jnp.exp(-log_gamma(key, half))
        return dispersion, jnp.sqrt(dispersion)

    def unconstrain(self, dispersion: AnyArray) -> Array:
        return 0.5 * jnp.log(dispersion)

    def constrain(self, unconstrained: AnyArray, n_features: int) -> Array:
        return jnp.exp(2.0 * unconstrained)

    def log_volume(self, dispersion: AnyArray) -> Float[Array, ""]:
        return jnp.sum(jnp.log(2.0 * dispersion))

    def singular(self, dispersion: np.ndarray) -> bool:
        return not dispersion.min() > 0

    def resolution(self, root: Array) -> Float[Array, ""]:
        return jnp.finfo(root.dtype).eps * jnp.ones((), root.dtype)

    def points_without_bound(self, n_features: int) -> int:
        return 1


class Diag(_Variances):
    """One variance per component and feature."""

    name: ClassVar[str] = "diag"

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components, n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

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
        return jnp.einsum("kn,kni->ki", weights, y * y, precision=PRECISION)

    def degrees(self, counts: Float[Array, " K"], n_features: int) -> Array:
        return counts[:, None]

    def prior_degrees(self, degrees_of_freedom: Hyperparameter, n_components: int, n_features: int) -> Array:
        return degrees_of_freedom + 3.0

    def default_scatter(self, x: np.ndarray, n_components: int) -> np.ndarray:
        return variance(x) / n_components ** (2 / x.shape[1])

    def rescale(self, dispersion: AnyArray, scale: Float[AnyArray, " d"]) -> AnyArray:
        return dispersion * (scale**2)[(None,) * (dispersion.ndim - 1)]

    def pooled(self, x: Any, n_components: int) -> np.ndarray:
        return np.tile(variance(x), (n_components, 1))

    def add_diagonal(self, dispersion: Array, variances: Float[Array, " d"]) -> Array:
        return dispersion + variances[None, :]

    def log_jacobian(self, n_components: int, frame: Frame) -> Float[Array, ""]:
        return -2.0 * n_components * frame.log_scale()

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "*s K d d"]:
        return dispersion[..., None] * np.eye(n_features, dtype=dispersion.dtype)[(None,) * (dispersion.ndim - 1)]


class Spherical(_Variances):
    """One variance per component, the same in every direction."""

    name: ClassVar[str] = "spherical"
    common_scale: ClassVar[bool] = True

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components,)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components

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
        return jnp.einsum("kn,kni->k", weights, y * y, precision=PRECISION)

    def degrees(self, counts: Float[Array, " K"], n_features: int) -> Array:
        return counts * n_features

    def prior_degrees(self, degrees_of_freedom: Hyperparameter, n_components: int, n_features: int) -> Array:
        return degrees_of_freedom + 2.0 + n_features

    def default_scatter(self, x: np.ndarray, n_components: int) -> np.ndarray:
        return np.asarray(np.mean(variance(x)) / n_components ** (2 / x.shape[1]))

    def rescale(self, dispersion: Hyperparameter, scale: Float[AnyArray, " d"]) -> Any:
        return dispersion * scale[0] ** 2

    def pooled(self, x: Any, n_components: int) -> np.ndarray:
        return np.full(n_components, variance(x).mean())

    def add_diagonal(self, dispersion: Array, variances: Float[Array, " d"]) -> Array:
        return dispersion + jnp.mean(variances)

    def log_jacobian(self, n_components: int, frame: Frame) -> Float[Array, ""]:
        return -2.0 * n_components * jnp.log(frame.scale[0])

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "*s K d d"]:
        eye = np.eye(n_features, dtype=dispersion.dtype)
        return dispersion[..., None, None] * eye[(None,) * dispersion.ndim]
