"""The page of one cell: every method, parameter by parameter, its errors, and the data sets worth a look."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from emjax.experiments.pages.lanes import text_of
from emjax.experiments.summary.estimates import Point, points
from emjax.experiments.summary.measures import MEASURE
from emjax.experiments.summary.view import CellView, StudyView
from emjax.experiments.summary.words import cell_of, settings_text
from emjax.table import Cell, Column, Table, of_interval, of_number
from emjax.wording import count, elided, number, percent, printable

MOST_PARAMETERS = 60
MOST_WORST = 8
_BINS = 28
_PER_PARAMETER = ("estimate", "bias", "rmse", "empirical_se", "mean_se", "coverage", "width")
_OF_TRUTH = frozenset({"truth", "bias", "rmse", "coverage"})


def cell_content(view: StudyView, cell: CellView) -> dict[str, Any]:
    """What the template of a cell's page needs."""
    place = view.cells.index(cell)
    good = view.good[view.good["cell"] == cell.key]
    errors = good[good["quantity"] == "error"]
    # The ends of all strips of a parameter: what 99% of all methods' errors stay below.
    ends = errors["value"].abs().groupby(errors["parameter"].astype(str)).quantile(0.99)
    scales = {str(name): float(end) for name, end in ends.items()}
    return {
        "title": view.cell_label(cell, width=120) if cell.settings else "The only cell",
        "subject": f"Cell {cell.index + 1} of {len(view.cells)}: {count(len(view.methods), 'method')}, "
        f"{count(view.n_replicates, 'replicate')}",
        "study_title": view.title,
        "folder": printable(view.folder),
        "before": view.cells[place - 1].key if place else None,
        "after": view.cells[place + 1].key if place + 1 < len(view.cells) else None,
        "settings": [
            *((axis.key, text) for axis in view.axes if (text := text_of(cell, axis))),
            ("cell", cell.key),
        ],
        "methods": [
            _method(view, cell, method, good[good["method"] == method.label], scales) for method in view.methods
        ],
    }


def _method(
    view: StudyView, cell: CellView, method: Any, good: pd.DataFrame, scales: dict[str, float]
) -> dict[str, Any]:
    name = method.label
    ended = view.outcomes[(view.outcomes["cell"] == cell.key) & (view.outcomes["method"] == name)]
    jobs = view.jobs_of(cell.key, name)
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
        "missing": sum(job.key not in view.finished for job in jobs),
    }


def _lines(summary: pd.DataFrame, cell: str, method: str) -> list[Point]:
    return points(summary[(summary["cell"] == cell) & (summary["method"] == method)])


def _parameters(view: StudyView, cell: CellView, method: str, strips: dict[str, Cell], *, doubtful: bool) -> Table:
    """What became of each parameter, over trusted outcomes; coverage over all of them too where some are not."""
    found = {(point.measure, point.group): point for point in _lines(view.summary, cell.key, method)}
    of_all = {point.group: point for point in points(view.summary_of_all[view.summary_of_all["cell"] == cell.key],
                                                     "coverage") if point.method == method}  # fmt: skip
    there = [name for measure, name in found if measure == "estimate"]
    level = f"{view.level_of(cell):.0%}"
    heads = {
        "truth": Column("truth"),
        **{name: Column(MEASURE[name].short, meaning=MEASURE[name].words) for name in _PER_PARAMETER},
        "coverage": Column(f"coverage of {level}", meaning=MEASURE["coverage"].words),
        "of_all": Column("of all outcomes", meaning="coverage of untrusted outcomes too"),
        "errors": Column("errors", meaning="their histogram about 0 (the line), on one scale for all methods"),
    }
    order = ["truth", "estimate", "bias", "errors", "rmse", "empirical_se", "mean_se", "coverage", "of_all", "width"]
    shown = [name for name in order if view.has_truth or name not in {*_OF_TRUTH, "of_all", "errors"}]
    shown = [name for name in shown if doubtful or name != "of_all"]
    rows = []
    for parameter in there[:MOST_PARAMETERS]:
        cells = {name: cell_of(found.get((name, parameter)), MEASURE[name]) for name in _PER_PARAMETER}
        mean, bias = (found.get((name, parameter)) for name in ("estimate", "bias"))
        known = mean is not None and bias is not None and mean.n == bias.n
        cells["truth"] = of_number(mean.value - bias.value if known and mean and bias else None)
        cells["coverage"] = _with_band(cells["coverage"], found.get(("coverage", parameter)))
        cells["of_all"] = cell_of(of_all.get(parameter), MEASURE["coverage"])
        cells["errors"] = strips.get(parameter, Cell("—"))
        for name in ("estimate", "empirical_se", "mean_se", "of_all", "width"):
            cells[name] = dataclasses.replace(cells[name], error="")
        rows.append([Cell(parameter), *(cells[name] for name in shown)])
    notes = [f"The first {MOST_PARAMETERS} of {len(there)}."] if len(there) > MOST_PARAMETERS else []
    if view.has_truth:
        notes.append("After the sign: Monte-Carlo standard errors. Errors: their histogram about 0 (the line), on one "
                     "scale for all methods.")  # fmt: skip
    return Table([Column("parameter", "name"), *(heads[name] for name in shown)], rows, notes)


