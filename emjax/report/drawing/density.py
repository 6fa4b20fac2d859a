"""The fitted density over the data: a histogram or bars for one feature, outlines for two, all pairs beyond.

Several features of levels have no scatter that says anything: they are drawn as profiles.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.report.drawing import style
from emjax.report.drawing.outlines import draw_outlines, draw_points
from emjax.report.drawing.profile import draw_profile
from emjax.report.drawing.view import RASTER_POINTS, Curves, View, curves
from emjax.wording import elided

MOST_FEATURES = 5
"""Of more features than this the first are drawn against each other."""

_SHEAF = 60
_SHEAF_OF_PAIRS = 120


@style.drawn
def draw_density(view: View, width: float) -> Figure:
    """The figure that fits the number of features."""
    if view.n_features == 1:
        return _one_feature(view, width)
    if view.nominal:
        return draw_profile(view, width)
    if view.n_features == 2:
        return _two_features(view, width)
    return _pairs(view, width)


def _one_feature(view: View, width: float) -> Figure:
    figure, axes = style.single(width, min(0.62 * width, 4.1) if width > 5 else 3.5, left=0.62)
    _margin(axes, view, 0, linewidth=1.9, names=True)
    axes.grid(axis="y")
    style.legend(axes)
    style.finish(axes, elided(view.feature_names[0], 60), _height_name(view, 0))
    _level_ticks(axes, view, 0)
    return figure


def _margin(axes: Axes, view: View, feature: int, *, linewidth: float, names: bool = False) -> None:
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


def _height_name(view: View, feature: int) -> str:
    if not view.bars(feature):
        return "density"
    return "observations" if view.samples.weights is None else "weight of observations"


def _level_ticks(axes: Axes, view: View, feature: int, letters: int = 40) -> None:
    """The names of levels in place of their numbers."""
    if view.nominal:
        names = view.level_names(feature)
        axes.set_xticks(range(len(names)), [elided(name, max(letters // len(names), 3)) for name in names])


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


def _two_features(view: View, width: float) -> Figure:
    figure, axes = style.single(width, 0.66 * width if width > 5 else 0.95 * width, left=0.62)
    draw_points(axes, view, 0, 1, size=15, rasterized=view.rasterized)
    draw_outlines(axes, view, 0, 1, n_draws=_SHEAF, names=True)
    style.legend(axes)
    style.finish(axes, *(elided(name, 44) for name in view.feature_names))
    return figure


@style.drawn
def draw_density_band(view: View, width: float) -> Figure:
    """The density of each feature by itself: the data, EM's curve, and the posterior's with its band."""
    shown = min(view.n_features, MOST_FEATURES)
    if shown == 1:
        return _one_feature(view, width)
    n_columns = min(shown, 1 if width <= 4.2 else 2 if width < 6 or shown in (2, 4) else 3)
    n_rows = -(-shown // n_columns)
    left, right, bottom, top, beside, between = 0.62, 0.12, 0.47, 0.3, 0.5, 0.55
    cell = (width - left - right - beside * (n_columns - 1)) / n_columns
    tall = 0.7 * cell if n_columns > 1 else 0.56 * cell
    height = top + bottom + n_rows * tall + (n_rows - 1) * between
    figure = style.Picture(figsize=(width, height))
    for feature in range(shown):
        row, column = divmod(feature, n_columns)
        x, y = left + column * (cell + beside), height - top - (row + 1) * tall - row * between
        axes = figure.add_axes((x / width, y / height, cell / width, tall / height))
        _margin(axes, view, feature, linewidth=1.5)
        axes.grid(axis="y")
        name = elided(view.feature_names[feature], int(cell / 0.085))
        style.finish(axes, name, _height_name(view, feature) if column == 0 else "", n_x=5, n_y=4)
        _level_ticks(axes, view, feature, int(cell / 0.085))
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.5 / width, 1.0), ncols=3,
        columnspacing=1.0, handletextpad=0.5, labelcolor=style.INK,
    )  # fmt: skip
    return figure


def _pairs(view: View, width: float) -> Figure:
    """Histograms on the diagonal, scatters with outlines below it."""
    shown = min(view.n_features, MOST_FEATURES)
    left, bottom, top, gap = 0.62, 0.5, 0.34, 0.07
    cell = (width - left - 0.08 - gap * (shown - 1)) / shown
    height = bottom + top + shown * cell + gap * (shown - 1)
    figure = style.Picture(figsize=(width, height))
    small = cell < 1.2
    letters = int(cell / (0.064 if small else 0.075))
    for row in range(shown):
        for column in range(row + 1):
            x, y = left + column * (cell + gap), height - top - (row + 1) * cell - row * gap
            axes = figure.add_axes((x / width, y / height, cell / width, cell / height))
            _pair(axes, view, row, column, small=small)
            below = view.feature_names[column] if row == shown - 1 else ""
            beside = view.feature_names[row] if column == 0 else ""
            _pair_axes(axes, elided(below, letters), elided(beside, letters), numbered=row > 0, small=small)
    key = figure.axes[0].get_legend_handles_labels()
    figure.legend(*key, loc="upper right", bbox_to_anchor=(0.99, 0.995), fontsize=8.5, labelcolor=style.INK)
    return figure


def _pair_axes(axes: Axes, below: str, beside: str, *, numbered: bool, small: bool) -> None:
    """Names, and few ticks, at the outer panels; names stand at one distance however wide the numbers are."""
    size = 7.5 if small else 9.0
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes of ours are made by a figure
    width = axes.get_position().width * figure.get_size_inches()[0]
    axes.set_xlabel(below, fontsize=size)
    axes.set_ylabel(beside, fontsize=size)
    axes.yaxis.set_label_coords(-0.45 / width, 0.5)
    style.inner_ticks(axes.xaxis, axes.get_xlim(), shown=bool(below))
    style.inner_ticks(axes.yaxis, axes.get_ylim(), shown=bool(beside) and numbered)
    axes.tick_params(labelsize=7.0 if small else 7.5)


def _pair(axes: Axes, view: View, row: int, column: int, *, small: bool) -> None:
    if row == column:
        _margin(axes, view, row, linewidth=1.3)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        return
    n_pairs = sum(range(min(view.n_features, MOST_FEATURES)))
    pixels = len(view.rows) * n_pairs > RASTER_POINTS
    draw_points(axes, view, column, row, size=3 if small else 6, rasterized=pixels)
    draw_outlines(axes, view, column, row, n_draws=_SHEAF_OF_PAIRS // n_pairs, names=False)
