"""The forest: EM's estimate and interval beside the posterior's, one row per number, each on its own scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.comparison import Comparison, ParameterRow
from emjax.metrics.parameter import ROUNDING
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import View, as_view
from emjax.wording import count, elided, number

MOST_ROWS = 36
"""Of more rows than this the ones that differ most are drawn."""

_WIDEST = 5.0
_ROW = 0.27


def forest_rows(comparison: Comparison, most: int = MOST_ROWS) -> tuple[list[ParameterRow], int]:
    """The rows that are drawn, in the table's order, and how many rows could be drawn.

    A number that cannot move (the only weight of one component) has no scale and is left out. If more than ``most``
    remain, the rows whose estimates differ most in posterior standard deviations are kept.
    """
    movable = [row for row in comparison.rows if row.sd > ROUNDING * abs(row.mean)]
    kept = {row.name for row in sorted(movable, key=_apart, reverse=True)[:most]}
    return [row for row in movable if row.name in kept], len(movable)


def _apart(row: ParameterRow) -> float:
    return abs(row.difference_in_sd) if np.isfinite(row.difference_in_sd) else np.inf


@style.drawn
def forest(comparison: Comparison, *, width: float = 7.0) -> Figure:
    """Estimates and intervals of EM and the posterior, each row in units of its posterior standard deviation.

    Of more than 36 rows those that differ most are drawn.
    """
    rows, _ = forest_rows(comparison)
    places, groups, length = _places(rows)
    names, view = _labels(comparison, 34 if width > 5 else 20), as_view(comparison)
    figure, (axes,) = style.canvas(width, length * _ROW + 0.95)
    farthest = np.abs([_ends(row) for row in rows])
    limit = 1.08 * float(np.clip(farthest[np.isfinite(farthest)].max(initial=0.0), 2.0, _WIDEST))
    for row, place in zip(rows, places, strict=True):
        _draw_row(axes, row, place, limit, view)
    axes.axvline(0, color=style.MUTED, linewidth=0.8, zorder=0)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(length, -0.35)
    axes.grid(axis="x")
    of = view.posterior_name if view.trusted else "draws'"
    style.finish(axes, f"distance from the {of} mean, in {of} sd" if width > 5 else f"in {of} sd")
    # The name of a variable is a row without numbers.
    style.rows_of(axes, [*places, *groups.values()], [*(names[row.name] for row in rows), *groups])
    for tick in axes.get_yticklabels()[len(rows) :]:
        tick.set_fontweight("bold")
    style.key(figure)
    return figure


def _labels(comparison: Comparison, letters: int) -> dict[str, str]:
    """For each row's name its component and its features, each feature shortened to an equal share of the room."""
    fit = comparison.fit
    found = {}
    named = fit.mixture.named_parameters(fit.params)
    for parameter in fit.mixture.scalars(named, fit.feature_names):
        inner = parameter.features or tuple(map(str, parameter.index[1:]))
        room = (letters - 2) // max(len(inner), 1) - 2
        found[parameter.name] = (
            ", ".join([*map(str, parameter.index[:1]), *(elided(name, room) for name in inner)]) or parameter.variable
        )
    return found


def _places(rows: Sequence[ParameterRow]) -> tuple[list[float], dict[str, float], float]:
    """The height of each row, of the heading above each variable, and of all."""
    places: list[float] = []
    groups: dict[str, float] = {}
    place = 0.0
    for row in rows:
        variable = row.name.partition("[")[0]
        if variable not in groups:
            place += 0.25 if groups else 0.0
            groups[variable] = place
            place += 0.95
        places.append(place)
        place += 1.0
    return places, groups, place


def _ends(row: ParameterRow) -> np.ndarray:
    """EM's interval and estimate, the MAP, and the posterior's interval, from its mean in its sd."""
    values = np.array([row.em_lower, row.em_upper, row.em, row.map, row.lower, row.upper])
    return (values - row.mean) / row.sd


def _is_apart(row: ParameterRow) -> bool:
    """Whether the MAP is another point than EM's estimate, which may be the MAP itself."""
    return abs(row.map - row.em) > 1e-6 * row.sd


def _draw_row(axes: Axes, row: ParameterRow, place: float, limit: float, view: View) -> None:
    """EM's estimate and interval above, the posterior's below, the MAP between; what is off the scale as an arrow."""
    em_lower, em_upper, em, mode, lower, upper = _ends(row)
    below, above = place + 0.17, place - 0.17
    look: dict[str, Any] = {"linewidth": 2.2, "markersize": 4.7}
    dashes = {**look, "color": style.EM, "linestyle": (0, (2.2, 0.7)), "label": view.em_name}
    solid = {**look, "color": view.posterior_color, "linestyle": "-", "label": view.posterior_name}
    axes.plot([lower, 0, upper], [below] * 3, "s", markevery=[1], **solid)
    ends = np.clip([em_lower, em_upper], -limit, limit)
    if abs(em) <= limit:
        axes.plot(np.insert(ends, 1, em), [above] * 3, "o", markevery=[1], **dashes)
        if abs(mode) <= limit and _is_apart(row):
            axes.plot(mode, place, "D", markersize=3.4, label="MAP", **style.hollow(style.EM))
        return
    axes.plot(ends, [above] * 2, **dashes)
    side = 1 if em > 0 else -1
    axes.plot(side * limit * 0.985, above, ">" if side > 0 else "<", markersize=6, color=style.EM)
    axes.annotate(
        number(em, 2), (side * limit * 0.985, above), (-9 * side, 0), textcoords="offset points", va="center",
        ha="right" if side > 0 else "left", color=style.EM, fontsize=8,
    )  # fmt: skip


def forest_picture(comparison: Comparison) -> Picture | None:
    """EM beside the posterior, parameter by parameter; None where no number can move."""
    rows, n_rows = forest_rows(comparison)
    if not rows:
        return None
    worst = max(rows, key=_apart)
    view = as_view(comparison)
    posterior, mean = view.posterior_name, f"{view.posterior_name} mean"
    if not view.trusted:
        posterior, mean = "draws that have not converged", "draws' mean"
    diamond = " The diamond is EM under the sampler's prior (MAP): its distance to the circle is what the prior does."
    diamond = diamond if any(map(_is_apart, rows)) else ""
    left_out = f" Of {n_rows} rows the {len(rows)} that differ most; the table below holds all."
    return Picture(
        "forest",
        lambda width: forest(comparison, width=width),
        title=f"EM beside the {posterior}",
        caption=(
            f"{count(len(rows), 'estimate')} with {comparison.level:.0%} intervals. Every row has its own scale: 0 is "
            f"the {mean}, 1 one of its standard deviations, so that rows can be compared. EM is furthest from it in "
            f"{elided(worst.name, 60)}, by {number(abs(worst.difference_in_sd), 2)}. The first number in a row's name "
            f"is the component.{diamond}{left_out if len(rows) < n_rows else ''}"
        ),
    )
