"""Curves of a measure against a setting, with Monte-Carlo bands; dots where the setting has no order."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from emjax.experiments.pages.lanes import Panel
from emjax.experiments.pages.marks import Mark
from emjax.experiments.pages.panels import draw_key, hollow, key_rows, log_ticks
from emjax.experiments.summary.sweep import Axis, value_text
from emjax.report.drawing import style
from emjax.wording import elided

_NARROW = 5.0
_MOST_LINES = 2
"""Of the name of a value below the axis."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """One panel: its title, and a frame per method with ``place, value, lower, upper, doubtful``."""

    title: str
    points: Mapping[str, pd.DataFrame]


@dataclasses.dataclass(frozen=True)
class Curves:
    """A figure of curves.

    Attributes
    ----------
    axis
        What runs along; None where there is one cell.
    panels
        Side by side, with one vertical scale unless ``own_scales``.
    ylabel
        What is measured.
    logarithmic
        Whether the vertical axis may be logarithmic.
    level, band
        Nominal level and the band around it, for coverage.
    zero
        Whether 0 is marked.
    own_scales
        Whether every panel has a vertical scale of its own.
    """

    axis: Axis | None
    panels: tuple[Curve, ...]
    ylabel: str
    logarithmic: bool = False
    level: float | None = None
    band: tuple[float, float] | None = None
    zero: bool = False
    own_scales: bool = False


def curve(title: str, panel: Panel, axis: Axis | None, found: pd.DataFrame, methods: Sequence[str]) -> Curve:
    """The points of a panel: ``found`` holds one measure's summary, and which points are doubtful."""
    places = {cell.key: _place(axis, cell.settings, 0) for cell in panel.cells}
    points = {}
    for method in methods:
        own = found[(found["method"] == method) & found["cell"].isin(places)]
        own = own.assign(place=own["cell"].map(places)).sort_values("place")
        if len(own):
            points[method] = own[["place", "value", "lower", "upper", "doubtful"]]
    return Curve(title, points)


def _place(axis: Axis | None, settings: Mapping[str, Any], default: float) -> float:
    if axis is None:
        return default
    value = settings[axis.key]
    if axis.numeric:
        return float(value)
    return float([value_text(other) for other in axis.values].index(value_text(value)))


@style.drawn
def draw_curves(curves: Curves, marks: Mapping[str, Mark], width: float) -> Figure:
    """All panels, the key of the methods above them."""
    n_panels = len(curves.panels)
    n_columns = 1 if width < _NARROW else {1: 1, 2: 2, 4: 2}.get(n_panels, 3)
    n_rows = math.ceil(n_panels / n_columns)
    methods = [name for name in marks if any(name in panel.points for panel in curves.panels)]
    n_keys = key_rows(methods, width)
    left, right, gap_x, gap_y = 0.72, 0.12, 0.62 if curves.own_scales else 0.2, 0.5
    bottom = 0.48 + 0.13 * (_MOST_LINES - 1) * (not curves.axis.numeric) if curves.axis is not None else 0.18
    top = 0.12 + 0.22 * n_keys + (0.22 if any(panel.title for panel in curves.panels) else 0.0)
    each = (width - left - right - (n_columns - 1) * gap_x) / n_columns
    tall = min(max(0.62 * each, 1.45), 2.3)
    height = top + bottom + n_rows * tall + (n_rows - 1) * gap_y
    figure = style.Picture(figsize=(width, height))
    limits = None if curves.own_scales else _limits(curves, curves.panels)
    for place, panel in enumerate(curves.panels):
        row, column = divmod(place, n_columns)
        x, y = left + column * (each + gap_x), height - top - (row + 1) * tall - row * gap_y
        axes = figure.add_axes((x / width, y / height, each / width, tall / height))
        _draw_panel(axes, curves, panel, marks, limits or _limits(curves, (panel,)))
        last_row = place + n_columns >= n_panels
        axes.set_xlabel(curves.axis.label if curves.axis and last_row else "")
        axes.set_ylabel(curves.ylabel if column == 0 else "")
        if not last_row and not curves.own_scales:
            axes.tick_params(labelbottom=False)
        if column and not curves.own_scales:
            axes.tick_params(labelleft=False)
        axes.set_title(elided(panel.title, int(11 * each)), color=style.MUTED, pad=4)
    draw_key(figure, methods, marks, n_keys)
    return figure


def _limits(curves: Curves, panels: Sequence[Curve]) -> tuple[str, float, float]:
    """The vertical scale and its ends, so that all points and bands fit in."""
    frames = [points for panel in panels for points in panel.points.values()]
    values = np.concatenate([frame["value"].to_numpy(float) for frame in frames]) if frames else np.zeros(1)
    ends = [frame[side].to_numpy(float) for frame in frames for side in ("lower", "upper")]
    everything = np.concatenate([values, *ends])
    everything = everything[np.isfinite(everything)]
    if curves.logarithmic and (values > 0).all() and values.max() / values.min() > 4:
        # The lower end of a band may lie below zero, which a logarithmic axis has no place for.
        above = everything[everything > values.min() / 4]
        return "log", above.min() / 1.15, above.max() * 1.15
    if curves.level is not None and curves.band is not None:
        everything = np.append(everything, [*curves.band])
    if curves.zero or curves.logarithmic:
        everything = np.append(everything, 0.0)
    low, high = everything.min(), everything.max()
    room = 0.06 * (high - low) or 0.05 * max(abs(high), 1.0)
    return "linear", low - (0.0 if low == 0 else room), high + room


