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
    MOST_GREY,
    NAMED_CHAINS,
    ChainLine,
    Chains,
    chain_lines,
    draws_by_name,
    rank_band,
    rank_bins,
    rank_counts,
    rank_deviations,
)
from emjax.report.drawing.picture import Picture
from emjax.report.drawing.view import posterior_of
from emjax.wording import elided, fixed, listed, number

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
    """One small rank plot for each quantity.

    All panels share one pair of axes in inches: as many axes as panels would take Matplotlib half a second.
    """
    left, right, bottom, top, beside, between = 0.12, 0.12, 0.5, 0.5, 0.14, 0.34
    n_columns = max(1, min(len(ranks.panels), int((width - left - right + beside) / (_PANEL_WIDTH + beside))))
    n_rows = -(-len(ranks.panels) // n_columns)
    cell = (width - left - right - beside * (n_columns - 1)) / n_columns
    height = top + bottom + n_rows * _PANEL_HEIGHT + (n_rows - 1) * between
    figure, axes = style.single(width, height, left=0, right=0, bottom=0, top=0)
    axes.set_axis_off()
    for place, panel in enumerate(ranks.panels):
        row, column = divmod(place, n_columns)
        x, y = left + column * (cell + beside), height - top - (row + 1) * _PANEL_HEIGHT - row * between
        _panel(axes, panel, ranks.lines, (x, y, cell), keyed=place == 0)
        _words(axes, panel, (x, y, cell), numbered=place + n_columns >= len(ranks.panels))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    style.key(figure, *axes.get_legend_handles_labels(), left=left, top=0.06, ncols=NAMED_CHAINS + 1)
    axes.text(width / 2, 0.1, "rank among all draws, %", ha="center", fontsize=9)
    return figure


Box = tuple[float, float, float]
"""Left, bottom and width of a panel, in inches."""


def _panel(axes: Axes, panel: Chains, lines: list[ChainLine], box: Box, *, keyed: bool) -> None:
    """The counts of each chain as steps, the band of chains that agree behind them."""
    left, bottom, width = box
    counts = rank_counts(panel.values, rank_bins(panel.values.shape[1]))
    band = np.array(rank_band(panel.values.shape[1]))
    scale = _PANEL_HEIGHT / (1.05 * max(band[1], counts.max()))
    edges = left + width * np.repeat(np.linspace(0, 1, counts.shape[1] + 1), 2)[1:-1]
    steps = bottom + scale * np.repeat(counts, 2, axis=1)
    axes.fill_between(edges[[0, -1]], *(bottom + scale * band), color=style.DATA_FILL, alpha=0.6, linewidth=0)
    grey = [line.chain for line in lines if not line.named]
    crowd = len(grey) > MOST_GREY
    if crowd:
        others = steps[grey]
        axes.fill_between(edges, others.min(axis=0), others.max(axis=0), color=style.UNTRUSTED, alpha=0.35,
                          linewidth=0, label="all others" if keyed else None)  # fmt: skip
        axes.hlines(bottom + scale * band, *edges[[0, -1]], color=style.MUTED, linewidth=0.6, linestyle=":")
    for line in lines:
        if line.named or not crowd:
            label = f"chain {line.chain}" if line.named else "others" if line.chain == grey[-1] else None
            axes.plot(edges, steps[line.chain], color=line.color, linewidth=1.1 if line.named else 0.6,
                      label=label if keyed else None)  # fmt: skip
    axes.plot(edges[[0, -1]], [bottom, bottom], color=style.MUTED, linewidth=0.7)


def _words(axes: Axes, panel: Chains, box: Box, *, numbered: bool) -> None:
    """Name and R-hat above the panel, numbers below it where nothing stands under it."""
    left, bottom, width = box
    above, room = bottom + _PANEL_HEIGHT + 0.05, 0.42 if panel.found is not None else 0.0
    name = elided(panel.name.replace(CORRELATION, "corr"), int((width - room) / 0.073))
    axes.text(left, above, name, fontsize=8.5)
    if panel.found is not None:
        axes.text(left + width, above, number(panel.found.rhat), fontsize=8, ha="right", color=style.MUTED)
    for share, side in ((0.0, "left"), (0.5, "center"), (1.0, "right")) if numbered else ():
        x, text = left + share * width, f"{100 * share:.0f}"
        axes.text(x, bottom - 0.05, text, fontsize=7.5, ha=side, va="top", color=style.MUTED)


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
