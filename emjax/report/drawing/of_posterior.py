"""The figures of a report that say what the draws are worth: modes, labels, ranks, and the band of the density."""

from __future__ import annotations

import math

import numpy as np

from emjax.align import TRUST_HIGH, TRUST_LOW
from emjax.bayes.posterior import Posterior
from emjax.bayes.visits import PosteriorMode
from emjax.catalogue import SAMPLERS
from emjax.comparison import Comparison
from emjax.report.drawing.density import MOST_FEATURES, draw_density_band
from emjax.report.drawing.labels import PairGaps, draw_labels, pair_gaps, permutation_shares
from emjax.report.drawing.modes import draw_modes, shown_modes
from emjax.report.drawing.of_comparison import Picture, picture
from emjax.report.drawing.ranks import Ranks, draw_rank_panels, find_ranks
from emjax.report.drawing.view import BAND_DRAWS, View, as_view, curves
from emjax.wording import count, elided, fixed, listed, number, percent

_SPREAD = 0.1
"""Chains whose shares of a mode differ by more than this are said to differ."""


# -- modes


def modes_picture(comparison: Comparison) -> Picture | None:
    """The modes, the mass of each by three accounts, and what each chain drew of it; None where none is known."""
    posterior = comparison.posterior
    if not posterior.modes.modes:
        return None
    return picture(
        "modes",
        lambda width: draw_modes(posterior, width),
        title="The posterior's modes and their mass",
        text=_modes_text(posterior),
        caption=_modes_caption(posterior),
        wide=True,
    )


def _modes_text(posterior: Posterior) -> str:
    shown = shown_modes(posterior)
    rows = [
        f"{_what(mode, place)}: log density {number(mode.log_density, 6)}, EM's objective {number(mode.objective, 6)}, "
        f"Laplace mass {percent(mode.laplace_mass)}, corrected {percent(mode.mass)}, {percent(mode.visited)} of the "
        f"draws, by chain from {percent(min(mode.visited_by_chain))} to {percent(max(mode.visited_by_chain))}"
        f"{_unvisited_word(posterior, place)}."
        for place, mode in enumerate(shown)
    ]
    known = count(len(posterior.modes.modes), "mode")
    return f"Bars and dots of the mass of {known} of the posterior, up to labels. {' '.join(rows)}"


def _what(mode: PosteriorMode, place: int) -> str:
    return f"Place {place}, {mode.words}" if mode.n_empty else f"Mode {place}"


def _unvisited_word(posterior: Posterior, place: int) -> str:
    return ", although its mass is not negligible" if place in posterior.modes.unvisited else ""


def _modes_caption(posterior: Posterior) -> str:
    modes = posterior.modes.modes
    shown = shown_modes(posterior)
    proper = [mode for mode in modes if not mode.n_empty]
    first = "EM found one mode, up to labels"
    if len(proper) > 1:
        large = sum(max(mode.mass, mode.visited) >= 0.01 for mode in proper)
        first = f"EM found {len(proper)} modes, up to labels; {count(large, 'holds', 'hold')} 1% or more"
    first += "".join(f"; {mode.words} in {percent(mode.mass)}" for mode in modes if mode.n_empty) + "."
    if len(shown) < len(modes):
        first += f" The {len(shown)} with the largest mass are drawn."
    missed = posterior.modes.unvisited
    warning = ""
    if missed:
        mass = sum(modes[place].mass for place in missed)
        red = "the red one" if len(missed) == 1 else "the red ones"
        warning = f" No draw lies in {red}, with about {percent(mass)} of the posterior."
    return (
        f"{first}{warning} Beside its number stand the log density in each mode and the objective of the optimum of EM "
        "that it grew from. Circle: the mass of each mode's Laplace approximation. Diamond: corrected by importance "
        f"sampling. Bar: the draws nearest to it, on the right chain by chain.{_chains_differ(posterior)} "
        f"{_pareto_words(posterior)} Log evidence {number(posterior.modes.log_evidence, 6)}."
    )


def _chains_differ(posterior: Posterior) -> str:
    spread = max(max(mode.visited_by_chain) - min(mode.visited_by_chain) for mode in posterior.modes.modes)
    if not spread > _SPREAD:
        return ""
    return f" The chains differ by up to {percent(spread, 0)} of their draws in one mode."


def _pareto_words(posterior: Posterior) -> str:
    shape = posterior.modes.pareto_k
    value = "−∞" if shape == -math.inf else "∞" if shape == math.inf else fixed(shape, 2)
    limit = fixed(posterior.modes.good_pareto_k, 2)
    if posterior.modes.believable:
        return f"Pareto k is {value}, up to {limit}: masses and evidence can be believed."
    resting = SAMPLERS[posterior.method].weighted
    rest = "and so are the draws, which rest on them" if resting else "the draws do not rest on them"
    return (
        f"Pareto k is {value}, above {limit}: the modes' normal approximations are rough, and so are masses "
        f"and evidence; {rest}."
    )


# -- labels


def labels_picture(comparison: Comparison) -> Picture | None:
    """How far draws are from the border between two numberings of the components; None where none was to be chosen."""
    posterior = comparison.posterior
    pairs = pair_gaps(posterior)
    if not pairs:
        return None
    return picture(
        "labels",
        lambda width: draw_labels(posterior, width),
        title="How far labels can be trusted",
        text=_labels_text(posterior, pairs[0]),
        caption=_labels_caption(posterior, pairs[0]),
        wide=True,
    )


