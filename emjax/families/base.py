"""What a component family owes the rest of emjax; the contributor's guide builds Poisson from this page.

A family knows one density and everything that follows from it: its parameters, the additive expected sufficient
statistics of its EM, the maximiser of those statistics, its conjugate prior, and the NumPyro distributions of that
prior. Nothing outside a family's file names a density. Inside, arrays are component-major, ``(n_components,
n_samples)``, because that is the fast layout for few components; the public face is sample-major.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray
from emjax.families.frame import Frame, identity_frame
from emjax.families.linalg import product
from emjax.samples import Samples

_FEW = 3.5

Params = Any
"""A family's parameters: a pytree whose leaves lead with ``n_components`` (but for parameters all components share)."""


@dataclasses.dataclass(frozen=True)
class Family(abc.ABC):
    """A component density, hashable so that it can be a static argument of a jitted function."""

    name: ClassVar[str]
    """The family's name on the command line and in config files."""

    params_type: ClassVar[type]
    """The frozen dataclass, registered with JAX, that holds the parameters; its fields are the sampler's sites."""

    links: ClassVar[dict[str, str]]
    """For each named parameter, the scale on which its estimate is nearest to normal: identity, log or atanh."""

    # -- on the host -------------------------------------------------------------------------------------------------

    def check(self, samples: Samples) -> None:  # noqa: B027 (an empty default, not a forgotten abstract method)
        """Raise a `DataError` where the data cannot come from this family; by default all finite numbers can."""

    def frame(self, x: np.ndarray) -> Frame:
        """The change of units in which EM and the sampler work; by default none."""
        return identity_frame(x.shape[1])

    @abc.abstractmethod
    def default_prior(self, x: np.ndarray, n_components: int) -> Params:
        """A weakly informative conjugate prior of one component, scaled by the data."""

    @abc.abstractmethod
    def pooled(self, x: Any, n_components: int) -> Params:
        """Every component at the estimate of all the data ``x (n, d)``: the reference from which starts are made."""

    @abc.abstractmethod
    def params(self, **values: Any) -> Params:
        """Checked parameters from plain arrays; raises `ValueError` naming the argument that is wrong."""

    @abc.abstractmethod
    def n_parameters(self, n_components: int, n_features: int) -> int:
        """The number of free parameters of all components together (weights not counted)."""

    @abc.abstractmethod
    def space(self, n_features: int) -> str:
        """The names of the parameters in whose space a prior density, and so a MAP estimate, is taken."""

    # -- under jit ---------------------------------------------------------------------------------------------------

    def log_kernel(self, params: Params, x: Float[AnyArray, "n d"]) -> Float[Array, "K n"]:
        """The part of the log density that depends on the parameters; by default from the natural form."""
        return product(self.natural_parameters(params), self.sufficient_statistics(jnp.asarray(x).T))

    @abc.abstractmethod
    def log_base_measure(self, x: Float[AnyArray, "n d"]) -> Float[Array, " n"]:
        """The rest of the log density: it depends on the data alone, so EM need not repeat it."""

    def log_density(self, params: Params, x: Float[AnyArray, "n d"]) -> Float[Array, "K n"]:
        """``log p(x_n | component k)``."""
        return self.log_kernel(params, x) + self.log_base_measure(x)[None, :]

    def statistics(self, params: Params, x: Float[AnyArray, "n d"], responsibilities: Float[Array, "K n"]) -> Any:
        """Expected sufficient statistics, additive over data; by default from the natural form.

        They may be taken relative to ``params`` (centred at its means), which is what keeps them accurate; `maximize`
        is given the same ``params``.
        """
        return self.from_moments(params, product(responsibilities, self.sufficient_statistics(jnp.asarray(x).T).T))

    @abc.abstractmethod
    def maximize(self, statistics: Any, counts: Float[Array, " K"], params: Params, prior: Params | None) -> Params:
        """The parameters that maximise the expected complete-data log-likelihood (plus log prior)."""

    @property
    def conjugate(self) -> bool:
        """Whether the family has `draw_components`, so that the Gibbs sampler can be used."""
        return type(self).draw_components is not Family.draw_components

    def draw_components(
        self, key: Array, statistics: Any, counts: Float[Array, " K"], params: Params, prior: Params
    ) -> Params:
        """A draw from ``p(parameters | labels, x, prior)``, with what `maximize` is given for these labels.

        The statistics are those of responsibilities that are one at a datum's label and zero elsewhere. A component
        without data is drawn from the prior. Raises `TypeError` where the family has no conjugate prior to draw from.
        """
        raise TypeError(f"{self.name} has no conjugate draw of its components, which method='gibbs' needs")

    def log_evidence(
        self, statistics: Any, counts: Float[Array, " K"], params: Params, prior: Params
    ) -> Float[Array, ""]:
        """``log p(x | labels)`` of all components together, the base measure left out, given what `maximize` is given.

        It is the normalizing constant of the distribution that `draw_components` draws from, and raises the same.
        """
        raise TypeError(f"{self.name} has no conjugate prior, so its evidence has no closed form")

    # The natural form of an exponential family is log_kernel(params, x) = natural_parameters(params) @
    # sufficient_statistics(transposed x), up to `natural_excess`. With it an iteration of EM is two matrix products,
    # which all components and all starts share. Any other family overrides `log_kernel` and `statistics` instead.

    @property
    def natural(self) -> bool:
        """Whether the family has the natural form."""
        return type(self).sufficient_statistics is not Family.sufficient_statistics

    def sufficient_statistics(self, x: Float[Array, "d n"]) -> Float[Array, "p n"]:
        """The sufficient statistics of each datum, a row of ones first; data are feature-major here."""
        raise TypeError(f"{self.name} has no natural form, so it must override log_kernel and statistics")

    def natural_parameters(self, params: Params) -> Float[Array, "K p"]:
        """What multiplies `sufficient_statistics` in the log kernel; minus the log-partition function first."""
        raise TypeError(f"{self.name} has no natural form, so it must override log_kernel and statistics")

    def from_moments(self, params: Params, moments: Float[Array, "K p"]) -> Any:
        """The `statistics` that belong to sums ``responsibilities @ sufficient_statistics'``; by default these sums."""
        return moments

    def cancellation(self, params: Params) -> Float[Array, ""]:
        """How much larger than their sum the terms of the natural form are, at the worst component; by default 1.

        Times the machine's epsilon it is the rounding error of a log density, and of an estimated variance relative to
        itself. Where it is too large, EM takes `log_kernel` and `statistics` instead.
        """
        return jnp.ones(())

    def resolution(self, params: Params) -> Float[Array, ""]:
        """The smallest change of a coordinate of `unconstrain` that stored parameters can hold, if not the epsilon."""
        return jnp.zeros(())

    def distance(self, params: Params) -> Float[Array, ""]:
        """How many of its deviations the farthest component lies from the origin: what `log_kernel` loses by rounding.

        Times the machine's epsilon it is the error of a datum's place within a component, in deviations.
        """
        return jnp.sqrt(self.cancellation(params))

    def natural_excess(self, x: np.ndarray) -> np.ndarray | None:
        """By how much the natural form exceeds `log_kernel` at each datum ``(n,)``, on the host; None where they agree.

        A family whose natural form cancels may leave more than it does to the base measure.
        """
        return None

    def place(self, x: np.ndarray) -> np.ndarray:
        """The rows ``x (m, d)``, in the units of the frame, where Euclidean distances between them mean something.

        Clusters that starts are made of are found there, on the host; by default rows are where they are. A family
        whose spread grows with its mean takes them where it does not, and then they are not sphered either.
        """
        return x

    @abc.abstractmethod
    def at_means(self, params: Params, means: Float[AnyArray, "K d"]) -> Params:
        """The same parameters with the components' means moved to ``means``."""

    def at_clusters(self, params: Params, x: np.ndarray, labels: np.ndarray, means: np.ndarray) -> Params:
        """The estimates of clusters, on the host: ``labels (n,)`` of ``x (n, d)``, whose means are ``means (K, d)``.

        ``params`` are those of `pooled`. By default they are moved to the means, which is all there is to estimate
        where a component has no other parameter.
        """
        return self.at_means(params, means)

    def regularize(self, params: Params, ridge: Float[Array, " d"]) -> Params:
        """The parameters with ``ridge`` (squared units of the frame) added to every variance; by default none has."""
        return params

    def degenerate(self, params: Params) -> Array:
        """True where a component has collapsed to nothing but rounding; by default never.

        Being narrow beside all the data is no collapse.
        """
        return jnp.zeros((), bool)

    def points_without_bound(self, n_features: int) -> int:
        """On so many different points the likelihood of one component has no bound; by default zero: never."""
        return 0

    def without_bound(self, params: Params, weights: AnyArray, counts: AnyArray, n_features: int, xp: Any = np) -> Any:
        """Which components ``(K,)`` stand on the way to where the likelihood has no bound: `narrow`, and on few points.

        Few are less than three and a half times as many as determine a component's parameters. ``xp`` is NumPy for
        arrays on the host, ``jax.numpy`` under a transformation.
        """
        determining = self.points_without_bound(n_features) + 1
        few = counts < _FEW * determining if determining > 1 else xp.zeros(counts.shape, bool)
        if xp is np and not few.any():
            return few
        return few & self.narrow(params, weights, xp)

    def narrow(self, params: Params, weights: AnyArray, xp: Any = np) -> AnyArray:
        """Which components ``(K,)`` are nearly singular, beside all data and beside the others; by default none."""
        return xp.zeros(weights.shape, bool)

    def explain_degenerate(self, samples: Samples, params: Params) -> str | None:
        """What in the data made a component collapse, in words and with the names of columns; by default unknown."""
        return None

    @abc.abstractmethod
    def log_prior(self, params: Params, prior: Params) -> Float[Array, ""]:
        """The prior's log density of all components in the space that `space` names."""

    @abc.abstractmethod
    def unconstrain(self, params: Params) -> Any:
        """The parameters as a pytree of unbounded real arrays."""

    @abc.abstractmethod
    def constrain(self, unconstrained: Any) -> Params:
        """The inverse of `unconstrain`."""

    def permute_unconstrained(self, unconstrained: Any, permutation: AnyArray) -> Any:
        """`permute` in the space of `unconstrain`: by default, its leaves lead with ``n_components`` too."""
        return jax.tree.map(lambda leaf: leaf[permutation], unconstrained)

    @abc.abstractmethod
    def log_volume(self, params: Params) -> Float[Array, ""]:
        """``log |d params / d unconstrained|`` at some parameters, these in the space that `space` names."""

    # A family that overrides `frame` overrides these four with it.

    def to_frame(self, params: Params, frame: Frame) -> Params:
        """Parameters of ``x`` as parameters of ``z = (x - shift) / scale``."""
        return params

    def from_frame(self, params: Params, frame: Frame) -> Params:
        """The inverse of `to_frame`."""
        return params

    def prior_to_frame(self, prior: Params, frame: Frame) -> Params:
        """The prior of ``x`` as the same prior of ``z``."""
        return prior

    def log_prior_jacobian(self, n_components: int, frame: Frame) -> Float[Array, ""]:
        """``log p(params of x) - log p(params of z)``: what a prior density loses in the way back."""
        return jnp.zeros(())

    def named_parameters(self, params: Params) -> dict[str, AnyArray]:
        """What a person reads: name to array, leading with ``n_components``, in the data's units."""
        return self.to_sites(params)

    def stored_parameters(self, params: Params) -> dict[str, Any]:
        """What a posterior keeps of each draw: the named parameters, and whatever else is expected of the family."""
        return self.named_parameters(params)

    def n_features(self, params: Params) -> int:
        """The number of features of the data that parameters of these shapes belong to: that of a draw."""
        leaves, structure = jax.tree.flatten(params)
        return _n_features(self, structure, tuple(map(np.shape, leaves)))

    def permute(self, params: Params, permutation: AnyArray) -> Params:
        """The same mixture with its components in another order."""
        return jax.tree.map(lambda leaf: leaf[permutation], params)

    @abc.abstractmethod
    def sample(self, params: Params, key: Array, labels: Array) -> Float[Array, "n d"]:
        """One draw from the component of each label."""

    # -- for the bridge to NumPyro -----------------------------------------------------------------------------------

    @abc.abstractmethod
    def numpyro_support(self) -> Any:
        """The NumPyro constraint that one datum ``(n_features,)`` satisfies."""

    @abc.abstractmethod
    def prior_sites(self, prior: Params, n_components: int) -> dict[str, Callable[[Mapping[str, AnyArray]], Any]]:
        """The prior as NumPyro distributions, in sampling order; each is given the values of the earlier ones."""

    def to_sites(self, params: Params) -> dict[str, AnyArray]:
        """The values that `prior_sites` would draw."""
        return {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}

    def from_sites(self, values: Mapping[str, AnyArray]) -> Params:
        """The inverse of `to_sites`; other sites among the values are passed over."""
        return self.params_type(**{field.name: values[field.name] for field in dataclasses.fields(self.params_type)})


@functools.lru_cache(maxsize=256)
def _n_features(family: Family, structure: Any, shapes: tuple[tuple[int, ...], ...]) -> int:
    params = structure.unflatten([jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes])
    key = jax.eval_shape(functools.partial(jax.random.key, 0, impl="threefry2x32"))
    return jax.eval_shape(family.sample, params, key, jax.ShapeDtypeStruct((1,), jnp.int32)).shape[1]
