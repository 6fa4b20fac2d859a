"""The figures of a report: each with an address that holds it, a text that says what it shows, and a caption."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from matplotlib.figure import Figure

from emjax.comparison import Comparison
from emjax.report.drawing.assignments import draw_along, draw_certainty, draw_map
from emjax.report.drawing.chains import Chains, draw_chains, worst_chains
from emjax.report.drawing.density import MOST_FEATURES, draw_density
from emjax.report.drawing.em_trace import distances, draw_em_trace
from emjax.report.drawing.forest import draw_forest, forest_rows
from emjax.report.drawing.outlines import OUTLINE_MASS, contoured
from emjax.report.drawing.profile import profile_features
from emjax.report.drawing.view import BAND_DRAWS, View, as_view, entropy, moments, shares_of_data
from emjax.report.svg import data_uri, pixels
from emjax.result import Fit
from emjax.wording import count, elided, listed, number, percent

_WIDE, _NARROW, _CELL = 7.0, 4.0, 4.4


@dataclasses.dataclass(frozen=True)
class Picture:
    """One figure as the page needs it.

    Attributes
    ----------
    name
        Its anchor.
    source, narrow
        Addresses that hold the figure itself, for wide and for narrow screens (empty: the same).
    width, height
        In CSS pixels.
    text
        What it shows, for those who do not see it.
    title, caption
        What stands beside it.
    """

    name: str
    source: str
    narrow: str
    width: int
    height: int
    text: str
    title: str
    caption: str


def picture(
    name: str,
    draw: Callable[[float], Figure],
    *,
    title: str,
    text: str,
    caption: str,
    wide: bool = False,
) -> Picture:
    """The picture of a figure that ``draw`` makes at a width in inches; a wide one has a form for narrow screens."""
    figure = draw(_WIDE if wide else _CELL)
    width, height = pixels(figure)
    narrow = data_uri(draw(_NARROW)) if wide else ""
    return Picture(name, data_uri(figure), narrow, width, height, text, title, caption)


def density_picture(comparison: Comparison) -> Picture:
    """The fitted density over the data."""
    view = as_view(comparison)
    draws = f"{min(BAND_DRAWS, comparison.posterior.n_draws)} draws"
    if view.n_features == 1:
        parts = ", dotted its components, numbered" if view.n_components > 1 else ""
        caption = f"Dashed orange: EM's mixture{parts}. {_posterior_word(view)}: the"
        if view.bars():
            caption = f"Bars count how often each value was seen. {caption} {view.level:.0%} band of {draws}."
        else:
            mean = "posterior predictive" if view.trusted else "mean of the draws"
            caption = (
                f"The histogram is the data. {caption} {mean} and the {view.level:.0%} band of {draws}, each point on "
                "its own."
            )
    elif view.nominal:
        color = "in the component's colour" if view.trusted else "grey, because the chains have not converged"
        caption = (
            f"{_PROFILE} Lines, {color}: the {view.level:.0%} interval of {draws}, with a tick at their mean."
            f"{_first_features(view)}"
        )
    else:
        caption = (
            f"{_outline_words(view)} Dashed orange: EM. "
            f"{_posterior_word(view)}: single draws; the wider their sheaf, the less the data say about the component."
            + view.sampled_note()
        )
    return _density(view, caption, f" {_density_words(comparison)}")


def em_density_picture(fit: Fit) -> Picture:
    """The density that EM fitted over the data."""
    view = as_view(fit)
    parts = ", dotted its components, numbered" if view.n_components > 1 else ""
    if view.n_features == 1:
        shown = "Bars count how often each value was seen" if view.bars() else "The histogram is the data"
        caption = f"{shown}. Dashed orange: EM's mixture{parts}."
    elif view.nominal:
        caption = _PROFILE + _first_features(view)
    else:
        caption = f"{_outline_words(view)}{view.sampled_note()}"
    return _density(view, caption, "")


_PROFILE = (
    "How likely each level is in each component: bars are the shares of levels among the data, symbols are EM's "
    "estimates."
)


def _first_features(view: View) -> str:
    shown = profile_features(view)
    return f" The first {shown} of {view.n_features} features." if shown < view.n_features else ""


def _outline_words(view: View) -> str:
    near = ", approximately," if view.discrete else ""
    return f"Each {'outline' if contoured(view) else 'ellipse'} holds{near} {OUTLINE_MASS:.0%} of one component."


def _density(view: View, caption: str, words: str) -> Picture:
    if view.n_features > 2 and not view.nominal:
        shown = min(view.n_features, MOST_FEATURES)
        left_out = f" The first {shown} of {view.n_features} features." if shown < view.n_features else ""
        caption = f"Every pair of features, and each by itself on the diagonal.{left_out} {caption}"
    return picture(
        "density",
        lambda width: draw_density(view, width),
        title="The fitted density over the data",
        text=f"{_data_words(view)} {_component_words(view)}{words}",
        caption=caption,
        wide=True,
    )


def _posterior_word(view: View) -> str:
    return "Blue" if view.trusted else "Grey, because the chains have not converged"


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


def _density_words(comparison: Comparison) -> str:
    if not comparison.posterior.converged:
        return "The draws have not converged, so their spread is not a posterior."
    distance = comparison.invariants["total_variation"]["value"]
    return f"EM's density and the posterior predictive differ by {percent(distance)} in total variation."


def forest_picture(comparison: Comparison) -> Picture | None:
    """EM beside the posterior, parameter by parameter; None where no number can move."""
    rows, n_rows = forest_rows(comparison)
    if not rows:
        return None
    worst = max(rows, key=lambda row: abs(row.difference_in_sd) if np.isfinite(row.difference_in_sd) else np.inf)
    trusted = comparison.posterior.converged
    posterior, mean = ("posterior", "posterior mean") if trusted else ("draws that have not converged", "draws' mean")
    text = (
        f"{count(len(rows), 'parameter')}: EM's estimate and {comparison.level:.0%} interval above the mean and "
        f"interval of the {posterior}. The largest distance is that of {elided(worst.name, 60)}: EM "
        f"{number(worst.em)}, {mean} {number(worst.mean)}, {number(abs(worst.difference_in_sd), 2)} of its standard "
        "deviations apart."
    )
    left_out = f" Of {n_rows} rows the {len(rows)} that differ most; the table below holds all."
    caption = (
        f"Estimates with {comparison.level:.0%} intervals. Every row has its own scale: 0 is the {mean}, 1 one of "
        "its standard deviations, so that rows can be compared. The first number in a row's name is the component. "
        "The diamond is EM under the sampler's prior (MAP): its distance to the circle is what the prior does."
        f"{left_out if len(rows) < n_rows else ''}"
    )
    return picture(
        "forest",
        lambda width: draw_forest(comparison, width),
        title=f"EM beside the {posterior}",
        text=text,
        caption=caption,
        wide=True,
    )


def assignment_pictures(source: Comparison | Fit) -> Iterator[Picture]:
    """Who belongs where, and how surely; nothing for a single component."""
    view = as_view(source)
    if view.n_components < 2:
        return
    em, posterior = shares_of_data(view)
    assert em is not None
    numbers = f"The likeliest component has a chance below 90% for {_unsure(em)} of the data by EM"
    if posterior is None:
        name, shares, numbers = "by EM", em, f"{numbers}."
    else:
        name = "averaged over the posterior" if view.trusted else "averaged over draws that have not converged"
        shares, numbers = posterior, f"{numbers} and for {_unsure(posterior)} {name}."
    if view.n_features == 1:
        yield picture(
            "along",
            lambda width: draw_along(view, width),
            title="Which component, along the data",
            text=f"Curves of the chance of each of {view.n_components} components along the data. {numbers}",
            caption="The chance that a value belongs to each component, numbered."
            + ("" if view.discrete else " The ticks below are the data."),
        )
    if view.n_features == 2:
        doubt = entropy(shares)
        yield picture(
            "map",
            lambda width: draw_map(view, width),
            title="Where assignments are unsure",
            text=(
                f"Scatter plot of the data coloured by the entropy of their assignment, {name}: on average "
                f"{number(doubt.mean(), 2)} of the largest possible, at most {number(doubt.max(), 2)}. {numbers}"
            ),
            caption="Entropy of each assignment, " + name + ": 0 is certain, 1 is no idea. Unsure data are larger.",
        )
    yield picture(
        "certainty",
        lambda width: draw_certainty(view, width),
        title="How sure the assignments are",
        text=f"Curves of the chance of the likeliest component over the data, from the least certain. {numbers}",
        caption=numbers,
    )


def _unsure(shares: np.ndarray) -> str:
    return percent(float((shares.max(axis=1) < 0.9).mean()))


def em_trace_picture(fit: Fit) -> Picture:
    """EM's way to its optimum."""
    gap = distances(fit)
    seen = gap[np.isfinite(gap)]
    first = f", {number(seen[0], 3)} nats below the best" if seen.size else ""
    return picture(
        "em-trace",
        lambda width: draw_em_trace(fit, width),
        title="EM's iterations",
        text=(
            f"EM's objective over {count(fit.n_iter, 'iteration')}: it starts at {number(fit.trace[0], 6)}{first}, and "
            f"ends at {number(fit.objective, 6)}. Status: {fit.status.value}{', spurious' if fit.spurious else ''}."
        ),
        caption=(
            "The best start. Below, the distance to the best value on a logarithmic scale: a straight line means that "
            "EM gains the same factor each time, and the flatter it is, the more the components overlap."
        ),
    )


