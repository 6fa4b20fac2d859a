"""The loop of a run: hands jobs to workers, tries failed ones again, waits for what other runners are at."""

import dataclasses
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
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


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a job of a run ended: done, or given up with an error."""

    job: Job
    seconds: float | None = None  # None where another runner did it, or nobody
    error: str = ""  # in one line
    traceback: str = ""
    attempts: int = 0


@dataclasses.dataclass(eq=False)
class Supervisor:
    """One run over some jobs of a study."""

    folder: str  # the study's, absolute
    executor: Executor
    is_finished: Callable[[Iterable[str]], set[str]]  # which of some keys are, as the archive sees them
    wish: StopWish  # once it is made, no further job is begun
    note: Callable[[str], None]  # called with a line for the user
    time_limit: float | None = None  # as in the config's `execution`
    retries: int = 1
    cache: bool = True  # whether compiled programs are kept

    def __post_init__(self) -> None:
        self._waiting: deque[Job] = deque()
        self._running: dict[Future[Any], Job] = {}
        self._held: list[Job] = []
        self._holder: str | None = None
        self._look_at_held = 0.0
        self._has_told = False
        self._attempts: Counter[str] = Counter()
        self._restarts = 0

    def run(self, jobs: Iterable[Job]) -> Iterator[Ended]:
        """Do the jobs and yield how each ended; ends before its time where the run was asked to stop.

        Raises ConfigError where the study's folder takes no more.
        """
        self._waiting.extend(jobs)
        while (self._waiting or self._held or self._running) and not self.wish:
            yield from self._done_elsewhere()
            self._hand_out()
            if not self._running:
                self._say_who_is_waited_for()
                time.sleep(LOOK_SECONDS)
                continue
            done, _ = wait(self._running, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            if self.wish:
                # Who ends the run may have ended workers too: no job is to blame for that.
                return
            for future in done:
                # A restart of the workers may have taken the others back.
                if future in self._running:
                    ended = self._settle(self._running.pop(future), future)
                    if ended is not None:
                        yield ended

    def _hand_out(self) -> None:
        while self._waiting and len(self._running) < AHEAD * self.executor.n_workers:
            job, limit = self._waiting[0], self.time_limit
            try:
                future = self.executor.submit(do_job, self.folder, job.spec, limit, limit=limit, cache=self.cache)
            except (BrokenExecutor, RuntimeError) as error:
                self._restart(error)
                return
            self._waiting.popleft()
            self._running[future] = job

    def _settle(self, job: Job, future: "Future[Any]") -> Ended | None:
        """What has become of a job that was handed out; None where it goes on."""
        try:
            result: Mapping[str, Any] = future.result()
            self._restarts = 0
        except BrokenExecutor as error:
            self._waiting.appendleft(job)
            self._restart(error)
            return None
        except CancelledError:
            # No fault of the job: the scheduler is lost. If it stays away, the next `submit` says so.
            self._waiting.append(job)
            return None
        except Exception as error:
            late = isinstance(error, TimeoutError) and self.time_limit
            killed = f"was killed, because it overran execution.time_limit = {self.time_limit:g} s" if late else None
            result = {"state": "failed", "error": killed or _death(error), "traceback": ""}
        match result["state"]:
            case "done" | "finished":
                return Ended(job, result.get("seconds"))
            case "elsewhere":
                self._held.append(job)
                self._holder = result.get("holder")
                return None
            case "unwritable":
                raise ConfigError(result["error"])
        self._attempts[job.key] += 1
        if self._attempts[job.key] > self.retries:
            return Ended(job, None, result["error"], result["traceback"], self._attempts[job.key])
        self._waiting.append(job)
        return None

    def _done_elsewhere(self) -> Iterator[Ended]:
        """Count what other runners have finished, and try to take what they may have left."""
        now = time.monotonic()
        if not self._held or now < self._look_at_held:
            return
        self._look_at_held = now + HELD_SECONDS
        held, self._held = self._held, []
        finished = self.is_finished([job.key for job in held])
        self._waiting.extend(job for job in held if job.key not in finished)
        yield from (Ended(job) for job in held if job.key in finished)

    def _say_who_is_waited_for(self) -> None:
        """Once: a run that seems to do nothing should not be a riddle."""
        if self._held and not self._has_told:
            n_held = len(self._held)
            what = "1 job is" if n_held == 1 else f"{n_held} jobs are"
            whose = f" ({self._holder})" if self._holder else ""
            self.note(f"the last {what} being done by another run of this study{whose}; waiting")
            self._has_told = True

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
        self.executor.restart()


def _death(error: BaseException) -> str:
    """What became of a worker, in words."""
    match type(error).__name__:
        case "ProcessExpired":
            return f"its process died (exit code {getattr(error, 'exitcode', None)}); was it out of memory?"
        case "KilledWorker":
            return "its workers died, one after the other; were they out of memory?"
        case name:
            return " ".join(f"{name}: {error}".split()).rstrip(": ")
