"""The process in which one package lives: ``python -m benchmarks.worker NAME CORES RECEIVE SEND``.

It is pinned before anything heavy is imported, so that thread pools come out as large as the cores it has. Requests
come and answers go through two pipes of their own, since packages print where they like.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def main() -> None:
    """Answer requests ``(method, arguments)`` until the pipe closes."""
    name, cores, receive, send = sys.argv[1:]
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    serve(Handler(name), int(receive), int(send))


def serve(handler: Any, receive: int, send: int, answer: Callable[[Any], Any] = lambda value: value) -> None:
    """Answer requests to a handler from one pipe to another until the first closes; ``answer`` wraps what is sent."""
    requests, answers = Connection(receive, writable=False), Connection(send, readable=False)
    while True:
        try:
            method, arguments = requests.recv()
        except EOFError:
            return
        try:
            answers.send(("done", answer(getattr(handler, method)(*arguments))))
        except Exception as error:  # a package may fail in any way, and the table is to say in which
            lines = str(error).strip().splitlines()
            answers.send(("failed", f"{type(error).__name__}: {lines[0] if lines else ''}"))


class Handler:
    """What a worker can be asked: the methods of its package, and those below."""

    def __init__(self, name: str) -> None:
        from benchmarks.peers import PEERS

        self.peer = PEERS[name]()

    def __getattr__(self, method: str) -> Any:
        return getattr(self.peer, method)

    def describe(self) -> dict[str, Any]:
        """Why the package is missing (empty where it is there), and what it is otherwise."""
        missing = self.peer.missing()
        return {"missing": missing, "version": "" if missing else self.peer.version()}

    def prepare(self, workload: Any) -> None:
        """Simulate a workload and load it; its data never travel."""
        from benchmarks.workloads import simulate

        self.peer.load(simulate(workload)[0], workload.k, workload.covariance)

    def peak_memory(self, workload: Any, n_iter: int) -> tuple[float, float]:
        """Bytes above the data of a first fit of a shape and of a second one: see `benchmarks.memory`."""
        from benchmarks.memory import peak_above_data
        from benchmarks.workloads import Workload, common_start, simulate

        # Loads the libraries, and whatever they allocate once; the shape of the problem is new to them afterwards.
        other = Workload("warm", 1000, 2, 2, workload.covariance)
        self.prepare(other)
        self.peer.fit(common_start(other, simulate(other)[1]), n_iter)
        x, truth = simulate(workload)
        start = common_start(workload, truth)
        self.peer.load(x, workload.k, workload.covariance)
        gc.collect()
        first = peak_above_data(lambda: self.peer.fit(start, n_iter))
        gc.collect()
        return first, peak_above_data(lambda: self.peer.fit(start, n_iter))

    def machine_limits(self, *sizes: int) -> dict[str, float]:
        """What the machine can do: see `benchmarks.limits`."""
        from benchmarks.limits import measure_limits

        return measure_limits(*sizes)


if __name__ == "__main__":
    main()
