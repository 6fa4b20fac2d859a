"""mlpack's `gmm_train`. Its Python binding ignores the parameters of a model it is given: it makes its own start."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.peers.base import Peer, timed
from benchmarks.workloads import Params

_WARM = 1
"""Iterations after its k-means that make the start: the covariances that it takes from k-means are not covariances."""


class Mlpack(Peer):
    """float64; the time of its k-means is taken off by a second run that stops at the start.

    Its argument ``seed`` does not reach the generator that k-means draws from, which goes on from call to call; so each
    run is made in a fork of this process, where the generator is in the same first state each time.
    """

    name = "mlpack"
    modules = ("mlpack",)
    own_start = True

    def load(self, x: np.ndarray, n_components: int, covariance: str) -> None:
        import mlpack  # noqa: F401 (so that forks need not)

        super().load(x, n_components, covariance)

    def fit(self, start: Params, n_iter: int) -> tuple[Params, float]:
        _, before = self._train(_WARM)
        params, after = self._train(_WARM + n_iter)
        return params, after - before

    def make_start(self) -> Params:
        return self._train(_WARM)[0]

    def _train(self, n_iter: int) -> tuple[Params, float]:
        near, far = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(target=self._in_fork, args=(n_iter, far))
        process.start()
        far.close()
        try:
            answer = near.recv()
        except EOFError:
            process.join()
            answer = f"its process ended with status {process.exitcode}"
        finally:
            process.join()
            near.close()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def _in_fork(self, n_iter: int, answers: Connection) -> None:
        try:
            answers.send(self._fit_here(n_iter))
        except Exception as error:  # to be told in the table, whatever it is
            answers.send(str(error))

    def _fit_here(self, n_iter: int) -> tuple[Params, float]:
        from mlpack import gmm_train

        diagonal = self.covariance == "diag"
        result, seconds = timed(
            lambda: gmm_train(
                input_=self.x,
                gaussians=self.n_components,
                diagonal_covariance=diagonal,
                no_force_positive=True,
                tolerance=1e-300,
                # Full covariances count the start as the first iteration, diagonal ones (Armadillo's code) do not.
                max_iterations=n_iter if diagonal else n_iter + 1,
                kmeans_max_iterations=1,
            )
        )
        return _plain(result["output_model"].get_cpp_params(), diagonal), seconds


def _plain(stored: Any, diagonal: bool) -> Params:
    model = next(part for part in stored.values() if hasattr(part, "get") and "dists" in part)
    matrices = [np.atleast_2d(np.asarray(part["covariance"], float)) for part in model["dists"]]
    return Params(
        weights=np.asarray(model["weights"], float).ravel(),
        means=np.stack([np.ravel(part["mean"]) for part in model["dists"]]),
        covariances=np.stack([np.diagonal(matrix) if diagonal else matrix for matrix in matrices]),
    )
