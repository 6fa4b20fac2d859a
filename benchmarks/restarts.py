"""Many starts at once: emjax against scikit-learn.

emjax draws its starts itself (random data points as means, equal weights, the data's own covariance), within the time.
scikit-learn is measured twice: with as many starts of that same kind handed to it one by one, outside the time, and
with its own ``n_init`` and k-means. So the starts differ; their number and the iterations of each are equal. The check
for equal work is made on one start: emjax, given the start of scikit-learn's best result, has to end at the same
log-likelihood after as many iterations. The best of all starts is shown beside the times.
"""

from __future__ import annotations

import dataclasses
from statistics import median

from benchmarks.client import PeerError
from benchmarks.measure import Session, equal
from benchmarks.reference import log_likelihood
from benchmarks.workloads import Workload, simulate

WAYS = {
    "emjax, random points": ("emjax", "restarts"),
    "scikit-learn, the same kind of starts": ("scikit-learn", "restarts_given"),
    "scikit-learn, its `n_init`": ("scikit-learn", "restarts"),
}
OURS = "emjax, random points"


@dataclasses.dataclass
class Restarts:
    """``n_init`` starts of ``workload.iterations`` iterations: seconds of whole calls, and the best log-likelihood."""

    workload: Workload
    way: str
    n_init: int
    seconds: list[float] = dataclasses.field(default_factory=list)
    best: float = float("nan")
    reason: str = ""

    @property
    def per_iteration(self) -> float | None:
        """Median seconds per iteration of one start."""
        return median(self.seconds) / (self.n_init * self.workload.iterations) if self.seconds else None


def compare_restarts(run: Session, workload: Workload, n_init: int = 32) -> list[Restarts]:
    """Interleaved repeats; each has a seed of its own."""
    rows = [Restarts(workload, way, n_init, reason=run.describe(WAYS[way][0])["missing"]) for way in WAYS]
    run.say(f"{workload.title}: {n_init} starts")
    for name in ("emjax", "scikit-learn"):
        if not run.describe(name)["missing"]:
            run.worker(name).ask("prepare", workload)
    for repeat in range(-1, run.repeats):  # the first one compiles, and is not counted
        for row in rows:
            if not row.reason and (repeat < 2 or sum(row.seconds) < run.allowance("scikit-learn")):
                _once(run, row, repeat)
        for row in rows if repeat < 0 else ():
            row.seconds.clear()
    _check(run, rows)
    return rows


def _check(run: Session, rows: list[Restarts]) -> None:
    """Take back the times where one start, given to both, does not end at one likelihood."""
    if any(row.reason for row in rows):
        return
    workload = rows[0].workload
    start = run.worker("scikit-learn").ask("best_start")
    ends = [run.worker(n).ask("fit", start, workload.iterations)[0] for n in ("emjax", "scikit-learn")]
    x, _ = simulate(workload)
    difference = log_likelihood(ends[1], x) - log_likelihood(ends[0], x)
    if not equal(difference, "float64"):
        for row in rows:
            row.seconds.clear()
            row.reason = f"not comparable: from one start the log-likelihoods per sample differ by {difference:.1e}"


def _once(run: Session, row: Restarts, repeat: int) -> None:
    name, method = WAYS[row.way]
    iterations = row.workload.iterations if name == "emjax" or repeat >= 0 else 1
    try:
        params, seconds = run.worker(name).ask(method, row.n_init, iterations, max(repeat, 0), timeout=run.patience)
    except PeerError as error:
        row.reason = str(error)
        run.drop(name)
        return
    row.seconds.append(seconds)
    if repeat >= 0:
        reached = log_likelihood(params, simulate(row.workload)[0])
        row.best = max(row.best, reached) if row.best == row.best else reached
