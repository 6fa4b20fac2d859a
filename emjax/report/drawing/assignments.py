"""How sure one can be of which component a datum comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import View, as_view, band, curves, entropy
from emjax.result import Fit
from emjax.wording import elided, number, percent

# From the grey of data to a colour that stands out on a light page and on a dark one.
DOUBT = LinearSegmentedColormap.from_list("doubt", ["#9aa3ad", "#d6279a"])


@style.drawn
def assignments(source: Comparison | Fit | Posterior | View, *, width: float = 4.4) -> Figure:
    """Which component a datum comes from: along one feature, or as a map of entropy over two.

    Beyond two features this is `certainty`, which needs no axes of the data. Raises ValueError for a mixture of a
    single component, whose assignments are certain.
    """
    view = several_components(source)
    along = _along if view.family.has_marginals else _certainty
    return {1: along, 2: _map}.get(view.n_features, _certainty)(view, width)


@style.drawn
def certainty(source: Comparison | Fit | Posterior | View, *, width: float = 4.4) -> Figure:
    """The chance of the likeliest component over the data, the least certain first.

    Raises ValueError for a mixture of a single component.
    """
    return _certainty(several_components(source), width)


def several_components(source: Comparison | Fit | Posterior | View) -> View:
    """The view of a mixture of several components. Raises ValueError for a single one."""
    view = as_view(source)
    if view.n_components < 2:
        raise ValueError("a mixture of one component has no assignments to draw; use n_components=2 or more")
    return view


def _along(view: View, width: float) -> Figure:
    """The chance of each component along the only feature."""
    figure, (axes,) = style.canvas(width, 0.68 * width)
    found = curves(view)
    with np.errstate(invalid="ignore"):
        em = None if found.em is None else found.em / found.em.sum(axis=0)
        draws = None if found.draws is None else found.draws / found.draws.sum(axis=1, keepdims=True)
    for k in range(view.n_components):
        draw = _component_of_levels if view.family.nominal else _component
        draw(axes, view, found.grid, None if em is None else em[k], None if draws is None else draws[:, k], k)
    if not view.family.discrete:
        look: dict[str, Any] = {"marker": "|", "linewidths": 0.6, "color": style.DATA, "rasterized": view.rasterized}
        axes.scatter(view.points((0,)), np.full(len(view.rows), -0.03), s=26, **look)
    axes.set_ylim(-0.06, 1.04)
    room = 0.3 if view.family.discrete else 0.0
    axes.set_xlim(found.grid[0] - room, found.grid[-1] + room)
    style.key(figure)
    style.finish(axes, elided(view.feature_names[0], 50), "chance of the component")
    view.name_levels(axes.xaxis, 0)
    return figure


def _component(
    axes: Axes, view: View, grid: np.ndarray, em: np.ndarray | None, draws: np.ndarray | None, k: int
) -> None:
    """The chance of one component, whose number stands in the middle of the stretch where it is likeliest."""
    line = np.zeros(len(grid))
    if draws is not None:
        line, color = draws.mean(axis=0), view.posterior_color
        axes.fill_between(grid, *band(draws, view.level), color=color, alpha=0.25, linewidth=0)
        axes.plot(grid, line, linewidth=1.6, color=color, label=view.band_name("band"))
    if em is not None:
        line = em
        axes.plot(grid, line, linewidth=1.6, **view.em_look)
    likely = np.flatnonzero(line >= 0.95 * np.nanmax(line))
    place = likely[len(likely) // 2] if len(likely) else 0
    style.number_mark(axes, k, grid[place], line[place])


def _component_of_levels(
    axes: Axes, view: View, grid: np.ndarray, em: np.ndarray | None, draws: np.ndarray | None, k: int
) -> None:
    """Chances at levels, between which there is nothing; components stand side by side."""
    color, symbol = style.component(k)
    x = grid + 0.5 * ((k + 0.5) / view.n_components - 0.5)
    if draws is not None:
        axes.vlines(x, *band(draws, view.level), color=view.shade(k), linewidth=2.0, alpha=0.75)
        if em is None:
            axes.plot(x, draws.mean(axis=0), "_", color=view.shade(k))
    if em is not None:
        axes.plot(x, em, symbol, markersize=5.5, color=color)
    axes.plot([], [], symbol, color=color, label=f"{k}")


def _map(view: View, width: float) -> Figure:
    """Two features with the entropy of each assignment as colour and size."""
    em, posterior = view.shares
    shares = em if posterior is None else posterior
    assert shares is not None  # a view has at least one side
    doubt = entropy(shares)
    figure, (axes,) = style.canvas(width, 0.8 * width)
    order = np.argsort(doubt, kind="stable")
    look: dict[str, Any] = {"cmap": DOUBT, "vmin": 0.0, "vmax": 1.0, "linewidths": 0, "alpha": 0.9}
    x, y = view.points((0, 1))[order].T
    sizes = 9 + 30 * doubt[order]
    points = axes.scatter(x, y, c=doubt[order], s=sizes, rasterized=view.rasterized, **look)
    bar = figure.colorbar(points, ax=axes, ticks=[0, 0.5, 1], aspect=25)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.ax.set_title("entropy", loc="center", fontsize=8.5)
    style.finish(axes, *(elided(name, 36) for name in view.feature_names))
    for feature, axis in enumerate((axes.xaxis, axes.yaxis)):
        view.name_levels(axis, feature)
    return figure


def by_certainty(shares: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The largest chance of any component for each datum, the least certain datum first; and its place, in percent.

    A datum stands in the middle of its share of all, which is by ``weights (n,)``.
    """
    chance = shares.max(axis=1)
    order = np.argsort(chance, kind="stable")
    widths = (np.ones(len(chance)) if weights is None else weights)[order]
    return chance[order], 100 * (np.cumsum(widths) - 0.5 * widths) / widths.sum()


