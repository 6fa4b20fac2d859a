"""Full and tied covariances: matrices, Cholesky factors, and the inverse Wishart."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import multigammaln
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray, Hyperparameter
from emjax.families.draws import inverse_wishart_root
from emjax.families.frame import Frame
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
from emjax.families.moments import covariance
from emjax.families.structure import CovarianceStructure, Moments


class _Matrix(CovarianceStructure):
    """What full and tied share: matrices, Cholesky factors, and the inverse Wishart."""

    site: ClassVar[str] = "covariance"
    has_correlation: ClassVar[bool] = True

    def unit(self, n_components: int, n_features: int) -> np.ndarray:
        return np.broadcast_to(np.eye(n_features), self.shape(n_components, n_features))

    def root(self, dispersion: AnyArray) -> Array:
        return cholesky(dispersion)

    def pooled(self, x: Any, n_components: int) -> np.ndarray:
        return np.broadcast_to(covariance(x), self.shape(n_components, x.shape[1]))

    def color_scatter(self, root: Array, scatter: Array) -> Array:
        return product(product(root, scatter), jnp.swapaxes(root, -1, -2))

    def default_scatter(self, x: np.ndarray, n_components: int) -> np.ndarray:
        n_features = x.shape[1]
        scatter = covariance(x)
        variances = np.diag(scatter)
        scale = np.sqrt(variances)
        if np.linalg.eigvalsh(scatter / np.outer(scale, scale)).min() < 1e-8:
            scatter = np.diag(variances)
        return scatter / n_components ** (2 / n_features)

    def default_degrees(self, n_features: int) -> float:
        return n_features + 2.0

    def log_prior(
        self, dispersion: AnyArray, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter
    ) -> Float[Array, ""]:
        d = dispersion.shape[-1]
        root = cholesky(dispersion)
        log_det = jnp.sum(jnp.log(diagonal(root)), axis=-1)
        trace = jnp.sum(product(inverse_lower(root), cholesky(scatter)) ** 2, axis=(-1, -2))
        constant = self.log_normalizer(degrees_of_freedom, scatter)
        return jnp.sum(constant - (degrees_of_freedom + d + 1.0) * log_det - 0.5 * trace)

    def log_normalizer(self, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter) -> Array:
        d, half = scatter.shape[-1], 0.5 * jnp.asarray(degrees_of_freedom)
        log_det = jnp.sum(jnp.log(diagonal(cholesky(scatter))), axis=-1)
        return 2.0 * half * log_det - half * d * jnp.log(2.0) - multigammaln(half, d)

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

    def _inverse_wishart(self, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter) -> Any:
        import numpyro.distributions as dist

        return dist.InverseWishart(degrees_of_freedom, scale_tril=cholesky(jnp.asarray(scatter)))

    def draw(self, key: Array, degrees_of_freedom: Array, scatter: Array) -> tuple[Array, Array]:
        root = inverse_wishart_root(key, jnp.reshape(degrees_of_freedom, scatter.shape[:-2]), scatter)
        return product(root, jnp.swapaxes(root, -1, -2)), root

    def unconstrain(self, dispersion: AnyArray) -> Array:
        root = cholesky(dispersion)
        rows, columns = np.tril_indices(dispersion.shape[-1])
        entries = root[..., rows, columns]
        return jnp.where(rows == columns, jnp.log(jnp.where(rows == columns, entries, 1.0)), entries)

    def constrain(self, unconstrained: AnyArray, n_features: int) -> Array:
        rows, columns = np.tril_indices(n_features)
        entries = jnp.where(rows == columns, jnp.exp(jnp.where(rows == columns, unconstrained, 0.0)), unconstrained)
        shape = (*unconstrained.shape[:-1], n_features, n_features)
        root = jnp.zeros(shape, unconstrained.dtype).at[..., rows, columns].set(entries)
        return product(root, jnp.swapaxes(root, -1, -2))

    def log_volume(self, dispersion: AnyArray) -> Float[Array, ""]:
        # From covariance to Cholesky factor, 2^d prod L_ii^(d - i) with i from 0; and L_ii once more for its logarithm.
        log_roots = jnp.log(diagonal(cholesky(dispersion)))
        d = dispersion.shape[-1]
        powers = np.arange(d + 1, 1, -1).astype(log_roots.dtype)
        n_matrices = log_roots.size // d
        return jnp.sum(product(log_roots, powers)) + n_matrices * d * np.log(2.0)

    def rescale(self, dispersion: AnyArray, scale: Float[AnyArray, " d"]) -> AnyArray:
        # One index more where the matrices are stacked: NumPy in, NumPy out, no promotion of ranks.
        return dispersion * (scale[:, None] * scale[None, :])[(None,) * (dispersion.ndim - 2)]

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

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components, n_features, n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2

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

    def degrees(self, counts: Float[Array, " K"], n_features: int) -> Array:
        return counts[:, None, None]

    def prior_degrees(self, degrees_of_freedom: Hyperparameter, n_components: int, n_features: int) -> Array:
        return degrees_of_freedom + n_features + 2.0

    def prior_site(
        self, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter, n_components: int, n_features: int
    ) -> Any:
        return self._inverse_wishart(degrees_of_freedom, scatter).expand([n_components]).to_event(1)

    def log_jacobian(self, n_components: int, frame: Frame) -> Float[Array, ""]:
        return -n_components * (frame.scale.shape[0] + 1) * frame.log_scale()

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "*s K d d"]:
        return dispersion


class Tied(_Matrix):
    """One covariance matrix that all components share."""

    name: ClassVar[str] = "tied"
    shared: ClassVar[bool] = True

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_features, n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

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

    def degrees(self, counts: Float[Array, " K"], n_features: int) -> Array:
        return jnp.sum(counts)

    def prior_degrees(self, degrees_of_freedom: Hyperparameter, n_components: int, n_features: int) -> Array:
        return degrees_of_freedom + n_features + 1.0 + n_components

    def prior_site(
        self, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter, n_components: int, n_features: int
    ) -> Any:
        return self._inverse_wishart(degrees_of_freedom, scatter)

    def log_jacobian(self, n_components: int, frame: Frame) -> Float[Array, ""]:
        return -(frame.scale.shape[0] + 1) * frame.log_scale()

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "*s K d d"]:
        ones = np.ones((n_components, 1, 1), dispersion.dtype)
        return dispersion[..., None, :, :] * ones[(None,) * (dispersion.ndim - 2)]


def _symmetric_index(n_features: int) -> np.ndarray:
    """Where in the upper triangle, row by row, each entry of a symmetric matrix stands: ``(d, d)``."""
    index = np.zeros((n_features, n_features), int)
    rows, columns = np.triu_indices(n_features)
    index[rows, columns] = index[columns, rows] = np.arange(rows.size)
    return index
