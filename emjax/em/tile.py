"""Starts of many data sets in one program: slots that are taken again as starts come to rest.

A program has a fixed number of **slots**, each for one data set, with a few **places** for starts of it (see
`emjax.em.sets`). Between two chunks of E-steps the host takes those that have ended out of their places and gives these
to the next starts of the same data set, and a slot that nobody needs any more to the next data set. So there is one
program to compile whatever the number of data sets, nobody waits for the slowest, and what happens depends on numbers
of iterations alone: neither on the clock nor on what the process has compiled before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from emjax.em.accelerate import Accelerated
from emjax.em.blocks import Blocks
from emjax.em.loop import Plain
from emjax.em.sets import own_of
from emjax.em.state import CONVERGED, RUNNING, EMState, Options, Program
from emjax.mixture import Mixture, Prior

_SHORT, _LONG = 8, 256
"""E-steps between two looks of the host, while others wait for a place (by default) and when nobody does."""

_NOBODY = -1


@dataclasses.dataclass(frozen=True)
class Group:
    """The starts of one data set.

    ``begin`` is what they begin from, stacked: parameters, or the states of starts that go on, which have ``traces`` of
    objectives already. ``owner`` is looked at by nobody here.
    """

    owner: Any
    begin: Any
    n_starts: int
    blocks: Blocks
    prior: Prior | None
    traces: tuple[np.ndarray, ...] = ()


@dataclasses.dataclass(frozen=True)
class Finished:
    """Starts of one group that have come to rest.

    ``starts`` are their numbers in the group and ``at`` their places in ``states``, as the program has them, and in
    ``reached``; ``traces`` is in the order of ``starts``.
    """

    group: Group
    starts: np.ndarray
    at: np.ndarray
    states: Any
    reached: EMState
    traces: list[np.ndarray]


class Tile:
    """The slots, and what is in them.

    Parameters
    ----------
    mixture, options, method
        What all data sets have in common.
    n_slots, n_places
        The number of slots, and of places on each.
    go_on
        Whether those who come bring states with them, not parameters.
    share_rows
        Whether the data sets are weightings of one, so that its rows are held once.
    short
        E-steps between two looks of the host while others wait for a place.
    """

    def __init__(
        self,
        mixture: Mixture,
        options: Options,
        method: str,
        *,
        n_slots: int,
        n_places: int,
        go_on: bool = False,
        share_rows: bool = False,
        short: int = _SHORT,
    ) -> None:
        self._mixture, self._options, self._method, self._go_on = mixture, options, method, go_on
        self._share_rows, self._short = share_rows, short
        self._n_places = n_places
        self._in_slots: list[Group | None] = [None] * n_slots
        self._next = np.zeros(n_slots, int)
        self._starts = np.full(n_slots * n_places, _NOBODY)
        self._rows: list[list[np.ndarray]] = [[] for _ in self._starts]
        self._data: Any = None
        self._prior: Any = None
        self._state: Any = None

    def run(self, queue: Iterator[Group], *, max_iter: int) -> Iterator[Finished]:
        """All starts of all groups in the queue, as they come to rest."""
        waits = True
        while True:
            waits = self._fill(queue)
            if (self._starts == _NOBODY).all():
                return
            self._chunk(max_iter, self._short if waits else _LONG)
            yield from self._leave(max_iter)

    def _engine(self) -> Any:
        program = Program(self._mixture, self._data, self._prior, self._options, self._method)
        return Plain(program) if self._method == "none" else Accelerated(program)

    def _fill(self, queue: Iterator[Group]) -> bool:
        """Give free places to those who wait; whether anybody may still do."""
        taken, waits = [], True
        for slot in range(len(self._in_slots)):
            places = np.arange(slot * self._n_places, (slot + 1) * self._n_places)
            free = places[self._starts[places] == _NOBODY]
            group: Any = self._in_slots[slot]
            if len(free) == self._n_places and (group is None or self._next[slot] == group.n_starts):
                group = self._in_slots[slot] = next(queue, None) if waits else None
                if group is None:
                    waits = False
                    continue
                self._take(slot, group)
            for place in free:
                if self._next[slot] < group.n_starts:
                    self._starts[place] = self._next[slot]
                    self._next[slot] += 1
                    taken.append(place)
        if taken:
            self._begin(np.array(taken))
        pending = any(
            group is not None and at < group.n_starts for group, at in zip(self._in_slots, self._next, strict=True)
        )
        return waits or pending

    def _take(self, slot: int, group: Group) -> None:
        """A data set takes a slot."""
        self._next[slot] = 0
        data = own_of(group.blocks, share_rows=self._share_rows), group.prior
        if self._data is None:
            # Slots that are still empty hold the first data set: numbers there are ordinary, and nobody reads them.
            own, self._prior = jax.tree.map(lambda leaf: np.stack([leaf] * len(self._in_slots)), data)
            self._data = dataclasses.replace(group.blocks, **own)
        _write((own_of(self._data, share_rows=self._share_rows), self._prior), slot, data)

    def _begin(self, taken: np.ndarray) -> None:
        """The states of those who have just taken these places."""
        who = [(self._in_slots[place // self._n_places], self._starts[place]) for place in taken]
        one = jax.tree.map(lambda leaf: np.asarray(leaf)[who[0][1]], who[0][0].begin)
        given = jax.tree.map(lambda leaf: np.repeat(leaf[None], len(self._starts), axis=0), one)
        # Those that begin from the same arrays, as all replicates of a fit do, are written together.
        together: dict[int, list[int]] = {}
        for i, (group, _) in enumerate(who):
            together.setdefault(id(group.begin), []).append(i)
        for chosen in together.values():
            starts = np.array([who[i][1] for i in chosen])
            begin = who[chosen[0]][0].begin
            _write(given, taken[chosen], jax.tree.map(lambda leaf, at=starts: np.asarray(leaf)[at], begin))
        engine = self._engine()
        fresh = jax.tree.map(np.array, engine.retake(given) if self._go_on else engine.fresh(given))
        if self._state is None:
            self._state = dataclasses.replace(fresh, code=np.full_like(fresh.code, CONVERGED))
        _write(self._state, taken, jax.tree.map(lambda leaf: leaf[taken], fresh))
        for place, (group, start) in zip(taken, who, strict=True):
            before = [group.traces[start][:-1]] if group.traces else []
            # A start that is not evaluated yet tells its first objective in the first row of its first chunk; one that
            # goes on is evaluated anew, which differs by rounding and takes the place of the last.
            self._rows[place] = [*before, fresh.objective[place : place + 1]] if fresh.n_evaluations[place] else []

    def _chunk(self, max_iter: int, limit: int) -> None:
        state, rows = self._engine().advance(self._state, max_iter, limit)
        self._state = jax.tree.map(np.array, state)
        told = ~np.isnan(rows)
        for place in np.flatnonzero(self._starts != _NOBODY):
            column = rows[:, place]
            # The start itself counts whatever its objective; other rows may hold an E-step that was no iteration.
            before = self._rows[place]
            before.append(column[told[:, place]] if before else column[np.append(True, told[1:, place])])

    def _leave(self, max_iter: int) -> list[Finished]:
        """Free the places of starts that run no more."""
        runs = (self._state.code == RUNNING) & (self._state.n_iter < max_iter)
        places = np.flatnonzero((self._starts != _NOBODY) & ~runs)
        if not len(places):
            return []
        states = jax.tree.map(lambda leaf: leaf[places], self._state)
        reached = self._engine().ended(states)
        slots, left = places // self._n_places, []
        for slot in np.unique(slots):
            at = np.flatnonzero(slots == slot)
            traces = [np.concatenate(self._rows[place]) for place in places[at]]
            left.append(Finished(self._in_slots[slot], self._starts[places[at]], at, states, reached, traces))
        self._starts[places] = _NOBODY
        self._state.code[places] = CONVERGED
        return left


def _write(held: Any, place: Any, given: Any) -> None:
    """Write into the arrays of ``held`` at ``place``."""

    def write(held: np.ndarray, given: Any) -> None:
        held[place] = given

    jax.tree.map(write, held, given)
