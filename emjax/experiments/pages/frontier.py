"""Accuracy against seconds: what a better answer costs, and which method nobody beats."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.experiments.pages.marks import Mark
from emjax.experiments.pages.panels import draw_key, hollow, key_rows, log_ticks
from emjax.report.drawing import style


@dataclasses.dataclass(frozen=True)
class Frontier:
    """A frame of points, one per cell and method.

    Attributes
    ----------
    title
        What is measured.
    ylabel
        With its direction.
    better
        -1 where less is better, 1 where more is.
    points
        Columns ``cell, method, seconds, value, lower, upper, best, doubtful``.
    """

    title: str
    ylabel: str
    better: int
    points: pd.DataFrame


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
    n_columns = 1 if width < 5 else len(panels)
    n_rows = -(-len(panels) // n_columns)
    methods = [name for name in marks if any((panel.points["method"] == name).any() for panel in panels)]
    n_keys = key_rows(methods, width)
    left, right, bottom, gap_x, gap_y, top = 0.72, 0.14, 0.52, 0.75, 0.6, 0.18 + 0.22 * n_keys
    each = (width - left - right - (n_columns - 1) * gap_x) / n_columns
    tall = min(0.8 * each, 3.0)
    height = top + bottom + n_rows * tall + (n_rows - 1) * gap_y
    figure = style.Picture(figsize=(width, height))
    for place, panel in enumerate(panels):
        row, column = divmod(place, n_columns)
        x, y = left + column * (each + gap_x), height - top - (row + 1) * tall - row * gap_y
        _draw_panel(figure.add_axes((x / width, y / height, each / width, tall / height)), panel, marks)
    draw_key(figure, methods, marks, n_keys)
    return figure


def _draw_panel(axes: Axes, panel: Frontier, marks: Mapping[str, Mark]) -> None:
    points = panel.points
    axes.set_xscale("log")
    values = points["value"].to_numpy(float)
    logarithmic = panel.better < 0 and bool((values > 0).all())
    if logarithmic:
        axes.set_yscale("log")
    floor = values.min() / 3 if logarithmic else -np.inf
    for _, rings in points[points["best"]].sort_values("seconds").groupby("cell", sort=False, observed=True):
        axes.plot(rings["seconds"], rings["value"], color=style.DATA, linewidth=0.9, zorder=1)
    for method, mark in marks.items():
        own = points[points["method"] == method]
        if not len(own):
            continue
        x, y = own["seconds"].to_numpy(float), own["value"].to_numpy(float)
        axes.vlines(x, np.maximum(own["lower"], floor), own["upper"], color=mark.color, linewidth=1, alpha=0.7)
        axes.plot(x, y, color=mark.color, linestyle="none", marker=mark.marker, markersize=5, zorder=3)
        hollow(axes, x, y, own["doubtful"], mark, 5)
        best = own["best"].to_numpy(bool)
        axes.plot(
            x[best],
            y[best],
            linestyle="none",
            marker="o",
            markersize=10,
            markerfacecolor="none",
            markeredgecolor=style.INK,
            markeredgewidth=0.9,
            zorder=4,
        )
    axes.grid()
    style.finish(axes, "seconds per data set", panel.ylabel)
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.1, high * 1.1)
    log_ticks(axes, along="x")
    if logarithmic:
        low, high = axes.get_ylim()
        axes.set_ylim(low / 1.05, high * 1.05)
        log_ticks(axes)
