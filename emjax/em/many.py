"""`fit_many`: many data sets of one shape, fitted by one compiled program.

What `emjax.fit` does for each of them, with the same starts and the same tests, so that the results agree to rounding.
A simulation study fits hundreds of small data sets, where most of the time of a fit goes into small matters: dozens of
operations on a few numbers in every iteration, and the host's work around them. Here the starts of several data sets
share these (`emjax.em.sets`), and as they come to rest others take their slots (`emjax.em.tile`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from emjax.catalogue import DEFAULT_START, StartName
from emjax.clock import stopwatch
from emjax.em.accelerate import Accelerated
from emjax.em.fit import Settings, make_fit, optima_of
from emjax.em.further import N_PARENTS, best_of, first_starts, further_starts, joined, wants_more
from emjax.em.lanes import Ended
from emjax.em.loop import Plain
from emjax.em.memory import check_memory
from emjax.em.problem import Problem, prepare
from emjax.em.restarts import End, Kept
from emjax.em.saddle import without_saddles
from emjax.em.state import IMPRECISE, RUNNING, Program
from emjax.em.tile import Finished, Group, Tile
from emjax.errors import EmjaxError
from emjax.keys import KeyLike, as_key, split_keys
from emjax.mixture import Mixture, Prior
from emjax.programs import make_room
from emjax.result import Fit
from emjax.samples import Samples, check_against_components
from emjax.scope import computing

_PLACES = 5
"""Starts of one data set that are iterated together, at most; as one ends, the next takes its place."""

_SLOTS = 32
"""Data sets whose starts are, at most: enough to share what an operation costs."""

_DISPLACED = 8
"""Displaced copies of an end at which two components are equal, to see whether it is a saddle."""

_ROWS_AT_ONCE = 1 << 13
"""... and fewer where their rows are more than this: they cost more than what is shared. Slots that nobody takes are
filled up, so that the number of data sets in a call makes no difference to any bit of them."""


_ACCELERATOR_SLOTS, _ACCELERATOR_ROWS_AT_ONCE = 128, 1 << 20
"""On an accelerator: an operation on a few more numbers costs it nothing. With 16 slots a data set took 10.5 ms
on an H200, with 128 of them 6.2, and with 512 no less."""

_FEW_SLOTS, _MOST_ROWS_AT_ONCE = 4, 1 << 17
"""So many data sets share an operation even where their rows are more, up to another bound: of 5000 rows, one after
the other took one and a half times as long."""


def fit_many(
    mixture: Mixture,
    datasets: Sequence[Any],
    *,
    keys: Sequence[KeyLike] | KeyLike = None,
    n_init: int | None = None,
    max_iter: int = 10_000,
    tol: float = 1e-6,
    criterion: Literal["parameters", "log_likelihood"] = "parameters",
    accelerate: Literal["auto", "none", "squarem", "anderson"] = "auto",
    starts: StartName = DEFAULT_START,
    dtype: Literal["float64", "float32"] = "float64",
    priors: Sequence[Prior | Mapping[str, Any] | Literal["default"] | None] | None = None,
) -> list[Fit | EmjaxError]:
    """Fit a mixture to each of many data sets: ``[fit(mixture, x, key=key) for x, key in ...]``, in less time.

    Each result is what `emjax.fit` gives for its data set and its key, but for the times and for rounding (about 1e-9
    of a parameter; where several starts end in one optimum rounding may keep another of them, and estimates agree to
    ``tol``). It depends neither on the clock nor on what the process has done before: the same call gives the same
    bits, and so does one with other data sets of the same shape beside them.

    Parameters
    ----------
    mixture
        The declaration, the same for all. ``"default"`` priors are scaled by each data set.
    datasets
        Data as `emjax.fit` takes them. Those of one shape share a program; each further shape compiles its own.
    keys
        A key or whole number for each data set (an array of keys, or a sequence), or one of either, or None, to be
        split into as many. ``Fit.key`` is that of the data set: `fit` with it gives the same result.
    n_init, max_iter, tol, criterion, accelerate, starts, dtype
        As for `emjax.fit`.
    priors
        One for each data set in place of the mixture's; by default the mixture's own.

    Returns
    -------
    list
        For each data set its `Fit`, or, where `fit` would refuse the data, the exception (not raised) that says why.
        The seconds of a `Fit` are an equal share of those of the whole call. Ctrl-C ends the call, without results.

    Raises
    ------
    ValueError
        If an argument is out of range, or there are not as many keys or priors as data sets.
    """
    settings = Settings(n_init, max_iter, tol, criterion, 0.0, accelerate, starts, dtype, 0)
    settings.check(mixture)
    own_keys, mixtures = split_keys("fit_many", keys, len(datasets)), _mixtures(mixture, priors, len(datasets))
    results: list[Fit | EmjaxError] = [EmjaxError("not fitted")] * len(datasets)
    tasks = []
    make_room()
    with computing(dtype == "float64"), stopwatch() as clock:
        for place, (own, x, key) in enumerate(zip(mixtures, datasets, own_keys, strict=True)):
            try:
                own, samples = _checked(own, x)
                n_starts, accelerated = min(_PLACES, settings.n_first), settings.method != "none"
                check_memory(own, samples.values.shape, n_starts, holes=samples.has_holes, accelerated=accelerated)
                tasks.append(_Task(place, own, samples, key))
            except EmjaxError as error:
                results[place] = error
        for alike in _alike(tasks):
            _Many(settings, alike, results).run()
    n_fits = max(len(tasks), 1)
    compiling, running = clock.compile_seconds / n_fits, clock.run_seconds / n_fits
    return [
        dataclasses.replace(one, compile_seconds=compiling, run_seconds=running) if isinstance(one, Fit) else one
        for one in results
    ]


@dataclasses.dataclass(frozen=True)
class _Task:
    """A data set to fit, and its place among all."""

    place: int
    mixture: Mixture
    samples: Samples
    key: KeyLike


def _mixtures(mixture: Mixture, priors: Any, n_datasets: int) -> list[Mixture]:
    if priors is None:
        return [mixture] * n_datasets
    if len(priors) != n_datasets:
        raise ValueError(f"{n_datasets} data sets need as many priors, not {len(priors)}")
    return [dataclasses.replace(mixture, prior=prior) for prior in priors]


def _checked(mixture: Mixture, x: Any) -> tuple[Mixture, Samples]:
    samples = mixture.samples(x, n_components=mixture.n_components)
    check_against_components(samples, mixture.n_components)
    mixture.family.check(samples)
    return mixture.resolved(samples), samples


def _alike(tasks: list[_Task]) -> list[list[_Task]]:
    """The tasks that one program can do together, in their order."""
    groups: dict[Any, list[_Task]] = {}
    for task in tasks:
        counted = task.samples.counted
        roles = counted.weights is None, counted.labels is None, counted.has_holes, task.mixture.family
        groups.setdefault((counted.values.shape, roles, _laws_of(task.mixture)), []).append(task)
    return list(groups.values())


def _laws_of(mixture: Mixture) -> Any:
    """What of a prior programs depend on: its sites, the kinds of their laws and the shapes of their numbers."""
    if mixture.prior is None or isinstance(mixture.prior, str):
        return mixture.prior
    leaves, structure = jax.tree.flatten(mixture.prior)
    return str(structure), tuple(map(np.shape, leaves))


class _Open:
    """A data set whose starts are not all at rest: what they have reached, and how many are still out.

    Where they are further starts, ``before`` are those that had ended when they began, ``kept`` their optima, and
    ``bests`` the best of each batch.
    """

    def __init__(self, task: _Task, problem: Problem, n_starts: int) -> None:
        self.task, self.problem, self.missing = task, problem, n_starts
        self.before: Ended | None = None
        self.kept: tuple[Kept, ...] = ()
        self.bests: tuple[float, ...] = ()
        self.judged: list[End] = []
        self.reached: Any = None
        self.traces = [np.empty(0)] * n_starts
        self.imprecise: list[tuple[int, Any]] = []

    @property
    def ended(self) -> Ended:
        """All starts, where none is out any more."""
        ended = Ended(state=self.reached, traces=self.traces)
        return ended if self.before is None else joined(self.before, ended)

    def keep(self, finished: Finished, starts: np.ndarray) -> None:
        """Write what these starts have reached into what all have."""
        self.missing -= len(starts)
        if self.reached is None:
            n_starts = len(self.traces)
            self.reached = jax.tree.map(
                lambda leaf: np.zeros((n_starts, *leaf.shape[1:]), leaf.dtype), finished.reached
            )

        def write(held: np.ndarray, leaf: np.ndarray) -> None:
            held[starts] = leaf[finished.at]

        jax.tree.map(write, self.reached, finished.reached)
        for start, trace, at in zip(starts, finished.traces, finished.at, strict=True):
            self.traces[start] = trace
            if finished.reached.code[at] == IMPRECISE:
                self.imprecise.append((int(start), jax.tree.map(lambda leaf, at=at: leaf[at], finished.states)))


class _Many:
    """The fits of data sets of one shape."""

    def __init__(self, settings: Settings, tasks: list[_Task], results: list[Fit | EmjaxError]) -> None:
        self._settings, self._tasks, self._results = settings, tasks, results
        self._n_places = min(_PLACES, settings.n_first)
        n_rows = tasks[0].samples.counted.n_samples
        few = min(_FEW_SLOTS, _MOST_ROWS_AT_ONCE // n_rows)
        most, rows_at_once = _SLOTS, _ROWS_AT_ONCE
        if jax.default_backend() != "cpu":
            most, rows_at_once = _ACCELERATOR_SLOTS, _ACCELERATOR_ROWS_AT_ONCE
        self._n_slots = min(most, max(rows_at_once // n_rows, few, 1))
        self._imprecise: list[_Open] = []
        self._again: list[_Open] = []

    def run(self) -> None:
        """Fit all, and those again with further starts that need them."""
        self._pass_twice(self._drawn_groups())
        while self._again:
            again, self._again = self._again, []
            self._pass_twice(map(self._further_group, again))

    def _pass_twice(self, queue: Iterator[Group]) -> None:
        """In the natural form of the statistics first, and then those starts exactly that need it."""
        self._pass(queue, go_on=False)
        imprecise, self._imprecise = self._imprecise, []
        self._pass(map(self._exact_group, imprecise), go_on=True)

    def _pass(self, queue: Iterator[Group], *, go_on: bool) -> None:
        settings, mixture = self._settings, self._tasks[0].mixture.likelihood
        tile = Tile(
            mixture,
            settings.shared_options(),
            settings.method,
            n_slots=self._n_slots,
            n_places=self._n_places,
            go_on=go_on,
        )
        for finished in tile.run(queue, max_iter=settings.max_iter):
            one, starts = finished.group.owner
            one.keep(finished, starts[finished.starts])
            if one.missing:
                continue
            # As in `fit`: where a start has used up its iterations, there is no time for exact ones.
            if one.imprecise and one.problem.blocks.natural and not go_on and RUNNING not in one.reached.code:
                self._imprecise.append(one)
            else:
                self._end(one)

    def _end(self, one: _Open) -> None:
        """Make a data set's fit, or have further starts run."""
        ended = one.ended
        kept = optima_of(one.problem, ended, N_PARENTS if one.bests else None, one.judged)
        if self._settings.open_ended and wants_more(one.problem, kept, ended, one.bests):
            again = _Open(one.task, one.problem, self._settings.n_first)
            again.before, again.kept, again.bests = ended, kept, (*one.bests, best_of(kept))
            again.judged = one.judged
            self._again.append(again)
            return
        if one.bests:
            kept = optima_of(one.problem, ended, judged=one.judged)
        kept = without_saddles(one.problem, kept, lambda: (self._engine(one.problem), _DISPLACED), given=False)
        exact, untimed = self._settings.tol == 0.0, {"compile_seconds": 0.0, "run_seconds": 0.0}
        self._results[one.task.place] = make_fit(
            one.problem, kept, key=one.task.key, exact=exact, interrupted=False, **untimed
        )

    def _engine(self, problem: Problem) -> Plain | Accelerated:
        settings, kind = self._settings, Plain if self._settings.method == "none" else Accelerated
        blocks, options = jax.device_put(problem.blocks), settings.options(problem.frame)
        return kind(Program(problem.likelihood, blocks, problem.frame_prior, options, settings.method))

    def _drawn_groups(self) -> Iterator[Group]:
        """The drawn starts of all data sets, made as slots become free."""
        settings = self._settings
        n_init, n_places = settings.n_first, self._n_places
        for task in self._tasks:
            problem = prepare(
                task.mixture, task.samples, settings.dtype, drawn=True, n_starts=n_places, on_device=False
            )
            begin = first_starts(problem, as_key(task.key), n_init, settings.starts)
            yield _group(_Open(task, problem, n_init), begin)

    def _further_group(self, one: _Open) -> Group:
        """Further starts of a data set."""
        assert one.before is not None
        batch = len(one.before.traces) // self._settings.n_first
        return _group(one, further_starts(one.problem, one.kept, as_key(one.task.key), batch=batch))

    def _exact_group(self, one: _Open) -> Group:
        """The starts of a data set that go on in exact arithmetic."""
        imprecise, one.imprecise = sorted(one.imprecise, key=lambda each: each[0]), []
        starts = np.array([start for start, _ in imprecise])
        one.missing = len(starts)
        begin = jax.tree.map(lambda *leaves: np.stack(leaves), *[state for _, state in imprecise])
        traces = tuple(one.traces[start] for start in starts)
        blocks = one.problem.exact_blocks()
        return Group((one, starts), begin, len(starts), blocks, one.problem.frame_prior, traces)


def _group(one: _Open, begin: Any) -> Group:
    """All starts of a data set, from its parameters."""
    begin, n_starts = jax.tree.map(np.asarray, begin), one.missing
    return Group((one, np.arange(n_starts)), begin, n_starts, one.problem.blocks, one.problem.frame_prior)
