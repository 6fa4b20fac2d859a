"""Sentences that answer a study's question: where EM is enough by the verdict, and how a measure runs over cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from emjax.experiments.summary.measures import FEW, Measure, Point, points
from emjax.experiments.summary.phrases import cell_words, measure_words, plus_minus, share_text
from emjax.experiments.summary.sweep import CellView, Sweep, value_text
from emjax.experiments.summary.verdicts import CellVerdicts
from emjax.verdict import EM_IS_ENOUGH, Verdict
from emjax.wording import count, elided, listed, percent

MOSTLY = 0.9
"""The share of verdicts from which on a cell counts as one where EM is enough."""

SPEAKS = 0.5
"""The share of trusted outcomes below which nothing is said of a method: the few may be the easy ones."""


def silent(sweep: Sweep) -> frozenset[tuple[str, str]]:
    """Cells and methods of which fewer than `SPEAKS` of the outcomes can be trusted."""
    shares = sweep.outcomes.groupby(["cell", "method"], observed=True)["trusted"].mean()
    return frozenset((str(cell), str(method)) for cell, method in shares.index[shares < SPEAKS])


def silence_sentences(sweep: Sweep) -> list[str]:
    """Which methods are left out of the sentences, with how few of their outcomes can be trusted there."""
    out = silent(sweep)
    found = []
    for method in sweep.methods:
        cells = [cell for cell in sweep.cells if (cell.key, method.name) in out]
        own = sweep.outcomes[(sweep.outcomes["method"] == method.name)]
        own = own[own["cell"].isin([cell.key for cell in cells])]
        if len(own):
            where = f" in {len(cells)} of {len(sweep.cells)} cells" if len(sweep.cells) > 1 else ""
            found.append(
                f"Nothing is said of {elided(method.name, 40)}{where}: {int(own['trusted'].sum())} of {len(own)} "
                "outcomes can be trusted there."
            )
    return found


def enough_sentences(sweep: Sweep, verdicts: Sequence[CellVerdicts]) -> list[str]:
    """Where the verdict of each method is that EM is enough, and where it is so least often."""
    methods = list(dict.fromkeys(record.method for record in verdicts))
    return [
        _enough(sweep, [record for record in verdicts if record.method == method and record.n], method, len(methods))
        for method in methods
    ]


def share_enough(record: CellVerdicts) -> float:
    """The share of verdicts for EM, with or without its intervals."""
    return sum(record.counts[verdict] for verdict in EM_IS_ENOUGH) / record.n


def _enough(sweep: Sweep, records: Sequence[CellVerdicts], method: str, n_methods: int) -> str:
    by = f" of {elided(method, 40)}" if n_methods > 1 else ""
    if len(records) < 2:
        return f"By the verdict{by} EM is enough {_shares(records[0])}."
    cells = {cell.key: cell for cell in sweep.cells}
    least, most = min(records, key=share_enough), max(records, key=share_enough)
    fewest = f"least often{cell_words(sweep, cells[least.cell])}: {_shares(least)}"
    if min(record.n for record in records) < FEW:
        where = cell_words(sweep, cells[most.cell])
        return f"By the verdict{by} EM is enough most often{where}: {_shares(most)}; {fewest}."
    clear = [cells[record.cell] for record in records if share_enough(record) >= MOSTLY]
    if len(clear) == len(records):
        lowest = percent(share_enough(least), 0)
        return f"By the verdict{by} EM is enough in at least {lowest} of the data sets of each cell."
    if clear:
        where = _where(sweep, clear, [cells[record.cell] for record in records])
        return f"By the verdict{by} EM is enough in at least {MOSTLY:.0%} of the data sets {where}; {fewest}."
    return (
        f"By the verdict{by} there is no cell in which EM is enough for {MOSTLY:.0%} of the data sets; most often it is"
        f"{cell_words(sweep, cells[most.cell])}: {_shares(most)}; {fewest}."
    )


def _shares(record: CellVerdicts) -> str:
    """``in 20% (MCMC is needed in 22%, 58% are inconclusive)``; as counts where they are few."""
    needed, open_ = record.counts[Verdict.MCMC_NEEDED], record.counts[Verdict.INCONCLUSIVE]
    enough = record.n - needed - open_
    if record.n < 2 * FEW:
        return f"in {enough} of {count(record.n, 'comparison')} (MCMC is needed in {needed}, {open_} inconclusive)"
    needed_share, open_share = percent(needed / record.n, 0), percent(open_ / record.n, 0)
    return f"in {percent(enough / record.n, 0)} (MCMC is needed in {needed_share}, inconclusive {open_share})"


def _where(sweep: Sweep, chosen: Sequence[CellView], cells: Sequence[CellView]) -> str:
    """``up to overlap = 0.04``, ``from n_samples = 1,600 on``, or how many cells."""
    axes = [axis for axis in sweep.axes if axis.numeric]
    if len(sweep.axes) == 1 and axes:
        ordered = sorted(cells, key=lambda cell: cell.settings[axes[0].key])
        keys, n = {cell.key for cell in chosen}, len(chosen)
        first, last = ({cell.key for cell in part} for part in (ordered[:n], ordered[-n:]))
        if keys == first:
            return f"up to {axes[0].label} = {value_text(ordered[n - 1].settings[axes[0].key])}"
        if keys == last:
            return f"from {axes[0].label} = {value_text(ordered[-n].settings[axes[0].key])} on"
    if len(chosen) <= 2:
        return "at " + listed([sweep.cell_label(cell, width=60) for cell in chosen])
    return f"in {len(chosen)} of {len(cells)} cells"


def span_sentences(sweep: Sweep, summary: pd.DataFrame, measure: Measure) -> list[str]:
    """From where to where a measure runs over the cells, method by method."""
    found = points(summary, measure.name, "") or points(summary, measure.name)
    groups = list(dict.fromkeys(point.group for point in found))[:1]
    cells = {cell.key: cell for cell in sweep.cells}
    parts = []
    for method in sweep.methods:
        own = [point for point in found if point.method == method.name and point.group in groups]
        own = [point for point in own if not math.isnan(point.value)]
        if own:
            parts.append(f"{_span(sweep, own, cells, measure)} ({elided(method.name, 40)})")
    if not parts:
        return []
    what = measure_words(measure, groups[0])
    return [f"{what[:1].upper()}{what[1:]}: {'; '.join(parts)}."]


def _span(sweep: Sweep, own: Sequence[Point], cells: dict[str, CellView], measure: Measure) -> str:
    text = share_text if measure.form == "share" else plus_minus
    least, most = min(own, key=lambda point: point.value), max(own, key=lambda point: point.value)
    if least.value == most.value:
        return text(least) + (" in every cell" if len(own) > 1 else cell_words(sweep, cells[least.cell]))
    ends = sorted((least, most), key=lambda point: cells[point.cell].index)
    return " to ".join(f"{text(point)}{cell_words(sweep, cells[point.cell])}" for point in ends)
