"""Programs outside Python: data and parameters travel as plain binary files, the clock is the program's own."""

from __future__ import annotations

import abc
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.peers.base import Peer
from benchmarks.workloads import Params


class Outside(Peer):
    """A program called as ``program folder n d K covariance n_iter``.

    It reads ``x`` (row by row), ``weights``, ``means`` (component by component) and ``covariances`` (matrices, or
    variances) from ``folder``, all float64, writes the last three back, and prints the seconds.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="benchmark-")
        self.folder = Path(self._folder.name)

    @abc.abstractmethod
    def command(self) -> list[str]:
        """The program and its first arguments."""

    def load(self, x: np.ndarray, n_components: int, covariance: str) -> None:
        super().load(x, n_components, covariance)
        x.tofile(self.folder / "x")

    def fit(self, start: Params, n_iter: int) -> tuple[Params, float]:
        for name in ("weights", "means", "covariances"):
            getattr(start, name).astype(float).tofile(self.folder / name)
        n, d = self.x.shape
        arguments = [str(self.folder), str(n), str(d), str(self.n_components), self.covariance, str(n_iter)]
        done = subprocess.run([*self.command(), *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
        shapes = {"weights": start.weights.shape, "means": start.means.shape, "covariances": start.covariances.shape}
        read = {name: np.fromfile(self.folder / name).reshape(shape) for name, shape in shapes.items()}
        return Params(**read), float(done.stdout.split()[-1])
