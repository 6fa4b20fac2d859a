"""One pass over the data: E-step and the sums that the M-step needs, fused block by block.

Responsibilities never leave a block. The statistics of blocks add up, so one block, many blocks, and later streams
and devices, are the same code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from emjax.em.blocks import AXIS, Blocks
from emjax.families.linalg import PRECISION
from emjax.families.observations import Observations
from emjax.mixture import Mixture, MixtureParams, Prior

_TRUSTED_ROUNDING = {"float64": 1e-6, "float32": 5e-5}
"""The `rounding` up to which the natural form is good enough.

In float64 it leaves EM's default tolerance its meaning. In float32 the estimates are then those of float64 to 1e-5 of
log-likelihood per datum.
"""

_TRUSTED_EXACT_ROUNDING = 2e-3
"""The same for the family's own form, in either precision: a datum's place within a component, in deviations."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Statistics:
    """Expected sufficient statistics at some parameters, and the log-likelihood there (base measure left out)."""

    log_likelihood: Any
    counts: Any
    components: Any


def expectation(mixture: Mixture, params: MixtureParams, data: Blocks) -> Statistics:
    """The E-step and its sums over all blocks."""
    sums = (
        _natural_sums(mixture, natural_form(mixture, params, holes=data.has_holes), data)
        if data.natural
        else _exact_sums(mixture, params, data)
    )
    log_likelihood, (counts, components) = _over_blocks(sums, data)
    if data.natural:
        components = mixture.family.from_moments(params, components)
    return Statistics(log_likelihood=log_likelihood, counts=counts, components=components)


_Sums = Callable[[Observations, Array, Any], tuple[Array, Any]]


def _over_blocks(sums: _Sums, data: Blocks) -> tuple[Array, Any]:
    if data.mesh is None:
        return _add_up(sums, data.rows, data.weights, data.excess)

    def share(rows: Observations, weights: Array, excess: Any) -> tuple[Array, Any]:
        return jax.lax.psum(_add_up(sums, rows, weights, excess), AXIS)

    # Unchecked, since the check would refuse sums that start from zeros; psum makes them equal everywhere.
    spread = jax.shard_map(share, mesh=data.mesh, in_specs=jax.P(AXIS), out_specs=jax.P(), check_vma=False)
    return spread(data.rows, data.weights, data.excess)


def _add_up(sums: _Sums, rows: Observations, weights: Array, excess: Any) -> tuple[Array, Any]:
    blocks = rows, weights, excess
    first = jax.tree.map(lambda leaf: leaf[0], blocks)
    if weights.shape[0] == 1:
        return sums(*first)

    shapes = jax.eval_shape(sums, *first)
    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def add(total: Any, block: tuple[Observations, Array, Any]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, sums(*block)), None

    def add_compensated(total: tuple[Any, Any], block: tuple[Observations, Array, Any]) -> tuple[tuple[Any, Any], None]:
        before, lost = total
        term = jax.tree.map(jnp.subtract, sums(*block), lost)
        after = jax.tree.map(jnp.add, before, term)
        return (after, jax.tree.map(lambda new, old, t: (new - old) - t, after, before, term)), None

    if rows.y.dtype == jnp.float32:
        # What each addition rounds away is given back to the next one (Kahan), or many blocks would cost a digit.
        return jax.lax.scan(add_compensated, (zero, zero), blocks)[0][0]
    return jax.lax.scan(add, zero, blocks)[0]


def natural_form(mixture: Mixture, params: MixtureParams, *, holes: bool = False) -> Float[Array, "K p"]:
    """What multiplies the sufficient statistics in the joint log density (base measure left out).

    ``holes``: whether cells are missing, which some families have further statistics for.
    """
    natural = mixture.family.natural_parameters(params, holes=holes)
    return natural.at[:, 0].add(mixture.log_weights(params))


def natural_expectation(
    mixture: Mixture, natural: Float[Array, "K p"], data: Blocks
) -> tuple[Float[Array, ""], Float[Array, "K p"]]:
    """The log-likelihood (base measure left out) as a function of the natural form, and its gradient.

    The gradient is the expected sufficient statistics, so that an E-step is a value and a gradient in one pass.
    """
    log_likelihood, (_, moments) = _over_blocks(_natural_sums(mixture, natural, data), data)
    return log_likelihood, moments


def log_likelihood(mixture: Mixture, params: MixtureParams, data: Blocks) -> Float[Array, ""]:
    """The log-likelihood with its base measure, for automatic differentiation of any order in any family."""

    # Recomputed in the backward pass, so that one block at a time is in memory.
    @jax.checkpoint
    def block(params: MixtureParams, rows: Observations, weights: Array) -> Array:
        return jnp.sum(weights * mixture.log_prob(params, rows))

    if data.x.shape[0] == 1:
        return block(params, *jax.tree.map(lambda leaf: leaf[0], (data.rows, data.weights)))

    def add(total: Array, one: tuple[Observations, Array]) -> tuple[Array, None]:
        return total + block(params, *one), None

    return jax.lax.scan(add, jnp.zeros((), data.x.dtype), (data.rows, data.weights))[0]


