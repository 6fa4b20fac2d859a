"""What is fitted: mixtures simulated from fixed seeds, and the start that every package is given.

The means are normal draws, scaled so that two of them are `Workload.distance` component standard deviations apart (root
mean square over pairs), which makes components overlap in any dimension; ``layout="line"`` puts them on the first axis,
each that far from the next. Covariances differ between components, but for a line, where they are the unit matrix;
weights are Dirichlet(5) draws, or equal on a line.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np


@dataclasses.dataclass(frozen=True)
class Params:
    """A normal mixture: weights ``(K,)``, means ``(K, d)``, covariances ``(K, d, d)``, or variances ``(K, d)``."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @property
    def diagonal(self) -> bool:
        """Whether ``covariances`` holds variances."""
        return self.covariances.ndim == 2

    @property
    def matrices(self) -> np.ndarray:
        """Covariance matrices ``(K, d, d)`` in either case."""
        return self.covariances[:, :, None] * np.eye(self.means.shape[1]) if self.diagonal else self.covariances


@dataclasses.dataclass(frozen=True)
class Workload:
    """One problem: its shape, how it is simulated, and how many EM iterations are timed."""

    name: str
    n: int
    d: int
    k: int
    covariance: Literal["full", "diag"] = "full"
    iterations: int = 20
    distance: float = 3.0
    layout: Literal["cloud", "line"] = "cloud"
    seed: int = 20

    @property
    def title(self) -> str:
        """Its shape in words, as the tables print it."""
        return f"{self.name}: n={_short(self.n)} d={self.d} K={self.k} {self.covariance}"

    def smaller(self, n: int = 2000, iterations: int = 3) -> Workload:
        """The same problem with few rows (yet enough for its parameters) and iterations, to see whether all works."""
        return dataclasses.replace(
            self, n=min(max(n, 4 * self.k * self.d), self.n), iterations=min(iterations, self.iterations)
        )


WORKLOADS = (
    Workload("W1", 20_000, 1, 2, iterations=100),
    Workload("W2", 100_000, 2, 3, iterations=30),
    Workload("W3", 100_000, 16, 16, iterations=8),
    Workload("W3", 100_000, 16, 16, "diag", iterations=20),
    Workload("W4", 1_000_000, 8, 32, "diag", iterations=4),
    Workload("W5", 10_000, 64, 32, iterations=8),
)
"""Equal numbers of iterations for every package, but where a slow one gets fewer (and the table says so)."""

RESTARTS = Workload("W6", 5_000, 2, 5, iterations=50, distance=5.0, seed=21)
"""Fitted from 32 starts."""


def simulate(workload: Workload) -> tuple[np.ndarray, Params]:
    """The data ``(n, d)``, float64, and the parameters that they were drawn from (which do not depend on ``n``)."""
    rng = np.random.default_rng([workload.seed, workload.d, workload.k, workload.covariance == "diag"])
    truth = _line(workload) if workload.layout == "line" else _cloud(workload, rng)
    labels = rng.choice(workload.k, size=workload.n, p=truth.weights)
    x = rng.normal(size=(workload.n, workload.d))
    for component, mean in enumerate(truth.means):
        rows = np.flatnonzero(labels == component)
        if truth.diagonal:
            x[rows] = mean + x[rows] * np.sqrt(truth.covariances[component])
        else:
            x[rows] = mean + x[rows] @ np.linalg.cholesky(truth.covariances[component]).T
    return x, truth


def common_start(workload: Workload, truth: Params) -> Params:
    """The start of all packages: each mean half a standard deviation away, one covariance for all, equal weights.

    With the average covariance of the simulation in place of each component's own, every parameter has a way to go,
    and rounding is not amplified as it would be from a start far away, so that equal iterations can be checked for
    equal log-likelihoods.
    """
    rng = np.random.default_rng([workload.seed, 1])
    average = truth.covariances.mean(axis=0)
    scale = np.sqrt(average if truth.diagonal else np.diagonal(average))
    directions = rng.normal(size=truth.means.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return Params(
        weights=np.full(workload.k, 1.0 / workload.k),
        means=truth.means + 0.5 * scale * directions,
        covariances=np.repeat(average[None], workload.k, axis=0),
    )


def _cloud(workload: Workload, rng: np.random.Generator) -> Params:
    k, d = workload.k, workload.d
    means = rng.normal(size=(k, d))
    gaps = np.linalg.norm(means[:, None] - means[None], axis=-1)[np.triu_indices(k, 1)]
    means *= workload.distance / np.sqrt(np.mean(gaps**2))
    if workload.covariance == "diag":
        covariances = rng.uniform(0.5, 1.5, size=(k, d))
    else:
        roots = np.eye(d) + 0.4 * rng.normal(size=(k, d, d)) / np.sqrt(d)
        covariances = rng.uniform(0.7, 1.3, size=(k, 1, 1)) * (roots @ roots.transpose(0, 2, 1))
    return Params(weights=rng.dirichlet(np.full(k, 5.0)), means=means, covariances=covariances)


def _line(workload: Workload) -> Params:
    k, d = workload.k, workload.d
    means = np.zeros((k, d))
    means[:, 0] = workload.distance * np.arange(k)
    unit = np.ones(d) if workload.covariance == "diag" else np.eye(d)
    return Params(weights=np.full(k, 1.0 / k), means=means, covariances=np.repeat(unit[None], k, axis=0))


def _short(n: int) -> str:
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if n >= size and n % size == 0:
            return f"{n // size}{letter}"
    return str(n)
