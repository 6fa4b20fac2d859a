r"""The (multivariate) normal family with fourteen covariance structures.

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
normal mixture estimation and model-based clustering", Journal of Classification 24 (2007). Where volume, shape and
orientation are parameters (`emjax.families.decomposed`), these have laws in place of the covariance's: an inverse gamma
of the same scale, normal log-ratios, and uniform rotations.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, cast, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.bounds import one_of
from emjax.catalogue import DEFAULT_STRUCTURE, StructureName
from emjax.families.arrays import AnyArray, as_floats
from emjax.families.base import Family, Laws
from emjax.families.conditional import Conditional, with_matrices, with_variances
from emjax.families.covariance import STRUCTURES, CovarianceStructure
from emjax.families.domains import CORRELATION, POSITIVE, REAL
from emjax.families.frame import Frame, standardizing_frame
from emjax.families.laws import LKJ, Flat, Law, NormalGiven
from emjax.families.linalg import PRECISION, cholesky, diagonal, product
from emjax.families.normal_step import NormalStatistics, estimated, maximized, updated
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams, Parameter, Unit, Values
from emjax.families.singular import explain_singular
from emjax.families.structure import Moments
from emjax.moments import Summary
from emjax.samples import Samples, check_not_constant, check_squares
from emjax.scope import computing

_NARROW_OF_ALL, _NARROW_WITHIN = 2e-3, 5e-2
"""A component is narrow if its variance in some direction is less than these shares of that of all the data and of that
within components. Clusters that lie far apart are narrow beside the data alone, and so in few directions only: in ``d``
of them the first share is ``d`` times as large. The second is smaller by the fourth root of ``d``, since the least of
many ratios is small by chance."""


@dataclasses.dataclass(frozen=True)
class Normal(Family):
    """Normal components of any dimension.

    The parameters are ``mean`` ``(n_components, n_features)`` and, as each structure keeps it, ``covariance``
    (``(K, d, d)`` full, ``(d, d)`` tied), ``variance`` (``(K, d)`` diag, ``(K,)`` spherical), or ``volume`` with
    ``shape`` and ``orientation``, each equal (E) for all components, varying (V) or the identity (I) as the three
    letters of a name say: covariances ``volume orientation diag(shape) orientation'`` with a shape of product one.
    mclust's VVV, EEE, VVI and VII are full, tied, diag and spherical. Whatever the structure, ``params.covariance``
    are matrices ``(K, d, d)`` and ``params.scale`` standard deviations ``(K, d)``.

    A prior may have laws for ``mean``, and for ``covariance`` or ``variance`` or, in place of these, for ``scale``
    (with ``correlation`` where covariances have several features; `emjax.laws.LKJ` of 1 by default); of the three
    letters for ``volume``, ``shape`` and ``orientation``.

    Parameters
    ----------
    covariance
        ``"full"`` (default), ``"tied"``, ``"diag"``, ``"spherical"``, or one of ``EII``, ``EEI``, ``VEI``, ``EVI``,
        ``VEE``, ``EVE``, ``VVE``, ``EEV``, ``VEV`` and ``EVV`` (Celeux and Govaert, Pattern Recognition 28, 1995).

    Raises
    ------
    ConfigError
        If ``covariance`` is none of these.
    """

    covariance: StructureName = DEFAULT_STRUCTURE
    name: ClassVar[str] = "normal"
    derived: ClassVar[tuple[str, ...]] = ("covariance", "scale", "correlation")
    squares: ClassVar[Mapping[str, str]] = {"scale": "variance"}
    log_cell: ClassVar[float] = -0.5 * math.log(2 * math.pi)

    def __post_init__(self) -> None:
        one_of("covariance", self.covariance, STRUCTURES)

    @classmethod
    def variants(cls) -> tuple[Family, ...]:
        # The fewest numbers first: of one feature all structures but the tied one are the same. Those of volumes,
        # shapes and orientations are left out, which nobody writes out by hand.
        return tuple(cls(name) for name in ("spherical", "diag", "tied", "full"))

    @property
    def structures(self) -> tuple[str, ...]:
        return get_args(StructureName)

    @property
    def structure(self) -> CovarianceStructure:
        """The strategy behind the name ``covariance``."""
        return STRUCTURES[self.covariance]

    # -- the declaration

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        return {"mean": Parameter(REAL, ("feature",), Unit.LOCATION), **self.structure.parameters}

    @property
    def sites(self) -> tuple[str, ...]:
        if not self._whole:
            return (*self.structure.parameters, "mean")
        correlation = ("correlation",) if self.structure.has_correlation else ()
        return (self.structure.site, "scale", *correlation, "mean")

    @property
    def _whole(self) -> bool:
        """Whether the dispersion is a parameter, in place of which a prior may have laws of scale and correlation."""
        return self.structure.site in self.structure.parameters

    def site(self, name: str) -> Parameter:
        own = self.structure.parameter
        if name == "scale":
            axes = own.axes[:1]
            return Parameter(POSITIVE, axes, Unit.SCALE, shared=own.shared)
        if name == "correlation":
            return Parameter(CORRELATION, ("feature", "feature"), Unit.NONE, shared=own.shared)
        return self.parameters[name]

    def at_site(self, name: str, params: MixtureParams) -> Any:
        if name not in ("scale", "correlation"):
            return params[name]
        dispersion = self.structure.of(params)
        if not self.structure.has_correlation:
            return jnp.sqrt(dispersion)
        scale = jnp.sqrt(diagonal(dispersion))
        return scale if name == "scale" else dispersion / (scale[..., :, None] * scale[..., None, :])

    def reading(self, name: str) -> Parameter:
        if name == "scale":
            return Parameter(POSITIVE, ("feature",), Unit.SCALE)
        if name == "correlation":
            return Parameter(CORRELATION, ("feature", "feature"))
        if name == "covariance":
            return dataclasses.replace(STRUCTURES["full"].parameter)
        return self.parameters[name]

    def derive(self, name: str, params: MixtureParams) -> Any:
        # Where a component has collapsed there is no correlation: NaN, and nothing to warn of.
        with np.errstate(divide="ignore", invalid="ignore"):
            covariance = self.structure.covariance(self.structure.of(params), *params["mean"].shape[-2:])
            if name == "covariance":
                return covariance
            scale = diagonal(covariance) ** 0.5
            return scale if name == "scale" else covariance / (scale[..., :, None] * scale[..., None, :])

    @property
    def structured(self) -> str | None:
        return self.covariance

    def reported(self, n_features: int) -> tuple[str, ...]:
        correlated = self.structure.has_correlation and n_features > 1
        return ("mean", "scale", "correlation") if correlated else ("mean", "scale")

    def stored(self, n_features: int) -> tuple[str, ...]:
        reported = self.reported(n_features)
        return (*reported, "covariance") if self.structure.has_correlation else reported

    def sites_for(self, given: Laws, default: Laws) -> dict[str, Law]:
        if not self._whole:
            return super().sites_for(given, default)
        own, structure = self.structure.site, self.structure
        chosen = [site for site in (own, "scale", "correlation") if site in given]
        if own in given and len(chosen) > 1:
            raise ValueError(f"prior: give a law of {own} or of {chosen[1]}, not of both")
        mean = given.get("mean", default["mean"])
        if "scale" not in given:
            if "correlation" in given:
                raise ValueError("prior: a law of correlation needs one of scale beside it")
            return {own: given.get(own, default[own]), "mean": mean}
        laws = {"scale": given["scale"]}
        if structure.has_correlation and len(cast(Any, default["mean"]).mean) > 1:
            laws["correlation"] = given.get("correlation", LKJ(np.ones(())))
        return {**laws, "mean": mean}

    def from_sites(self, values: Mapping[str, Any]) -> Values:
        structure = self.structure
        if not self._whole:
            return super().from_sites(values)
        if not {structure.site, "scale"} & set(values):
            return {}
        if structure.site in values:
            dispersion = values[structure.site]
        elif structure.has_correlation:
            scale = values["scale"]
            outer = scale[..., :, None] * scale[..., None, :]
            dispersion = outer * values["correlation"] if "correlation" in values else outer
        else:
            dispersion = values["scale"] ** 2
        mean = {"mean": values["mean"]} if "mean" in values else {}
        return {**mean, structure.site: dispersion}

    def log_volume(self, params: MixtureParams, sites: tuple[str, ...]) -> Float[Array, ""]:
        volume = self.declared.log_volume(params)
        if "scale" not in sites:
            return volume
        log_scale = jnp.log(self.at_site("scale", params))
        if not self.structure.has_correlation:
            return volume - jnp.sum(log_scale + math.log(2.0))
        # From scales and correlations to a covariance: 2^d prod s_i^d.
        d = log_scale.shape[-1]
        return volume - jnp.sum(d * log_scale + math.log(2.0))

    # -- what pictures and comparisons read

    def from_stored(self, stored: Mapping[str, Any]) -> tuple[Family, Values]:
        if "covariance" in stored:
            return Normal("full"), {"mean": stored["mean"], "covariance": stored["covariance"]}
        return Normal("diag"), {"mean": stored["mean"], "variance": stored["scale"] ** 2}

    def moments(self, params: MixtureParams) -> tuple[Any, Any]:
        return params.mean, params.covariance

    def marginal(self, params: MixtureParams, feature: int) -> tuple[Family, Values]:
        one = slice(feature, feature + 1)
        return Normal("diag"), {"mean": params.mean[..., one], "variance": params.scale[..., one] ** 2}

    # -- on the host

    def check(self, samples: Samples) -> None:
        check_squares(samples)
        check_not_constant(samples)

    def frame(self, summary: Summary) -> Frame:
        return standardizing_frame(summary, common_scale=self.structure.common_scale)

    def default_prior(self, summary: Summary, n_components: int) -> dict[str, Law]:
        laws = self.structure.default_laws(summary, n_components)
        return {**laws, "mean": NormalGiven(summary.mean, np.asarray(0.01))}

    def pooled(self, summary: Summary, n_components: int) -> Values:
        # Fewer points than features, or features that determine each other: there is no root of such a matrix, and
        # starts whitened by it would be NaN. The unit matrix holds the variances of standardised data.
        dispersion = self.structure.pooled(summary, n_components)
        if self.structure.singular(dispersion):
            dispersion = self.structure.unit(n_components, summary.n_features)
        return {"mean": np.tile(summary.mean, (n_components, 1)), **self.structure.values(dispersion)}

    def params(self, *, mean: Any, covariance: Any = None, scale: Any = None) -> Values:  # type: ignore[override]
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
        return {"mean": mean, **self.structure.values(dispersion)}

    def _dispersion(self, mean: np.ndarray, covariance: Any, scale: Any) -> np.ndarray:
        shape = self.structure.shape(*mean.shape)
        if covariance is None:
            with np.errstate(over="ignore", under="ignore"):
                variances = as_floats(scale, "scale").reshape(mean.shape) ** 2
            covariance = np.where(np.eye(mean.shape[1], dtype=bool), variances[..., None], 0.0)
        value = as_floats(covariance, "covariance")
        if value.shape == shape:
            if self._whole:
                return value
            value = np.asarray(self.structure.covariance(value, *mean.shape))
        if value.shape != (*mean.shape, mean.shape[1]):
            raise ValueError(f"covariance of shape {value.shape} does not fit {self.covariance!r}: expected {shape}")
        narrowed = self.structure.nearest(value)
        if not np.allclose(self.structure.covariance(narrowed, *mean.shape), value, rtol=1e-10):
            raise ValueError(f"these covariance matrices are not {self.covariance}")
        return narrowed

    def at_means(self, params: MixtureParams, means: Float[AnyArray, "K d"]) -> Values:
        return {**{name: params[name] for name in self.structure.parameters}, "mean": means}

    def at_clusters(self, params: MixtureParams, x: np.ndarray, labels: np.ndarray, means: np.ndarray) -> Values:
        dispersion = self.structure.of_clusters(x, labels, self.structure.of(params), len(means))
        return {"mean": means, **self.structure.values(dispersion)}

    def explain_degenerate(self, samples: Samples, params: MixtureParams) -> str | None:
        return explain_singular(samples, params.mean, params.scale, correlated=self.structure.has_correlation)

    # -- the density

    @property
    def shares_patterns(self) -> bool:
        return self.structure.has_correlation

    def log_kernel(self, params: MixtureParams, rows: Observations) -> Float[Array, "K n"]:
        if rows.seen is not None:
            return self._conditional(params, rows).log_density
        root, y = self._whitened(params, rows)
        log_det = self.structure.log_determinant(root, *params.mean.shape)
        return -0.5 * jnp.sum(y * y, axis=-1) - log_det[:, None]

    def _whitened(self, params: MixtureParams, rows: Observations) -> tuple[Array, Array]:
        root = self.structure.root(self.structure.of(params))
        return root, self.structure.whiten(root, jnp.asarray(rows.x)[None, :, :] - params.mean[:, None, :])

    def _conditional(self, params: MixtureParams, rows: Observations) -> Conditional:
        """What is known of the missing cells, as matrices or variances ``(K, ...)`` whatever the structure."""
        x, seen = jnp.asarray(rows.x), rows.seen.T
        if self.structure.has_correlation:
            return with_matrices(jnp.asarray(params.covariance), params.mean, x, seen, rows.n_alike)
        return with_variances(jnp.asarray(params.scale) ** 2, params.mean, x, seen)

    def statistics(
        self, params: MixtureParams, rows: Observations, responsibilities: Float[Array, "K n"]
    ) -> NormalStatistics:
        if rows.seen is not None:
            known = self._conditional(params, rows)
            return NormalStatistics(
                first=jnp.einsum("kn,kni->ki", responsibilities, known.filled, precision=PRECISION),
                second=self.structure.scatter(responsibilities, known.filled)
                + known.summed_spread(self.structure, responsibilities),
            )
        # Summed in whitened coordinates, where a component that fits has scatter near the identity: no digit is lost,
        # however narrow or far from the origin it is.
        root, y = self._whitened(params, rows)
        first = jnp.einsum("kn,kni->ki", responsibilities, y, precision=PRECISION)
        return NormalStatistics(
            first=self.structure.color(root, first[:, None, :])[:, 0, :],
            second=self.structure.color_scatter(root, self.structure.scatter(responsibilities, y)),
        )

    def sufficient_statistics(self, rows: Observations) -> Float[Array, "p n"]:
        return jnp.concatenate([jnp.ones_like(rows.y[:1]), rows.y, self.structure.products(rows.y)])

    def natural_parameters(self, params: MixtureParams, *, holes: bool = False) -> Float[Array, "K p"]:
        root = self.structure.root(self.structure.of(params))
        linear, quadratic = self.structure.natural(root, params.mean)
        log_det = self.structure.log_determinant(root, *params.mean.shape)
        constant = -0.5 * jnp.sum(linear * params.mean, axis=1) - log_det
        return jnp.concatenate([constant[:, None], linear, quadratic], axis=1)

    def from_moments(self, params: MixtureParams, moments: Float[Array, "K p"]) -> NormalStatistics:
        d = params.mean.shape[1]
        split = Moments(moments[:, 0], moments[:, 1 : d + 1], moments[:, d + 1 :])
        return NormalStatistics(
            first=split.sums - split.counts[:, None] * params.mean,
            second=self.structure.centred_products(split, params.mean),
        )

    def cancellation(self, params: MixtureParams) -> Float[Array, ""]:
        return self.structure.cancellation(self.structure.root(self.structure.of(params)), params.mean)

    def sample(self, params: MixtureParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        root = cholesky(params.covariance)
        noise = jax.random.normal(key, (labels.shape[0], params.mean.shape[1]), params.mean.dtype)
        return params.mean[labels] + jnp.einsum("nij,nj->ni", root[labels], noise, precision=PRECISION)

    def filled(self, params: MixtureParams, key: Array, labels: Array, rows: Observations) -> Observations:
        if rows.seen is None:
            return rows
        # A whole draw, moved by what its observed part is off (Doucet, "A note on efficient conditional simulation of
        # Gaussian distributions", 2010): one draw and one projection, whatever is missing.
        return self._moved_to(params, labels, rows, self.sample(params, key, labels))

    def _moved_to(self, params: MixtureParams, labels: Array, rows: Observations, drawn: Array) -> Observations:
        """Whole draws, moved by what their observed part is off."""
        own = MixtureParams(
            self, {"mean": jnp.zeros_like(params.mean), **{n: params[n] for n in self.parameters if n != "mean"}}
        )
        off = dataclasses.replace(rows, y=rows.y - drawn.T)
        moved = self._conditional(own, off).filled[labels, jnp.arange(labels.shape[0])]
        return Observations(y=jnp.where(rows.seen > 0, rows.y, (drawn + moved).T), labels=rows.labels)

    # -- the M-step and conjugate laws

    def maximize(
        self, statistics: NormalStatistics, counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Values:
        if self.closed(laws):
            return estimated(self, statistics, counts, params, laws)
        return maximized(self, statistics, counts, params, laws)

    def closed(self, laws: Laws) -> bool:
        return self._unconjugate(laws, flat=True) is None

    def _unconjugate(self, laws: Laws, *, flat: bool) -> str | None:
        """The first site whose law is not conjugate, a flat one counted as such or not."""
        kinds: dict[str, Any] = {"mean": NormalGiven, **dict.fromkeys(self.structure.parameters, Flat)}
        if self._whole:
            kinds[self.structure.site] = self.structure.law
        for site, law in laws.items():
            if flat and isinstance(law, Flat) and site in kinds:
                continue
            if site not in kinds or not isinstance(law, kinds[site]):
                return site
        return None

    def refuses_gibbs(self, laws: Laws) -> str | None:
        if not self._whole:
            return f"covariances of the structure {self.covariance} have no conjugate law"
        site = self._unconjugate(laws, flat=False)
        if site is None:
            return None
        return (
            f"the law of {site} is {type(laws[site]).__name__}, and what is conjugate is {self.structure.law.__name__} "
            f"for {self.structure.site} and NormalGiven for mean"
        )

    def draw_components(
        self, key: Array, statistics: NormalStatistics, counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Values:
        # The covariance with its mean integrated out, then the mean given that covariance: one exact joint draw.
        structure = self.structure
        dispersion_key, mean_key = jax.random.split(key)
        mean, law = updated(self, statistics, counts, params, laws)
        dispersion, root = structure.draw(dispersion_key, law)
        noise = jax.random.normal(mean_key, mean.mean.shape, mean.mean.dtype)
        spread = structure.color(root, noise[:, None, :])[:, 0, :]
        return {"mean": mean.mean + spread / jnp.sqrt(mean.precision)[:, None], structure.site: dispersion}

    def log_evidence(
        self, statistics: NormalStatistics, counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Float[Array, ""]:
        mean, after = updated(self, statistics, counts, params, laws)
        shape = self.structure.shape(*params.mean.shape)
        none = jnp.zeros(shape, counts.dtype)
        before = cast(Any, laws[self.structure.site]).updated(0.0 * self.structure.degrees(counts, shape[-1]), none)
        precision = cast(Any, laws["mean"]).precision
        means = 0.5 * params.mean.shape[1] * jnp.sum(jnp.log(precision / mean.precision))
        return jnp.sum(before.log_normalizer - after.log_normalizer) + means

    # -- optima that say nothing of the population

    def regularize(self, params: Any, ridge: Float[Array, " d"]) -> Values:
        dispersion = self.structure.add_diagonal(self.structure.of(params), ridge)
        return {"mean": params["mean"], **self.structure.values(dispersion)}

    def degenerate(self, params: MixtureParams) -> Array:
        return self.structure.collapsed(self.structure.root(self.structure.of(params)), jnp.asarray(params.mean))

    def resolution(self, params: MixtureParams) -> Float[Array, ""]:
        return self.structure.resolution(self.structure.root(self.structure.of(params)))

    def points_without_bound(self, n_features: int) -> int:
        return self.structure.points_without_bound(n_features)

    def narrow(self, params: MixtureParams, weights: AnyArray, xp: Any = np) -> AnyArray:
        if self.structure.shared:
            return xp.zeros(weights.shape, bool)
        mean, covariance = params.mean, params.covariance
        within = (weights[:, None, None] * covariance).sum(axis=0)
        away = mean - (weights[:, None] * mean).sum(axis=0)[None, :]
        # What all the data have, at any stationary point of the likelihood.
        total = within + product((weights[:, None] * away).T, away)
        of_all, inside = (
            self.structure.smallest_ratio(self.structure.of(params), each, xp) for each in (total, within)
        )
        n_directions = mean.shape[1] if self.structure.has_correlation else 1
        return (of_all < _NARROW_OF_ALL * n_directions) & (inside < _NARROW_WITHIN * n_directions**-0.25)
