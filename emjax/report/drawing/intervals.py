"""Estimates with their intervals: a panel for each parameter, a line for each component."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.result import Fit
from emjax.uncertainty.results import IntervalRow, Intervals, IntervalStatus
from emjax.wording import elided

MOST_PANELS = 9
MOST_LINES = 12
"""Parameters and components that are drawn, the first of more."""


def groups(rows: Sequence[IntervalRow]) -> dict[str, list[tuple[str, IntervalRow]]]:
    """The rows by what they measure (``mean[waiting]``, in one unit each), with the number of their component."""
    found: dict[str, list[tuple[str, IntervalRow]]] = {}
    for row in rows:
        variable, _, inner = row.name.partition("[")
        component, _, feature = inner.removesuffix("]").partition(", ")
        found.setdefault(f"{variable}[{feature}]" if feature else variable, []).append((component, row))
    return found


@style.drawn
def intervals(source: Intervals | Fit | Comparison, *, width: float = 7.0) -> Figure:
    """EM's estimates with their intervals, a panel for each parameter and unit, a line for each component.

    Rough intervals are grey, ends at infinity are triangles; where they are withheld there are only the estimates. The
    first nine parameters and twelve components are drawn. A fit's own intervals are those for 90%.
    """
    known = source.intervals if isinstance(source, Comparison) else source
    known = known.intervals() if isinstance(known, Fit) else known
    found = list(groups(known.rows).items())
    shown = found[:MOST_PANELS]
    n_columns = min(len(shown), 3 if width >= 4 else 2)
    n_lines = min(max(len(rows) for _, rows in shown), MOST_LINES)
    figure, all_axes = style.panels(width, len(shown), n_columns, 0.17 * n_lines + 0.7)
    for axes, (name, rows) in zip(all_axes, shown, strict=True):
        _panel(axes, elided(name, int(width / n_columns / 0.075)), rows[:MOST_LINES], known.status)
    title = _title(known, len(found) - len(shown), len(found))
    figure.suptitle(elided(title, int(width / 0.068)), x=0.01, ha="left", fontsize=9, color=style.MUTED)
    return figure


def _title(intervals: Intervals, hidden: int, n_groups: int) -> str:
    if intervals.status.withheld:
        text = f"intervals withheld: {intervals.status.value}"
    else:
        rough = ", rough" if intervals.status is IntervalStatus.ROUGH else ""
        text = f"EM's estimates, {intervals.level:.0%} intervals{rough}, by component"
    return f"{text}; first {n_groups - hidden} of {n_groups} parameters" if hidden else text


def _seen(finite: np.ndarray) -> tuple[float, float]:
    """What a panel shows where an interval goes on for ever: all its finite numbers, and some more."""
    least, most = float(finite.min()), float(finite.max())
    more = 0.15 * (most - least) or 0.15 * abs(least) or 1.0
    return least - more, most + more


def _panel(axes: Axes, name: str, rows: Sequence[tuple[str, IntervalRow]], status: IntervalStatus) -> None:
    color = style.EM if status is IntervalStatus.OK else style.UNTRUSTED
    places = np.arange(len(rows))
    numbers = np.array([(row.estimate, row.lower, row.upper) for _, row in rows])
    finite = numbers[np.isfinite(numbers)]
    for place, (_, row) in zip(places, rows, strict=True):
        if not np.isnan([row.lower, row.upper]).any():
            lower, upper = np.clip([row.lower, row.upper], *_seen(finite))
            axes.hlines(place, lower, upper, color=color, linewidth=2.2)
            for end, at, mark in ((row.lower, lower, "<"), (row.upper, upper, ">")):
                if np.isinf(end):
                    axes.plot(at, place, mark, markersize=5, color=color)
        if np.isfinite(row.estimate):
            axes.plot(row.estimate, place, marker="o", markersize=4.6, color=color)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_title(name, fontsize=8.5)
    axes.grid(axis="x")
    style.finish(axes, n_x=3)
    style.rows_of(axes, places, [component for component, _ in rows])
