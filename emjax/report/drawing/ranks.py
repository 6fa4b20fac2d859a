"""Rank plots of all parameters after alignment, as small multiples; `drawing.chains` says what a rank plot is."""

from __future__ import annotations

import dataclasses

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D

from emjax.align import TRUST_LOW
from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.naming import CORRELATION
from emjax.report.drawing import style
from emjax.report.drawing.chains import (
    ChainLine,
    Chains,
    all_chains,
    chain_lines,
    rank_deviations,
    rank_height,
    rank_plot,
)
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import posterior_of
from emjax.wording import elided, fixed, listed, number

MOST_PANELS = 24
"""Of more quantities than this those whose ranks are furthest from flat are drawn."""

_PANEL_WIDTH, _PANEL_HEIGHT, _WORDS = 1.9, 0.74, 0.34


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The quantities that are drawn, in the order of the tables; how far the ranks of each are from flat by chain,
    ``(n_panels, n_chains)`` (`rank_deviations`); and how many quantities there are."""

    panels: tuple[Chains, ...]
    deviations: np.ndarray
    n_quantities: int

    @property
    def lines(self) -> list[ChainLine]:
        """The same colours for the same chains in all panels."""
        return chain_lines(self.deviations.max(axis=0))

    @property
    def named(self) -> list[int]:
        """The chains that have a colour of their own."""
        return sorted(line.chain for line in self.lines if line.named)

    @property
    def worst(self) -> tuple[str, int, float]:
        """The quantity and the chain that are furthest from flat, and how far."""
        panel, chain = np.unravel_index(int(self.deviations.argmax()), self.deviations.shape)
        return self.panels[int(panel)].name, int(chain), float(self.deviations.max())


def find_ranks(posterior: Posterior, most: int = MOST_PANELS) -> Ranks:
    """The quantities that vary, aligned; of more than ``most`` those that deviate most."""
    found = [one for one in all_chains(posterior) if np.ptp(one.values) > 1e-12 * np.abs(one.values).max()]
    deviations = np.array([rank_deviations(one.values) for one in found]).reshape(len(found), -1)
    kept = np.sort(np.argsort(-deviations.max(axis=1, initial=0.0), kind="stable")[:most])
    return Ranks(tuple(found[place] for place in kept), deviations[kept], len(found))


@style.drawn
def ranks(source: Comparison | Posterior, *, most: int = 24, width: float = 7.0) -> Figure:
    """Rank plots of all quantities in one figure: log density, density at five data, each parameter after alignment.

    A rank plot counts, for each chain, how its draws rank among those of all chains; chains that agree are flat
    (Vehtari et al., Bayesian Analysis 16, 2021). The numbers are R-hat, the grey band holds 99% of the counts of
    independent draws that agree. Of more quantities than ``most`` those whose ranks are furthest from flat are drawn.
    Raises ValueError if none varies, or ``most`` is below 1.
    """
    if most < 1:
        raise ValueError(f"most={most} must be at least 1")
    found = find_ranks(posterior_of(source), most)
    if not found.panels:
        raise ValueError("no quantity of this posterior varies, so there are no ranks to draw")
    return _panels(found, width)


@style.drawn
def _panels(ranks: Ranks, width: float) -> Figure:
    """One small rank plot for each quantity, all in one pair of axes in inches: as many axes as panels take long."""
    n_columns = max(1, min(len(ranks.panels), int(width / _PANEL_WIDTH)))
    n_rows, cell = -(-len(ranks.panels) // n_columns), width / n_columns
    figure, (axes,) = style.canvas(width, 0.75 + n_rows * (_PANEL_HEIGHT + _WORDS))
    axes.set_axis_off()
    for number_of, panel in enumerate(ranks.panels):
        row, column = divmod(number_of, n_columns)
        left, bottom, wide = column * cell, -row * (_PANEL_HEIGHT + _WORDS), cell - 0.14
        scaled = Affine2D().scale(wide / 100, _PANEL_HEIGHT / rank_height(panel.values))
        rank_plot(axes, panel.values, ranks.lines, scaled.translate(left, bottom) + axes.transData)
        axes.hlines(bottom, left, left + wide, color=style.MUTED, linewidth=0.7)
        words = "" if panel.found is None else number(panel.found.rhat)
        name = elided(panel.name.replace(CORRELATION, "corr"), int((wide - 0.42) / 0.073))
        axes.text(left, bottom + _PANEL_HEIGHT + 0.05, name, fontsize=8.5)
        axes.text(left + wide, bottom + _PANEL_HEIGHT + 0.05, words, fontsize=8, ha="right", color=style.MUTED)
        for share in (0, 50, 100) if number_of + n_columns >= len(ranks.panels) else ():
            x, side = left + wide * share / 100, {0: "left", 50: "center", 100: "right"}[share]
            axes.text(x, bottom - 0.05, f"{share}", fontsize=7.5, ha=side, va="top", color=style.MUTED)
    axes.set_xlim(0, width - 0.14)
    axes.set_ylim((1 - n_rows) * (_PANEL_HEIGHT + _WORDS) - 0.2, _PANEL_HEIGHT + 0.2)
    for text in axes.texts:
        text.set_in_layout(False)  # it has its room inside the axes
    figure.supxlabel("rank among all draws, %", fontsize=9)
    style.key(figure)
    return figure


# -- in words


def ranks_picture(posterior: Posterior) -> Picture | None:
    """Rank plots of all quantities that vary; None where none does."""
    found = find_ranks(posterior)
    if not found.panels:
        return None
    return Picture(
        "ranks",
        lambda width: _panels(found, width),
        title="Ranks, quantity by quantity",
        caption=_ranks_caption(posterior, found),
    )


def _ranks_caption(posterior: Posterior, found: Ranks) -> str:
    n_chains = found.deviations.shape[1]
    name, chain, deviation = found.worst
    left_out = coloured = ""
    if len(found.panels) < found.n_quantities:
        left_out = f" Of {found.n_quantities} quantities the {len(found.panels)} furthest from flat."
    if len(found.named) < n_chains:
        named = listed([str(each) for each in found.named])
        coloured = f" Of {n_chains} chains, {named} are coloured: those furthest from flat in any quantity."
    return (
        f"How the draws of each chain rank among all draws, quantity by quantity.{left_out} Chains that agree are "
        f"flat, inside the band up to their autocorrelation. Furthest from flat is chain {chain} in "
        f"{elided(name, 60)}, {number(deviation, 3)} times as far as independent draws would be. The number is "
        f"R-hat.{coloured} {aligned_note(posterior)}"
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
