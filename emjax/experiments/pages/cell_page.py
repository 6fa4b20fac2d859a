"""The page of one cell: every method, parameter by parameter, its errors, and the data sets worth a look."""

from __future__ import annotations

import dataclasses
import html
import math
import shlex
from typing import Any

import numpy as np
import pandas as pd

from emjax.experiments.pages.lanes import text_of
from emjax.experiments.summary.estimates import Point, points
from emjax.experiments.summary.measures import MEASURE
from emjax.experiments.summary.view import CellView, StudyView
from emjax.experiments.summary.words import cell_of, settings_text
from emjax.table import Cell, Column, Table, of_interval, of_number
from emjax.wording import MISSING, count, elided, number, percent, printable

MOST_PARAMETERS = 60
MOST_WORST = 8
_BINS = 28
_PER_PARAMETER = ("estimate", "bias", "rmse", "empirical_se", "mean_se", "coverage", "width")
_COLUMNS = ("truth", "estimate", "bias", "errors", "rmse", "empirical_se", "mean_se", "coverage", "of_all", "width")
_OF_TRUTH = frozenset({"truth", "bias", "errors", "rmse", "coverage", "of_all"})
_STRIPS = "Errors: their histogram about 0 (the line), on one scale for all methods. After ±: Monte-Carlo errors."


def cell_content(view: StudyView, cell: CellView) -> dict[str, Any]:
    """What the template of a cell's page needs."""
    place = view.places.index(cell)
    good = view.good[view.good["cell"] == cell.key]
    errors = good[good["quantity"] == "error"]
    # The ends of all strips of a parameter: what 99% of all methods' errors stay below.
    ends = errors["value"].abs().groupby(errors["parameter"].astype(str)).quantile(0.99)
    scales = {str(name): float(end) for name, end in ends.items()}
    return {
        "title": view.cell_label(cell, width=120) if cell.settings else "The only cell",
        "subject": f"Cell {cell.index}, one of {len(view.places)}: {count(len(view.study.methods), 'method')}, "
        f"{count(view.n_replicates, 'replicate')}",
        "study_title": view.title,
        "folder": printable(view.folder),
        "before": view.places[place - 1].key if place else None,
        "after": view.places[place + 1].key if place + 1 < len(view.places) else None,
        "settings": [
            *((axis.key, text) for axis in view.axes if (text := text_of(cell, axis))),
            ("cell", cell.key),
        ],
        "methods": [
            _method(view, cell, method, good[good["method"] == method.label], scales) for method in view.study.methods
        ],
    }


def _method(
    view: StudyView, cell: CellView, method: Any, good: pd.DataFrame, scales: dict[str, float]
) -> dict[str, Any]:
    name = method.label
    ended = view.outcomes[(view.outcomes["cell"] == cell.key) & (view.outcomes["method"] == name)]
    jobs = [job for job in view.jobs.values() if (job["cell"], job["method"]) == (cell.key, name)]
    statuses = ended.groupby(["status", "trusted"], observed=True).size().sort_values(ascending=False, kind="stable")
    errors = {
        str(parameter): own["value"].to_numpy(float)
        for parameter, own in good[good["quantity"] == "error"].groupby("parameter", sort=False, observed=True)
    }
    strips = {parameter: _strip(values, scales.get(parameter, 0.0)) for parameter, values in errors.items()}
    return {
        "name": name,
        "settings": settings_text(method.of_job(), without=["name"]),
        "statuses": [(str(status), int(n), bool(trusted)) for (status, trusted), n in statuses.items()],
        "parameters": _parameters(view, cell, name, strips, doubtful=not ended["trusted"].all()),
        "measures": _measures(view, cell.key, name),
        "worst": _worst(view, cell, name, good, ended),
        "jobs": len(jobs),
        "missing": sum(job["key"] not in view.finished for job in jobs),
    }


def _lines(summary: pd.DataFrame, cell: str, method: str) -> list[Point]:
    return points(summary[(summary["cell"] == cell) & (summary["method"] == method)])


