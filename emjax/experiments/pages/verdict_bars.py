"""Where the verdict was right: one bar per cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from emjax.experiments.summary.verdicts import CellVerdicts
from emjax.experiments.summary.view import StudyView
from emjax.report.drawing import style
from emjax.report.drawing.picture import Picture
from emjax.wording import count, elided, percent

MOST_BARS = 30
_PARTS = (
    ("n_right", style.CHAINS[0], "", style.ON_MARK),
    ("n_wrong", style.WARNING, "////", ""),
    ("inconclusive", style.DATA_FILL, "", style.INK),
)


def verdict_picture(view: StudyView, records: Sequence[CellVerdicts]) -> Picture | None:
    """Where the verdict was right, cell by cell; None where nobody knows what is right."""
    known = [record for record in records if record.em_good_enough is not None]
    if not known:
        return None
    several = len({record.method for record in known}) > 1
    labels = [
        view.cell_label(view.cell[record.cell], width=44) + (f", {elided(record.method, 20)}" if several else "")
        for record in known
    ]
    right = [record.n_right / record.n for record in known]
    span = f"right from {percent(min(right), 0)} to {percent(max(right), 0)} of the verdicts"
    left_out = f" The first {MOST_BARS} of {len(known)} bars." if len(known) > MOST_BARS else ""
    return Picture(
        "verdicts",
        lambda width: draw_verdicts(known, labels, width),
        "Where the verdict was right",
        text=f"Shares of right, wrong and inconclusive verdicts by cell. {count(len(known), 'cell')}; {span}.",
        caption=f"Shares of the replicates, cell by cell in the order of the sweep.{left_out}",
    )


@style.drawn
def draw_verdicts(records: Sequence[CellVerdicts], labels: Sequence[str], width: float) -> Figure:
    """Stacked shares of verdicts that were right, wrong and inconclusive; at most `MOST_BARS` cells."""
    records, labels = records[:MOST_BARS], labels[:MOST_BARS]
    figure, (axes,) = style.canvas(width, 0.82 + 0.27 * len(records))
    places = np.arange(len(records))
    start = np.zeros(len(records))
    for name, color, hatch, ink in _PARTS:
        shares = np.array([getattr(record, name) / record.n for record in records])
        # Hatching tells wrong from right in print without colours.
        look: dict[str, Any] = {"color": color, "hatch": hatch, "edgecolor": style.ON_MARK, "linewidth": 0}
        axes.barh(places, shares, left=start, height=0.72, label=name.removeprefix("n_"), **look)
        for place, (begin, share) in enumerate(zip(start, shares, strict=True)):
            if share >= 0.08 and ink:
                middle: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": 8}
                axes.text(begin + share / 2, place, f"{share:.0%}", color=ink, **middle)
        start = start + shares
    axes.set_ylim(len(records) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the verdicts")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    style.rows_of(axes, places, [elided(label, int(0.42 * width / 0.072)) for label in labels])
    style.key(figure)
    return figure
