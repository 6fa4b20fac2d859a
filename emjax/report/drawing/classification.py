"""Which component each datum is most likely of, and how unsure that is, for any number of features.

What mclust draws as ``classification`` and ``uncertainty``: components differ by symbol and by colour. Up to five
features are drawn in pairs; of more (three where the figure is narrow) the directions that tell the components apart
best, as in linear discriminant analysis: the eigenvectors of the weighted scatter of the means against the average
covariance within components (Fisher 1936; for mixtures Scrucca, Statistics and Computing 20, 2010).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.linalg import eigh
from scipy.stats import norm

from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.assignments import several_components
from emjax.report.drawing.outlines import component_outlines, ellipses, outlines
from emjax.report.drawing.view import GRID_POINTS, View, as_view, curves, moments
from emjax.result import Fit
from emjax.wording import count, elided

MOST_PAIRED = {True: 5, False: 3}
"""Of more features than this, in a wide and in a narrow figure, directions are drawn in place of features."""

_WIDE = 5.0
_MOST_NAMED = 12
_SMALLEST, _LARGEST = 5.0, 60.0


@dataclasses.dataclass(frozen=True)
class Scene:
    """The data and the components in the coordinates that are drawn, which have ``names``.

    Of the data there are ``points (n, p)``, NaN where a coordinate is not known, the likeliest components ``labels``,
    one less the chance of that, ``uncertainty``, and ``row_weights``, how often each counts. Coordinates are features
    where ``directions (d, p)`` is None. Components have ``weights (K,)``, ``mean (K, p)`` and ``covariance (K, p, p)``.
    ``notes`` stand in the key too: of what is drawn a part only, and `View.doubt`.
    """

    names: tuple[str, ...]
    points: np.ndarray
    labels: np.ndarray
    uncertainty: np.ndarray
    row_weights: np.ndarray
    directions: np.ndarray | None
    weights: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    notes: tuple[str, ...]

    @property
    def n_components(self) -> int:
        return len(self.weights)


def discriminants(weights: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """The (at most two) directions ``(d, p)`` in which components lie furthest apart, beside their width.

    They have unit variance within components, and their largest entry is positive. A single component has none, so that
    its principal directions stand in.
    """
    within = np.einsum("k,kij->ij", weights, covariance)
    if len(weights) == 1:
        directions = np.linalg.eigh(within)[1][:, ::-1][:, :2]
    else:
        apart = mean - weights @ mean
        between = np.einsum("k,ki,kj->ij", weights, apart, apart)
        floor = 1e-10 * np.trace(within) / len(within)
        vectors = eigh(between, within + floor * np.eye(len(within)))[1]
        directions = vectors[:, ::-1][:, : min(len(weights) - 1, 2)]
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, range(directions.shape[1])])


def scene(view: View, width: float) -> Scene:
    """What is drawn of a view: EM's side where there is one, else the mean of the draws."""
    em, posterior = view.shares
    shares = em if em is not None else posterior
    assert shares is not None  # a view has at least one side
    weights, (mean, covariance) = view.at["weights"][0], (each[0] for each in moments(view, view.at))
    most, directions, notes = MOST_PAIRED[width >= _WIDE], None, []
    names, points = view.feature_names, view.points(range(view.n_features))
    if view.n_features > most and view.family.nominal:
        # A level's number has no direction.
        names, points, mean = names[:most], points[:, :most], mean[:, :most]
        notes.append(f"the first {most} of {view.n_features} features")
    elif view.n_features > most:
        directions = discriminants(weights, mean, covariance)
        kind = "discriminant" if len(weights) > 1 else "principal direction"
        names = tuple(f"{kind} {i + 1} of {view.n_features} features" for i in range(directions.shape[1]))
        points, mean = points @ directions, mean @ directions
        covariance = directions.T @ covariance @ directions
    n_gaps = int(np.isnan(points).any(axis=1).sum())
    if n_gaps:
        parts = "where they have a gap" if directions is None and len(names) > 2 else "for their gaps"
        notes.append(f"{count(n_gaps, 'row')} left out {parts}")
    row_weights = view.samples.take(view.rows).weights
    row_weights = np.ones(len(points)) if row_weights is None else row_weights
    notes += [view.doubt] if view.doubt else []
    found = (names, points, shares.argmax(axis=1), 1.0 - shares.max(axis=1), row_weights)
    return Scene(*found, directions, weights, mean, covariance, tuple(notes))


