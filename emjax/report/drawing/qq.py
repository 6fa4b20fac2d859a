"""Whether the tails of the data are those of the fitted law: quantiles against quantiles, feature by feature."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtri
from scipy.stats import beta

from emjax.report.drawing import style
from emjax.report.drawing.pit import MOST_PANELS, transforms
from emjax.result import Fit
from emjax.uncertainty.diagnosis import Diagnosis, Transforms
from emjax.wording import elided

_POINTS = 400
"""Points of a panel at most: the outermost ones, where tails are told apart, and evenly spaced ones of the others."""

_OUTERMOST = 100

_LEVEL = 0.9


@style.drawn
def qq(source: Diagnosis | Transforms | Fit, *, width: float = 7.0) -> Figure:
    r"""Quantiles of the data against those of the fitted law, both as those of a standard normal; a panel a feature.

    The point of the i-th smallest of n data lies at :math:`\Phi^{-1}(i / (n + 1))` and has the height
    :math:`\Phi^{-1}(u)` of its probability integral transform :math:`u` (Dunn and Smyth, "Randomized quantile
    residuals", Journal of Computational and Graphical Statistics 5, 1996). Data from the fit lie on the diagonal; the
    band holds each point with probability 0.9. Points above it on the right and below it on the left are tails heavier
    than the fit's, which `pit` hardly shows. Transforms are known from 20,000 draws, so that hardly anything lies
    further out than 4. The nine features furthest from the fit are drawn. Of a fit with more than 10,000 rows a random
    subset is read.
    """
    source = transforms(source) if isinstance(source, Fit) else source
    chosen = np.sort(np.argsort(-source.distances, kind="stable")[:MOST_PANELS])
    n_columns = min(len(chosen), 3 if width >= 4 else 2)
    figure, all_axes = style.panels(width, len(chosen), n_columns, 2.1)
    for axes, j in zip(all_axes, chosen, strict=True):
        axes.set_title(elided(source.feature_names[j], int(width / n_columns / 0.083)), fontsize=8.5)
        _points(axes, source.pit[:, j], source.row_weights)
    return figure


def _points(axes: Axes, values: np.ndarray, weights: np.ndarray) -> None:
    known = ~np.isnan(values) & (weights > 0)
    order = np.argsort(values[known], kind="stable")
    u, own = values[known][order], weights[known][order]
    if not len(u):
        return
    total = own.sum()
    # Of data that count several times the middle one of their places.
    places = np.cumsum(own) - 0.5 * (own - 1.0)
    inner = np.linspace(0, len(u) - 1, _POINTS - 2 * _OUTERMOST).round().astype(int)
    kept = np.unique(np.r_[np.arange(len(u))[:_OUTERMOST], inner, np.arange(len(u))[-_OUTERMOST:]])
    x = ndtri(places[kept] / (total + 1.0))
    ends = (0.5 - 0.5 * _LEVEL, 0.5 + 0.5 * _LEVEL)
    low, high = (ndtri(beta.ppf(end, places[kept], total + 1.0 - places[kept])) for end in ends)
    axes.fill_between(x, low, high, color=style.DATA_FILL, linewidth=0, zorder=0)
    axes.plot(x, x, color=style.MUTED, linewidth=0.8, zorder=1)
    axes.scatter(x, ndtri(u[kept]), s=5, color=style.EM, linewidths=0, zorder=2)
    style.finish(axes, "normal quantile", "of the data, by the fit", n_x=5)
