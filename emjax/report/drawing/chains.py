"""Traces and rank plots of the draws after alignment, for the quantities whose chains agree least.

A rank plot counts, for each chain, how its draws rank among the draws of all chains. Chains that agree have flat
counts; the grey band holds 99% of the counts of such chains, were their draws independent. (Vehtari, Gelman, Simpson,
Carpenter and Bürkner, Bayesian Analysis 16, 2021.)
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Transform
from scipy.stats import binom, rankdata

from emjax.bayes.diagnostics import QuantityDiagnostics
from emjax.bayes.draws import anchor_rows, invariants_of_weights
from emjax.bayes.posterior import Posterior
from emjax.bayes.tree import stored_draws
from emjax.comparison import Comparison
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import posterior_of
from emjax.wording import count, elided, listed, number

MOST_QUANTITIES = 4
NAMED_CHAINS = 3
"""With more chains than there are colours, so many are coloured: those whose ranks are furthest from flat."""

MOST_GREY = 16
"""More chains than this without a colour of their own are drawn as a range."""

_TRACE_POINTS = 300
_BINS = 20


@dataclasses.dataclass(frozen=True)
class Chains:
    """The draws ``(chain, draw)`` of one scalar quantity and its diagnostics."""

    name: str
    values: np.ndarray
    found: QuantityDiagnostics | None


def all_chains(posterior: Posterior) -> list[Chains]:
    """The quantities that diagnostics name, in the order of the tables: the log density, that of the anchors, each
    parameter."""
    found = {"lp": np.asarray(posterior.sampled["sample_stats"]["lp"].values)}
    pointwise = posterior.sampled["log_likelihood"].to_dataset()["x"]
    for place, row in enumerate(anchor_rows(posterior.map_fit.data)):
        found[f"log_density[{place}]"] = pointwise.sel(row=row).values
    found.update(invariants_of_weights(np.asarray(posterior.sampled["posterior"]["weights"].values)))
    drawn = stored_draws(posterior.sampled["posterior"])
    named = posterior.mixture.likelihood.named_parameters(posterior.map_fit.params)
    for parameter in posterior.mixture.scalars(named, posterior.map_fit.feature_names):
        found[parameter.name] = drawn[parameter.variable][parameter.place]
    rows = {row.name: row for row in posterior.diagnostics.quantities}
    return [Chains(name, values, rows.get(name)) for name, values in found.items() if np.isfinite(values).all()]


def worst_chains(posterior: Posterior, most: int = MOST_QUANTITIES) -> list[Chains]:
    """The quantities with the largest R-hat or the smallest effective sample size, the worst first.

    Quantities that are mirror images (two weights that add up to one) count once.
    """
    limits = posterior.diagnostics.thresholds
    found: dict[tuple[float, float], Chains] = {}

    def badness(row: QuantityDiagnostics) -> float:
        smallest = min(row.ess_bulk, row.ess_tail)
        score = max((row.rhat - 1) / (limits.max_rhat - 1), limits.min_ess / smallest if smallest > 0 else math.inf)
        return score if math.isfinite(score) else math.inf

    judged = [(one, one.found) for one in all_chains(posterior) if one.found is not None and not one.found.constant]
    for one, row in sorted(judged, key=lambda pair: -badness(pair[1])):
        found.setdefault((round(row.rhat, 9), round(row.ess_bulk, 3)), one)
    return list(found.values())[:most]


@style.drawn
def chains(source: Comparison | Posterior, quantity: str | None = None, *, width: float = 4.4) -> Figure:
    """Trace and rank plot of one quantity, by default the one whose chains agree least; labels are aligned.

    A ``quantity`` is named as in the tables, such as ``"mean[0, waiting]"``; ValueError where there is none of that
    name, or none that varies. With more than four chains the three whose ranks are furthest from flat are coloured.
    """
    posterior = posterior_of(source)
    found = (
        worst_chains(posterior, 1)
        if quantity is None
        else [one for one in all_chains(posterior) if one.name == quantity]
    )
    if not found:
        raise ValueError(f"there is no quantity {quantity!r} to draw; a name looks like 'weights[0]'")
    return _chains(found[0], width)


@style.drawn
def _chains(chains: Chains, width: float) -> Figure:
    """The trace above, the rank plot below."""
    figure, (trace, ranks) = style.canvas(width, 0.86 * width, 2)
    values, lines = chains.values, chain_lines(rank_deviations(chains.values))
    step = max(1, -(-values.shape[1] // _TRACE_POINTS))
    for line in lines:
        alpha = 0.85 if line.named or len(lines) <= 8 else 0.4
        x = np.arange(0, values.shape[1], step)
        trace.plot(x, values[line.chain, ::step], color=line.color, linewidth=0.7, alpha=alpha, zorder=line.zorder)
    trace.set_xlim(0, values.shape[1])
    trace.set_title(elided(chains.name, 26) + _numbers(chains.found), fontsize=9)
    style.finish(trace, "", "value", n_x=5, n_y=4)
    rank_plot(ranks, values, lines)
    ranks.set(xlim=(0, 100), ylim=(0, rank_height(values)))
    style.finish(ranks, "rank among all draws, %", "draws", n_x=5, n_y=3)
    style.key(figure, ranks)
    return figure


def _numbers(found: QuantityDiagnostics | None) -> str:
    if found is None:
        return ""
    size = f"{round(found.ess_bulk):,}" if math.isfinite(found.ess_bulk) else number(None)
    return f" · R-hat {number(found.rhat)}, ESS {size}"


def rank_counts(values: np.ndarray, n_bins: int) -> np.ndarray:
    """How many draws of each chain fall in each of ``n_bins`` equal ranges of rank, ``(chain, n_bins)``."""
    ranks = rankdata(values, method="average").reshape(values.shape)
    edges = np.linspace(0.5, values.size + 0.5, n_bins + 1)
    return np.stack([np.histogram(chain, bins=edges)[0] for chain in ranks])


def rank_bins(n_draws: int) -> int:
    """How many ranges of rank are counted for chains of so many draws: five draws in each are expected at least."""
    return max(2, min(_BINS, n_draws // 5))


def rank_deviations(values: np.ndarray) -> np.ndarray:
    """How far the ranks of each chain are from flat, ``(chain,)``: Pearson's chi-square over its degrees of freedom.

    About 1 for chains of independent draws that agree; autocorrelation alone makes it larger.
    """
    n_bins = rank_bins(values.shape[1])
    expected = values.shape[1] / n_bins
    return ((rank_counts(values, n_bins) - expected) ** 2 / expected).sum(axis=1) / (n_bins - 1)


@dataclasses.dataclass(frozen=True)
class ChainLine:
    """How one chain is drawn: in a colour of its own where ``named``, grey among others otherwise."""

    chain: int
    color: str
    named: bool

    @property
    def zorder(self) -> int:
        return 3 if self.named else 2


def chain_lines(deviations: np.ndarray) -> list[ChainLine]:
    """The lines of a figure in the order of drawing: each chain in a colour of its own where colours suffice, else
    those alone whose ``deviations`` (`rank_deviations`) are largest."""
    n_chains = len(deviations)
    if n_chains <= len(style.CHAINS):
        return [ChainLine(chain, style.CHAINS[chain], True) for chain in range(n_chains)]
    worst = np.argsort(-deviations, kind="stable")[:NAMED_CHAINS].tolist()
    others = [ChainLine(chain, style.UNTRUSTED, False) for chain in range(n_chains) if chain not in worst]
    return others + [ChainLine(chain, color, True) for chain, color in zip(sorted(worst), style.CHAINS, strict=False)]


def rank_band(n_draws: int) -> tuple[float, float]:
    """What 99% of the counts of a range lie between, for chains of so many independent draws that agree."""
    low, high = binom.ppf([0.005, 0.995], n_draws, 1 / rank_bins(n_draws))
    return float(low), float(high)


def rank_plot(axes: Axes, values: np.ndarray, lines: list[ChainLine], place: Transform | None = None) -> None:
    """How often each range of rank among all draws holds one of each chain, with the band of chains that agree; at a
    ``place`` of its own inside the axes where several stand in one."""
    n_bins = rank_bins(values.shape[1])
    at: dict[str, Any] = {"transform": place or axes.transData}
    counts, band = rank_counts(values, n_bins), rank_band(values.shape[1])
    edges = np.linspace(0, 100, n_bins + 1)
    axes.fill_between([0, 100], *band, color=style.DATA_FILL, alpha=0.6, linewidth=0, **at)
    grey = [line.chain for line in lines if not line.named]
    crowd = len(grey) > MOST_GREY
    if crowd:
        # So many lines would hide each other.
        look: dict[str, Any] = {"fill": True, "color": style.UNTRUSTED, "alpha": 0.35, "linewidth": 0, "zorder": 2}
        least, most = counts[grey].min(axis=0), counts[grey].max(axis=0)
        axes.stairs(most, edges, baseline=least, label="all others", **look, **at)
        axes.hlines(band, 0, 100, color=style.MUTED, linewidth=0.7, linestyle=":", zorder=2.5, **at)
    for line in lines:
        if line.named or not crowd:
            label = f"chain {line.chain}" if line.named else "others"
            look = {"linewidth": 1.3, "alpha": 1.0} if line.named else {"linewidth": 0.6, "alpha": 0.8}
            look |= {"color": line.color, "zorder": line.zorder, "label": label, **at}
            axes.stairs(counts[line.chain], edges, baseline=None, **look)


def rank_height(values: np.ndarray) -> float:
    """How high a rank plot is."""
    return 1.12 * max(rank_band(values.shape[1])[1], float(rank_counts(values, rank_bins(values.shape[1])).max()))


# -- in words


def chain_pictures(posterior: Posterior) -> Iterator[Picture]:
    """Trace and ranks of the quantities whose chains agree least."""
    aligned = posterior.mixture.n_components > 1 and posterior.alignment.needed
    for place, found in enumerate(worst_chains(posterior)):
        what = _QUANTITIES.get(found.name.partition("[")[0], "Labels were aligned first. " if aligned else "")
        means = listed([number(value) for value in found.values.mean(axis=1)], 8)
        yield Picture(
            f"chains-{place}",
            functools.partial(_chains, found),
            title=elided(found.name, 40),
            caption=f"{what}Means of the chains: {means}.",
            text=(
                f"Trace and rank plot of {elided(found.name, 60)}{_numbers(found.found)}, {len(found.values)} chains "
                f"of {count(found.values.shape[1], 'draw')}, with means {means}."
            ),
            wide=False,
        )


_QUANTITIES = {
    "lp": "The log density of the draws themselves. ",
    "log_density": "The log density of one datum, which the numbering of components does not touch. ",
    "weight_entropy": "The entropy of the weights, which the numbering of components does not touch. ",
    "largest_weight": "The largest of the weights, whichever component has it. ",
    "smallest_weight": "The smallest of the weights, whichever component has it. ",
}
