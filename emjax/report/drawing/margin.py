"""One feature over its data: a histogram or bars, EM's density, and the posterior's with its band."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from emjax.report.drawing import style
from emjax.report.drawing.view import Curves, View, curves


def margin(axes: Axes, view: View, feature: int, *, linewidth: float, names: bool = False) -> None:
    """The data of one feature, and its densities."""
    found = curves(view, feature)
    if view.bars(feature):
        _counts(axes, view, found, feature)
        total = view.cells(feature)[1].sum()
    else:
        tallest = _histogram(axes, view, feature)
        _curves(axes, view, found, linewidth=linewidth)
        total = 1.0
    axes.set_ylim(bottom=0)
    if not view.discrete and view.mixture.family.support != "real":
        # A density that is infinite at zero would leave the rest flat.
        axes.set_ylim(top=min(axes.get_ylim()[1], 1.5 * tallest))
    if names:
        _name_components(axes, found, factor=total)


def height_name(view: View, feature: int) -> str:
    """What the height of a feature's bars or curves is."""
    if not view.bars(feature):
        return "density"
    return "observations" if view.samples.weights is None else "weight of observations"


def level_ticks(axes: Axes, view: View, feature: int, letters: int = 40) -> None:
    """The names of levels in place of their numbers."""
    if view.nominal:
        names = view.level_names(feature)
        style.level_ticks(axes.xaxis, names, max(letters // len(names), 3))


def _counts(axes: Axes, view: View, found: Curves, feature: int) -> None:
    """Bars of how often each number was seen, and how often it is expected."""
    grid, (column, weights) = found.grid, view.cells(feature)
    n_samples = weights.sum()
    seen = [weights[column == value].sum() for value in grid]
    axes.bar(grid, seen, width=0.86, color=style.DATA_FILL, label="data")
    # There is nothing between two levels.
    line, dotted, mark = ("none", "none", "_") if view.nominal else (style.EM_LINE, ":", "")
    band = found.band(view.level)
    if band is not None:
        lower, upper = (end * n_samples for end in band)
        axes.vlines(
            grid,
            lower,
            upper,
            color=view.posterior_color,
            linewidth=3.2,
            label=view.band_name(),
        )
    if found.em_density is not None:
        axes.plot(
            grid,
            found.em_density * n_samples,
            color=style.EM,
            linestyle=line,
            linewidth=1.2,
            marker="o",
            markersize=4.2,
            label=view.em_name,
        )
        for component in found.parts:
            axes.plot(grid, component * n_samples, color=style.EM, linewidth=1.0, linestyle=dotted, marker=mark)


def _histogram(axes: Axes, view: View, feature: int) -> float:
    """The weighted histogram of what was seen of a feature; returns its tallest bar."""
    column, weights = view.cells(feature)
    # Half of Freedman and Diaconis' width: it is made for one hump, a mixture has several narrower ones.
    n_narrow = 2 * (len(np.histogram_bin_edges(column, bins="fd")) - 1)
    n_bins = int(np.clip(n_narrow, np.clip(np.sqrt(len(column)), 8, 30), 60))
    edges = np.linspace(column.min(), column.max(), n_bins + 1)
    heights, _, _ = axes.hist(
        column, bins=edges.tolist(), weights=weights, density=True, histtype="stepfilled", color=style.DATA_FILL,
        label="data",
    )  # fmt: skip
    return float(np.max(heights))


def _curves(axes: Axes, view: View, found: Curves, *, linewidth: float = 1.9) -> None:
    """Posterior band and predictive, EM's density on top, and EM's components."""
    band = found.band(view.level)
    if band is not None and found.predictive is not None:
        color = view.posterior_color
        axes.fill_between(found.grid, *band, color=color, alpha=0.28, linewidth=0)
        label = view.band_name("band")
        axes.plot(found.grid, found.predictive, color=color, linewidth=linewidth, label=label)
    if found.em_density is not None:
        axes.plot(
            found.grid,
            found.em_density,
            color=style.EM,
            linewidth=linewidth,
            linestyle=style.EM_LINE,
            label=view.em_name,
        )
        for component in found.parts:
            axes.plot(found.grid, component, color=style.EM, linestyle=":", linewidth=1.0)


def _name_components(axes: Axes, found: Curves, factor: float = 1.0) -> None:
    """The number of each component at its own peak."""
    if found.em is None or len(found.em) < 2:
        return
    grid = found.grid
    for k, component in enumerate(found.em):
        peak = int(np.where(np.isfinite(component), component, -1.0).argmax())
        style.number_mark(axes, k, grid[peak], min(component[peak] * factor, 0.97 * axes.get_ylim()[1]))
