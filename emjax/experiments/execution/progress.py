"""How far a run of a study is: counted here, told to whoever asks."""

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from emjax.experiments.execution.supervise import Ended
from emjax.experiments.plan.jobs import Job


@dataclasses.dataclass(frozen=True)
class StudyProgress:
    """How far a run is. A result is one method on one data set."""

    done: int  # results of this run's jobs that are there; those that were there before count too
    total: int
    n_failed: int  # results of jobs that were given up
    n_own: int  # results that this run has computed itself; others were there before, or came from another runner
    rate: float  # results per second of this run; 0 before the first
    seconds_left: float | None  # by the mean seconds of each method, None as long as nothing is known
    methods: Mapping[str, tuple[int, int]]  # (done, total) by the label of the method


class Tracker:
    """Counts the results of a run by method: of all its jobs, of which ``finished`` are the keys done before."""

    def __init__(self, jobs: Iterable[Job], finished: Iterable[str], n_workers: int) -> None:
        jobs, before = tuple(jobs), set(finished)
        self._total = _counted(jobs)
        self._done = _counted(job for job in jobs if job.key in before)
        self._failed: Counter[str] = Counter()
        self._timed: Counter[str] = Counter()
        self._seconds: dict[str, float] = dict.fromkeys(self._total, 0.0)
        self._before = self._done.total()
        self._n_workers = n_workers
        self._begun = time.monotonic()

    def add(self, ended: Ended) -> StudyProgress:
        """Count a job that has ended; return how far the run is now."""
        method, n_results = ended.job.method, ended.job.stop - ended.job.first
        if ended.error:
            self._failed[method] += n_results
        else:
            self._done[method] += n_results
        if ended.seconds is not None:
            self._seconds[method] += ended.seconds
            self._timed[method] += n_results
        return self.now()

    def now(self) -> StudyProgress:
        """How far the run is now."""
        elapsed = time.monotonic() - self._begun
        return StudyProgress(
            done=self._done.total(),
            total=self._total.total(),
            n_failed=self._failed.total(),
            n_own=self._timed.total(),
            rate=(self._done.total() - self._before) / elapsed if elapsed > 0 else 0.0,
            seconds_left=self._left(),
            methods={method: (self._done[method], total) for method, total in self._total.items()},
        )

    def _left(self) -> float | None:
        """Seconds of work left over the workers; a method without a time yet counts like the mean of the others."""
        if not self._timed:
            return None
        mean = sum(self._seconds.values()) / self._timed.total()
        work = 0.0
        for method, total in self._total.items():
            each = self._seconds[method] / self._timed[method] if self._timed[method] else mean
            work += each * (total - self._done[method] - self._failed[method])
        return work / self._n_workers


def said(progress: StudyProgress) -> str:
    """``12/40 results, 3.2/s, 8 s left``."""
    return f"{progress.done}/{progress.total} results, {in_words(progress)}"


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
