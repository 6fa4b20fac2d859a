"""Scatters of two features with the components of EM and of the draws as ellipses."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from scipy.stats import chi2

from emjax.plots.drawing import style
from emjax.plots.drawing.view import View, moments

ELLIPSE_MASS = 0.9
"""Share of a normal component inside its ellipse."""

_CORNERS = 40


def draw_points(axes: Axes, view: View, first: int, second: int, *, size: float, rasterized: bool) -> None:
    """The data of two features. Counts fall on each other, so they are moved a little, the same way every time."""
    x, y = view.values[view.rows][:, [first, second]].T
    if view.discrete:
        shift = np.random.default_rng(0).uniform(-0.3, 0.3, (2, len(x)))
        x, y = x + shift[0], y + shift[1]
    axes.scatter(
        x, y, s=size, color=style.DATA, alpha=0.65, linewidths=0, rasterized=rasterized, label="data", zorder=1
    )


def outlines(mean: np.ndarray, covariance: np.ndarray, mass: float = ELLIPSE_MASS) -> np.ndarray:
    """Ellipses that hold ``mass`` of two-dimensional normals, as closed polygons ``(..., n_corners, 2)``.

    ``mean`` is ``(..., 2)`` and ``covariance`` ``(..., 2, 2)``. The ellipse is ``mean + L r u`` for ``u`` on the unit
    circle, ``L L'`` the covariance and ``r^2`` the quantile of the chi-squared law with two degrees of freedom.
    """
    angle = np.linspace(0, 2 * np.pi, _CORNERS + 1)
    circle = np.sqrt(chi2.ppf(mass, 2)) * np.stack([np.cos(angle), np.sin(angle)])
    return mean[..., None, :] + np.swapaxes(np.linalg.cholesky(covariance) @ circle, -1, -2)


def draw_ellipses(axes: Axes, view: View, first: int, second: int, *, n_draws: int, names: bool) -> None:
    """A sheaf of ellipses of draws, EM's on top with its means."""
    pair = [first, second]
    drawn = []
    if view.draws is not None:
        mean, covariance = moments(view.mixture, view.draws)
        kept = np.unique(np.linspace(0, len(mean) - 1, n_draws).round().astype(int))
        lines = outlines(mean[kept][..., pair], covariance[kept][..., pair, :][..., pair]).reshape(-1, _CORNERS + 1, 2)
        drawn.append(lines)
        axes.add_collection(
            LineCollection(list(lines), colors=view.posterior_color, linewidths=0.7, alpha=0.28, zorder=2),
            autolim=False,
        )
        # The key shows a line as dark as many of them are together.
        axes.add_line(Line2D([], [], color=view.posterior_color, linewidth=1.8, label=view.posterior_name))
    if view.em is not None:
        mean, covariance = moments(view.mixture, view.em)
        lines = outlines(mean[0][:, pair], covariance[0][:, pair][:, :, pair])
        drawn.append(lines)
        _em_ellipses(axes, view, mean[0][:, pair], lines, names=names)
    _limits(axes, view.values[:, pair], np.concatenate([d.reshape(-1, 2) for d in drawn]))


def _em_ellipses(axes: Axes, view: View, mean: np.ndarray, lines: np.ndarray, *, names: bool) -> None:
    path = Path.make_compound_path(*(Path(line) for line in lines))
    width = 1.9 if names else 1.2
    axes.add_patch(PathPatch(path, fill=False, edgecolor=style.EM, linewidth=width, linestyle=style.EM_LINE, zorder=4))
    axes.add_line(Line2D([], [], color=style.EM, linewidth=1.9, linestyle=style.EM_LINE, label=view.em_name))
    if names and len(mean) > 1:
        for k, (x, y) in enumerate(mean):
            style.number_mark(axes, k, x, y)
    else:
        size = 8 if names else 4
        axes.plot(*mean.T, linestyle="none", marker="+", markersize=size, markeredgewidth=1.6, color=style.EM, zorder=5)


def _limits(axes: Axes, data: np.ndarray, ellipses: np.ndarray) -> None:
    """All data and the ellipses, but an ellipse may not shrink the data to a spot."""
    low, high = data.min(axis=0), data.max(axis=0)
    room = 0.3 * (high - low)
    finite = ellipses[np.isfinite(ellipses).all(axis=1)]
    start = np.minimum(low, np.maximum(finite.min(axis=0), low - room))
    end = np.maximum(high, np.minimum(finite.max(axis=0), high + room))
    margin = 0.03 * (end - start)
    axes.set_xlim(start[0] - margin[0], end[0] + margin[0])
    axes.set_ylim(start[1] - margin[1], end[1] + margin[1])
