r"""One sweep of the telescoping sampler, traced: labels, what is common, the number of components, parameters, weights.

Components stand in ``K_max`` places, of which those with data and as many empty ones as there are components are in
use. In this order, each from its conditional:

1. labels :math:`z_i`, with weight zero for places not in use; :math:`C` is the partition that they make;
2. numbers that components have in common, given the components that hold data (those without are integrated out);
3. the number of components, :math:`p(K \mid C) \propto p(K) \, p(C \mid K)` (`emjax.selection.number_priors`), in which
   no parameter is left; and a random concentration given :math:`C` and :math:`K`, by Metropolis and Hastings;
4. parameters given labels: of a component without data those of its prior;
5. weights, :math:`\mathrm{Dirichlet}(\gamma_K + N)` over the places in use. Of a Dirichlet process, the weights of the
   components with data and of all others together are :math:`\mathrm{Dirichlet}(N_1, \dots, N_{K_+}, \alpha)`, and the
   rest is broken into sticks (Pitman, "Some developments of the Blackwell-MacQueen urn scheme", 1996), so that no label
   has to be switched; what the last place gets is all that is left.

Frühwirth-Schnatter, Malsiner-Walli and Grün, Bayesian Analysis 16, 2021, algorithm 1, in the order of which 2 and 3 may
come before 4 because they condition on the partition and on the parameters of the components with data alone.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, logsumexp
from jaxtyping import Array, Bool, Float, Int

from emjax.families.draws import log_gamma
from emjax.families.hierarchy import Common
from emjax.families.linalg import product
from emjax.families.moves import move_components
from emjax.mixture import Mixture, MixtureParams
from emjax.selection.number_priors import DynamicWeights, StickBreaking, WeightPrior

_STEP = 1.5
"""The standard deviation of a step of a concentration's logarithm, telescope's choice for a gamma law."""

_MOVES = 2
"""Steps of a concentration in a sweep."""

_GROUP = 6

MOST_TABLED = 2000
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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """Where one chain is: ``params`` of all places, which are in use, common numbers and the concentration."""

    params: MixtureParams
    in_use: Any
    common: tuple[Any, ...]
    concentration: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Seen:
    """What a sweep hands out: components, those with data, ``p(K | C)`` ``(K_max,)``, and how many data each holds."""

    number: Any
    n_held: Any
    share: Any
    counts: Any


def sweep(plan: Plan, key: Array, state: State, given: Given) -> tuple[State, Seen, Int[Array, " n"]]:
    """One sweep of one chain: where it is then, what was seen, and the labels."""
    label_key, key = jax.random.split(key)
    natural = plan.mixture.family.natural_parameters(state.params)
    log_weights = jnp.log(jnp.maximum(state.params.weights, jnp.finfo(natural.dtype).tiny))
    joint = product(natural, given.features) + log_weights[:, None]
    members = _members(label_key, jnp.where(state.in_use[:, None], joint, -jnp.inf))
    state, seen = given_labels(plan, key, state, members, given)
    return state, seen, jnp.argmax(members, axis=0)


def _members(key: Array, joint: Float[Array, "K n"]) -> Float[Array, "K n"]:
    """`emjax.bayes.gibbs.draw_members` for many places: shares are cumulated within groups and then over these."""
    n_places, n = joint.shape
    shares = jnp.exp(joint - jnp.max(joint, axis=0)[None, :])
    padded = jnp.pad(shares, ((0, -n_places % _GROUP), (0, 0)))
    within = jnp.cumsum(padded.reshape(-1, _GROUP, n), axis=1)
    before = jnp.cumsum(within[:, -1], axis=0) - within[:, -1]
    cumulated = (within + before[:, None, :]).reshape(-1, n)
    level = jax.random.uniform(key, (n,), joint.dtype) * cumulated[-1]
    # Sums in another order may differ in the last digit: a place with a share of zero must not be chosen for that.
    chosen = (cumulated[:n_places] > level[None, :]) & (shares > 0)
    label = jnp.argmax(chosen, axis=0)
    return (label[None, :] == jnp.arange(n_places)[:, None]).astype(joint.dtype)


def given_labels(
    plan: Plan, key: Array, state: State, members: Float[Array, "K n"], given: Given
) -> tuple[State, Seen]:
    """All but the labels: ``members`` are ones at these and zeros elsewhere."""
    common_key, number_key, concentration_key, component_key, weight_key = jax.random.split(key, 5)
    family = plan.mixture.family
    moments = product(members, given.features.T)
    counts = jnp.sum(members, axis=1)
    held = counts > 0
    n_held = jnp.sum(held)
    keys = jax.random.split(common_key, max(1, len(given.common)))
    common = tuple(each.draw(own, state.params, held) for own, each in zip(keys, given.common, strict=False))
    share = log_shares(plan, counts, state.concentration, given)
    number = _drawn_place(number_key, share) + 1
    concentration = state.concentration
    if given.concentration is not None:
        for own in jax.random.split(concentration_key, _MOVES):
            concentration = _moved(plan, own, counts, number, concentration, given.concentration)
    laws = {**given.laws, **{each.site: each.applied(own) for each, own in zip(given.common, common, strict=True)}}
    statistics = family.from_moments(state.params, moments)
    own_params = move_components(family, component_key, statistics, counts, state.params, laws)
    in_use = held | (jnp.cumsum(~held) <= number - n_held)
    if plan.sticks:
        weights = _sticks(weight_key, counts, held, concentration)
    else:
        weights = _dirichlet(weight_key, counts, in_use, concentration / number if plan.dynamic else concentration)
    state = State(plan.mixture.assembled(weights, own_params), in_use, common, concentration)
    return state, Seen(number, n_held, jnp.exp(share), counts)


def log_shares(
    plan: Plan, counts: Float[Array, " K"], concentration: Float[Array, ""], given: Given
) -> Float[Array, " K"]:
    """``log p(K | C)`` of 1, 2, ... components; of a Dirichlet process all places are in use."""
    places = jnp.arange(1, plan.most + 1)
    if plan.sticks:
        return jnp.where(places == plan.most, 0.0, -jnp.inf)
    numbers = places.astype(counts.dtype)
    n_held = jnp.sum(counts > 0)
    # log (K! / (K - K+)!)
    log_factorials = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.log(numbers))])
    log_ways = log_factorials[1:] - log_factorials[jnp.maximum(places - n_held, 0)]
    if plan.dynamic:
        own = _log_rising(plan, counts, concentration / numbers)
    else:
        total = concentration * numbers
        own = gammaln(total) - gammaln(plan.n_samples + total)
    logits = jnp.where(places >= n_held, given.log_number + log_ways + own, -jnp.inf)
    return logits - logsumexp(logits)


def _log_rising(plan: Plan, counts: Float[Array, " K"], gamma: Float[Array, " g"]) -> Float[Array, " g"]:
    """The sum over components with data of ``log Gamma(N + gamma) - log Gamma(gamma)``, for each of some gammas."""
    if plan.n_samples <= MOST_TABLED:
        # It is the sum over j < N of log (gamma + j): j counts as often as there are components with more than j data.
        steps = jnp.arange(plan.n_samples, dtype=counts.dtype)
        n_larger = jnp.sum(counts[:, None] > steps[None, :], axis=0).astype(counts.dtype)
        return product(jnp.log(gamma[:, None] + steps[None, :]), n_larger)
    terms = gammaln(counts[None, :] + gamma[:, None]) - gammaln(gamma)[:, None]
    return jnp.sum(jnp.where(counts[None, :] > 0, terms, 0.0), axis=1)


def _moved(
    plan: Plan, key: Array, counts: Float[Array, " K"], number: Int[Array, ""], value: Float[Array, ""], law: Any
) -> Float[Array, ""]:
    """The concentration after a step of Metropolis and Hastings on its logarithm."""
    step_key, accept_key = jax.random.split(key)
    both = jnp.stack([value, value * jnp.exp(_STEP * jax.random.normal(step_key, (), counts.dtype))])
    if plan.sticks:
        heights = jnp.sum(counts > 0) * jnp.log(both) + gammaln(both) - gammaln(plan.n_samples + both)
    else:
        gamma = both / number if plan.dynamic else both
        total = gamma * number
        heights = gammaln(total) - gammaln(plan.n_samples + total) + _log_rising(plan, counts, gamma)
    heights = heights + law.log_prob(both) + jnp.log(both)
    accepted = jnp.log(jax.random.uniform(accept_key, (), counts.dtype)) < heights[1] - heights[0]
    return jnp.where(accepted, both[1], both[0])


def _dirichlet(
    key: Array, counts: Float[Array, " K"], in_use: Bool[Array, " K"], gamma: Float[Array, ""]
) -> Float[Array, " K"]:
    logs = log_gamma(key, gamma + counts)
    return jax.nn.softmax(jnp.where(in_use, logs, -jnp.inf))


def _sticks(
    key: Array, counts: Float[Array, " K"], held: Bool[Array, " K"], alpha: Float[Array, ""]
) -> Float[Array, " K"]:
    """Weights of a Dirichlet process given the partition: of components with data, and sticks of all that is left."""
    gamma_key, stick_key = jax.random.split(key)
    shapes = jnp.append(jnp.where(held, counts, 1.0), alpha)
    logs = log_gamma(gamma_key, shapes)
    # What is left after a stick is U^(1 / alpha) of what was there before; the last place gets all of it.
    uniform = jax.random.uniform(stick_key, counts.shape, counts.dtype, minval=jnp.finfo(counts.dtype).tiny)
    log_left = jnp.where(held, 0.0, jnp.log(uniform) / alpha)
    before = jnp.cumsum(log_left) - log_left
    last = jnp.cumsum(~held) == jnp.sum(~held)
    log_share = before + jnp.where(last, 0.0, jnp.log(-jnp.expm1(log_left)))
    return jax.nn.softmax(jnp.where(held, logs[:-1], logs[-1] + log_share))


def _drawn_place(key: Array, logs: Float[Array, " K"]) -> Int[Array, ""]:
    cumulated = jnp.cumsum(jnp.exp(logs))
    level = jax.random.uniform(key, (), cumulated.dtype) * cumulated[-1]
    return jnp.sum(cumulated[:-1] <= level)


@partial(jax.jit, static_argnums=0)
def advance(
    plan: Plan, keys: Array, state: State, begin_at: Any, thin: Any, given: Given
) -> tuple[State, dict[str, Any]]:
    """All chains moved by ``plan.draws`` times ``thin`` (traced) sweeps, which are numbered from ``begin_at`` on.

    With what was seen at every ``thin``-th of them, the chain's axis first; ``share`` and ``held`` are means over the
    sweeps since the draw before, of ``p(K | C)`` and of how often so many components held data.
    """

    def one(key: Array, state: State) -> tuple[State, dict[str, Any]]:
        none = jnp.zeros(plan.most, given.features.dtype)
        unseen = Seen(jnp.zeros((), int), jnp.zeros((), int), none, none)
        no_labels = jnp.zeros(plan.n_samples, int)

        def draw(state: State, place: Array) -> tuple[State, dict[str, Any]]:
            def step(i: Any, carry: Any) -> Any:
                state, _, _, share, held = carry
                own = jax.random.fold_in(key, begin_at + place * thin + i)
                state, seen, labels = sweep(plan, own, state, given)
                held = held + (jnp.arange(1, plan.most + 1) == seen.n_held)
                return state, seen, labels, share + seen.share, held

            state, seen, labels, share, held = jax.lax.fori_loop(0, thin, step, (state, unseen, no_labels, none, none))
            found = {
                "state": state,
                "number": seen.number,
                "n_held": seen.n_held,
                "counts": seen.counts,
                "share": share / thin,
                "held": held / thin,
            }
            if plan.keeps_labels:
                found["labels"] = labels.astype(jnp.int32)
            return state, found

        return jax.lax.scan(draw, state, jnp.arange(plan.draws))

    return jax.vmap(one)(keys, state)
