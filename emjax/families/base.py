"""What a component family owes the rest of emjax; the contributor's guide builds one from this page.

A family knows one density and everything that follows from it. It declares its parameters (`emjax.families.parameters`)
and the laws of its default prior (`emjax.families.laws`); coordinates, names, counts, checks, NumPyro sites and the
prior's density follow from these and are written here, once. What is left to a family is its density, in one of three
forms:

`Family`
    ``log_kernel`` alone. Its statistics are the gradient and the Hessian of the expected log density, its M-step one
    damped Newton step from them (Lange, "A gradient algorithm locally equivalent to the EM algorithm", Journal of the
    Royal Statistical Society B 57, 1995).
a natural form
    ``sufficient_statistics`` and ``natural_parameters``: an iteration of EM is two matrix products, which all
    components and all starts share.
`emjax.families.scalar.ScalarFamily`
    One number, from which several features, missing cells and the M-step follow.

Nothing outside a family's file names a density. Inside, arrays are component-major, ``(n_components, n_samples)``, and
the datum is on the last axis, because that is the fast layout for few components; the public face is sample-major.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray
from emjax.families.ascent import ascend, derivatives
from emjax.families.draws import drawn_moments
from emjax.families.frame import Frame, identity_frame
from emjax.families.laws import Law
from emjax.families.linalg import product
from emjax.families.observations import Observations, observed
from emjax.families.parameters import Declared, MixtureParams, Parameter, Values
from emjax.moments import Summary
from emjax.samples import Samples

_FEW = 3.5

Laws = Mapping[str, Law]
"""The laws of a family's sites; `emjax.families.laws.Flat` for maximum likelihood."""


