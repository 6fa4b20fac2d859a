"""Intervals of several methods side by side, and a posterior's beside them: one row per number, a line per method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.bayes.posterior import Posterior
from emjax.catalogue import OF_COMPARISONS
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.profile_curves import profile_curves
from emjax.result import Fit
from emjax.uncertainty.results import IntervalRow, Intervals, IntervalStatus
from emjax.wording import count, elided

MOST_ROWS = 24
"""Numbers that are drawn, the first of more."""

_FARTHEST = 6.0
"""What lies so many standard errors out is cut off there: an open end."""

_ROW, _LINE = 0.16, 0.13


@style.drawn
def interval_methods(sources: Sequence[Intervals | Posterior], *, width: float = 7.0) -> Figure:
    """Intervals of one fit by several methods, such as ``[fit.intervals(method=m) for m in methods]``.

    Each row has its own scale: 0 is the estimate, 1 a standard error of the first method. A posterior among them is
    drawn with its means, in its colour, at its own 90%. Rough intervals and draws that have not converged are grey;
    those that are withheld are left out. The first 24 numbers are drawn.

    Raises ValueError if nothing among the sources has intervals of the same numbers.
    """
    known = [one for one in sources if isinstance(one, Posterior) or not one.status.withheld]
    first = next((one for one in known if isinstance(one, Intervals)), None)
    if first is None:
        raise ValueError("there are no intervals to draw: all are withheld, or none were given")
    rows = [row for row in first.rows if row.se > 0][:MOST_ROWS]
    lines = [_line(one, number) for number, one in enumerate(known)]
    figure, (axes,) = style.canvas(width, len(rows) * (_ROW + _LINE * len(lines)) + 0.9)
    step = _LINE / (_ROW + _LINE * len(lines))
    for place, row in enumerate(rows):
        for number, (found, name, look) in enumerate(lines):
            own = found.get(row.name)
            if own is not None:
                label, at = "" if place else name, place + step * (number - (len(lines) - 1) / 2)
                _draw(axes, row, own, at, label, look, style.component(number)[1])
    axes.axvline(0, color=style.MUTED, linewidth=0.8, zorder=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x")
    units = f"in standard errors ({first.method})"
    style.finish(axes, f"distance from the estimate, {units}" if width > 5 else units)
    style.rows_of(axes, np.arange(len(rows)), [elided(row.name, 30 if width > 5 else 18) for row in rows])
    style.key(figure)
    return figure


def _line(source: Intervals | Posterior, number: int) -> tuple[dict[str, tuple[float, float, float]], str, str]:
    """By name of each number its lower bound, its middle and its upper bound; what the line is called; its colour."""
    if isinstance(source, Posterior):
        frame = source.to_frame()
        ends = zip(frame["lower"], frame["mean"], frame["upper"], strict=True)
        color = style.POSTERIOR if source.usable else style.UNTRUSTED
        name = "posterior" if source.converged else source.status.value.replace("_", " ")
        return dict(zip(frame["parameter"], ends, strict=True)), name, color
    # The posterior's colour is nobody else's.
    colors = (style.EM, *style.CHAINS, style.INK)
    rough = source.status is IntervalStatus.ROUGH
    found = {row.name: (row.lower, row.estimate, row.upper) for row in source.rows}
    color = style.UNTRUSTED if rough else colors[number % len(colors)]
    return found, f"{source.method}{', rough' if rough else ''}", color


def _draw(
    axes: Axes, row: IntervalRow, ends: tuple[float, float, float], place: float, name: str, color: str, symbol: str
) -> None:
    lower, middle, upper = ((value - row.estimate) / row.se for value in ends)
    # The symbol is at the estimate, which reflected percentiles need not hold.
    points = np.sort([*np.clip([lower, upper], -_FARTHEST, _FARTHEST), middle])
    at = [int(np.searchsorted(points, middle))]
    axes.plot(points, [place] * 3, symbol, markevery=at, markersize=4.2, color=color, linestyle="-", label=name or None)
    for end, mark in ((lower, "<"), (upper, ">")):
        if abs(end) > _FARTHEST:
            axes.plot(np.sign(end) * _FARTHEST, place, mark, markersize=5, color=color)


def interval_pictures(fit: Fit, known: Intervals) -> Iterator[Picture]:
    """Intervals by another method than the information, beside those by it; of profiles also their curves."""
    if known.method == "information" or known.status.withheld:
        return
    sources = [one for one in (fit.intervals(known.level, OF_COMPARISONS), known) if not one.status.withheld]
    n_rows = sum(row.se > 0 for row in sources[0].rows)
    shown = f" The first {MOST_ROWS} of {n_rows} numbers." if n_rows > MOST_ROWS else ""
    beside = " beside those by the information" if len(sources) > 1 else ""
    yield Picture(
        "interval-methods",
        lambda width: interval_methods(sources, width=width),
        title=f"Intervals by the method {known.method}",
        caption=(
            f"{known.level:.0%} intervals of {count(n_rows, 'number')}{beside}. Every row has its own scale: 0 is the "
            f"estimate, 1 a standard error. Rough intervals are grey.{shown}"
        ),
    )
    if known.curves:
        open_ends = sum(bool(row.note) for row in known.rows)
        never = f" {count(open_ends, 'profile')} could not be followed to both ends (triangles)." if open_ends else ""
        yield Picture(
            "profile-curves",
            lambda width: profile_curves(known, width=width),
            title="The profile log-likelihood",
            caption=(
                f"How far the log-likelihood falls where a number is held fixed; a {known.level:.0%} interval ends at "
                "the line. Dotted: the parabola that the information takes it for. Of many numbers those where both "
                f"differ most.{never}"
            ),
        )
