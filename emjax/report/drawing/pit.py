"""Whether the data come from the fitted law, feature by feature: probability integral transforms against uniform."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.report.drawing import style
from emjax.uncertainty.diagnosis import Diagnosis
from emjax.wording import elided, number

MOST_PANELS = 9
"""Features that are drawn, those furthest from uniform."""

_BAND = 1.224
"""Kolmogorov's 90% point: of data from a law with known parameters a curve stays within this over the root of n."""


@style.drawn
def pit(source: Diagnosis, *, width: float = 7.0) -> Figure:
    """The share of data below each quantile of the fitted law, less what it should be; a panel for each feature.

    The largest distance is Kolmogorov and Smirnov's. The band holds 90% of such curves where the law is known; where
    its parameters were estimated from the same data curves are flatter, so that one that leaves the band is no chance.
    A curve that falls and then rises has too few data in the middle of the fitted law, one that rises first too many
    below. The nine features furthest from uniform are drawn.
    """
    chosen = np.sort(np.argsort(-source.distances, kind="stable")[:MOST_PANELS])
    n_columns = min(len(chosen), 3 if width >= 4 else 2)
    figure, all_axes = style.panels(width, len(chosen), n_columns, 2.1)
    for axes, j in zip(all_axes, chosen, strict=True):
        title = f"{source.feature_names[j]}: distance {number(float(source.distances[j]))}"
        axes.set_title(elided(title, int(width / n_columns / 0.075)), fontsize=8.5)
        _curve(axes, source.pit[:, j], source.row_weights)
    return figure


def _curve(axes: Axes, values: np.ndarray, weights: np.ndarray) -> None:
    seen = ~np.isnan(values)
    order = np.argsort(values[seen], kind="stable")
    u, steps = values[seen][order], np.cumsum(weights[seen][order])
    if not len(u):
        return
    shares, reach = steps / steps[-1], _BAND / np.sqrt(steps[-1])
    axes.axhspan(-reach, reach, color=style.DATA_FILL, zorder=0, linewidth=0)
    # Both ends of each step, as the distance may be largest at either.
    x = np.repeat(u, 2)
    y = np.column_stack([np.append(0.0, shares[:-1]) - u, shares - u]).ravel()
    axes.plot(np.concatenate([[0.0], x, [1.0]]), np.concatenate([[0.0], y, [0.0]]), color=style.EM, linewidth=1.3)
    axes.axhline(0, color=style.MUTED, linewidth=0.8, zorder=1)
    axes.set_xlim(0, 1)
    style.finish(axes, "quantile of the fit", "share below, less that", n_x=3)
