"""The page of one cell: every method, parameter by parameter, its errors, and the data sets worth a look."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd

from emjax.experiments.summary.estimates import wilson
from emjax.experiments.summary.measures import MEASURES, points, rooted
from emjax.experiments.summary.sweep import CellView, MethodView, Sweep, value_text
from emjax.wording import MISSING, count, decimals_for, elided, fixed, number, percent

MOST_PARAMETERS = 60
MOST_WORST = 8
_BINS = 28


@dataclasses.dataclass(frozen=True)
class Strip:
    """A histogram of errors on the common scale of its parameter.

    Attributes
    ----------
    bars
        Per bar: its left end and height, 0 to 100.
    width
        Of a bar, 0 to 100.
    zero
        Where the error is 0.
    text
        What it shows, in words.
    """

    bars: tuple[tuple[float, float], ...]
    width: float
    zero: float
    text: str


def cell_content(sweep: Sweep, cell: CellView, summary: pd.DataFrame) -> dict[str, Any]:
    """What the template of a cell's page needs."""
    rows = sweep.rows[sweep.rows["cell"] == cell.key]
    ended = sweep.outcomes[sweep.outcomes["cell"] == cell.key]
    good = sweep.good[sweep.good["cell"] == cell.key]
    scales = _error_scales(good)
    return {
        "settings": [
            (axis.key, value_text(cell.settings[axis.key])) for axis in sweep.axes if axis.key in cell.settings
        ],
        "methods": [
            {
                "name": method.name,
                "settings": _method_settings(method),
                "statuses": _statuses(ended[ended["method"] == method.name]),
                "measures": _measure_rows(summary[(summary["cell"] == cell.key) & (summary["method"] == method.name)]),
                "parameters": _parameter_rows(
                    good[good["method"] == method.name], rows[rows["method"] == method.name], scales
                ),
                "n_parameters": len(set(good.loc[good["method"] == method.name, "parameter"]) - {""}),
                "worst": _worst(sweep, cell, method, good[good["method"] == method.name], ended),
                "doubtful": not ended.loc[ended["method"] == method.name, "trusted"].all(),
                "jobs": len(sweep.jobs_of(cell.key, method.name)),
                "missing": sum(job.key not in sweep.finished for job in sweep.jobs_of(cell.key, method.name)),
            }
            for method in sweep.methods
        ],
    }


def _method_settings(method: MethodView) -> str:
    hidden = {"name"}
    parts = [f"{key} = {value_text(value)}" for key, value in method.settings.items() if key not in hidden]
    return ", ".join(parts)


def _statuses(ended: pd.DataFrame) -> list[tuple[str, int, bool]]:
    """Per status: how often, and whether such outcomes are trusted."""
    if ended.empty:
        return []
    found = ended.groupby(["status", "trusted"], sort=False, observed=True).size().reset_index(name="n")
    rows = found.sort_values("n", ascending=False, kind="stable").to_dict("records")
    return [(str(row["status"]), int(row["n"]), bool(row["trusted"])) for row in rows]


def _measure_rows(summary: pd.DataFrame) -> list[dict[str, str]]:
    rows = []
    for measure in MEASURES:
        for row in points(summary, measure.name):
            if row.group and measure.name == "coverage":
                continue
            share = measure.form == "share"
            decimals = decimals_for(row.mcse)
            rows.append(
                {
                    "name": measure.title + (f" ({row.group})" if row.group else ""),
                    "value": percent(row.value) if share else fixed(row.value, decimals),
                    "band": _band(row.lower, row.upper, decimals, share),
                    "n": f"{row.n:,}",
                    "meaning": measure.meaning,
                }
            )
    return rows


def _band(lower: float, upper: float, decimals: int | None, share: bool) -> str:
    if not (math.isfinite(lower) and math.isfinite(upper)) or lower == upper:
        return MISSING
    if share:
        return f"{percent(lower)} to {percent(upper)}"
    return f"{fixed(lower, decimals)} to {fixed(upper, decimals)}"


def _error_scales(good: pd.DataFrame) -> dict[str, float]:
    """Per parameter, the error at the ends of its strips: what 99% of all methods' errors stay below."""
    errors = good[good["quantity"] == "error"]
    found = errors["value"].abs().groupby(errors["parameter"], observed=True).quantile(0.99)
    return {str(name): float(value) for name, value in found.items()}


def _parameter_rows(good: pd.DataFrame, everything: pd.DataFrame, scales: dict[str, float]) -> list[dict[str, Any]]:
    tables = {quantity: _by_parameter(good, quantity) for quantity in ("estimate", "error", "se", "covered", "width")}
    covered_by_all = _by_parameter(everything, "covered")
    names = list(dict.fromkeys(good.loc[good["parameter"] != "", "parameter"]))
    names = [name for name in names if name in tables["estimate"] or name in tables["error"]][:MOST_PARAMETERS]
    return [_parameter_row(name, tables, covered_by_all.get(name), scales.get(name, 0.0)) for name in names]


def _by_parameter(rows: pd.DataFrame, quantity: str) -> dict[str, np.ndarray]:
    own = rows[(rows["quantity"] == quantity) & np.isfinite(rows["value"])]
    return {
        str(name): values.to_numpy(float)
        for name, values in own.groupby("parameter", sort=False, observed=True)["value"]
    }


