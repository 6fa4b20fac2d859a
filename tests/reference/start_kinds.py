"""How often each kind of start reaches the best regular optimum: the tables of docs/starts.md.

Run from the root of the repository: ``python tests/reference/start_kinds.py [n_starts] [n_keys]``. The first table
counts starts of each kind that end in the optimum, the second counts keys of a fit with default settings, with the
seconds of one fit once it is compiled.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np

import emjax
from emjax.catalogue import STARTS_OF_DATA

REFERENCE = Path(__file__).parent
PUBLISHED = json.loads((REFERENCE / "published.json").read_text(encoding="utf-8"))
SLACK = 2e-4  # published values have four decimals

Case = tuple[emjax.Mixture, np.ndarray, float | None]


def normal(covariance: str, n_components: int) -> emjax.Mixture:
    return emjax.Mixture(emjax.Normal(covariance=covariance), n_components)


def sticks(rng: np.random.Generator) -> np.ndarray:
    """Five long thin clusters, each in its own direction."""
    clusters = []
    for _ in range(5):
        angle = rng.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        clusters.append((rng.normal(size=(120, 2)) * [2.0, 0.2]) @ turn.T + rng.uniform(-4, 4, 2))
    return np.concatenate(clusters)


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Four long thin clusters side by side."""
    turn = np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)
    return np.concatenate(
        [
            (rng.normal(size=(150, 2)) * [3.0, 0.15]) @ turn + np.array([-1.0, 1.0]) * place
            for place in (-1.5, -0.5, 0.5, 1.5)
        ]
    )


def cases() -> dict[str, Case]:
    """Name to mixture, data, and the published log-likelihood where there is one."""
    faithful, galaxies, acidity, deaths, iris = (
        np.asarray(emjax.datasets.load(name)) for name in ("faithful", "galaxies", "acidity", "deaths", "iris")
    )
    two = np.loadtxt(REFERENCE / "posteriordb" / "low_dim_gauss_mix.csv", skiprows=1)[:, None]
    published = {
        (data, name): case["log_likelihood"]
        for data in ("faithful", "galaxies", "acidity")
        for name, case in PUBLISHED[data].items()
        if isinstance(case, dict)
    }
    rng = np.random.default_rng(5)
    return {
        "faithful, full, K=2": (normal("full", 2), faithful, published["faithful", "full_2"]),
        "faithful, tied, K=3": (normal("tied", 3), faithful, published["faithful", "tied_3"]),
        "galaxies, K=3": (normal("full", 3), galaxies, published["galaxies", "unequal_3"]),
        "galaxies, K=4": (normal("full", 4), galaxies, published["galaxies", "unequal_4"]),
        "galaxies, K=5": (normal("full", 5), galaxies, published["galaxies", "unequal_5"]),
        "acidity, tied, K=2": (normal("tied", 2), acidity, published["acidity", "equal_2"]),
        "acidity, full, K=3": (normal("full", 3), acidity, None),
        "deaths, Poisson, K=2": (emjax.Mixture(emjax.Poisson(), 2), deaths, PUBLISHED["deaths"]["log_likelihood"]),
        "low_dim_gauss_mix, K=2": (normal("full", 2), two, None),
        "iris, full, K=3": (normal("full", 3), iris, None),
        "iris, tied, K=4": (normal("tied", 4), iris, None),
        "iris, diag, K=4": (normal("diag", 4), iris, None),
        "stripes, full, K=4": (normal("full", 4), stripes(rng), None),
        "sticks, full, K=5": (normal("full", 5), sticks(rng), None),
    }


def regular(fit: emjax.Fit) -> list[emjax.Optimum]:
    return [o for o in fit.optima if not o.spurious and o.status in (emjax.Status.CONVERGED, emjax.Status.MAX_ITER)]


def main(n_starts: int, n_keys: int) -> None:
    kinds = [kind for kind in STARTS_OF_DATA if kind != "mixed"]
    print("| case | log-likelihood |", " | ".join(f"`{kind}`" for kind in kinds), "| default, keys | seconds |")
    print("|---|---|" + "---|" * (len(kinds) + 2))
    for name, (mixture, x, published) in cases().items():
        fits = {kind: emjax.fit(mixture, x, key=jax.random.key(7), n_init=n_starts, starts=kind) for kind in kinds}
        defaults = [emjax.fit(mixture, x, key=jax.random.key(seed)) for seed in range(n_keys)]
        best = max(optimum.log_likelihood for fit in (*fits.values(), *defaults) for optimum in regular(fit))
        best = best if published is None else published
        shares = [
            sum(o.count for o in regular(fit) if o.log_likelihood >= best - SLACK) / n_starts for fit in fits.values()
        ]
        reached = sum(fit.log_likelihood >= best - SLACK and not fit.optima[0].spurious for fit in defaults)
        seconds = np.median([fit.run_seconds for fit in defaults])
        cells = " | ".join(f"{100 * share:.0f}%" for share in shares)
        print(f"| {name} | {best:.4f} | {cells} | {reached} of {n_keys} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in (*sys.argv[1:], *("100", "20")[len(sys.argv) - 1 :])))
