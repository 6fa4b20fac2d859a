"""scikit-learn's `GaussianMixture`, without its ridge, which the others have not."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from benchmarks.peers.base import Peer, timed
from benchmarks.workloads import Params


class ScikitLearn(Peer):
    """float64, as its input."""

    name = "scikit-learn"
    modules = ("sklearn",)
    _best_start: Params

    def fit(self, start: Params, n_iter: int) -> tuple[Params, float]:
        result, seconds = self._fit(max_iter=n_iter, **_given(start))
        if result.n_iter_ != n_iter:
            raise RuntimeError(f"stopped after {result.n_iter_} of {n_iter} iterations")
        return _plain(result), seconds

    def restarts(self, n_init: int, n_iter: int, seed: int) -> tuple[Params, float]:
        """The best of ``n_init`` starts that it makes itself (k-means), ``n_iter`` iterations each."""
        result, seconds = self._fit(max_iter=n_iter, n_init=n_init, random_state=seed)
        return _plain(result), seconds

    def restarts_given(self, n_init: int, n_iter: int, seed: int) -> tuple[Params, float]:
        """The best of ``n_init`` starts given to it, ``n_iter`` iterations each.

        The starts are random data points as means, equal weights, and the data's own covariance. Its own
        ``init_params="random_from_data"`` starts with covariances of single points, zero, which only a ridge survives.
        """
        rng = np.random.default_rng(seed)
        k, whole = self.n_components, np.atleast_2d(np.cov(self.x.T, bias=True))
        spread = np.diagonal(whole) if self.covariance == "diag" else whole
        total, results = 0.0, []  # of pairs (model, start)
        for _ in range(n_init):
            means = self.x[rng.choice(len(self.x), k, replace=False)]
            start = Params(weights=np.full(k, 1.0 / k), means=means, covariances=np.repeat(spread[None], k, axis=0))
            result, seconds = self._fit(max_iter=n_iter, **_given(start))
            total += seconds
            results.append((result, start))
        best, self._best_start = max(results, key=lambda pair: pair[0].lower_bound_)
        return _plain(best), total

    def best_start(self) -> Params:
        """The start that the result of the last `restarts_given` came from."""
        return self._best_start

    def lower_bounds(self, start: Params, max_iter: int) -> np.ndarray:
        """The mean log-likelihood of the start and after each iteration but the last."""
        result, _ = self._fit(max_iter=max_iter, **_given(start))
        return np.asarray(result.lower_bounds_)

    def _fit(self, *, max_iter: int, **options: Any) -> tuple[Any, float]:
        from sklearn.mixture import GaussianMixture

        model = GaussianMixture(
            self.n_components, covariance_type=self.covariance, tol=0.0, reg_covar=0.0, max_iter=max_iter, **options
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it did not converge: it was not meant to
            return timed(lambda: model.fit(self.x))


def _given(start: Params) -> dict[str, np.ndarray]:
    precisions = 1.0 / start.covariances if start.diagonal else np.linalg.inv(start.covariances)
    return {"weights_init": start.weights, "means_init": start.means, "precisions_init": precisions}


def _plain(model: Any) -> Params:
    return Params(weights=model.weights_, means=model.means_, covariances=model.covariances_)
