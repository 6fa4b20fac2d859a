"""Workers of a Dask cluster: one that runs somewhere (``tcp://...``), or one that is embedded (``local:4``)."""

import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from emjax.bounds import whole
from emjax.errors import ConfigError
from emjax.experiments.execution.worker import ONE_THREAD, terminal_blocked
from emjax.wording import printable

CONNECT_SECONDS = 15

COUNT_SECONDS = 5.0
"""How often the workers of a cluster are counted."""

_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://.+")
_EMBEDDED = re.compile(r"local(?::([1-9][0-9]{,8}))?")


def check_scheduler(scheduler: str) -> None:
    """Raise ConfigError where ``scheduler`` is neither an address nor ``local`` or ``local:N``."""
    embedded = _EMBEDDED.fullmatch(scheduler)
    if embedded and embedded[1]:
        whole("workers", int(embedded[1]), shown="the N of --scheduler local:N")
    if not (_ADDRESS.fullmatch(scheduler) or embedded):
        raise ConfigError(
            f"--scheduler {printable(scheduler)}: write tcp://HOST:PORT of a Dask scheduler, slurm, slurm:N for N jobs "
            "at a time, local, or local:N for N processes of this machine"
        )


class DaskExecutor:
    """A Dask cluster with the interface of `concurrent.futures`.

    Dask itself moves the jobs of a lost worker to another one. The workers have to see the study's folder under the
    path that this process has for it, and to have emjax installed.
    """

    def __init__(self, scheduler: str, n_workers: int | None) -> None:
        check_scheduler(scheduler)
        self._scheduler = scheduler
        try:
            from distributed import Client, LocalCluster
        except ImportError:
            raise ConfigError(
                "--scheduler needs Dask: pip install distributed, or leave the option out and take local processes"
            ) from None
        embedded = _EMBEDDED.fullmatch(scheduler)
        self._cluster = None
        if embedded:
            with terminal_blocked():
                self._cluster = LocalCluster(
                    n_workers=int(embedded[1] or n_workers or 1),
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,
                    dashboard_address=None,
                    silence_logs=50,
                    env=ONE_THREAD,
                    preload=["emjax.experiments.execution.worker"],
                )
        try:
            self._client = Client(self._cluster or scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            self._close_cluster()
            raise ConfigError(
                f"--scheduler {printable(scheduler)}: no Dask scheduler answers there ({printable(error)})"
            ) from None
        # Failures are counted by the run, which knows what a failed job is; equal jobs are told apart by it too.
        self._executor = self._client.get_executor(pure=False, retries=0)
        self._n_workers, self._count_again = 1, 0.0

    @property
    def n_workers(self) -> int:
        """Processes that work now, each on one job at a time; a cluster grows and shrinks."""
        if time.monotonic() >= self._count_again and self._client.status == "running":
            with suppress(OSError):  # lost: `submit` says so
                self._n_workers = max(1, len(self._client.nthreads()))
            self._count_again = time.monotonic() + COUNT_SECONDS
        return self._n_workers

    def submit(self, function: Callable[..., Any], /, *args: Any, limit: float | None = None, **more: Any) -> Future:
        """Call ``function`` on a worker; nothing but the job itself looks at ``limit``, so it is not used.

        Raises ConfigError where the scheduler has gone.
        """
        if self._client.status not in ("running", "connecting"):
            raise ConfigError(
                f"--scheduler {printable(self._scheduler)}: the Dask scheduler has gone; start it again, and the same "
                "command goes on from there"
            )
        return self._executor.submit(function, *args, **more)

    def restart(self) -> None:
        """Nothing: Dask replaces its workers."""

    def close(self) -> None:
        """Take back what has not begun; end an embedded cluster with its workers, leave any other as it is."""
        try:
            # A scheduler that has gone takes nothing back, and raises an error of its own.
            with suppress(Exception):
                self._executor.shutdown(wait=False)
            self._client.close()
        finally:
            self._close_cluster()

    def _close_cluster(self) -> None:
        if self._cluster is not None:
            self._cluster.close()
