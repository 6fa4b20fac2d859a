"""Wall-clock seconds, with the time that JAX spends on compilation kept apart.

"How long did it take" has two answers for a JAX program: the seconds spent on building it (tracing, lowering,
compiling or fetching from the persistent cache), paid once, and the seconds spent on running it. A fair table
of costs shows both, so every result of emjax carries a compile and a run time taken with :func:`stopwatch`.

JAX announces each build phase on :mod:`jax.monitoring` as a span (start, end). Phases can overlap: a trace
can need the value of a small array, which is itself traced and compiled, and two threads can compile at
once. So the spans are merged (length of their union) before they are counted, and the compile time can
never exceed the wall time. Tracing done outside ``jit`` announces nothing and is counted as run time.
"""

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_COMPILE_EVENTS = frozenset(
    {
        "/jax/core/compile/jaxpr_trace_duration",
        "/jax/core/compile/jaxpr_to_mlir_module_duration",
        "/jax/core/compile/backend_compile_duration",
    }
)


_SLIP = 1e-3
"""Seconds by which two readings of the wall clock may differ from the steady one without anybody having set it."""


@dataclasses.dataclass(frozen=True)
class Moment:
    """A moment on two clocks; `now` takes it.

    The wall clock can be set while a program runs, forwards and back, so it gives dates and never durations.

    Attributes
    ----------
    date
        By the wall clock, in UTC.
    steady
        By a clock that only goes forwards, in seconds from some origin.
    """

    date: datetime
    steady: float

    @property
    def seconds(self) -> float:
        """Seconds from then to now."""
        return time.perf_counter() - self.steady

    @property
    def text(self) -> str:
        """The date to the second, as ISO 8601."""
        return self.date.isoformat(timespec="seconds")


def now() -> Moment:
    """This moment."""
    return Moment(datetime.now(UTC), time.perf_counter())


class Stopwatch:
    """The clock that :func:`stopwatch` hands out; it can be read while it runs and after it has stopped.

    Attributes
    ----------
    total_seconds
        Wall seconds from entering the ``with`` block to leaving it (or to now).
    compile_seconds
        The part of them in which at least one thread of the process was building a JAX program;
        ``0 <= compile_seconds <= total_seconds``.
    run_seconds
        ``total_seconds - compile_seconds``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[tuple[float, float]] = []
        self._start = time.perf_counter()
        self._offset = _wall_offset()
        self._total: float | None = None

    def _record(self, start: float, end: float) -> None:
        """Take a span that has just ended; JAX stamps it by the wall clock, which may have been set since the last."""
        with self._lock:
            offset, reached = _wall_offset(), time.perf_counter()
            if abs(offset - self._offset) < _SLIP:
                offset = self._offset

            def steady(stamp: float) -> float:
                for known in (offset, self._offset):
                    if self._start <= stamp - known <= reached:
                        return stamp - known
                return min(max(stamp - offset, self._start), reached)

            span = steady(start), steady(end)
            self._offset = offset
            self._spans.append(span)

    def _stop(self) -> None:
        self._total = time.perf_counter() - self._start

    @property
    def total_seconds(self) -> float:
        return time.perf_counter() - self._start if self._total is None else self._total

    @property
    def compile_seconds(self) -> float:
        # Read the spans first: the total only grows, so the result stays below a total read afterwards.
        with self._lock:
            spans = sorted(self._spans)
        return min(_union_length(spans), self.total_seconds)

    @property
    def run_seconds(self) -> float:
        compile_seconds = self.compile_seconds
        return self.total_seconds - compile_seconds


def _wall_offset() -> float:
    """What the wall clock is ahead of the steady one."""
    return time.time() - time.perf_counter()


def _union_length(spans: list[tuple[float, float]]) -> float:
    """Length of the union of intervals ``(start, end)``, sorted by their start."""
    length = 0.0
    reached = float("-inf")
    for start, end in spans:
        if end > reached:
            length += end - max(start, reached)
            reached = end
    return length


_unwatched = threading.local()


@contextmanager
def unwatched() -> Iterator[None]:
    """What this thread compiles inside the block belongs to no running stopwatch: it is work of something else."""
    _unwatched.on = True
    try:
        yield
    finally:
        _unwatched.on = False


_active: list[Stopwatch] = []
_active_lock = threading.Lock()
_is_listening = False


def _on_span(event: str, start_time: float, end_time: float, **_: str | int) -> None:
    if event not in _COMPILE_EVENTS or getattr(_unwatched, "on", False):
        return
    with _active_lock:
        running = tuple(_active)
    for clock in running:
        clock._record(start_time, end_time)


def _listen_once() -> None:
    """Register the listener at the first use, so that importing this module does nothing to JAX."""
    global _is_listening
    with _active_lock:
        if _is_listening:
            return
        _is_listening = True
    import jax.monitoring

    jax.monitoring.register_event_time_span_listener(_on_span)


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Measure a block: ``with stopwatch() as clock: ...`` and then ``clock.compile_seconds`` and the others.

    Stopwatches nest, and each sees all events inside its own block. The clock is process-wide: what other
    threads compile meanwhile is compile time too.

    Yields
    ------
    Stopwatch
    """
    _listen_once()
    clock = Stopwatch()
    with _active_lock:
        _active.append(clock)
    try:
        yield clock
    finally:
        clock._stop()
        with _active_lock:
            _active.remove(clock)
