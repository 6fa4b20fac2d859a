"""What was found, in sentences with numbers: the first answers what the study asks.

A difference between methods, or between a coverage and its level, is claimed only where it exceeds `CLAIM` Monte-Carlo
standard errors of at least `FEW` replicates. Methods of one cell see the same data, so their differences are taken
replicate by replicate. Of a method that is mostly not trusted in a cell nothing is said there but that.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from emjax.experiments.summary.estimates import (
    FEW,
    OUTCOME,
    Point,
    falls_short,
    paired_difference,
    per_replicate,
    points,
    pooled,
)
from emjax.experiments.summary.measures import ALL, KIND, MEASURE, Measure
from emjax.experiments.summary.solving import solution_of, solution_sentence
from emjax.experiments.summary.stepwise import unreached
from emjax.experiments.summary.verdicts import CellVerdicts
from emjax.experiments.summary.view import StudyView
from emjax.experiments.summary.words import point_text, value_text
from emjax.experiments.work.outcome import NOT_MEASURED
from emjax.wording import count, elided, listed, number, percent

CLAIM = 3.0
"""Monte-Carlo standard errors beyond which a difference is called one."""

MOSTLY = 0.9
"""The share of verdicts from which on a cell counts as one where EM is enough."""

SPEAKS = 0.5
"""The share of trusted outcomes below which nothing is said of a method: the few may be the easy ones."""


@dataclasses.dataclass(frozen=True)
class Findings:
    """The answer in one sentence, further sentences, and what is to be known before any number is read."""

    answer: str
    further: tuple[str, ...]
    alerts: tuple[tuple[str, str], ...]


def find(view: StudyView, verdicts: Sequence[CellVerdicts]) -> Findings:
    """The findings of a study; the first one is about what it asks for."""
    silent = view.below(SPEAKS)
    of_all = view.means["measure"].isin([name for name, measure in view.measures.items() if measure.of_all])
    heard = view.means[of_all | ~_among(view.means, silent)]
    by_measure = {
        "verdict": enough_sentences(view, verdicts),
        "coverage": coverage_sentences(view, points(heard, "coverage", "")),
        **accuracy_sentences(view, view.good[~_among(view.good, silent)]),
        "run_seconds": cost_sentences(view.means),
    }
    asked = view.answered_by or ""
    if asked in view.measures and not by_measure.get(asked):
        by_measure[asked] = span_sentences(view, heard, view.measures[asked])
    first = by_measure.pop(asked, [])
    found = solution_of(view)
    solved = [] if found is None else [solution_sentence(view, found)]
    sentences = [*solved, *first, *(sentence for found in by_measure.values() for sentence in found)]
    sentences += [*silence_sentences(view, silent), *verdict_sentences(verdicts)]
    if view.planned_rows.empty:
        sentences = ["Nothing has been computed yet."]
    elif not sentences:
        methods, cells = count(len(view.study.methods), "method"), count(len(view.places), "cell")
        sentences = [f"{methods} in {cells}: the numbers are below."]
    return Findings(sentences[0], tuple(sentences[1:]), tuple(alerts(view)))


def _among(lines: pd.DataFrame, pairs: frozenset[tuple[str, str]]) -> pd.Series:
    """Which lines are of one of these cells and methods."""
    found = [(str(cell), str(method)) in pairs for cell, method in zip(lines["cell"], lines["method"], strict=True)]
    return pd.Series(found, index=lines.index, dtype=bool)


def _at(view: StudyView, cell: str) -> str:
    """`` at overlap = 0.12``; empty where nothing is swept."""
    return f" at {view.cell_label(view.cell[cell], width=80)}" if view.cell[cell].settings else ""


def _name(method: object) -> str:
    return elided(str(method), 40)


def alerts(view: StudyView) -> list[tuple[str, str]]:
    """Jobs that failed or are missing, and outcomes that cannot be trusted, with counts."""
    found = []
    n_jobs, n_failed = len(view.jobs), len(view.failures)
    n_missing = n_jobs - len(view.finished) - n_failed
    if n_failed:
        errors = [str(failure.get("error", "")) for failure in view.failures.values()][:2]
        reasons = ", ".join(dict.fromkeys(elided(error, 90) for error in errors))
        what = f"{count(n_failed, 'job')} of {n_jobs:,} failed"
        found.append((what, f"Their data sets are missing below. {reasons}"))
    if n_missing:
        what = f"{count(n_missing, 'job')} of {n_jobs:,} {'is' if n_missing == 1 else 'are'} not done"
        found.append((what, "What is shown rests on the others. Run the same command again to go on."))
    asked = view.answered_by
    if asked and len(view.rows) and asked not in ("verdict", *view.measures):
        found.append((f"{elided(asked, 40)} was not measured", "The study says that its answer is about it."))
    return [*found, *imprecise(view), *left_out(view)]


def imprecise(view: StudyView) -> list[tuple[str, str]]:
    """How many cells ended with larger errors than the study asks for."""
    ended = view.finished.keys() | view.failures.keys()
    cells = unreached(view.study, view.declaration, ended, view.rows)
    if not cells:
        return []
    errors = listed([f"{name} = {error:g}" for name, error in view.study.sweep.until.items()])
    where = f"{len(cells)} of {count(len(view.places), 'cell')}" if len(view.places) > 1 else "The study"
    what = f"{where} ended before the Monte-Carlo errors were reached (until {errors})"
    return [(what, f"The {count(view.n_replicates, 'replicate')} were used up: more of them go on from here.")]


def left_out(view: StudyView) -> list[tuple[str, str]]:
    """What numbers leave out: outcomes that cannot be trusted, and of the others those that lack a number."""
    return [*untrusted(view), *unmeasured(view)]


def unmeasured(view: StudyView) -> list[tuple[str, str]]:
    """Of how many trusted outcomes a number of the user's own was NaN, by method."""
    missing = view.good[view.good["quantity"] == NOT_MEASURED]
    n_trusted = view.good.drop_duplicates([*OUTCOME])["method"].astype(str).value_counts()
    found = []
    for name, own in missing.groupby(missing["parameter"].astype(str), sort=False):
        counts = own["method"].astype(str).value_counts()
        parts = [f"{_name(method)} {n:,} of {n_trusted[str(method)]:,}" for method, n in counts.items()]
        known = view.measures.get(str(name))
        what = (
            f"{elided(known.short if known else str(name), 40)} is not a number (NaN) in {count(len(own), 'outcome')}"
        )
        found.append((what, f"{'; '.join(parts)}. Whatever is shown of it rests on the others."))
    return found


