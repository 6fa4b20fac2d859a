"""What was found, in sentences with numbers.

A difference between methods, or between a coverage and its level, is claimed only where it exceeds `CLAIM` Monte-Carlo
standard errors of at least `FEW` replicates. Methods of one cell see the same data, so their differences are taken
replicate by replicate.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pandas as pd

from emjax.experiments.summary.headline import enough_sentences, silence_sentences, silent, span_sentences
from emjax.experiments.summary.measures import (
    FEW,
    MEASURE,
    MEASURES,
    Measure,
    Point,
    falls_short,
    paired_difference,
    per_replicate,
    points,
    summary_of,
)
from emjax.experiments.summary.phrases import cell_words, measure_words, plus_minus, share_text
from emjax.experiments.summary.sweep import CellView, Sweep
from emjax.experiments.summary.verdicts import CellVerdicts
from emjax.wording import count, elided, listed, number, percent

CLAIM = 3.0
"""Monte-Carlo standard errors beyond which a difference is called one."""


@dataclasses.dataclass(frozen=True)
class Findings:
    """The answer in one sentence, further sentences, and what is to be known before any number is read."""

    answer: str
    further: tuple[str, ...]
    alerts: tuple[tuple[str, str], ...]


def find(sweep: Sweep, summary: pd.DataFrame, kinds: Sequence[str], verdicts: Sequence[CellVerdicts]) -> Findings:
    """The findings of a sweep, from its `summarize_measures`; the first one is about what the study asks for."""
    out = silent(sweep)
    of_all = summary["measure"].isin([measure.name for measure in MEASURES if measure.of_all])
    heard = summary[of_all | ~_among(summary, out)]
    by_measure = {
        "verdict": enough_sentences(sweep, [record for record in verdicts if record.n]),
        "coverage": coverage_sentences(sweep, heard),
        **accuracy_sentences(sweep, kinds, out),
        "run_seconds": cost_sentences(sweep, summary),
    }
    asked = sweep.answered_by
    if asked is not None and not by_measure.get(asked):
        by_measure[asked] = span_sentences(sweep, heard, MEASURE[asked]) if asked in MEASURE else []
    first = by_measure.pop(asked, []) if asked is not None else []
    sentences = [*first, *(sentence for found in by_measure.values() for sentence in found)]
    sentences += [*silence_sentences(sweep), *verdict_sentences(verdicts)]
    if sweep.rows.empty or not sentences:
        sentences = [_nothing(sweep)]
    return Findings(sentences[0], tuple(sentences[1:]), tuple(alerts(sweep)))


def _among(lines: pd.DataFrame, pairs: frozenset[tuple[str, str]]) -> pd.Series:
    """Which lines are of one of these cells and methods."""
    return pd.Series(
        [(str(cell), str(method)) in pairs for cell, method in zip(lines["cell"], lines["method"], strict=True)],
        index=lines.index,
        dtype=bool,
    )


def _nothing(sweep: Sweep) -> str:
    if sweep.rows.empty:
        return "Nothing has been computed yet."
    return f"{count(len(sweep.methods), 'method')} in {count(len(sweep.cells), 'cell')}: the numbers are below."


def alerts(sweep: Sweep) -> list[tuple[str, str]]:
    """Jobs that failed or are missing, and outcomes that cannot be trusted, with counts."""
    found = []
    n_jobs, n_failed = len(sweep.jobs), len(sweep.failures)
    n_missing = n_jobs - len(sweep.finished) - n_failed
    if n_failed:
        reasons = ", ".join(dict.fromkeys(elided(failure.error, 90) for failure in sweep.failures[:2]))
        found.append(
            (f"{count(n_failed, 'job')} of {n_jobs:,} failed", f"Their data sets are missing below. {reasons}")
        )
    if n_missing:
        found.append(
            (
                f"{count(n_missing, 'job')} of {n_jobs:,} {'is' if n_missing == 1 else 'are'} not done",
                "What is shown rests on the others. Run the same command again to go on.",
            )
        )
    ended = sweep.outcomes
    bad = ended[~ended["trusted"]]
    if len(bad):
        parts = [
            f"{elided(str(method), 40)} {len(own):,} ({', '.join(_statuses(own))})"
            for method, own in bad.groupby("method", sort=False, observed=True)
        ]
        found.append(
            (
                f"{count(len(bad), 'outcome')} of {len(ended):,} cannot be trusted",
                f"{'; '.join(parts)}. They are left out of every number but shares of outcomes and seconds.",
            )
        )
    return found


def _statuses(outcome: pd.DataFrame) -> list[str]:
    return [f"{status} {n:,}" for status, n in outcome["status"].value_counts().items() if n]


def coverage_sentences(sweep: Sweep, summary: pd.DataFrame) -> list[str]:
    """Where the intervals of each method hold the truth least often, worst method first."""
    found = [point for point in points(summary, "coverage", "") if point.n > 1]
    cells = {cell.key: cell for cell in sweep.cells}
    short, kept = [], []
    for method in sweep.methods:
        own = [point for point in found if point.method == method.name]
        if not own:
            continue
        low = [point for point in own if falls_short(sweep.level_of(cells[point.cell]), point, CLAIM)]
        worst = min(low or own, key=lambda point: point.value - sweep.level_of(cells[point.cell]))
        level = sweep.level_of(cells[worst.cell])
        if low:
            among = f"; fewer than they should in {len(low)} of {len(own)} cells" if len(own) > 1 else ""
            where = cell_words(sweep, cells[worst.cell]) + _few_trusted(sweep, worst)
            name = elided(method.name, 40)
            short.append(
                (worst.value - level, f"{name}'s {level:.0%} intervals cover {share_text(worst)}{where}{among}.")
            )
        else:
            kept.append((elided(method.name, 40), worst))
    sentences = [text for _, text in sorted(short)]
    if kept:
        names = listed([f"{name}'s" for name, _ in kept])
        least = min((worst for _, worst in kept), key=lambda point: point.value - sweep.level_of(cells[point.cell]))
        where = " in any cell" if len(sweep.cells) > 1 else ""
        sentences.append(
            f"{names} intervals do not fall short of their level{where} beyond Monte-Carlo error; the least is "
            f"{share_text(least)}{cell_words(sweep, cells[least.cell])}{_few_trusted(sweep, least)}."
        )
    return sentences


def _few_trusted(sweep: Sweep, point: Point) -> str:
    """How few outcomes a number rests on, where many of them cannot be trusted."""
    own = sweep.outcomes[(sweep.outcomes["cell"] == point.cell) & (sweep.outcomes["method"] == point.method)]
    few = (point.cell, point.method) in sweep.doubtful
    return f" ({elided(point.method, 40)}, {int(own['trusted'].sum())} of {len(own)} outcomes trusted)" if few else ""


def accuracy_sentences(sweep: Sweep, kinds: Sequence[str], out: frozenset[tuple[str, str]]) -> dict[str, list[str]]:
    """By measure: which method is nearest, in how many cells, and by how much where it matters most.

    Cells and methods in ``out`` are left out.
    """
    if len(sweep.methods) < 2:
        return {}
    wished = [("rmse", kind) for kind in kinds[:1]] + [("log_score_loss", "")]
    if not sweep.has_truth:
        wished = [("log_score", "")]
    if sweep.n_replicates < FEW:
        few = f"{count(sweep.n_replicates, 'replicate')} per cell cannot tell the methods apart; {FEW} are the least."
        return {"rmse": [few]}
    heard = sweep.good[~_among(sweep.good, out)]
    found = {name: _best_sentence(sweep, heard, MEASURE[name], group) for name, group in wished}
    return {name: [sentence] for name, sentence in found.items() if sentence}


def _best_sentence(sweep: Sweep, heard: pd.DataFrame, measure: Measure, group: str) -> str:
    values = per_replicate(heard, measure, group)
    wins: dict[str, list[CellView]] = {}
    behind: dict[str, int] = {}
    n_cells = 0
    for cell in sweep.cells:
        means = values[values["cell"] == cell.key].groupby("method", observed=True)["value"].mean()
        if len(means) < 2:
            continue
        n_cells += 1
        best = str(means.idxmax() if measure.better > 0 else means.idxmin())
        others = [str(method) for method in means.index if method != best]
        beaten = [other for other in others if _ahead(values, cell.key, best, other, measure)]
        if len(beaten) == len(means) - 1:
            wins.setdefault(best, []).append(cell)
        for method in beaten:
            behind[method] = behind.get(method, 0) + 1
    if not n_cells:
        return ""
    what, among = measure_words(measure, group), f" of {n_cells} cells" if n_cells > 1 else ""
    if not behind:
        where = f" in any{among}" if n_cells > 1 else ""
        return f"The methods do not differ in {what}{where} beyond Monte-Carlo error."
    if not wins:
        parts = [f"{elided(name, 40)}{f' in {n}{among}' if among else ''}" for name, n in behind.items()]
        return f"In {what} no method stands alone, but these are behind the best: {listed(parts)}."
    most = max(wins, key=lambda name: len(wins[name]))
    head = f"{elided(most, 40)} has the {'largest' if measure.better > 0 else 'smallest'} {what}"
    head += f" in {len(wins[most])}{among}" if among else ""
    n_open = n_cells - sum(map(len, wins.values()))
    rest = [f"{elided(name, 40)} in {len(cells)}" for name, cells in wins.items() if name != most]
    rest += [f"no method alone in {n_open}"] if n_open else []
    detail = _detail(sweep, values, measure, group, wins[most], most)
    return f"{head}{detail}{' (' + ', '.join(rest) + ')' if rest else ''}."


def _ahead(values: pd.DataFrame, cell: str, best: str, other: str, measure: Measure) -> bool:
    difference, error, n = paired_difference(values, cell, best, other)
    return n >= FEW and measure.better * difference > CLAIM * error


def _detail(
    sweep: Sweep, values: pd.DataFrame, measure: Measure, group: str, cells: Sequence[CellView], method: str
) -> str:
    """The cell in which a method is furthest ahead of another, with both numbers over the data sets of both."""
    contrasts = []
    for cell in cells:
        here = values[values["cell"] == cell.key]
        for other in [name for name in dict.fromkeys(here["method"].astype(str)) if name != method]:
            pair = here[here["method"].isin([method, other])]
            pair = pair[pair.groupby("replicate")["value"].transform("count") == 2]
            both = summary_of(pair, measure.form, ["cell", "method"]).assign(measure=measure.name, group=group)
            found = {point.method: point for point in points(both, measure.name, group)}
            apart = abs(found[other].value - found[method].value)
            contrasts.append((apart, -cell.index, found[method], found[other], cell))
    _, _, own, worst, cell = max(contrasts, key=lambda contrast: contrast[:2])
    among = f" (on the {own.n} data sets on which both can be trusted)" if own.n < sweep.n_replicates else ""
    against = f"{plus_minus(own)} against {plus_minus(worst)} of {elided(worst.method, 40)}"
    return f": {against}{cell_words(sweep, cell)}{among}"


def cost_sentences(sweep: Sweep, summary: pd.DataFrame) -> list[str]:
    """How many times the seconds of the fastest method each other one takes."""
    found = summary[summary["measure"] == "run_seconds"]
    if found["method"].nunique() < 2:
        return []
    by_cell = found.pivot(index="cell", columns="method", values="value")
    fastest = str(by_cell.median().idxmin())
    ratios = by_cell.div(by_cell[fastest], axis=0).median().drop(fastest).sort_values()
    parts = [f"{elided(str(method), 40)} {times(ratio)}" for method, ratio in ratios.items() if math.isfinite(ratio)]
    if not parts:
        return []
    seconds = number(float(by_cell[fastest].median()), 2)
    each = "median of the cells, " if len(by_cell) > 1 else ""
    others = " and ".join(parts)
    return [f"{elided(fastest, 40)} is fastest with {seconds} s per data set ({each}without compilation); {others}."]


def times(ratio: float) -> str:
    """``takes 12 times as long``, or ``takes as long``."""
    if 1 / 1.05 < ratio < 1.05:
        return "takes as long"
    return f"takes {number(ratio, 2)} times as long"


def verdict_sentences(verdicts: Sequence[CellVerdicts]) -> list[str]:
    """How often the verdict was right."""
    known = [record for record in verdicts if record.em_good is not None]
    n = sum(record.n for record in known)
    if not n:
        return []
    right, wrong = sum(record.right for record in known), sum(record.wrong for record in known)
    return [
        f"The verdict was right in {percent(right / n, 0)} of {n:,} comparisons, wrong in {percent(wrong / n, 0)} and "
        f"inconclusive in the rest."
    ]