def _draw_panel(
    axes: Axes, curves: Curves, panel: Curve, marks: Mapping[str, Mark], limits: tuple[str, float, float]
) -> None:
    axes.set_yscale(limits[0])
    if curves.axis is not None and curves.axis.logarithmic:
        axes.set_xscale("log")
    if curves.level is not None:
        if curves.band is not None:
            axes.axhspan(*curves.band, color=style.DATA_FILL, linewidth=0, alpha=0.75, zorder=0)
        axes.axhline(curves.level, color=style.MUTED, linewidth=1, zorder=1)
    if curves.zero:
        axes.axhline(0, color=style.MUTED, linewidth=1, zorder=1)
    joined = curves.axis is not None and curves.axis.numeric and len(curves.axis.values) > 1
    n_methods = len(marks)
    for order, (method, mark) in enumerate(marks.items()):
        if method not in panel.points:
            continue
        points = panel.points[method]
        x = points["place"].to_numpy(float)
        lower, upper = (_clipped(points[side].to_numpy(float), limits) for side in ("lower", "upper"))
        value = points["value"].to_numpy(float)
        if joined:
            axes.fill_between(x, lower, upper, color=mark.color, alpha=0.16 if n_methods < 5 else 0.08, linewidth=0)
            axes.plot(x, value, markersize=4.5, zorder=3, gid=name_of(method), **mark.options)
            hollow(axes, x, value, points["doubtful"], mark, 4.5)
        else:
            shifted = x + 0.5 * ((order + 0.5) / n_methods - 0.5)
            axes.vlines(shifted, lower, upper, color=mark.color, linewidth=1.4)
            look: Any = {"color": mark.color, "linestyle": "none", "marker": mark.marker, "markersize": 5.5}
            axes.plot(shifted, value, zorder=3, gid=name_of(method), **look)
            hollow(axes, shifted, value, points["doubtful"], mark, 5.5)
    axes.grid(axis="y")
    _ticks(axes, curves.axis)
    axes.set_ylim(limits[1], limits[2])
    if limits[0] == "log":
        log_ticks(axes)


def name_of(method: str) -> str:
    """The name that the points of a method have in an SVG file."""
    return f"points of {method}"


def _clipped(ends: np.ndarray, limits: tuple[str, float, float]) -> np.ndarray:
    """Ends of bands inside the axes, where a logarithmic one cannot hold them."""
    return np.maximum(ends, limits[1]) if limits[0] == "log" else ends


def fitted(names: Sequence[str], width: int) -> list[str]:
    """The names in lines of at most ``width`` signs; those that would look alike then are numbered."""
    shown = []
    for name in names:
        lines = textwrap.wrap(name, width, break_long_words=False) or [""]
        lines = [*lines[: _MOST_LINES - 1], " ".join(lines[_MOST_LINES - 1 :])]
        shown.append("\n".join(elided(line, width) for line in lines if line))
    if len(set(shown)) == len(shown):
        return shown
    return [f"{place}: {elided(name, max(width - 3, 1))}" for place, name in enumerate(names, start=1)]


def _ticks(axes: Axes, axis: Axis | None) -> None:
    """The values of the sweep themselves as ticks, thinned where they would touch."""
    style.finish(axes, n_y=5)
    if axis is None:
        axes.set_xticks([])
        axes.set_xlim(-0.6, 0.6)
        return
    places = (
        [float(value) for value in axis.values] if axis.numeric else [float(place) for place in range(len(axis.values))]
    )
    names = [style.compact(value) if axis.numeric else value_text(value) for value in axis.values]
    width = axes.get_window_extent().width / axes.figure.dpi
    if not axis.numeric or len(places) == 1:
        axes.set_xlim(
            min(places) - 0.6 * (1 if not axis.numeric else max(abs(places[0]), 1)),
            max(places) + 0.6 * (1 if not axis.numeric else max(abs(places[0]), 1)),
        )
        names = fitted([str(name) for name in names], max(4, int(12 * width / len(names))))
    else:
        where = np.log10(places) if axis.logarithmic else np.asarray(places)
        where = (where - where[0]) / (where[-1] - where[0]) * width * 0.9
        kept = [0]
        for place in range(1, len(places)):
            if where[place] - where[kept[-1]] > 0.04 * (len(names[place]) + len(names[kept[-1]])) + 0.1:
                kept.append(place)
        places, names = [places[place] for place in kept], [names[place] for place in kept]
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(places, names)