def _parameters(view: StudyView, cell: CellView, method: str, strips: dict[str, Cell], *, doubtful: bool) -> Table:
    """What became of each parameter, over trusted outcomes; coverage over all of them too where some are not."""
    found = {(point.measure, point.group): point for point in _lines(view.means, cell.key, method)}
    of_all = {}
    if doubtful:
        lines = _lines(view.means_of_all, cell.key, method)
        of_all = {point.group: point for point in lines if point.measure == "coverage"}
    heads = {name: Column(MEASURE[name].short, meaning=MEASURE[name].words) for name in _PER_PARAMETER}
    heads["coverage"] = Column(f"coverage of {view.level_of(cell):.0%}", meaning=MEASURE["coverage"].words)
    heads["of_all"] = Column("of all outcomes", meaning="coverage of untrusted outcomes too")
    heads |= {name: Column(name) for name in ("truth", "errors")}
    shown = [name for name in _COLUMNS if view.has_truth or name not in _OF_TRUTH]
    shown = [name for name in shown if doubtful or name != "of_all"]
    there = [name for measure, name in found if measure == "estimate"]
    rows = []
    for parameter in there[:MOST_PARAMETERS]:
        own = {name: found.get((name, parameter)) for name in _PER_PARAMETER}
        cells = {name: cell_of(point, MEASURE[name]) for name, point in own.items()}
        mean, bias, coverage = own["estimate"], own["bias"], own["coverage"]
        cells["truth"] = of_number(mean.value - bias.value if mean and bias and mean.n == bias.n else None)
        cells["errors"] = strips.get(parameter, Cell(MISSING))
        cells["of_all"] = cell_of(of_all.get(parameter), MEASURE["coverage"])
        if coverage is not None:
            band = f"{percent(coverage.lower)} to {percent(coverage.upper)}"
            cells["coverage"] = Cell(f"{cells['coverage'].text} ({band})")
        for name in ("estimate", "empirical_se", "mean_se", "of_all", "width"):
            cells[name] = dataclasses.replace(cells[name], error="")
        rows.append([Cell(parameter), *(cells[name] for name in shown)])
    notes = [f"The first {MOST_PARAMETERS} of {len(there)}."] if len(there) > MOST_PARAMETERS else []
    notes += [_STRIPS] if view.has_truth else []
    return Table([Column("parameter", "name"), *(heads[name] for name in shown)], rows, notes)


def _measures(view: StudyView, cell: str, method: str) -> Table:
    """Every measure of all parameters together or of a kind of them."""
    rows = []
    for point in _lines(view.means, cell, method):
        measure = view.measures[point.measure]
        if "[" in point.group or (point.group and measure.name == "coverage"):
            continue
        band = of_interval(point.lower, point.upper, point.mcse).text
        if measure.pooled == "share":
            band = f"{percent(point.lower)} to {percent(point.upper)}"
        value = dataclasses.replace(cell_of(point, measure), error="")
        rows.append([measure.label(point.group), value, band, f"{point.n:,}", measure.words])
    heads = {"measure": "word", "value": "number", "95% Monte-Carlo band": "number", "replicates": "number"}
    return Table([Column(*head) for head in {**heads, "what it says": "word"}.items()], rows)


def _strip(error: np.ndarray, scale: float) -> Cell:
    """The histogram of the errors; what lies beyond the scale is counted in the outermost bars."""
    if len(error) < 2 or not 0 < scale < math.inf:
        return Cell(MISSING)
    with np.errstate(over="ignore"):  # a scale next to nothing
        shares = np.clip(error / scale, -1.0, 1.0)
    counts, ends = np.histogram(shares, bins=_BINS, range=(-1.0, 1.0))
    bars = "".join(
        f'<rect x="{50 + 50 * end:.2f}" y="{100 - height:.1f}" width="{100 / _BINS:.2f}" height="{height:.1f}"/>'
        for end, height in zip(ends[:-1], 100 * counts / counts.max(), strict=True)
        if height > 0
    )
    low, middle, high = np.quantile(error, [0.05, 0.5, 0.95])
    text = f"Errors: median {number(middle, 3)}, 5% below {number(low, 3)}, 5% above {number(high, 3)}"
    box = f'viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{html.escape(text)}"'
    line = '<line x1="50" x2="50" y1="0" y2="100"/>'
    return Cell(text, picture=f'<svg class="strip" {box}>{bars}{line}</svg>')


def _worst(view: StudyView, cell: CellView, method: str, good: pd.DataFrame, ended: pd.DataFrame) -> Table:
    """The data sets worth a look: untrusted ones first, then those with the largest standardised errors."""
    bad = ended[~ended["trusted"]].sort_values("replicate").head(MOST_WORST - 2)
    found = [(f"{row.replicate}", f"{row.status}", "cannot be trusted") for row in bad.itertuples()]
    errors = good[good["quantity"] == "error"]
    if good["replicate"].nunique() > 2:
        squares = errors["value"] ** 2
        rms = squares.groupby(errors["parameter"], observed=True).transform("mean") ** 0.5
        sizes = errors.assign(size=(errors["value"] / rms.where(rms > 0, math.inf)).abs())
        sizes = sizes.sort_values("size", ascending=False).drop_duplicates("replicate").head(MOST_WORST - len(found))
        for row in sizes.to_dict("records"):
            by = f"off by {number(row['value'], 3)}, {number(row['size'], 2)} times its RMSE"
            found.append((f"{row['replicate']}", str(row["status"]), f"{elided(row['parameter'], 40)} {by}"))
    one = f"emjax rerun {printable(view.folder)} --cell {cell.key} --method {shlex.quote(method)} --replicate"
    rows = [[replicate, status, why, f"{one} {replicate}"] for replicate, status, why in found]
    heads = [("replicate", "word"), ("status", "word"), ("why", "word"), ("how to run it again", "name")]
    return Table([Column(*head) for head in heads], rows)
