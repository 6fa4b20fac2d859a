"""PyMC with nutpie's NUTS (numba): ``pm.NormalMixture``, or for several features the density as a ``pm.Potential``."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from benchmarks.samplers.base import ConjugatePrior, Draws, Problem, Sampler, Settings

_CHAINS, _TUNE = 4, 400


class PyMC(Sampler):
    """nutpie's own warm-up (400) and draws (1000), but 4 chains on one core as the others have."""

    title: ClassVar[str] = "PyMC + nutpie"
    modules: ClassVar[tuple[str, ...]] = ("pymc", "nutpie")

    def load(self, problem: Problem, settings: Settings) -> None:
        import nutpie

        self._settings, self._prior = settings, problem.prior
        self._compiled = nutpie.compile_pymc_model(_model(problem))

    def sample(self, seed: int) -> Draws:
        import nutpie

        given = {"chains": _CHAINS, "warmup": _TUNE, "draws": 1000} | self._settings.given()
        found = nutpie.sample(
            self._compiled,
            chains=given["chains"],
            tune=given["warmup"],
            draws=given["draws"],
            cores=1,
            seed=seed,
            progress_bar=False,
        )["posterior"]
        weights, mean = np.asarray(found["weights"]), np.asarray(found["mean"])
        if "variance" in found:
            mean, covariance = mean[..., None], np.asarray(found["variance"])[..., None, None]
        else:
            covariance = covariances(self._prior, np.asarray(found["squares"]), np.asarray(found["rest"]))
        return Draws(weights, mean, covariance, given["warmup"])


def _model(problem: Problem) -> Any:
    import pymc as pm

    prior, k, x = problem.prior, problem.n_components, problem.x
    with pm.Model() as model:
        weights = pm.Dirichlet("weights", np.ones(k))
        if x.shape[1] == 1:
            shape, half = prior.degrees_of_freedom / 2, prior.scatter[0, 0] / 2
            variance = pm.InverseGamma("variance", alpha=shape, beta=half, shape=k)
            mean = pm.Normal("mean", prior.mean[0], sigma=pm.math.sqrt(variance / prior.precision), shape=k)
            pm.NormalMixture("x", w=weights, mu=mean, sigma=pm.math.sqrt(variance), observed=x[:, 0])
        else:
            _several_features(weights, prior, x, k)
    return model


def _several_features(weights: Any, prior: ConjugatePrior, x: np.ndarray, k: int) -> None:
    """The inverse Wishart and the mixture, written out: PyMC has no inverse Wishart.

    A precision matrix is F F' with F the product of a constant upper triangle and Bartlett's random one, so that a
    distance is a product with F: no matrix is decomposed or solved. Numba compiles it for more than a minute, as
    it does ``pm.Mixture`` of ``pm.MvNormal``.
    """
    import pymc as pm
    import pytensor.tensor as pt

    d = len(prior.mean)
    squares = pm.ChiSquared("squares", nu=prior.degrees_of_freedom - np.arange(d)[::-1], shape=(k, d))
    rest = pm.Normal("rest", shape=(k, d * (d - 1) // 2))
    mean = pm.Flat("mean", shape=(k, d), initval=_spread(x, k))
    joint, means = [], []
    for i in range(k):
        triangle = pt.diag(pt.sqrt(squares[i]))
        triangle = pt.set_subtensor(triangle[np.triu_indices(d, 1)], rest[i])
        factor = pt.dot(_upper(prior), triangle)
        half_log_determinant = 0.5 * pt.log(squares[i]).sum()
        distance = pt.dot(x - mean[i], factor)
        joint.append(pt.log(weights[i]) + half_log_determinant - 0.5 * (distance**2).sum(axis=1))
        pull = pt.dot(mean[i] - prior.mean, factor)
        means.append(half_log_determinant - 0.5 * prior.precision * (pull**2).sum())
    pm.Potential("means", sum(means))
    pm.Potential("x", pt.logsumexp(pt.stack(joint), axis=0).sum())


def _upper(prior: ConjugatePrior) -> np.ndarray:
    """The upper triangle U with U U' the inverse of the prior's scatter."""
    return np.linalg.cholesky(np.linalg.inv(prior.scatter)[::-1, ::-1])[::-1, ::-1]


def _spread(x: np.ndarray, k: int) -> np.ndarray:
    """Starts of the means at quantiles of the first feature: a flat site has no place of its own to start from."""
    ranks = np.linspace(0, len(x) - 1, 2 * k + 1).astype(int)[1::2]
    return x[np.argsort(x[:, 0])[ranks]]


def covariances(prior: ConjugatePrior, squares: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Covariance matrices ``(..., d, d)`` from draws of the squared diagonals ``(..., d)`` and of what is above."""
    d = squares.shape[-1]
    triangle = np.zeros((*squares.shape, d))
    triangle[..., np.arange(d), np.arange(d)] = np.sqrt(squares)
    triangle[(..., *np.triu_indices(d, 1))] = rest
    inverse = np.linalg.inv(_upper(prior) @ triangle)
    return np.swapaxes(inverse, -1, -2) @ inverse