def untrusted(view: StudyView) -> list[tuple[str, str]]:
    """How many outcomes cannot be trusted, and how they ended by method; nothing where all can be."""
    bad = view.outcomes[~view.outcomes["trusted"]]
    parts = []
    for method, own in bad.groupby("method", sort=False, observed=True):
        statuses = ", ".join(f"{status} {n:,}" for status, n in own["status"].value_counts().items() if n)
        parts.append(f"{_name(method)} {len(own):,} ({statuses})")
    what = f"{count(len(bad), 'outcome')} of {len(view.outcomes):,} cannot be trusted"
    left_out = "They are left out of every number but shares of outcomes and seconds."
    return [(what, f"{'; '.join(parts)}. {left_out}")] if parts else []


def silence_sentences(view: StudyView, silent: frozenset[tuple[str, str]]) -> list[str]:
    """Which methods are left out of the sentences, with how few of their outcomes can be trusted there."""
    found = []
    for method in view.methods:
        own = [view.counts[pair] for pair in silent if pair[1] == method]
        if own:
            where = f" in {len(own)} of {len(view.places)} cells" if len(view.places) > 1 else ""
            trusted = f"{sum(n for n, _ in own)} of {sum(n for _, n in own)} outcomes can be trusted there."
            found.append(f"Nothing is said of {_name(method)}{where}: {trusted}")
    return found


