"""Where the verdict was right: one bar per cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from emjax.experiments.summary.verdicts import CellVerdicts
from emjax.report.drawing import style
from emjax.wording import elided

MOST_BARS = 30
_PARTS = (
    ("right", style.CHAINS[0], ""),
    ("wrong", style.WARNING, "////"),
    ("inconclusive", style.DATA_FILL, ""),
)


@style.drawn
def draw_verdicts(records: Sequence[CellVerdicts], labels: Sequence[str], width: float) -> Figure:
    """Stacked shares of verdicts that were right, wrong and inconclusive; at most `MOST_BARS` cells."""
    shown = list(zip(records, labels, strict=True))[:MOST_BARS]
    widest = max(len(label) for _, label in shown)
    left = min(0.075 * widest + 0.2, 0.42 * width)
    right, top, bottom, each = 0.2, 0.32, 0.5, 0.27
    height = top + bottom + each * len(shown)
    figure, axes = style.single(width, height, left=left, right=right, bottom=bottom, top=top)
    places = np.arange(len(shown))
    start = np.zeros(len(shown))
    for name, color, hatch in _PARTS:
        shares = np.array([getattr(record, name) / max(record.n, 1) for record, _ in shown])
        # Hatching tells wrong from right in print without colours.
        axes.barh(
            places,
            shares,
            left=start,
            height=0.72,
            color=color,
            label=name,
            hatch=hatch,
            edgecolor=style.ON_MARK,
            linewidth=0,
        )
        for place, (begin, share) in enumerate(zip(start, shares, strict=True)):
            if share >= 0.08 and name != "wrong":
                ink = style.ON_MARK if name == "right" else style.INK
                axes.text(
                    begin + share / 2, place, f"{share:.0%}", ha="center", va="center_baseline", color=ink, fontsize=8
                )
        start = start + shares
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the verdicts")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    axes.set_yticks(places, [elided(label, int(left / 0.072)) for _, label in shown])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    style.legend(axes)
    return figure
