"""The fitted density over the data: a histogram or bars for one feature, outlines for two, all pairs beyond.

Several features of levels have no scatter that says anything: they are drawn as profiles.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.margin import height_name, level_ticks, margin
from emjax.report.drawing.outlines import OUTLINE_MASS, contoured, draw_outlines, draw_points
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.profile import draw_profile, profile_features
from emjax.report.drawing.view import BAND_DRAWS, RASTER_POINTS, View, as_view, moments
from emjax.result import Fit
from emjax.wording import count, elided, listed, number, percent

MOST_FEATURES = 5
"""Of more features than this the first are drawn against each other."""

_SHEAF = 60
_SHEAF_OF_PAIRS = 120


@style.drawn
def density(source: Comparison | Fit | Posterior | View, *, width: float = 7.0) -> Figure:
    """The fitted density over the data, with its posterior band.

    One feature: a histogram (bars for counts and levels). Two: a scatter with outlines that hold 90% of each component,
    ellipses or, for positive data, contours. More: all pairs of the first five features. Several features of levels, or
    of 0 and 1: how likely each level is in each component, with the intervals of the draws. Histograms and bars are
    weighted; a row is left out of a scatter where it lacks a cell. ``width`` is in inches, as everywhere here.
    """
    view = as_view(source)
    if view.n_features == 1:
        return one_feature(view, width)
    if view.nominal:
        return draw_profile(view, width)
    return _two_features(view, width) if view.n_features == 2 else _pairs(view, width)


def one_feature(view: View, width: float) -> Figure:
    """The density of the only feature."""
    figure, axes = style.single(width, min(0.62 * width, 4.1) if width > 5 else 3.5, left=0.62)
    margin(axes, view, 0, linewidth=1.9, names=True)
    axes.grid(axis="y")
    style.legend(axes)
    style.finish(axes, elided(view.feature_names[0], 60), height_name(view, 0))
    level_ticks(axes, view, 0)
    return figure


def _two_features(view: View, width: float) -> Figure:
    figure, axes = style.single(width, 0.66 * width if width > 5 else 0.95 * width, left=0.62)
    draw_points(axes, view, 0, 1, size=15, rasterized=view.rasterized)
    draw_outlines(axes, view, 0, 1, n_draws=_SHEAF, names=True)
    style.legend(axes)
    style.finish(axes, *(elided(name, 44) for name in view.feature_names))
    return figure


def _pairs(view: View, width: float) -> Figure:
    """Histograms on the diagonal, scatters with outlines below it."""
    shown = min(view.n_features, MOST_FEATURES)
    cells = [(row, column) for row in range(shown) for column in range(row + 1)]
    figure, all_axes = style.panels(width, cells, right=0.08, bottom=0.5, top=0.34, beside=0.07, between=0.07)
    cell = style.inches(all_axes[0])[0]
    small = cell < 1.2
    letters = int(cell / (0.064 if small else 0.075))
    for (row, column), axes in zip(cells, all_axes, strict=True):
        _pair(axes, view, row, column, small=small)
        below = elided(view.feature_names[column], letters) if row == shown - 1 else ""
        beside = elided(view.feature_names[row], letters) if column == 0 else ""
        style.outer_labels(axes, below, beside, numbered=row > 0, size=7.5 if small else 9.0)
    handles, labels = all_axes[0].get_legend_handles_labels()
    style.key(figure, handles, labels, left=0.99 * width, top=0.02, loc="upper right", fontsize=8.5)
    return figure


def _pair(axes: Axes, view: View, row: int, column: int, *, small: bool) -> None:
    if row == column:
        margin(axes, view, row, linewidth=1.3)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        return
    n_pairs = sum(range(min(view.n_features, MOST_FEATURES)))
    pixels = len(view.rows) * n_pairs > RASTER_POINTS
    draw_points(axes, view, column, row, size=3 if small else 6, rasterized=pixels)
    draw_outlines(axes, view, column, row, n_draws=_SHEAF_OF_PAIRS // n_pairs, names=False)


# -- in words


def density_picture(source: Comparison | Fit) -> Picture:
    """The fitted density over the data, of EM alone or with the draws."""
    view = as_view(source)
    caption = _one_feature_words(view) if view.n_features == 1 else _features_words(view)
    return Picture(
        "density",
        lambda width: density(view, width=width),
        title="The fitted density over the data",
        text=f"{_data_words(view)} {_component_words(view)} {_distance_words(source)}".strip(),
        caption=caption,
    )


def _draws_words(view: View) -> str:
    """How many draws there are in the figure; empty for EM alone."""
    return "" if view.posterior is None else f"{min(BAND_DRAWS, view.posterior.n_draws)} draws"


def _posterior_word(view: View) -> str:
    return "Blue" if view.trusted else "Grey, because the chains have not converged"


def _one_feature_words(view: View) -> str:
    seen = "Bars count how often each value was seen" if view.bars() else "The histogram is the data"
    parts = ", dotted its components, numbered" if view.n_components > 1 else ""
    mean = "posterior predictive" if view.trusted else "mean of the draws"
    band = f"{view.level:.0%} band of {_draws_words(view)}"
    band = band if view.bars() else f"{mean} and the {band}, each point on its own"
    of_draws = f" {_posterior_word(view)}: the {band}." if view.posterior else ""
    return f"{seen}. Dashed orange: EM's mixture{parts}.{of_draws}"


def _features_words(view: View) -> str:
    if view.nominal:
        color = "in the component's colour" if view.trusted else "grey, because the chains have not converged"
        lines = f" Lines, {color}: the {view.level:.0%} interval of {_draws_words(view)}, with a tick at their mean."
        shown = profile_features(view)
        return (
            "How likely each level is in each component: bars are the shares of levels among the data, symbols are "
            f"EM's estimates.{lines if view.posterior else ''}{left_out(shown, view.n_features)}"
        )
    near = ", approximately," if view.discrete else ""
    outline = f"Each {'outline' if contoured(view) else 'ellipse'} holds{near} {OUTLINE_MASS:.0%} of one component."
    sheaf = (
        f" Dashed orange: EM. {_posterior_word(view)}: single draws; the wider their sheaf, the less the data say "
        "about the component."
    )
    shown = min(view.n_features, MOST_FEATURES)
    pairs = f"Every pair of features, and each by itself on the diagonal.{left_out(shown, view.n_features)} "
    return f"{pairs if view.n_features > 2 else ''}{outline}{sheaf if view.posterior else ''}{view.sampled_note()}"


def left_out(shown: int, n_features: int) -> str:
    """That only the first features are drawn, in words; empty where all are."""
    return f" The first {shown} of {n_features} features." if shown < n_features else ""


def _data_words(view: View) -> str:
    ranges = [
        f"{elided(name, 40)} from {number(low)} to {number(high)}"
        for name, low, high in zip(
            view.feature_names[:MOST_FEATURES],
            view.samples.summary.minimum,
            view.samples.summary.maximum,
            strict=False,
        )
    ]
    kind = {1: "Histogram", 2: "Scatter plot"}.get(view.n_features, "Matrix of scatter plots")
    about = f"of {count(len(view.values), 'observation')}"
    if view.nominal:
        return f"{'Bars' if view.n_features == 1 else 'Profile'} {about}: levels of {listed(view.feature_names, 5)}."
    return f"{kind} {about}: {listed(ranges)}."


def _component_words(view: View) -> str:
    stored = view.em or {}
    centre = moments(view.mixture, stored)[0][0]
    if view.nominal:
        weights = listed([f"{k} with weight {number(weight, 2)}" for k, weight in enumerate(stored["weights"][0])], 4)
        return f"EM's components: {weights}."
    places = [" / ".join(number(value, 3) for value in place[:MOST_FEATURES]) for place in centre]
    parts = [
        f"component {k} with weight {number(weight, 2)} at {place}"
        for k, (weight, place) in enumerate(zip(stored["weights"][0], places, strict=True))
    ]
    return (
        f"EM puts {listed(parts, 4)}." if len(parts) > 1 else f"EM's only component lies at {number(centre[0, 0], 3)}."
    )


def _distance_words(source: Comparison | Fit) -> str:
    if isinstance(source, Fit):
        return ""
    if not source.posterior.converged:
        return "The draws have not converged, so their spread is not a posterior."
    distance = source.invariants["total_variation"]["value"]
    return f"EM's density and the posterior predictive differ by {percent(distance)} in total variation."
