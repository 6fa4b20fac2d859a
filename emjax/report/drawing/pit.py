"""Whether the data come from the fitted law, feature by feature: probability integral transforms against uniform."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import as_view, check_marginals
from emjax.result import Fit
from emjax.uncertainty.diagnosis import Diagnosis, Transforms, transforms_of
from emjax.wording import count, elided, number

MOST_PANELS = 9
"""Features that are drawn, those furthest from uniform."""

_BAND = 1.224
"""Kolmogorov's 90% point: of data from a law with known parameters a curve stays within this over the root of n."""

_STEPS = 800
"""Steps of a curve that are drawn, evenly, with its highest and its lowest."""


def transforms(fit: Fit) -> Transforms:
    """Those of the rows that figures draw, the same every time."""
    view = as_view(fit)
    check_marginals(view)
    return transforms_of(fit, view.samples.take(view.rows), np.random.default_rng(0))


@style.drawn
def pit(source: Diagnosis | Transforms | Fit, *, width: float = 7.0) -> Figure:
    """The share of data below each quantile of the fitted law, less what it should be; a panel for each feature.

    The largest distance is Kolmogorov and Smirnov's. The band holds 90% of such curves where the law is known; where
    its parameters were estimated from the same data curves are flatter, so that one that leaves the band is no chance.
    A curve that falls and then rises has too few data in the middle of the fitted law, one that rises first too many
    below. The nine features furthest from uniform are drawn. Of a fit with more than 10,000 rows a random subset is
    read.
    """
    source = transforms(source) if isinstance(source, Fit) else source
    chosen = np.sort(np.argsort(-source.distances, kind="stable")[:MOST_PANELS])
    n_columns = min(len(chosen), 3 if width >= 4 else 2)
    figure, all_axes = style.panels(width, len(chosen), n_columns, 2.1)
    for axes, j in zip(all_axes, chosen, strict=True):
        found = f": distance {number(float(source.distances[j]), 2)}"
        room = int(width / n_columns / 0.083) - len(found)
        axes.set_title(elided(source.feature_names[j], room) + found, fontsize=8.5)
        _curve(axes, source.pit[:, j], source.row_weights)
    return figure


def _steps(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Where a curve steps ``(n,)``, its height before and after each step, and half the width of the band."""
    seen = ~np.isnan(values)
    order = np.argsort(values[seen], kind="stable")
    u, steps = values[seen][order], np.cumsum(weights[seen][order])
    if not len(u):
        return u, u, u, np.inf
    shares = steps / steps[-1]
    # Both ends of each step, as the distance may be largest at either.
    return u, np.append(0.0, shares[:-1]) - u, shares - u, _BAND / np.sqrt(steps[-1])


def _leaves(values: np.ndarray, weights: np.ndarray) -> bool:
    """Whether a curve leaves its band."""
    _, below, above, reach = _steps(values, weights)
    return bool(max(above.max(initial=0.0), -below.min(initial=0.0)) > reach)


def _curve(axes: Axes, values: np.ndarray, weights: np.ndarray) -> None:
    u, below, above, reach = _steps(values, weights)
    if not len(u):
        return
    axes.axhspan(-reach, reach, color=style.DATA_FILL, zorder=0, linewidth=0)
    kept = np.unique(np.r_[np.linspace(0, len(u) - 1, _STEPS).round().astype(int), above.argmax(), below.argmin()])
    x, y = np.repeat(u[kept], 2), np.column_stack([below[kept], above[kept]]).ravel()
    axes.plot(np.concatenate([[0.0], x, [1.0]]), np.concatenate([[0.0], y, [0.0]]), color=style.EM, linewidth=1.3)
    axes.axhline(0, color=style.MUTED, linewidth=0.8, zorder=1)
    axes.set_xlim(0, 1)
    style.finish(axes, "quantile of the fit", "share below, less that", n_x=3)


def pit_picture(fit: Fit) -> Picture | None:
    """Whether each feature follows the fit; None of programs, levels, and what is no estimate."""
    view = as_view(fit)
    if view.family.own_program() is not None or view.family.nominal or view.doubt:
        return None
    found = transforms(fit)
    worst, beyond = int(found.distances.argmax()), sum(map(_leaves, found.pit.T, [found.row_weights] * view.n_features))
    outside = f"Outside the band: {beyond} of {count(view.n_features, 'curve')}. "
    outside += "The law is another one or the data are rounded, which neither EM nor MCMC mends. " if beyond else ""
    read, counting = len(found.row_weights), int(view.samples.counts.sum())
    drawn = f" {count(read, 'random row')} of {counting:,} are read." if read < counting else ""
    return Picture(
        "pit",
        lambda width: pit(found, width=width),
        title="Does the fitted law fit?",
        caption=(
            "The share of data below each quantile of the fit, less what it should be. The largest distance is "
            f"{number(float(found.distances[worst]), 2)}, of {elided(found.feature_names[worst], 40)}. {outside}The "
            f"band holds 90% of such curves where a law is known; an estimated one comes nearer to its data.{drawn}"
        ),
    )
