"""Steps in the order of their value, run while there is time; what each has found is written before the next begins."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

from benchmarks.client import PeerError, TooSlow, Worker, environment
from benchmarks.on_device.records import Record

_MODULE = "benchmarks.on_device.worker"

_SHARES = {"agreement": 0.25, "size": 0.3}
"""A step with which its part would take more of the time than this lets the others go first, and follows at the end."""

_FAILURES = (PeerError, ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)

_PATIENCE = 4.0
_LEAST_PATIENCE = 60.0
"""A step is given up after so many times its expected seconds, but not before so many."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One record to be: ``label`` tells it from others of its part.

    ``expected`` seconds are asked for when it is its turn, and ``work`` is given the most it may take. A step that is
    ``judged`` fails the run where it ends in an error: what the device could not do there, the host could.
    """

    part: str
    label: Record
    expected: Callable[[], float]
    work: Callable[[float], Record]
    judged: bool = False


class Clock:
    """The time that a run has."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._begin = seconds, perf_counter()

    @property
    def gone(self) -> float:
        """Seconds since the run began."""
        return perf_counter() - self._begin

    @property
    def left(self) -> float:
        """Seconds until it should end."""
        return self.seconds - self.gone


def run(steps: Iterable[Step], clock: Clock, write: Callable[[Record], None]) -> None:
    """Run all steps that fit into the time; a record for each of them, also for those that did not."""
    queue, later = deque(steps), deque[Step]()
    spent: dict[str, float] = defaultdict(float)
    while queue or later:
        last = not queue
        step = (queue or later).popleft()
        taken = spent[step.part]
        if not last and taken and taken + step.expected() > _SHARES.get(step.part, 1.0) * clock.seconds:
            later.append(step)
            continue
        begin = clock.gone
        found = _one(step, clock)
        spent[step.part] += clock.gone - begin
        write({"part": step.part, **step.label, **found, "seconds": clock.gone - begin})


def _one(step: Step, clock: Clock) -> Record:
    expected = step.expected()
    if expected > clock.left:
        return {"skipped": f"no time left: {expected:.0f} s expected, {max(clock.left, 0.0):.0f} s left"}
    try:
        return step.work(min(clock.left, max(_PATIENCE * expected, _LEAST_PATIENCE)))
    except Skip as reason:
        return {"skipped": str(reason)}
    except _FAILURES as error:  # whatever goes wrong in one step must not cost the others
        found: Record = {"error": str(error) if isinstance(error, PeerError) else f"{type(error).__name__}: {error}"}
        # A step that took too long says nothing about results, nor does a failure of the host.
        fails = step.judged and found["error"].startswith("device") and not isinstance(error, TooSlow)
        return found | ({"agrees": False} if fails else {})


class Skip(Exception):
    """A step turned out not to be possible; the message says why."""


class Workers:
    """Two processes: one with the device, and one that sees the host alone; started when first asked, and anew after
    a failure. Use it as a context.

    They are never two with the device. ``beside`` lets both work at the same time, the host's on all cores but two.
    """

    def __init__(self) -> None:
        self.cores = len(os.sched_getaffinity(0))
        self.beside = False
        self._workers: dict[str, Worker] = {}

    def ask(self, where: str, timeout: float, method: str, *arguments: Any) -> Any:
        """Have ``"device"`` or ``"host"`` do something; raises `PeerError` with the reason where it could not."""
        worker = self._worker(where)
        try:
            return worker.ask(method, *arguments, timeout=timeout)
        except PeerError as error:
            # Whatever it left in memory must not spoil what comes next.
            self._close(where)
            raise type(error)(f"{where}: {error}") from error

    def both(self, timeout: float, method: str, *arguments: Any) -> tuple[Any, Any]:
        """What the device and the host answer; the latter may be a `PeerError`, which must not cost the former."""
        clock = Clock(timeout)
        if not self.beside:
            found = self.ask("device", timeout, method, *arguments)
            return found, self._at_home(max(clock.left, 0.0), method, *arguments)
        # A process dies with the thread that has started it, which therefore is this one.
        self._worker("host")
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self._at_home, timeout, method, *arguments)
            found = self.ask("device", timeout, method, *arguments)
            return found, asked.result()

    def _at_home(self, timeout: float, method: str, *arguments: Any) -> Any:
        try:
            return self.ask("host", timeout, method, *arguments)
        except PeerError as error:
            return error

    def _worker(self, where: str) -> Worker:
        if where not in self._workers:
            if where == "host":
                variables = environment(max(self.cores - 2, 1) if self.beside else self.cores)
            else:
                # Otherwise a process takes three quarters of a GPU's memory, and its peak cannot be read.
                variables = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
            self._workers[where] = Worker(where, (), module=_MODULE, variables=variables)
        return self._workers[where]

    def _close(self, where: str) -> None:
        worker = self._workers.pop(where, None)
        if worker is not None:
            worker.__exit__()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for where in tuple(self._workers):
            self._close(where)
