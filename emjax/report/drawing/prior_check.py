"""The prior predictive check: what data the prior expects, beside those that were seen, each feature by itself.

Gabry, Simpson, Vehtari, Betancourt and Gelman, "Visualization in Bayesian workflow", Journal of the Royal Statistical
Society A 182, 2019.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from emjax.bayes.posterior import Posterior
from emjax.bayes.predictive import prior_data
from emjax.comparison import Comparison
from emjax.families.base import Family
from emjax.keys import KeyLike, as_key
from emjax.mixture import Mixture
from emjax.report.drawing import style
from emjax.report.drawing.columns import WIDEST_BARS, Columns
from emjax.report.drawing.density import MOST_FEATURES
from emjax.report.drawing.view import band
from emjax.result import Fit
from emjax.samples import Samples
from emjax.scope import computing
from emjax.wording import elided

N_SETS = 200
"""Data sets that are drawn from the prior."""

MOST_ROWS = 1_000
"""Rows of a data set that is drawn: more would not move its histogram."""

LEVEL = 0.9
"""What share of the data sets a band holds, bin by bin."""

N_STRIPS = 12
"""Data sets that are drawn one by one."""

_N_BINS = 40
_ROOM = 0.75
"""How tall the strips are together, beside the histogram."""


@dataclasses.dataclass(frozen=True)
class Check(Columns):
    """Data ``samples``, and data sets ``drawn (n_sets, n_rows, d)`` from the prior of their mixture."""

    mixture: Mixture
    samples: Samples
    drawn: np.ndarray
    prior_name: str

    @property
    def family(self) -> Family:
        return self.mixture.family

    def sets(self, feature: int) -> np.ndarray:
        """Data sets ``(n_sets, n)`` of a feature, as long as the data weigh in cells that were seen, `MOST_ROWS` at
        most; infinite where the prior reaches beyond the numbers."""
        weight = self.cells(feature)[1].sum()
        drawn = self.drawn[:, : int(np.clip(round(weight), 1, self.drawn.shape[1])), feature]
        return np.where(np.isnan(drawn), np.inf, drawn)

    def reach(self, feature: int) -> tuple[float, float]:
        """From where to where a feature is drawn: the data, and nine in ten numbers that the prior expects."""
        expected = self.sets(feature)
        expected = expected[np.isfinite(expected)]
        ends = np.quantile(expected, [0.05, 0.95], method="nearest") if expected.size else self.limits(feature)
        low, high = self.limits(feature)
        return min(low, float(ends[0])), max(high, float(ends[1]))


def checked(source: Comparison | Fit | Posterior | Mixture, x: Any = None, key: KeyLike = 0) -> Check:
    """The check of a declaration and data, or of an object that has both."""
    if isinstance(source, Mixture):
        if x is None:
            raise ValueError("a mixture has no data of its own: give x, which the prior is compared with")
        samples = source.samples(x, n_components=source.n_components)
        source.family.check(samples)
        mixture = source.resolved(samples)
    elif x is not None:
        raise ValueError("x goes with a mixture alone: what was fitted or sampled has its own data")
    else:
        own = source.posterior if isinstance(source, Comparison) else source
        fit = own if isinstance(own, Fit) else own.map_fit
        mixture, samples = own.mixture, fit.samples
        if mixture.prior is None:
            raise ValueError(
                "the fit is of maximum likelihood, so it has no prior; give a mixture and its data, as in "
                "emjax.plots.prior_predictive(mixture, x)"
            )
    by_default = mixture.prior is None or isinstance(mixture.prior, str)
    with computing():
        prior = mixture.resolved_prior(samples) or mixture.default_prior(samples)
        n_rows = int(np.clip(round(samples.total_weight), 1, MOST_ROWS))
        drawn = prior_data(mixture, prior, n_rows, N_SETS, as_key(key))
    return Check(mixture, samples, drawn, "default prior" if by_default else "prior")


@style.drawn
def prior_predictive(
    source: Comparison | Fit | Posterior | Mixture | Check, x: Any = None, *, key: KeyLike = 0, width: float = 7.0
) -> Figure:
    """The data over data sets that are drawn from the prior: what is expected before anything was seen.

    ``source`` is a mixture with data ``x``, or what was fitted under a prior or sampled. Of a mixture without a prior
    the default one is drawn, which `emjax.sample` would take. 200 data sets have as many rows as the data weigh, 1,000
    at most. Each feature is drawn by itself: the mean of their histograms over that of the data, and below it twelve of
    them, a strip each, the darker the more rows lie there. Counts of a narrow range and levels have a bar for each
    value, with the mean and the band that holds 90% of the data sets. The data are weighted, and cells that were not
    seen are left out; data that are drawn are whole, and no label of theirs is known. The axis reaches over the data
    and nine in ten of the drawn numbers; of more than five features the first five are drawn.

    Raises ConfigError where a law of the prior is improper, and ValueError for a mixture without data and a fit without
    a prior.
    """
    check = source if isinstance(source, Check) else checked(source, x, key)
    shown = min(check.n_features, MOST_FEATURES)
    n_columns = min(shown, 1 if width <= 4.2 else 2 if width < 6 or shown in (2, 4) else 3)
    tall = min(0.62 * width, 4.1) if shown == 1 else 0.4 + 0.62 * width / n_columns
    figure, all_axes = style.panels(width, shown, n_columns, tall)
    for feature, axes in enumerate(all_axes):
        prior_margin(axes, check, feature, letters=int(width / n_columns / 0.1), height=feature % n_columns == 0)
    named: dict[str, Any] = {}
    for axes in all_axes:  # counts of a narrow and of a wide range may stand beside each other
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    style.place_key(figure, named)
    return figure


def prior_margin(axes: Axes, check: Check, feature: int, *, letters: int = 40, height: bool = True) -> Axes:
    """One feature on axes that are given, with so many letters below it; ``height`` names the other axis."""
    low, high = check.reach(feature)
    bars = check.family.discrete and high - low < WIDEST_BARS
    (_bars if bars else _histograms)(axes, check, feature, low, high)
    axes.grid(axis="y")
    style.finish(axes, elided(check.feature_names[feature], letters), ("share" if bars else "density") * height)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= axes.get_ylim()[1]])
    check.name_levels(axes.xaxis, feature, letters)
    return axes


def _bars(axes: Axes, check: Check, feature: int, low: float, high: float) -> None:
    """The share of each value: a bar of the data, a line from end to end of the band, and a mark at its middle."""
    if check.family.nominal:
        low, high = 0.0, len(check.level_names(feature)) - 1.0
    values = np.arange(round(low), round(high) + 1.0)
    (column, weights), sets = check.cells(feature), check.sets(feature)
    seen = np.array([weights[column == value].sum() for value in values]) / weights.sum()
    expected = np.stack([(sets == value).mean(axis=1) for value in values], axis=1)
    lower, upper = band(expected, LEVEL)
    axes.bar(values, seen, width=0.86, color=style.DATA_FILL, label="data")
    name = f"{check.prior_name}, {LEVEL:.0%} of data sets"
    axes.vlines(values, lower, upper, color=style.PRIOR, linewidth=3.2, alpha=0.45, label=name)
    look: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4.2, "color": style.PRIOR}
    axes.plot(values, expected.mean(axis=0), **look, label="mean")
    axes.set_ylim(bottom=0)


def _histograms(axes: Axes, check: Check, feature: int, low: float, high: float) -> None:
    """Histograms of the data and of the data sets in the same bins."""
    if check.family.discrete:
        edges = np.unique(np.linspace(low, high + 1.0, _N_BINS + 1).round()) - 0.5
    else:
        edges = np.linspace(low, high if high > low else low + 1.0, _N_BINS + 1)
    (column, weights), sets = check.cells(feature), check.sets(feature)
    # Shares of all numbers, those beyond the axis too.
    per_width = 1.0 / np.diff(edges)
    seen = np.histogram(column, edges, weights=weights)[0] / weights.sum() * per_width
    expected = np.stack([np.histogram(one, edges)[0] for one in sets]) / sets.shape[1] * per_width
    mean = expected.mean(axis=0)
    top = 1.08 * max(seen.max(), mean.max())
    axes.stairs(seen, edges, fill=True, color=style.DATA_FILL, label="data")
    axes.stairs(
        mean, edges, color=style.PRIOR, linewidth=1.9, label=f"{check.prior_name}, mean of {len(sets)} data sets"
    )
    _strips(axes, edges, expected[:N_STRIPS], top)


def _strips(axes: Axes, edges: np.ndarray, heights: np.ndarray, top: float) -> None:
    """Single data sets below the histogram, a strip each: the darker, the more of its rows lie there."""
    n_strips, room = len(heights), _ROOM * top
    places = -room * (0.06 + 0.94 * np.arange(n_strips + 1) / n_strips)
    shades = heights / np.maximum(heights.max(axis=1, keepdims=True), np.finfo(float).tiny)
    colors = LinearSegmentedColormap.from_list("prior", [f"{style.PRIOR}00", style.PRIOR])
    axes.pcolormesh(edges, places, shades, cmap=colors, vmin=0.0, vmax=1.0, rasterized=True)
    # White lines keep neighbours apart.
    axes.hlines(places, edges[0], edges[-1], color=style.ON_MARK, linewidth=0.8)
    axes.axhline(0.0, color=style.MUTED, linewidth=0.7)
    axes.add_patch(Rectangle((0.0, 0.0), 0.0, 0.0, color=style.PRIOR, alpha=0.6, label="single data sets"))
    axes.set_ylim(-room, top)
