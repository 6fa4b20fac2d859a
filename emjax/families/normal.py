r"""The (multivariate) normal family with four covariance structures.

.. math::

    \log p(x \mid k) = -\tfrac12 \lVert y \rVert^2 - \log\det \mathrm{root}_k - \tfrac{d}{2} \log 2\pi,
    \qquad y = \mathrm{root}_k^{-1} (x - \mu_k)

The prior is conjugate: normal-inverse-Wishart for full and tied covariances, normal-inverse-gamma for diag and
spherical ones,

.. math::

    \mu_k \mid \Sigma_k \sim N(m_0, \Sigma_k / \kappa_0), \qquad \Sigma_k \sim \mathrm{IW}(\nu_0, \Psi_0) .

By default :math:`m_0` is the data's mean, :math:`\kappa_0 = 0.01`, :math:`\nu_0 = d + 2` (3 for single variances),
and :math:`\Psi_0 = S / K^{2/d}` with :math:`S` the data's covariance (its diagonal, or its mean variance): K
components that share out the data's volume. This is the prior of Fraley and Raftery, "Bayesian regularization for
normal mixture estimation and model-based clustering", Journal of Classification 24 (2007).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.bounds import one_of
from emjax.families import moments
from emjax.families.arrays import AnyArray, as_floats
from emjax.families.base import Family
from emjax.families.covariance import STRUCTURES, CovarianceStructure
from emjax.families.frame import Frame, standardizing_frame
from emjax.families.linalg import PRECISION, cholesky, diagonal, product
from emjax.families.singular import explain_singular
from emjax.families.structure import Moments
from emjax.samples import Samples, check_not_constant, check_squares
from emjax.scope import computing
from emjax.shown import Shown

_LOG_TWO_PI = math.log(2 * math.pi)

_NARROW_OF_ALL, _NARROW_WITHIN = 2e-3, 5e-2
"""A component is narrow if its variance in some direction is less than these shares of that of all the data and of that
within components. Clusters that lie far apart are narrow beside the data alone, and so in few directions only: in ``d``
of them the first share is ``d`` times as large. The second is smaller by the fourth root of ``d``, since the least of
many ratios is small by chance."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class NormalParams(Shown):
    """Means and dispersions of all components.

    Attributes
    ----------
    mean
        Shape ``(n_components, n_features)``.
    dispersion
        The structure's own array: ``(K, d, d)`` full, ``(d, d)`` tied, ``(K, d)`` variances, ``(K,)`` spherical.
    structure
        The covariance structure (static).
    """

    mean: Any
    dispersion: Any
    structure: CovarianceStructure = dataclasses.field(metadata={"static": True})

    @property
    def covariance(self) -> Any:
        """Covariance matrices, shape ``(n_components, n_features, n_features)``, whatever the structure.

        Where parameters are stacked, such as the draws of a posterior, these axes lead here as well.
        """
        return self.structure.covariance(self.dispersion, *self.mean.shape[-2:])

    @property
    def scale(self) -> Any:
        """Marginal standard deviations, shape ``(n_components, n_features)``."""
        return diagonal(self.covariance) ** 0.5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class NormalPrior(Shown):
    """A conjugate prior of one component: ``mean | covariance ~ N(mean, covariance / precision)``.

    Attributes
    ----------
    mean
        Shape ``(n_features,)``.
    precision
        How many observations the prior mean is worth, :math:`\\kappa_0`.
    degrees_of_freedom
        :math:`\\nu_0` of the inverse Wishart; an inverse gamma has shape :math:`\\nu_0 / 2`.
    scatter
        :math:`\\Psi_0`: ``(d, d)`` for full and tied, ``(d,)`` for diag, ``()`` for spherical.
    """

    mean: Any
    precision: Any
    degrees_of_freedom: Any
    scatter: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class NormalStatistics(Shown):
    """Sums over the data of ``r c`` and ``r c c'``, with ``c = x - mean`` of the parameters they were taken at."""

    first: Any
    second: Any


