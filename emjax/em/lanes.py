"""The host's side of the loop: chunks, progress, interruption, batches that shrink, and a change to exact arithmetic.

**Chunks.** The host looks at the starts between chunks of E-steps. A chunk is as long as half a second allows (a bar
that moves, Ctrl-C that is answered), but not longer than `CHUNK` E-steps.

**Batches.** Starts that have come to rest still cost their share of every E-step. Those that run are gathered into a
smaller batch, the next power of two, when that pays: a smaller batch is another program, so the time spent in the loop
with the present batch, times the share of it that the smaller batch would have saved, must have reached what compiling
takes. (What a batch will still run is not known; that it runs about as long as it has run so far loses at most twice
the best choice.) A batch is at least halved.

A batch of another size adds up in another order, so what decides on it decides on the last bits of a result. That is no
clock and nothing that the process has done before: seconds are nominal, worked out from shapes, and the question is
asked after numbers of E-steps that follow from shapes too, wherever chunks end.

**Exact arithmetic.** A start that leaves the range in which the natural form of the statistics can be trusted is laid
aside, and goes on in the exact form when the others have ended: nearly all such starts are about to collapse, and need
not slow down the rest. One that this does not help ends with the status ``precision``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from emjax.clock import stopwatch
from emjax.em.accelerate import Accelerated
from emjax.em.blocks import Blocks
from emjax.em.loop import CHUNK, Plain
from emjax.em.state import CONVERGED, IMPRECISE, INTERRUPTED, RUNNING, EMState, Program
from emjax.mixture import MixtureParams

_SECONDS = 0.5
_ASKED_SECONDS, _FEWEST_STEPS, _FIRST_STEPS = 0.2, 8, 32
"""Whether a smaller batch pays is asked after so many nominal seconds, but not more often than after so many E-steps,
and after so many at the latest in a batch that was not asked before."""

_BRIEF_SECONDS = 0.001
"""Where an E-step of starts that go on in exact arithmetic takes no longer than this (nominally), and there are other
starts, they are worth little compiling."""

_COMPILE_SECONDS = 1.0
"""What compiling a smaller batch takes, nominally."""

_ACCELERATORS = 100.0
"""So many times as fast as the nominal machine is one with an accelerator, by its bandwidth: none was measured."""


def nominal_seconds(n_rows: int, n_features: int, n_components: int) -> float:
    """What an E-step would take on a nominal machine: 4 ns a density, and 10 G multiplications a second.

    ``n_components`` are those of all starts that are iterated together.
    """
    return 1e-4 + n_rows * n_components * (4e-9 + 2e-10 * (1 + n_features) ** 2)


_Traces = tuple[tuple[np.ndarray, np.ndarray, bool], ...]
"""Of each chunk: the starts, their objectives, one row an E-step, and whether these take the place of the last ones."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """The starts that are iterated together.

    ``lanes`` are their numbers, -1 for a place that is filled up; ``done`` iterations, ``n_steps`` E-steps since the
    batch was gathered, ``left`` until it is asked again whether a smaller one pays, ``per_step`` seconds of one, which
    are measured.
    """

    state: Any
    lanes: np.ndarray
    done: int = 0
    n_steps: int = 0
    left: int = 0
    per_step: float = 0.0

    @property
    def runs(self) -> np.ndarray:
        """Which places hold a start that is running."""
        return (np.asarray(self.state.code) == RUNNING) & (self.lanes >= 0)


@dataclasses.dataclass(frozen=True)
class Ended:
    """All starts on the host.

    ``state`` leads with ``n_starts``; each of the ``traces`` has the objectives of a start, perhaps NaN after its end.
    """

    state: EMState
    traces: Sequence[np.ndarray] | np.ndarray
    interrupted: bool = False


class Runner:
    """Iterates a batch of starts until all have ended, and keeps what each of them has reached.

    Parameters
    ----------
    program, params
        What to run, and the starts, stacked.
    exact
        Makes the blocks of the data for exact arithmetic, called at most once; ``None`` where they are exact already.
    report
        Called with the iterations done and all starts as they are, between chunks; may be ``None``.
    kind
        What makes the engine of a program; by default what its method asks for.
    """

    def __init__(
        self,
        program: Program,
        params: MixtureParams,
        exact: Callable[[], Blocks] | None,
        report: Callable[[int, Ended], None] | None,
        kind: Callable[[Program], Any] | None = None,
    ) -> None:
        # Programs that several fits share are few for that reason.
        self._may_shrink = kind is None
        self._kind = kind or (Plain if program.method == "none" else Accelerated)
        self._engine: Any = self._kind(program)
        self._exact, self._report, self._told = exact, report, 0
        with stopwatch() as lap:
            state: Any = self._engine.begin(params)
        ended = self._engine.ended(state)
        objective = np.asarray(ended.objective)
        batch = Batch(state=state, lanes=np.arange(len(objective)), per_step=lap.run_seconds)
        # One assignment a chunk: wherever an interruption comes, batch and traces belong together.
        self._now: tuple[Batch, _Traces] = batch, ((batch.lanes, objective[None, :], False),)
        self._all: EMState = jax.tree.map(np.array, ended)

    @property
    def engine(self) -> Any:
        """What iterates the present batch, for starts of which there are as many as in `n_lanes`."""
        return self._engine

    @property
    def n_lanes(self) -> int:
        """The size of the present batch, for which the engine's program is compiled."""
        return len(self._now[0].lanes)

    def run(self, *, max_iter: int, log_every: int) -> Ended:
        """Iterate until every start has ended or done ``max_iter`` iterations; report at multiples of ``log_every``.

        An interruption (Ctrl-C) ends it early: what has been reached is returned, and says so.
        """
        interrupted = False
        try:
            while self._goes_on(max_iter):
                self._shrink()
                self._chunk(max_iter, log_every)
                self._tell(max_iter, log_every)
        except KeyboardInterrupt:
            interrupted = True
        return self.view(interrupted=interrupted)

    def _goes_on(self, max_iter: int) -> bool:
        batch, _ = self._now
        if not batch.runs.any() and self._exact is not None:
            imprecise = np.flatnonzero((np.asarray(batch.state.code) == IMPRECISE) & (batch.lanes >= 0))
            if len(imprecise):
                self._gather(imprecise)
                exact, self._exact = self._exact, None
                brief = len(imprecise) < len(self._all.code) and self._is_cheap()
                self._engine = self._kind(dataclasses.replace(self._engine.program, data=exact(), brief=brief))
                batch, traces = self._now
                state = self._engine.retake(batch.state)
                batch = dataclasses.replace(batch, state=state, done=int(np.asarray(state.n_iter).min()))
                # Taken anew, the objective differs from the trace's last by rounding.
                retaken = np.asarray(self._engine.ended(state).objective)[None, :]
                self._now = batch, (*traces, (batch.lanes, retaken, True))
        return batch.done < max_iter and bool(batch.runs.any())

    def _chunk(self, max_iter: int, log_every: int) -> None:
        batch, traces = self._now
        until = max_iter if not log_every else min(max_iter, (batch.done // log_every + 1) * log_every)
        limit = int(np.clip(_SECONDS / max(batch.per_step, 1e-9), 1, batch.left))
        with stopwatch() as lap:
            state, rows = self._engine.advance(batch.state, until, limit)
        code, n_iter = np.asarray(state.code), np.asarray(state.n_iter)
        filled = batch.lanes >= 0
        running = filled & (code == RUNNING)
        after = dataclasses.replace(
            batch,
            state=state,
            done=int(n_iter[running].min() if running.any() else n_iter[filled].max()),
            n_steps=batch.n_steps + len(rows),
            left=batch.left - len(rows),
            per_step=lap.run_seconds / max(len(rows), 1),
        )
        self._now = after, (*traces, (batch.lanes, rows, False))

    def _shrink(self) -> None:
        batch, traces = self._now
        if batch.left > 0:
            return
        needed = batch.runs
        if self._exact is not None:
            # They go on in exact arithmetic when the others have ended.
            needed = needed | ((np.asarray(batch.state.code) == IMPRECISE) & (batch.lanes >= 0))
        places = np.flatnonzero(needed)
        if self._pays(batch, _padded(len(places))):
            self._gather(places)
            batch, traces = self._now
        most = CHUNK if batch.n_steps else _FIRST_STEPS
        left = int(np.clip(_ASKED_SECONDS / self._nominal_seconds(len(batch.lanes)), _FEWEST_STEPS, most))
        self._now = dataclasses.replace(batch, left=left), traces

    def _gather(self, places: np.ndarray) -> None:
        """Go on with the starts at these places alone."""
        batch, traces = self._now
        self._keep(batch)
        size = _padded(len(places)) if self._may_shrink else len(batch.lanes)
        filled = np.arange(size) < len(places)
        places = np.concatenate([places, np.full(size - len(places), places[0])])
        lanes = np.where(filled, batch.lanes[places], -1)
        state = jax.tree.map(lambda leaf: np.asarray(leaf)[places], batch.state)
        state = dataclasses.replace(state, code=np.where(filled, state.code, CONVERGED).astype(np.int32))
        per_step = batch.per_step * size / len(batch.lanes)
        self._now = dataclasses.replace(batch, state=state, lanes=lanes, n_steps=0, left=0, per_step=per_step), traces

    def _pays(self, batch: Batch, size: int) -> bool:
        """Whether a batch of ``size`` is worth its compilation; the rule at the top."""
        if 2 * size > len(batch.lanes) or not self._may_shrink:
            return False
        seconds = batch.n_steps * self._nominal_seconds(len(batch.lanes))
        return seconds * (1.0 - size / len(batch.lanes)) >= _COMPILE_SECONDS

    def _is_cheap(self) -> bool:
        return jax.default_backend() == "cpu" and self._nominal_seconds(self.n_lanes) <= _BRIEF_SECONDS

    def _nominal_seconds(self, n_lanes: int) -> float:
        """What an E-step of so many starts would take on a nominal machine."""
        program = self._engine.program
        n_blocks, n_features, block = program.data.x.shape
        seconds = nominal_seconds(n_blocks * block, n_features, n_lanes * program.mixture.n_components)
        return seconds if jax.default_backend() == "cpu" else seconds / _ACCELERATORS

    def _keep(self, batch: Batch) -> None:
        """Write what the starts of a batch have reached into the state of all starts."""
        places = np.flatnonzero(batch.lanes >= 0)

        def write(all_of: np.ndarray, some: Any) -> np.ndarray:
            all_of[batch.lanes[places]] = np.asarray(some)[places]
            return all_of

        self._all = jax.tree.map(write, self._all, self._engine.ended(batch.state))

    def view(self, *, interrupted: bool = False) -> Ended:
        """All starts as they are now; those that an interruption found running say so."""
        batch, traces = self._now
        self._keep(batch)
        state: EMState = jax.tree.map(np.copy, self._all)
        if interrupted:
            code = np.where(state.code == RUNNING, INTERRUPTED, state.code)
            state = dataclasses.replace(state, code=code)
        return Ended(
            state=state,
            traces=_by_lane(traces, len(state.code)),
            interrupted=bool((state.code == INTERRUPTED).any()),
        )

    def _tell(self, max_iter: int, log_every: int) -> None:
        batch, _ = self._now
        if self._report is None:
            return
        finished = batch.done >= max_iter or not batch.runs.any()
        # Starts that go on in exact arithmetic begin where they stopped: nothing is told twice.
        if batch.done > self._told and (not log_every or batch.done % log_every == 0 or finished):
            self._told = batch.done
            self._report(batch.done, self.view())


def _padded(n_lanes: int) -> int:
    return 1 << max(n_lanes - 1, 0).bit_length()


def _by_lane(traces: _Traces, n_starts: int) -> np.ndarray:
    """Traces ``(n_starts, most iterations + 1)`` from the rows of all chunks, NaN at the end."""
    found: list[list[np.ndarray]] = [[] for _ in range(n_starts)]
    for lanes, rows, instead in traces:
        for place, lane in enumerate(lanes):
            column = rows[:, place]
            if instead and lane >= 0:
                found[lane] = [np.concatenate(found[lane])[:-1], column]
            elif lane >= 0:
                # The start itself counts whatever its objective; other rows may hold an E-step that was no iteration.
                found[lane].append(column[~np.isnan(column)] if found[lane] else column)
    lengths = [sum(map(len, parts)) for parts in found]
    table = np.full((n_starts, max(lengths)), np.nan)
    for lane, parts in enumerate(found):
        table[lane, : lengths[lane]] = np.concatenate(parts)
    return table