# -- where EM is enough by the verdict


def enough_sentences(view: StudyView, verdicts: Sequence[CellVerdicts]) -> list[str]:
    """Where the verdict of each method is that EM is enough, and where it is so least often."""
    methods = dict.fromkeys(record.method for record in verdicts)
    return [
        f"By the verdict{f' of {_name(method)}' if len(methods) > 1 else ''} "
        + _enough(view, [record for record in verdicts if record.method == method])
        for method in methods
    ]


def _enough(view: StudyView, records: Sequence[CellVerdicts]) -> str:
    if len(records) < 2:
        return f"EM is enough {_shares(records[0])}."
    least, most = min(records, key=lambda record: record.share), max(records, key=lambda record: record.share)
    fewest = f"least often{_at(view, least.cell)}: {_shares(least)}"
    where = f"{_at(view, most.cell)}: {_shares(most)}"
    if min(record.n for record in records) < FEW:
        return f"EM is enough most often{where}; {fewest}."
    clear = [record.cell for record in records if record.share >= MOSTLY]
    if len(clear) == len(records):
        return f"EM is enough in at least {percent(least.share, 0)} of the data sets of each cell."
    if clear:
        cells = _where(view, clear, [record.cell for record in records])
        return f"EM is enough in at least {MOSTLY:.0%} of the data sets {cells}; {fewest}."
    none = f"there is no cell in which EM is enough for {MOSTLY:.0%} of the data sets"
    return f"{none}; most often it is{where}; {fewest}."


def _shares(record: CellVerdicts) -> str:
    """``in 20% (MCMC is needed in 22%, inconclusive 58%)``; as counts where they are few."""
    needed, open_ = record.mcmc_needed, record.inconclusive
    if record.n < 2 * FEW:
        return (
            f"in {record.enough} of {count(record.n, 'comparison')} (MCMC is needed in {needed}, {open_} inconclusive)"
        )
    enough, needed_share, open_share = (percent(n / record.n, 0) for n in (record.enough, needed, open_))
    return f"in {enough} (MCMC is needed in {needed_share}, inconclusive {open_share})"


def _where(view: StudyView, chosen: Sequence[str], cells: Sequence[str]) -> str:
    """``up to overlap = 0.04``, ``from n_samples = 1,600 on``, or how many cells."""
    if len(view.axes) == 1 and view.axes[0].numeric:
        axis, n = view.axes[0], len(chosen)
        ordered = sorted(cells, key=lambda cell: view.cell[cell].settings[axis.key])
        values = [value_text(view.cell[cell].settings[axis.key]) for cell in ordered]
        if {*chosen} == {*ordered[:n]}:
            return f"up to {axis.label} = {values[n - 1]}"
        if {*chosen} == {*ordered[-n:]}:
            return f"from {axis.label} = {values[-n]} on"
    if len(chosen) <= 2:
        return "at " + listed([view.cell_label(view.cell[cell], width=60) for cell in chosen])
    return f"in {len(chosen)} of {len(cells)} cells"


def verdict_sentences(verdicts: Sequence[CellVerdicts]) -> list[str]:
    """How often the verdict was right."""
    known = [record for record in verdicts if record.em_good_enough is not None]
    n = sum(record.n for record in known)
    if not n:
        return []
    right, wrong = (
        percent(sum(found) / n, 0) for found in zip(*((own.n_right, own.n_wrong) for own in known), strict=True)
    )
    return [f"The verdict was right in {right} of {n:,} comparisons, wrong in {wrong} and inconclusive in the rest."]


# -- coverage


