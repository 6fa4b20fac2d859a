"""The process in which one package samples: ``python -m benchmarks.samplers.worker NAME CORE RECEIVE SEND``.

It is pinned before anything heavy is imported. Requests come and answers go through two pipes of their own, since
packages print where they like. Every answer carries the CPU seconds of the process so far, children included.
"""

from __future__ import annotations

import importlib
import os
import sys
from time import perf_counter
from typing import Any

from benchmarks.samplers import SAMPLERS
from benchmarks.samplers.base import Problem, Settings
from benchmarks.worker import serve


def cpu_seconds() -> float:
    """User and system seconds of this process and of the children that it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


class Handler:
    """What a worker can be asked."""

    def __init__(self, name: str) -> None:
        self._sampler = SAMPLERS[name]()

    def describe(self) -> dict[str, str]:
        """Why the package is missing (empty where it is there), and its version."""
        missing = self._sampler.missing()
        return {"missing": missing, "version": "" if missing else self._sampler.version()}

    def warm(self) -> None:
        """Import the package."""
        for name in self._sampler.modules:
            importlib.import_module(name)

    def load(self, problem: Problem, settings: Settings) -> tuple[float, float]:
        """Declare and compile; wall and CPU seconds."""
        wall, cpu = perf_counter(), cpu_seconds()
        self._sampler.load(problem, settings)
        return perf_counter() - wall, cpu_seconds() - cpu

    def sample(self, seed: int) -> tuple[Any, float, float]:
        """Draws, wall and CPU seconds."""
        wall, cpu = perf_counter(), cpu_seconds()
        draws = self._sampler.sample(seed)
        return draws, perf_counter() - wall, cpu_seconds() - cpu


def main() -> None:
    """Answer requests ``(method, arguments)`` until the pipe closes."""
    name, core, receive, send = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    serve(Handler(name), int(receive), int(send), lambda value: (value, cpu_seconds()))


if __name__ == "__main__":
    main()
