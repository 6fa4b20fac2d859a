"""Jobs of a SLURM cluster, one for each job of a study, by `submitit` (extra `slurm`)."""

from __future__ import annotations

import math
import os
import pickle
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from emjax.errors import ConfigError
from emjax.experiments.execution.local import GRACE_SECONDS
from emjax.wording import printable

POLL_SECONDS = 1.0
"""How often the files that tell how jobs ended are looked for."""

MOST_JOBS = 50
"""Jobs of the cluster at a time, unless ``slurm:N`` says otherwise."""

MINUTES = 240
"""What a job asks for where neither ``execution.time_limit`` nor ``SBATCH_TIMELIMIT`` says it."""

_SCHEDULER = re.compile(r"slurm(?::([1-9][0-9]{,8}))?")


def is_slurm(scheduler: str) -> bool:
    """Whether ``scheduler`` is ``slurm`` or ``slurm:N``."""
    return _SCHEDULER.fullmatch(scheduler) is not None


class SlurmExecutor:
    """A SLURM cluster with the interface of `concurrent.futures`: ``slurm``, or ``slurm:N`` for at most N jobs at a
    time.

    Its nodes have to see the study's folder under the path that this process has for it, and to have emjax installed.
    Partition, account and the like are those of SLURM's own variables (``SBATCH_PARTITION``, ``SBATCH_ACCOUNT``). What
    jobs print lies in ``slurm/`` of the study's folder. ``cluster`` is its kind as submitit calls it; ``local`` runs
    processes of this machine by the same way. Raises ConfigError where submitit is not installed, or no SLURM is found.
    """

    def __init__(self, scheduler: str, folder: Path, *, cluster: str = "slurm") -> None:
        try:
            from submitit import AutoExecutor
        except ImportError:
            raise ConfigError(f"--scheduler {scheduler} needs submitit: pip install submitit") from None
        found = _SCHEDULER.fullmatch(scheduler)
        self.n_workers = int(found[1]) if found and found[1] else MOST_JOBS
        try:
            self._executor = AutoExecutor(folder / "slurm", cluster=cluster)
        except RuntimeError as error:
            raise ConfigError(f"--scheduler {scheduler}: no SLURM is found here ({printable(error)})") from None
        self._executor.update_parameters(name="emjax")
        if cluster == "slurm":
            self._executor.update_parameters(cpus_per_task=1)
        self._open: dict[Future[Any], Any] = {}
        self._changes = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="emjax-slurm", daemon=True).start()

    def submit(self, function: Callable[..., Any], /, *args: Any, limit: float | None = None, **more: Any) -> Future:
        """Call ``function`` in a job of the cluster, which SLURM ends some time after ``limit`` seconds.

        Raises ConfigError where the cluster takes no job.
        """
        if "SBATCH_TIMELIMIT" not in os.environ:
            minutes = MINUTES if limit is None else math.ceil((limit + GRACE_SECONDS) / 60)
            self._executor.update_parameters(timeout_min=minutes)
        future: Future[Any] = Future()
        with self._changes:
            try:
                self._open[future] = self._executor.submit(function, *args, **more)
            except (RuntimeError, OSError) as error:
                raise ConfigError(f"--scheduler slurm: the cluster takes no job: {printable(error)}") from None
        return future

    def restart(self) -> None:
        """Nothing: SLURM starts a process for each job."""

    def close(self) -> None:
        """Cancel what has not ended."""
        self._ended.set()
        with self._changes:
            for job in self._open.values():
                with suppress(OSError):
                    job.cancel(check=False)
            self._open = {}

    def _watch(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            with self._changes:
                done = [(future, job) for future, job in self._open.items() if job.done()]
                for future, _ in done:
                    del self._open[future]
            for future, job in done:
                try:
                    future.set_result(job.result())
                # Its errors, and what a file that cannot be read raises: whoever waits for the job must hear of it.
                except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
                    future.set_exception(ChildProcessError(_reason(error, job)))


def _reason(error: Exception, job: Any) -> str:
    """Why a job of the cluster has no result, in one line: submitit's has the traceback and both logs in it."""
    where = f"what it printed: {job.paths.stderr}"
    if type(error).__name__ == "UncompletedJobError":
        return f"job {job.job_id} of the cluster ended without a result; {where}"
    raised = [line for line in str(error).splitlines() if line.partition(":")[0].endswith(("Error", "Exception"))]
    return f"job {job.job_id} of the cluster failed: {raised[-1] if raised else printable(error)}; {where}"
