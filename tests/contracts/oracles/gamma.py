"""Gamma components, features independent; shape and rate have log-normal priors. The M-step is a root by SciPy."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import scipy.optimize
import scipy.stats
from scipy.special import digamma, polygamma

from tests.contracts.oracles.base import Oracle, Values


@dataclasses.dataclass(frozen=True)
class GammaOracle(Oracle):
    prior_numbers: ClassVar = {
        "log_shape": ("shape", "mean"),
        "spread_of_shape": ("shape", "scale"),
        "log_rate": ("rate", "mean"),
        "spread_of_rate": ("rate", "scale"),
    }
    has_units = True
    has_origin = True

    def stands_for_another(self, d: int) -> bool:
        """Features are independent, so that the row of two is two of one."""
        return d == 1

    def random(self, rng: np.random.Generator, k: int, d: int) -> Values:
        shape = rng.uniform(1.5, 12.0, size=(k, d))
        return {"shape": shape, "rate": shape / np.exp(rng.normal(scale=0.8, size=(k, d)))}

    def start(self, rng: np.random.Generator, x: np.ndarray, k: int) -> Values:
        shape = rng.uniform(1.0, 8.0, size=(k, x.shape[1]))
        return {"shape": shape, "rate": shape / x[rng.choice(len(x), size=k, replace=False)]}

    def draw(self, rng: np.random.Generator, values: Values, labels: np.ndarray) -> np.ndarray:
        return rng.gamma(values["shape"][labels]) / values["rate"][labels]

    def log_density(self, values: Values, x: np.ndarray) -> np.ndarray:
        pairs = zip(values["shape"], values["rate"], strict=True)
        return np.array([scipy.stats.gamma(a, scale=1.0 / b).logpdf(x).sum(axis=1) for a, b in pairs])

    def moments(self, values: Values) -> tuple[np.ndarray, np.ndarray]:
        a, b = values["shape"], values["rate"]
        return a / b, np.array([np.diag(row) for row in a / b**2])

    def maximize(self, x: np.ndarray, responsibilities: np.ndarray, numbers: Values | None) -> Values:
        k, d = responsibilities.shape[1], x.shape[1]
        shape, rate = np.zeros((k, d)), np.zeros((k, d))
        for i, shares in enumerate(responsibilities.T):
            for j in range(d):
                sums = sum(shares), sum(shares * x[:, j]), sum(shares * np.log(x[:, j]))
                own = None if numbers is None else {n: np.broadcast_to(v, d)[j] for n, v in numbers.items()}
                shape[i, j], rate[i, j] = _best(*sums, own)
        return {"shape": shape, "rate": rate}

    def log_prior(self, values: Values, numbers: Values) -> float:
        shape = scipy.stats.lognorm(numbers["spread_of_shape"], scale=np.exp(numbers["log_shape"]))
        rate = scipy.stats.lognorm(numbers["spread_of_rate"], scale=np.exp(numbers["log_rate"]))
        return shape.logpdf(values["shape"]).sum() + rate.logpdf(values["rate"]).sum()

    def default_prior(self, x: np.ndarray, k: int) -> Values:
        mean, variance = x.mean(axis=0), x.var(axis=0)
        return {
            "log_shape": np.log(mean**2 / variance),
            "spread_of_shape": 2.0,
            "log_rate": np.log(mean / variance),
            "spread_of_rate": 2.0,
        }

    def other_prior(self, rng: np.random.Generator, numbers: Values) -> Values:
        d = numbers["log_shape"].shape
        return {
            "log_shape": rng.normal(1.0, 0.3, d),
            "spread_of_shape": np.asarray(0.8),
            "log_rate": rng.normal(0.5, 0.3, d),
            "spread_of_rate": np.asarray(1.1),
        }

    def moved(self, values: Values, scale: float, shift: float) -> Values:
        assert shift == 0.0
        return {"shape": values["shape"], "rate": values["rate"] / scale}


def _best(n: float, total: float, logs: float, numbers: Values | None) -> tuple[float, float]:
    """The root of the gradient in ``(log a, log b)``, from the closed approximation of Minka (2002)."""
    s = np.log(total / n) - logs / n
    a = (3 - s + np.sqrt((s - 3) ** 2 + 24 * s)) / (12 * s)
    start = np.log([a, a * n / total])

    def gradient(u: np.ndarray) -> np.ndarray:
        a, b = np.exp(u)
        slope = np.array([a * (n * (u[1] - digamma(a)) + logs), n * a - b * total])
        return slope if numbers is None else slope + _of_prior(u, numbers)

    def jacobian(u: np.ndarray) -> np.ndarray:
        a, b = np.exp(u)
        found: Any = np.array(
            [[a * (n * (u[1] - digamma(a)) + logs) - a * a * n * polygamma(1, a), n * a], [n * a, -b * total]]
        )
        if numbers is not None:
            found -= np.diag([numbers["spread_of_shape"] ** -2.0, numbers["spread_of_rate"] ** -2.0])
        return found

    u = scipy.optimize.root(gradient, start, jac=jacobian, method="lm", tol=1e-12).x
    for _ in range(5):  # to the last digit
        u = u - np.linalg.solve(jacobian(u), gradient(u))
    return tuple(np.exp(u))


def _of_prior(u: np.ndarray, numbers: Values) -> np.ndarray:
    """The slope of the log density of a and b: a density of these, not of their logarithms."""
    of_shape = -(u[0] - numbers["log_shape"]) / numbers["spread_of_shape"] ** 2 - 1.0
    return np.array([of_shape, -(u[1] - numbers["log_rate"]) / numbers["spread_of_rate"] ** 2 - 1.0])
