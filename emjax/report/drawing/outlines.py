"""Scatters of two features with the components of EM and of the draws as outlines.

An outline is the smallest region that holds 90% of a component: an ellipse, or for features that are independent given
the component and cannot be negative a contour of the product of their densities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from emjax.report.drawing import style
from emjax.report.drawing.view import View, curves, drawn_params, grid_of, moments
from emjax.scope import computing

OUTLINE_MASS = 0.9
"""Share of a component inside its outline."""

_CORNERS = 40
_CONTOUR_POINTS = 121


def draw_points(axes: Axes, view: View, first: int, second: int, *, size: float, rasterized: bool) -> None:
    """The data of two features."""
    x, y = view.points((first, second)).T
    look: dict[str, Any] = {"color": style.DATA, "alpha": 0.65, "linewidths": 0, "label": "data", "zorder": 1}
    axes.scatter(x, y, s=size, rasterized=rasterized, **look)


def outlines(centre: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The ellipses ``(x - c)' M^-1 (x - c) = 1`` of centres ``(..., 2)`` and matrices ``(..., 2, 2)``.

    They are closed polygons ``(..., n_corners, 2)``: ``c + L u`` for ``u`` on the unit circle and ``L L'`` the matrix.
    """
    angle = np.linspace(0, 2 * np.pi, _CORNERS + 1)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    return centre[..., None, :] + np.swapaxes(np.linalg.cholesky(matrix) @ circle, -1, -2)


Lines = list[list[np.ndarray]]
"""The outline of each component, of one draw after the other: polygons ``(n_corners, 2)``, often one."""


def component_outlines(view: View, first: int, second: int, kept: np.ndarray | None = None) -> Lines:
    """The outlines of components in two features: of some draws, or of EM, or of the mean of the draws without it."""
    if contoured(view):
        return _contours(view, first, second, kept)
    stored = view.at if kept is None else {name: values[kept] for name, values in (view.draws or {}).items()}
    pair, (centre, matrix) = [first, second], ellipses(view, stored)
    found = outlines(centre[..., pair], matrix[..., pair, :][..., pair])
    return [[line] for line in found.reshape(-1, _CORNERS + 1, 2)]


def contoured(view: View) -> bool:
    """Whether outlines are contours."""
    return view.family.independent and not view.family.discrete and view.family.support != "real"


def ellipses(view: View, stored: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Centres ``(S, K, d)`` and matrices ``(S, K, d, d)`` of the ellipses of components, see `Family.ellipses`."""
    params = drawn_params(view, stored)
    with computing():
        return params.family.ellipses(params, OUTLINE_MASS)


def _contours(view: View, first: int, second: int, kept: np.ndarray | None) -> Lines:
    """Contours of the product of two features' densities, of EM or of some draws."""
    sides = []
    for feature in (first, second):
        ends = grid_of(view, feature)[[0, -1]]
        # A component reaches beyond the data that it happens to have.
        mean, covariance = (each[0] for each in moments(view, view.at))
        ends[1] = max(ends[1], (mean[:, feature] + 6.0 * np.sqrt(covariance[:, feature, feature])).max())
        # Close points near zero, where such densities are steep.
        grid = ends[0] + (ends[1] - ends[0]) * np.linspace(0.0, 1.0, _CONTOUR_POINTS) ** 3
        line = curves(view, feature, grid)
        parts = line.estimate if kept is None else np.asarray(line.draws)[kept].reshape(-1, len(grid))
        weights = view.at["weights"][0] if kept is None else np.asarray(view.draws["weights"])[kept].ravel()  # type: ignore[index]
        with np.errstate(invalid="ignore", divide="ignore"):
            sides.append((grid, np.nan_to_num(parts / weights[:, None], posinf=0.0)))
    (x, of_x), (y, of_y) = sides
    area = np.gradient(x)[None, :] * np.gradient(y)[:, None]
    return [_contour(x, y, beside[:, None] * along[None, :], area) for along, beside in zip(of_x, of_y, strict=True)]


def _contour(x: np.ndarray, y: np.ndarray, density: np.ndarray, area: np.ndarray) -> list[np.ndarray]:
    """Where a density is as high as it is everywhere in the smallest region that holds `OUTLINE_MASS`."""
    order = np.argsort(-density, axis=None)
    held = np.cumsum((density * area).ravel()[order])
    if not held[-1] > 0:
        return []
    last = min(int(np.searchsorted(held, OUTLINE_MASS * min(held[-1], 1.0))), len(order) - 1)
    found: Any = contour_generator(x, y, density).lines(density.ravel()[order[last]])
    return list(found)


def draw_outlines(axes: Axes, view: View, first: int, second: int, *, n_draws: int, names: bool) -> None:
    """A sheaf of outlines of draws, EM's on top with its means."""
    drawn: list[np.ndarray] = []
    if view.draws is not None:
        kept = np.unique(np.linspace(0, len(view.draws["weights"]) - 1, n_draws).round().astype(int))
        drawn += [line for several in component_outlines(view, first, second, kept) for line in several]
        look: dict[str, Any] = {"colors": view.posterior_color, "linewidths": 0.7, "alpha": 0.28, "zorder": 2}
        axes.add_collection(LineCollection(drawn, **look), autolim=False)
        # The key shows a line as dark as many of them are together.
        axes.add_line(Line2D([], [], color=view.posterior_color, linewidth=1.8, label=view.posterior_name))
    if view.em is not None:
        lines = [line for several in component_outlines(view, first, second) for line in several]
        look = {"colors": style.EM, "linestyles": style.EM_LINE, "linewidths": 1.9 if names else 1.2, "zorder": 4}
        axes.add_collection(LineCollection(lines, **look), autolim=False)
        axes.add_line(Line2D([], [], linewidth=1.9, **view.em_look))
        mean = moments(view, view.em)[0][0][:, [first, second]]
        if names and len(mean) > 1:
            for k, (x, y) in enumerate(mean):
                style.number_mark(axes, k, x, y)
        else:
            axes.plot(*mean.T, "+", markersize=8 if names else 4, markeredgewidth=1.6, color=style.EM, zorder=5)
        drawn += lines
    _limits(axes, view, (first, second), drawn)


def _limits(axes: Axes, view: View, features: tuple[int, int], lines: list[np.ndarray]) -> None:
    """All data and the outlines, but an outline may not shrink the data to a spot."""
    low, high = np.transpose([view.limits(feature) for feature in features])
    room = 0.3 * (high - low)
    corners = np.concatenate([*lines, np.stack([low, high])])
    finite = corners[np.isfinite(corners).all(axis=1)]
    start = np.minimum(low, np.maximum(finite.min(axis=0), low - room))
    end = np.maximum(high, np.minimum(finite.max(axis=0), high + room))
    margin = 0.03 * (end - start)
    axes.set_xlim(start[0] - margin[0], end[0] + margin[0])
    axes.set_ylim(start[1] - margin[1], end[1] + margin[1])
