r"""Hamiltonian Monte Carlo, whitened by what EM knows: many chains in one program, one step size, one metric.

The metric is the covariance of the Laplace mixture at EM's modes, refined twice in the warm-up from the draws of all
chains. In its coordinates a normal posterior has unit variances, every direction has the period :math:`2 \pi`, and a
path of a quarter period, :math:`\pi / 2`, forgets where it began: no U-turn has to be looked for. All chains take the
same number of leapfrog steps, :math:`\lceil \pi / (2 \epsilon) \rceil`, so none waits for another; each has its own
:math:`\epsilon` within 20% of the common one, so that no direction's period resonates with the path.

With jumps, every iteration ends with as many of them as the path had steps: independence proposals of
`emjax.bayes.jumps`, accepted by Metropolis and Hastings' rule, so that chains exchange modes in the proportion of their
masses. That is exact whatever the quality of the proposals, which decides only how often a jump is accepted. Some
sweeps of Gibbs sampling follow where the jumps are over labellings: they lead out of places too narrow for the step
size that no labelling knows, where on iris with three components chains would stay for hundreds of iterations.

Jumps and sweeps would also lead to points that hold the same components in another order, where a metric learned in one
order does not fit: on the counts of death notices in London nine trajectories in ten diverge there. With jumps, chains
therefore stay in the numbering of the metric: a trajectory or a jump that ends in another one is refused, and what
sweeps lead to is brought back. `emjax.bayes.numbering` says why that is exact.

References: Neal, "MCMC using Hamiltonian dynamics", Handbook of MCMC, 2011; Hoffman and Gelman, Journal of Machine
Learning Research 15, 2014 (dual averaging); Hoffman, Radul and Sountsov, AISTATS 2021 (adaptation over chains);
Tierney, Annals of Statistics 22, 1994 (independence proposals).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.bayes.jumps import LabellingJumps, NormalJumps, exchanged
from emjax.bayes.modes import LaplaceMixture
from emjax.bayes.numbering import MOST_ENUMERATED, Numbering
from emjax.bayes.progress import ChainProgress, OnProgress, Phase
from emjax.bayes.run import Run
from emjax.bayes.target import Target, TargetData, values_and_gradients

Jumps = NormalJumps | LabellingJumps

PATH = math.pi / 2
_JITTER = 0.2
_MOST_STEPS = 64
_MOST_STEPS_WITH_JUMPS = 8
"""Where jumps do the long distances, trajectories need not."""

_DIVERGENT = 1000.0
TARGET_ACCEPTANCE = 0.85
_CHUNK_CAPACITY = 100
_FIRST_STEP_SIZE = 0.5

_WINDOWS = (0.25, 0.5, 1.0)
"""Where the windows of the warm-up end; the metric is estimated anew at the end of all but the last."""

_STUCK = 0.2
"""A chain that moved in a smaller share of its iterations than this is stuck."""

_GAMMA, _T0, _KAPPA = 0.05, 10.0, 0.75
"""The constants of dual averaging (Hoffman and Gelman, section 3.2.1)."""


class Tuning(NamedTuple):
    """Dual averaging of the log step size: its value and its average, the mean error, where it shrinks to, the time."""

    log_step: Any
    log_step_average: Any
    error: Any
    shrink_to: Any
    time: Any


class State(NamedTuple):
    """All chains: points ``(C, p)``, values ``(C,)``, gradients ``(C, p)``; the tuning; the random key."""

    flat: Any
    value: Any
    gradient: Any
    tuning: Tuning
    key: Any


class _Record(NamedTuple):
    """What is kept of each iteration; leaves lead with ``(iteration, chain)``."""

    flat: Any
    value: Any
    energy: Any
    acceptance_rate: Any
    diverging: Any
    n_steps: Any
    step_size: Any
    jumped: Any


class HmcChains:
    """Chains on a target, moved side by side by chunks of one compiled program.

    Parameters
    ----------
    target, data
        The density; its blocks should be made for as many chains.
    modes
        The metric.
    starts
        A point of finite density for each chain, ``(n_chains, p)``.
    key
        Random key; same key, same draws on the same machine.
    target_accept_prob
        Mean acceptance probability that the step size is tuned to, 0.85 by default.
    on_progress
        Called between chunks; see `emjax.bayes.progress`.
    jumps
        Proposals of jumps, none by default.

    Attributes
    ----------
    recent
        The draws of the last window of the warm-up, ``(chain, draw, p)``.
    """

    def __init__(
        self,
        target: Target,
        data: TargetData,
        modes: LaplaceMixture,
        starts: Float[np.ndarray, "C p"],
        *,
        key: jax.Array,
        target_accept_prob: float = TARGET_ACCEPTANCE,
        on_progress: OnProgress | None = None,
        jumps: Jumps | None = None,
    ) -> None:
        self.jumps = jumps
        self.target, self.data, self.on_progress = target, data, on_progress
        self.modes = modes.numbered_alike()
        self.dtype = data.blocks.x.dtype
        self.state = _initial_state(target, data, self.brought_back(starts).astype(self.dtype), key)
        self.target_acceptance = np.asarray(target_accept_prob, self.dtype)
        self.metric = modes.covariance
        self.recent = np.swapaxes(np.asarray(self.state.flat, float)[None], 0, 1)

    def brought_back(self, points: Float[np.ndarray, "n p"]) -> np.ndarray:
        """The points in the numbering of the metric, where components are alike."""
        return self.modes.relabelled(points)

    @property
    def numbering(self) -> Numbering | None:
        """What chains with jumps have to stay in; None where there is one order or too many."""
        few = 1 < self.target.n_alike <= MOST_ENUMERATED
        return self.modes.numbering.as_dtype(self.dtype) if few and self.jumps is not None else None

    def compile(self) -> None:
        """Compile the program that moves the chains, which stay where they are."""
        self._move(0, 1, np.asarray(False))

    def warm_up(self, n_iterations: int) -> None:
        """Tune metric, jumps and step size over ``n_iterations``, which are not kept."""
        begin = 0
        for end in (round(share * n_iterations) for share in _WINDOWS):
            if end > begin:
                # Dual averaging begins anew under each metric, at the step size it has reached.
                self.state = self.state._replace(tuning=_restarted(self.state.tuning))
                record = self._advance(end - begin, 1, "warmup", begin, n_iterations)
                self.recent = np.swapaxes(record.flat, 0, 1)
                if end < n_iterations:
                    self.learn(record.flat)
            begin = end
        tuning = self.state.tuning
        self.state = self.state._replace(tuning=tuning._replace(log_step=tuning.log_step_average))

    def learn(self, flat: Float[np.ndarray, "draw C p"]) -> None:
        """Estimate the metric anew from draws of all chains.

        A chain that hardly moves has run into a place too narrow for the common step size. It goes on from where
        another chain is: all of this is warm-up, and what it leaves out is seen by the visits to the modes.
        """
        moves = (np.diff(flat, axis=0) != 0).any(axis=2).mean(axis=0) >= _STUCK
        if len(flat) < 2 or not moves.any():
            return
        self.modes = self.modes.refined(flat[:, moves].reshape(-1, flat.shape[-1]).astype(float))
        self.metric = self.modes.covariance
        goes_on_from = np.where(moves, np.arange(len(moves)), int(np.argmax(moves)))
        # The metric is that of one numbering of the components, so chains that changed theirs are brought back.
        back = self.brought_back(np.asarray(self.state.flat, float)[goes_on_from]).astype(self.dtype)
        value, gradient = values_and_gradients(self.target, back, self.data)
        self.state = self.state._replace(flat=back, value=value, gradient=gradient)

    def draw(self, n_draws: int, thin: int = 1) -> Run:
        """``n_draws`` draws of each chain, every ``thin``-th of so many times as many iterations."""
        kept = self._advance(n_draws, thin, "draws", 0, n_draws)
        statistics = {
            "lp": kept.value,
            "energy": kept.energy,
            "diverging": kept.diverging,
            "acceptance_rate": kept.acceptance_rate,
            "n_steps": kept.n_steps,
            "step_size": kept.step_size,
        }
        if self.jumps is not None:
            statistics["jumped"] = kept.jumped
        return Run(
            flat=np.swapaxes(kept.flat, 0, 1).astype(float),
            sample_stats={name: _as_float(value.T) for name, value in statistics.items()},
        )

    def _advance(self, n: int, thin: int, phase: Phase, done: int, total: int) -> _Record:
        """Move all chains until ``n`` more are recorded; the record of them."""
        is_warmup = np.asarray(phase == "warmup")
        records = []
        n_divergent = np.zeros(self.state.flat.shape[0], int)
        until = done + n
        while done < until:
            length = min(max(1, _CHUNK_CAPACITY // thin), until - done)
            record = self._move(length, thin, is_warmup)
            records.append(record)
            done += length
            n_divergent += record.diverging.sum(axis=0)
            if self.on_progress is not None:
                steps = tuple(record.step_size[-1].tolist())
                for chain in range(len(n_divergent)):
                    self.on_progress(phase, done, total, ChainProgress(chain, tuple(n_divergent.tolist()), steps))
        return _Record(*(np.concatenate(leaves) for leaves in zip(*records, strict=True)))

    def _move(self, length: int, thin: int, is_warmup: np.ndarray) -> _Record:
        """Move all chains by one chunk; the record of it."""
        root = np.linalg.cholesky(self.metric).astype(self.dtype)
        counts = np.asarray([length, thin], np.int32)
        self.state, record = _advance(
            self.target,
            self.state,
            counts,
            is_warmup,
            self.target_acceptance,
            root,
            self.jumps,
            self.numbering,
            self.data,
        )
        return _Record(*(np.asarray(leaf)[:length] for leaf in record))


def _as_float(values: np.ndarray) -> np.ndarray:
    return values.astype(float) if values.dtype.kind == "f" else values


def _restarted(tuning: Tuning) -> Tuning:
    """Dual averaging begun again at the present step size, and shrinking towards twice as much."""
    log_step = np.asarray(tuning.log_step)
    zero = np.zeros_like(log_step)
    return Tuning(log_step, log_step, zero, log_step + np.asarray(math.log(2.0), log_step.dtype), zero)


def _initial_state(target: Target, data: TargetData, starts: np.ndarray, key: jax.Array) -> State:
    dtype = starts.dtype
    value, gradient = values_and_gradients(target, starts, data)
    log_step, zero = np.asarray(np.log(_FIRST_STEP_SIZE), dtype), np.zeros((), dtype)
    return State(starts, value, gradient, Tuning(log_step, log_step, zero, log_step, zero), key)


@partial(jax.jit, static_argnums=0)
def _advance(
    target: Target,
    state: State,
    counts: Array,
    is_warmup: Any,
    target_acceptance: Any,
    root: Float[Array, "p p"],
    jumps: Jumps | None,
    numbering: Numbering | None,
    data: TargetData,
) -> tuple[State, _Record]:
    """Move all chains by ``counts[0]`` records of ``counts[1]`` iterations each (both traced)."""
    iterate = partial(_iterate, target, is_warmup, target_acceptance, root, jumps, numbering, data)
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(iterate, state)[1])
    buffers = jax.tree.map(lambda leaf: jnp.zeros((_CHUNK_CAPACITY, *leaf.shape), leaf.dtype), blank)

    def one(_: Any, carry: tuple[State, _Record]) -> tuple[State, _Record]:
        state, so_far = carry
        state, record = iterate(state)
        # A thinned record counts every step on the way to it; all else is of its own transition.
        return state, record._replace(n_steps=record.n_steps + so_far.n_steps)

    def body(i: Any, carry: tuple[State, _Record]) -> tuple[State, _Record]:
        state, buffers = carry
        state, record = jax.lax.fori_loop(0, counts[1], one, (state, blank))
        return state, jax.tree.map(lambda buffer, leaf: buffer.at[i].set(leaf), buffers, record)

    return jax.lax.fori_loop(0, counts[0], body, (state, buffers))


def _iterate(
    target: Target,
    is_warmup: Any,
    target_acceptance: Any,
    root: Array,
    jumps: Jumps | None,
    numbering: Numbering | None,
    data: TargetData,
    state: State,
) -> tuple[State, _Record]:
    keys = jax.random.split(state.key, 6)
    flat, value, gradient = state.flat, state.value, state.gradient
    n_chains, dtype = flat.shape[0], flat.dtype
    evaluate = jax.vmap(target.value_and_gradient, in_axes=(0, None))
    step_size = jnp.exp(state.tuning.log_step)
    # A path is never shorter than one step: where the step is longer than the path, the path gives way.
    n_steps = jnp.clip(jnp.ceil(PATH / step_size), 1, _MOST_STEPS if jumps is None else _MOST_STEPS_WITH_JUMPS)
    n_steps = n_steps.astype(jnp.int32)
    jitter = jax.random.uniform(keys[1], (n_chains, 1), dtype, 1.0 - _JITTER, 1.0 + _JITTER)
    steps = step_size * jitter
    velocity = jax.random.normal(keys[2], flat.shape, dtype)

    def leapfrog(_: Any, carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        at, v, _, slope = carry
        v = v + 0.5 * steps * (slope @ root)
        at = at + steps * (v @ root.T)
        height, slope = evaluate(at, data)
        return at, v + 0.5 * steps * (slope @ root), height, slope

    proposal = jax.lax.fori_loop(0, n_steps, leapfrog, (flat, velocity, value, gradient))
    energy = 0.5 * jnp.sum(velocity**2, axis=1) - value
    gain = energy - (0.5 * jnp.sum(proposal[1] ** 2, axis=1) - proposal[2])
    gain = jnp.where(jnp.isnan(gain), -jnp.inf, gain)
    acceptance = jnp.exp(jnp.minimum(gain, 0.0))
    accepted = jax.random.uniform(keys[3], (n_chains,), dtype) < acceptance
    accepted &= _inside(numbering, target, proposal[0])
    flat, value, gradient = _chosen(accepted, (proposal[0], proposal[2], proposal[3]), (flat, value, gradient))
    jumped = jnp.zeros(n_chains, bool)
    if jumps is not None:

        def jump(i: Any, carry: tuple[Any, Array]) -> tuple[Any, Array]:
            chains, moved = _jump(target, jax.random.fold_in(keys[4], i), jumps, numbering, data, carry[0])
            return chains, carry[1] | moved

        proposed = jax.vmap(partial(jumps.log_density, target, data))(flat)
        chains = flat, value, gradient, proposed
        # As many as there were leapfrog steps, so that they cost what the path did.
        (flat, value, gradient, _), jumped = jax.lax.fori_loop(0, n_steps, jump, (chains, jumped))
        if target.n_alike < target.n_components:
            exchange_key = jax.random.fold_in(keys[4], _MOST_STEPS)
            (flat, value, gradient), moved = _exchange(target, exchange_key, data, (flat, value, gradient))
            jumped |= moved
    if isinstance(jumps, LabellingJumps):
        flat = jax.vmap(partial(jumps.sweep, target, data))(jax.random.split(keys[5], n_chains), flat)
        if numbering is not None:
            flat = jax.vmap(partial(numbering.relabelled, target))(flat)
        value, gradient = evaluate(flat, data)
    tuning = _tuned(state.tuning, jnp.mean(acceptance), target_acceptance)
    tuning = jax.tree.map(lambda new, old: jnp.where(is_warmup, new, old), tuning, state.tuning)
    record = _Record(
        flat=flat,
        value=value,
        energy=energy,
        acceptance_rate=acceptance,
        diverging=gain < -_DIVERGENT,
        n_steps=jnp.broadcast_to(n_steps, (n_chains,)),
        step_size=steps[:, 0],
        jumped=jumped,
    )
    return State(flat, value, gradient, tuning, keys[0]), record


def _jump(
    target: Target, key: Array, jumps: Jumps, numbering: Numbering | None, data: TargetData, old: tuple[Array, ...]
) -> tuple[tuple[Array, ...], Array]:
    """An independence proposal for each chain; ``old`` are points, values, gradients, and the proposals' densities."""
    n_chains = old[0].shape[0]
    propose_key, accept_key = jax.random.split(key)
    proposal = jax.vmap(partial(jumps.propose, target, data))(jax.random.split(propose_key, n_chains))
    height, slope = jax.vmap(target.value_and_gradient, in_axes=(0, None))(proposal, data)
    density = jax.vmap(partial(jumps.log_density, target, data))(proposal)
    ratio = height - old[1] + old[3] - density
    # NaN compares as false: a proposal without a density is refused.
    accepted = jnp.log(jax.random.uniform(accept_key, (n_chains,), height.dtype)) < ratio
    accepted &= _inside(numbering, target, proposal)
    return _chosen(accepted, (proposal, height, slope, density), old), accepted


