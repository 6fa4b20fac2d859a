"""Work on several models at once: a thread each, since XLA gives Python's lock away while it compiles and runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from emjax.threads import usable_cores


def side_by_side(works: Sequence[Callable[[threading.Event], None]]) -> bool:
    """Run all works, as many at a time as there are cores; whether Ctrl-C has ended them early.

    Each is handed an event, and should end soon after that is set. An exception of one ends all, and is raised.
    """
    stop, interrupted = threading.Event(), False
    with ThreadPoolExecutor(min(usable_cores(), max(len(works), 1)), thread_name_prefix="emjax-select") as pool:
        running = [pool.submit(work, stop) for work in works]
        try:
            for each in as_completed(running):
                each.result()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            # What runs is short, and ends; the rest does not begin.
            stop.set()
    return interrupted


class Counted:
    """Tells, from whatever thread, how many of all are done; one thread at a time."""

    def __init__(self, tell: Callable[[int, int], None] | None, total: int) -> None:
        self._tell, self._total, self._done, self._lock = tell, total, 0, threading.Lock()

    def one_more(self) -> None:
        """Another one is done."""
        with self._lock:
            self._done += 1
            if self._tell is not None:
                self._tell(self._done, self._total)
