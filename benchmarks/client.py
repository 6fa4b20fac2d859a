"""The near end of a worker: start it on given cores, ask it, give up on it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class PeerError(Exception):
    """A package could not do what it was asked; the message is for the table."""


class TooSlow(PeerError):
    """It did not answer in the time it had."""


def environment(n_cores: int) -> dict[str, str]:
    """The environment of a process with so many threads, in which JAX keeps off accelerators.

    Cores are devices to JAX, as `docs/engine.md` recommends: its own threads gain nothing on blocks this small.
    """
    own = {"JAX_NUM_CPU_DEVICES": str(n_cores), "JAX_PLATFORMS": "cpu"}
    found = {**os.environ, **dict.fromkeys(THREADS, str(n_cores)), **own}
    # Without byte code on disk every process would compile its imports anew, and cold starts would measure that.
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


class Worker:
    """A package in a process of its own, pinned to ``cores`` (any, where there are none); use it as a context.

    ``module`` is run, with ``variables`` for its environment: by default that of as many threads as cores.
    """

    def __init__(
        self,
        name: str,
        cores: tuple[int, ...],
        *,
        module: str = "benchmarks.worker",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        their_requests, self._requests = os.pipe()
        self._answers_fd, their_answers = os.pipe()
        self._send = Connection(self._requests, readable=False)
        self._receive = Connection(self._answers_fd, writable=False)
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the worker)
        where = ",".join(map(str, cores)) or "any"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, name, where, str(their_requests), str(their_answers)],
            cwd=ROOT,
            env=environment(len(cores)) if variables is None else variables,
            pass_fds=(their_requests, their_answers),
            stdout=self._log,
            stderr=self._log,
        )
        os.close(their_requests)
        os.close(their_answers)

    def ask(self, method: str, *arguments: Any, timeout: float = 300.0) -> Any:
        """Call a method of `benchmarks.worker.Handler`; raises `PeerError` where it fails, dies or takes too long."""
        try:
            self._send.send((method, arguments))
            if not self._receive.poll(timeout):
                self.close()
                raise TooSlow(f"took more than {timeout:.0f} s")
            outcome, value = self._receive.recv()
        except (EOFError, OSError) as error:
            raise PeerError(f"its process ended: {self._last_words()}") from error
        if outcome == "failed":
            raise PeerError(value)
        return value

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._send.close()
        self._receive.close()
        self._log.close()

    def _last_words(self) -> str:
        status = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {status}"