@style.drawn
def classification(source: Comparison | Fit | Posterior, *, width: float = 7.0) -> Figure:
    """The data by their likeliest component, with the components; as ``plot(what="classification")`` of mclust.

    One feature: the weighted densities, and the data in strips below. Two: a scatter with ellipses that hold 90% of
    each component. Up to five (three below a width of 5 inches): all pairs. More: the two directions that tell the
    components apart best, or of levels, which have no directions, the first features. The key has how many data each
    component has, by weight, and how many rows are left out for cells that were not seen. Components have symbols as
    well as colours. Of more than 10,000 data a random subset is drawn. Of a comparison this is EM's classification.
    """
    view = as_view(source)
    found = scene(view, width)
    if len(found.names) == 1:
        return _strips(view, found, width)
    return _matrix(view, found, width, np.full(len(found.points), 14.0 if len(found.names) == 2 else 8.0))


@style.drawn
def uncertainty(source: Comparison | Fit | Posterior, *, width: float = 7.0) -> Figure:
    """The same with the uncertainty of each datum, one less the chance of its likeliest component, as its size.

    One feature: a line as high as the uncertainty at each datum. (``plot(what="uncertainty")`` of mclust.) Raises
    ValueError for a mixture of a single component, whose assignments are certain.
    """
    view = several_components(source)
    found = scene(view, width)
    if len(found.names) == 1:
        return _spikes(view, found, width)
    most = 1.0 - 1.0 / found.n_components
    sizes = _SMALLEST + (_LARGEST - _SMALLEST) * (found.uncertainty / most if most else 0 * found.uncertainty)
    return _matrix(view, found, width, sizes if len(found.names) == 2 else 0.6 * sizes)


# -- one coordinate ----------------------------------------------------------------------------------------


def _strips(view: View, found: Scene, width: float) -> Figure:
    """The density of each component above, the data that are most likely its own in a strip below."""
    figure, (axes,) = style.canvas(width, 0.68 * width)
    grid, densities = _densities(view, found)
    whole = densities.sum(axis=0)
    highest = float(whole.max())
    if view.family.support != "real" and not view.family.discrete:
        # A density that is infinite at zero would leave the rest flat.
        highest = min(highest, 4.0 * float(np.quantile(whole, 0.98)))
    line = {"linestyle": "none", "marker": "_", "markersize": 16} if view.family.nominal else {"linewidth": 1.0}
    axes.plot(grid, whole, color=style.INK, **line)
    step = 0.36 * highest / found.n_components
    for k, density in enumerate(densities):
        color, _ = style.component(k)
        if view.family.nominal:
            each = 0.8 / found.n_components
            axes.bar(grid - 0.4 + (k + 0.5) * each, density, width=0.92 * each, color=color, alpha=0.75)
        else:
            axes.fill_between(grid, density, color=color, alpha=0.25, linewidth=0)
            axes.plot(grid, density, color=color, linewidth=1.5)
        own = found.points[found.labels == k, 0]
        _scatter(axes, own, np.full(len(own), -(k + 0.7) * step), k, 12, rasterized=view.rasterized)
    axes.axhline(0, color=style.MUTED, linewidth=0.7)
    axes.set_ylim(-step * (found.n_components + 0.4), 1.06 * highest)
    style.finish(axes, elided(found.names[0], 60), "probability" if view.family.discrete else "density")
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 1.06 * highest])
    return _keyed(figure, view, found)


def _scatter(axes: Axes, x: np.ndarray, y: np.ndarray, k: int, size: float | np.ndarray, *, rasterized: bool) -> None:
    color, symbol = style.component(k)
    axes.scatter(x, y, s=size, marker=symbol, color=color, alpha=0.7, linewidths=0, rasterized=rasterized)


def _densities(view: View, found: Scene) -> tuple[np.ndarray, np.ndarray]:
    """A grid and the weighted density of each component along it, ``(K, n_grid)``."""
    if view.n_features == 1:
        line = curves(view)
        return line.grid, line.estimate
    low, high = np.nanmin(found.points), np.nanmax(found.points)
    grid = np.linspace(low - 0.08 * (high - low), high + 0.08 * (high - low), GRID_POINTS)
    scale = np.sqrt(found.covariance[:, 0])
    return grid, found.weights[:, None] * norm.pdf(grid, found.mean, scale)


