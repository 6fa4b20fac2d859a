"""What figures of several panels share: the key of the methods above them, and the ticks of logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from emjax.experiments.pages.marks import Mark
from emjax.report.drawing import style
from emjax.wording import elided


def key_rows(methods: Sequence[str], width: float) -> int:
    """How many lines the key of the methods takes at a width in inches."""
    room, rows, used = width - 0.8, 1, 0.0
    for method in methods:
        need = 0.6 + 0.075 * min(len(method), 30)
        if used and used + need > room:
            rows, used = rows + 1, 0.0
        used += need
    return rows


def draw_key(figure: Figure, methods: Sequence[str], marks: Mapping[str, Mark], n_rows: int) -> None:
    """The key above all panels."""
    handles = [Line2D([], [], markersize=4.5, **marks[method].options) for method in methods]
    figure.legend(
        handles,
        [elided(method, 30) for method in methods],
        loc="upper left",
        bbox_to_anchor=(0.62 / figure.get_figwidth(), 1 - 0.03 / figure.get_figheight()),
        ncols=math.ceil(len(methods) / n_rows) if methods else 1,
        handlelength=2.6,
        columnspacing=1.4,
        labelcolor=style.INK,
    )


def hollow(axes: Axes, x: np.ndarray, y: np.ndarray, doubtful: Iterable[bool], mark: Mark, size: float) -> None:
    """Empty the markers of points that few trusted outcomes stand behind."""
    chosen = np.fromiter(doubtful, bool)
    if chosen.any():
        axes.plot(
            x[chosen],
            y[chosen],
            linestyle="none",
            marker=mark.marker,
            markersize=size,
            markerfacecolor=style.ON_MARK,
            markeredgecolor=mark.color,
            zorder=3.5,
        )


def log_ticks(axes: Axes, *, along: str = "y") -> None:
    """Few labelled ticks on a logarithmic axis, in plain text; 1, 2 and 5 where it spans less than two decades."""
    axis, ends = (axes.yaxis, axes.get_ylim()) if along == "y" else (axes.xaxis, axes.get_xlim())
    low, high = (math.log10(end) for end in ends)
    leading = (1, 2, 5) if high - low < 2 else (1,)
    step = max(1, math.ceil((high - low) / 6))
    places = [
        first * 10.0**power
        for power in range(math.floor(low), math.ceil(high) + 1, step)
        for first in leading
        if ends[0] <= first * 10.0**power <= ends[1]
    ]
    if len(places) < 2:
        places = [ends[0] * (ends[1] / ends[0]) ** share for share in (0.15, 0.5, 0.85)]
        places = [float(f"{place:.1g}") for place in places]
    axis.set_major_locator(FixedLocator(sorted(set(places))))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_plain) if high < 6 and low > -4 else style.POWERS)


def _plain(value: float, _position: float = 0) -> str:
    if value >= 1e4 or value < 1e-3:
        return style.compact(float(f"{value:.2g}"))
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
