"""What figures of several panels share: the look and the key of methods, where panels stand, and logarithmic ticks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

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

    @property
    def options(self) -> dict[str, Any]:
        """For Matplotlib's ``plot``."""
        return {"color": self.color, "linestyle": self.line, "marker": self.marker, "linewidth": 1.5}


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
    width: float, n_panels: int, n_columns: int, tall: float, gap: float, marks: Mapping[str, Mark]
) -> tuple[Figure, list[Axes]]:
    """A figure with its panels row by row, each ``tall`` inches and ``gap`` inches apart, below the key of methods."""
    names, n_rows = [elided(method, 30) for method in marks], math.ceil(n_panels / n_columns)
    n_keys = max(1, min(len(names), int((width - 0.5) / (0.75 + 0.075 * max(map(len, names), default=0)))))
    left, right, bottom, above, below = 0.72, 0.14, 0.54, 0.3 + 0.22 * math.ceil(len(names) / n_keys), 0.5
    each = (width - left - right - (n_columns - 1) * gap) / n_columns
    height = above + bottom + n_rows * tall + (n_rows - 1) * below
    figure = style.Picture(figsize=(width, height))
    edges = {"left": left / width, "right": 1 - right / width, "bottom": bottom / height, "top": 1 - above / height}
    spaces = {**edges, "wspace": gap / each, "hspace": below / tall}
    found = list(figure.subplots(n_rows, n_columns, squeeze=False, gridspec_kw=spaces).flat)
    for spare in found[n_panels:]:
        spare.remove()
    handles = [Line2D([], [], markersize=4.5, **mark.options) for mark in marks.values()]
    look: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.62 / width, 1 - 0.03 / height)}
    figure.legend(handles, names, ncols=n_keys, handlelength=2.6, columnspacing=1.4, labelcolor=style.INK, **look)
    return figure, found[:n_panels]


def draw_points(
    axes: Axes, x: np.ndarray, y: np.ndarray, mark: Mark, size: float, doubtful: Iterable[bool], name: str | None = None
) -> None:
    """Markers, empty where few trusted outcomes stand behind them; ``name`` is theirs in an SVG file."""
    look: dict[str, Any] = {"linestyle": "none", "marker": mark.marker, "markersize": size}
    axes.plot(x, y, color=mark.color, zorder=3, gid=name, **look)
    chosen = np.fromiter(doubtful, bool)
    if chosen.any():
        look |= {"markerfacecolor": style.ON_MARK, "markeredgecolor": mark.color}
        axes.plot(x[chosen], y[chosen], zorder=3.5, **look)


def log_ticks(axes: Axes, *, along: str = "y") -> None:
    """Few labelled ticks on a logarithmic axis, in plain text; 1, 2 and 5 where it spans less than two decades."""
    axis, ends = (axes.yaxis, axes.get_ylim()) if along == "y" else (axes.xaxis, axes.get_xlim())
    low, high = (math.log10(end) for end in ends)
    leading = (1, 2, 5) if high - low < 2 else (1,)
    step = max(1, math.ceil((high - low) / 6))
    powers = range(math.floor(low), math.ceil(high) + 1, step)
    places = [first * 10.0**power for power in powers for first in leading]
    places = [place for place in places if ends[0] <= place <= ends[1]]
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
