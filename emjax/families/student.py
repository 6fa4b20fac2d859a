r"""The multivariate Student t family: normal components with heavier tails, in the structures of `Normal`.

.. math::

    \log p(x \mid k) = \log \Gamma\bigl(\tfrac{\nu + d}{2}\bigr) - \log \Gamma\bigl(\tfrac{\nu}{2}\bigr)
    - \tfrac{d}{2} \log \nu \pi - \tfrac12 \log |\Sigma_k|
    - \tfrac{\nu + d}{2} \log \bigl(1 + \tfrac{\delta}{\nu}\bigr),
    \qquad \delta = (x - \mu_k)' \Sigma_k^{-1} (x - \mu_k)

It is a normal law whose precision is multiplied with a latent gamma number :math:`u` of mean one. The E-step takes

.. math::

    E[u \mid x, k] = \frac{\nu + d}{\nu + \delta}, \qquad
    E[\log u \mid x, k] = \psi\bigl(\tfrac{\nu + d}{2}\bigr) - \log \tfrac{\nu + \delta}{2},

and given these the expected log-likelihood falls into two parts: that of a normal law with weights, whose maximiser is
closed, and that of :math:`\nu`, whose maximiser Newton's method finds without a pass over the data. So the objective
never falls. What is missing of a datum drops out, since the rest is Student t again (Liu and Rubin, Statistica Sinica
5, 1995; Peel and McLachlan, "Robust mixture modelling using the t distribution", Statistics and Computing 10, 2000).

The default prior is that of `Normal`, and :math:`\nu_k \sim \mathrm{Gamma}(2, 0.1)`, with mean 20 and most of its mass
between 3 and 50 (Juárez and Steel, Journal of Business and Economic Statistics 28, 2010).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma, gammaln
from jaxtyping import Array, Float

from emjax.bounds import not_negative
from emjax.errors import ConfigError
from emjax.families.arrays import AnyArray, as_floats
from emjax.families.base import Family, Laws
from emjax.families.domains import POSITIVE
from emjax.families.draws import log_gamma
from emjax.families.laws import Gamma, Law
from emjax.families.linalg import PRECISION, cholesky
from emjax.families.newton import newton
from emjax.families.normal import Normal
from emjax.families.normal_step import NormalStatistics
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams, Parameter, Values
from emjax.moments import Summary

_START = 10.0
"""The degrees of freedom of a start."""

_FEWEST, _MOST = 0.05, 1000.0
"""Where degrees of freedom are held: tails that no sample shows, and those that no sample tells from normal ones."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class StudentStatistics(NormalStatistics):
    """Those of a normal family with weights ``r E[u]``, whose sums are ``mass``, and sums of ``r E[log u - u]``."""

    logs: Any = None


