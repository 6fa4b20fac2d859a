"""Full and tied covariances: matrices, Cholesky factors, and the inverse Wishart."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray
from emjax.families.domains import COVARIANCE
from emjax.families.draws import inverse_wishart_root
from emjax.families.laws import InverseWishart
from emjax.families.linalg import (
    PRECISION,
    cholesky,
    diagonal,
    inverse_lower,
    least_conditional_variance,
    narrowest,
    product,
    smallest_ratios,
)
from emjax.families.parameters import Parameter, Unit
from emjax.families.structure import CovarianceStructure, Moments
from emjax.moments import Summary


class _Matrix(CovarianceStructure):
    """What full and tied share: matrices, Cholesky factors, and the inverse Wishart."""

    site: ClassVar[str] = "covariance"
    law: ClassVar[Any] = InverseWishart
    has_correlation: ClassVar[bool] = True

    def default_law(self, summary: Summary, n_components: int) -> InverseWishart:
        n_features, scatter = summary.n_features, summary.covariance
        variances = np.diag(scatter)
        scale = np.sqrt(variances)
        if np.linalg.eigvalsh(scatter / np.outer(scale, scale)).min() < 1e-8:
            scatter = np.diag(variances)
        return InverseWishart(np.asarray(n_features + 2.0), scatter / n_components ** (2 / n_features))

    def unit(self, n_components: int, n_features: int) -> np.ndarray:
        return np.broadcast_to(np.eye(n_features), self.shape(n_components, n_features))

    def root(self, dispersion: AnyArray) -> Array:
        return cholesky(dispersion)

    def pooled(self, summary: Summary, n_components: int) -> np.ndarray:
        return np.broadcast_to(summary.covariance, self.shape(n_components, summary.n_features))

    def color_scatter(self, root: Array, scatter: Array) -> Array:
        return product(product(root, scatter), jnp.swapaxes(root, -1, -2))

    def products(self, x: Float[Array, "d n"]) -> Float[Array, "q n"]:
        return jnp.concatenate([x[i : i + 1] * x[i:] for i in range(x.shape[0])])

    def _natural(
        self, root: Float[Array, "k d d"], mean: Float[AnyArray, "K d"]
    ) -> tuple[Float[Array, "K d"], Float[Array, "k q"]]:
        inverse = inverse_lower(root)
        precision = product(jnp.swapaxes(inverse, -1, -2), inverse)
        rows, columns = np.triu_indices(root.shape[-1])
        factor = np.where(rows == columns, -0.5, -1.0).astype(root.dtype)
        return product(precision, mean[..., None])[..., 0], precision[:, rows, columns] * factor[None, :]

    def _centred_matrices(self, moments: Moments, mean: Float[AnyArray, "K d"]) -> Float[Array, "K d d"]:
        counts, sums, products = moments
        second = products[:, _symmetric_index(mean.shape[1])]
        first = sums - counts[:, None] * mean
        return second - mean[:, :, None] * sums[:, None, :] - first[:, :, None] * mean[:, None, :]

    def cancellation(self, root: Array, mean: Float[AnyArray, "K d"]) -> Float[Array, ""]:
        roots = jnp.broadcast_to(root, (*mean.shape, mean.shape[1]))
        reach = jnp.abs(mean) + jnp.sqrt(jnp.sum(roots * roots, axis=-1))
        return jnp.max(jnp.sum(product(jnp.abs(inverse_lower(roots)), reach[..., None]) ** 2, axis=(-2, -1)))

    def draw(self, key: Array, law: Any) -> tuple[Array, Array]:
        root = inverse_wishart_root(key, law.degrees_of_freedom, law.scatter)
        return product(root, jnp.swapaxes(root, -1, -2)), root

    def singular(self, dispersion: np.ndarray) -> bool:
        try:
            conditional = diagonal(np.linalg.cholesky(dispersion)) ** 2
        except np.linalg.LinAlgError:
            return True
        least = least_conditional_variance(dispersion.shape[-1], dispersion.dtype)
        return not (conditional > least * diagonal(dispersion)).all()

    def add_diagonal(self, dispersion: Array, variances: Float[Array, " d"]) -> Array:
        return dispersion + jnp.diag(variances)[(None,) * (dispersion.ndim - 2)]

    def resolution(self, root: Array) -> Float[Array, ""]:
        # A stored matrix rounds its entries: of a conditional variance that is a small share, by as much more.
        shares = diagonal(root) ** 2 / jnp.sum(root * root, axis=-1)
        return jnp.finfo(root.dtype).eps / jnp.min(shares)

    def collapsed(self, root: Array, mean: Float[AnyArray, "K d"]) -> Array:
        variance = jnp.sum(root * root, axis=-1)
        # Written so that NaN, the root of a matrix that is no longer positive definite, counts as collapsed.
        held = diagonal(root) ** 2 > least_conditional_variance(root.shape[-1], root.dtype) * variance
        return ~(jnp.all(held) & jnp.all(jnp.broadcast_to(jnp.sqrt(variance), mean.shape) > narrowest(mean)))

    def smallest_ratio(self, dispersion: AnyArray, reference: Float[AnyArray, "d d"], xp: Any) -> Float[AnyArray, " K"]:
        return smallest_ratios(dispersion, reference, xp)


class Full(_Matrix):
    """One covariance matrix per component."""

    name: ClassVar[str] = "full"
    parameter: ClassVar[Parameter] = Parameter(COVARIANCE, ("feature", "feature"), Unit.VARIANCE)

    def nearest(self, covariance: np.ndarray) -> np.ndarray:
        return covariance

    def n_means(self, n_components: int, n_features: int) -> int:
        return 1

    def points_without_bound(self, n_features: int) -> int:
        return n_features

    def whiten(self, root: Array, centred: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return product(centred, jnp.swapaxes(inverse_lower(root), -1, -2))

    def color(self, root: Array, whitened: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return product(whitened, jnp.swapaxes(root, -1, -2))

    def natural(self, root: Array, mean: Float[AnyArray, "K d"]) -> tuple[Float[Array, "K d"], Float[Array, "K q"]]:
        return self._natural(root, mean)

    def centred_products(self, moments: Moments, mean: Float[AnyArray, "K d"]) -> Float[Array, "K d d"]:
        return self._centred_matrices(moments, mean)

    def log_determinant(self, root: Array, n_components: int, n_features: int) -> Float[Array, " K"]:
        return jnp.sum(jnp.log(diagonal(root)), axis=-1)

    def scatter(self, weights: Float[Array, "K n"], y: Float[Array, "K n d"]) -> Array:
        return product(jnp.swapaxes(y * weights[..., None], -1, -2), y)

    def trace(self, root: Array, scatter: Array, n_components: int) -> Float[Array, " K"]:
        inverse = inverse_lower(root)
        return jnp.sum(product(inverse, scatter) * inverse, axis=(-1, -2))

    def summed(self, weights: Float[Array, "K n"], spread: Array) -> Array:
        return jnp.einsum("kn,knij->kij", weights, spread, precision=PRECISION)

    def degrees(self, counts: Float[Array, " K"], n_features: int) -> Array:
        return counts[:, None, None]

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "*s K d d"]:
        return dispersion


class Tied(_Matrix):
    """One covariance matrix that all components share."""

    name: ClassVar[str] = "tied"
    parameter: ClassVar[Parameter] = Parameter(COVARIANCE, ("feature", "feature"), Unit.VARIANCE, shared=True)

    def nearest(self, covariance: np.ndarray) -> np.ndarray:
        return covariance[0]

    def n_means(self, n_components: int, n_features: int) -> int:
        return n_components

    def points_without_bound(self, n_features: int) -> int:
        return 0  # a matrix that all data share does not collapse on some of them

    def whiten(self, root: Array, centred: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return product(centred, inverse_lower(root).T)

    def color(self, root: Array, whitened: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return product(whitened, root.T)

    def natural(self, root: Array, mean: Float[AnyArray, "K d"]) -> tuple[Float[Array, "K d"], Float[Array, "K q"]]:
        linear, row = self._natural(root[None], mean)
        return linear, jnp.broadcast_to(row, (mean.shape[0], row.shape[1]))

    def centred_products(self, moments: Moments, mean: Float[AnyArray, "K d"]) -> Float[Array, "d d"]:
        return jnp.sum(self._centred_matrices(moments, mean), axis=0)

    def log_determinant(self, root: Array, n_components: int, n_features: int) -> Float[Array, " K"]:
        return jnp.full(n_components, jnp.sum(jnp.log(jnp.diagonal(root))))

    def scatter(self, weights: Float[Array, "K n"], y: Float[Array, "K n d"]) -> Array:
        return jnp.einsum("kni,knj->ij", y * weights[..., None], y, precision=PRECISION)

    def trace(self, root: Array, scatter: Array, n_components: int) -> Float[Array, " K"]:
        inverse = inverse_lower(root)
        return jnp.full(n_components, jnp.sum(product(inverse, scatter) * inverse) / n_components)

    def summed(self, weights: Float[Array, "K n"], spread: Array) -> Array:
        return jnp.einsum("kn,knij->ij", weights, spread, precision=PRECISION)

    def degrees(self, counts: Float[Array, " K"], n_features: int) -> Array:
        return jnp.sum(counts)

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "*s K d d"]:
        ones = np.ones((n_components, 1, 1), dispersion.dtype)
        return dispersion[..., None, :, :] * ones[(None,) * (dispersion.ndim - 2)]


def _symmetric_index(n_features: int) -> np.ndarray:
    """Where in the upper triangle, row by row, each entry of a symmetric matrix stands: ``(d, d)``."""
    index = np.zeros((n_features, n_features), int)
    rows, columns = np.triu_indices(n_features)
    index[rows, columns] = index[columns, rows] = np.arange(rows.size)
    return index
