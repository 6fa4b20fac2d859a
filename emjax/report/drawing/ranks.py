"""Rank plots of all parameters after alignment, as small multiples; see `drawing.chains` for what a rank plot is."""

from __future__ import annotations

import dataclasses

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from emjax.bayes.posterior import Posterior
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
from emjax.wording import elided, number

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


@dataclasses.dataclass(frozen=True)
class _Box:
    """Where a panel lies, in inches from the lower left corner of the figure."""

    left: float
    bottom: float
    width: float

    def points(self, shares: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of shares of the width and of the height."""
        return self.left + self.width * shares, self.bottom + _PANEL_HEIGHT * heights


@style.drawn
def draw_rank_panels(ranks: Ranks, width: float) -> Figure:
    """One small rank plot for each quantity.

    All panels share one pair of axes in inches: as many axes as panels would take Matplotlib seconds.
    """
    left, right, bottom, top, beside, between = 0.12, 0.12, 0.5, 0.5, 0.14, 0.34
    n_columns = max(1, min(len(ranks.panels), int((width - left - right + beside) / (_PANEL_WIDTH + beside))))
    n_rows = -(-len(ranks.panels) // n_columns)
    cell = (width - left - right - beside * (n_columns - 1)) / n_columns
    height = top + bottom + n_rows * _PANEL_HEIGHT + (n_rows - 1) * between
    figure = style.Picture(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    boxes = []
    for place, panel in enumerate(ranks.panels):
        row, column = divmod(place, n_columns)
        y = height - top - (row + 1) * _PANEL_HEIGHT - row * between
        boxes.append(_Box(left + column * (cell + beside), y, cell))
        _words(axes, boxes[-1], panel, numbered=place + n_columns >= len(ranks.panels))
    _lines(axes, boxes, ranks)
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(left / width, 1 - 0.06 / height),
        ncols=NAMED_CHAINS + 1,
        columnspacing=1.0,
        handletextpad=0.5,
        labelcolor=style.INK,
    )
    axes.text(width / 2, 0.1, "rank among all draws, %", ha="center", fontsize=9)
    return figure


def _words(axes: Axes, box: _Box, panel: Chains, *, numbered: bool) -> None:
    """Name and R-hat above the panel, numbers below it where nothing stands under it."""
    above = box.bottom + _PANEL_HEIGHT + 0.05
    room = 0.42 if panel.found is not None else 0.0
    name = elided(panel.name.replace(CORRELATION, "corr"), int((box.width - room) / 0.073))
    axes.text(box.left, above, name, fontsize=8.5)
    if panel.found is not None:
        rhat = number(panel.found.rhat)
        axes.text(box.left + box.width, above, rhat, fontsize=8, ha="right", color=style.MUTED)
    for share, side in ((0.0, "left"), (0.5, "center"), (1.0, "right")) if numbered else ():
        x = box.left + share * box.width
        axes.text(x, box.bottom - 0.05, f"{100 * share:.0f}", fontsize=7.5, ha=side, va="top", color=style.MUTED)


def _lines(axes: Axes, boxes: list[_Box], ranks: Ranks) -> None:
    """The bands, the other chains and the named ones of all panels, an artist for each."""
    n_chains, n_draws = ranks.panels[0].values.shape
    n_bins = rank_bins(n_draws)
    low, high = rank_band(n_draws)
    shares = np.repeat(np.linspace(0, 1, n_bins + 1), 2)[1:-1]
    corners = np.array([0.0, 1.0, 1.0, 0.0])
    bands, ranges, frames = [], [], []
    steps: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {chain: [] for chain in range(n_chains)}
    lines = ranks.lines
    grey = [line.chain for line in lines if not line.named]
    for box, panel in zip(boxes, ranks.panels, strict=True):
        counts = rank_counts(panel.values, n_bins)
        scaled = np.repeat(counts, 2, axis=1) / (1.05 * max(high, counts.max()))
        edges = np.array([low, low, high, high]) / (1.05 * max(high, counts.max()))
        bands.append(box.points(corners, edges))
        frames.append(box.points(np.array([0.0, 1.0]), np.zeros(2)))
        for chain in range(n_chains):
            steps[chain].append(box.points(shares, scaled[chain]))
        if len(grey) > MOST_GREY:
            outline = np.concatenate([scaled[grey].min(axis=0), scaled[grey].max(axis=0)[::-1]])
            ranges.append(box.points(np.concatenate([shares, shares[::-1]]), outline))
    _fill(axes, bands, style.DATA_FILL, 0.6)
    if ranges:
        _fill(axes, ranges, style.UNTRUSTED, 0.35, label="all others")
        borders = [(x[ends], y[ends]) for x, y in bands for ends in ([0, 1], [2, 3])]
        axes.plot(*_joined(borders), color=style.MUTED, linewidth=0.6, linestyle=":")
    elif grey:
        places = [place for chain in grey for place in steps[chain]]
        axes.plot(*_joined(places), color=style.UNTRUSTED, linewidth=0.6, alpha=0.8, label="others")
    for line in lines:
        if line.named:
            axes.plot(*_joined(steps[line.chain]), color=line.color, linewidth=1.1, label=f"chain {line.chain}")
    axes.plot(*_joined(frames), color=style.MUTED, linewidth=0.7)


def _fill(axes: Axes, outlines: list[tuple[np.ndarray, np.ndarray]], color: str, alpha: float, label: str = "") -> None:
    polygons = [np.stack(outline, axis=1) for outline in outlines]
    axes.add_collection(PolyCollection(polygons, facecolor=color, alpha=alpha, linewidth=0, label=label or None))


def _joined(places: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Several lines as one, with gaps between them."""
    gap = np.array([np.nan])
    x, y = ([part for place in places for part in (place[side], gap)] for side in (0, 1))
    return np.concatenate(x), np.concatenate(y)
