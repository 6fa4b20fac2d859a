"""Packages side by side on one workload: equal iterations, equal log-likelihoods, interleaved repeats."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np

from benchmarks.client import PeerError, Worker
from benchmarks.peers import PEERS
from benchmarks.reference import SAME, log_likelihood
from benchmarks.workloads import Params, Workload, common_start, simulate

FAVOURED = ("emjax", "emjax32", "scikit-learn", "gmmx")
"""Packages that get four times the others' time, so that their iterations are equal and their repeats several."""


@dataclasses.dataclass
class Row:
    """One package on one workload.

    ``whole`` and ``short`` are seconds of calls with ``n_iter`` iterations and with one; ``difference`` is the
    log-likelihood per sample less the one of emjax in float64 after as many iterations from the same start;
    ``reason`` says why there is no time.
    """

    workload: Workload
    package: str
    version: str
    dtype: str
    n_iter: int = 0
    whole: list[float] = dataclasses.field(default_factory=list)
    short: list[float] = dataclasses.field(default_factory=list)
    difference: float = float("nan")
    own_start: bool = False
    reason: str = ""

    @property
    def per_iteration(self) -> float | None:
        """Median seconds of a whole call, divided by its iterations (for its own start, less that start's time)."""
        return median(self.whole) / self.n_iter if self.whole else None

    def call(self, n_iter: int) -> float | None:
        """Seconds of a call with so many iterations: measured, or on the line through the two lengths measured."""
        if not self.whole or n_iter == self.n_iter:
            return median(self.whole) if self.whole else None
        if n_iter == 1:
            return median(self.short)
        return None if self.marginal is None else median(self.whole) + (n_iter - self.n_iter) * self.marginal

    @property
    def marginal(self) -> float | None:
        """Median seconds of one iteration more, from calls of two lengths."""
        if not self.whole or len(self.short) != len(self.whole) or self.n_iter < 2:
            return None
        found = median((a - b) / (self.n_iter - 1) for a, b in zip(self.whole, self.short, strict=True))
        return found if found > 0 else None  # noise, where so few iterations take next to no time


@dataclasses.dataclass
class Session:
    """The packages of one run: their workers, and how long each may take."""

    cores: tuple[int, ...]
    repeats: int
    budget: float
    say: Callable[[str], None]
    workers: dict[str, Worker] = dataclasses.field(default_factory=dict)
    described: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    stack: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)

    @property
    def patience(self) -> float:
        """Seconds after which a package is given up, compilation included."""
        return max(45.0, 10 * self.budget)

    def allowance(self, name: str) -> float:
        """Seconds for one package's repeats on one workload: more for those that the figures are about."""
        return self.budget * (4 if name in FAVOURED else 1)

    def worker(self, name: str) -> Worker:
        """A package's worker, started when first needed or when the last one died."""
        if name not in self.workers:
            self.workers[name] = self.stack.enter_context(Worker(name, self.cores))
        return self.workers[name]

    def describe(self, name: str) -> dict[str, Any]:
        """Whether the package is there, and its version."""
        if name not in self.described:
            try:
                self.described[name] = self.worker(name).ask("describe")
            except PeerError as error:
                self.drop(name)
                self.described[name] = {"missing": str(error), "version": ""}
        return self.described[name]

    def close(self) -> None:
        """End all workers."""
        for name in list(self.workers):
            self.drop(name)

    def drop(self, name: str) -> None:
        """End a worker that failed, since what it left behind is not to be trusted."""
        if name in self.workers:
            self.workers.pop(name).close()


@contextlib.contextmanager
def session(
    cores: tuple[int, ...], repeats: int, budget: float, say: Callable[[str], None] = lambda _: None
) -> Iterator[Session]:
    """A `Session` whose processes end with it."""
    with contextlib.ExitStack() as stack:
        yield Session(cores=cores, repeats=repeats, budget=budget, say=say, stack=stack)


def compare(run: Session, workload: Workload, packages: tuple[str, ...]) -> list[Row]:
    """All packages on one workload, those that cannot take part with the reason."""
    x, truth = simulate(workload)
    judge = Judge(run, workload, x)
    shared = common_start(workload, truth)
    rows: dict[str, Row] = {}
    starts: dict[str, Params] = {}
    for name in packages:
        if workload.d > PEERS[name].most_features:
            continue
        run.say(f"{workload.title}: {PEERS[name].name} {PEERS[name].dtype}")
        rows[name] = row = _row(run, workload, name)
        if not row.reason:
            _attempt(run, name, row, lambda n=name, r=row: starts.update({n: _first_run(run, n, r, shared, judge)}))
    for _ in range(run.repeats):
        for name, row in rows.items():
            if row.reason or _enough(run, name, row):
                continue
            _attempt(run, name, row, lambda n=name, r=row: _time(run, n, r, starts[n]))
    for name in rows:
        if name in run.workers and not rows[name].reason:
            run.worker(name).ask("prepare", dataclasses.replace(workload, n=1000))  # lets go of the large data
    return list(rows.values())