def chain_pictures(comparison: Comparison) -> Iterator[Picture]:
    """Trace and ranks of the quantities whose chains agree least."""
    for place, chains in enumerate(worst_chains(comparison.posterior)):
        aligned = comparison.fit.mixture.n_components > 1 and comparison.posterior.alignment.needed
        yield _chain_picture(place, chains, aligned=aligned)


def _chain_picture(place: int, chains: Chains, *, aligned: bool) -> Picture:
    variable = chains.name.partition("[")[0]
    found = chains.found
    numbers = (
        ""
        if found is None
        else f" R-hat {number(found.rhat)}, bulk ESS {number(found.ess_bulk)}, tail ESS {number(found.ess_tail)}."
    )
    means = listed([number(value) for value in chains.values.mean(axis=1)], 8)
    n_chains, n_draws = chains.values.shape
    return picture(
        f"chains-{place}",
        lambda width: draw_chains(chains, width),
        title=elided(chains.name, 40),
        text=(
            f"Trace and rank plot of {elided(chains.name, 60)} in {count(n_chains, 'chain')} of "
            f"{count(n_draws, 'draw')}.{numbers} Means of the chains: {means}."
        ),
        caption=_QUANTITIES.get(variable, "Labels were aligned first." if aligned else ""),
    )


_QUANTITIES = {
    "lp": "The log density of the draws themselves.",
    "log_density": "The log density of one datum, which the numbering of components does not touch.",
    "weight_entropy": "The entropy of the weights, which the numbering of components does not touch.",
    "largest_weight": "The largest of the weights, whichever component has it.",
    "smallest_weight": "The smallest of the weights, whichever component has it.",
}
