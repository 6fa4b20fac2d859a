"""How far a run of a study is: counted here, told to whoever asks."""

import dataclasses
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

from emjax.experiments.execution.supervise import Failure
from emjax.experiments.plan.jobs import Job


@dataclasses.dataclass(frozen=True)
class StudyProgress:
    """How far a run is. A result is one method on one data set.

    Attributes
    ----------
    done, total
        Results that are there, of those of this run's jobs; those that were there before count too.
    n_failed
        Results of jobs that were given up.
    n_own
        Results that this run has computed itself; others were there before, or came from another runner.
    rate
        Results per second of this run; 0 before the first.
    seconds_left
        Estimated from the mean seconds of each method, None as long as nothing is known.
    methods
        ``(done, total)`` by the label of the method.
    """

    done: int
    total: int
    n_failed: int
    n_own: int
    rate: float
    seconds_left: float | None
    methods: Mapping[str, tuple[int, int]]


class Tracker:
    """Counts the results of a run and tells them on. A `Listener` of the supervisor.

    Parameters
    ----------
    jobs
        All jobs of this run.
    finished
        The keys of those that were done before.
    n_workers
        How many jobs run at a time.
    tell
        Called with a `StudyProgress` at every change.
    give_up
        Called with a job and its `Failure` when it is given up.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        finished: Iterable[str],
        n_workers: int,
        tell: Callable[[StudyProgress], None],
        give_up: Callable[[Job, Failure], None],
    ) -> None:
        jobs, before = tuple(jobs), set(finished)
        self._total = _counted(jobs)
        self._done = _counted(job for job in jobs if job.key in before)
        self._open = self._total - self._done
        self._n_workers = n_workers
        self._tell = tell
        self._give_up = give_up
        self._begun = time.monotonic()
        self._new = 0
        self._n_failed = 0
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._timed: Counter[str] = Counter()

    def job_done(self, job: Job, seconds: float | None) -> None:
        n_results = job.stop - job.first
        self._done[job.method] += n_results
        self._open[job.method] -= n_results
        self._new += n_results
        if seconds is not None:
            self._seconds[job.method] += seconds
            self._timed[job.method] += n_results
        self._tell(self.now())

    def job_failed(self, job: Job, failure: Failure) -> None:
        self._give_up(job, failure)
        self._open[job.method] -= job.stop - job.first
        self._n_failed += job.stop - job.first
        self._tell(self.now())

    def now(self) -> StudyProgress:
        """How far the run is now."""
        elapsed = time.monotonic() - self._begun
        return StudyProgress(
            done=self._done.total(),
            total=self._total.total(),
            n_failed=self._n_failed,
            n_own=self._timed.total(),
            rate=self._new / elapsed if elapsed > 0 else 0.0,
            seconds_left=self._left(),
            methods={method: (self._done[method], total) for method, total in self._total.items()},
        )

    def _left(self) -> float | None:
        """Seconds of work left over the workers; a method without a time yet counts like the mean of the others."""
        if not self._timed:
            return None
        mean = sum(self._seconds.values()) / self._timed.total()
        work = sum(
            n_open * (self._seconds[method] / self._timed[method] if self._timed[method] else mean)
            for method, n_open in self._open.items()
        )
        return work / self._n_workers


def in_words(progress: StudyProgress) -> str:
    """``3.2/s, 1 min 20 s left, 5 failed``."""
    parts = [f"{progress.rate:.3g}/s"]
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    if progress.n_failed:
        parts.append(f"{progress.n_failed} failed")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as two of days, hours, minutes and seconds: ``2 h 5 min``, ``1 min 20 s``, ``8 s``."""
    whole = round(seconds)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for (name, size), (finer, finer_size) in itertools.pairwise(units):
        if whole >= size:
            rest = whole % size // finer_size
            return f"{whole // size} {name}" + (f" {rest} {finer}" if rest else "")
    return f"{whole} s"


def _counted(jobs: Iterable[Job]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for job in jobs:
        counts[job.method] += job.stop - job.first
    return counts