def _natural_sums(mixture: Mixture, natural: Float[Array, "K p"], data: Blocks) -> _Sums:
    """Two matrix products with the sufficient statistics, which all components and all starts share."""

    def sums(rows: Observations, weights: Float[Array, " n"], excess: Any) -> tuple[Array, Any]:
        features = mixture.family.sufficient_statistics(rows)
        joint = _labelled(jax.lax.dot(natural, features, precision=PRECISION), rows)
        log_likelihood, responsibilities = _responsibilities(joint, weights, excess, counted=data.counted)
        # Contracted over the data in this order the product needs no transposed copy: twice as fast as the other one.
        moments = jax.lax.dot_general(features, responsibilities, (((1,), (1,)), ((), ())), precision=PRECISION).T
        return log_likelihood, (moments[:, 0], moments)

    return sums


def _exact_sums(mixture: Mixture, params: MixtureParams, data: Blocks) -> _Sums:
    log_weights = mixture.log_weights(params)

    def sums(rows: Observations, weights: Float[Array, " n"], excess: Any) -> tuple[Array, Any]:
        joint = _labelled(log_weights[:, None] + mixture.family.log_kernel(params, rows), rows)
        log_likelihood, responsibilities = _responsibilities(joint, weights, None, counted=data.counted)
        statistics = mixture.family.statistics(params, rows, responsibilities)
        return log_likelihood, (jnp.sum(responsibilities, axis=1), statistics)

    return sums


def _labelled(joint: Float[Array, "K n"], rows: Observations) -> Float[Array, "K n"]:
    return joint if rows.labels is None else joint + rows.labels


def _responsibilities(
    joint: Float[Array, "K n"], weights: Float[Array, " n"], excess: Float[Array, " n"] | None, *, counted: bool
) -> tuple[Array, Float[Array, "K n"]]:
    # Written out, this is two to three times faster than logsumexp and a softmax.
    top = jnp.max(joint, axis=0)
    shares = jnp.exp(joint - top[None, :])
    total = jnp.sum(shares, axis=0)
    top = top if excess is None else top - excess
    if counted:
        value = jnp.sum(weights * (top + jnp.log(total)))
    else:
        value = _log_likelihood(top, total, weights, joint.shape[0])
    return value, shares * (weights / total)[None, :]


def _log_likelihood(
    top: Float[Array, " n"], total: Float[Array, " n"], weights: Float[Array, " n"], largest: int
) -> Float[Array, ""]:
    """The sum of ``top + log total`` where the weight is one, not zero; every total lies between 1 and ``largest``.

    One log of a product in place of many, since XLA computes an array of float64 logs one number at a time; and sums
    and products in one reduction.
    """
    factors = 16
    while largest**factors > jnp.finfo(total.dtype).max:
        factors //= 2
    rows = -(-total.shape[0] // factors)

    def folded(values: Float[Array, " n"], neutral: float) -> Float[Array, "factors rows"]:
        padding = (0, rows * factors - values.shape[0])
        return jnp.pad(values, padding, constant_values=neutral).reshape(factors, rows)

    terms = folded(weights * top, 0.0), folded(jnp.where(weights > 0, total, 1.0), 1.0)
    neutral = jnp.zeros((), top.dtype), jnp.ones((), top.dtype)
    sums, products = jax.lax.reduce(terms, neutral, lambda x, y: (x[0] + y[0], x[1] * y[1]), (0,))
    return jnp.sum(sums + jnp.log(products))


def maximization(
    mixture: Mixture,
    params: MixtureParams,
    statistics: Statistics,
    prior: Prior | None,
    ridge: Float[Array, " d"] | None = None,
) -> MixtureParams:
    """The M-step: the maximiser of the statistics that were taken at ``params``, plus the log prior if any.

    A ``ridge`` (squared units of the frame) is added to every variance afterwards; the step is then no longer an exact
    maximiser, and the objective may fall by a little.
    """
    counts = statistics.counts
    pseudo_counts = counts if prior is None else jnp.maximum(counts + prior.concentration - 1.0, 0.0)
    components = mixture.family.maximize(statistics.components, counts, params, mixture.laws(prior))
    if ridge is not None:
        components = mixture.family.regularize(components, ridge)
    weights = pseudo_counts / jnp.sum(pseudo_counts) if mixture.family.weighted else params["weights"]
    return mixture.assembled(weights, components)


def rounding(mixture: Mixture, params: MixtureParams, data: Blocks) -> Array:
    """The rounding error to expect of one log density at these parameters.

    The natural form adds up terms ``c`` times their sum, with ``c`` of `Family.cancellation`. The family's own form
    subtracts the mean first, and then the error is that of a datum's place: `Family.distance`.
    """
    lost = mixture.family.cancellation if data.natural else mixture.family.distance
    return jnp.finfo(data.x.dtype).eps * lost(params)


def trusted(mixture: Mixture, params: MixtureParams, data: Blocks) -> Array:
    """Whether the arithmetic of ``data`` is exact enough at these parameters."""
    limit = _TRUSTED_ROUNDING[data.x.dtype.name] if data.natural else _TRUSTED_EXACT_ROUNDING
    return rounding(mixture, params, data) <= limit


def objective(mixture: Mixture, params: MixtureParams, statistics: Statistics, prior: Prior | None) -> Array:
    """The log-likelihood (base measure left out) plus the log prior: what EM increases."""
    if prior is None:
        return statistics.log_likelihood
    return statistics.log_likelihood + mixture.log_prior(params, prior)