def _parameter_row(
    name: str, tables: dict[str, dict[str, np.ndarray]], covered_by_all: np.ndarray | None, scale: float
) -> dict[str, Any]:
    none = np.empty(0)
    estimate, error, se, covered, width = (
        tables[quantity].get(name, none) for quantity in ("estimate", "error", "se", "covered", "width")
    )
    spread = _sd(estimate) if len(estimate) else _sd(error)
    bias_error = _sd(error) / math.sqrt(len(error)) if len(error) > 1 else math.nan
    decimals = decimals_for(bias_error if math.isfinite(bias_error) else spread / math.sqrt(max(len(estimate), 1)))
    rmse, rmse_error = (
        rooted(np.array([np.mean(error**2)]), np.array([_sd(error**2) / math.sqrt(len(error))]))
        if len(error)
        else (none, none)
    )
    truth = float(np.mean(estimate) - np.mean(error)) if len(estimate) and len(error) == len(estimate) else math.nan
    return {
        "name": name,
        "truth": number(truth),
        "mean": fixed(float(np.mean(estimate)), decimals) if len(estimate) else MISSING,
        "bias": fixed(float(np.mean(error)), decimals) if len(error) else MISSING,
        "bias_error": fixed(bias_error, decimals) if math.isfinite(bias_error) and decimals is not None else "",
        "sd": fixed(spread, decimals),
        "se": fixed(float(np.mean(se)), decimals) if len(se) else MISSING,
        "rmse": fixed(float(rmse[0]), decimals_for(float(rmse_error[0]))) if len(rmse) else MISSING,
        "coverage": percent(float(np.mean(covered))) if len(covered) else MISSING,
        "coverage_band": _coverage_band(covered),
        "coverage_all": percent(float(np.mean(covered_by_all)))
        if covered_by_all is not None and len(covered_by_all)
        else MISSING,
        "width": fixed(float(np.mean(width)), decimals) if len(width) else MISSING,
        "strip": _strip(error, scale),
    }


def _sd(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _coverage_band(covered: np.ndarray) -> str:
    if not len(covered):
        return ""
    share, n = np.array([covered.mean()]), np.array([float(len(covered))])
    lower, upper = wilson(share, n)
    return f"{percent(float(lower[0]))} to {percent(float(upper[0]))}"


def _strip(error: np.ndarray, scale: float) -> Strip | None:
    """The histogram of the errors; what lies beyond the scale is counted in the outermost bars."""
    if len(error) < 2 or not 0 < scale < math.inf:
        return None
    with np.errstate(over="ignore"):  # a scale next to nothing
        shares = np.clip(error / scale, -1.0, 1.0)
    counts, ends = np.histogram(shares, bins=_BINS, range=(-1.0, 1.0))
    places = 50 + 50 * ends[:-1]
    heights = 100 * counts / counts.max()
    bars = tuple((round(float(x), 2), round(float(h), 1)) for x, h in zip(places, heights, strict=True) if h > 0)
    low, middle, high = np.quantile(error, [0.05, 0.5, 0.95])
    text = f"Errors: median {number(middle, 3)}, 5% below {number(low, 3)}, 5% above {number(high, 3)}"
    return Strip(bars, round(100 / _BINS, 2), 50.0, text)


def _worst(
    sweep: Sweep, cell: CellView, method: MethodView, good: pd.DataFrame, ended: pd.DataFrame
) -> list[dict[str, str]]:
    """The data sets worth a look: untrusted ones first, then those with the largest standardised errors."""
    own = ended[ended["method"] == method.name]
    bad = own[~own["trusted"]].sort_values("replicate")
    found = [
        (int(row["replicate"]), str(row["status"]), "cannot be trusted")
        for row in bad.head(MOST_WORST - 2).to_dict("records")
    ]
    errors = good[good["quantity"] == "error"]
    if len(errors) and good["replicate"].nunique() > 2:
        spread = errors.groupby("parameter", observed=True)["value"].transform(
            lambda values: math.sqrt((values**2).mean()) or math.inf
        )
        sizes = errors.assign(size=(errors["value"] / spread).abs()).sort_values("size", ascending=False)
        for row in sizes.drop_duplicates("replicate").head(MOST_WORST - len(found)).to_dict("records"):
            size = number(row["size"], 2)
            what = f"{elided(row['parameter'], 40)} off by {number(row['value'], 3)}, {size} times its RMSE"
            found.append((int(row["replicate"]), str(row["status"]), what))
    return [
        {"replicate": str(replicate), "status": status, "why": why, "job": _job_of(sweep, cell, method, replicate)}
        for replicate, status, why in found
    ]


def _job_of(sweep: Sweep, cell: CellView, method: MethodView, replicate: int) -> str:
    return next((job.key for job in sweep.jobs_of(cell.key, method.name) if job.first <= replicate < job.stop), "")


def cell_subject(sweep: Sweep, cell: CellView) -> str:
    """Where the cell stands in the sweep."""
    return (
        f"Cell {cell.index + 1} of {len(sweep.cells)}: {count(len(sweep.methods), 'method')}, "
        f"{count(sweep.n_replicates, 'replicate')}"
    )
