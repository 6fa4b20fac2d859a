r"""One sweep of the telescoping sampler, traced: labels, what is common, the number of components, parameters, weights.

Components stand in ``K_max`` places, of which those with data and as many empty ones as there are components are in
use. In this order, each from its conditional:

1. labels :math:`z_i`, with weight zero for places not in use; :math:`C` is the partition that they make; then two
   clusters may become one, or one two (`emjax.selection.split_merge`);
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
from emjax.families.linalg import product
from emjax.families.moves import move_components
from emjax.selection.partition_prior import Given, Plan, State, log_joint, log_rising
from emjax.selection.split_merge import split_or_merge

_STEP = 1.5
"""The standard deviation of a step of a concentration's logarithm, telescope's choice for a gamma law."""

_MOVES = 2
"""Steps of a concentration in a sweep."""

_GROUP = 6


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
    if plan.splits:
        split_key, key = jax.random.split(key)
        state, members = split_or_merge(plan, split_key, state, members, given)
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
    joint = log_joint(plan, counts, state.concentration, given)
    share = joint - logsumexp(joint)
    number = _drawn_place(number_key, share) + 1
    concentration = state.concentration
    if given.concentration is not None:
        for own in jax.random.split(concentration_key, _MOVES):
            concentration = _moved(plan, own, counts, number, concentration, given.concentration)
    laws = given.laws_at(common)
    statistics = family.from_moments(state.params, moments)
    own_params = move_components(family, component_key, statistics, counts, state.params, laws)
    in_use = held | (jnp.cumsum(~held) <= number - n_held)
    if plan.sticks:
        weights = _sticks(weight_key, counts, held, concentration)
    else:
        weights = _dirichlet(weight_key, counts, in_use, concentration / number if plan.dynamic else concentration)
    state = State(plan.mixture.assembled(weights, own_params), in_use, common, concentration)
    return state, Seen(number, n_held, jnp.exp(share), counts)


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
        heights = gammaln(total) - gammaln(plan.n_samples + total) + log_rising(plan, counts, gamma)
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
