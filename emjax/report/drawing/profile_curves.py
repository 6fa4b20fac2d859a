"""The profile log-likelihood of each number beside the normal curve that its standard error stands for."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.report.drawing import style
from emjax.uncertainty.curves import outermost, values_at
from emjax.uncertainty.links import LINKS
from emjax.uncertainty.results import IntervalRow, Intervals, IntervalStatus, ProfileCurve
from emjax.wording import elided

MOST_PANELS = 9
"""Numbers that are drawn, those whose profile is furthest from its normal curve."""

_POINTS = 200
_BELOW = 1.25
"""How far down panels go, as a multiple of how far the log-likelihood falls to the ends."""


@style.drawn
def profile_curves(source: Intervals, *, width: float = 7.0) -> Figure:
    """The profile log-likelihood of each number, of intervals by ``method="profile"``, and the normal curve beside it.

    Zero is the maximum (of a MAP estimate with the log prior); the interval ends where the profile crosses the line.
    The normal curve, grey and dotted, is what the information takes the log-likelihood for, on the scale where its
    interval is symmetric. Points are those that were computed. A triangle stands where a profile could be followed no
    further: there the interval is open. Another optimum that is about as high has a dashed curve of its own, and the
    interval reaches around both. Rough ones are grey. The nine numbers whose two curves differ most are drawn.

    Raises ValueError if the intervals were not made by the profile, are withheld, or no number can move.
    """
    if source.status.withheld or not source.curves:
        why = f"they are by {source.method}" if source.method != "profile" else f"their status is {source.status.value}"
        raise ValueError(f"there is no profile to draw of these intervals: {why}; give fit.intervals(method='profile')")
    rows = {row.name: row for row in source.rows}
    curves: dict[str, list[ProfileCurve]] = {}
    for curve in source.curves:
        curves.setdefault(curve.name, []).append(curve)
    names = list(curves)
    apart = np.array([_apart(rows[name], curves[name]) for name in names])
    chosen = np.sort(np.argsort(-apart, kind="stable")[:MOST_PANELS])
    n_columns = min(len(chosen), 3 if width >= 5 else 2)
    figure, all_axes = style.panels(width, len(chosen), n_columns, 1.9)
    rough = source.status is IntervalStatus.ROUGH
    for number, (axes, i) in enumerate(zip(all_axes, chosen, strict=True)):
        axes.set_title(elided(names[i], int(width / n_columns / 0.083)), fontsize=8.5)
        _panel(axes, rows[names[i]], curves[names[i]], rough=rough, level=source.level)
        style.finish(axes, "", "" if number % n_columns else "log-lik. − maximum", n_x=3, n_y=4)
    style.key(figure)
    return figure


def _roots_of_normal(row: IntervalRow, values: np.ndarray) -> np.ndarray:
    """The signed roots that values have under the normal curve of the estimate."""
    forward, _, slope = LINKS[row.scale]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray((forward(values) - forward(row.estimate)) / (row.se * slope(row.estimate)))


def _apart(row: IntervalRow, curves: list[ProfileCurve]) -> float:
    """How far the profile is from its normal curve, in standard errors; infinitely with open ends or several tops."""
    if row.note or len(curves) > 1:
        return np.inf
    return float(np.max(np.abs(_roots_of_normal(row, curves[0].values) - curves[0].roots)))


def _panel(axes: Axes, row: IntervalRow, curves: list[ProfileCurve], *, rough: bool, level: float) -> None:
    color, limit = style.UNTRUSTED if rough else style.EM, -0.5 * curves[0].reach ** 2
    label = "profile, rough" if rough else "profile"
    for curve in curves:
        roots = np.linspace(curve.roots[0], curve.roots[-1], _POINTS)
        line, told = ("-", label) if curve.gap == 0 else ("--", "from another optimum")
        if len(curve.roots) > 1:
            between = values_at(curve, row.scale, roots)
            axes.plot(between, -curve.gap - 0.5 * roots**2, line, color=color, linewidth=1.5, label=told)
        axes.plot(curve.values, -curve.gap - 0.5 * curve.roots**2, "o", markersize=2.6, color=color)
    forward, back, slope = LINKS[row.scale]
    deepest = curves[0].reach * np.sqrt(_BELOW)
    roots = np.linspace(-deepest, deepest, _POINTS)
    with np.errstate(over="ignore"):
        normal = back(forward(row.estimate) + roots * row.se * slope(row.estimate))
    axes.plot(normal, -0.5 * roots**2, color=style.DATA, linestyle=":", linewidth=1.3, label="information", zorder=1)
    axes.axhline(limit, color=style.MUTED, linewidth=0.8, label=f"limit for {level:.0%}", zorder=0)
    axes.axvline(row.estimate, color=style.GRID, linewidth=0.8, zorder=0)
    for side, mark in ((0, "<"), (-1, ">")):
        at, ends = outermost(curves, row.scale, level, side)
        if ends:
            axes.vlines(at, _BELOW * limit, limit, color=color, linewidth=0.8)
        else:
            axes.plot(at, _height(curves, at), mark, markersize=7, color=style.WARNING, label="open end", zorder=5)
    axes.set_ylim(_BELOW * limit, -0.06 * limit)


def _height(curves: list[ProfileCurve], at: float) -> float:
    """The profile at the end of a curve that ends ``at`` this number."""
    ends = [(curve.values[end], -curve.gap - 0.5 * curve.roots[end] ** 2) for curve in curves for end in (0, -1)]
    return min(ends, key=lambda end: abs(end[0] - at))[1]
