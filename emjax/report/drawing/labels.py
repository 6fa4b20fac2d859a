r"""How far the labels of the draws can be trusted, drawn: the gaps to the border between two numberings.

For labels :math:`i, j` of an aligned draw :math:`g_{ij} = o_{ii} + o_{jj} - o_{ij} - o_{ji} \ge 0` is what exchanging
them would cost, with :math:`o_{ij}` the overlap of the reference's responsibilities for :math:`i` with the draw's for
:math:`j`, in data. At :math:`g_{ij} = 0` the draw lies on the border. `emjax.align.separation` compares the density of
:math:`u = g_{ij} / \mathrm{median}\, g_{ij}` near the border, :math:`u < 1/2`, with that of the typical zone,
:math:`1/2 \le u < 3/2`; the figure shows both.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.align import TRUST_HIGH, TRUST_LOW
from emjax.align.trust import relative_gaps
from emjax.bayes.draws import overlap_with_reference
from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import View, posterior_of
from emjax.scope import computing
from emjax.wording import fixed, listed, percent

BORDER, TYPICAL_END = 0.5, 1.5
"""Where the border zone ends and the typical zone begins, and where the latter ends, in medians."""

_BINS_PER_UNIT = 12
_WIDEST = 2.5
_MOST_PAIRS = 10
_MOST_PERMUTATIONS = 6


@dataclasses.dataclass(frozen=True)
class PairGaps:
    """The gaps of one pair of labels over their median, ``relative (n_draws,)``, and their mean density near the border
    and in the typical zone."""

    pair: tuple[int, int]
    relative: np.ndarray
    border: float
    typical: float

    @property
    def separation(self) -> float:
        """``1 - border / typical``, between 0 and 1."""
        return float(np.clip(1.0 - self.border / self.typical, 0.0, 1.0)) if self.typical > 0 else 0.0


def pair_gaps(posterior: Posterior) -> list[PairGaps]:
    """The gaps of all pairs of labels, the pair that is separated worst first; empty where none were to be aligned."""
    n_components = posterior.mixture.n_components
    if n_components < 2 or not posterior.alignment.needed:
        return []
    with computing():
        fit = posterior.map_fit
        overlap, _ = overlap_with_reference(posterior.mixture.likelihood, posterior.params, fit, fit.samples)
    # The labels are aligned already.
    gaps, _ = relative_gaps(-overlap, np.broadcast_to(np.arange(n_components), overlap.shape[:2]))
    if not len(gaps):
        return []
    border = 2.0 * (gaps < BORDER).mean(axis=0)
    typical = ((gaps >= BORDER) & (gaps < TYPICAL_END)).mean(axis=0)
    pairs = zip(*np.triu_indices(n_components, k=1), gaps.T, border, typical, strict=True)
    found = [PairGaps((int(i), int(j)), own, float(low), float(high)) for i, j, own, low, high in pairs]
    return sorted(found, key=lambda pair: pair.separation)


def permutation_shares(posterior: Posterior) -> list[tuple[tuple[int, ...], float]]:
    """Which permutations the alignment chose, and for which share of the draws, the most frequent first."""
    found, counts = np.unique(posterior.alignment.permutations, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    n_draws = len(posterior.alignment.permutations)
    return [(tuple(found[place].tolist()), float(counts[place] / n_draws)) for place in order]


@style.drawn
def labels(source: Comparison | Posterior, *, width: float = 4.4) -> Figure:
    """How far labels can be trusted: what exchanging two labels would cost each draw, and the permutations chosen.

    The histogram is that of the pair of labels that is separated worst, in medians of the draws: 0 is the border
    between two numberings. `emjax.align.separation` compares the density in the border zone below 1/2 with that from
    1/2 to 3/2. Raises ValueError for a mixture of a single component, which has no labels, and where the prior or
    labels of rows tell components apart, so that nothing was aligned.
    """
    posterior = posterior_of(source)
    if posterior.mixture.n_components < 2:
        raise ValueError("a mixture of one component has no labels to draw; use n_components=2 or more")
    if not posterior.alignment.needed:
        raise ValueError("the prior or labels of rows tell these components apart: nothing was aligned; draw 'ranks'")
    shares = permutation_shares(posterior)
    wide = width > 5.5
    layout: dict[str, Any] = (
        {"n_columns": 2, "width_ratios": (3, 2)} if wide else {"n_rows": 2, "height_ratios": (2, 1)}
    )
    figure, (gaps, bars) = style.canvas(width, 0.37 * width if wide else 0.95 * width, **layout)
    color = View(None, posterior).posterior_color
    _gaps(gaps, pair_gaps(posterior), color)
    _permutations(bars, shares, color)
    style.key(figure)
    return figure


def _gaps(axes: Axes, pairs: list[PairGaps], color: str) -> None:
    axes.set_xlim(0, _WIDEST)
    style.finish(axes, "gap to the border, in medians", "density of draws", n_y=4)
    if not pairs:
        axes.text(0.5, 0.5, "no draw has finite overlaps", transform=axes.transAxes, ha="center", color=style.MUTED)
        return
    worst, *others = pairs
    edges = np.linspace(0, _WIDEST, int(_WIDEST * _BINS_PER_UNIT) + 1)
    axes.axvspan(0, BORDER, color=style.WARNING, alpha=0.12, linewidth=0)
    axes.axvspan(BORDER, TYPICAL_END, color=style.DATA_FILL, alpha=0.45, linewidth=0)
    density, name = _density(worst.relative, edges), f"labels {worst.pair[0]} and {worst.pair[1]}"
    axes.stairs(density, edges, fill=True, color=color, alpha=0.5, linewidth=0, label=name)
    highest = max(density.max(), worst.border)
    for pair in others[:_MOST_PAIRS]:
        density = _density(pair.relative, edges)
        highest = max(highest, density.max())
        axes.stairs(density, edges, color=style.MUTED, linewidth=0.8, baseline=None, label="other pairs")
    axes.hlines(worst.border, 0, BORDER, color=style.INK, linewidth=1.6, label="mean of the zone")
    axes.hlines(worst.typical, BORDER, TYPICAL_END, color=style.INK, linewidth=1.6)
    axes.set_ylim(0, 1.22 * highest)
    words: dict[str, Any] = {"xycoords": axes.get_xaxis_transform(), "va": "top", "color": style.MUTED, "fontsize": 8}
    for x, word in ((BORDER / 2, "border"), ((BORDER + TYPICAL_END) / 2, "typical")):
        axes.annotate(word, (x, 0.985), ha="center", **words)
    beyond = float((worst.relative > _WIDEST).mean())
    if beyond > 0:
        axes.annotate(f"{percent(beyond)} beyond →", (0.99 * _WIDEST, 0.9), ha="right", **words)


def _density(relative: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The density of the draws; those beyond the last edge take their share of it with them."""
    counts, _ = np.histogram(relative, edges)
    return counts / (len(relative) * np.diff(edges))


