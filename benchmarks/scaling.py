"""How the time of one EM iteration grows with the number of samples, features and components."""

from __future__ import annotations

import dataclasses
from statistics import median
from typing import Literal

import numpy as np

from benchmarks.client import PeerError
from benchmarks.measure import Session
from benchmarks.workloads import Workload, common_start, simulate

PACKAGES = ("emjax", "scikit-learn")
SIZES = {"n": (5_000, 20_000, 80_000, 320_000), "d": (2, 4, 8, 16), "k": (2, 4, 8, 16)}
QUICK = {"n": (500, 1000), "d": (2, 3), "k": (2, 3)}
_BASE = {"n": 20_000, "d": 4, "k": 8}
_WINDOW = 0.15
"""Seconds that the longer of two runs is meant to take at least."""


@dataclasses.dataclass
class Scaling:
    """Seconds of one iteration more, for each size of one axis; the other two stay at n=20k, d=4, K=8."""

    package: str
    covariance: str
    axis: str
    sizes: tuple[int, ...]
    seconds: list[float] = dataclasses.field(default_factory=list)
    reason: str = ""

    @property
    def exponent(self) -> float | None:
        """The slope of log seconds against log size, by least squares."""
        usable = len(self.seconds) == len(self.sizes) and min(self.seconds, default=0.0) > 0
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0]) if usable else None


def measure_scaling(run: Session, sizes: dict[str, tuple[int, ...]] | None = None) -> list[Scaling]:
    """Both packages, both covariances, all three axes."""
    axes = sizes or SIZES
    base = _BASE if sizes is None else {axis: values[0] for axis, values in axes.items()}
    rows = []
    for covariance in ("full", "diag"):
        for axis, values in axes.items():
            run.say(f"scaling in {axis}, {covariance}")
            pair = [Scaling(name, covariance, axis, values, reason=run.describe(name)["missing"]) for name in PACKAGES]
            for value in values:
                workload = _workload(base | {axis: value}, covariance)
                for row in pair:
                    if not row.reason:
                        _add(run, row, workload)
            rows.extend(pair)
    return rows


def _workload(shape: dict[str, int], covariance: Literal["full", "diag"]) -> Workload:
    return Workload("scaling", shape["n"], shape["d"], shape["k"], covariance)


def _add(run: Session, row: Scaling, workload: Workload) -> None:
    start = common_start(workload, simulate(workload)[1])
    try:
        worker = run.worker(row.package)
        worker.ask("prepare", workload)
        worker.ask("fit", start, 1)
        few, many = 1, 9
        while True:
            gap = worker.ask("fit", start, many)[1] - worker.ask("fit", start, few)[1]
            if gap > _WINDOW or many > 500:
                break
            many = min(1000, many * max(2, int(_WINDOW / max(gap, 1e-3))))
        pairs = [
            (worker.ask("fit", start, many)[1], worker.ask("fit", start, few)[1]) for _ in range(min(run.repeats, 3))
        ]
    except PeerError as error:
        row.reason = str(error)
        run.drop(row.package)
        return
    row.seconds.append(median((a - b) / (many - few) for a, b in pairs))
