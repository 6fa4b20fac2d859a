"""Two cores against one, for emjax at its defaults and with `JAX_NUM_CPU_DEVICES` at the number of cores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from statistics import median

from benchmarks.client import PeerError, Worker
from benchmarks.workloads import Workload, common_start, simulate


@dataclasses.dataclass
class Cores:
    """Seconds per iteration (whole calls) on one core and on two."""

    workload: Workload
    one: list[float] = dataclasses.field(default_factory=list)
    two: list[float] = dataclasses.field(default_factory=list)
    reason: str = ""

    @property
    def gain(self) -> float | None:
        """How many times faster two cores are."""
        return median(self.one) / median(self.two) if self.one and self.two else None


def compare_cores(
    workloads: tuple[Workload, ...], cores: tuple[int, ...], repeats: int, say: Callable[[str], None] = lambda _: None
) -> list[Cores]:
    """Two processes, one pinned to the last of ``cores`` and one to its last two, timed in turn."""
    if len(cores) < 2:
        return [Cores(workload, reason="needs two cores, this process may use one") for workload in workloads]
    with Worker("emjax", cores[-1:]) as single, Worker("emjax", cores[-2:]) as double:
        return [_compare(workload, single, double, repeats, say) for workload in workloads]


def _compare(workload: Workload, single: Worker, double: Worker, repeats: int, say: Callable[[str], None]) -> Cores:
    say(f"{workload.title}: two cores against one")
    row = Cores(workload)
    start = common_start(workload, simulate(workload)[1])
    try:
        for worker in (single, double):
            worker.ask("prepare", workload)
            worker.ask("fit", start, workload.iterations)
        for _ in range(repeats):
            for worker, seconds in ((single, row.one), (double, row.two)):
                seconds.append(worker.ask("fit", start, workload.iterations)[1] / workload.iterations)
    except PeerError as error:
        row.reason = str(error)
    return row
