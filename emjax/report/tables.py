"""The tables of a report, as texts: parameters, diagnostics, optima, invariants, cost, provenance."""

from __future__ import annotations

import dataclasses
import math
import platform
from collections.abc import Mapping
from typing import Any

from emjax.catalogue import SAMPLERS
from emjax.comparison import Comparison, ParameterRow
from emjax.environment import fingerprint, machine, versions
from emjax.report.evidence import thresholds_of
from emjax.result import Fit
from emjax.wording import (
    MISSING,
    count,
    decimals_for,
    fixed,
    interval,
    listed,
    number,
    percent,
    seconds,
)

MOST_ROWS = 1000
"""Of more parameters than this the first are listed."""


def parameter_table(comparison: Comparison) -> dict[str, Any]:
    """Every number of the mixture by both sides; as many decimals as its uncertainty gives sense to."""
    rows = [_parameter(row) for row in comparison.rows[:MOST_ROWS]]
    return {"rows": rows, "n_rows": len(comparison.rows), "level": f"{comparison.level:.0%}"}


def _parameter(row: ParameterRow) -> dict[str, str]:
    decimals = decimals_for(row.sd) if row.sd > 0 else decimals_for(row.se)
    return {
        "name": row.name,
        "em": fixed(row.em, decimals),
        "se": number(row.se, 2),
        "em_interval": interval(row.em_lower, row.em_upper, decimals),
        "map": fixed(row.map, decimals),
        "mean": fixed(row.mean, decimals),
        "sd": number(row.sd, 2),
        "interval": interval(row.lower, row.upper, decimals),
        "difference": number(row.difference_in_sd, 2),
        "ratio": number(row.width_ratio, 3),
        "mass": percent(row.mass_in_em_interval),
    }


@dataclasses.dataclass(frozen=True)
class Check:
    """One line of the diagnostics: what, its value, what is asked, and whether it is met (None: not judged)."""

    what: str
    value: str
    where: str
    asked: str
    passed: bool | None


def diagnostic_checks(comparison: Comparison) -> list[Check]:
    """The sampler's and the alignment's diagnostics against what is asked of them."""
    found = comparison.posterior.diagnostics
    limits = found.thresholds
    bfmi = min(found.bfmi, key=lambda value: (not math.isnan(value), value), default=math.nan)
    trust = comparison.posterior.alignment.trust
    needed = thresholds_of(comparison).trust
    divergent = f"{found.n_divergent:,} ({percent(found.divergent_share, 2)})"
    few = found.divergent_share <= limits.max_divergent_share if found.divergences_judged else None
    rhat, bulk, tail = found.max_rhat, found.min_ess_bulk, found.min_ess_tail
    ess, energy, asked = limits.min_ess, limits.min_bfmi, f"≤ {limits.max_divergent_share:.0%}"
    return [
        Check("Largest R-hat", number(rhat), found.max_rhat_name, f"≤ {limits.max_rhat:g}", rhat <= limits.max_rhat),
        Check("Smallest bulk ESS", _whole(bulk), found.min_ess_bulk_name, f"≥ {ess:g}", bulk >= ess),
        Check("Smallest tail ESS", _whole(tail), found.min_ess_tail_name, f"≥ {ess:g}", tail >= ess),
        Check(
            "Smallest ESS of an sd",
            _whole(found.min_ess_sd),
            found.min_ess_sd_name,
            f"≥ {ess:g}",
            found.min_ess_sd >= ess,
        ),
        Check(
            "Divergent transitions",
            divergent,
            "" if found.divergences_judged else "not judged: chains jump",
            asked,
            few,
        ),
        Check("Smallest E-BFMI", number(bfmi, 3), "", f"≥ {energy:g}", bfmi >= energy if found.bfmi else None),
        Check("Alignment trust", f"{trust:.2f}", "", f"≥ {needed:g}", trust >= needed),
    ]


