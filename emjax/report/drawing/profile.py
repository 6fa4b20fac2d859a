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
from emjax.report.drawing.view import View, curves
from emjax.wording import elided

MOST_ROWS = 40
"""Of more levels than this the features that come first are drawn."""

_MOST_KEYS = 8
_ROW = 0.2
_BETWEEN = 0.6
"""What separates two features, in rows."""


@dataclasses.dataclass(frozen=True)
class Level:
    """One row: its name, its place from the top, its share of the data, and its probability in each component.

    ``em (K,)`` or None, ``draws (n_draws, K)`` or None.
    """

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
                    view.feature_names[feature] if view.mixture.family.levels is None else names[level],
                    place,
                    float(weights[column == level].sum() / weights.sum()),
                    None if em is None else em[:, level],
                    None if draws is None else draws[:, :, level],
                )
            )
            place += 1.0
        place += 0.0 if view.mixture.family.levels is None else _BETWEEN
    return found


def _shown(view: View, feature: int) -> range:
    """The levels of a feature that have a row."""
    n_levels = len(view.level_names(feature))
    return range(1, n_levels) if view.mixture.family.levels is None else range(n_levels)


def _within(joint: np.ndarray) -> np.ndarray:
    """Probabilities of levels in each component, from those of level and component."""
    with np.errstate(invalid="ignore"):
        return joint / joint.sum(axis=-1, keepdims=True)


def draw_profile(view: View, width: float) -> Figure:
    """The probabilities of all levels in all components."""
    rows = profile_levels(view)
    named = view.mixture.family.levels is not None
    left, right, bottom, top = (min(0.34 * width, 2.3) if named else min(0.28 * width, 1.7)), 0.14, 0.47, 0.62
    # Components stand below each other in a row.
    step = max(_ROW, 0.1 * min(view.n_components, 6))
    height = bottom + top + step * (rows[-1].place + 1.6)
    figure, axes = style.single(width, height, left=left, right=right, bottom=bottom, top=top)
    axes.barh([row.place for row in rows], [row.share for row in rows], height=0.86, color=style.DATA_FILL, zorder=0)
    for row in rows:
        _draw_level(axes, view, row)
    axes.set_ylim(rows[-1].place + 0.8, -0.8)
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x")
    style.finish(axes, "probability in the component", "")
    letters = int(left / (0.15 if named else 0.085))
    axes.set_yticks([row.place for row in rows], [elided(row.name, letters) for row in rows])
    if named:
        _name_features(axes, view, rows, left)
    _key(figure, view)
    return figure


def _draw_level(axes: Axes, view: View, row: Level) -> None:
    for k in range(view.n_components):
        color, symbol = style.component(k)
        y = row.place + 0.62 * ((k + 0.5) / view.n_components - 0.5)
        if row.draws is not None:
            lower, upper = np.nanquantile(row.draws[:, k], [0.5 - view.level / 2, 0.5 + view.level / 2])
            shade = color if view.trusted else style.UNTRUSTED
            axes.plot([lower, upper], [y, y], color=shade, linewidth=1.8, alpha=0.75, solid_capstyle="butt", zorder=2)
            axes.plot(np.nanmean(row.draws[:, k]), y, marker="|", markersize=7, color=shade, zorder=3)
        if row.em is not None:
            axes.plot(row.em[k], y, marker=symbol, markersize=4.8, color=color, markeredgewidth=0, zorder=4)


def _name_features(axes: Axes, view: View, rows: list[Level], left: float) -> None:
    """The name of each feature beside the names of its levels."""
    first = 0
    for feature in range(profile_features(view)):
        last = first + len(_shown(view, feature)) - 1
        middle = 0.5 * (rows[first].place + rows[last].place)
        axes.annotate(
            elided(view.feature_names[feature], int(0.5 * left / 0.085)),
            (0.0, middle), xytext=(72 * (0.06 - left), 0.0), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="left", va="center", color=style.INK, fontweight="bold", fontsize=8.5,
            annotation_clip=False,
        )  # fmt: skip
        first = last + 1


def _key(figure: Figure, view: View) -> None:
    handles: list[Line2D | Patch] = [Patch(color=style.DATA_FILL)]
    labels = ["data"]
    for k in range(min(view.n_components, _MOST_KEYS)):
        color, symbol = style.component(k)
        handles.append(Line2D([], [], linestyle="none", marker=symbol, color=color, markersize=5.5))
        labels.append(f"component {k}" if view.n_components <= 4 else f"{k}")
    if view.n_components > _MOST_KEYS:
        handles.append(Line2D([], [], linestyle="none"))
        labels.append(f"+ {view.n_components - _MOST_KEYS} more")
    if view.em is not None:
        handles.append(Line2D([], [], linestyle="none", marker="o", color=style.MUTED, markersize=5.5))
        labels.append(view.em_name)
    if view.draws is not None:
        handles.append(Line2D([], [], marker="|", color=style.MUTED if view.trusted else style.UNTRUSTED))
        labels.append(view.band_name())
    columns = max(int(figure.get_size_inches()[0] / 1.2), 1)
    style.key(figure, handles, labels, left=0.06, top=0.02, ncols=columns, handletextpad=0.4)