@dataclasses.dataclass(frozen=True)
class StudentT(Normal):
    """Multivariate Student t components, for data with outliers.

    The parameters are ``mean`` ``(n_components, n_features)``, the scale matrix in the structure and under the names of
    `Normal` (``covariance``, ``scale``: the covariance of a component is ``df / (df - 2)`` times that, where ``df`` is
    above 2), and the degrees of freedom ``df`` ``(n_components,)``, which are held between 0.05 and 1000.

    Parameters
    ----------
    covariance
        Any structure of `Normal`, ``"full"`` by default.
    df
        The degrees of freedom of all components; estimated where they are left out.
    tied_df
        Whether all components share the degrees of freedom that are estimated.

    Raises
    ------
    ValueError
        If ``covariance`` is none of them, or ``df`` is not above 0.
    """

    df: float | int | None = None
    tied_df: bool = False
    name: ClassVar[str] = "student_t"
    derived: ClassVar[tuple[str, ...]] = (*Normal.derived, "df")
    squares: ClassVar[Mapping[str, str]] = {}
    log_cell: ClassVar[float] = -0.5 * math.log(math.pi)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.df is not None:
            object.__setattr__(self, "df", not_negative("df", self.df))
            if self.df == 0.0:
                raise ConfigError("df = 0 is not allowed; give a number above 0, or leave it out to estimate it")

    @classmethod
    def variants(cls) -> tuple[Family, ...]:
        own = super().variants()
        return *own, *(cls(each.covariance, tied_df=True) for each in own)  # type: ignore[attr-defined]

    # -- the declaration

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        own = {} if self.df is not None else {"df": Parameter(POSITIVE, (), shared=self.tied_df)}
        return {**super().parameters, **own}

    @property
    def sites(self) -> tuple[str, ...]:
        return super().sites if self.df is not None else (*super().sites, "df")

    def reading(self, name: str) -> Parameter:
        return Parameter(POSITIVE, ()) if name == "df" else super().reading(name)

    def derive(self, name: str, params: MixtureParams) -> Any:
        if name != "df":
            return super().derive(name, params)
        mean = params["mean"]
        if self.df is not None:
            return np.full(mean.shape[:-1], self.df, mean.dtype)
        return params["df"][..., None] * np.ones(mean.shape[-2], mean.dtype) if self.tied_df else params["df"]

    def reported(self, n_features: int) -> tuple[str, ...]:
        return super().reported(n_features) if self.df is not None else (*super().reported(n_features), "df")

    def _with_df(self, values: Values, df: Any) -> Values:
        return values if self.df is not None else {**values, "df": df}

    def sites_for(self, given: Laws, default: Laws) -> dict[str, Law]:
        laws = super().sites_for(given, default)
        return laws if self.df is not None else {**laws, "df": given.get("df", default["df"])}

    def from_sites(self, values: Mapping[str, Any]) -> Values:
        found = super().from_sites(values)
        return self._with_df(found, values["df"]) if found and "df" in values else found

    def from_stored(self, stored: Mapping[str, Any]) -> tuple[Family, Values]:
        normal, values = super().from_stored(stored)
        own = {} if self.df is not None else {"df": stored["df"]}
        return StudentT(normal.covariance, df=self.df), {**values, **own}  # type: ignore[attr-defined]

    def moments(self, params: MixtureParams) -> tuple[Any, Any]:
        df = params.df
        factor = np.where(df > 2.0, df / np.where(df > 2.0, df - 2.0, 1.0), np.inf)
        return params.mean, params.covariance * factor[..., None, None]

    def ellipses(self, params: MixtureParams, mass: float) -> tuple[Any, Any]:
        # Half the squared radius follows an F law with 2 and df degrees of freedom, whose quantile is elementary.
        df = params.df
        return params.mean, params.covariance * (df * np.expm1(-2.0 / df * np.log1p(-mass)))[..., None, None]

    def marginal(self, params: MixtureParams, feature: int) -> tuple[Family, Values]:
        _, values = super().marginal(params, feature)
        return StudentT("diag", df=self.df), self._with_df(values, params.df)

    # -- on the host

    def params(self, *, mean: Any, covariance: Any = None, scale: Any = None, df: Any = None) -> Values:  # type: ignore[override]
        """Checked parameters: those of `Normal.params`, and the degrees of freedom.

        Parameters
        ----------
        mean, covariance, scale
            As there; ``covariance`` or ``scale`` are those of the scale matrix.
        df
            One number, or ``(n_components,)``; left out where they are fixed.
        """
        values = super().params(mean=mean, covariance=covariance, scale=scale)
        if self.df is not None:
            if df is not None and not np.all(np.asarray(df) == self.df):
                raise ValueError(f"df is fixed at {self.df:g} here: leave it out")
            return values
        if df is None:
            raise ValueError("df is missing; give the degrees of freedom, of shape (n_components,)")
        given, shape = as_floats(df, "df"), () if self.tied_df else (len(values["mean"]),)
        if given.shape not in ((), shape) or not POSITIVE.holds(given):
            raise ValueError(f"df must be positive and finite and of shape {shape}")
        return {**values, "df": np.broadcast_to(given, shape).copy()}

    def default_prior(self, summary: Summary, n_components: int) -> dict[str, Law]:
        return self._with_df(super().default_prior(summary, n_components), Gamma(np.asarray(2.0), np.asarray(0.1)))

    def pooled(self, summary: Summary, n_components: int) -> Values:
        return self._with_df(
            super().pooled(summary, n_components), np.full(() if self.tied_df else n_components, _START)
        )

    def at_means(self, params: MixtureParams, means: Float[AnyArray, "K d"]) -> Values:
        return self._carrying_df(super().at_means(params, means), params)

    def at_clusters(self, params: MixtureParams, x: np.ndarray, labels: np.ndarray, means: np.ndarray) -> Values:
        return self._carrying_df(super().at_clusters(params, x, labels, means), params)

    def regularize(self, params: Any, ridge: Float[Array, " d"]) -> Values:
        return self._carrying_df(super().regularize(params, ridge), params)

    def _carrying_df(self, values: Values, params: Any) -> Values:
        return values if self.df is not None else {**values, "df": params["df"]}

    # -- the density

    @property
    def natural(self) -> bool:
        return False

    def log_kernel(self, params: MixtureParams, rows: Observations) -> Float[Array, "K n"]:
        distance, log_det, n_seen, df = self._distances(params, rows)
        half = 0.5 * (df + n_seen)
        constant = gammaln(half) - gammaln(0.5 * df) - 0.5 * n_seen * jnp.log(df)
        return rows.of_each(constant) - log_det - rows.of_each(half) * jnp.log1p(distance / df)

    def _distances(self, params: MixtureParams, rows: Observations) -> tuple[Array, Array, Array, Array]:
        """Squared distances ``(K, n)``, half the log determinants, numbers observed ``(1, g)``, degrees of freedom.

        The numbers are those of each group of neighbours that are alike, one where all was observed.
        """
        df = jnp.asarray(params.df)[:, None]
        if rows.seen is not None:
            known = self._conditional(params, rows)
            return known.distance, known.half_log_det, jnp.sum(rows.seen[:, :: rows.n_alike], axis=0)[None, :], df
        root, y = self._whitened(params, rows)
        log_det = self.structure.log_determinant(root, *params.mean.shape)
        n_seen = jnp.full((1, 1), float(rows.y.shape[0]), y.dtype)
        return jnp.sum(y * y, axis=-1), log_det[:, None], n_seen, df

    def statistics(
        self, params: MixtureParams, rows: Observations, responsibilities: Float[Array, "K n"]
    ) -> StudentStatistics:
        distance, _, n_seen, df = self._distances(params, rows)
        scale = rows.of_each(df + n_seen) / (df + distance)
        log_scale = rows.of_each(digamma(0.5 * (df + n_seen))) - jnp.log(0.5 * (df + distance))
        weights = responsibilities * scale
        normal = super().statistics(params, rows, weights)
        second = normal.second
        if rows.seen is not None:
            # The spread of what is missing is that of the scale matrix divided by u, so that u cancels.
            known = self._conditional(params, rows)
            second = second + known.summed_spread(self.structure, responsibilities - weights)
        return StudentStatistics(
            first=normal.first,
            second=second,
            mass=jnp.sum(weights, axis=1),
            logs=jnp.sum(responsibilities * (log_scale - scale), axis=1),
        )

    def sample(self, params: MixtureParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        df = jnp.asarray(params.df)[labels]
        return self._drawn(params, key, labels, 0.5 * df, 0.5 * df)

    def _drawn(self, params: MixtureParams, key: Array, labels: Array, shape: Array, rate: Array) -> Array:
        """Draws given that the latent precisions are gamma numbers of a shape and a rate."""
        scale_key, noise_key = jax.random.split(key)
        root = cholesky(params.covariance)
        noise = jax.random.normal(noise_key, (labels.shape[0], params.mean.shape[1]), params.mean.dtype)
        stretch = jnp.exp(-0.5 * (log_gamma(scale_key, shape) - jnp.log(rate)))
        return params.mean[labels] + stretch[:, None] * jnp.einsum(
            "nij,nj->ni", root[labels], noise, precision=PRECISION
        )

    def filled(self, params: MixtureParams, key: Array, labels: Array, rows: Observations) -> Observations:
        if rows.seen is None:
            return rows
        distance, _, n_seen, _ = self._distances(params, rows)
        own, index = jnp.asarray(params.df)[labels], jnp.arange(labels.shape[0])
        shape, rate = own + rows.of_each(n_seen)[0], own + distance[labels, index]
        drawn = self._drawn(params, key, labels, 0.5 * shape, 0.5 * rate)
        return self._moved_to(params, labels, rows, drawn)

    # -- the M-step

    def maximize(  # type: ignore[override]
        self, statistics: StudentStatistics, counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Values:
        normal = {site: law for site, law in laws.items() if site != "df"}
        values = Normal(self.covariance).maximize(statistics, counts, params, normal)
        return self._with_df(values, None if self.df is not None else self._best_df(statistics, counts, params, laws))

    def _best_df(
        self, statistics: StudentStatistics, counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Array:
        n, logs = (jnp.sum(each) if self.tied_df else each for each in (counts, statistics.logs))

        def objective(free: Float[Array, "b 1"]) -> Float[Array, " b"]:
            df = jnp.exp(free[:, 0])
            half = 0.5 * df
            value = n * (half * jnp.log(half) - gammaln(half)) + half * logs
            # The law has one number for each component, or one for all.
            return value + jnp.broadcast_to(laws["df"].log_prob(jnp.reshape(df, params["df"].shape)), df.shape)

        start = jnp.log(jnp.atleast_1d(params["df"]))[:, None]
        found = jnp.exp(newton(objective, start)[:, 0])
        return jnp.clip(jnp.reshape(found, params["df"].shape), _FEWEST, _MOST)

    def bounded(self, params: MixtureParams) -> MixtureParams:
        if self.df is not None:
            return params
        return MixtureParams(self, {**dict(params.items()), "df": jnp.clip(params["df"], _FEWEST, _MOST)})

    def closed(self, laws: Laws) -> bool:
        return self.df is not None and super().closed(laws)

    def refuses_gibbs(self, laws: Laws) -> str | None:
        return f"{self.name} has no conjugate prior"

    draw_components = Family.draw_components
    log_evidence = Family.log_evidence
