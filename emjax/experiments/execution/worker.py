"""What a process does with one job of a study, whoever started it: a local pool, a cluster, a test.

A process works on one job at a time, with one thread of computation, so that the numbers do not depend on the number
of cores, and so that as many processes as cores do not get in each other's way.
"""

import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

ONE_THREAD = {
    "NPROC": "1",  # the size of the thread pools of XLA's CPU client
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Processes that share an accelerator take its memory as they need it.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
"""The environment of a worker; it counts where it is set before NumPy and JAX are imported."""

FROM_THE_TERMINAL = tuple(getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name))
"""What a terminal sends to all processes that were started from it. It is for the run alone, which ends its workers."""

_one_at_a_time = threading.Lock()

_MOST_WARNINGS, _LONGEST_WARNING = 20, 200
"""Kinds of warnings that a job tells apart, and the signs of each."""


def do_job(folder: str, spec: Mapping[str, Any], time_limit: float | None = None, *, cache: bool = True) -> dict:
    """Do a job of a study and publish its rows in the study's folder, unless that is done or being done elsewhere.

    ``folder`` is the study's as this process sees it, ``spec`` the job's `Job.spec`. The job gives up after
    ``time_limit`` seconds, looked at between its replicates.

    Returns the job's ``key`` and a ``state``: ``done`` (with ``seconds`` and ``summary``, which `run_job` returned),
    ``finished`` (it was done before), ``elsewhere`` (another runner is at it, the ``holder``), ``failed`` (with
    ``error``, one line, and ``traceback``) or ``unwritable`` (with ``error``). Errors of the job are never raised.
    """
    from emjax.experiments.archive.folder import Archive, StorageError
    from emjax.experiments.plan.jobs import job_key

    key = job_key(spec)
    with _one_at_a_time, _heard_warnings() as heard:
        try:
            prepare(cache=cache)
            from emjax.experiments.work.job import run_job

            archive = Archive(folder)
            with archive.claim(key) as claimed:
                if not claimed:
                    return {"state": "elsewhere", "key": key, "holder": archive.holder(key)}
                # Asked only now: another runner may have finished it while this one waited for its turn.
                if key in archive.finished([key], verify=True):
                    return {"state": "finished", "key": key}
                begun = time.monotonic()
                deadline = None if time_limit is None else begun + time_limit
                if "jax" in sys.modules:  # which keeps all programs, and a worker lives as long as its study
                    from emjax.programs import make_room

                    make_room()
                with archive.writing(key, spec) as draft:
                    draft.summary = {**run_job(spec, draft.path, deadline=deadline), "warnings": dict(heard)}
                return {"state": "done", "key": key, "seconds": time.monotonic() - begun, "summary": draft.summary}
        except StorageError as error:
            return {"state": "unwritable", "key": key, "error": str(error)}
        except Exception as error:
            return {"state": "failed", "key": key, **_told(error)}


def prepare(*, cache: bool = True) -> None:
    """Set up this process for jobs: one thread of computation and the compilation cache. Does not import JAX.

    Variables that are set already stay as they are.
    """
    from emjax.experiments.execution import runtime

    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    if "numpy" in sys.modules:
        # Its libraries read the environment when they were loaded; scikit-learn brings the way to tell them later.
        with suppress(ImportError):
            from threadpoolctl import threadpool_limits

            threadpool_limits(1)
    runtime.configure_ahead(cache=cache)


def start_worker(cache: bool) -> None:
    """Begin the life of a process of the local pool."""
    # The pool's own handler runs Python code, which has to wait for compiled code to return.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(ONE_THREAD)
    prepare(cache=cache)
    threading.Thread(target=_end_with_parent, name="emjax-parent", daemon=True).start()


def dask_setup(worker: Any) -> None:
    """Called by Dask in every worker of an embedded cluster (``preload``): the run answers signals, and ends them."""
    for number in FROM_THE_TERMINAL:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def terminal_blocked() -> Iterator[None]:
    """Let threads and processes that the block starts inherit a mask: what a terminal sends is for the run alone."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    before = signal.pthread_sigmask(signal.SIG_BLOCK, FROM_THE_TERMINAL)
    try:
        # Python's own process for semaphores, which ends by SIGHUP; starting it unblocks SIGINT.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, FROM_THE_TERMINAL)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """Wait until the process that started this one is gone, then end at once: its locks are free for a next runner."""
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _told(error: BaseException) -> dict[str, str]:
    text = " ".join(str(error).split())
    # emjax's own errors are sentences; of any other its name is half of what it says.
    known = type(error).__module__.startswith("emjax.")
    line = text if known and text else f"{type(error).__name__}: {text}".rstrip(": ")
    return {"error": line, "traceback": "".join(traceback.format_exception(error))}


@contextmanager
def _heard_warnings() -> Iterator[Counter[str]]:
    """Count warnings instead of showing them: a study has thousands of jobs and one terminal."""
    heard: Counter[str] = Counter()
    if sys.warnoptions:
        yield heard
        return

    def hear(message: Warning | str, category: type[Warning], *where: Any) -> None:
        text = f"{category.__name__}: {' '.join(str(message).split())}"
        text = text if len(text) <= _LONGEST_WARNING else text[: _LONGEST_WARNING - 3] + "..."
        heard[text if text in heard or len(heard) < _MOST_WARNINGS else "further warnings"] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = hear  # type: ignore[assignment]
        yield heard
