r"""The declaration of a finite mixture, and everything that follows from its joint log density.

A mixture is the matrix :math:`\log p(x_n, z_n = k \mid \theta) = \log w_k + \log p(x_n \mid \theta_k)`, one row per
component. Its log-likelihood is the sum over data of a logsumexp over components, its responsibilities are the
softmax over components. EM, the sampler and the comparison all read this one matrix.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, logsumexp, xlogy
from jaxtyping import Array, Float

from emjax.bounds import whole
from emjax.families.arrays import AnyArray, as_floats
from emjax.families.base import Family
from emjax.families.frame import Frame
from emjax.keys import KeyLike, as_key
from emjax.samples import as_samples
from emjax.shown import Shown


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class MixtureParams(Shown):
    """The parameters of a mixture, a pytree.

    Attributes
    ----------
    weights
        Mixing proportions, shape ``(n_components,)``, adding up to one.
    components
        The family's parameters: ``mean``, ``covariance`` and ``scale`` for `Normal`, ``rate`` for `Poisson`.
    """

    weights: Any
    components: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Prior(Shown):
    r"""The prior of a mixture: :math:`w \sim \mathrm{Dirichlet}(\alpha)`, components independent and alike.

    The same object drives MAP-EM and the sampler.

    Attributes
    ----------
    concentration
        :math:`\alpha`, shape ``(n_components,)``; the default prior has ones.
    components
        The family's conjugate prior of one component (`NormalPrior`, `PoissonPrior`).
    """

    concentration: Any
    components: Any


@dataclasses.dataclass(frozen=True, repr=False)
class Mixture(Shown):
    r"""A finite mixture :math:`p(x) = \sum_k w_k \, p(x \mid \theta_k)`.

    Parameters
    ----------
    family
        The component family, `Normal` or `Poisson`.
    n_components
        The number of components K, at least 1.
    prior
        ``None`` (maximum likelihood), ``"default"`` (the family's weakly informative conjugate prior, scaled by the
        data it meets), or a `Prior`.

    Raises
    ------
    ValueError
        If ``family`` is not a family, ``n_components`` is not a positive whole number, or the prior does not fit.
    """

    family: Family
    n_components: int
    prior: Prior | Literal["default"] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.family, Family):
            raise ValueError(f"family must be a family such as emjax.Normal(), not {self.family!r}")
        whole("n_components", self.n_components)
        if isinstance(self.prior, Prior):
            shape = np.shape(self.prior.concentration)
            if shape != (self.n_components,):
                raise ValueError(f"the prior's concentration has shape {shape}, expected ({self.n_components},)")
        elif self.prior not in (None, "default"):
            raise ValueError(f"prior must be None, 'default' or a Prior, not {self.prior!r}")

    # -- the declaration and its data

    @property
    def likelihood(self) -> Mixture:
        """The same mixture without its prior: hashable, so it can be a static argument of a jitted function."""
        return dataclasses.replace(self, prior=None)

    def default_prior(self, x: Any) -> Prior:
        """The default prior scaled by ``x``: uniform weights and the family's conjugate prior."""
        values = as_samples(x).values
        return Prior(
            concentration=np.ones(self.n_components),
            components=self.family.default_prior(values, self.n_components),
        )

    def resolved_prior(self, x: Any) -> Prior | None:
        """The prior as an object: ``"default"`` is scaled by ``x``, anything else is returned as it is."""
        return self.default_prior(x) if isinstance(self.prior, str) else self.prior

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
        leading = np.shape(next(iter(self.family.named_parameters(checked).values())))[0]
        if leading != k:
            raise ValueError(f"parameters for {leading} components were given to a mixture of {k}")
        return MixtureParams(weights=weights, components=checked)

    def n_parameters(self, n_features: int) -> int:
        """The number of free parameters, weights included."""
        return self.n_components - 1 + self.family.n_parameters(self.n_components, n_features)

    # -- everything that follows from the joint log density (traceable)

    def log_joint(self, params: MixtureParams, x: Float[AnyArray, "n d"]) -> Float[Array, "K n"]:
        """``log p(x_n, z_n = k)``, component-major; raises `ValueError` if ``x`` has another number of features."""
        n_features = self.family.n_features(params.components)
        if x.ndim != 2 or x.shape[1] != n_features:
            # One column would be broadcast to all.
            raise ValueError(f"x has shape {x.shape}, expected (n_samples, {n_features})")
        return jnp.log(params.weights)[:, None] + self.family.log_density(params.components, x)

    def log_prob(self, params: MixtureParams, x: Float[AnyArray, "n d"]) -> Float[Array, " n"]:
        """``log p(x_n)``, the log density of each datum."""
        return logsumexp(self.log_joint(params, x), axis=0)

    def responsibilities(self, params: MixtureParams, x: Float[AnyArray, "n d"]) -> Float[Array, "n K"]:
        """``p(z_n = k | x_n)``, rows adding up to one."""
        return jax.nn.softmax(self.log_joint(params, x), axis=0).T

    def log_prior(self, params: MixtureParams, prior: Prior) -> Float[Array, ""]:
        """The prior's log density in the space that `space` names (no Jacobian of any other space)."""
        alpha = jnp.asarray(prior.concentration)
        constant = gammaln(jnp.sum(alpha)) - jnp.sum(gammaln(alpha))
        weights_density = constant + jnp.sum(xlogy(alpha - 1.0, params.weights))
        return weights_density + self.family.log_prior(params.components, prior.components)

    def sample(self, params: MixtureParams, key: KeyLike, n_samples: int) -> tuple[Array, Array]:
        """``n_samples`` draws ``(n, d)`` and the labels ``(n,)`` they came from; ``key`` is a number or a JAX key."""
        whole("n_samples", n_samples)
        label_key, data_key = jax.random.split(as_key(key))
        params = jax.tree.map(jnp.asarray, params)
        labels = jax.random.categorical(label_key, jnp.log(params.weights), shape=(n_samples,))
        return self.family.sample(params.components, data_key, labels), labels

    # -- changes of coordinates

    def space(self, n_features: int) -> str:
        """The name of the space in which a MAP estimate of this mixture is a mode."""
        return self.family.space(n_features)

    def unconstrain(self, params: MixtureParams) -> dict[str, Any]:
        """Log-ratios of the weights to the last one, and the family's unconstrained parameters."""
        log_weights = jnp.log(params.weights)
        return {
            "log_ratios": log_weights[:-1] - log_weights[-1:],
            "components": self.family.unconstrain(params.components),
        }

    def constrain(self, unconstrained: dict[str, Any]) -> MixtureParams:
        """The inverse of `unconstrain`."""
        ratios = unconstrained["log_ratios"]
        weights = jax.nn.softmax(jnp.concatenate([ratios, jnp.zeros(1, ratios.dtype)]))
        return MixtureParams(weights=weights, components=self.family.constrain(unconstrained["components"]))

    def log_volume(self, params: MixtureParams) -> Float[Array, ""]:
        """``log |d params / d unconstrained|``, with the parameters in the space that `space` names.

        The log density of a prior in the unconstrained space is `log_prior` plus this.
        """
        return jnp.sum(jnp.log(params.weights)) + self.family.log_volume(params.components)

    def to_frame(self, params: MixtureParams, frame: Frame) -> MixtureParams:
        """The parameters in the units of a frame."""
        return dataclasses.replace(params, components=self.family.to_frame(params.components, frame))

    def from_frame(self, params: MixtureParams, frame: Frame) -> MixtureParams:
        """The inverse of `to_frame`."""
        return dataclasses.replace(params, components=self.family.from_frame(params.components, frame))

    def prior_to_frame(self, prior: Prior, frame: Frame) -> Prior:
        """The same prior for data in the units of a frame."""
        return dataclasses.replace(prior, components=self.family.prior_to_frame(prior.components, frame))

    def permute(self, params: MixtureParams, permutation: AnyArray) -> MixtureParams:
        """The same mixture with component ``permutation[k]`` in place ``k``."""
        return MixtureParams(
            weights=params.weights[permutation],
            components=self.family.permute(params.components, permutation),
        )

    def named_parameters(self, params: MixtureParams) -> dict[str, AnyArray]:
        """What a person reads: ``weights`` and the family's named parameters."""
        return {"weights": params.weights, **self.family.named_parameters(params.components)}

    def stored_parameters(self, params: MixtureParams) -> dict[str, Any]:
        """What a posterior keeps of each draw: ``weights`` and the family's stored parameters."""
        return {"weights": params.weights, **self.family.stored_parameters(params.components)}