def _certainty(view: View, width: float) -> Figure:
    """The chance of the likeliest component, over the data from the least to the most certain."""
    figure, (axes,) = style.canvas(width, 0.8 * width if view.n_features == 2 else 0.68 * width)
    weights = view.samples.take(view.rows).weights
    em, posterior = view.shares
    doubtful = 0.0
    for shares, look in (
        (posterior, {"color": view.posterior_color, "label": view.posterior_name}),
        (em, view.em_look),
    ):
        if shares is not None:
            values, place = by_certainty(shares, weights)
            kept = np.unique(np.linspace(0, len(values) - 1, 400).round().astype(int))
            axes.plot(place[kept], values[kept], linewidth=1.7, **look)
            doubtful = max(doubtful, 0.01 * float(place[values < 0.99].max(initial=0.0)))
    axes.set_xlim(0, float(np.clip(130 * doubtful, 5, 100)))
    axes.set_ylim(min(0.5, 1 / view.n_components) - 0.02, 1.02)
    axes.grid(axis="y")
    style.key(figure)
    style.finish(axes, "% of the data, least certain first", "chance of the likeliest component")
    return figure


# -- in words


def assignment_pictures(source: Comparison | Fit) -> Iterator[Picture]:
    """Who belongs where, and how surely; nothing for a single component."""
    view = as_view(source)
    if view.n_components < 2:
        return
    em, posterior = view.shares
    assert em is not None
    averaged = f"averaged over {f'the {view.posterior_name}' if view.trusted else 'draws that have not converged'}"
    unsure = f"The likeliest component has a chance below 90% for {_unsure(em)} of the data by EM"
    unsure += "." if posterior is None else f" and for {_unsure(posterior)} {averaged}."
    draw = lambda width: assignments(view, width=width)  # noqa: E731
    if view.n_features == 1 and view.family.has_marginals:
        ticks = "" if view.family.discrete else " The ticks below are the data."
        caption = f"The chance that a value belongs to each of {view.n_components} components, numbered.{ticks}"
        yield Picture("along", draw, "Which component, along the data", caption=caption, wide=False)
    if view.n_features == 2:
        doubt, by = (entropy(em), "by EM") if posterior is None else (entropy(posterior), averaged)
        caption = (
            f"Entropy of each assignment, {by}: 0 is certain, 1 is no idea. It is {number(doubt.mean(), 2)} on "
            f"average and {number(doubt.max(), 2)} at most. Unsure data are larger."
        )
        yield Picture("map", draw, "Where assignments are unsure", caption=caption, wide=False)
    draw_certainty = lambda width: certainty(view, width=width)  # noqa: E731
    yield Picture("certainty", draw_certainty, "How sure the assignments are", caption=unsure, wide=False)


def _unsure(shares: np.ndarray) -> str:
    return percent(float((shares.max(axis=1) < 0.9).mean()))
