r"""The declaration of a finite mixture, and everything that follows from its joint log density.

A mixture is the matrix :math:`\log p(x_n, z_n = k \mid \theta) = \log w_k + \log p(x_n \mid \theta_k)`, one row per
component. Its log-likelihood is the sum over data of a logsumexp over components, its responsibilities are the
softmax over components. EM, the sampler and the comparison all read this one matrix.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from emjax.bounds import whole, written
from emjax.families.arrays import AnyArray, as_floats
from emjax.families.base import Family
from emjax.families.coordinates import Chart, Coordinates
from emjax.families.frame import Frame
from emjax.families.laws import Dirichlet, Flat, Law
from emjax.families.observations import Observations, observed
from emjax.families.parameters import MixtureParams
from emjax.families.priors import WEIGHTS, Prior, check_shapes, given_laws
from emjax.keys import KeyLike, as_key
from emjax.moments import Summary
from emjax.naming import ScalarParameter, of_pairs, scalar_parameters
from emjax.samples import Samples, as_samples
from emjax.shown import Shown, Word

__all__ = ["Mixture", "MixtureParams", "Prior"]


@dataclasses.dataclass(frozen=True, repr=False)
class Mixture(Shown):
    r"""A finite mixture :math:`p(x) = \sum_k w_k \, p(x \mid \theta_k)`.

    Parameters
    ----------
    family
        The component family, one of `emjax.families.FAMILIES`: `Normal`, `Poisson` and others.
    n_components
        The number of components K, at least 1.
    prior
        ``None`` (maximum likelihood), ``"default"`` (the family's weakly informative conjugate prior, scaled by the
        data it meets), a mapping from parameters to laws of `emjax.laws` or NumPyro distributions, ``{"mean":
        emjax.laws.Normal(0, 10)}`` (what is left out keeps its default), or a `Prior` as another mixture resolved it.
        ``family.sites`` are the names; a law must be of all the numbers that its parameter may be.

    Raises
    ------
    ValueError
        If ``family`` is not a family, ``n_components`` is not a positive whole number, or the prior does not fit.
    """

    family: Family
    n_components: int
    prior: Prior | Mapping[str, Any] | Literal["default"] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.family, Family):
            raise ValueError(f"family must be a family such as emjax.Normal(), not {self.family!r}")
        whole("n_components", self.n_components)
        if isinstance(self.prior, Prior):
            if self.prior.family.declared_as == self.family:
                object.__setattr__(self, "family", self.prior.family)
            if self.prior.n_components != self.n_components or self.prior.family != self.family:
                raise ValueError(
                    f"the prior is one of {self.prior.n_components} components of {self.prior.family!r}, and the "
                    f"mixture has {self.n_components} of {self.family!r}"
                )
        elif isinstance(self.prior, Mapping):
            if self.family.own_prior() is not None:
                raise ValueError("a program has its own priors: change them there")
            laws = given_laws(self.family, self.n_components, self.prior)
            object.__setattr__(self, "prior", laws)
        elif self.prior not in (None, "default"):
            raise ValueError(
                f"prior must be None, 'default' or a mapping from parameters to laws, not {written(self.prior)}"
            )

    def _shown(self) -> Iterator[tuple[str, Any]]:
        # As somebody would declare it.
        yield "", self.family
        yield "n_components", self.n_components
        if isinstance(self.prior, Mapping):
            yield "prior", Word(f"{{{', '.join(f'{site!r}: {law!r}' for site, law in self.prior.items())}}}")
        elif self.prior is not None:
            yield "prior", self.prior

    # -- the declaration and its data

    def samples(self, x: Any, **known: Any) -> Samples:
        """Checked data for this mixture, cells that were not seen among them; ``known`` is what `as_samples` takes."""
        return as_samples(self.family.rows_of(x), missing=True, levels=self.family.levels, **known)

    def declared(self, x: Any) -> Mixture:
        """The mixture that a model is for data: of a mixture, itself."""
        return self

    def resolved(self, samples: Samples) -> Mixture:
        """The mixture with what its family takes from the data, such as the levels of categories.

        Whoever takes data calls this once, at the door; all that follows is given the result.
        """
        family = self.family.resolved(samples)
        return self if family is self.family else dataclasses.replace(self, family=family)

    @property
    def likelihood(self) -> Mixture:
        """The same mixture without its prior: hashable, so it can be a static argument of a jitted function."""
        return dataclasses.replace(self, prior=None)

    def default_prior(self, x: Any) -> Prior:
        """The default prior scaled by ``x``: uniform weights and the family's weakly informative laws."""
        samples = self.samples(x)
        return self.resolved(samples)._prior_of(samples.summary, {})

    def resolved_prior(self, x: Any) -> Prior | None:
        """The prior as an object: laws that were left out, or all with ``"default"``, are scaled by ``x``.

        Raises
        ------
        ValueError
            If a law does not fit its parameter, or the prior was made for another number of features.
        """
        if self.prior is None:
            return None
        samples = self.samples(x)
        summary = samples.summary
        if isinstance(self.prior, Prior):
            if self.prior.n_features != summary.n_features:
                raise ValueError(
                    f"the prior is one for {self.prior.n_features} features, and the data have {summary.n_features}"
                )
            return self.prior
        return self.resolved(samples)._prior_of(summary, {} if isinstance(self.prior, str) else self.prior)

    def _prior_of(self, summary: Summary, given: Mapping[str, Any]) -> Prior:
        k, own = self.n_components, self.family.own_prior()
        if own is not None:
            return own
        laws = self.family.sites_for(given, self.family.default_prior(summary, k))
        weights = given.get(WEIGHTS, Dirichlet(np.ones(k)))
        prior = Prior(self.family, k, summary.n_features, {WEIGHTS: weights, **laws})
        check_shapes(prior)
        return prior

    def params(self, *, weights: Any = None, **components: Any) -> MixtureParams:
        """Checked parameters, for starts and simulations.

        Parameters
        ----------
        weights
            Shape ``(n_components,)``; equal by default.
        components
            What the family takes: ``mean`` with ``covariance`` or ``scale``, or ``rate``.

        Raises
        ------
        ValueError
            If a shape or a value does not fit; the message names the argument.
        """
        k = self.n_components
        weights = np.full(k, 1.0 / k) if weights is None else as_floats(weights, "weights")
        if weights.shape != (k,) or not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-8:
            raise ValueError(f"weights must be {k} non-negative numbers that add up to 1")
        checked = self.family.params(**components)
        for name, value in checked.items():
            if not self.family.parameters[name].shared and len(value) != k:
                raise ValueError(f"parameters for {len(value)} components were given to a mixture of {k}")
        family = self.family.of(checked)
        return MixtureParams(family, {WEIGHTS: weights, **{name: checked[name] for name in family.parameters}})

    def assembled(self, weights: Any, components: Mapping[str, Any]) -> MixtureParams:
        """Parameters from weights and the family's own, in the family's order; nothing is checked."""
        own = {name: components[name] for name in self.family.parameters}
        return MixtureParams(self.family, {WEIGHTS: weights, **own})

    def laws(self, prior: Prior | None) -> Mapping[str, Law]:
        """What the M-step of the components is given: the prior's laws, flat ones for maximum likelihood."""
        return dict.fromkeys(self.family.parameters, Flat()) if prior is None else prior.components

    def m_step(self) -> str:
        """What EM's M-step is, in words: a closed form, Newton's method on the moments, or one damped Newton step.

        Raises
        ------
        ValueError
            If the prior has not met data; that of a fit has, ``fit.mixture.m_step()``.
        """
        if self.prior is not None and not isinstance(self.prior, Prior):
            raise ValueError("the prior has not met data: ask the mixture of a fit, fit.mixture.m_step()")
        return self.family.m_step(self.laws(self.prior))

    def n_parameters(self, n_features: int) -> int:
        """The number of free parameters, weights included."""
        return self.coordinates(n_features).n_parameters

    # -- everything that follows from the joint log density (traceable)

    def log_joint(self, params: MixtureParams, x: Any) -> Float[Array, "K n"]:
        """``log p(x_n, z_n = k)``, component-major, for rows ``x (n, d)``.

        A cell that is NaN in a NumPy array was not observed, and the density is that of the rest. Raises `ValueError`
        if ``x`` has another number of features.
        """
        n_features = self.family.n_features(params)
        if not isinstance(x, Observations) and (x.ndim != 2 or x.shape[1] != n_features):
            # One column would be broadcast to all.
            raise ValueError(f"x has shape {x.shape}, expected (n_samples, {n_features})")
        rows = observed(x)
        joint = self.log_weights(params)[:, None] + self.family.log_density(params, rows)
        return joint if rows.labels is None else joint + rows.labels

    def log_weights(self, params: MixtureParams) -> Float[Array, " K"]:
        """``log w_k``, which is added to the log densities; zeros where these have the label's law in them."""
        weights = jnp.asarray(params[WEIGHTS])
        return jnp.log(weights) if self.family.weighted else jnp.zeros_like(weights)

    def log_prob(self, params: MixtureParams, x: Any) -> Float[Array, " n"]:
        """``log p(x_n)``, the log density of each datum."""
        return logsumexp(self.log_joint(params, x), axis=0)

    def responsibilities(self, params: MixtureParams, x: Any) -> Float[Array, "n K"]:
        """``p(z_n = k | x_n)``, rows adding up to one."""
        return jax.nn.softmax(self.log_joint(params, x), axis=0).T

    def log_prior(self, params: MixtureParams, prior: Prior) -> Float[Array, ""]:
        """The prior's log density in the space that `space` names (no Jacobian of any other space)."""
        return prior.log_prob(params)

    def sample(self, params: MixtureParams, key: KeyLike, n_samples: int) -> tuple[Array, Array]:
        """``n_samples`` draws ``(n, d)`` and the labels ``(n,)`` they came from; ``key`` is a number or a JAX key."""
        whole("n_samples", n_samples)
        label_key, data_key = jax.random.split(as_key(key))
        params = jax.tree.map(jnp.asarray, params)
        if not self.family.weighted:
            return self.family.sample_jointly(params, data_key, n_samples)
        labels = jax.random.categorical(label_key, jnp.log(params.weights), shape=(n_samples,))
        return self.family.sample(params, data_key, labels), labels

    # -- changes of coordinates

    def space(self, prior: Prior | None = None) -> str:
        """The names of the parameters in whose space a prior's density, and so a MAP estimate, is taken."""
        own = prior is None or self.family.own_prior() is not None
        sites = tuple(self.family.parameters if own or prior is None else prior.components)
        in_order = sorted(sites, key=lambda site: site != "mean")
        return f"({', '.join([*([WEIGHTS] if self.family.weighted else []), *in_order])})"

    def coordinates(self, n_features: int, weights: Chart = "ratios") -> Coordinates:
        """Parameters as one flat vector, ``flat(params)`` and ``params(flat)``; weights as log-ratios to the last."""
        return Coordinates(self.family, self.n_components, n_features, weights)

    def log_volume(self, params: MixtureParams, prior: Prior | None = None) -> Float[Array, ""]:
        """``log |d params / d coordinates|``, with the parameters in the space that `space` names.

        The log density of a prior in the unconstrained space is `log_prior` plus this.
        """
        sites = tuple(self.family.parameters) if prior is None else tuple(prior.components)
        return jnp.sum(self.log_weights(params)) + self.family.log_volume(params, sites)

    def to_frame(self, params: MixtureParams, frame: Frame) -> MixtureParams:
        """The parameters in the units of a frame."""
        return self.assembled(params[WEIGHTS], self.family.declared.to_frame(params, frame))

    def from_frame(self, params: MixtureParams, frame: Frame) -> MixtureParams:
        """The inverse of `to_frame`."""
        return self.assembled(params[WEIGHTS], self.family.declared.from_frame(params, frame))

    def prior_to_frame(self, prior: Prior, frame: Frame) -> Prior:
        """The same prior for data in the units of a frame."""
        return prior.to_frame(frame)

    def permute(self, params: MixtureParams, permutation: AnyArray) -> MixtureParams:
        """The same mixture with component ``permutation[k]`` in place ``k``."""
        return self.assembled(params[WEIGHTS][permutation], self.family.declared.permute(params, permutation))

    def named_parameters(self, params: MixtureParams) -> dict[str, AnyArray]:
        """What a person reads: ``weights`` and the family's named parameters."""
        return self._read(params, self.family.reported(self.family.n_features(params)))

    def stored_parameters(self, params: MixtureParams) -> dict[str, Any]:
        """What a posterior keeps of each draw: ``weights`` and the family's stored parameters."""
        return self._read(params, self.family.stored(self.family.n_features(params)))

    def scalars(self, named: Mapping[str, Any], feature_names: Sequence[str]) -> tuple[ScalarParameter, ...]:
        """Every single number of named parameters that a person reads, with its name in all tables."""
        return scalar_parameters(named, feature_names, self.family.levels, self.family.own_axes)

    def places(self, params: MixtureParams) -> Float[AnyArray, "... K p"]:
        """Each component's numbers as one row, those that all share in every row; without weights, other axes may lead.

        What belongs to a component, wherever components are told apart, matched or put in order.
        """
        leading, shared = np.shape(params[WEIGHTS]), self.family.own_axes
        # On the host by NumPy: each operation of JAX's would go to an accelerator and back, for every single optimum.
        xp = np if isinstance(params[WEIGHTS], np.ndarray) else jnp
        rows = []
        for name in self.family.reported(self.family.n_features(params)):
            if name in self.family.outputs:
                continue
            value = xp.asarray(getattr(params, name), float)
            if shared.get(name):
                value = value.reshape(*leading[:-1], 1, -1)
                value = xp.broadcast_to(value, (*leading, value.shape[-1]))
            elif of_pairs(name):
                value = value[..., *np.tril_indices(value.shape[-1], -1)]
            rows.append(value.reshape(*leading, -1))
        # Components that no parameter moves are told apart by their number.
        numbers = xp.broadcast_to(xp.arange(leading[-1], dtype=float)[:, None], (*leading, 1))
        return xp.concatenate(rows, axis=-1) if rows else numbers

    def _read(self, params: MixtureParams, names: tuple[str, ...]) -> dict[str, Any]:
        return {WEIGHTS: params.weights, **{name: getattr(params, name) for name in names}}


@runtime_checkable
class Declarable(Protocol):
    """A model that is a mixture once there are data: a `Mixture`, which is one already, or a program."""

    def declared(self, x: Any) -> Mixture:
        """The mixture that it is for data."""


def declared(model: Declarable, x: Any) -> Mixture:
    """The mixture that a model is for data; what is no model is handed back, for the caller to refuse.

    Whoever takes a model and data calls this once, at the door.
    """
    return model.declared(x) if isinstance(model, Declarable) else model