@dataclasses.dataclass(frozen=True)
class Family(abc.ABC):
    """A component density, hashable so that it can be a static argument of a jitted function."""

    name: ClassVar[str]
    """The family's name on the command line and in config files."""

    support: ClassVar[str] = "real"
    """Where a feature may lie: real, positive, nonnegative, count, binary or level."""

    @property
    def weighted(self) -> bool:
        """Whether the weights of the components are parameters; else the density has the label's law in it."""
        return True

    @property
    def joint(self) -> bool:
        """Whether components cannot be moved one by one: they share a parameter, or a prior ties them."""
        return any(parameter.shared for parameter in self.parameters.values())

    one_thread: ClassVar[bool] = False
    """Whether only one thread may trace it at a time, so that nothing is compiled beside."""

    @property
    def smooth(self) -> bool:
        """Whether the log density has second derivatives by automatic differentiation; else they are differences."""
        return True

    @property
    def has_marginals(self) -> bool:
        """Whether there is a density of each column alone, which figures draw."""
        return True

    @property
    def own_axes(self) -> Mapping[str, bool]:
        """Parameters with axes of their own, not of features, and of each whether all components share it."""
        return {}

    @property
    def levels(self) -> Any:
        """The names of the levels of each column where columns are of categories, ``()`` while data are to say them."""
        return None

    @property
    def discrete(self) -> bool:
        """Whether data are whole numbers, drawn as bars: the number itself is what a datum is."""
        return self.support in ("count", "binary", "level")

    @property
    def structured(self) -> str | None:
        """The covariance structure of the components by name; None for a family without one."""
        return None

    @property
    def structures(self) -> tuple[str, ...]:
        """The names of all the structures that it may have."""
        return ()

    @property
    def nominal(self) -> bool:
        """Whether a datum is the name of a level, 0 and 1 among them: its number has no size and no mean."""
        return self.support in ("binary", "level")

    independent: ClassVar[bool] = False
    """Whether features are independent given the component, whatever the parameters."""

    log_cell: ClassVar[float] = 0.0
    """What each observed cell adds to a log density whatever the parameters, see `log_base_measure`."""

    derived: ClassVar[tuple[str, ...]] = ()
    """Names of what else can be read from parameters, see `derive`."""

    squares: ClassVar[Mapping[str, str]] = {}
    """What a summary prints the squares of, and what it calls them: of standard deviations the variances."""

    @property
    @abc.abstractmethod
    def parameters(self) -> Mapping[str, Parameter]:
        """What a component's parameters are, in the order in which people read them."""

    @classmethod
    def variants(cls) -> tuple[Family, ...]:
        """What a density may turn out to be of: the family with each of its structures; by default itself."""
        return (cls(),)

    # -- what follows from the declaration ---------------------------------------------------------------------------

    @property
    def declared(self) -> Declared:
        """The parameters with all that follows from them."""
        return Declared(self.parameters)

    @property
    def sites(self) -> tuple[str, ...]:
        """What a prior may have a law for: by default the parameters."""
        return tuple(self.parameters)

    def site(self, name: str) -> Parameter:
        """What is declared of a parameter, or of what is derived from them."""
        return self.parameters[name]

    def at_site(self, name: str, params: MixtureParams) -> Any:
        """The value at a site of a prior."""
        return params[name]

    def reading(self, name: str) -> Parameter:
        """What is declared of a name that people read, see `reported`."""
        return self.parameters[name]

    def lengths(self, n_features: int) -> dict[str, int]:
        """The lengths of the axes that parameters stand along."""
        return {"feature": n_features}

    def n_features(self, params: Any) -> int:
        """Of how many features the data of some parameters are."""
        for name, parameter in self.parameters.items():
            if "feature" in parameter.axes:
                return int(params[name].shape[parameter.axes.index("feature") - len(parameter.axes)])
        raise TypeError(f"no parameter of {self.name} has an axis of features, so it must override n_features")

    def derive(self, name: str, params: MixtureParams) -> Any:
        """What is read from parameters, one of ``derived``; NumPy in, NumPy out, other axes may lead."""
        raise AttributeError(name)

    def reported(self, n_features: int) -> tuple[str, ...]:
        """The names that a person reads: by default the parameters'."""
        return tuple(self.parameters)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names among ``reported`` of what follows from the parameters and tells components no further apart."""
        return ()

    def stored(self, n_features: int) -> tuple[str, ...]:
        """The names of which a posterior keeps the draws: those that are read, and whatever else is expected."""
        return self.reported(n_features)

    def params(self, **values: Any) -> Values:
        """Checked parameters from plain arrays; raises `ValueError` naming the argument that is wrong."""
        return self.declared.checked(values, self.lengths(0) | {"feature": _last(values)})

    def log_volume(self, params: MixtureParams, sites: tuple[str, ...]) -> Float[Array, ""]:
        """``log |d sites / d unconstrained|``, with the sites that a prior is given for."""
        return self.declared.log_volume(params)

    def from_sites(self, values: Mapping[str, Any]) -> Values:
        """The parameters at values of a prior's sites; other sites among the values are passed over."""
        return {name: values[name] for name in self.parameters if name in values}

    def sites_for(self, given: Laws, default: Laws) -> dict[str, Law]:
        """The laws of all sites in the order in which they are drawn: the user's, and defaults for the rest."""
        return {site: given.get(site, law) for site, law in default.items()}

    # -- what pictures and comparisons read --------------------------------------------------------------------------

    def from_stored(self, stored: Mapping[str, Any]) -> tuple[Family, Values]:
        """A family and its parameters from what `stored` names: of equal densities, other axes may lead."""
        return self, {name: stored[name] for name in self.parameters}

    def moments(self, params: MixtureParams) -> tuple[Any, Any]:
        """The components' means ``(..., K, d)`` and covariance matrices ``(..., K, d, d)``, in the data's units.

        By default those of 4096 draws from each component, the same ones for all parameters.
        """
        return drawn_moments(self, params)

    def ellipses(self, params: MixtureParams, mass: float) -> tuple[Any, Any]:
        """Where ``mass`` of a component lies: centres ``c (..., K, d)`` and matrices ``M (..., K, d, d)``.

        The ellipse of two features is ``(x - c)' M^-1 (x - c) <= 1`` with their entries of both. By default that of a
        normal density with the component's `moments`, whose squared radius is ``-2 log(1 - mass)``.
        """
        mean, covariance = self.moments(params)
        return mean, -2.0 * np.log1p(-mass) * covariance

    def marginal(self, params: MixtureParams, feature: int) -> tuple[Family, Values]:
        """The density of one feature: a family and its parameters; by default those of the feature alone."""
        one = slice(feature, feature + 1)
        own = {name: "feature" in parameter.axes for name, parameter in self.parameters.items()}
        return self, {
            name: params[name][..., one] if of_features else params[name] for name, of_features in own.items()
        }

    # -- on the host -------------------------------------------------------------------------------------------------

    def rows_of(self, x: Any) -> Any:
        """Data as a matrix or a table; by default as they were given."""
        return x

    def own_prior(self) -> Any:
        """The prior that is part of the family and no table of laws; by default ``None``: there is none."""
        return None

    def check(self, samples: Samples) -> None:  # noqa: B027 (an empty default, not a forgotten abstract method)
        """Raise a `DataError` where the data cannot come from this family; by default all finite numbers can."""

    def resolved(self, samples: Samples) -> Family:
        """The family with what it takes from the data, such as the levels of categories; by default itself."""
        return self

    def of(self, values: Mapping[str, Any]) -> Family:
        """The family with what it takes from parameters in place of data; by default itself."""
        return self

    @property
    def declared_as(self) -> Family:
        """The family without what it took from data; by default itself."""
        return self

    def frame(self, summary: Summary) -> Frame:
        """The change of units in which EM and the sampler work; by default none."""
        return identity_frame(summary.n_features)

    @abc.abstractmethod
    def default_prior(self, summary: Summary, n_components: int) -> dict[str, Law]:
        """A weakly informative prior scaled by the data: a law for each site, in the order in which they are drawn."""

    @abc.abstractmethod
    def pooled(self, summary: Summary, n_components: int) -> Values:
        """Every component at the estimate of all the data: the reference from which starts are made."""

    @abc.abstractmethod
    def at_means(self, params: MixtureParams, means: Float[AnyArray, "K d"]) -> Values:
        """The parameters of components moved to points ``means`` of the data's space, as a start of EM."""

    def at_clusters(self, params: MixtureParams, x: np.ndarray, labels: np.ndarray, means: np.ndarray) -> Values:
        """The estimates of clusters, on the host: ``labels (n,)`` of ``x (n, d)``, whose means are ``means (K, d)``.

        ``params`` are those of `pooled`. By default they are moved to the means, which is all there is to estimate
        where a component has no other parameter.
        """
        return self.at_means(params, means)

    def place(self, x: np.ndarray) -> np.ndarray:
        """The rows ``x (m, d)``, in the units of the frame, where Euclidean distances between them mean something.

        Clusters that starts are made of are found there, on the host; by default rows are where they are. A family
        whose spread grows with its mean takes them where it does not, and then they are not sphered either.
        """
        return x

    def explain_degenerate(self, samples: Samples, params: MixtureParams) -> str | None:
        """What in the data made a component collapse, in words and with the names of columns; by default unknown."""
        return None

    def own_program(self) -> Any:
        """The NumPyro program that the family is, used as `emjax.bayes.bridge.MixtureProgram`; by default ``None``."""
        return None

    # -- the density, under jit --------------------------------------------------------------------------------------

    def log_kernel(self, params: MixtureParams, rows: Observations) -> Float[Array, "K n"]:
        """The part of the log density that depends on the parameters; by default from the natural form."""
        statistics = self.sufficient_statistics(rows)
        return product(self.natural_parameters(params, holes=rows.seen is not None), statistics)

    def log_base_measure(self, rows: Observations) -> Float[Array, " n"]:
        """The rest of the log density, of the data alone: EM need not repeat it; by default `log_cell` of each cell."""
        n_seen = rows.y.shape[-2] if rows.seen is None else jnp.sum(rows.seen, axis=0)
        return jnp.broadcast_to(self.log_cell * n_seen, rows.y.shape[-1:]).astype(jnp.result_type(rows.y))

    def log_density(self, params: MixtureParams, x: Any) -> Float[Array, "K n"]:
        """``log p(x_n | component k)``, of what was observed; ``x (n, d)`` or `Observations`."""
        rows = observed(x)
        return self.log_kernel(params, rows) + self.log_base_measure(rows)[None, :]

    @abc.abstractmethod
    def sample(self, params: MixtureParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        """One draw from the component of each label."""

    def sample_jointly(self, params: MixtureParams, key: Array, n_samples: int) -> tuple[Array, Array]:
        """Data ``(n, d)`` and labels ``(n,)``, where the label's law is the family's own (`weighted` says so)."""
        raise TypeError(f"labels of {self.name} are drawn by the weights")

    def filled(self, params: MixtureParams, key: Array, labels: Array, rows: Observations) -> Observations:
        """The rows with what was not observed drawn, given the rest and the labels; features independent by default."""
        if rows.seen is None:
            return rows
        return Observations(y=jnp.where(rows.seen > 0, rows.y, self.sample(params, key, labels).T), labels=rows.labels)

    # -- the M-step --------------------------------------------------------------------------------------------------

    @property
    def exact(self) -> bool:
        """Whether `maximize` gives the maximiser; else a step towards it, which EM shortens where it falls."""
        return self.natural or type(self).statistics is not Family.statistics

    def statistics(self, params: MixtureParams, rows: Observations, responsibilities: Float[Array, "K n"]) -> Any:
        """Expected sufficient statistics, additive over data.

        By default from the natural form, or else the gradient and the Hessian of the expected log density at
        ``params``. They may be taken relative to ``params`` (centred at its means), which is what keeps them accurate;
        `maximize` is given the same ``params``.
        """
        if self.natural:
            return self.from_moments(params, product(responsibilities, self.sufficient_statistics(rows).T))
        return derivatives(self, params, rows, responsibilities)

    def maximize(self, statistics: Any, counts: Float[Array, " K"], params: MixtureParams, laws: Laws) -> Values:
        """The parameters that maximise the expected complete-data log-likelihood plus the laws' log density.

        By default a step towards it, by the gradient and the Hessian that `statistics` are.
        """
        return ascend(self, statistics, params, laws)

    def regularize(self, params: Any, ridge: Float[Array, " d"]) -> Values:
        """The parameters with ``ridge`` (squared units of the frame) added to every variance; by default none has."""
        return {name: params[name] for name in self.parameters}

    def bounded(self, params: MixtureParams) -> MixtureParams:
        """What lies beyond the bounds that `maximize` keeps to put on them; by default there are none."""
        return params

    def closed(self, laws: Laws) -> bool:
        """Whether `maximize` is a closed form under these laws; by default not."""
        return False

    def m_step(self, laws: Laws) -> str:
        """What the M-step is under these laws, in words."""
        if self.closed(laws):
            return f"closed form ({self.name})"
        return f"Newton's method on the moments ({self.name})" if self.exact else "damped Newton step"

    # -- conjugate laws ----------------------------------------------------------------------------------------------

    def refuses_gibbs(self, laws: Laws) -> str | None:
        """Why parameters cannot be drawn given labels (the site whose law is not conjugate), or ``None``."""
        return f"{self.name} has no conjugate prior"

    def draw_components(
        self, key: Array, statistics: Any, counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Values:
        """A draw from ``p(parameters | labels, x)``, with what `maximize` is given for these labels.

        The statistics are those of responsibilities that are one at a datum's label and zero elsewhere. A component
        without data is drawn from the prior.
        """
        raise TypeError(f"{self.name} has no conjugate draw of its components, which method='gibbs' needs")

    def log_evidence(
        self, statistics: Any, counts: Float[Array, " K"], params: MixtureParams, laws: Laws
    ) -> Float[Array, ""]:
        """``log p(x | labels)`` of all components together, the base measure left out, given what `maximize` is given.

        It is the normalizing constant of the distribution that `draw_components` draws from, and raises the same.
        """
        raise TypeError(f"{self.name} has no conjugate prior, so its evidence has no closed form")

    # -- the natural form --------------------------------------------------------------------------------------------
    # log_kernel(params, rows) = natural_parameters(params) @ sufficient_statistics(rows), up to `natural_excess`.

    @property
    def natural(self) -> bool:
        """Whether the family has the natural form."""
        return type(self).sufficient_statistics is not Family.sufficient_statistics

    @property
    def natural_with_holes(self) -> bool:
        """Whether it has the natural form where cells are missing, too."""
        return False

    @property
    def shares_patterns(self) -> bool:
        """Whether rows of which the same cells are missing are cheaper together, see `emjax.families.patterns`."""
        return False

    def sufficient_statistics(self, rows: Observations) -> Float[Array, "p n"]:
        """The sufficient statistics of each datum, a row of ones first."""
        raise TypeError(f"{self.name} has no natural form, so it must override log_kernel")

    def natural_parameters(self, params: MixtureParams, *, holes: bool = False) -> Float[Array, "K p"]:
        """What multiplies `sufficient_statistics` in the log kernel; minus the log-partition function first."""
        raise TypeError(f"{self.name} has no natural form, so it must override log_kernel")

    def from_moments(self, params: MixtureParams, moments: Float[Array, "K p"]) -> Any:
        """The `statistics` that belong to sums ``responsibilities @ sufficient_statistics'``; by default these sums."""
        return moments

    def natural_excess(self, x: np.ndarray) -> np.ndarray | None:
        """By how much the natural form exceeds `log_kernel` at each datum ``(n,)``, on the host; None where they agree.

        A family whose natural form cancels may leave more than it does to the base measure.
        """
        return None

    # -- accuracy ----------------------------------------------------------------------------------------------------

    def cancellation(self, params: MixtureParams) -> Float[Array, ""]:
        """How much larger than their sum the terms of the natural form are, at the worst component; by default 1.

        Times the machine's epsilon it is the rounding error of a log density, and of an estimated variance relative to
        itself. Where it is too large, EM takes `log_kernel` and `statistics` instead.
        """
        return jnp.ones(())

    def resolution(self, params: MixtureParams) -> Float[Array, ""]:
        """The smallest change of a free coordinate that stored parameters can hold, if not the epsilon."""
        return jnp.zeros(())

    def distance(self, params: MixtureParams) -> Float[Array, ""]:
        """How many of its deviations the farthest component lies from the origin: what `log_kernel` loses by rounding.

        Times the machine's epsilon it is the error of a datum's place within a component, in deviations.
        """
        return jnp.sqrt(self.cancellation(params))

    # -- optima that say nothing of the population ---------------------------------------------------------------------

    def degenerate(self, params: MixtureParams) -> Array:
        """True where a component has collapsed to nothing but rounding; by default never.

        Being narrow beside all the data is no collapse.
        """
        return jnp.zeros((), bool)

    def points_without_bound(self, n_features: int) -> int:
        """On so many different points the likelihood of one component has no bound; by default zero: never."""
        return 0

    def without_bound(
        self, params: MixtureParams, weights: AnyArray, counts: AnyArray, n_features: int, xp: Any = np
    ) -> Any:
        """Which components ``(K,)`` stand on the way to where the likelihood has no bound: `narrow`, and on few points.

        Few are less than three and a half times as many as determine a component's parameters. ``xp`` is NumPy for
        arrays on the host, ``jax.numpy`` under a transformation.
        """
        determining = self.points_without_bound(n_features) + 1
        few = counts < _FEW * determining if determining > 1 else xp.zeros(counts.shape, bool)
        if xp is np and not few.any():
            return few
        return few & self.narrow(params, weights, xp)

    def narrow(self, params: MixtureParams, weights: AnyArray, xp: Any = np) -> AnyArray:
        """Which components ``(K,)`` are nearly singular, beside all data and beside the others; by default none."""
        return xp.zeros(weights.shape, bool)

    # -- for the bridge to NumPyro -----------------------------------------------------------------------------------

    def numpyro_support(self) -> Any:
        """The NumPyro constraint that one datum ``(n_features,)`` satisfies."""
        from emjax.families.numpyro_domains import constraint_of

        return constraint_of(self.support)


def _last(values: Mapping[str, Any]) -> int:
    given = next((np.asarray(value) for value in values.values() if value is not None), np.zeros(1))
    return given.shape[-1] if given.ndim > 1 else 1
