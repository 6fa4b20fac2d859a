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
from emjax.report.drawing.outlines import OUTLINE_MASS, em_outlines, outlines
from emjax.report.drawing.view import GRID_POINTS, View, as_view, curves, ellipses, moments, shares_of_data
from emjax.result import Fit
from emjax.wording import count, elided

MOST_PAIRED = {True: 5, False: 3}
"""Of more features than this, in a wide and in a narrow figure, directions are drawn in place of features."""

_WIDE = 5.0
_MOST_NAMED = 12
_MOST_KEYS = 8
_SMALLEST, _LARGEST = 5.0, 60.0


@dataclasses.dataclass(frozen=True)
class Scene:
    """The data and the components in the coordinates that are drawn.

    Attributes
    ----------
    names
        Of the coordinates.
    points, labels, uncertainty
        The data ``(n, p)``, NaN where a coordinate is not known; their likeliest components ``(n,)``, and one less the
        chance of that, ``(n,)``.
    row_weights
        How often each datum counts, ``(n,)``.
    directions
        The coordinates as directions ``(d, p)``; None where they are features.
    mean, covariance
        Of the components, ``(K, p)`` and ``(K, p, p)``.
    weights
        Of the components, ``(K,)``.
    notes
        What else stands in the key: of what is drawn a part only, and `View.doubt`.
    """

    names: tuple[str, ...]
    points: np.ndarray
    labels: np.ndarray
    uncertainty: np.ndarray
    row_weights: np.ndarray
    directions: np.ndarray | None
    mean: np.ndarray
    covariance: np.ndarray
    weights: np.ndarray
    notes: tuple[str, ...]

    @property
    def n_components(self) -> int:
        return len(self.weights)

    def key_rows(self, width: float) -> int:
        """Lines of the key: the first components and how many more there are, and the notes."""
        several = min(self.n_components, _MOST_KEYS + 1) if self.n_components > 1 else 0
        return -(-several // _per_row(width)) + len(self.notes)


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
    em, posterior = shares_of_data(view)
    shares = em if em is not None else posterior
    assert shares is not None  # a view has at least one side
    weights, (mean, covariance) = view.at["weights"][0], (each[0] for each in moments(view.mixture, view.at))
    most, directions, notes = MOST_PAIRED[width >= _WIDE], None, []
    names, points = view.feature_names, view.points(range(view.n_features))
    if view.n_features > most and view.nominal:
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
    known, doubt = view.samples.take(view.rows), [view.doubt] if view.doubt else []
    return Scene(
        names, points, shares.argmax(axis=1), 1.0 - shares.max(axis=1),
        np.ones(len(points)) if known.weights is None else known.weights,
        directions, mean, covariance, weights, (*notes, *doubt),
    )  # fmt: skip


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

    One feature: a line as high as the uncertainty at each datum. (``plot(what="uncertainty")`` of mclust.)

    Raises
    ------
    ValueError
        For a mixture of a single component, whose assignments are certain.
    """
    view = several_components(source)
    found = scene(view, width)
    if len(found.names) == 1:
        return _spikes(view, found, width)
    most = 1.0 - 1.0 / found.n_components
    sizes = _SMALLEST + (_LARGEST - _SMALLEST) * (found.uncertainty / most if most else 0 * found.uncertainty)
    return _matrix(view, found, width, sizes if len(found.names) == 2 else 0.6 * sizes)


# -- one coordinate ----------------------------------------------------------------------------------------


def _frame(found: Scene, width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one pair of axes with the key above."""
    rows = found.key_rows(width)
    figure, axes = style.single(width, height + 0.2 * rows, left=0.62, top=0.16 + 0.2 * rows)
    _key(figure, found, rows)
    return figure, axes


def _strips(view: View, found: Scene, width: float) -> Figure:
    """The density of each component above, the data that are most likely its own in a strip below."""
    figure, axes = _frame(found, width, 0.55 * width)
    grid, densities = _densities(view, found)
    whole = densities.sum(axis=0)
    # A density that is infinite at zero would leave the rest flat.
    highest = float(whole.max())
    if view.mixture.family.support != "real" and not view.discrete:
        highest = min(highest, 4.0 * float(np.quantile(whole, 0.98)))
    line = {"linestyle": "none", "marker": "_", "markersize": 16} if view.nominal else {"linewidth": 1.0}
    axes.plot(grid, densities.sum(axis=0), color=style.INK, **line)
    step = 0.36 * highest / found.n_components
    for k, density in enumerate(densities):
        color, symbol = style.component(k)
        if view.nominal:
            each = 0.8 / found.n_components
            axes.bar(grid - 0.4 + (k + 0.5) * each, density, width=0.92 * each, color=color, alpha=0.75)
        else:
            axes.fill_between(grid, density, color=color, alpha=0.25, linewidth=0)
            axes.plot(grid, density, color=color, linewidth=1.5)
        own = found.points[found.labels == k, 0]
        axes.scatter(
            own, np.full(len(own), -(k + 0.7) * step), s=12, marker=symbol, color=color, alpha=0.7, linewidths=0,
            rasterized=view.rasterized,
        )  # fmt: skip
    axes.axhline(0, color=style.MUTED, linewidth=0.7)
    axes.set_ylim(-step * (found.n_components + 0.4), 1.06 * highest)
    style.finish(axes, elided(found.names[0], 60), "probability" if view.discrete else "density")
    _name_levels(axes, view, found, 0)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 1.06 * highest])
    return figure


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
    figure, axes = _frame(found, width, 0.5 * width)
    for k in range(found.n_components):
        color, symbol = style.component(k)
        own = found.labels == k
        x, height = found.points[own, 0], found.uncertainty[own]
        axes.vlines(x, 0, height, color=color, linewidth=0.9, rasterized=view.rasterized)
        axes.scatter(x, height, s=12, marker=symbol, color=color, linewidths=0, rasterized=view.rasterized, zorder=3)
    most = max(float(found.uncertainty.max(initial=0.0)), 0.05)
    axes.set_ylim(-0.02 * most, 1.05 * most)
    axes.grid(axis="y")
    style.finish(axes, elided(found.names[0], 60), "uncertainty")
    _name_levels(axes, view, found, 0)
    return figure