def _spikes(view: View, found: Scene, width: float) -> Figure:
    """How uncertain each datum is, as a line as high, in the colour and with the symbol of its component."""
    figure, (axes,) = style.canvas(width, 0.62 * width)
    for k in range(found.n_components):
        own = found.labels == k
        x, height = found.points[own, 0], found.uncertainty[own]
        axes.vlines(x, 0, height, color=style.component(k)[0], linewidth=0.9, rasterized=view.rasterized)
        _scatter(axes, x, height, k, 12, rasterized=view.rasterized)
    most = max(float(found.uncertainty.max(initial=0.0)), 0.05)
    axes.set_ylim(-0.02 * most, 1.05 * most)
    axes.grid(axis="y")
    style.finish(axes, elided(found.names[0], 60), "uncertainty")
    return _keyed(figure, view, found)


# -- several coordinates -----------------------------------------------------------------------------------


def _matrix(view: View, found: Scene, width: float, sizes: np.ndarray) -> Figure:
    """All pairs of the coordinates, below the diagonal."""
    n_panels = len(found.names) - 1
    alone = n_panels == 1
    height = (0.68 if width >= _WIDE else 0.85) * width if alone else width
    figure, all_axes = style.triangle(width, height, n_panels)
    letters = int((width - 0.6) / n_panels / 0.085)
    for (row, column), axes in all_axes.items():
        _pair(axes, view, found, (column, row + 1), sizes)
        below = elided(found.names[column], letters) if row == n_panels - 1 else ""
        beside = elided(found.names[row + 1], letters) if column == 0 else ""
        (style.finish if alone else style.outer)(axes, below, beside)
        if beside and found.directions is None:
            view.name_levels(axes.yaxis, row + 1)
    return _keyed(figure, view, found)


def _component_lines(view: View, found: Scene, first: int, second: int) -> list[list[np.ndarray]]:
    """The outlines of each component in two coordinates; levels have none."""
    if view.family.nominal:
        return [[] for _ in range(found.n_components)]
    if found.directions is None:
        return component_outlines(view, first, second)
    matrix = found.directions.T @ ellipses(view, view.at)[1][0] @ found.directions
    return [[line] for line in outlines(found.mean, matrix)]


def _pair(axes: Axes, view: View, found: Scene, features: tuple[int, int], sizes: np.ndarray) -> None:
    pair, several = list(features), len(found.names) > 2
    pixels = view.rasterized or (several and len(found.points) * len(found.names) > 2_000)
    # The largest first, so that they cover nothing.
    order = np.argsort(-sizes, kind="stable")
    for k, lines in enumerate(_component_lines(view, found, *features)):
        color, _ = style.component(k)
        own = order[found.labels[order] == k]
        x, y = found.points[own][:, pair].T
        _scatter(axes, x, y, k, sizes[own], rasterized=pixels)
        for line in lines:
            axes.plot(*line.T, color=color, linewidth=1.0 if several else 1.5, zorder=3)
        if not several and not view.family.nominal and 1 < found.n_components <= _MOST_NAMED:
            style.number_mark(axes, k, found.mean[k, pair[0]], found.mean[k, pair[1]], color)
    low, high = np.nanmin(found.points[:, pair], axis=0), np.nanmax(found.points[:, pair], axis=0)
    room = 0.08 * (high - low)
    axes.set_xlim(low[0] - room[0], high[0] + room[0])
    axes.set_ylim(low[1] - room[1], high[1] + room[1])


def _keyed(figure: Figure, view: View, found: Scene) -> Figure:
    """The names of levels, and a key: symbol and number of data of each component, then the notes."""
    if found.directions is None:
        for column, axes in enumerate(figure.axes[-max(len(found.names) - 1, 1) :]):
            view.name_levels(axes.xaxis, column, 48 // max(len(found.names) - 1, 1))
    totals = np.bincount(found.labels, found.row_weights, minlength=found.n_components)
    named = [f"{k}: {style.compact(round(total))}" for k, total in enumerate(totals)] if len(totals) > 1 else []
    handles = style.component_keys(named)
    for note in found.notes:
        handles[note] = Line2D([], [], linestyle="none", marker="x", color=style.WARNING, markersize=6)
    style.place_key(figure, handles)
    return figure
