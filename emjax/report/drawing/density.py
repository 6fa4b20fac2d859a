"""The fitted density over the data: a histogram or bars for one feature, outlines for two, all pairs beyond.

Several features of levels have no scatter that says anything: they are drawn as profiles.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.margin import margin
from emjax.report.drawing.outlines import OUTLINE_MASS, contoured, draw_outlines, draw_points
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.profile import draw_profile, profile_features
from emjax.report.drawing.view import BAND_DRAWS, RASTER_POINTS, View, as_view, check_marginals, moments
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
    weighted; a row is left out of a scatter where it lacks a cell.
    """
    view = as_view(source)
    check_marginals(view)
    if view.n_features == 1:
        return one_feature(view, width)
    if view.family.nominal:
        return draw_profile(view, width)
    return _two_features(view, width) if view.n_features == 2 else _pairs(view, width)


def one_feature(view: View, width: float) -> Figure:
    """The density of the only feature."""
    figure, (axes,) = style.canvas(width, min(0.62 * width, 4.1) if width > 5 else 3.5)
    margin(axes, view, 0, linewidth=1.9, letters=50, names=True)
    style.key(figure)
    return figure


def _two_features(view: View, width: float) -> Figure:
    figure, (axes,) = style.canvas(width, 0.66 * width if width > 5 else 0.95 * width)
    draw_points(axes, view, 0, 1, size=15, rasterized=view.rasterized)
    draw_outlines(axes, view, 0, 1, n_draws=_SHEAF, names=True)
    style.key(figure)
    style.finish(axes, *(elided(name, 44) for name in view.feature_names))
    return figure


def _pairs(view: View, width: float) -> Figure:
    """Histograms on the diagonal, scatters with outlines below it."""
    shown = min(view.n_features, MOST_FEATURES)
    figure, all_axes = style.triangle(width, width, shown)
    cell = (width - 0.8) / shown
    letters = int(cell / (0.064 if cell < 1.2 else 0.075))
    n_pairs = shown * (shown - 1) // 2
    for (row, column), axes in all_axes.items():
        if row == column:
            margin(axes, view, row, linewidth=1.3, letters=letters)
            axes.grid(visible=False)
            axes.spines["left"].set_visible(False)
        else:
            size, pixels = 3 if cell < 1.2 else 6, len(view.rows) * n_pairs > RASTER_POINTS
            draw_points(axes, view, column, row, size=size, rasterized=pixels)
            draw_outlines(axes, view, column, row, n_draws=_SHEAF_OF_PAIRS // n_pairs, names=False)
        below = elided(view.feature_names[column], letters) if row == shown - 1 else ""
        beside = elided(view.feature_names[row], letters) if column == 0 else ""
        style.outer(axes, below, beside, numbered=row > column, size=7.5 if cell < 1.2 else 9.0)
    # Above the diagonal there is room.
    style.key(figure, loc="upper right", ncols=1)
    return figure


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
    """How many draws there are in the figure."""
    return f"{min(BAND_DRAWS, view.posterior.n_draws)} draws" if view.posterior else ""


def _posterior_word(view: View) -> str:
    return "Blue" if view.trusted else "Grey, because the chains have not converged"


def _one_feature_words(view: View) -> str:
    seen = "Bars count how often each value was seen" if view.bars() else "The histogram is the data"
    parts = ", dotted its components, numbered" if view.n_components > 1 else ""
    mean = f"{view.posterior_name} predictive" if view.trusted else "mean of the draws"
    band = f"{view.level:.0%} band of {_draws_words(view)}"
    band = band if view.bars() else f"{mean} and the {band}, each point on its own"
    of_draws = f" {_posterior_word(view)}: the {band}." if view.posterior else ""
    return f"{seen}. Dashed orange: EM's mixture{parts}.{of_draws}"


def _features_words(view: View) -> str:
    if view.family.nominal:
        color = "in the component's colour" if view.trusted else "grey, because the chains have not converged"
        lines = f" Lines, {color}: the {view.level:.0%} interval of {_draws_words(view)}, with a tick at their mean."
        shown = profile_features(view)
        return (
            "How likely each level is in each component: bars are the shares of levels among the data, symbols are "
            f"EM's estimates.{lines if view.posterior else ''}{left_out(shown, view.n_features)}"
        )
    near = ", approximately," if view.family.discrete else ""
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
    about = f"of {count(len(view.values), 'observation')}"
    if view.family.nominal:
        return f"{'Bars' if view.n_features == 1 else 'Profile'} {about}: levels of {listed(view.feature_names, 5)}."
    ranges = [
        f"{elided(name, 40)} from {number(view.limits(feature)[0])} to {number(view.limits(feature)[1])}"
        for feature, name in enumerate(view.feature_names[:MOST_FEATURES])
    ]
    kind = {1: "Histogram", 2: "Scatter plot"}.get(view.n_features, "Matrix of scatter plots")
    return f"{kind} {about}: {listed(ranges)}."


def _component_words(view: View) -> str:
    centre, weights = moments(view, view.at)[0][0], [number(weight, 2) for weight in view.at["weights"][0]]
    if view.family.nominal:
        return f"EM's components: {listed([f'{k} with weight {weight}' for k, weight in enumerate(weights)], 4)}."
    if len(weights) == 1:
        return f"EM's only component lies at {number(centre[0, 0], 3)}."
    places = [" / ".join(number(value, 3) for value in place[:MOST_FEATURES]) for place in centre]
    each = enumerate(zip(weights, places, strict=True))
    return f"EM puts {listed([f'component {k} with weight {weight} at {place}' for k, (weight, place) in each], 4)}."


def _distance_words(source: Comparison | Fit) -> str:
    if isinstance(source, Fit):
        return ""
    if not source.posterior.usable:
        return "The draws have not converged, so their spread is not a posterior."
    distance = source.invariants["total_variation"]["value"]
    return f"EM's density and the posterior predictive differ by {percent(distance)} in total variation."
