r"""The only `while_loop`: EM iterations of a batch of starts, in chunks, until each comes to rest.

**Convergence.** A small change is no proof of convergence where EM is slow. Let :math:`s_t` be the largest change of
any unconstrained coordinate (log weights, and those of the family) in iteration t, in the standard frame. EM converges
linearly, so with the rate :math:`\rho = s_t / s_{t-1}` the distance still to go is about :math:`s_t\,\rho / (1 -
\rho)`; the loop stops when that is below ``tol``, with the larger of the last two rates. (The idea is Aitken's; see
Böhning et al., Annals of the Institute of Statistical Mathematics 46, 1994, for the log-likelihood. Parameters are used
here because their changes keep all their digits near the optimum, where changes of the log-likelihood drown in
rounding.)
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from emjax.em.step import Blocks, Statistics, expectation, maximization, objective
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.result import Status

CHUNK = 256
"""Iterations between two looks of the host; the trace of one chunk is carried by the loop."""

RUNNING = -1
_CODES = {RUNNING: None, 0: Status.CONVERGED, 1: Status.DEGENERATE, 2: Status.NONFINITE, 3: Status.DECREASED}
_CONVERGED, _DEGENERATE, _NONFINITE, _DECREASED = 0, 1, 2, 3
_EMPTY = 1e-3  # a component with fewer expected points than this has lost its data


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EMState:
    """What the next iteration needs: parameters, the statistics taken at them, and how the last step went."""

    params: MixtureParams
    statistics: Statistics
    objective: Any
    step: Any
    rate: Any
    gain: Any
    gain_rate: Any
    code: Any
    n_iter: Any


def status_of(code: int) -> Status | None:
    """The status of a lane's code; ``None`` while it is running."""
    return _CODES[code]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Options:
    """Traced settings of the loop: a tolerance that is not asked for is negative, zero for both means exact numbers.

    ``parameters`` bounds the estimated distance to the limit, ``gain`` the estimated gain of the objective per sample
    that is still to come; ``ridge`` ``(d,)``, or ``None``, is added to every variance after the M-step.
    """

    parameters: Any
    gain: Any
    ridge: Any = None


@functools.partial(jax.jit, static_argnums=0)
def start(mixture: Mixture, params: MixtureParams, data: Blocks, prior: Prior | None) -> EMState:
    """The state of a batch of starts: ``params`` leads with the number of starts."""

    def one(lane: MixtureParams) -> EMState:
        statistics = expectation(mixture, lane, data)
        value = objective(mixture, lane, statistics, prior)
        code = _verdict(mixture, lane, statistics, value, prior, jnp.asarray(RUNNING, jnp.int32))
        return EMState(
            params=lane,
            statistics=statistics,
            objective=value,
            step=jnp.full((), jnp.inf, value.dtype),
            rate=jnp.full((), jnp.nan, value.dtype),
            gain=jnp.full((), jnp.inf, value.dtype),
            gain_rate=jnp.full((), jnp.nan, value.dtype),
            code=code,
            n_iter=jnp.zeros((), jnp.int32),
        )

    return jax.vmap(one)(params)


@functools.partial(jax.jit, static_argnums=0)
def run_chunk(
    mixture: Mixture, state: EMState, data: Blocks, prior: Prior | None, limit: Array, options: Options
) -> tuple[EMState, Array]:
    """Up to ``limit`` (at most `CHUNK`) iterations of every lane that is still running.

    Returns the state and the objective after each of these iterations, ``(n_starts, CHUNK)``, NaN where none ran.
    """

    def one(lane: EMState) -> tuple[EMState, Array]:
        trace = jnp.full(CHUNK, jnp.nan, lane.objective.dtype)

        def running(carry: tuple[EMState, Array, Array]) -> Array:
            return (carry[0].code == RUNNING) & (carry[2] < limit)

        def body(carry: tuple[EMState, Array, Array]) -> tuple[EMState, Array, Array]:
            state, trace, i = carry
            new = _iterate(mixture, state, data, prior, options)
            moved = new.n_iter > state.n_iter
            trace = trace.at[i].set(jnp.where(moved, new.objective, jnp.nan))
            return new, trace, i + 1

        state, trace, _ = jax.lax.while_loop(running, body, (lane, trace, jnp.zeros((), jnp.int32)))
        return state, trace

    return jax.vmap(one)(state)


