"""A bootstrap of EM's estimates: replicates that share one program, beside a loop of scikit-learn's fits.

Both fit the same resampled rows from the same start, the estimate, in turns; the medians are compared. How near each
comes to the replicate's own maximum (found with a tolerance of 1e-10) is told in standard errors, of the worst mean:
scikit-learn is run at the loosest of its tolerances at which it is as near as emjax, and at its default.

    python -m benchmarks.replicates [--replicates 1000] [--loop 50] [--rounds 5]
"""

import argparse
import statistics
import time
import warnings
from typing import Any

import numpy as np
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

import emjax
from emjax.em.refits import refit

TOLERANCES = (1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11)


def cases() -> dict[str, np.ndarray]:
    """The two data sets: Old Faithful with full covariances, and 20,000 rows of two normals."""
    rng = np.random.default_rng(0)
    two = np.concatenate([rng.normal(0.0, 1.0, 12_000), rng.normal(3.0, 1.5, 8_000)])
    return {"faithful, K = 2 full": emjax.datasets.load("faithful").values, "two normals, n = 20,000": two[:, None]}


def by_loop(x: np.ndarray, fit: emjax.Fit, counts: list[np.ndarray], tol: float) -> tuple[float, np.ndarray]:
    """Seconds of a replicate by scikit-learn, and the means it found."""
    start = fit.params
    settings: dict[str, Any] = {"weights_init": start.weights, "means_init": start.mean, "max_iter": 100_000}
    precisions, found, begun = np.linalg.inv(start.covariance), [], time.perf_counter()
    for each in counts:
        model: Any = GaussianMixture(fit.mixture.n_components, tol=tol, precisions_init=precisions, **settings)
        found.append(model.fit(np.repeat(x, each.astype(int), axis=0)).means_)
    return (time.perf_counter() - begun) / len(counts), np.array(found)


def measure(x: np.ndarray, n_replicates: int, n_loop: int, n_rounds: int) -> list[tuple[str, float, float]]:
    """Of each way its name, milliseconds of a replicate, and its distance from the maximum in standard errors."""
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, key=0)
    rng, n = np.random.default_rng(1), len(x)
    counts = [np.bincount(rng.integers(0, n, n), minlength=n).astype(float) for _ in range(n_replicates)]
    loop = counts[:n_loop]
    exact = refit(fit, loop, weights=True, tol=1e-10).params.mean
    spread = exact.std(axis=0)
    tol = 1e-3 / np.sqrt(n)

    def away(means: np.ndarray) -> float:
        return float(np.sqrt((((means - exact) / spread) ** 2).mean(axis=0)).max())

    ours = away(refit(fit, loop, weights=True, tol=tol).params.mean)
    begun = time.perf_counter()
    refit(fit, counts, weights=True, tol=tol)
    cold = time.perf_counter() - begun
    chosen = next((each for each in TOLERANCES if away(by_loop(x, fit, loop, each)[1]) <= ours), TOLERANCES[-1])
    times: dict[str, list[float]] = {}
    for _ in range(n_rounds):
        begun = time.perf_counter()
        refit(fit, counts, weights=True, tol=tol)
        times.setdefault("emjax", []).append((time.perf_counter() - begun) / n_replicates)
        for each in (chosen, 1e-3):
            times.setdefault(f"scikit-learn, tol={each:g}", []).append(by_loop(x, fit, loop, each)[0])
    distances = {
        name: ours if name == "emjax" else away(by_loop(x, fit, loop, float(name.split("=")[1]))[1]) for name in times
    }
    rows = [(name, 1e3 * statistics.median(each), distances[name]) for name, each in times.items()]
    return [*rows, ("emjax, all of them after the first 50", 1e3 * cold / n_replicates, ours)]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--loop", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    # Matrices this small gain nothing from BLAS's threads, and lose much where others use the cores.
    threadpool_limits(1)
    print("| data | | ms a replicate | times emjax | from the maximum, standard errors |\n|---|---|---|---|---|")
    for name, x in cases().items():
        rows = measure(x, chosen.replicates, chosen.loop, chosen.rounds)
        for label, each, distance in rows:
            print(f"| {name} | {label} | {each:.3g} | {each / rows[0][1]:.1f} | {distance:.1e} |")


if __name__ == "__main__":
    main()