def _with_band(cell: Cell, point: Point | None) -> Cell:
    """A coverage with its 95% band in place of its error."""
    if point is None:
        return cell
    return dataclasses.replace(cell, text=f"{cell.text} ({percent(point.lower)} to {percent(point.upper)})", error="")


def _measures(view: StudyView, cell: str, method: str) -> Table:
    rows = []
    for point in _lines(view.summary, cell, method):
        measure = view.measures[point.measure]
        if point.group and ("[" in point.group or measure.name == "coverage"):
            continue
        share = measure.pooled == "share"
        band = f"{percent(point.lower)} to {percent(point.upper)}" if share else of_interval(
            point.lower, point.upper, point.mcse).text  # fmt: skip
        value = dataclasses.replace(cell_of(point, measure), error="")
        rows.append([measure.label(point.group), value, band, Cell(f"{point.n:,}"), Cell(measure.words)])
    heads = {"measure": "word", "value": "number", "95% Monte-Carlo band": "number", "replicates": "number"}
    return Table([Column(*head) for head in {**heads, "what it says": "word"}.items()], rows)


def _strip(error: np.ndarray, scale: float) -> Cell:
    """The histogram of the errors; what lies beyond the scale is counted in the outermost bars."""
    if len(error) < 2 or not 0 < scale < math.inf:
        return Cell("—")
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
    found = [(int(replicate), str(status), "cannot be trusted") for replicate, status in _two(bad)]
    errors = good[good["quantity"] == "error"]
    if good["replicate"].nunique() > 2:
        squares = errors["value"] ** 2
        rms = squares.groupby(errors["parameter"], observed=True).transform("mean") ** 0.5
        sizes = errors.assign(size=(errors["value"] / rms.where(rms > 0, math.inf)).abs())
        sizes = sizes.sort_values("size", ascending=False).drop_duplicates("replicate").head(MOST_WORST - len(found))
        for row in sizes.to_dict("records"):
            by = f"off by {number(row['value'], 3)}, {number(row['size'], 2)} times its RMSE"
            found.append((int(row["replicate"]), str(row["status"]), f"{elided(row['parameter'], 40)} {by}"))
    jobs = view.jobs_of(cell.key, method)
    rows = []
    for replicate, status, why in found:
        job = next((job.key for job in jobs if job.first <= replicate < job.stop), "")
        again = f"emjax rerun {printable(view.folder)} --job {job}" if job else ""
        rows.append([f"{replicate}", status, why, again])
    heads = [("replicate", "word"), ("status", "word"), ("why", "word"), ("how to run it again", "name")]
    return Table([Column(*head) for head in heads], rows)


def _two(ended: pd.DataFrame) -> Iterable[tuple[Any, Any]]:
    return zip(ended["replicate"], ended["status"], strict=True)