def _whole(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else MISSING


def quantity_table(comparison: Comparison) -> dict[str, Any]:
    """R-hat and effective sample sizes of every quantity."""
    quantities = comparison.posterior.diagnostics.quantities
    rows = [
        {
            "name": row.name,
            "rhat": number(row.rhat),
            "bulk": _whole(row.ess_bulk),
            "tail": _whole(row.ess_tail),
            "mcse": number(row.mcse_mean, 2),
        }
        for row in quantities[:MOST_ROWS]
    ]
    return {"rows": rows, "n_rows": len(quantities)}


def optima_table(fit: Fit) -> list[dict[str, str]]:
    """The distinct end points of EM's starts, the best first."""
    return [
        {
            "log_likelihood": f"{number(optimum.log_likelihood, 7)}",
            "below": number(fit.objective - optimum.objective, 3),
            "starts": f"{optimum.count:,}",
            "status": optimum.status.value,
            "flag": "spurious" if optimum.spurious else "",
            "sizes": " / ".join(number(size, 3) for size in optimum.effective_counts),
        }
        for optimum in fit.optima
    ]


@dataclasses.dataclass(frozen=True)
class Invariant:
    """A quantity that labels do not touch: its value, and what it means."""

    name: str
    value: str
    meaning: str


def invariant_list(comparison: Comparison) -> list[Invariant]:
    """The label-invariant quantities, each with a sentence of what it asks."""
    found = comparison.invariants
    distance, pairs, score, loo = (found[key] for key in ("total_variation", "co_clustering", "log_score", "elpd_loo"))
    ahead, largest = number(score["difference"], 2), percent(pairs["largest_difference"])
    return [
        Invariant(
            "Total variation",
            f"{percent(distance['value'])} ± {percent(distance['standard_error'], 2)}",
            "The most by which EM's density and the posterior predictive can differ in the probability of anything: "
            "0 if they are equal, 100% if they do not overlap.",
        ),
        Invariant(
            "Co-clustering difference",
            percent(pairs["mean_difference"]),
            "How much the chance that two observations share a component changes when it is averaged over the "
            f"posterior; mean over all pairs of {count(pairs['n_rows'], 'observation')}, at most {largest}.",
        ),
        Invariant(
            "Log score",
            f"{number(score['em'])} against {number(score['posterior_predictive'])}",
            "Mean log density of the data in nats, by EM and by the posterior predictive; the higher the better. "
            f"The difference is that of {count(score['n_rows'], 'observation')}: EM less posterior is {ahead}; on the "
            "data it was fitted to, EM has an advantage.",
        ),
        *([] if loo is None else [_left_out(loo)]),
        Invariant(
            "BIC",
            f"{number(found['bic'], 6)} (−BIC/2 = {number(-found['bic'] / 2, 6)})",
            "EM's criterion for the number of components, the lower the better. Compare models by BIC or by LOO, "
            "each with its own kind: −BIC/2 approximates the evidence, LOO the prediction.",
        ),
    ]


def _left_out(loo: Mapping[str, Any]) -> Invariant:
    return Invariant(
        "PSIS-LOO",
        f"{number(loo['value'], 6)} ± {number(loo['standard_error'], 3)}",
        f"Expected log density of new data, estimated by leaving out each observation (elpd){_sampled(loo)}, with "
        f"{number(loo['effective_parameters'], 3)} effective parameters. {_reliability(loo)}",
    )


def _sampled(loo: Mapping[str, Any]) -> str:
    """How many observations were left out for it where they were not all."""
    if loo["n_rows"] is None:
        return ""
    error = number(loo["subsampling_error"], 2)
    return f" of {loo['n_rows']:,} of them, drawn at random, which alone makes for a standard error of {error}"


def _reliability(loo: Mapping[str, Any]) -> str:
    high = loo["n_pareto_k_high"]
    if high == 0:
        return "All its Pareto shapes are low, so the estimate is reliable."
    largest = number(loo["largest_pareto_k"], 3)
    return f"For {count(high, 'observation')} the Pareto shape is high (at most {largest}): a rough estimate there."


def cost_bars(comparison: Comparison) -> list[dict[str, Any]]:
    """Compile and run seconds of both sides, and their shares of the longer one."""
    method = SAMPLERS[comparison.posterior.method].in_tables
    sides = [
        ("EM", "em", comparison.cost["em"]),
        (f"MCMC ({method})" if method else "MCMC", "mcmc", comparison.cost["mcmc"]),
    ]
    longest = max([side["total_seconds"] for *_, side in sides] + [1e-9])
    return [
        {
            "name": name,
            "kind": kind,
            "compile": seconds(side["compile_seconds"]),
            "run": seconds(side["run_seconds"]),
            "total": seconds(side["total_seconds"]),
            "compile_share": round(100 * side["compile_seconds"] / longest, 2),
            "run_share": round(100 * side["run_seconds"] / longest, 2),
            "per_second": number(side["effective_draws_per_second"], 3) if side["effective_draws_per_second"] else "",
        }
        for name, kind, side in sides
    ]


def provenance_rows(fit: Fit, provenance: Mapping[str, Any] | None, command: str | None) -> list[tuple[str, str]]:
    """What the run rests on. Without ``provenance``: versions, platform and a fingerprint of the data."""
    given = dict(provenance or {})
    if not given:
        given = {
            "versions": versions(),
            "machine": {**machine(), "cpus": None, "release": None, "system": platform.system()},
            "data": {
                "n_samples": fit.n_samples,
                "feature_names": list(fit.feature_names),
                **fit.samples.roles,
                "sha256": fingerprint(fit.data, fit.samples.weights, fit.samples.labels),
            },
        }
    command = command or _command(given.pop("command", None))
    for name in ("command", "files", "format", "model"):  # the page's subject says what the model is
        given.pop(name, None)
    rows = [("Command", command)] if command else []
    data = given.pop("data", None)
    if isinstance(data, Mapping):
        rows += _data_rows(dict(data))
        data = None
    if data:
        rows.append(("Data", str(data)))
    return rows + [(_label(str(key)), _flat(value)) for key, value in given.items() if _flat(value)]


def _command(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def _data_rows(data: dict[str, Any]) -> list[tuple[str, str]]:
    names = {
        "name": "Data",
        "source": "Source of the data",
        "license": "Licence of the data",
        "n_samples": "Observations",
        "missing_cells": "Cells not seen",
        "unseen_rows": "Rows without any cell",
        "total_weight": "Total weight of the observations",
        "labelled_rows": "Rows of a known component",
        "sha256": "SHA-256 of the data",
    }
    rows = [(label, _flat(data[key])) for key, label in names.items() if data.get(key)]
    features = data.get("feature_names")
    return [*rows, ("Features", listed([str(name) for name in features], 12))] if features else rows


def _label(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _flat(value: Any) -> str:
    """A value of any shape on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(inner)}" for key, inner in value.items() if inner not in (None, ""))
    if isinstance(value, list | tuple):
        return "; ".join(_flat(inner) for inner in value)
    if isinstance(value, float):
        return number(value)
    return "" if value is None else str(value)
