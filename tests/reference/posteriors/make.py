"""Make the reference posteriors of this folder in NumPy and SciPy; README.md says how to read them.

Run from anywhere: ``python tests/reference/posteriors/make.py [case ...]``; a case takes a minute to five of one core.
Nothing of emjax is used: the data are read from its CSV files, and the default prior is written down here once more.

Three algorithms meet in every file:

1. The pilot: tempered data augmentation. Labels z and parameters theta are drawn in turn (Diebolt and Robert, JRSS B
   56, 1994) on a ladder of rungs with the densities

       p(theta) prod_n w_{z_n}^g N(x_n | mu_{z_n}, Sigma_{z_n})^b,

   so that parameters given labels are still normal-inverse-Wishart and Dirichlet, and labels given parameters are still
   independent. Neighbouring rungs exchange labels by Metropolis with the parameters integrated out, even and odd
   pairs in turn (Syed et al., JRSS B 84, 2022). The rung b = g = 1 is the posterior.
2. The reference: the same with jumps. In the first rung an independence Metropolis step, with labels summed out,
   proposes from a mixture of conjugate posteriors given some hundred labellings that the pilot visited, symmetrised
   over permutations of labels.
3. Importance sampling from that mixture (Lee and Robert, Bayesian Analysis 11, 2016), which also gives the evidence.
"""

from __future__ import annotations

import datetime
import json
import platform
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
from posterior_algorithms import KERNELS, Proposal, ascend, build_proposal, importance, run, starting_statistics
from posterior_cases import CASES, HERE, SEED, Case, simulate_overlapping
from posterior_model import Model, anchor_rows, build_model
from scipy.special import logsumexp

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def summarize(draws: np.ndarray) -> dict[str, Any]:
    """Mean and quantiles with Monte Carlo standard errors, and the diagnostics, of draws ``(chain, draw)``."""
    from arviz_stats.base import array_stats

    quantiles = {
        f"{prob:g}": [np.quantile(draws, prob), array_stats.mcse(draws, method="quantile", prob=prob)]
        for prob in QUANTILES
    }
    return {
        "mean": [draws.mean(), array_stats.mcse(draws, method="mean")],
        "sd": [draws.std(ddof=1), array_stats.mcse(draws, method="sd")],
        "quantiles": quantiles,
        "ess_bulk": array_stats.ess(draws, method="bulk"),
        "ess_tail": array_stats.ess(draws, method="tail", prob=(QUANTILES[0], QUANTILES[-1])),
        "rhat": array_stats.rhat(draws, method="rank"),
    }


def distances(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """Differences of means and quantiles in units of both standard errors, by the name of quantity and statistic."""
    found = {}
    for name in one.keys() & other.keys():
        pairs = {"mean": (one[name]["mean"], other[name]["mean"])}
        pairs |= {key: (value, other[name]["quantiles"][key]) for key, value in one[name]["quantiles"].items()}
        for key, ((first, error), (second, its_error)) in pairs.items():
            found[f"{name} {key}"] = abs(first - second) / float(np.hypot(error, its_error))
    return found


def farthest(found: dict[str, float]) -> list[Any]:
    """The largest distance and what it is of."""
    name = max(found, key=lambda one: found[one])
    return [found[name], name]


def weighted_distances(
    summaries: dict[str, Any], draws: dict[str, np.ndarray], quantities: dict[str, np.ndarray], log_weights: np.ndarray
) -> dict[str, float]:
    """How far the weighted shares below each quantile are from its probability, in units of both standard errors."""
    from arviz_stats.base import array_stats

    weights = np.exp(log_weights - logsumexp(log_weights))
    found = {}
    for name, summary in summaries.items():
        for prob in QUANTILES:
            below = (quantities[name] <= summary["quantiles"][f"{prob:g}"][0]) - prob
            size = array_stats.ess(draws[name], method="quantile", prob=prob)
            error = np.sqrt((weights**2 * below**2).sum() + prob * (1 - prob) / size)
            found[f"{name} {prob:g}"] = float(abs((weights * below).sum()) / error)
    return found


def settings(case: Case, model: Model) -> dict[str, Any]:
    """Everything that the numbers depend on."""
    rows = anchor_rows(model.x)
    return {
        "data": f"{case.file.name}, columns {list(case.columns)}",
        "n_samples": len(model.x),
        "n_components": case.n_components,
        "prior": {
            "concentration": [1.0] * case.n_components,
            "mean": model.shift.tolist(),
            "precision": model.precision,
            "degrees_of_freedom": model.degrees,
            "scatter": model.scatter.tolist(),
        },
        "anchors": {"rows": rows.tolist(), "values": (model.x[rows] + model.shift).tolist()},
        "chains": case.chains,
        "warmup": case.warmup,
        "draws": case.sweeps,
        "labellings": case.labellings,
        "kernels": [list(kernel) for kernel in KERNELS],
        "ladder": case.rungs.T.tolist(),
        "pilot_draws": case.pilot,
        "importance_draws": case.importance_draws,
        "seed": SEED,
        "date": datetime.date.today().isoformat(),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("numpy", "scipy", "arviz-stats")},
        },
    }


