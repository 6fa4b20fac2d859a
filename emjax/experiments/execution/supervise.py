"""The loop of a run: hands jobs to workers, tries failed ones again, waits for what other runners are at."""

import dataclasses
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from typing import Any, Protocol

from emjax.errors import ConfigError, EmjaxError
from emjax.experiments.execution.interrupts import StopWish
from emjax.experiments.execution.worker import do_job
from emjax.experiments.plan.jobs import Job

LOOK_SECONDS = 0.2
"""How often the loop looks whether it was asked to stop."""

HELD_SECONDS = 1.0
"""How often it looks at jobs that another runner is at."""

AHEAD = 2
"""Jobs handed out per worker: the next one is there when a worker is done, and few are lost when the run stops."""

MOST_RESTARTS = 3
"""Restarts of the workers in a row, without a single job done in between, after which something else is wrong."""


class Executor(Protocol):
    """What the loop needs of the workers; `LocalExecutor` and `DaskExecutor` have it."""

    @property
    def n_workers(self) -> int:
        """How many processes there are."""

    def submit(
        self, function: Callable[..., Any], /, *args: Any, limit: float | None = None, **more: Any
    ) -> "Future[Any]":
        """Call a function in a worker."""

    def restart(self) -> None:
        """Replace all workers."""

    def close(self) -> None:
        """End all workers at once."""


class Unwritable(ConfigError):
    """The study's folder cannot be written; what was done stays."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a job was given up: one line, all that is known, and how often it was tried."""

    error: str
    traceback: str
    attempts: int


class Listener(Protocol):
    """Who hears how jobs end."""

    def job_done(self, job: Job, seconds: float | None) -> None:
        """A job is done; ``seconds`` it took, None where another runner did it."""

    def job_failed(self, job: Job, failure: Failure) -> None:
        """A job is given up."""


class Supervisor:
    """One run over some jobs of a study.

    Parameters
    ----------
    folder
        The study's folder, absolute.
    executor
        The workers.
    is_finished
        Which of some keys are finished, as the archive sees them.
    listener
        Who hears how jobs end.
    wish
        Looked at every `LOOK_SECONDS`; once it is made, no further job is begun.
    time_limit, retries, cache
        As in the config's ``execution``, and whether compiled programs are kept.
    note
        Called with a line for the user.
    """

    def __init__(
        self,
        folder: str,
        executor: Executor,
        is_finished: Callable[[Iterable[str]], set[str]],
        listener: Listener,
        wish: StopWish,
        *,
        time_limit: float | None = None,
        retries: int = 1,
        cache: bool = True,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self._folder = folder
        self._executor = executor
        self._is_finished = is_finished
        self._listener = listener
        self._wish = wish
        self._time_limit = time_limit
        self._retries = retries
        self._cache = cache
        self._note = note
        self._waiting: deque[Job] = deque()
        self._held: list[Job] = []
        self._holder: str | None = None
        self._look_at_held = 0.0
        self._running: dict[Future[Any], Job] = {}
        self._attempts: Counter[str] = Counter()
        self._restarts = 0

    def run(self, jobs: Iterable[Job]) -> bool:
        """Do the jobs; return whether all were done or given up (False: the run was asked to stop).

        Raises Unwritable where the study's folder takes no more.
        """
        self._waiting.extend(jobs)
        while self._waiting or self._held or self._running:
            if self._wish:
                return False
            self._wake_held()
            self._hand_out()
            if not self._running:
                self._say_who_is_waited_for()
                time.sleep(LOOK_SECONDS)
                continue
            done, _ = wait(self._running, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            if self._wish:
                # Who ends the run may have ended workers too: no job is to blame for that.
                return False
            for future in done:
                # A restart of the workers may have taken the others back.
                if future in self._running:
                    self._settle(self._running.pop(future), future)
        return True

    def _hand_out(self) -> None:
        while self._waiting and len(self._running) < AHEAD * self._executor.n_workers:
            job = self._waiting[0]
            try:
                future = self._executor.submit(
                    do_job, self._folder, job.spec, self._time_limit, limit=self._time_limit, cache=self._cache
                )
            except (BrokenExecutor, RuntimeError) as error:
                self._restart(error)
                return
            self._waiting.popleft()
            self._running[future] = job

    def _settle(self, job: Job, future: "Future[Any]") -> None:
        try:
            result: Mapping[str, Any] = future.result()
        except BrokenExecutor as error:
            self._waiting.appendleft(job)
            self._restart(error)
            return
        except TimeoutError as error:
            limit = self._time_limit
            killed = f"was killed, because it overran execution.time_limit = {limit:g} s" if limit else _death(error)
            self._try_again(job, killed)
            return
        except CancelledError:
            # No fault of the job: the scheduler is lost. If it stays away, the next `submit` says so.
            self._waiting.append(job)
            return
        except Exception as error:
            self._try_again(job, _death(error))
            return
        self._restarts = 0
        match result["state"]:
            case "done":
                self._listener.job_done(job, result["seconds"])
            case "finished":
                self._listener.job_done(job, None)
            case "elsewhere":
                self._held.append(job)
                self._holder = result.get("holder")
            case "unwritable":
                raise Unwritable(result["error"])
            case _:
                self._try_again(job, result["error"], result["traceback"])

    def _try_again(self, job: Job, error: str, traceback: str = "") -> None:
        self._attempts[job.key] += 1
        if self._attempts[job.key] <= self._retries:
            self._waiting.append(job)
        else:
            self._listener.job_failed(job, Failure(error, traceback, self._attempts[job.key]))

    def _wake_held(self) -> None:
        """Count what other runners have finished, and try to take what they may have left."""
        now = time.monotonic()
        if not self._held or now < self._look_at_held:
            return
        self._look_at_held = now + HELD_SECONDS
        finished = self._is_finished([job.key for job in self._held])
        for job in self._held:
            if job.key in finished:
                self._listener.job_done(job, None)
            else:
                self._waiting.append(job)
        self._held = []

    def _say_who_is_waited_for(self) -> None:
        """Once: a run that seems to do nothing should not be a riddle."""
        if self._note is not None and self._held:
            n_held = len(self._held)
            what = "1 job is" if n_held == 1 else f"{n_held} jobs are"
            whose = f" ({self._holder})" if self._holder else ""
            self._note(f"the last {what} being done by another run of this study{whose}; waiting")
            self._note = None

    def _restart(self, error: BaseException) -> None:
        """Go on with new workers; none of the jobs is to blame as far as anybody knows."""
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            raise EmjaxError(
                "the worker processes end before they do anything; a script that calls run_study needs "
                f"`if __name__ == '__main__':` around the call ({_death(error)})"
            ) from None
        self._waiting.extendleft(reversed(self._running.values()))
        self._running = {}
        self._executor.restart()


def _death(error: BaseException) -> str:
    """What became of a worker, in words."""
    code = getattr(error, "exitcode", None)
    if type(error).__name__ == "ProcessExpired":
        return f"its process died (exit code {code}); was it out of memory?"
    if type(error).__name__ == "KilledWorker":
        return "its workers died, one after the other; were they out of memory?"
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")