def _name_levels(axes: Axes, view: View, found: Scene, coordinate: int, *, beside: bool = False) -> None:
    """The names of levels in place of their numbers."""
    if view.nominal and found.directions is None:
        names = view.level_names(coordinate)
        letters = 9 if beside else max(48 // len(names) // max(len(found.names) - 1, 1), 3)
        style.level_ticks(axes.yaxis if beside else axes.xaxis, names, letters)


# -- several coordinates -----------------------------------------------------------------------------------


def _matrix(view: View, found: Scene, width: float, sizes: np.ndarray) -> Figure:
    """All pairs of the coordinates, below the diagonal; the key above, or where there is room beside it."""
    n_panels = len(found.names) - 1
    rows = found.key_rows(width)
    cells = [(row, column) for row in range(n_panels) for column in range(row + 1)]
    alone = n_panels == 1
    wide = width - 0.74
    tall = min(wide, (0.6 if width >= _WIDE else 0.72) * width) if alone else 0.0
    figure, all_axes = style.panels(width, cells, tall=tall, top=0.1 + 0.2 * rows, beside=0.08, between=0.08)
    wide, tall = style.inches(all_axes[0])
    for (row, column), axes in zip(cells, all_axes, strict=True):
        _pair(axes, view, found, (column, row + 1), sizes)
        below = elided(found.names[column], int(wide / 0.075)) if row == n_panels - 1 else ""
        beside = elided(found.names[row + 1], int(tall / 0.075)) if column == 0 else ""
        (style.finish if alone else style.outer_labels)(axes, below, beside)
        if below:
            _name_levels(axes, view, found, column)
        if beside:
            _name_levels(axes, view, found, row + 1, beside=True)
    _key(figure, found, rows)
    return figure


def _component_lines(view: View, found: Scene, first: int, second: int) -> list[list[np.ndarray]]:
    """The outlines of each component in two coordinates; levels have none."""
    if view.nominal:
        return [[] for _ in range(found.n_components)]
    if found.directions is None:
        return em_outlines(view, first, second)
    matrix = found.directions.T @ ellipses(view.mixture, view.at, OUTLINE_MASS)[1][0] @ found.directions
    return [[line] for line in outlines(found.mean, matrix)]


def _pair(axes: Axes, view: View, found: Scene, features: tuple[int, int], sizes: np.ndarray) -> None:
    first, second = features
    pair, several = [first, second], len(found.names) > 2
    lines = _component_lines(view, found, first, second)
    # The largest first, so that they cover nothing.
    order = np.argsort(-sizes, kind="stable")
    for k in range(found.n_components):
        color, symbol = style.component(k)
        own = order[found.labels[order] == k]
        x, y = found.points[own][:, pair].T
        axes.scatter(
            x, y, s=sizes[own], marker=symbol, color=color, alpha=0.7, linewidths=0,
            rasterized=view.rasterized or (several and len(found.points) * len(found.names) > 2_000),
        )  # fmt: skip
        for line in lines[k]:
            axes.plot(*line.T, color=color, linewidth=1.0 if several else 1.5, zorder=3)
        if not several and not view.nominal and 1 < found.n_components <= _MOST_NAMED:
            style.number_mark(axes, k, found.mean[k, first], found.mean[k, second], color)
    low, high = np.nanmin(found.points[:, pair], axis=0), np.nanmax(found.points[:, pair], axis=0)
    room = 0.08 * (high - low)
    axes.set_xlim(low[0] - room[0], high[0] + room[0])
    axes.set_ylim(low[1] - room[1], high[1] + room[1])


# -- the key -----------------------------------------------------------------------------------------------


def _per_row(width: float) -> int:
    return max(int((width - 0.7) / 0.95), 1)


def _key(figure: Figure, found: Scene, rows: int) -> None:
    """Symbol, colour and number of data of each component, above the axes; of many the first."""
    if not rows:
        return
    handles, labels = [], []
    totals = np.bincount(found.labels, found.row_weights, minlength=found.n_components)
    for k, total in enumerate(totals[:_MOST_KEYS] if found.n_components > 1 else ()):
        color, symbol = style.component(k)
        handles.append(Line2D([], [], linestyle="none", marker=symbol, color=color, markersize=5.5))
        labels.append(f"{k}: {style.compact(round(total))}")
    if found.n_components > _MOST_KEYS:
        handles.append(Line2D([], [], linestyle="none"))
        labels.append(f"+ {found.n_components - _MOST_KEYS} more")
    below = 0.06 + 0.2 * (rows - len(found.notes))
    for place, note in enumerate(found.notes):
        doubt = Line2D([], [], linestyle="none", marker="x", color=style.WARNING, markersize=6)
        style.key(figure, [doubt], [note], left=0.5, top=below + 0.2 * place, handletextpad=0.1)
    if handles:
        columns = _per_row(figure.get_size_inches()[0])
        style.key(figure, handles, labels, left=0.5, top=0.06, ncols=columns, handletextpad=0.1, columnspacing=0.8)
