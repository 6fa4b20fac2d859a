"""Signals that ask a command to stop: Ctrl-C, SIGTERM, and SIGHUP, which the end of a terminal sends.

A study takes them as a wish that its loop looks at, so that it ends between two jobs and never inside one.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StudyInterrupted(KeyboardInterrupt):
    """A run of a study was asked to stop by the signal ``number``; what was done is in its folder."""

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number  # the command's exit code is 128 plus it, 130 after Ctrl-C


class StopWish:
    """Whether somebody has asked the run to stop, and by which signal ``number``."""

    # A plain attribute: a lock that the main thread waits on could be taken when its signal handler wants it.
    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None


def handle_stopping(handler: Callable[[int, Any], None]) -> dict[int, Any]:
    """Let ``handler`` take the signals that ask to stop; return the handlers before it.

    Signals that are ignored (nohup, a background job) stay ignored. Outside the main thread, where Python allows no
    handlers, nothing is changed.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in STOPPING:
            known = signal.getsignal(number)
            # None: not a handler of Python's, which could not be put back.
            if known is not signal.SIG_IGN and known is not None:
                before[number] = signal.signal(number, handler)
    return before


def tell(line: bytes) -> None:
    """Write a line to standard error from a signal handler, where print may be in the middle of something."""
    with suppress(OSError):  # the terminal may be gone
        os.write(2, line)


def leave(number: int, frame: Any) -> None:
    """End the process at once; of an unfinished run stays what is marked as done.

    An exception raised by a signal handler can get lost: JAX runs Python code at every garbage collection,
    and what is raised there is ignored. So this handler raises none, and cleans up itself.
    """
    store = sys.modules.get("emjax.experiments.archive.store")
    words = f"error: {store.interrupted()}" if store is not None and store.discard_open() else "interrupted"
    show_cursor()
    tell(f"emjax: {words}\n".encode(errors="replace"))
    os._exit(128 + number)


def show_cursor() -> None:
    """Progress bars hide it."""
    if sys.stderr.isatty():
        tell(b"\x1b[?25h\n")


@contextmanager
def stop_signals() -> Iterator[StopWish]:
    """Turn the first signal that asks to stop into a `StopWish` while the block runs; a second one ends the process.

    As for `handle_stopping`, signals that are ignored stay ignored, and outside the main thread no wish is ever made.
    """
    wish = StopWish()

    def handle(number: int, frame: Any) -> None:
        if wish:
            show_cursor()
            os._exit(128 + number)
        wish.number = number
        tell(b"\nemjax: stopping; once more leaves at once\n")

    with _handled(handle):
        yield wish


@contextmanager
def held_back() -> Iterator[None]:
    """Hold back the signals that ask to stop until the block has ended.

    Not by the mask of the thread: a process has others, of libraries, that would take the signal all the same.
    """
    arrived: list[int] = []
    try:
        with _handled(lambda number, frame: arrived.append(number)):
            yield
    finally:
        for number in arrived[:1]:
            signal.raise_signal(number)


@contextmanager
def _handled(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Let ``handler`` take the signals that ask to stop during the block."""
    before = handle_stopping(handler)
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)