def find_modes(model: Model, statistics: np.ndarray) -> dict[str, Any]:
    """Modes reached by EM from 300 of the posterior's labellings and from 300 starts, with the share of each."""
    rng = np.random.default_rng(SEED + 4)
    pool = statistics.reshape(-1, *statistics.shape[2:])
    from_draws = ascend(model, pool[rng.choice(len(pool), size=300, replace=False)])
    from_starts = ascend(model, starting_statistics(rng, model, 300))
    return {
        "n_from_draws": len(from_draws),
        "n_from_starts": len(from_starts),
        "from_draws": [mode for mode in from_draws if mode["share"] > 0.015],
        "from_starts": [mode for mode in from_starts if mode["share"] > 0.015],
    }


def check(case: Case, model: Model, proposal: Proposal, draws: dict[str, np.ndarray], summaries: Any) -> dict[str, Any]:
    """Importance sampling against the reference, and the evidence."""
    quantities, log_weights = importance(model, case, proposal, SEED + 3)
    weights = np.exp(log_weights - logsumexp(log_weights))
    effective = 1.0 / (weights**2).sum()
    evidence = logsumexp(log_weights) - np.log(len(log_weights))
    return {
        "log_evidence": [evidence, np.sqrt(1.0 / effective - 1.0 / len(log_weights))],
        "ess": effective,
        "largest_weight": weights.max(),
        "farthest": farthest(weighted_distances(summaries, draws, quantities, log_weights)),
    }


def make(case: Case) -> dict[str, Any]:
    """The reference posterior of one case."""
    model = build_model(case.data(), case.n_components)
    pilot = run(model, case, case.pilot, SEED)
    proposal = build_proposal(np.random.default_rng(SEED + 1), model, pilot.statistics, case.labellings)
    final = run(model, case, case.sweeps, SEED + 2, proposal)
    draws = final.quantities
    summaries = {name: summarize(values) for name, values in draws.items()}
    first = {name: summarize(values) for name, values in pilot.quantities.items()}
    return {
        "case": case.name,
        "quantities": summaries,
        "checks": {
            "jumps_accepted": final.jumps_accepted,
            "pilot": {
                "exchange_rates": pilot.exchange_rates.tolist(),
                "largest_rhat": max(one["rhat"] for one in first.values()),
                "smallest_ess": min(min(one["ess_bulk"], one["ess_tail"]) for one in first.values()),
                "farthest": farthest(distances(summaries, first)),
            },
            "importance": check(case, model, proposal, draws, summaries),
        },
        "modes": find_modes(model, pilot.statistics),
        "settings": settings(case, model),
    }


def main(names: list[str]) -> None:
    """Write the data of the simulated case and the files of all named cases (of all by default)."""
    overlapping = CASES["overlapping"].file
    np.savetxt(overlapping, simulate_overlapping(), header="x", comments="", fmt="%.17g")
    for name in names or CASES:
        text = json.dumps(make(CASES[name]), indent=1, default=float)
        (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
