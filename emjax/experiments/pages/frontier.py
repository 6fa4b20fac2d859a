"""Accuracy against seconds: what a better answer costs, and which method nobody beats."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.experiments.pages.marks import HOLLOW, Mark, draw_estimates, log_ticks, method_marks, panel_axes
from emjax.experiments.summary.measures import MEASURE, Measure
from emjax.experiments.summary.view import StudyView
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.wording import elided, listed


@dataclasses.dataclass(frozen=True)
class Frontier:
    """A panel: its measure, what stands beside its axis, and a point per cell and method.

    ``points`` has columns ``cell, method, seconds, value, lower, upper, best, doubtful``.
    """

    measure: Measure
    ylabel: str
    points: pd.DataFrame


def frontier_picture(view: StudyView) -> Picture | None:
    """Accuracy against seconds; None where one of them is not known."""
    wished = [*(("rmse", kind) for kind in view.kinds[:1]), ("log_score_loss", ""), ("total_variation", "")]
    found = [_panel(view, MEASURE[name], group) for name, group in (wished if view.has_truth else [("log_score", "")])]
    panels = [panel for panel in found if panel is not None][:2]
    if not panels:
        return None
    marks = method_marks(view.study.methods)
    best = panels[0].points
    shares = best.groupby("method", sort=False, observed=True)["best"].agg(["sum", "size"])
    words = [f"{elided(str(line[0]), 40)} in {line[1]} of {line[2]} cells" for line in shares.itertuples()]
    title = panels[0].measure.label()
    return Picture(
        "frontier",
        lambda width: draw_frontier(panels, marks, width),
        "Accuracy against seconds",
        text=f"{title[:1].upper()}{title[1:]} against seconds per data set. Unbeaten: {listed(words)}.",
        caption=(
            "One point per cell and method; both axes are logarithmic where values allow. A ring marks what is on the "
            "frontier of its cell: by point estimates, no other method is both faster and more accurate there. Grey "
            "lines join the rings of a cell. Seconds are those of running, without compilation, shared out over the "
            f"replicates of a job; bars hold 95% by Monte-Carlo error.{HOLLOW if best['doubtful'].any() else ''}"
        ),
    )


def _panel(view: StudyView, measure: Measure, group: str) -> Frontier | None:
    lines = view.means
    seconds = lines.loc[(lines["measure"] == "run_seconds") & (lines["value"] > 0), ["cell", "method", "value"]]
    found = lines[(lines["measure"] == measure.name) & (lines["group"] == group) & np.isfinite(lines["value"])]
    points = found.merge(seconds.rename(columns={"value": "seconds"}), on=["cell", "method"])
    if points["method"].nunique() < 2:
        return None
    doubtful = [pair in view.doubtful for pair in zip(points["cell"], points["method"], strict=True)]
    direction = "more is better" if measure.better > 0 else "less is better"
    points = points.assign(doubtful=doubtful, best=unbeaten(points, measure.better))
    return Frontier(measure, f"{measure.label(group)} ({direction})", points)


def unbeaten(points: pd.DataFrame, better: int) -> pd.Series:
    """Whether no other method of the same cell is at least as fast and as accurate, and better in one of the two."""
    cost = points["seconds"].to_numpy(float)
    loss = -better * points["value"].to_numpy(float)
    cell = points["cell"].to_numpy()
    same = cell[:, None] == cell[None, :]
    no_worse = (cost[:, None] <= cost[None, :]) & (loss[:, None] <= loss[None, :])
    ahead = (cost[:, None] < cost[None, :]) | (loss[:, None] < loss[None, :])
    return pd.Series(~(same & no_worse & ahead).any(axis=0), index=points.index)


@style.drawn
def draw_frontier(panels: list[Frontier], marks: Mapping[str, Mark], width: float) -> Figure:
    """One panel per measure; seconds are logarithmic, a ring marks what is unbeaten in its cell."""
    there = {str(method) for panel in panels for method in panel.points["method"]}
    n_columns = 1 if width < 5 else len(panels)
    tall = min(0.6 * width / n_columns, 3.0) + 0.5
    figure, places = panel_axes(width, len(panels), n_columns, tall, marks, there)
    for axes, panel in zip(places, panels, strict=True):
        _draw_panel(axes, panel, marks)
    return figure


def _draw_panel(axes: Axes, panel: Frontier, marks: Mapping[str, Mark]) -> None:
    points = panel.points
    values = points["value"].to_numpy(float)
    logarithmic = panel.measure.better < 0 and bool((values > 0).all())
    axes.set(xscale="log", yscale="log" if logarithmic else "linear")
    best = points[points["best"]]
    for _, rings in best.sort_values("seconds").groupby("cell", sort=False, observed=True):
        axes.plot(rings["seconds"], rings["value"], color=style.DATA, linewidth=0.9, zorder=1)
    for method, mark in marks.items():
        own = points[points["method"] == method]
        x = own["seconds"].to_numpy(float)
        draw_estimates(axes, x, own, mark, floor=values.min() / 3 if logarithmic else -np.inf)
    axes.scatter(best["seconds"], best["value"], s=100, facecolor="none", edgecolor=style.INK, linewidth=0.9, zorder=4)
    axes.grid()
    style.finish(axes, "seconds per data set", panel.ylabel)
    for axis in (axes.xaxis, *([axes.yaxis] if logarithmic else [])):
        log_ticks(axis)
