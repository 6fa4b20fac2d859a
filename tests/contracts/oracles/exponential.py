"""Exponential components, features independent; the prior of a rate is a gamma distribution."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import scipy.stats

from tests.contracts.oracles.base import Oracle, Values


@dataclasses.dataclass(frozen=True)
class ExponentialOracle(Oracle):
    prior_numbers: ClassVar = {"shape": ("rate", "shape"), "inverse_scale": ("rate", "rate")}
    has_units = True
    has_origin = True

    def stands_for_another(self, d: int) -> bool:
        """Features are independent, so that the row of two is two of one."""
        return d == 1

    def random(self, rng: np.random.Generator, k: int, d: int) -> Values:
        return {"rate": np.exp(rng.normal(-2.0, 1.5, size=(k, d)))}

    def start(self, rng: np.random.Generator, x: np.ndarray, k: int) -> Values:
        rate = rng.uniform(4.0, 8.0, size=(k, x.shape[1])) / x.mean(axis=0)
        return {"rate": rate * np.linspace(1.0, 3.0, k)[:, None]}

    def draw(self, rng: np.random.Generator, values: Values, labels: np.ndarray) -> np.ndarray:
        return rng.exponential(1.0 / values["rate"][labels])

    def log_density(self, values: Values, x: np.ndarray) -> np.ndarray:
        return np.array([scipy.stats.expon(scale=1.0 / rate).logpdf(x).sum(axis=1) for rate in values["rate"]])

    def moments(self, values: Values) -> tuple[np.ndarray, np.ndarray]:
        return 1.0 / values["rate"], np.array([np.diag(1.0 / rate**2) for rate in values["rate"]])

    def maximize(self, x: np.ndarray, responsibilities: np.ndarray, numbers: Values | None) -> Values:
        rate = np.zeros((responsibilities.shape[1], x.shape[1]))
        for k, shares in enumerate(responsibilities.T):
            for j in range(x.shape[1]):
                events, time = sum(shares), sum(shares * x[:, j])
                if numbers is not None:
                    events, time = events + numbers["shape"] - 1.0, time + numbers["inverse_scale"][j]
                rate[k, j] = events / time
        return {"rate": rate}

    def log_prior(self, values: Values, numbers: Values) -> float:
        return scipy.stats.gamma(numbers["shape"], scale=1 / numbers["inverse_scale"]).logpdf(values["rate"]).sum()

    def default_prior(self, x: np.ndarray, k: int) -> Values:
        return {"shape": 2.0, "inverse_scale": 2.0 * x.mean(axis=0)}  # worth two waiting times of the data's mean

    def other_prior(self, rng: np.random.Generator, numbers: Values) -> Values:
        return {"shape": np.asarray(3.5), "inverse_scale": rng.uniform(0.3, 1.0, numbers["inverse_scale"].shape)}

    def moved(self, values: Values, scale: float, shift: float) -> Values:
        assert shift == 0.0
        return {"rate": values["rate"] / scale}