def _exchange(target: Target, key: Array, data: TargetData, old: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array]:
    """Two components of each chain exchanged, by the rule of Metropolis: where they are told apart, nothing else leads
    from an order of them that no jump proposes. ``old`` are points, values and gradients."""
    n_chains = old[0].shape[0]
    exchange_key, accept_key = jax.random.split(key)
    proposal = jax.vmap(partial(exchanged, target))(jax.random.split(exchange_key, n_chains), old[0])
    height, slope = jax.vmap(target.value_and_gradient, in_axes=(0, None))(proposal, data)
    accepted = jnp.log(jax.random.uniform(accept_key, (n_chains,), height.dtype)) < height - old[1]
    return _chosen(accepted, (proposal, height, slope), old), accepted


def _inside(numbering: Numbering | None, target: Target, points: Float[Array, "C p"]) -> Any:
    """Which points are in the numbering that chains have to stay in; all where there is none."""
    return True if numbering is None else jax.vmap(partial(numbering.holds, target))(points)


def _chosen(accepted: Array, new: tuple[Array, ...], old: tuple[Array, ...]) -> Any:
    def choose(one: Array, other: Array) -> Array:
        return jnp.where(accepted.reshape(-1, *[1] * (one.ndim - 1)), one, other)

    return tuple(choose(one, other) for one, other in zip(new, old, strict=True))


def _tuned(tuning: Tuning, acceptance: Array, target_acceptance: Any) -> Tuning:
    time = tuning.time + 1.0
    share = 1.0 / (time + _T0)
    error = (1.0 - share) * tuning.error + share * (target_acceptance - acceptance)
    log_step = tuning.shrink_to - jnp.sqrt(time) / _GAMMA * error
    # Beyond the path itself a longer step means nothing.
    log_step = jnp.minimum(log_step, math.log(2.0 * PATH))
    weight = time**-_KAPPA
    average = weight * log_step + (1.0 - weight) * tuning.log_step_average
    return Tuning(log_step, average, error, tuning.shrink_to, time)
