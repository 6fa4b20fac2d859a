"""One feature over its data: a histogram or bars, EM's density, and the posterior's with its band."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from emjax.report.drawing import style
from emjax.report.drawing.view import Curves, View, curves
from emjax.wording import elided


def margin(
    axes: Axes, view: View, feature: int, *, linewidth: float, letters: int, names: bool = False, height: bool = True
) -> None:
    """The data of one feature and its densities, with so many letters below it; ``height`` names the other axis."""
    found, bars = curves(view, feature), view.bars(feature)
    (_counts if bars else _density)(axes, view, found, feature, linewidth)
    axes.set_ylim(bottom=0)
    if names:
        _name_components(axes, found, view.cells(feature)[1].sum() if bars else 1.0)
    axes.grid(axis="y")
    kind = "density" if not bars else "observations" if view.samples.weights is None else "weight of observations"
    style.finish(axes, elided(view.feature_names[feature], letters), kind if height else "")
    view.name_levels(axes.xaxis, feature, letters)


def _counts(axes: Axes, view: View, found: Curves, feature: int, linewidth: float) -> None:
    """Bars of how often each number was seen, and how often it is expected."""
    grid, (column, weights) = found.grid, view.cells(feature)
    n_samples = weights.sum()
    seen = [weights[column == value].sum() for value in grid]
    axes.bar(grid, seen, width=0.86, color=style.DATA_FILL, label="data")
    # There is nothing between two levels.
    unjoined: dict[str, Any] = {"linestyle": "none"} if view.family.nominal else {}
    band = found.band(view.level)
    if band is not None:
        lower, upper = (end * n_samples for end in band)
        axes.vlines(grid, lower, upper, color=view.posterior_color, linewidth=3.2, label=view.band_name())
    if found.em_density is not None:
        look = {**view.em_look, "linewidth": 1.2, "marker": "o", "markersize": 4.2, **unjoined}
        axes.plot(grid, found.em_density * n_samples, **look)
        look = {"linestyle": ":", "marker": "_" if unjoined else "", **unjoined}
        for component in found.parts:
            axes.plot(grid, component * n_samples, color=style.EM, linewidth=1.0, **look)


def _density(axes: Axes, view: View, found: Curves, feature: int, linewidth: float) -> None:
    """The weighted histogram, the posterior's band and predictive, EM's density on top, and EM's components."""
    column, weights = view.cells(feature)
    # Half of Freedman and Diaconis' width: it is made for one hump, a mixture has several narrower ones.
    n_narrow = 2 * (len(np.histogram_bin_edges(column, bins="fd")) - 1)
    n_bins = int(np.clip(n_narrow, np.clip(np.sqrt(len(column)), 8, 30), 60))
    edges = np.linspace(column.min(), column.max(), n_bins + 1).tolist()
    look: dict[str, Any] = {"histtype": "stepfilled", "color": style.DATA_FILL, "label": "data"}
    heights, _, _ = axes.hist(column, bins=edges, weights=weights, density=True, **look)
    band = found.band(view.level)
    if band is not None and found.predictive is not None:
        color = view.posterior_color
        axes.fill_between(found.grid, *band, color=color, alpha=0.28, linewidth=0)
        axes.plot(found.grid, found.predictive, color=color, linewidth=linewidth, label=view.band_name("band"))
    if found.em_density is not None:
        axes.plot(found.grid, found.em_density, linewidth=linewidth, **view.em_look)
        for component in found.parts:
            axes.plot(found.grid, component, color=style.EM, linestyle=":", linewidth=1.0)
    if not view.family.discrete and view.family.support != "real":
        # A density that is infinite at zero would leave the rest flat.
        axes.set_ylim(top=min(axes.get_ylim()[1], 1.5 * float(np.max(heights))))


def _name_components(axes: Axes, found: Curves, factor: float) -> None:
    """The number of each component at its own peak."""
    for k, component in enumerate(found.parts):
        peak = int(np.where(np.isfinite(component), component, -1.0).argmax())
        style.number_mark(axes, k, found.grid[peak], min(component[peak] * factor, 0.97 * axes.get_ylim()[1]))
