"""Traces and rank plots of the draws, for the quantities whose chains agree least.

A rank plot counts, for each chain, how its draws rank among the draws of all chains. Chains that agree have flat
counts; the grey band holds 99% of the counts of such chains, were their draws independent. (Vehtari, Gelman, Simpson,
Carpenter and Bürkner, Bayesian Analysis 16, 2021.)
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binom, rankdata

from emjax.bayes.diagnostics import QuantityDiagnostics
from emjax.bayes.draws import anchor_rows
from emjax.bayes.posterior import Posterior
from emjax.experiments.report.drawing import style
from emjax.experiments.report.wording import elided, number
from emjax.naming import scalar_parameters

MOST_QUANTITIES = 4
_TRACE_POINTS = 300
_BINS = 20


@dataclasses.dataclass(frozen=True)
class Chains:
    """The draws ``(chain, draw)`` of one scalar quantity and its diagnostics."""

    name: str
    values: np.ndarray
    found: QuantityDiagnostics | None


def worst_chains(posterior: Posterior, most: int = MOST_QUANTITIES) -> list[Chains]:
    """The quantities with the largest R-hat or the smallest effective sample size, the worst first.

    Quantities that are mirror images (two weights that add up to one) count once.
    """
    values = _by_name(posterior)
    limits = posterior.diagnostics.thresholds
    found: dict[tuple[float, float], Chains] = {}

    def badness(row: QuantityDiagnostics) -> float:
        smallest = min(row.ess_bulk, row.ess_tail)
        score = max((row.rhat - 1) / (limits.max_rhat - 1), limits.min_ess / smallest if smallest > 0 else math.inf)
        return score if math.isfinite(score) else math.inf

    rows = [row for row in posterior.diagnostics.quantities if not row.constant and row.name in values]
    for row in sorted(rows, key=lambda row: -badness(row)):
        found.setdefault((round(row.rhat, 9), round(row.ess_bulk, 3)), Chains(row.name, values[row.name], row))
    return list(found.values())[:most]


def find_chains(posterior: Posterior, name: str) -> Chains | None:
    """The draws of a quantity by its name, such as ``mean[0, waiting]``; None if there is none."""
    values = _by_name(posterior)
    row = next((row for row in posterior.diagnostics.quantities if row.name == name), None)
    return Chains(name, values[name], row) if name in values else None


def _by_name(posterior: Posterior) -> dict[str, np.ndarray]:
    """Draws of the quantities that diagnostics name: the log density, that of the anchors, each parameter."""
    found = {"lp": np.asarray(posterior.tree["sample_stats"]["lp"].values)}
    found.update(_anchors(posterior))
    group = posterior.tree["posterior"].to_dataset()
    named = posterior.mixture.likelihood.named_parameters(posterior.map_fit.params)
    for parameter in scalar_parameters(named, posterior.map_fit.feature_names):
        found[parameter.name] = np.asarray(group[parameter.variable].values)[parameter.place]
    return {name: values for name, values in found.items() if np.isfinite(values).all()}


def _anchors(posterior: Posterior) -> dict[str, np.ndarray]:
    """The log density of the data that diagnostics follow, which the pointwise log-likelihood holds."""
    pointwise = np.asarray(posterior.tree["log_likelihood"]["x"].values)
    rows = anchor_rows(posterior.map_fit.data)
    return {f"log_density[{i}]": pointwise[:, :, row] for i, row in enumerate(rows)}


@style.drawn
def draw_chains(chains: Chains, width: float) -> Figure:
    """The trace above, the rank plot below."""
    height, left, right, gap = 0.86 * width, 0.68, 0.2, 0.5
    figure = Figure(figsize=(width, height))
    half = (height - 0.46 - 0.3 - gap) / 2
    box = ((width - left - right) / width, half / height)
    trace = figure.add_axes((left / width, (0.46 + half + gap) / height, *box))
    ranks = figure.add_axes((left / width, 0.46 / height, *box))
    _trace(trace, chains.values)
    _ranks(ranks, chains.values)
    trace.set_title(elided(chains.name, 26) + _numbers(chains.found), fontsize=9)
    return figure


def _numbers(found: QuantityDiagnostics | None) -> str:
    if found is None:
        return ""
    return (
        f" · R-hat {number(found.rhat)}, ESS {number(round(found.ess_bulk) if math.isfinite(found.ess_bulk) else None)}"
    )


def _trace(axes: Axes, values: np.ndarray) -> None:
    step = max(1, -(-values.shape[1] // _TRACE_POINTS))
    for chain, draws in enumerate(values):
        axes.plot(np.arange(0, values.shape[1], step), draws[::step], color=_color(chain), linewidth=0.7, alpha=0.85)
    axes.set_xlim(0, values.shape[1])
    axes.ticklabel_format(axis="y", useOffset=False)
    style.finish(axes, "", "value", n_x=5, n_y=4)


def rank_counts(values: np.ndarray, n_bins: int = _BINS) -> np.ndarray:
    """How many draws of each chain fall in each of ``n_bins`` equal ranges of rank, ``(chain, n_bins)``."""
    ranks = rankdata(values, method="average").reshape(values.shape)
    edges = np.linspace(0.5, values.size + 0.5, n_bins + 1)
    return np.stack([np.histogram(chain, bins=edges)[0] for chain in ranks])


def _ranks(axes: Axes, values: np.ndarray) -> None:
    n_draws = values.shape[1]
    n_bins = max(2, min(_BINS, n_draws // 5))
    counts = rank_counts(values, n_bins)
    low, high = binom.ppf([0.005, 0.995], n_draws, 1 / n_bins)
    axes.axhspan(low, high, color=style.DATA_FILL, alpha=0.6, linewidth=0)
    edges = np.linspace(0, 100, n_bins + 1)
    for chain, row in enumerate(counts):
        axes.stairs(row, edges, color=_color(chain), linewidth=1.3, baseline=None, label=f"chain {chain}")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 1.12 * max(high, counts.max()))
    style.finish(axes, "rank among all draws, %", "draws", n_x=5, n_y=3)
    if len(counts) <= 6:
        style.legend(axes)


def _color(chain: int) -> str:
    return style.CHAINS[chain % len(style.CHAINS)]