def _enough(run: Session, name: str, row: Row) -> bool:
    """Whether one repeat more would take a slow package over its budget; there are two at least if one fits in."""
    done, spent, budget = len(row.whole), sum(row.whole) + sum(row.short), run.allowance(name)
    if done < 2:
        return done == 1 and spent > budget and name not in FAVOURED
    return spent * (done + 1) / done > budget


def compared(rows: list[Row], row: Row) -> tuple[float | None, float | None]:
    """How many times emjax's time of the same float type this is: of equal whole calls, and of one iteration more."""
    ours = next((r for r in rows if r.workload == row.workload and r.package == "emjax" and r.dtype == row.dtype), None)
    if ours is None or ours is row or row.package == "emjax":
        return None, None

    def ratio(theirs: float | None, mine: float | None) -> float | None:
        return theirs / mine if theirs and mine else None

    if row.own_start:
        return None, ratio(row.per_iteration, ours.marginal)
    whole = median(row.whole) if row.whole else None
    return ratio(whole, ours.call(row.n_iter)), ratio(row.marginal, ours.marginal)


class Judge:
    """The log-likelihoods of emjax in float64, the reference of a workload, by start and number of iterations."""

    def __init__(self, run: Session, workload: Workload, x: np.ndarray) -> None:
        self._run, self._workload, self.x = run, workload, x
        self._known: dict[tuple[bytes, int], float] = {}

    def difference(self, params: Params, start: Params, n_iter: int) -> float:
        """The log-likelihood per sample of ``params`` less the reference's."""
        key = (start.means.tobytes(), n_iter)
        if key not in self._known:
            try:
                worker = self._run.worker("emjax")
                worker.ask("prepare", self._workload)
                self._known[key] = log_likelihood(worker.ask("fit", start, n_iter)[0], self.x)
            except PeerError as error:
                raise PeerError(f"emjax, the reference of the likelihood, failed: {error}") from error
        return log_likelihood(params, self.x) - self._known[key]


def equal(difference: float, dtype: str) -> bool:
    """Whether two fits have the same log-likelihood as far as the float type tells; NaN is never equal."""
    return abs(difference) <= SAME[dtype]


def _row(run: Session, workload: Workload, name: str) -> Row:
    kind, about = PEERS[name], run.describe(name)
    return Row(workload, kind.name, about["version"], kind.dtype, own_start=kind.own_start, reason=about["missing"])


def _attempt(run: Session, name: str, row: Row, step: Callable[[], None]) -> None:
    try:
        step()
    except PeerError as error:
        row.reason, row.whole = str(error), []
        run.drop(name)


def _first_run(run: Session, name: str, row: Row, shared: Params, judge: Judge) -> Params:
    """Compile and warm up, choose the number of iterations, and check the likelihood; returns the start."""
    worker, patience = run.worker(name), run.patience
    worker.ask("prepare", row.workload)
    start = worker.ask("make_start", timeout=patience) if row.own_start else shared
    params, seconds = worker.ask("fit", start, 1, timeout=patience)
    budget = run.allowance(name)
    if PEERS[name].compiles or seconds < budget / 2:
        params, seconds = worker.ask("fit", start, 1, timeout=patience)
    row.n_iter = row.workload.iterations
    if seconds * row.n_iter > budget:
        # Two at least of those that the figures are about, so that the fixed part of a call can be told apart.
        row.n_iter = max(2 if name in FAVOURED else 1, int(budget / 2 / seconds))
    if row.n_iter > 1:
        params, _ = worker.ask("fit", start, row.n_iter, timeout=patience)
    row.difference = judge.difference(params, start, row.n_iter)
    if not equal(row.difference, row.dtype):
        row.reason = f"not comparable: log-likelihood per sample differs by {row.difference:.1e}"
    return start


def _time(run: Session, name: str, row: Row, start: Params) -> None:
    worker, patience = run.worker(name), run.patience
    row.whole.append(worker.ask("fit", start, row.n_iter, timeout=patience)[1])
    if not row.own_start:
        row.short.append(worker.ask("fit", start, 1, timeout=patience)[1] if row.n_iter > 1 else row.whole[-1])