def _permutations(axes: Axes, shares: list[tuple[tuple[int, ...], float]], color: str) -> None:
    """A bar for each permutation: which component of the draw each label was given to."""
    named = [
        (" ".join(map(str, order)) if len(order) <= 6 else f"no. {place}", share)
        for place, (order, share) in enumerate(shares[:_MOST_PERMUTATIONS])
    ]
    rest = shares[_MOST_PERMUTATIONS:]
    if rest:
        named.append((f"{len(rest)} more", sum(share for _, share in rest)))
    places = np.arange(len(named))
    axes.barh(places, [100 * share for _, share in named], height=0.66, color=color, alpha=0.5, linewidth=0)
    style.rows_of(axes, places, [name for name, _ in named])
    axes.set_ylim(max(len(named), 4) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("draws of each permutation, %")


def labels_picture(posterior: Posterior) -> Picture | None:
    """How far draws are from the border between two numberings of the components; None where none was to be chosen."""
    pairs = pair_gaps(posterior)
    if not pairs:
        return None
    alignment, worst = posterior.alignment, pairs[0]
    if alignment.trust >= TRUST_HIGH:
        meaning = "labels are identified, and numbers of single components have a meaning"
    elif alignment.trust >= TRUST_LOW:
        meaning = "labels are identified in part; read single components with care"
    else:
        meaning = "labels are not identified; read only what does not depend on them"
    shares = [f"{' '.join(map(str, order))} for {percent(share)}" for order, share in permutation_shares(posterior)]
    return Picture(
        "labels",
        lambda width: labels(posterior, width=width),
        title="How far labels can be trusted",
        caption=(
            f"Trust {fixed(alignment.trust, 2)}: {meaning}. Histogram: what it would cost each draw to exchange labels "
            f"{worst.pair[0]} and {worst.pair[1]}, the pair that is separated worst; 0 is the border between two "
            f"numberings, and {percent(worst.border / 2)} of the draws lie in its red zone. Separation, 1 less the "
            f"density there over that in the grey zone, is {fixed(worst.separation, 2)}; two methods of relabelling "
            f"agree on {percent(alignment.agreement)} of draws. Bars: how often each permutation was chosen (which "
            f"component of the draw got label 0, 1, ...), {listed(shares)}: a sampler that visits several numberings "
            "is no fault."
        ),
    )
