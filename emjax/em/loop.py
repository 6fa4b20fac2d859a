r"""The only `while_loop`: EM iterations of a batch of starts, in chunks, until each comes to rest.

**Convergence.** A small change is no proof of convergence where EM is slow. Let :math:`s_t` be the largest change of
any unconstrained coordinate (log weights, and those of the family) in iteration t, in the standard frame. EM converges
linearly, so with the rate :math:`\rho = s_t / s_{t-1}` the distance still to go is about :math:`s_t\,\rho / (1 -
\rho)`; the loop stops when that is below ``tol``, with the larger of the last two rates. (The idea is Aitken's; see
Böhning et al., Annals of the Institute of Statistical Mathematics 46, 1994, for the log-likelihood. Parameters are used
here because their changes keep all their digits near the optimum, where changes of the log-likelihood drown in
rounding.) `emjax.em.accelerate` says what takes its place in an accelerated run.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.em.blocks import Blocks
from emjax.em.sets import expectations, lane_prior, one_of
from emjax.em.state import (
    CONVERGED,
    DECREASED,
    IMPRECISE,
    RUNNING,
    EMState,
    Options,
    Program,
    change,
    coordinates,
    first_length,
    gain_to_come,
    next_length,
    remaining,
    still,
    to_retry,
    verdict,
)
from emjax.em.step import Statistics, maximization, objective, rounding
from emjax.families.arrays import AnyArray
from emjax.mixture import Mixture, MixtureParams, Prior

CHUNK = 8192
"""The most iterations between two looks of the host; the loop carries the trace of one chunk."""

_TRACE = 1 << 17
"""The most numbers of such a trace: many starts have shorter chunks."""


class Batch(Protocol):
    """What `chunk` needs to know of a batch of starts; every array leads with ``n_starts``."""

    @property
    def code(self) -> Any:
        """Why each start stopped, or that it runs."""

    @property
    def n_iter(self) -> Any:
        """Iterations done."""

    @property
    def n_evaluations(self) -> Any:
        """E-steps done."""

    @property
    def objective(self) -> Any:
        """The objective at the current points."""


@functools.partial(jax.jit, static_argnums=0)
def start(mixture: Mixture, params: MixtureParams, data: Blocks, prior: Prior | None, ridge: Any) -> EMState:
    """The state of a batch of starts: ``params`` leads with the number of starts."""

    any_data = one_of(data)

    def one(lane: MixtureParams, statistics: Statistics, prior: Prior | None) -> EMState:
        value = objective(mixture, lane, statistics, prior)
        code = verdict(mixture, lane, statistics, value, any_data, prior, ridge, jnp.asarray(RUNNING, jnp.int32))
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
            n_evaluations=jnp.ones((), jnp.int32),
            length=first_length(mixture, value),
        )

    n_starts = params.weights.shape[0]
    prior, axis = lane_prior(prior, data, n_starts)
    statistics = expectations(mixture, params, data, jnp.ones(n_starts, bool))
    return jax.vmap(one, (0, 0, axis))(params, statistics, prior)


@functools.partial(jax.jit, static_argnums=0)
def run_chunk(
    mixture: Mixture,
    state: EMState,
    data: Blocks,
    prior: Prior | None,
    until: Array,
    limit: Array,
    options: Options,
) -> tuple[EMState, Float[Array, "chunk n_starts"], Array]:
    """At most ``limit`` (up to `longest_chunk`) iterations of every start that runs and has done fewer than ``until``.

    Returns the state, the objective after each of these iterations (NaN where a start had ended), and how many rows of
    that were needed.
    """

    def iterated(state: EMState) -> EMState:
        return _iterate(mixture, state, data, prior, options)

    return chunk(iterated, state, until, limit, longest_chunk(state.objective.shape[0]))


def chunk[State: Batch](
    advance: Callable[[State], State], state: State, until: Array, limit: Array, n_rows: int
) -> tuple[State, Float[Array, "chunk n_starts"], Array]:
    """At most ``limit`` calls of ``advance`` for every start that runs and has done fewer than ``until`` iterations.

    Returns the state; of each call the objectives of the starts for which it was an iteration (NaN for others), in
    ``n_rows`` rows; and how many of these were needed.
    """

    def active(state: State) -> Array:
        return (state.code == RUNNING) & (state.n_iter < until)

    def go_on(carry: tuple[State, Array, Array]) -> Array:
        return (carry[2] < limit) & jnp.any(active(carry[0]))

    def body(carry: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
        state, trace, i = carry
        moves = active(state)
        new = jax.tree.map(lambda a, b: jnp.where(_like(moves, a), a, b).astype(b.dtype), advance(state), state)
        # What evaluates a start for the first time is no iteration, but its objective begins the trace.
        tells = (new.n_iter > state.n_iter) | (moves & (state.n_evaluations == 0))
        row = jnp.where(tells, new.objective, jnp.nan)
        return new, jax.lax.dynamic_update_index_in_dim(trace, row, i, 0), i + 1

    # The trace is one row a call, so that a chunk of any length costs an iteration no more than one row.
    trace = jnp.full((n_rows, state.code.shape[0]), jnp.nan, state.objective.dtype)
    return jax.lax.while_loop(go_on, body, (state, trace, jnp.zeros((), jnp.int32)))


def longest_chunk(n_starts: int) -> int:
    """The most iterations of one chunk."""
    return min(CHUNK, max(_TRACE // n_starts, 1))


def _like(moves: AnyArray, leaf: AnyArray) -> AnyArray:
    return moves.reshape(moves.shape + (1,) * (leaf.ndim - 1))


def _iterate(mixture: Mixture, state: EMState, data: Blocks, prior: Prior | None, options: Options) -> EMState:
    """One iteration of every start: the M-step, the E-step, and what follows from them."""
    n_starts = state.code.shape[0]
    lane_priors, axis = lane_prior(prior, data, n_starts)

    def maximized(state: EMState, prior: Prior | None) -> MixtureParams:
        image = maximization(mixture, state.params, state.statistics, prior, options.ridge)
        if state.length is None:
            return image
        own = coordinates(mixture, image)
        u, g = own.flat(state.params), own.flat(image)
        part = own.params(u + state.length * (g - u))
        return jax.tree.map(lambda whole, part: jnp.where(state.length < 1.0, part, whole), image, part)

    params = jax.vmap(maximized, (0, axis))(state, lane_priors)
    statistics = expectations(mixture, params, data, state.code == RUNNING)
    judged = functools.partial(_judged, mixture, one_of(data), options)
    return jax.vmap(judged, (0, 0, 0, axis))(state, params, statistics, lane_priors)


def _judged(
    mixture: Mixture,
    data: Blocks,
    options: Options,
    state: EMState,
    params: MixtureParams,
    statistics: Statistics,
    prior: Prior | None,
) -> EMState:
    value = objective(mixture, params, statistics, prior)

    eps = jnp.finfo(value.dtype).eps
    own = coordinates(mixture, params)
    step = jnp.max(jnp.abs(change(own.flat(state.params), own.flat(params))))
    step = step if state.length is None else step / state.length
    rate = step / state.step
    distance = remaining(step, rate, state.rate, state.n_iter)
    size = jnp.abs(value) + data.total_weight
    # With a ridge the limit may be reached from above.
    gain = jnp.abs(value - state.objective)
    gain_rate = gain / state.gain
    to_come = gain_to_come(state, gain, gain_rate, size)
    # Below some roundings of a coordinate near one nothing moves any more, whatever the ratios say.
    at_rest = (
        (step <= still(mixture, params))
        | (distance <= options.parameters)
        | (to_come <= options.gain * data.total_weight)
    )
    at_rest = at_rest & ((options.parameters > 0) | (options.gain > 0))

    slack = 1e4 * eps * size + 4.0 * rounding(mixture, params, data) * data.total_weight
    fell = value < state.objective - slack
    # The M-step plus a ridge is no maximiser, so a small fall is no fault there.
    fell = fell & (options.ridge is None)
    code = jnp.where(fell, DECREASED, jnp.where(at_rest, CONVERGED, RUNNING)).astype(jnp.int32)
    code = verdict(mixture, params, statistics, value, data, prior, options.ridge, code)
    candidate = dataclasses.replace(
        state,
        params=params,
        statistics=statistics,
        objective=value,
        step=step,
        # Ratios of steps that are mostly rounding say nothing of the rate.
        rate=jnp.where(step > 1e4 * eps, rate, state.rate),
        gain=gain,
        gain_rate=gain_rate,
        code=code,
        n_iter=state.n_iter + 1,
        n_evaluations=state.n_evaluations + 1,
    )
    # A step that cannot be trusted is not taken: the start keeps its last good parameters and says why it stopped.
    keep = (code == RUNNING) | (code == CONVERGED)
    stopped = dataclasses.replace(state, code=code, n_evaluations=state.n_evaluations + 1)
    if state.length is not None:
        retried = to_retry(state.length, code)
        length = next_length(state.length, retried)
        candidate = dataclasses.replace(candidate, length=length)
        stopped = dataclasses.replace(stopped, code=jnp.where(retried, RUNNING, code), length=length)
    return jax.tree.map(lambda new, old: jnp.where(keep, new, old), candidate, stopped)


class Plain:
    """Plain EM of a batch of starts; the counterpart of `emjax.em.accelerate.Accelerated`."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def begin(self, params: MixtureParams) -> EMState:
        """The starts, evaluated."""
        program = self.program
        ridge = program.options.ridge
        return jax.block_until_ready(start(program.mixture, params, program.data, program.prior, ridge))

    fresh = begin
    """Here the same: starts are evaluated by a program of their own."""

    def advance(self, state: EMState, until: int, limit: int) -> tuple[EMState, np.ndarray]:
        """At most ``limit`` iterations of the starts that run and have done fewer than ``until``.

        Returns them with the objective after each, one row an iteration and NaN where a start had ended.
        """
        program = self.program
        bounds = np.asarray(until, np.int32), np.asarray(min(limit, longest_chunk(len(state.objective))), np.int32)
        state, rows, n_rows = run_chunk(program.mixture, state, program.data, program.prior, *bounds, program.options)
        return state, np.asarray(rows)[: int(n_rows)]

    def displaced(self, state: EMState, away: np.ndarray) -> EMState:
        """Starts beside the current points, ``away (n_starts, p)`` from them in coordinates, evaluated."""
        return self.begin(_displaced(self.program.mixture, state.params, away))

    def coordinates(self, state: EMState) -> np.ndarray:
        """Those of the current points, ``(n_starts, p)``."""
        return np.asarray(_coordinates(self.program.mixture, state.params))

    def retake(self, state: EMState) -> EMState:
        """The same starts, evaluated on other data blocks; one that had become imprecise goes on."""
        fresh = self.begin(state.params)
        n_evaluations = state.n_evaluations + fresh.n_evaluations
        fresh = dataclasses.replace(fresh, rate=state.rate, n_iter=state.n_iter, n_evaluations=n_evaluations)
        goes_on = (state.code == RUNNING) | (state.code == IMPRECISE)
        return jax.tree.map(lambda new, old: jnp.where(_like(goes_on, new), new, old), fresh, state)

    def ended(self, state: EMState) -> EMState:
        """What the starts have reached."""
        return state


@functools.partial(jax.jit, static_argnums=0)
def _displaced(mixture: Mixture, params: MixtureParams, away: Float[Array, "n p"]) -> MixtureParams:
    own = coordinates(mixture, params)
    return jax.vmap(lambda params, away: own.params(own.flat(params) + away))(params, away)


@functools.partial(jax.jit, static_argnums=0)
def _coordinates(mixture: Mixture, params: MixtureParams) -> Float[Array, "n p"]:
    return jax.vmap(coordinates(mixture, params).flat)(params)
