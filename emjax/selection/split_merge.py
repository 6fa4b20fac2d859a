r"""A cluster split into two, or two merged, by Metropolis and Hastings: what single labels reach only through a valley.

A new cluster of single labels begins with one datum in a component drawn from the prior, which in several dimensions
is hardly ever near. Here two data are drawn. Where they are in one cluster, a split is proposed that keeps them apart,
else that their clusters merge. Some scans of Gibbs sampling over the data of these clusters alone, begun with one datum
on each side, lead to a likely split, from which the last scan proposes: its labels have the probability
:math:`q(C')`, a product over data. Begun with nothing but which data they are, the scans are the same for the way back.
With :math:`r_k = p(x_k, \theta_k) / q(\theta_k)` (`emjax.families.moves`), a split is accepted with the probability

.. math:: \min\Big(1, \frac{p(C') \, r_1 r_2}{p(C) \, r_{12} \, q(C')}\Big),

a merger with that of the inverse of the same ratio; the number of components is integrated out (`partition_prior`).
What components share, a tied covariance, stays as it is.

Jain and Neal, "Splitting and merging components of a nonconjugate Dirichlet process mixture model", Bayesian Analysis
2, 2007; of mixtures with a random number of components Miller and Harrison, Journal of the American Statistical
Association 113, 2018.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from emjax.families.linalg import product
from emjax.families.moves import propose_components
from emjax.mixture import MixtureParams
from emjax.selection.partition_prior import Given, Plan, State, log_partition

_SCANS = 4
"""Scans with labels before the last one, which proposes."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Scanned:
    """The first and the second side of a split and both together, as three components, after a scan.

    ``sides (3, n)`` are ones at their data; ``log_q`` is the log probability of the labels, and ``log_ratios (3,)`` are
    those of the components, both given the scan before.
    """

    components: MixtureParams
    sides: Any
    log_q: Any
    log_ratios: Any


def split_or_merge(
    plan: Plan, key: Array, state: State, members: Float[Array, "K n"], given: Given
) -> tuple[State, Float[Array, "K n"]]:
    """The state and the ``members`` (ones at labels, zeros elsewhere) after one proposal."""
    pair_key, scan_key, accept_key = jax.random.split(key, 3)
    pair = _pair(pair_key, plan.n_samples, members.dtype)
    one, other = places = product(pair, members.T)
    together = jnp.sum(one * other) > 0
    found = _scanned(plan, scan_key, state, members, given, pair, places)

    sizes, (first, second, union) = jnp.sum(members, axis=1), jnp.sum(found.sides, axis=1)
    new = (sizes == 0) & (jnp.cumsum(sizes == 0) == 1)
    other = jnp.where(together, new.astype(sizes.dtype), other)
    rest = sizes * (1.0 - one) * (1.0 - other)
    both = jnp.stack([rest + first * one + second * other, rest + union * one])
    of_two, of_one = jax.vmap(lambda counts: log_partition(plan, counts, state.concentration, given))(both)
    gain = of_two - of_one - found.log_q + product(found.log_ratios[None], jnp.array([1.0, 1.0, -1.0]))[0]
    log_level = jnp.log(jax.random.uniform(accept_key, (), sizes.dtype))
    accepted = (log_level < jnp.where(together, gain, -gain)) & (jnp.sum(other) > 0)

    def placed(held: Array, ours: Array) -> Array:
        shape = (-1, *(1,) * (held.ndim - 1))
        into_one = jnp.where(together, ours[0], ours[2])[None]
        changed = jnp.where((other > 0).reshape(shape), ours[1][None], held)
        return jnp.where(accepted, jnp.where((one > 0).reshape(shape), into_one, changed), held)

    own = {
        name: state.params[name] if parameter.shared else placed(state.params[name], found.components[name])
        for name, parameter in plan.mixture.family.parameters.items()
    }
    params = plan.mixture.assembled(state.params.weights, own)
    # A place that a merger has left holds nothing, and gets parameters from the prior before they are asked for.
    sides = found.sides * jnp.stack([jnp.ones(()), together, jnp.ones(())])[:, None]
    return dataclasses.replace(state, params=params), placed(members, sides)


def _pair(key: Array, n_samples: int, dtype: Any) -> Float[Array, "2 n"]:
    """Ones at two different data, drawn evenly."""
    first_key, away_key = jax.random.split(key)
    first = jax.random.randint(first_key, (), 0, n_samples)
    second = (first + jax.random.randint(away_key, (), 1, n_samples)) % n_samples
    return (jnp.stack([first, second])[:, None] == jnp.arange(n_samples)[None, :]).astype(dtype)


def _scanned(
    plan: Plan,
    key: Array,
    state: State,
    members: Float[Array, "K n"],
    given: Given,
    pair: Float[Array, "2 n"],
    places: Float[Array, "2 K"],
) -> _Scanned:
    """Both ways between one cluster and two: what the chain is at and what is proposed, each from the same scans.

    These begin with parameters from the prior, which forget where the chain is, and then with one datum on each side.
    """
    family, laws = plan.mixture.family, given.laws_at(state.common)
    together = jnp.sum(places[0] * places[1]) > 0
    union = product(jnp.max(places, axis=0)[None], members)[0]
    free = union - pair[0] - pair[1]
    at = jnp.argmax(places, axis=1)[jnp.array([0, 1, 0])]
    shared = [name for name, parameter in family.parameters.items() if parameter.shared]
    values = {name: value if name in shared else value[at] for name, value in state.params.items()}
    current = MixtureParams(family, values)
    is_current = jnp.stack([~together, ~together, together])
    at_first = product(places[:1], members)[0]
    begun = jnp.stack([pair[0], pair[1], union])
    last = _SCANS + 2

    def scan(i: Any, before: _Scanned) -> _Scanned:
        label_key, component_key = jax.random.split(jax.random.fold_in(key, i))
        natural, held = family.natural_parameters(before.components), jnp.sum(before.sides, axis=1)
        log_odds = product((natural[0] - natural[1])[None], given.features)[0] + jnp.log(held[0] / held[1])
        level = jax.random.uniform(label_key, free.shape, free.dtype)
        drawn = pair[0] + free * (level < jax.nn.sigmoid(log_odds))
        first = jnp.where((i == last) & ~together, at_first, drawn)
        log_q = jnp.sum(free * jax.nn.log_sigmoid(jnp.where(first > 0, log_odds, -log_odds)))
        sides = jnp.where(i < 2, begun, jnp.stack([first, union - first, union]))
        told = jnp.where(i == 0, 0.0, sides)
        statistics = family.from_moments(before.components, product(told, given.features.T))
        own, log_ratios = propose_components(
            family,
            component_key,
            statistics,
            jnp.sum(told, axis=1),
            before.components,
            laws,
            current,
            is_current & (i == last),
        )
        return _Scanned(plan.mixture.assembled(current.weights, own), sides, log_q, log_ratios)

    none = jnp.zeros((), members.dtype)
    return jax.lax.fori_loop(0, last + 1, scan, _Scanned(current, begun, none, jnp.zeros(3, members.dtype)))
