r"""The four covariance structures of a normal mixture, as strategies with one interface.

Each structure stores its own ``dispersion`` array and knows its square root (``root``, with covariance = root root'):

==========  ==================  ======================================  ==================
structure   ``dispersion``      meaning                                 free parameters
==========  ==================  ======================================  ==================
full        ``(K, d, d)``       one covariance matrix per component     ``K d (d + 1) / 2``
tied        ``(d, d)``          one covariance matrix for all           ``d (d + 1) / 2``
diag        ``(K, d)``          variances per component and feature     ``K d``
spherical   ``(K,)``            one variance per component              ``K``
==========  ==================  ======================================  ==================

Scatter matrices are accumulated in *whitened* coordinates :math:`y = \mathrm{root}^{-1} (x - \mu)` of the current
parameters. There a component that fits has scatter near the identity, so that subtracting the mean's part loses no
digits, however narrow or far from the origin the component is.

The prior of a dispersion is inverse Wishart (full, tied) or inverse gamma (diag, spherical), written in one notation
with degrees of freedom :math:`\nu` and scatter :math:`\Psi`; for one variance it is
:math:`\sigma^2 \sim \mathrm{IG}(\nu / 2, \Psi / 2)`.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, multigammaln
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray, Hyperparameter
from emjax.families.frame import Frame
from emjax.families.linalg import cholesky, diagonal, inverse_lower


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
    def unit(self, n_components: int, n_features: int, dtype: Any) -> Array:
        """The dispersion of identity covariances."""

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
    def prior_site(
        self, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter, n_components: int, n_features: int
    ) -> Any:
        """The same prior as a NumPyro distribution."""

    @abc.abstractmethod
    def unconstrain(self, dispersion: AnyArray) -> Array:
        """Log-Cholesky entries, or log standard deviations."""

    @abc.abstractmethod
    def constrain(self, unconstrained: AnyArray, n_features: int) -> Array:
        """The inverse of `unconstrain`."""

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
    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "K d d"]:
        """The covariance matrices, whatever the structure; NumPy in, NumPy out."""

    @abc.abstractmethod
    def smallest_variance(self, root: Array) -> Float[Array, ""]:
        """The smallest (conditional) variance of any component: zero where one has collapsed."""


class _Matrix(CovarianceStructure):
    """What full and tied share: matrices, Cholesky factors, and the inverse Wishart."""

    site: ClassVar[str] = "covariance"
    has_correlation: ClassVar[bool] = True

    def unit(self, n_components: int, n_features: int, dtype: Any) -> Array:
        return jnp.broadcast_to(jnp.eye(n_features, dtype=dtype), self.shape(n_components, n_features))

    def root(self, dispersion: AnyArray) -> Array:
        return cholesky(dispersion)

    def color_scatter(self, root: Array, scatter: Array) -> Array:
        return root @ scatter @ jnp.swapaxes(root, -1, -2)

    def default_scatter(self, x: np.ndarray, n_components: int) -> np.ndarray:
        n_features = x.shape[1]
        covariance = np.atleast_2d(np.cov(x, rowvar=False, bias=True))
        variances = np.diag(covariance)
        spread = np.sqrt(np.outer(variances, variances))
        if np.linalg.eigvalsh(covariance / spread).min() < 1e-8:
            covariance = np.diag(variances)
        return covariance / n_components ** (2 / n_features)

    def default_degrees(self, n_features: int) -> float:
        return n_features + 2.0

    def log_prior(
        self, dispersion: AnyArray, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter
    ) -> Float[Array, ""]:
        d = dispersion.shape[-1]
        root = cholesky(dispersion)
        prior_root = cholesky(scatter)
        half = 0.5 * degrees_of_freedom
        log_det = jnp.sum(jnp.log(diagonal(root)), axis=-1)
        prior_log_det = jnp.sum(jnp.log(diagonal(prior_root)))
        trace = jnp.sum((inverse_lower(root) @ prior_root) ** 2, axis=(-1, -2))
        constant = 2.0 * half * prior_log_det - half * d * jnp.log(2.0) - multigammaln(half, d)
        return jnp.sum(constant - (degrees_of_freedom + d + 1.0) * log_det - 0.5 * trace)

    def _inverse_wishart(self, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter) -> Any:
        import numpyro.distributions as dist

        return dist.InverseWishart(degrees_of_freedom, scale_tril=cholesky(jnp.asarray(scatter)))

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
        return root @ jnp.swapaxes(root, -1, -2)

    def rescale(self, dispersion: AnyArray, scale: Float[AnyArray, " d"]) -> AnyArray:
        # One index more where the matrices are stacked: NumPy in, NumPy out, no promotion of ranks.
        return dispersion * (scale[:, None] * scale[None, :])[(None,) * (dispersion.ndim - 2)]

    def add_diagonal(self, dispersion: Array, variances: Float[Array, " d"]) -> Array:
        return dispersion + jnp.diag(variances)[(None,) * (dispersion.ndim - 2)]

    def smallest_variance(self, root: Array) -> Float[Array, ""]:
        return jnp.min(diagonal(root)) ** 2


class Full(_Matrix):
    """One covariance matrix per component."""

    name: ClassVar[str] = "full"

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components, n_features, n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2

    def whiten(self, root: Array, centred: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return centred @ jnp.swapaxes(inverse_lower(root), -1, -2)

    def color(self, root: Array, whitened: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return whitened @ jnp.swapaxes(root, -1, -2)

    def log_determinant(self, root: Array, n_components: int, n_features: int) -> Float[Array, " K"]:
        return jnp.sum(jnp.log(diagonal(root)), axis=-1)

    def scatter(self, weights: Float[Array, "K n"], y: Float[Array, "K n d"]) -> Array:
        return jnp.swapaxes(y * weights[..., None], -1, -2) @ y

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

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "K d d"]:
        return dispersion


class Tied(_Matrix):
    """One covariance matrix that all components share."""

    name: ClassVar[str] = "tied"
    shared: ClassVar[bool] = True

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_features, n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def whiten(self, root: Array, centred: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return centred @ inverse_lower(root).T

    def color(self, root: Array, whitened: Float[Array, "K n d"]) -> Float[Array, "K n d"]:
        return whitened @ root.T

    def log_determinant(self, root: Array, n_components: int, n_features: int) -> Float[Array, " K"]:
        return jnp.full(n_components, jnp.sum(jnp.log(jnp.diagonal(root))))

    def scatter(self, weights: Float[Array, "K n"], y: Float[Array, "K n d"]) -> Array:
        return jnp.einsum("kni,knj->ij", y * weights[..., None], y)

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

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "K d d"]:
        return dispersion[None] * np.ones((n_components, 1, 1), dispersion.dtype)


class _Variances(CovarianceStructure):
    """What diag and spherical share: variances, standard deviations, and the inverse gamma."""

    site: ClassVar[str] = "variance"

    def unit(self, n_components: int, n_features: int, dtype: Any) -> Array:
        return jnp.ones(self.shape(n_components, n_features), dtype)

    def root(self, dispersion: AnyArray) -> Array:
        return jnp.sqrt(dispersion)

    def color_scatter(self, root: Array, scatter: Array) -> Array:
        return root * root * scatter

    def default_degrees(self, n_features: int) -> float:
        return 3.0

    def log_prior(
        self, dispersion: AnyArray, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter
    ) -> Float[Array, ""]:
        half, rate = 0.5 * degrees_of_freedom, jnp.broadcast_to(0.5 * scatter, dispersion.shape)
        density = half * jnp.log(rate) - gammaln(half) - (half + 1.0) * jnp.log(dispersion)
        return jnp.sum(density - rate / dispersion)

    def prior_site(
        self, degrees_of_freedom: Hyperparameter, scatter: Hyperparameter, n_components: int, n_features: int
    ) -> Any:
        import numpyro.distributions as dist

        shape = self.shape(n_components, n_features)
        return dist.InverseGamma(0.5 * degrees_of_freedom, 0.5 * scatter).expand(shape).to_event(len(shape))

    def unconstrain(self, dispersion: AnyArray) -> Array:
        return 0.5 * jnp.log(dispersion)

    def constrain(self, unconstrained: AnyArray, n_features: int) -> Array:
        return jnp.exp(2.0 * unconstrained)

    def smallest_variance(self, root: Array) -> Float[Array, ""]:
        return jnp.min(root) ** 2


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

    def log_determinant(self, root: Array, n_components: int, n_features: int) -> Float[Array, " K"]:
        return jnp.sum(jnp.log(root), axis=-1)

    def scatter(self, weights: Float[Array, "K n"], y: Float[Array, "K n d"]) -> Array:
        return jnp.einsum("kn,kni->ki", weights, y * y)

    def degrees(self, counts: Float[Array, " K"], n_features: int) -> Array:
        return counts[:, None]

    def prior_degrees(self, degrees_of_freedom: Hyperparameter, n_components: int, n_features: int) -> Array:
        return degrees_of_freedom + 3.0

    def default_scatter(self, x: np.ndarray, n_components: int) -> np.ndarray:
        return x.var(axis=0) / n_components ** (2 / x.shape[1])

    def rescale(self, dispersion: AnyArray, scale: Float[AnyArray, " d"]) -> AnyArray:
        return dispersion * (scale**2)[(None,) * (dispersion.ndim - 1)]

    def add_diagonal(self, dispersion: Array, variances: Float[Array, " d"]) -> Array:
        return dispersion + variances[None, :]

    def log_jacobian(self, n_components: int, frame: Frame) -> Float[Array, ""]:
        return -2.0 * n_components * frame.log_scale()

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "K d d"]:
        return dispersion[..., None] * np.eye(n_features, dtype=dispersion.dtype)[None]


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

    def log_determinant(self, root: Array, n_components: int, n_features: int) -> Float[Array, " K"]:
        return n_features * jnp.log(root)

    def scatter(self, weights: Float[Array, "K n"], y: Float[Array, "K n d"]) -> Array:
        return jnp.einsum("kn,kni->k", weights, y * y)

    def degrees(self, counts: Float[Array, " K"], n_features: int) -> Array:
        return counts * n_features

    def prior_degrees(self, degrees_of_freedom: Hyperparameter, n_components: int, n_features: int) -> Array:
        return degrees_of_freedom + 2.0 + n_features

    def default_scatter(self, x: np.ndarray, n_components: int) -> np.ndarray:
        return np.asarray(np.mean(x.var(axis=0)) / n_components ** (2 / x.shape[1]))

    def rescale(self, dispersion: Hyperparameter, scale: Float[AnyArray, " d"]) -> Any:
        return dispersion * scale[0] ** 2

    def add_diagonal(self, dispersion: Array, variances: Float[Array, " d"]) -> Array:
        return dispersion + jnp.mean(variances)

    def log_jacobian(self, n_components: int, frame: Frame) -> Float[Array, ""]:
        return -2.0 * n_components * jnp.log(frame.scale[0])

    def covariance(self, dispersion: AnyArray, n_components: int, n_features: int) -> Float[AnyArray, "K d d"]:
        return dispersion[:, None, None] * np.eye(n_features, dtype=dispersion.dtype)[None]


STRUCTURES: dict[str, CovarianceStructure] = {s.name: s for s in (Full(), Tied(), Diag(), Spherical())}
"""The structures by the name that `Normal` and the command line take."""