@dataclasses.dataclass(frozen=True)
class Normal(Family):
    """Normal components of any dimension.

    Parameters
    ----------
    covariance
        ``"full"`` (default), ``"tied"``, ``"diag"`` or ``"spherical"``.

    Raises
    ------
    ValueError
        If ``covariance`` is none of the four.
    """

    covariance: Literal["full", "tied", "diag", "spherical"] = "full"
    name: ClassVar[str] = "normal"
    params_type: ClassVar[type] = NormalParams
    links: ClassVar[dict[str, str]] = {"mean": "identity", "scale": "log", "correlation": "atanh"}

    def __post_init__(self) -> None:
        one_of("covariance", self.covariance, STRUCTURES)

    @property
    def structure(self) -> CovarianceStructure:
        """The strategy behind the name ``covariance``."""
        return STRUCTURES[self.covariance]

    # -- on the host

    def check(self, samples: Samples) -> None:
        check_squares(samples)
        check_not_constant(samples)

    def frame(self, x: np.ndarray) -> Frame:
        return standardizing_frame(x, common_scale=self.structure.common_scale)

    def default_prior(self, x: np.ndarray, n_components: int) -> NormalPrior:
        return NormalPrior(
            mean=moments.mean(x),
            precision=np.asarray(0.01),
            degrees_of_freedom=np.asarray(self.structure.default_degrees(x.shape[1])),
            scatter=np.asarray(self.structure.default_scatter(x, n_components)),
        )

    def pooled(self, x: Any, n_components: int) -> NormalParams:
        # Fewer points than features, or features that determine each other: there is no root of such a matrix, and
        # starts whitened by it would be NaN. The unit matrix holds the variances of standardised data.
        dispersion = self.structure.pooled(x, n_components)
        if self.structure.singular(dispersion):
            dispersion = self.structure.unit(n_components, x.shape[1])
        return NormalParams(np.tile(moments.mean(x), (n_components, 1)), dispersion, self.structure)

    def params(self, *, mean: Any, covariance: Any = None, scale: Any = None) -> NormalParams:  # type: ignore[override]
        """Checked parameters.

        Parameters
        ----------
        mean
            Shape ``(n_components, n_features)``; ``(n_components,)`` means one feature.
        covariance
            The structure's own array or matrices ``(n_components, n_features, n_features)``.
        scale
            Standard deviations ``(n_components, n_features)``, in place of ``covariance``.
        """
        mean = as_floats(mean, "mean")
        mean = mean[:, None] if mean.ndim == 1 else mean
        if mean.ndim != 2 or not np.isfinite(mean).all():
            raise ValueError(f"mean must be finite and of shape (n_components, n_features), not {mean.shape}")
        if (covariance is None) == (scale is None):
            raise ValueError("give either covariance or scale")
        dispersion = self._dispersion(mean, covariance, scale)
        variances = diagonal(self.structure.covariance(dispersion, *mean.shape))
        if np.isinf(variances).any() or (scale is not None and (variances == 0).any() and np.asarray(scale).all()):
            raise ValueError("the square of a scale, or a covariance, does not fit float64: take other units")
        with computing():  # float32 would refuse scales of 1e20, and a correlation of 1 - 1e-9
            root = np.asarray(self.structure.root(jnp.asarray(dispersion)))
        positive = (diagonal(root) if self.structure.has_correlation else root) > 0
        if not (variances > 0).all() or not positive.all():
            raise ValueError("covariance must be positive definite")
        return NormalParams(mean=mean, dispersion=dispersion, structure=self.structure)

    def _dispersion(self, mean: np.ndarray, covariance: Any, scale: Any) -> np.ndarray:
        shape = self.structure.shape(*mean.shape)
        if covariance is None:
            with np.errstate(over="ignore", under="ignore"):
                variances = as_floats(scale, "scale").reshape(mean.shape) ** 2
            covariance = np.where(np.eye(mean.shape[1], dtype=bool), variances[..., None], 0.0)
        value = as_floats(covariance, "covariance")
        if value.shape == shape:
            return value
        if value.shape != (*mean.shape, mean.shape[1]):
            raise ValueError(f"covariance of shape {value.shape} does not fit {self.covariance!r}: expected {shape}")
        narrowed = _narrow(value, self.covariance)
        if not np.allclose(self.structure.covariance(narrowed, *mean.shape), value, rtol=1e-10):
            raise ValueError(f"these covariance matrices are not {self.covariance}")
        return narrowed

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features + self.structure.n_parameters(n_components, n_features)

    def space(self, n_features: int) -> str:
        return f"(weights, mean, {self.structure.site})"

    # -- under jit

    def log_kernel(self, params: NormalParams, x: Float[AnyArray, "n d"]) -> Float[Array, "K n"]:
        root, y = self._whitened(params, x)
        log_det = self.structure.log_determinant(root, *params.mean.shape)
        return -0.5 * jnp.sum(y * y, axis=-1) - log_det[:, None]

    def log_base_measure(self, x: Float[AnyArray, "n d"]) -> Float[Array, " n"]:
        return jnp.full(x.shape[0], -0.5 * x.shape[1] * _LOG_TWO_PI, jnp.result_type(x))

    def _whitened(self, params: NormalParams, x: Float[AnyArray, "n d"]) -> tuple[Array, Array]:
        root = self.structure.root(params.dispersion)
        return root, self.structure.whiten(root, jnp.asarray(x)[None, :, :] - params.mean[:, None, :])

    def statistics(
        self, params: NormalParams, x: Float[AnyArray, "n d"], responsibilities: Float[Array, "K n"]
    ) -> NormalStatistics:
        # Summed in whitened coordinates, where a component that fits has scatter near the identity: no digit is lost,
        # however narrow or far from the origin it is.
        root, y = self._whitened(params, x)
        first = jnp.einsum("kn,kni->ki", responsibilities, y, precision=PRECISION)
        return NormalStatistics(
            first=self.structure.color(root, first[:, None, :])[:, 0, :],
            second=self.structure.color_scatter(root, self.structure.scatter(responsibilities, y)),
        )

    def sufficient_statistics(self, x: Float[Array, "d n"]) -> Float[Array, "p n"]:
        return jnp.concatenate([jnp.ones_like(x[:1]), x, self.structure.products(x)])

    def natural_parameters(self, params: NormalParams) -> Float[Array, "K p"]:
        root = self.structure.root(params.dispersion)
        linear, quadratic = self.structure.natural(root, params.mean)
        log_det = self.structure.log_determinant(root, *params.mean.shape)
        constant = -0.5 * jnp.sum(linear * params.mean, axis=1) - log_det
        return jnp.concatenate([constant[:, None], linear, quadratic], axis=1)

    def from_moments(self, params: NormalParams, moments: Float[Array, "K p"]) -> NormalStatistics:
        d = params.mean.shape[1]
        split = Moments(moments[:, 0], moments[:, 1 : d + 1], moments[:, d + 1 :])
        return NormalStatistics(
            first=split.sums - split.counts[:, None] * params.mean,
            second=self.structure.centred_products(split, params.mean),
        )

    def cancellation(self, params: NormalParams) -> Float[Array, ""]:
        return self.structure.cancellation(self.structure.root(params.dispersion), params.mean)

    def maximize(
        self, statistics: NormalStatistics, counts: Float[Array, " K"], params: NormalParams, prior: Any
    ) -> NormalParams:
        structure = self.structure
        mean, scatter = self._mean_and_scatter(statistics, counts, params)
        degrees = structure.degrees(counts, mean.shape[1])
        if prior is None:
            degrees = jnp.maximum(degrees, jnp.finfo(counts.dtype).tiny)
            return NormalParams(mean=mean, dispersion=scatter / degrees, structure=structure)
        mean, scatter = self._with_prior(mean, scatter, counts, prior)
        degrees = degrees + structure.prior_degrees(prior.degrees_of_freedom, *mean.shape)
        return NormalParams(mean=mean, dispersion=scatter / degrees, structure=structure)

    def draw_components(
        self, key: Array, statistics: NormalStatistics, counts: Float[Array, " K"], params: NormalParams, prior: Any
    ) -> NormalParams:
        # The covariance with its mean integrated out, then the mean given that covariance: one exact joint draw.
        structure = self.structure
        dispersion_key, mean_key = jax.random.split(key)
        mean, scatter = self._with_prior(*self._mean_and_scatter(statistics, counts, params), counts, prior)
        degrees = prior.degrees_of_freedom + structure.degrees(counts, mean.shape[1])
        dispersion, root = structure.draw(dispersion_key, degrees, scatter)
        noise = jax.random.normal(mean_key, mean.shape, mean.dtype)
        spread = structure.color(root, noise[:, None, :])[:, 0, :]
        mean = mean + spread / jnp.sqrt(prior.precision + counts)[:, None]
        return NormalParams(mean=mean, dispersion=dispersion, structure=structure)

    def log_evidence(
        self, statistics: NormalStatistics, counts: Float[Array, " K"], params: NormalParams, prior: Any
    ) -> Float[Array, ""]:
        structure, d = self.structure, params.mean.shape[1]
        _, scatter = self._with_prior(*self._mean_and_scatter(statistics, counts, params), counts, prior)
        prior_scatter = jnp.broadcast_to(prior.scatter, scatter.shape)
        degrees = structure.degrees(counts, d)
        # Of one number for each dispersion, whatever the shape that multiplies a scatter has.
        degrees = degrees[..., 0, 0] if degrees.ndim == 3 else degrees
        before = structure.log_normalizer(prior.degrees_of_freedom + 0.0 * degrees, prior_scatter)
        after = structure.log_normalizer(prior.degrees_of_freedom + degrees, scatter)
        means = 0.5 * d * jnp.sum(jnp.log(prior.precision / (prior.precision + counts)))
        return jnp.sum(before - after) + means

    def _mean_and_scatter(
        self, statistics: NormalStatistics, counts: Float[Array, " K"], params: NormalParams
    ) -> tuple[Float[Array, "K d"], Array]:
        """The data's means, and their scatter about these."""
        shift = statistics.first / jnp.maximum(counts, jnp.finfo(counts.dtype).tiny)[:, None]
        # sum r (c - m)(c - m)' = sum r c c' - N m m': near the optimum the shift m is near zero, so nothing cancels.
        scatter = statistics.second - self.structure.scatter(counts[:, None], shift[:, None, :])
        return params.mean + shift, scatter

    def _with_prior(
        self, mean: Float[Array, "K d"], scatter: Array, counts: Float[Array, " K"], prior: NormalPrior
    ) -> tuple[Float[Array, "K d"], Array]:
        """The mean and scatter of the normal-inverse-Wishart posterior."""
        precision = prior.precision
        shrink = precision * counts / (precision + counts)
        distance = self.structure.scatter(shrink[:, None], (mean - prior.mean[None, :])[:, None, :])
        mean = (precision * prior.mean[None, :] + counts[:, None] * mean) / (precision + counts)[:, None]
        return mean, scatter + jnp.broadcast_to(prior.scatter, scatter.shape) + distance

    def at_means(self, params: NormalParams, means: Float[AnyArray, "K d"]) -> NormalParams:
        return dataclasses.replace(params, mean=means)

    def at_clusters(self, params: NormalParams, x: np.ndarray, labels: np.ndarray, means: np.ndarray) -> NormalParams:
        return NormalParams(means, self.structure.of_clusters(x, labels, params.dispersion, len(means)), self.structure)

    def regularize(self, params: NormalParams, ridge: Float[Array, " d"]) -> NormalParams:
        return dataclasses.replace(params, dispersion=self.structure.add_diagonal(params.dispersion, ridge))

    def degenerate(self, params: NormalParams) -> Array:
        return self.structure.collapsed(self.structure.root(params.dispersion), jnp.asarray(params.mean))

    def resolution(self, params: NormalParams) -> Float[Array, ""]:
        return self.structure.resolution(self.structure.root(params.dispersion))

    def points_without_bound(self, n_features: int) -> int:
        return self.structure.points_without_bound(n_features)

    def narrow(self, params: NormalParams, weights: AnyArray, xp: Any = np) -> AnyArray:
        if self.structure.shared:
            return xp.zeros(weights.shape, bool)
        mean, covariance = params.mean, params.covariance
        within = (weights[:, None, None] * covariance).sum(axis=0)
        away = mean - (weights[:, None] * mean).sum(axis=0)[None, :]
        # What all the data have, at any stationary point of the likelihood.
        total = within + product((weights[:, None] * away).T, away)
        of_all, inside = (self.structure.smallest_ratio(params.dispersion, each, xp) for each in (total, within))
        n_directions = mean.shape[1] if self.structure.has_correlation else 1
        return (of_all < _NARROW_OF_ALL * n_directions) & (inside < _NARROW_WITHIN * n_directions**-0.25)

    def explain_degenerate(self, samples: Samples, params: NormalParams) -> str | None:
        return explain_singular(samples, params.mean, params.scale, correlated=self.structure.has_correlation)

    def log_prior(self, params: NormalParams, prior: NormalPrior) -> Float[Array, ""]:
        structure, (k, d) = self.structure, params.mean.shape
        root = structure.root(params.dispersion)
        y = structure.whiten(root, jnp.asarray(params.mean - prior.mean[None, :])[:, None, :])
        log_det = structure.log_determinant(root, k, d)
        mean_density = -0.5 * prior.precision * jnp.sum(y * y) - jnp.sum(log_det)
        constant = 0.5 * k * d * (jnp.log(prior.precision) - _LOG_TWO_PI)
        return mean_density + constant + structure.log_prior(params.dispersion, prior.degrees_of_freedom, prior.scatter)

    def unconstrain(self, params: NormalParams) -> dict[str, Array]:
        return {"mean": jnp.asarray(params.mean), "log_cholesky": self.structure.unconstrain(params.dispersion)}

    def constrain(self, unconstrained: dict[str, AnyArray]) -> NormalParams:
        mean = unconstrained["mean"]
        dispersion = self.structure.constrain(unconstrained["log_cholesky"], mean.shape[1])
        return NormalParams(mean=mean, dispersion=dispersion, structure=self.structure)

    def permute_unconstrained(self, unconstrained: dict[str, AnyArray], permutation: AnyArray) -> dict[str, AnyArray]:
        if not self.structure.shared:
            return {name: value[permutation] for name, value in unconstrained.items()}
        return {**unconstrained, "mean": unconstrained["mean"][permutation]}

    def log_volume(self, params: NormalParams) -> Float[Array, ""]:
        return self.structure.log_volume(params.dispersion)

    def to_frame(self, params: NormalParams, frame: Frame) -> NormalParams:
        mean = frame.apply(params.mean)
        dispersion = self.structure.rescale(params.dispersion, 1.0 / frame.scale)
        return NormalParams(mean=mean, dispersion=dispersion, structure=self.structure)

    def from_frame(self, params: NormalParams, frame: Frame) -> NormalParams:
        mean = frame.invert(params.mean)
        dispersion = self.structure.rescale(params.dispersion, frame.scale)
        return NormalParams(mean=mean, dispersion=dispersion, structure=self.structure)

    def prior_to_frame(self, prior: NormalPrior, frame: Frame) -> NormalPrior:
        return NormalPrior(
            mean=(prior.mean - frame.shift) / frame.scale,
            precision=prior.precision,
            degrees_of_freedom=prior.degrees_of_freedom,
            scatter=self.structure.rescale(prior.scatter, 1.0 / frame.scale),
        )

    def log_prior_jacobian(self, n_components: int, frame: Frame) -> Float[Array, ""]:
        return self.structure.log_jacobian(n_components, frame) - n_components * frame.log_scale()

    def named_parameters(self, params: NormalParams) -> dict[str, AnyArray]:
        named = {"mean": params.mean, "scale": params.scale}
        if self.structure.has_correlation and params.mean.shape[-1] > 1:
            scale = params.scale
            named["correlation"] = params.covariance / (scale[..., :, None] * scale[..., None, :])
        return named

    def stored_parameters(self, params: NormalParams) -> dict[str, Any]:
        stored = self.named_parameters(params)
        return {**stored, "covariance": params.covariance} if self.structure.has_correlation else stored

    def permute(self, params: NormalParams, permutation: AnyArray) -> NormalParams:
        dispersion = params.dispersion if self.structure.shared else params.dispersion[permutation]
        return NormalParams(mean=params.mean[permutation], dispersion=dispersion, structure=self.structure)

    def sample(self, params: NormalParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        k, d = params.mean.shape
        root = cholesky(self.structure.covariance(params.dispersion, k, d))
        noise = jax.random.normal(key, (labels.shape[0], d), params.mean.dtype)
        return params.mean[labels] + jnp.einsum("nij,nj->ni", root[labels], noise, precision=PRECISION)

    # -- for the bridge to NumPyro

    def numpyro_support(self) -> Any:
        from numpyro.distributions import constraints

        return constraints.real_vector

    def prior_sites(self, prior: NormalPrior, n_components: int) -> dict[str, Callable[[Mapping[str, AnyArray]], Any]]:
        import numpyro.distributions as dist

        structure, d = self.structure, prior.mean.shape[0]

        def mean_site(values: Mapping[str, AnyArray]) -> Any:
            covariance = structure.covariance(values[structure.site], n_components, d)
            if structure.has_correlation:
                tril = cholesky(covariance) / jnp.sqrt(prior.precision)
                return dist.MultivariateNormal(prior.mean, scale_tril=tril).to_event(1)
            scale = jnp.sqrt(diagonal(covariance) / prior.precision)
            return dist.Normal(jnp.broadcast_to(prior.mean[None, :], scale.shape), scale).to_event(2)

        return {
            structure.site: lambda values: structure.prior_site(
                prior.degrees_of_freedom, prior.scatter, n_components, d
            ),
            "mean": mean_site,
        }

    def to_sites(self, params: NormalParams) -> dict[str, AnyArray]:
        return {self.structure.site: params.dispersion, "mean": params.mean}

    def from_sites(self, values: Mapping[str, AnyArray]) -> NormalParams:
        return NormalParams(mean=values["mean"], dispersion=values[self.structure.site], structure=self.structure)


def _narrow(covariance: np.ndarray, name: str) -> np.ndarray:
    """Matrices ``(K, d, d)`` as the structure's own array, without a check that nothing is lost."""
    if name == "tied":
        return covariance[0]
    variances = np.diagonal(covariance, axis1=-2, axis2=-1)
    return variances.copy() if name == "diag" else variances[:, 0].copy()
