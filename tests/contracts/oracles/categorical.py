"""Bernoulli and categorical components, features independent; beta and Dirichlet priors of their probabilities."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import scipy.stats

from tests.contracts.oracles.base import Oracle, Values


@dataclasses.dataclass(frozen=True)
class BernoulliOracle(Oracle):
    prior_numbers: ClassVar = {"ones": ("probability", "ones"), "zeros": ("probability", "zeros")}

    def random(self, rng: np.random.Generator, k: int, d: int) -> Values:
        # Components are apart in every feature, so that their estimates lie inside.
        apart = np.where((np.arange(k)[:, None] + rng.integers(0, 2, d)) % 2 == 0, 0.2, 0.8)
        return {"probability": apart + rng.uniform(-0.1, 0.1, size=(k, d))}

    def start(self, rng: np.random.Generator, x: np.ndarray, k: int) -> Values:
        return {"probability": rng.uniform(0.1, 0.9, size=(k, x.shape[1]))}

    def draw(self, rng: np.random.Generator, values: Values, labels: np.ndarray) -> np.ndarray:
        return rng.binomial(1, values["probability"][labels]).astype(float)

    def log_density(self, values: Values, x: np.ndarray) -> np.ndarray:
        return np.array([scipy.stats.bernoulli(p).logpmf(x).sum(axis=1) for p in values["probability"]])

    def moments(self, values: Values) -> tuple[np.ndarray, np.ndarray]:
        return values["probability"], np.array([np.diag(p * (1 - p)) for p in values["probability"]])

    def maximize(self, x: np.ndarray, responsibilities: np.ndarray, numbers: Values | None) -> Values:
        probability = np.zeros((responsibilities.shape[1], x.shape[1]))
        for k, shares in enumerate(responsibilities.T):
            for j in range(x.shape[1]):
                ones, zeros = sum(shares * x[:, j]), sum(shares * (1.0 - x[:, j]))
                if numbers is not None:
                    ones, zeros = ones + numbers["ones"][j] - 1.0, zeros + numbers["zeros"][j] - 1.0
                probability[k, j] = ones / (ones + zeros)
        return {"probability": probability}

    def log_prior(self, values: Values, numbers: Values) -> float:
        return scipy.stats.beta(numbers["ones"], numbers["zeros"]).logpdf(values["probability"]).sum()

    def default_prior(self, x: np.ndarray, k: int) -> Values:
        share = (x.sum(axis=0) + 1.0) / (len(x) + 2.0)
        return {"ones": 1.0 + share / k, "zeros": 1.0 + (1.0 - share) / k}

    def other_prior(self, rng: np.random.Generator, numbers: Values) -> Values:
        d = numbers["ones"].shape
        return {"ones": rng.uniform(1.5, 4.0, d), "zeros": rng.uniform(1.5, 4.0, d)}


@dataclasses.dataclass(frozen=True)
class CategoricalOracle(Oracle):
    """``values["probability"]`` is ``(K, d, most)``, with zeros beyond the levels of a feature."""

    sizes: tuple[int, ...]
    prior_numbers: ClassVar = {"concentrations": ("probability", "concentration")}

    def _padded(self, rows: list[Any]) -> np.ndarray:
        most = max(self.sizes)
        return np.array([np.pad(row, (0, most - len(row))) for row in rows])

    def random(self, rng: np.random.Generator, k: int, d: int) -> Values:
        return {
            "probability": np.array([self._padded([rng.dirichlet(np.ones(n)) for n in self.sizes]) for _ in range(k)])
        }

    def start(self, rng: np.random.Generator, x: np.ndarray, k: int) -> Values:
        return self.random(rng, k, x.shape[1])

    def draw(self, rng: np.random.Generator, values: Values, labels: np.ndarray) -> np.ndarray:
        rows = [[rng.choice(len(p), p=p) for p in values["probability"][k]] for k in labels]
        # Whatever is drawn, every level occurs, so that the number of parameters is known.
        for j, size in enumerate(self.sizes):
            for level in range(size):
                rows[level][j] = level
        return np.array(rows, dtype=float)

    def log_density(self, values: Values, x: np.ndarray) -> np.ndarray:
        found = np.zeros((len(values["probability"]), len(x)))
        for k, rows in enumerate(np.asarray(values["probability"])):
            for j, size in enumerate(self.sizes):
                cells = np.eye(size)[x[:, j].astype(int)]
                found[k] += scipy.stats.multinomial(1, rows[j, :size] / rows[j, :size].sum()).logpmf(cells)
        return found

    def moments(self, values: Values) -> tuple[np.ndarray, np.ndarray]:
        levels = np.arange(max(self.sizes))
        mean = (values["probability"] * levels).sum(axis=-1)
        variance = (values["probability"] * levels**2).sum(axis=-1) - mean**2
        return mean, np.array([np.diag(row) for row in variance])

    def maximize(self, x: np.ndarray, responsibilities: np.ndarray, numbers: Values | None) -> Values:
        found = []
        for shares in responsibilities.T:
            rows = []
            for j, size in enumerate(self.sizes):
                counts = np.array([sum(shares[x[:, j] == level]) for level in range(size)])
                if numbers is not None:
                    counts = counts + numbers["concentrations"][j, :size] - 1.0
                rows.append(counts / counts.sum())
            found.append(self._padded(rows))
        return {"probability": np.array(found)}

    def log_prior(self, values: Values, numbers: Values) -> float:
        return sum(
            scipy.stats.dirichlet(numbers["concentrations"][j, :size]).logpdf(rows[j, :size] / rows[j, :size].sum())
            for rows in np.asarray(values["probability"])
            for j, size in enumerate(self.sizes)
        )

    def default_prior(self, x: np.ndarray, k: int) -> Values:
        counts = [np.bincount(x[:, j].astype(int), minlength=size) + 1.0 for j, size in enumerate(self.sizes)]
        return {"concentrations": self._padded([1.0 + own / own.sum() / k for own in counts])}

    def other_prior(self, rng: np.random.Generator, numbers: Values) -> Values:
        return {"concentrations": self._padded([rng.uniform(1.5, 4.0, size) for size in self.sizes])}

    def free(self, values: Values, d: int) -> list[Any]:
        return [values["probability"][:, j, : size - 1] for j, size in enumerate(self.sizes)]
