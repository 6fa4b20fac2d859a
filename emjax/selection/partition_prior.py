r"""What a chain of the telescoping sampler is, and the prior of its partition :math:`C` of the data.

With :math:`N_1, \dots, N_{K_+}` data in the components that hold any (`emjax.selection.number_priors`),
:math:`p(C) = \sum_K p(K) \, p(C \mid K)`: what moves of labels meet where the number of components is integrated out.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, logsumexp
from jaxtyping import Array, Float

from emjax.families.hierarchy import Common
from emjax.families.linalg import product
from emjax.mixture import Mixture, MixtureParams
from emjax.selection.number_priors import DynamicWeights, StickBreaking, WeightPrior

_MOST_TABLED = 2000
"""Up to so many data, sums over components of log rising factorials are products with a table of logarithms."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static part of a run: the mixture of ``K_max`` places, the kind of weights, and what a call hands out."""

    mixture: Mixture
    weights: type[WeightPrior]
    n_samples: int
    draws: int
    keeps_labels: bool

    @property
    def splits(self) -> bool:
        """Whether clusters are split and merged: there have to be two."""
        return min(self.most, self.n_samples) > 1

    @property
    def most(self) -> int:
        """The number of places."""
        return self.mixture.n_components

    @property
    def dynamic(self) -> bool:
        """Whether the concentration is one for all components together."""
        return self.weights is DynamicWeights

    @property
    def sticks(self) -> bool:
        """Whether the weights are those of a Dirichlet process."""
        return self.weights is StickBreaking


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Given:
    """What is given, traced.

    Attributes
    ----------
    features
        The sufficient statistics of all data, ``(p, n)``.
    laws, common
        Of the components' parameters in the frame, with common numbers at any value; and these numbers.
    log_number
        The log prior of 1, 2, ... components, ``(K_max,)``.
    concentration
        The law of the weights' concentration; None where it is a number.
    """

    features: Any
    laws: Any
    common: tuple[Common, ...]
    log_number: Any
    concentration: Any

    def laws_at(self, common: tuple[Any, ...]) -> dict[str, Any]:
        """The laws with what components have in common at these values."""
        return {**self.laws, **{each.site: each.applied(own) for each, own in zip(self.common, common, strict=True)}}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """Where one chain is: ``params`` of all places, which are in use, common numbers and the concentration."""

    params: MixtureParams
    in_use: Any
    common: tuple[Any, ...]
    concentration: Any


def log_joint(
    plan: Plan, counts: Float[Array, " K"], concentration: Float[Array, ""], given: Given
) -> Float[Array, " K"]:
    """``log p(K, C)`` of 1, 2, ... components, up to what is the same for all; a process has all places in use."""
    places = jnp.arange(1, plan.most + 1)
    if plan.sticks:
        return jnp.where(places == plan.most, 0.0, -jnp.inf)
    numbers = places.astype(counts.dtype)
    n_held = jnp.sum(counts > 0)
    # log (K! / (K - K+)!)
    log_factorials = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.log(numbers))])
    log_ways = log_factorials[1:] - log_factorials[jnp.maximum(places - n_held, 0)]
    if plan.dynamic:
        own = log_rising(plan, counts, concentration / numbers)
    else:
        total = concentration * numbers
        own = gammaln(total) - gammaln(plan.n_samples + total)
    return jnp.where(places >= n_held, given.log_number + log_ways + own, -jnp.inf)


def log_partition(
    plan: Plan, counts: Float[Array, " K"], concentration: Float[Array, ""], given: Given
) -> Float[Array, ""]:
    """``log p(C)`` of clusters of these sizes, up to a constant of the data."""
    log_sum = logsumexp(log_joint(plan, counts, concentration, given))
    if plan.dynamic:
        return log_sum
    if plan.sticks:
        return jnp.sum(jnp.where(counts > 0, jnp.log(concentration) + gammaln(jnp.maximum(counts, 1.0)), 0.0))
    return log_sum + log_rising(plan, counts, concentration[None])[0]


def log_rising(plan: Plan, counts: Float[Array, " K"], gamma: Float[Array, " g"]) -> Float[Array, " g"]:
    """The sum over components with data of ``log Gamma(N + gamma) - log Gamma(gamma)``, for each of some gammas."""
    if plan.n_samples <= _MOST_TABLED:
        # It is the sum over j < N of log (gamma + j): j counts as often as there are components with more than j data.
        steps = jnp.arange(plan.n_samples, dtype=counts.dtype)
        n_larger = jnp.sum(counts[:, None] > steps[None, :], axis=0).astype(counts.dtype)
        return product(jnp.log(gamma[:, None] + steps[None, :]), n_larger)
    terms = gammaln(counts[None, :] + gamma[:, None]) - gammaln(gamma)[:, None]
    return jnp.sum(jnp.where(counts[None, :] > 0, terms, 0.0), axis=1)
