"""Processes of this machine: one worker per core, started by spawn because JAX and fork do not mix."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from emjax.experiments.execution.worker import start_worker, terminal_blocked

GRACE_SECONDS = 30.0
"""What a job may take beyond its time limit before its process is killed: it looks at the limit between replicates."""


class LocalExecutor:
    """A pool of processes with the interface of `concurrent.futures`, which outlives its workers.

    A worker that dies fails the job it was at and is replaced; one that overruns its time is killed and replaced.
    """

    def __init__(self, n_workers: int, *, cache: bool = True) -> None:
        self.n_workers = n_workers
        self._cache = cache
        self._pool = self._started()

    def submit(self, function: Callable[..., Any], /, *args: Any, limit: float | None = None, **more: Any) -> Future:
        """Call ``function`` in a worker, which is killed ``GRACE_SECONDS`` after ``limit`` seconds."""
        hard_limit = None if limit is None else limit + GRACE_SECONDS
        with terminal_blocked():
            return self._pool.schedule(function, args=args, kwargs=more, timeout=hard_limit)

    def restart(self) -> None:
        """Begin anew with other processes, after a `BrokenProcessPool`."""
        self.close()
        self._pool = self._started()

    def close(self) -> None:
        """End all workers at once, whatever they are at."""
        self._pool.stop()
        self._pool.join()

    def _started(self) -> Any:
        from pebble import ProcessPool

        with terminal_blocked():
            return ProcessPool(
                max_workers=self.n_workers,
                initializer=start_worker,
                initargs=(self._cache,),
                context=multiprocessing.get_context("spawn"),
            )
