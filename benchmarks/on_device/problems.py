"""Twelve small problems whose results on the device are held against the host's: all families and structures."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from benchmarks.on_device.records import Record

TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
"""Log-likelihoods per row may differ by so much of their size (of 1, where they are smaller).

float64: sums of some thousand rows in another order differ by 1e-13; at an optimum, where it is flat, a fit that stops
an iteration earlier differs by the square of ``tol``. float32: `docs/engine.md` found the estimates within 1e-6 of
float64's where components are as wide as here, and the loop's own values within 1e-6 too; ten times that.
"""

PARAMETERS = {"float64": 1e-5, "float32": 5e-4}
"""Estimates may differ by so much of the largest number of their kind (means, variances, weights).

EM stops within ``tol`` of its limit, on either side: 1e-6 in float64, of which this is ten times; in float32 a hundred
roundings, 1.2e-5 (`emjax.em.fit`), of which it is forty. Between two versions of JAX on a CPU, with optimisations and
without, on one device and on two, the problems below differed by 3e-13 and 1.5e-5 (log-likelihoods by 3e-16 and 2e-9).
"""

_ENDED = ("converged", "max_iter")
"""In other states a fit stopped on its way to where the likelihood has no bound: its numbers depend on rounding."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A mixture, how its data are drawn, and where EM begins: near the truth, at drawn starts, or to collapse."""

    family: str
    d: int
    k: int
    start: str = "given"
    prior: str | None = None

    @property
    def title(self) -> str:
        """In words, as the tables print it."""
        notes = [*(["MAP"] if self.prior else []), *([] if self.start == "given" else [self.start])]
        return ", ".join([f"{self.family} d={self.d} K={self.k}", *notes])


PROBLEMS = (
    Problem("full", 2, 3),
    Problem("poisson", 4, 3),
    Problem("diag", 8, 4),
    Problem("tied", 2, 3),
    Problem("spherical", 8, 4),
    Problem("full", 1, 2, start="drawn starts", prior="default"),
    Problem("diag", 2, 3, start="collapses"),
    Problem("full", 8, 4),
    Problem("tied", 8, 4),
    Problem("spherical", 2, 3),
    Problem("diag", 2, 3, prior="default"),
    Problem("poisson", 1, 2, start="drawn starts"),
)
"""Those that differ most from each other come first: there may be no time for all."""


def fit(problem: Problem, dtype: str, n: int) -> dict[str, Any]:
    """Status, log-likelihood per row and estimates of a fit with default settings."""
    import jax

    import emjax

    x, means = _simulate(problem, n)
    family = emjax.Poisson() if problem.family == "poisson" else emjax.Normal(covariance=problem.family)
    mixture = emjax.Mixture(family, problem.k, prior=problem.prior)
    start = {"n_init": 4} if problem.start == "drawn starts" else {"init": means}
    found = emjax.fit(mixture, x, key=jax.random.key(3), dtype=dtype, **start)
    return {
        "status": found.status.value,
        "n_iter": found.n_iter,
        "log_likelihood": found.log_likelihood / n,
        "parameters": [np.asarray(leaf, float) for leaf in jax.tree.leaves(found.params)],
        "compile_seconds": found.compile_seconds,
        "run_seconds": found.run_seconds,
    }


def compare(device: dict[str, Any], host: dict[str, Any], dtype: str) -> Record:
    """Whether two results agree, by how much they differ, and how much they may."""
    same_status = device["status"] == host["status"]
    judged = same_status and host["status"] in _ENDED
    value = relative(device["log_likelihood"], host["log_likelihood"]) if judged else 0.0
    apart = max(map(_apart, device["parameters"], host["parameters"])) if judged else 0.0
    return {
        # Written so that a NaN does not agree.
        "agrees": same_status and bool(value <= TOLERANCE[dtype] and apart <= PARAMETERS[dtype]),
        "status": device["status"],
        "host_status": host["status"],
        "n_iter": device["n_iter"],
        "host_n_iter": host["n_iter"],
        "log_likelihood": device["log_likelihood"],
        "difference": value,
        "tolerance": TOLERANCE[dtype],
        "parameter_difference": apart,
        "parameter_tolerance": PARAMETERS[dtype],
        "compile_seconds": device["compile_seconds"],
        "run_seconds": device["run_seconds"],
        "host_run_seconds": host["run_seconds"],
    }


def relative(value: float, reference: float) -> float:
    """The difference of two log-likelihoods per row, of the size of the second where that is above 1."""
    return abs(value - reference) / max(abs(reference), 1.0)


def _apart(values: np.ndarray, reference: np.ndarray) -> float:
    return float(np.max(np.abs(values - reference)) / np.max(np.abs(reference)))


def _simulate(problem: Problem, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Data ``(n, d)``, and means ``(K, d)`` a little off the components'."""
    rng = np.random.default_rng([problem.d, problem.k, len(problem.family)])
    labels = rng.choice(problem.k, size=n, p=rng.dirichlet(np.full(problem.k, 10.0)))
    if problem.family == "poisson":
        rates = 2.0 * np.exp(rng.uniform(0.0, 2.5, size=(problem.k, problem.d)))
        return rng.poisson(rates[labels]).astype(float), 1.1 * rates
    # Four standard deviations apart on the first axis: the optimum near the truth is then the only one near the start.
    means = rng.normal(size=(problem.k, problem.d))
    means[:, 0] = 4.0 * np.arange(problem.k)
    scales = rng.uniform(0.7, 1.3, size=(problem.k, problem.d))
    x = means[labels] + scales[labels] * rng.normal(size=(n, problem.d))
    if problem.start == "collapses":
        x[: n // 50] = 30.0
        means[-1] = 30.0
    return x, means + 0.2