def coverage_sentences(view: StudyView, found: Sequence[Point]) -> list[str]:
    """Where the intervals of each method hold the truth least often, worst method first."""

    levels = {cell.key: view.level_of(cell) for cell in view.places}

    def beyond(point: Point) -> float:
        return point.value - levels[point.cell]

    short, kept = [], []
    for method in view.methods:
        own = [point for point in found if point.method == method and point.n > 1]
        low = [point for point in own if falls_short(levels[point.cell], point, CLAIM)]
        if not low:
            kept += [min(own, key=beyond)] if own else []
            continue
        worst = min(low, key=beyond)
        among = f"; fewer than they should in {len(low)} of {len(own)} cells" if len(own) > 1 else ""
        text = f"{_name(method)}'s {levels[worst.cell]:.0%} intervals cover {_covered(view, worst)}{among}."
        short.append((beyond(worst), text))
    sentences = [text for _, text in sorted(short)]
    if kept:
        names = listed([f"{_name(point.method)}'s" for point in kept])
        where = " in any cell" if len(view.places) > 1 else ""
        sentences.append(
            f"{names} intervals do not fall short of their level{where} beyond Monte-Carlo error; the least is "
            f"{_covered(view, min(kept, key=beyond))}."
        )
    return sentences


def _covered(view: StudyView, point: Point) -> str:
    """A coverage with its cell, and how few outcomes it rests on where many of them cannot be trusted."""
    text = point_text(point, MEASURE["coverage"]) + _at(view, point.cell)
    if (point.cell, point.method) not in view.doubtful:
        return text
    n_trusted, n = view.counts[point.cell, point.method]
    return f"{text} ({_name(point.method)}, {n_trusted} of {n} outcomes trusted)"


# -- accuracy and cost


def accuracy_sentences(view: StudyView, heard: pd.DataFrame) -> dict[str, list[str]]:
    """By measure: which method is nearest, in how many cells, and by how much where it matters most."""
    if len(view.study.methods) < 2:
        return {}
    if view.n_replicates < FEW:
        of_each = " per cell" if len(view.places) > 1 else ""
        few = f"{count(view.n_replicates, 'replicate')}{of_each} cannot tell the methods apart; {FEW} are the least."
        return {"rmse": [few]}
    wished = [*(("rmse", kind) for kind in view.kinds[:1]), ("log_score_loss", "")]
    found = {}
    for name, group in wished if view.has_truth else [("log_score", "")]:
        values = per_replicate(heard, MEASURE[name], KIND if group else ALL)
        found[name] = _best(view, values[values["group"] == group], MEASURE[name], group)
    return found


def _best(view: StudyView, values: pd.DataFrame, measure: Measure, group: str) -> list[str]:
    """In how many cells each method beats all others, beyond Monte-Carlo error of the differences on the same data."""
    wins: dict[str, list[str]] = {}
    behind: Counter[str] = Counter()
    n_cells = 0
    for cell in view.cell:
        sides = values[values["cell"] == cell].pivot(index="replicate", columns="method", values="value")
        sides = measure.better * sides.rename(columns=str)
        if sides.shape[1] < 2:
            continue
        n_cells += 1
        best = str(sides.mean().idxmax())
        ahead = {other: paired_difference(sides[best], sides[other]) for other in map(str, sides) if other != best}
        beaten = [other for other, (gap, error, n) in ahead.items() if n >= FEW and gap > CLAIM * error]
        if len(beaten) == len(ahead):
            wins.setdefault(best, []).append(cell)
        behind.update(beaten)
    if not n_cells:
        return []
    what, among = measure.label(group), f" of {n_cells} cells" if n_cells > 1 else ""
    if not behind:
        where = f" in any{among}" if among else ""
        return [f"The methods do not differ in {what}{where} beyond Monte-Carlo error."]
    if not wins:
        parts = [f"{_name(method)}{f' in {n}{among}' if among else ''}" for method, n in behind.items()]
        return [f"In {what} no method stands alone, but these are behind the best: {listed(parts)}."]
    most = max(wins, key=lambda name: len(wins[name]))
    head = f"{_name(most)} has the {'largest' if measure.better > 0 else 'smallest'} {what}"
    head += f" in {len(wins[most])}{among}" if among else ""
    n_open = n_cells - sum(map(len, wins.values()))
    rest = [f"{_name(method)} in {len(cells)}" for method, cells in wins.items() if method != most]
    rest += [f"no method alone in {n_open}"] if n_open else []
    return [f"{head}: {_contrast(view, values, measure, wins[most], most)}{f' ({", ".join(rest)})' if rest else ''}."]