def _iterate(mixture: Mixture, state: EMState, data: Blocks, prior: Prior | None, options: Options) -> EMState:
    params = maximization(mixture, state.params, state.statistics, prior, options.ridge)
    statistics = expectation(mixture, params, data)
    value = objective(mixture, params, statistics, prior)

    step = _largest_change(_coordinates(mixture, state.params), _coordinates(mixture, params))
    rate = step / state.step
    # One ratio may be small by chance, while fast directions die out and a slow one is still to come: two in a row
    # must agree. The first two iterations have no such pair; a step of nothing but rounding is a fixed point at once.
    remaining = _remaining(step, rate, state.rate, state.n_iter)
    # Below some roundings of a coordinate near one nothing moves any more, whatever the ratios say.
    eps = jnp.finfo(value.dtype).eps
    still = step <= 64 * eps
    # Ratios of steps that are mostly rounding say nothing of the rate.
    rate = jnp.where(step > 1e4 * eps, rate, state.rate)

    size = jnp.abs(value) + data.total_weight
    # With a ridge the limit may be reached from above.
    gain = jnp.abs(value - state.objective)
    gain_rate = gain / state.gain
    to_come = jnp.where(gain <= 64 * eps * size, 0.0, _remaining(gain, gain_rate, state.gain_rate, state.n_iter))
    wanted = (options.parameters > 0) | (options.gain > 0)
    at_rest = still | (remaining <= options.parameters) | (to_come <= options.gain * data.total_weight)
    at_rest = wanted & at_rest

    fell = value < state.objective - 1e4 * eps * size
    # The M-step plus a ridge is no maximiser, so a small fall is no fault there.
    fell = fell & (options.ridge is None)
    code = jnp.where(fell, _DECREASED, jnp.where(at_rest, _CONVERGED, RUNNING)).astype(jnp.int32)
    code = _verdict(mixture, params, statistics, value, prior, code)
    candidate = EMState(
        params=params,
        statistics=statistics,
        objective=value,
        step=step,
        rate=rate,
        gain=gain,
        gain_rate=gain_rate,
        code=code,
        n_iter=state.n_iter + 1,
    )
    # A step that cannot be trusted is not taken: the lane keeps its last good parameters and says why it stopped.
    keep = (code == RUNNING) | (code == _CONVERGED)
    stopped = dataclasses.replace(state, code=code)
    return jax.tree.map(lambda new, old: jnp.where(keep, new, old), candidate, stopped)


def _remaining(step: Array, rate: Array, rate_before: Array, n_iter: Array) -> Array:
    """What a linearly converging sequence still has to go, by the larger of its last two rates."""
    slowest = jnp.where(n_iter >= 2, jnp.maximum(rate, rate_before), jnp.inf)
    return jnp.where(slowest < 1.0, step * slowest / (1.0 - slowest), jnp.inf)


def _verdict(
    mixture: Mixture,
    params: MixtureParams,
    statistics: Statistics,
    value: Array,
    prior: Prior | None,
    code: Array,
) -> Array:
    """``code``, unless the parameters have collapsed or a number is not finite."""
    collapsed = mixture.family.degenerate(params.components)
    if prior is None:
        collapsed = collapsed | jnp.any(statistics.counts < _EMPTY)
    # A collapse may overshoot to a matrix that is not positive definite, and then the objective is NaN too.
    code = jnp.where(jnp.isfinite(value), code, _NONFINITE)
    code = jnp.where(collapsed, _DEGENERATE, code)
    return jnp.where(_all_finite(params), code, _NONFINITE).astype(jnp.int32)


def _coordinates(mixture: Mixture, params: MixtureParams) -> Any:
    # Log weights and not their ratios: a weight of zero, where a prior allows it, must not hide how the others move.
    return jnp.log(params.weights), mixture.family.unconstrain(params.components)


def _largest_change(before: Any, after: Any) -> Array:
    # A step from infinity to infinity (a weight of zero) is no step.
    changes = [
        jnp.max(jnp.where(a == b, 0.0, jnp.abs(a - b)), initial=0.0)
        for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True)
    ]
    return functools.reduce(jnp.maximum, changes)


def _all_finite(params: MixtureParams) -> Array:
    return functools.reduce(jnp.logical_and, [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)])
