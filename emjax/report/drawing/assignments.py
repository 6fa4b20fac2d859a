"""How sure one can be of which component a datum comes from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import View, as_view, curves, entropy, shares_of_data
from emjax.result import Fit
from emjax.wording import elided, number, percent

# From the grey of data to a colour that stands out on a light page and on a dark one.
DOUBT = LinearSegmentedColormap.from_list("doubt", ["#9aa3ad", "#d6279a"])


@style.drawn
def assignments(source: Comparison | Fit | Posterior | View, *, width: float = 4.4) -> Figure:
    """Which component a datum comes from: along one feature, or as a map of entropy over two.

    Beyond two features this is `certainty`, which needs no axes of the data.

    Raises
    ------
    ValueError
        For a mixture of a single component, whose assignments are certain.
    """
    view = several_components(source)
    return {1: _along, 2: _map}.get(view.n_features, _certainty)(view, width)


@style.drawn
def certainty(source: Comparison | Fit | Posterior | View, *, width: float = 4.4) -> Figure:
    """The chance of the likeliest component over the data, the least certain first.

    Raises
    ------
    ValueError
        For a mixture of a single component.
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
    figure, axes = style.single(width, 0.68 * width)
    found = curves(view)
    em, draws = found.shares()
    for k in range(view.n_components):
        _one_component(axes, view, found.grid, None if em is None else em[k], None if draws is None else draws[:, k], k)
    if not view.discrete:
        _rug(axes, view)
    axes.set_ylim(-0.06, 1.04)
    room = 0.3 if view.discrete else 0.0
    axes.set_xlim(found.grid[0] - room, found.grid[-1] + room)
    style.legend(axes)
    style.finish(axes, elided(view.feature_names[0], 50), "chance of the component")
    if view.nominal:
        names = view.level_names(0)
        style.level_ticks(axes.xaxis, names, max(40 // len(names), 3))
    return figure


def _one_component(
    axes: Axes, view: View, grid: np.ndarray, em: np.ndarray | None, draws: np.ndarray | None, k: int
) -> None:
    color = view.posterior_color
    if view.nominal:
        _one_component_of_levels(axes, view, grid, em, draws, k)
        return
    if draws is not None:
        lower, upper = np.quantile(draws, [0.5 - view.level / 2, 0.5 + view.level / 2], axis=0)
        axes.fill_between(grid, lower, upper, color=color, alpha=0.25, linewidth=0)
        label = view.band_name("band") if k == 0 else None
        axes.plot(grid, draws.mean(axis=0), color=color, linewidth=1.6, label=label)
    if em is not None:
        label = view.em_name if k == 0 else None
        axes.plot(grid, em, color=style.EM, linestyle=style.EM_LINE, linewidth=1.6, label=label)
    line = em if em is not None else draws.mean(axis=0) if draws is not None else np.zeros(1)
    # The number stands in the middle of the stretch where this component is likeliest.
    likely = np.flatnonzero(line >= 0.95 * np.nanmax(line))
    place = likely[len(likely) // 2] if len(likely) else 0
    style.number_mark(axes, k, grid[place], line[place])


def _one_component_of_levels(
    axes: Axes, view: View, grid: np.ndarray, em: np.ndarray | None, draws: np.ndarray | None, k: int
) -> None:
    """Chances at levels, between which there is nothing; components stand side by side."""
    color, symbol = style.component(k)
    x = grid + 0.5 * ((k + 0.5) / view.n_components - 0.5)
    if draws is not None:
        lower, upper = np.quantile(draws, [0.5 - view.level / 2, 0.5 + view.level / 2], axis=0)
        shade = color if view.trusted else style.UNTRUSTED
        axes.vlines(x, lower, upper, color=shade, linewidth=2.0, alpha=0.75)
        if em is None:
            axes.plot(x, draws.mean(axis=0), linestyle="none", marker="_", color=shade)
    if em is not None:
        axes.plot(x, em, linestyle="none", marker=symbol, markersize=5.5, color=color)
    axes.plot([], [], linestyle="none", marker=symbol, color=color, label=f"{k}")


def _rug(axes: Axes, view: View) -> None:
    x = view.points((0,))[:, 0]
    axes.scatter(
        x, np.full(len(x), -0.03), marker="|", s=26, linewidths=0.6, color=style.DATA, rasterized=view.rasterized
    )


def _map(view: View, width: float) -> Figure:
    """Two features with the entropy of each assignment as colour and size."""
    em, posterior = shares_of_data(view)
    shares = posterior if posterior is not None else em
    assert shares is not None  # a view has at least one side
    doubt = entropy(shares)
    figure, axes = style.single(width, 0.8 * width, left=0.6, right=0.72)
    x, y = view.points((0, 1)).T
    order = np.argsort(doubt, kind="stable")
    points = axes.scatter(
        x[order],
        y[order],
        c=doubt[order],
        s=9 + 30 * doubt[order],
        cmap=DOUBT,
        vmin=0.0,
        vmax=1.0,
        linewidths=0,
        alpha=0.9,
        rasterized=view.rasterized,
    )
    _scale(figure, points)
    style.finish(axes, *(elided(name, 36) for name in view.feature_names))
    if view.nominal:
        for feature, axis in enumerate((axes.xaxis, axes.yaxis)):
            style.level_ticks(axis, view.level_names(feature), 8)
    return figure


def _scale(figure: Figure, points: object) -> None:
    width, height = figure.get_size_inches()
    box = figure.add_axes((1 - 0.56 / width, 0.52 / height, 0.1 / width, 1 - 0.95 / height))
    bar = figure.colorbar(points, cax=box, ticks=[0, 0.5, 1])  # type: ignore[arg-type]
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.ax.set_title("entropy", loc="center", fontsize=8.5)


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
    figure, axes = style.single(width, 0.8 * width if view.n_features == 2 else 0.68 * width)
    weights = view.samples.take(view.rows).weights
    em, posterior = (None if shares is None else by_certainty(shares, weights) for shares in shares_of_data(view))
    sides = [(posterior, view.posterior_color, "-", view.posterior_name), (em, style.EM, style.EM_LINE, view.em_name)]
    doubtful = 0.0
    for found, color, line, name in sides:
        if found is not None:
            values, place = found
            kept = np.unique(np.linspace(0, len(values) - 1, 400).round().astype(int))
            axes.plot(place[kept], values[kept], color=color, linestyle=line, linewidth=1.7, label=name)
            doubtful = max(doubtful, 0.01 * float(place[values < 0.99].max(initial=0.0)))
    axes.set_xlim(0, float(np.clip(130 * doubtful, 5, 100)))
    axes.set_ylim(min(0.5, 1 / view.n_components) - 0.02, 1.02)
    axes.grid(axis="y")
    style.legend(axes)
    style.finish(axes, "% of the data, least certain first", "chance of the likeliest component")
    return figure


# -- in words


def assignment_pictures(source: Comparison | Fit) -> Iterator[Picture]:
    """Who belongs where, and how surely; nothing for a single component."""
    view = as_view(source)
    if view.n_components < 2:
        return
    em, posterior = shares_of_data(view)
    assert em is not None
    averaged = f"averaged over {'the posterior' if view.trusted else 'draws that have not converged'}"
    unsure = f"The likeliest component has a chance below 90% for {_unsure(em)} of the data by EM"
    unsure += "." if posterior is None else f" and for {_unsure(posterior)} {averaged}."
    if view.n_features == 1:
        ticks = "" if view.discrete else " The ticks below are the data."
        yield Picture(
            "along",
            lambda width: assignments(view, width=width),
            title="Which component, along the data",
            caption=f"The chance that a value belongs to each of {view.n_components} components, numbered.{ticks}",
            wide=False,
        )
    if view.n_features == 2:
        doubt, by = (entropy(em), "by EM") if posterior is None else (entropy(posterior), averaged)
        yield Picture(
            "map",
            lambda width: assignments(view, width=width),
            title="Where assignments are unsure",
            caption=(
                f"Entropy of each assignment, {by}: 0 is certain, 1 is no idea. It is {number(doubt.mean(), 2)} on "
                f"average and {number(doubt.max(), 2)} at most. Unsure data are larger."
            ),
            wide=False,
        )
    yield Picture(
        "certainty",
        lambda width: certainty(view, width=width),
        title="How sure the assignments are",
        caption=unsure,
        wide=False,
    )


def _unsure(shares: np.ndarray) -> str:
    return percent(float((shares.max(axis=1) < 0.9).mean()))