def _contrast(view: StudyView, values: pd.DataFrame, measure: Measure, cells: Sequence[str], method: str) -> str:
    """The cell in which a method is furthest ahead of another, with both numbers over the data sets of both."""
    contrasts = []
    for cell in cells:
        here = values[values["cell"] == cell]
        for other in [name for name in dict.fromkeys(here["method"].astype(str)) if name != method]:
            pair = here[here["method"].isin([method, other])]
            pair = pair[pair.groupby("replicate")["value"].transform("count") == 2]
            found = {point.method: point for point in points(pooled(pair, measure))}
            contrasts.append((found[method], found[other]))
    own, worst = max(contrasts, key=lambda pair: abs(pair[1].value - pair[0].value))
    among = f" (on the {own.n} data sets on which both can be trusted)" if own.n < view.n_replicates else ""
    against = f"{point_text(own, measure)} against {point_text(worst, measure)} of {_name(worst.method)}"
    return f"{against}{_at(view, own.cell)}{among}"


def cost_sentences(summary: pd.DataFrame) -> list[str]:
    """How many times the seconds of the fastest method each other one takes."""
    found = summary[summary["measure"] == "run_seconds"]
    if found["method"].nunique() < 2:
        return []
    by_cell = found.pivot(index="cell", columns="method", values="value")
    fastest = str(by_cell.median().idxmin())
    ratios = by_cell.div(by_cell[fastest], axis=0).median().drop(fastest).sort_values()
    parts = [f"{_name(method)} {times(ratio)}" for method, ratio in ratios.items() if math.isfinite(ratio)]
    if not parts:
        return []
    seconds = f"{number(float(by_cell[fastest].median()), 2)} s per data set"
    each = "median of the cells, " if len(by_cell) > 1 else ""
    others = " and ".join(parts)
    return [f"{_name(fastest)} is fastest with {seconds} ({each}without compilation); {others}."]


def times(ratio: float) -> str:
    """``takes 12 times as long``, or ``takes as long``."""
    return "takes as long" if 1 / 1.05 < ratio < 1.05 else f"takes {number(ratio, 2)} times as long"


# -- any other measure


def span_sentences(view: StudyView, heard: pd.DataFrame, measure: Measure) -> list[str]:
    """From where to where a measure runs over the cells, method by method."""
    found = points(heard, measure.name, "") or points(heard, measure.name)
    group = found[0].group if found else ""
    parts = []
    for method in view.methods:
        own = [point for point in found if (point.method, point.group) == (method, group)]
        own = [point for point in own if not math.isnan(point.value)]
        if own:
            parts.append(f"{_span(view, own, measure)} ({_name(method)})")
    what = measure.label(group)
    return [f"{what[:1].upper()}{what[1:]}: {'; '.join(parts)}."] if parts else []


def _span(view: StudyView, own: Sequence[Point], measure: Measure) -> str:
    least, most = min(own, key=lambda point: point.value), max(own, key=lambda point: point.value)
    if least.value == most.value:
        text = point_text(least, measure)
        return text + (" in every cell" if len(own) > 1 else _at(view, least.cell))
    ends = sorted((least, most), key=lambda point: view.cell[point.cell].index)
    return " to ".join(f"{point_text(point, measure)}{_at(view, point.cell)}" for point in ends)
