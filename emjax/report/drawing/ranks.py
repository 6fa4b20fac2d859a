"""Rank plots of all parameters after alignment, as small multiples; `drawing.chains` says what a rank plot is."""

from __future__ import annotations

import dataclasses

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emjax.align import TRUST_LOW
from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.naming import CORRELATION
from emjax.report.drawing import style
from emjax.report.drawing.chains import (
    NAMED_CHAINS,
    ChainLine,
    Chains,
    chain_lines,
    draws_by_name,
    rank_deviations,
    rank_plot,
)
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import posterior_of
from emjax.wording import count, elided, fixed, listed, number

MOST_PANELS = 24
"""Of more quantities than this those whose ranks are furthest from flat are drawn."""

_PANEL_WIDTH, _PANEL_HEIGHT = 1.75, 0.74


@dataclasses.dataclass(frozen=True)
class Ranks:
    """What the rank plots show.

    Attributes
    ----------
    panels
        The quantities that are drawn, in the order of the tables.
    deviations
        For each panel and chain, how far its ranks are from flat, ``(n_panels, n_chains)``; see `rank_deviations`.
    n_quantities
        How many quantities there are.
    """

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
    rows = {row.name: row for row in posterior.diagnostics.quantities}
    found = [
        Chains(name, values, rows.get(name))
        for name, values in draws_by_name(posterior).items()
        if np.ptp(values) > 1e-12 * np.abs(values).max()
    ]
    deviations = np.array([rank_deviations(one.values) for one in found]).reshape(len(found), -1)
    kept = np.sort(np.argsort(-deviations.max(axis=1, initial=0.0), kind="stable")[:most])
    return Ranks(tuple(found[place] for place in kept), deviations[kept], len(found))


@style.drawn
def ranks(source: Comparison | Posterior, *, most: int = 24, width: float = 7.0) -> Figure:
    """Rank plots of all quantities in one figure: log density, density at five data, each parameter after alignment.

    A rank plot counts, for each chain, how its draws rank among those of all chains; chains that agree are flat
    (Vehtari et al., Bayesian Analysis 16, 2021). The numbers are R-hat, the grey band holds 99% of the counts of
    independent draws that agree.

    Parameters
    ----------
    source
        A comparison or a posterior.
    most
        Of more quantities than this, 24 by default, those whose ranks are furthest from flat are drawn.
    width
        In inches.

    Raises
    ------
    ValueError
        If no quantity varies, or ``most`` is below 1.
    """
    if most < 1:
        raise ValueError(f"most={most} must be at least 1")
    found = find_ranks(posterior_of(source), most)
    if not found.panels:
        raise ValueError("no quantity of this posterior varies, so there are no ranks to draw")
    return _panels(found, width)


@style.drawn
def _panels(ranks: Ranks, width: float) -> Figure:
    """One small rank plot for each quantity."""
    left, right, bottom, top, beside, between = 0.12, 0.12, 0.5, 0.5, 0.14, 0.34
    n_columns = max(1, min(len(ranks.panels), int((width - left - right + beside) / (_PANEL_WIDTH + beside))))
    n_rows = -(-len(ranks.panels) // n_columns)
    cell = (width - left - right - beside * (n_columns - 1)) / n_columns
    height = top + bottom + n_rows * _PANEL_HEIGHT + (n_rows - 1) * between
    figure = style.Picture(figsize=(width, height))
    for place, panel in enumerate(ranks.panels):
        row, column = divmod(place, n_columns)
        x, y = left + column * (cell + beside), height - top - (row + 1) * _PANEL_HEIGHT - row * between
        axes = figure.add_axes((x / width, y / height, cell / width, _PANEL_HEIGHT / height))
        rank_plot(axes, panel.values, ranks.lines)
        _words(axes, cell, panel, numbered=place + n_columns >= len(ranks.panels))
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="upper left", ncols=NAMED_CHAINS + 1, columnspacing=1.0,
        bbox_to_anchor=(left / width, 1 - 0.06 / height), handletextpad=0.5, labelcolor=style.INK,
    )  # fmt: skip
    figure.text(0.5, 0.1 / height, "rank among all draws, %", ha="center", fontsize=9)
    return figure


def _words(axes: Axes, width: float, panel: Chains, *, numbered: bool) -> None:
    """Name and R-hat above the panel, numbers below it where nothing stands under it."""
    room = 0.42 if panel.found is not None else 0.0
    axes.set_title(elided(panel.name.replace(CORRELATION, "corr"), int((width - room) / 0.073)), fontsize=8.5, pad=3)
    if panel.found is not None:
        axes.set_title(number(panel.found.rhat), fontsize=8, loc="right", color=style.MUTED, pad=3)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(side == "bottom")
    axes.set_yticks([])
    axes.set_xticks([0, 50, 100] if numbered else [], ["0", "50", "100"] if numbered else [])
    axes.tick_params(length=0, labelsize=7.5)


# -- in words


def ranks_picture(posterior: Posterior) -> Picture | None:
    """Rank plots of all quantities that vary; None where none does."""
    found = find_ranks(posterior)
    if not found.panels:
        return None
    name, chain, deviation = found.worst
    n_chains = found.deviations.shape[1]
    text = (
        f"Rank plots of {count(len(found.panels), 'quantity', 'quantities')} in {count(n_chains, 'chain')}. Furthest "
        f"from flat is chain {chain} in {elided(name, 60)}: its counts are {number(deviation, 3)} times as far from "
        "flat as those of independent draws."
    )
    return Picture(
        "ranks",
        lambda width: _panels(found, width),
        title="Ranks, quantity by quantity",
        text=text,
        caption=_ranks_caption(posterior, found),
    )


def _ranks_caption(posterior: Posterior, found: Ranks) -> str:
    n_chains = found.deviations.shape[1]
    left_out = ""
    if len(found.panels) < found.n_quantities:
        left_out = f" Of {found.n_quantities} quantities the {len(found.panels)} furthest from flat."
    coloured = ""
    if len(found.named) < n_chains:
        named = listed([str(chain) for chain in found.named])
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
