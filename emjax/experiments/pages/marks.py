"""What figures of several panels share: the look and the key of methods, their estimates, and logarithmic ticks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from emjax.experiments.summary.estimates import ENOUGH
from emjax.report.drawing import style
from emjax.wording import elided

HOLLOW = f" Hollow: of trusted outcomes, which are fewer than {ENOUGH:.0%}; those left out may be the hard ones."


@dataclasses.dataclass(frozen=True)
class Mark:
    """The look of a method: a colour, a line and a marker, so that no two are told apart by colour alone."""

    color: str
    line: Any
    marker: str


_DOTS = (0, (1.2, 1.4))
_LONG = (0, (7, 2))
_FIRST = {
    "em": Mark(style.EM, style.EM_LINE, "o"),
    "map": Mark(style.CHAINS[3], style.EM_LINE, "s"),
    "sampler": Mark(style.POSTERIOR, "-", "D"),
    "sklearn": Mark(style.CHAINS[1], _DOTS, "^"),
}
_FURTHER = (
    Mark(style.CHAINS[0], "-", "v"),
    Mark(style.CHAINS[2], _LONG, "P"),
    Mark(style.INK, _DOTS, "X"),
    Mark(style.DATA, _LONG, "<"),
    Mark(style.WARNING, _DOTS, ">"),
)


def method_marks(methods: Sequence[Any]) -> dict[str, Mark]:
    """The look of every method: EM is orange and dashed, the first sampler blue and solid, as in all reports."""
    marks: dict[str, Mark] = {}
    n_further = 0
    for method in methods:
        mark = _FIRST.get(method.kind, _FIRST["sampler"])
        if mark in marks.values():
            mark = _FURTHER[n_further % len(_FURTHER)]
            n_further += 1
        marks[method.label] = mark
    return marks


def panel_axes(
    width: float,
    n_panels: int,
    n_columns: int,
    tall: float,
    marks: Mapping[str, Mark],
    there: Iterable[str],
    **options: Any,
) -> tuple[Figure, list[Axes]]:
    """A figure with its panels row by row, below the key of those methods that are there."""
    shown = {name: mark for name, mark in marks.items() if name in set(there)}
    above = 0.2 + 0.2 * math.ceil(len(shown) / 3)
    figure, axes = style.panels(width, n_panels, n_columns, tall, above=above, **options)
    handles = {
        elided(name, 30): Line2D([], [], color=mark.color, linestyle=mark.line, marker=mark.marker, markersize=4.5)
        for name, mark in shown.items()
    }
    style.place_key(figure, handles, handlelength=2.6)
    return figure, axes


def draw_estimates(
    axes: Axes,
    x: np.ndarray,
    points: pd.DataFrame,
    mark: Mark,
    *,
    floor: float = -math.inf,
    joined: float = 0.0,
    name: str | None = None,
) -> None:
    """Estimates with their errors: bars, or where they are ``joined`` a line in a band as dark as that says.

    Markers are empty where few trusted outcomes stand behind them, and have a ``name`` in an SVG file; nothing lies
    below the ``floor``.
    """
    value, lower, upper = (points[column].to_numpy(float) for column in ("value", "lower", "upper"))
    lower, upper = np.maximum(lower, floor), np.maximum(upper, floor)
    if joined:
        axes.fill_between(x, lower, upper, color=mark.color, alpha=joined, linewidth=0)
        axes.plot(x, value, zorder=3, color=mark.color, linestyle=mark.line, linewidth=1.5)
    else:
        axes.vlines(x, lower, upper, color=mark.color, linewidth=1.2)
    look: dict[str, Any] = {"linestyle": "none", "marker": mark.marker, "markersize": 5}
    axes.plot(x, value, color=mark.color, zorder=3, gid=name, **look)
    chosen = points["doubtful"].to_numpy(bool)
    if chosen.any():
        look |= {"markerfacecolor": style.ON_MARK, "markeredgecolor": mark.color}
        axes.plot(x[chosen], value[chosen], zorder=3.5, **look)


def log_ticks(axis: Axis) -> None:
    """Few labelled ticks on a logarithmic axis, in plain text; 1, 2 and 5 where it spans less than two decades."""
    low, high = (math.log10(end) for end in axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high - low < 2 else (1,), numticks=7))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_plain) if high < 6 and low > -4 else style.POWERS)


def _plain(value: float, _position: float = 0) -> str:
    if value >= 1e4 or value < 1e-3:
        return style.compact(float(f"{value:.2g}"))
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
