"""The forest: EM's estimate and interval beside the posterior's, one row per number, each on its own scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.comparison import Comparison, ParameterRow
from emjax.metrics.parameter import ROUNDING
from emjax.naming import inner_names, scalar_parameters
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import View, as_view
from emjax.wording import columns, count, elided, number

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
    worst = sorted(movable, key=lambda row: -_size(row.difference_in_sd))[:most]
    kept = {row.name for row in worst}
    return [row for row in movable if row.name in kept], len(movable)


def _size(value: float) -> float:
    return abs(value) if np.isfinite(value) else np.inf


@style.drawn
def forest(comparison: Comparison, *, width: float = 7.0) -> Figure:
    """Estimates and intervals of EM and the posterior, each row in units of its posterior standard deviation.

    Of more than 36 rows those that differ most are drawn.
    """
    rows, _ = forest_rows(comparison)
    places, groups, length = _places(rows)
    names = _labels(comparison, 34 if width > 5 else 20)
    labels = [names[row.name] for row in rows]
    left = 0.3 + 0.078 * max([*map(columns, labels), 10])
    height = length * _ROW + 0.95
    figure, axes = style.single(width, height, left=left, right=0.14, bottom=0.56, top=0.36)
    limit = _limit(rows)
    view = as_view(comparison)
    for row, place in zip(rows, places, strict=True):
        _draw_row(axes, row, place, limit, view.posterior_color)
    _key(axes, view)
    axes.axvline(0, color=style.MUTED, linewidth=0.8, zorder=0)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(length, -0.35)
    axes.grid(axis="x")
    of = "posterior" if view.trusted else "draws'"
    style.finish(axes, f"distance from the {of} mean, in {of} sd" if width > 5 else f"in {of} sd")
    axes.set_yticks(places, labels, color=style.INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for name, place in groups:
        style.write(
            axes, name, 0, place, right=-3.5, xycoords=axes.get_yaxis_transform(), ha="right", va="center_baseline",
            fontweight="bold",
        )  # fmt: skip
    return figure


def _labels(comparison: Comparison, letters: int) -> dict[str, str]:
    """For each row's name its component and its features, each feature shortened to an equal share of the room."""
    fit = comparison.fit
    found = {}
    named = fit.mixture.named_parameters(fit.params)
    for parameter in scalar_parameters(named, fit.feature_names, fit.mixture.family.levels):
        features = inner_names(parameter.index, fit.feature_names, fit.mixture.family.levels)
        room = (letters - 2) // max(len(features), 1) - 2
        found[parameter.name] = ", ".join([f"{parameter.index[0]}", *(elided(name, room) for name in features)])
    return found


def _places(rows: Sequence[ParameterRow]) -> tuple[list[float], list[tuple[str, float]], float]:
    """The height of each row, the heading above each variable with its height, and the height of all."""
    places: list[float] = []
    groups: list[tuple[str, float]] = []
    place = 0.0
    for row in rows:
        variable = row.name.partition("[")[0]
        if not groups or groups[-1][0] != variable:
            place += 0.25 if groups else 0.0
            groups.append((variable, place))
            place += 0.95
        places.append(place)
        place += 1.0
    return places, groups, place


def _limit(rows: Sequence[ParameterRow]) -> float:
    ends = [
        abs(end - row.mean) / row.sd
        for row in rows
        for end in (row.em_lower, row.em_upper, row.em, row.map, row.lower, row.upper)
        if np.isfinite(end)
    ]
    return 1.08 * min(max([*ends, 2.0]), _WIDEST)


def _draw_row(axes: Axes, row: ParameterRow, place: float, limit: float, color: str) -> None:
    def scaled(value: float) -> float:
        return (value - row.mean) / row.sd

    below, above = place + 0.17, place - 0.17
    axes.hlines(below, scaled(row.lower), scaled(row.upper), color=color, linewidth=2.2)
    axes.plot(0, below, marker="s", markersize=4.6, color=color)
    if np.isfinite(row.em_lower):
        ends = np.clip([scaled(row.em_lower), scaled(row.em_upper)], -limit, limit)
        axes.hlines(above, *ends, color=style.EM, linewidth=2.2, linestyle=(0, (2.2, 0.7)))
    if abs(scaled(row.em)) > limit:
        _off_scale(axes, scaled(row.em), above, limit)
        return
    axes.plot(scaled(row.em), above, marker="o", markersize=4.8, color=style.EM)
    if abs(scaled(row.map)) <= limit:
        style.mark(axes, scaled(row.map), place, "D", 3.4, style.EM, hollow=True, markeredgewidth=1.0)


def _off_scale(axes: Axes, value: float, place: float, limit: float) -> None:
    side = 1 if value > 0 else -1
    style.mark(axes, side * limit * 0.985, place, ">" if side > 0 else "<", 6, style.EM)
    style.write(
        axes, number(value, 2), side * limit * 0.985, place, right=-9 * side, ha="right" if side > 0 else "left",
        va="center", color=style.EM, fontsize=8,
    )  # fmt: skip


def _key(axes: Axes, view: View) -> None:
    dashes = (0, (2.2, 0.7))
    style.mark(axes, [], [], "o", 4.8, style.EM, linestyle=dashes, linewidth=2.2, label=view.em_name)
    style.mark(axes, [], [], "D", 3.4, style.EM, hollow=True, label="MAP")
    style.mark(axes, [], [], "s", 4.6, view.posterior_color, linestyle="-", linewidth=2.2, label=view.posterior_name)
    style.legend(axes)


def forest_picture(comparison: Comparison) -> Picture | None:
    """EM beside the posterior, parameter by parameter; None where no number can move."""
    rows, n_rows = forest_rows(comparison)
    if not rows:
        return None
    worst = max(rows, key=lambda row: _size(row.difference_in_sd))
    trusted = comparison.posterior.converged
    posterior, mean = ("posterior", "posterior mean") if trusted else ("draws that have not converged", "draws' mean")
    left_out = f" Of {n_rows} rows the {len(rows)} that differ most; the table below holds all."
    return Picture(
        "forest",
        lambda width: forest(comparison, width=width),
        title=f"EM beside the {posterior}",
        caption=(
            f"{count(len(rows), 'estimate')} with {comparison.level:.0%} intervals. Every row has its own scale: 0 is "
            f"the {mean}, 1 one of its standard deviations, so that rows can be compared. EM is furthest from it in "
            f"{elided(worst.name, 60)}, by {number(abs(worst.difference_in_sd), 2)}. The first number in a row's name "
            "is the component. The diamond is EM under the sampler's prior (MAP): its distance to the circle is what "
            f"the prior does.{left_out if len(rows) < n_rows else ''}"
        ),
    )
