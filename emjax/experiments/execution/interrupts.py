"""Ctrl-C and SIGTERM as a wish that the run's loop looks at, so that it ends between two jobs and never inside one."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StudyInterrupted(KeyboardInterrupt):
    """A run of a study was asked to stop; what was done is in its folder.

    Attributes
    ----------
    number
        The signal that asked: the command's exit code is 128 plus it, 130 after Ctrl-C.
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number


class StopWish:
    """Whether somebody has asked the run to stop.

    Attributes
    ----------
    number
        The signal that asked, None as long as nobody has.
    """

    # A plain attribute: a lock that the main thread waits on could be taken when its signal handler wants it.
    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None


@contextmanager
def stop_signals() -> Iterator[StopWish]:
    """Turn the first SIGINT or SIGTERM into a `StopWish` while the block runs; a second one ends the process at once.

    Signals that are ignored (nohup, a background job) stay ignored. Outside the main thread, where Python allows no
    handlers, nothing is changed and the wish is never made.
    """
    wish = StopWish()

    def handle(number: int, frame: Any) -> None:
        if wish:
            if sys.stderr.isatty():
                os.write(2, b"\x1b[?25h\n")  # progress bars hide the cursor
            os._exit(128 + number)
        wish.number = number
        # Not by print: the main thread may be in the middle of one.
        os.write(2, b"\nemjax: stopping; once more leaves at once\n")

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handle)
    try:
        yield wish
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)
