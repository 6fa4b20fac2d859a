"""emjax through its public function `emjax.fit`, at its defaults."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from benchmarks.peers.base import Peer, timed
from benchmarks.workloads import Params


class Emjax(Peer):
    """float64, the default."""

    name = "emjax"
    modules = ("emjax",)
    compiles = True

    def version(self) -> str:
        import emjax

        return emjax.__version__

    def fit(self, start: Params, n_iter: int) -> tuple[Params, float]:
        result, seconds = self._fit(init=self._given(start), tol=0.0, max_iter=n_iter)
        if result.n_iter != n_iter:
            raise RuntimeError(f"stopped after {result.n_iter} of {n_iter} iterations: {result.status.value}")
        return _plain(result), seconds

    def restarts(self, n_init: int, n_iter: int, seed: int) -> tuple[Params, float]:
        """The best of ``n_init`` starts that it draws itself (random points), ``n_iter`` iterations each."""
        result, seconds = self._fit(n_init=n_init, starts="random", seed=seed, tol=0.0, max_iter=n_iter)
        return _plain(result), seconds

    def converge(self, start: Params, tol: float, max_iter: int) -> tuple[Params, float, int]:
        """To convergence, with emjax's own measure of it; the third number is that of iterations."""
        result, seconds = self._fit(init=self._given(start), tol=tol, max_iter=max_iter)
        return _plain(result), seconds, result.n_iter

    def _mixture(self) -> Any:
        import emjax

        return emjax.Mixture(emjax.Normal(covariance=self.covariance), self.n_components)

    def _given(self, start: Params) -> Any:
        return self._mixture().params(weights=start.weights, mean=start.means, covariance=start.covariances)

    def _fit(self, *, seed: int = 0, **options: Any) -> tuple[Any, float]:
        import jax

        import emjax

        mixture, key = self._mixture(), jax.random.key(seed)
        return timed(lambda: emjax.fit(mixture, self.x, key=key, dtype=self.dtype, **options))


class Emjax32(Emjax):
    """The same in float32, asked for by name."""

    dtype: ClassVar[str] = "float32"


def _plain(result: Any) -> Params:
    params = result.params
    own = "covariance" if "covariance" in params else "variance"
    return Params(
        weights=np.asarray(params.weights, float),
        means=np.asarray(params.mean, float),
        covariances=np.asarray(params[own], float),  # as the structure keeps it
    )
