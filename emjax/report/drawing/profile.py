"""Profiles: how likely each level of each feature is in each component, as latent classes are drawn.

Every row is a level (of a feature of zeros and ones only the 1), the bar behind it the share among the data, a symbol
EM's probability in a component, a line the interval of the draws and a tick their mean.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from emjax.report.drawing import style
from emjax.report.drawing.view import View, band, curves
from emjax.wording import elided

MOST_ROWS = 40
"""Of more levels than this the features that come first are drawn."""

_ROW = 0.2
_BETWEEN = 0.6
"""What separates two features, in rows."""


@dataclasses.dataclass(frozen=True)
class Level:
    """One row: its name, its place from the top, its share of the data, and its probability in each component, by EM
    ``(K,)`` and of the draws ``(n_draws, K)``."""

    name: str
    place: float
    share: float
    em: np.ndarray | None
    draws: np.ndarray | None


def profile_features(view: View) -> int:
    """How many features are drawn, the first ones."""
    sizes = np.cumsum([len(_shown(view, feature)) for feature in range(view.n_features)])
    return max(int((sizes <= MOST_ROWS).sum()), 1)


def profile_levels(view: View) -> list[Level]:
    """The rows of a profile, from the top."""
    found, place = [], 0.0
    for feature in range(profile_features(view)):
        line, (column, weights) = curves(view, feature), view.cells(feature)
        em, draws = (None if side is None else _within(side) for side in (line.em, line.draws))
        names = view.level_names(feature)
        for level in _shown(view, feature):
            found.append(
                Level(
                    view.feature_names[feature] if view.family.levels is None else names[level],
                    place,
                    float(weights[column == level].sum() / weights.sum()),
                    None if em is None else em[:, level],
                    None if draws is None else draws[:, :, level],
                )
            )
            place += 1.0
        place += 0.0 if view.family.levels is None else _BETWEEN
    return found


def _shown(view: View, feature: int) -> range:
    """The levels of a feature that have a row."""
    n_levels = len(view.level_names(feature))
    return range(1, n_levels) if view.family.levels is None else range(n_levels)


def _within(joint: np.ndarray) -> np.ndarray:
    """Probabilities of levels in each component, from those of level and component."""
    with np.errstate(invalid="ignore"):
        return joint / joint.sum(axis=-1, keepdims=True)


def draw_profile(view: View, width: float) -> Figure:
    """The probabilities of all levels in all components."""
    rows = profile_levels(view)
    named = view.family.levels is not None
    # Components stand below each other in a row.
    step = max(_ROW, 0.1 * min(view.n_components, 6))
    figure, (axes,) = style.canvas(width, 1.1 + step * (rows[-1].place + 1.6))
    axes.barh([row.place for row in rows], [row.share for row in rows], height=0.86, color=style.DATA_FILL, zorder=0)
    for row in rows:
        _draw_level(axes, view, row)
    axes.set_ylim(rows[-1].place + 0.8, -0.8)
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x")
    style.finish(axes, "probability in the component", "")
    letters = int(0.13 * width / 0.085)
    axes.set_yticks([row.place for row in rows], [elided(row.name, letters if named else 2 * letters) for row in rows])
    if named:
        _name_features(axes, view, rows, letters)
    _key(figure, view)
    return figure


def _draw_level(axes: Axes, view: View, row: Level) -> None:
    for k in range(view.n_components):
        color, symbol = style.component(k)
        y = row.place + 0.62 * ((k + 0.5) / view.n_components - 0.5)
        if row.draws is not None:
            drawn = row.draws[np.isfinite(row.draws[:, k]), k]  # a component without weight has no levels
            axes.hlines(y, *band(drawn, view.level), color=view.shade(k), linewidth=1.8, alpha=0.75, zorder=2)
            axes.plot(drawn.mean(), y, "|", markersize=7, color=view.shade(k), zorder=3)
        if row.em is not None:
            axes.plot(row.em[k], y, symbol, markersize=4.8, color=color, markeredgewidth=0, zorder=4)


def _name_features(axes: Axes, view: View, rows: list[Level], letters: int) -> None:
    """The name of each feature beside the names of its levels, as a second row of ticks."""
    beside = axes.secondary_yaxis(-0.17)
    first, middles = 0, []
    for feature in range(profile_features(view)):
        last = first + len(_shown(view, feature)) - 1
        middles.append(0.5 * (rows[first].place + rows[last].place))
        first = last + 1
    names = [elided(name, letters) for name in view.feature_names[: len(middles)]]
    beside.set_yticks(middles, names, color=style.INK, fontweight="bold", fontsize=8.5)
    beside.tick_params(length=0)
    beside.spines["left"].set_visible(False)


def _key(figure: Figure, view: View) -> None:
    component = "component " if view.n_components <= 4 else ""
    handles: dict[str, Line2D | Patch] = {"data": Patch(color=style.DATA_FILL)}
    handles |= style.component_keys([f"{component}{k}" for k in range(view.n_components)])
    if view.em is not None:
        handles[view.em_name] = Line2D([], [], linestyle="none", marker="o", color=style.MUTED, markersize=5.5)
    if view.draws is not None:
        handles[view.band_name()] = Line2D([], [], marker="|", color=style.MUTED if view.trusted else style.UNTRUSTED)
    style.place_key(figure, handles)
