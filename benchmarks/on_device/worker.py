"""A process that measures: ``python -m benchmarks.on_device.worker NAME any RECEIVE SEND``; the name is for people.

Its environment decides what it measures on: all JAX finds, or the host alone.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from typing import Any

import numpy as np

from benchmarks.on_device import chains, problems, profile, speed
from benchmarks.worker import serve
from benchmarks.workloads import Params, Workload

_DIE_WITH_PARENT = 1
"""Linux's ``PR_SET_PDEATHSIG``."""


_ON_DEVICE, _FEWEST = 100, 10
"""Iterations of W1 to W6 between two looks at the clock: on an accelerator, and on a CPU at least."""


class Handler:
    """What it can be asked; every answer is a dictionary of plain numbers and words, or of arrays to be compared."""

    def __init__(self) -> None:
        self._held: tuple[tuple[int, str], np.ndarray, Params] | None = None

    def device(self) -> dict[str, Any]:
        """JAX's default device."""
        return speed.describe_device()

    def limits(self, quick: bool) -> dict[str, float]:
        """What it can do at best."""
        return speed.measure_limits(quick)

    def agreement(self, problem: problems.Problem, dtype: str, n: int) -> dict[str, Any]:
        """A fit, to be compared."""
        return problems.fit(problem, dtype, n)

    def size(self, workload: Workload, dtype: str, iterations: int) -> dict[str, Any]:
        """Times of a size; the data are kept for the next row that has the same."""
        shape = (workload.n, workload.covariance)
        if self._held is None or self._held[0] != shape:
            self._held = None  # both would not fit
            self._held = (shape, *speed.repeated_data(workload))
        return speed.time_size(workload, dtype, iterations, *self._held[1:])

    def workload(self, workload: Workload, dtype: str) -> dict[str, Any]:
        """Times of one of W1 to W5."""
        return speed.time_workload(workload, dtype, _iterations(workload))

    def starts(self, workload: Workload, dtype: str, n_starts: int) -> dict[str, Any]:
        """Times of many starts."""
        return speed.time_starts(workload, dtype, n_starts, _iterations(workload))

    def many(self, n_datasets: int) -> dict[str, Any]:
        """Times of many data sets."""
        return speed.time_many(n_datasets)

    def hmc(self, n_chains: int, iterations: int) -> dict[str, Any]:
        """Times of chains."""
        return chains.time_chains(n_chains, iterations)

    def profile(self, workload: Workload, dtype: str) -> dict[str, Any]:
        """What an iteration consists of."""
        self._held = None
        return profile.profile(workload, dtype)


def _iterations(workload: Workload) -> int:
    """So many that they take longer than a look at the clock, on a fast device and on a slow one."""
    return _ON_DEVICE if speed.describe_device()["platform"] != "cpu" else max(workload.iterations, _FEWEST)


def main() -> None:
    """Answer requests until the pipe closes, or the process that asks is killed."""
    if sys.platform == "linux":
        # In the middle of a long computation nobody would notice that the pipe has closed, and the device stay taken.
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    *_, receive, send = sys.argv[1:]
    serve(Handler(), int(receive), int(send))


if __name__ == "__main__":
    main()