def _labels_text(posterior: Posterior, worst: PairGaps) -> str:
    alignment = posterior.alignment
    shares = [f"{' '.join(map(str, order))} for {percent(share)}" for order, share in permutation_shares(posterior)]
    return (
        f"Histogram of what exchanging labels {worst.pair[0]} and {worst.pair[1]} would cost each draw, in medians: "
        f"{percent(worst.border / 2)} of the draws lie in the border zone below 0.5 and {percent(worst.typical)} "
        f"between 0.5 and 1.5. Separation {fixed(alignment.separation, 2)}, agreement of two methods "
        f"{percent(alignment.agreement)}, trust {fixed(alignment.trust, 2)}. Bars of the permutations that were "
        f"chosen: {listed(shares)} of the draws."
    )


def _labels_caption(posterior: Posterior, worst: PairGaps) -> str:
    alignment = posterior.alignment
    if alignment.trust >= TRUST_HIGH:
        meaning = "labels are identified, and numbers of single components have a meaning"
    elif alignment.trust >= TRUST_LOW:
        meaning = "labels are identified in part; read single components with care"
    else:
        meaning = "labels are not identified; read only what does not depend on them"
    return (
        f"Trust {fixed(alignment.trust, 2)}: {meaning}. Histogram: what it would cost each draw to exchange labels "
        f"{worst.pair[0]} and {worst.pair[1]}, the pair that is separated worst; 0 is the border between two "
        "numberings. Separation, 1 less the density in the red zone over that in the grey one, is "
        f"{fixed(worst.separation, 2)}; two methods of relabelling agree on {percent(alignment.agreement)} of draws. "
        "Bars: how often each permutation was chosen (which component of the draw got label 0, 1, ...): a sampler that "
        "visits several numberings is no fault."
    )


# -- ranks


def ranks_picture(comparison: Comparison) -> Picture | None:
    """Rank plots of all quantities that vary; None where none does."""
    posterior = comparison.posterior
    ranks = find_ranks(posterior)
    if not ranks.panels:
        return None
    name, chain, deviation = ranks.worst
    n_chains = ranks.deviations.shape[1]
    text = (
        f"Rank plots of {count(len(ranks.panels), 'quantity', 'quantities')} in {count(n_chains, 'chain')}. Furthest "
        f"from flat is chain {chain} in {elided(name, 60)}: its counts are {number(deviation, 3)} times as far from "
        "flat as those of independent draws."
    )
    return picture(
        "ranks",
        lambda width: draw_rank_panels(ranks, width),
        title="Ranks, quantity by quantity",
        text=text,
        caption=_ranks_caption(posterior, ranks),
        wide=True,
    )


def _ranks_caption(posterior: Posterior, ranks: Ranks) -> str:
    n_chains = ranks.deviations.shape[1]
    left_out = ""
    if len(ranks.panels) < ranks.n_quantities:
        left_out = f" Of {ranks.n_quantities} quantities the {len(ranks.panels)} furthest from flat."
    coloured = ""
    if len(ranks.named) < n_chains:
        named = listed([str(chain) for chain in ranks.named])
        coloured = f" Of {n_chains} chains, {named} are coloured: those furthest from flat in any quantity."
    return (
        f"How the draws of each chain rank among all draws, quantity by quantity.{left_out} Chains that agree are "
        f"flat, inside the band up to their autocorrelation. The number is R-hat.{coloured} {aligned_note(posterior)}"
    )


def aligned_note(posterior: Posterior) -> str:
    """What a rank plot rests on: whether labels were aligned, and how far that can be trusted."""
    if posterior.mixture.n_components < 2:
        return ""
    if not posterior.alignment.needed:
        return posterior.alignment.note
    trust = f"Labels were aligned before ranking (trust {fixed(posterior.alignment.trust, 2)})"
    if posterior.alignment.trust >= TRUST_LOW:
        return f"{trust}."
    return (
        f"{trust}, which is too low for single components: their ranks say little; lp and log_density need no labels."
    )


# -- the density of each feature


def band_picture(comparison: Comparison) -> Picture | None:
    """The density of each feature with its band; None for one feature, whose density is drawn already."""
    view = as_view(comparison)
    if view.n_features < 2:
        return None
    shown = min(view.n_features, MOST_FEATURES)
    names = listed([elided(name, 40) for name in view.feature_names[:shown]])
    left_out = f" The first {shown} of {view.n_features} features." if shown < view.n_features else ""
    n_draws = count(min(BAND_DRAWS, comparison.posterior.n_draws), "draw")
    outside = _outside_words(view, shown)
    mean = "posterior predictive" if view.trusted else "mean of the draws, which have not converged,"
    return picture(
        "density-band",
        lambda width: draw_density_band(view, width),
        title="The density of each feature, with its band",
        text=f"Histograms of {names} with EM's density and the {mean} with its {view.level:.0%} band. {outside}",
        caption=(
            f"Each feature by itself.{left_out} The histogram is the data. Dashed orange: EM's density, dotted its "
            f"components. {'Blue' if view.trusted else 'Grey'}: the {mean} and the {view.level:.0%} band of {n_draws}, "
            f"each point on its own. {outside}"
        ),
        wide=True,
    )


def _outside_words(view: View, n_features: int) -> str:
    """Where EM's density leaves the band, as a share of EM's own mass."""
    shares = []
    for feature in range(n_features):
        found = curves(view, feature)
        band, density = found.band(view.level), found.em_density
        assert band is not None
        assert density is not None
        outside = (density < band[0]) | (density > band[1])
        shares.append(float(density[outside].sum() / density.sum()))
    if max(shares) == 0:
        return "EM's density stays inside the band."
    worst = int(np.argmax(shares))
    where = "" if n_features == 1 else f" for {elided(view.feature_names[worst], 40)}"
    more = "" if n_features == 1 else " at most"
    return f"EM's density leaves the band over {percent(shares[worst])} of its mass{more}{where}."
