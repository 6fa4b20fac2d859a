"""Poisson components, features independent; the prior of a rate is a gamma distribution."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import scipy.stats

from tests.contracts.oracles.base import Oracle, Values


@dataclasses.dataclass(frozen=True)
class PoissonOracle(Oracle):
    prior_numbers: ClassVar = {"shape": ("rate", "shape"), "inverse_scale": ("rate", "rate")}

    def random(self, rng: np.random.Generator, k: int, d: int) -> Values:
        return {"rate": rng.gamma(2.0, 3.0, size=(k, d)) + 0.3}

    def start(self, rng: np.random.Generator, x: np.ndarray, k: int) -> Values:
        rows = x[rng.choice(len(x), size=k, replace=False)]
        return {"rate": rows + rng.uniform(0.3, 3.0, rows.shape)}

    def draw(self, rng: np.random.Generator, values: Values, labels: np.ndarray) -> np.ndarray:
        return rng.poisson(values["rate"][labels]).astype(float)

    def log_density(self, values: Values, x: np.ndarray) -> np.ndarray:
        return np.array([scipy.stats.poisson(rate).logpmf(x).sum(axis=1) for rate in values["rate"]])

    def moments(self, values: Values) -> tuple[np.ndarray, np.ndarray]:
        return values["rate"], np.array([np.diag(rate) for rate in values["rate"]])

    def maximize(self, x: np.ndarray, responsibilities: np.ndarray, numbers: Values | None) -> Values:
        rate = np.zeros((responsibilities.shape[1], x.shape[1]))
        for k, shares in enumerate(responsibilities.T):
            for j in range(x.shape[1]):
                events, exposure = sum(shares * x[:, j]), sum(shares)
                if numbers is not None:
                    events, exposure = events + numbers["shape"] - 1.0, exposure + numbers["inverse_scale"][j]
                rate[k, j] = events / exposure
        return {"rate": rate}

    def log_prior(self, values: Values, numbers: Values) -> float:
        return scipy.stats.gamma(numbers["shape"], scale=1 / numbers["inverse_scale"]).logpdf(values["rate"]).sum()

    def default_prior(self, x: np.ndarray, k: int) -> Values:
        return {"shape": 2.0, "inverse_scale": 2.0 / x.mean(axis=0)}  # the prior's mean is the data's

    def other_prior(self, rng: np.random.Generator, numbers: Values) -> Values:
        return {"shape": np.asarray(3.5), "inverse_scale": rng.uniform(0.3, 1.0, numbers["inverse_scale"].shape)}
