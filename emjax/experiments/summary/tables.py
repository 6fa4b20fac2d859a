"""The tables of a study as data: what its page, the terminal, a notebook and a paper show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from emjax.experiments.summary.estimates import ENOUGH, points
from emjax.experiments.summary.measures import main_measures
from emjax.experiments.summary.verdicts import VERDICTS, CellVerdicts
from emjax.experiments.summary.view import StudyView
from emjax.experiments.summary.words import cell_of, value_text
from emjax.table import Cell, Column, Table
from emjax.verdict import Verdict
from emjax.wording import MISSING, elided, percent

CAPTION = "Means over the replicates ± their Monte-Carlo standard errors, of outcomes that can be trusted."
DOUBTFUL = f"† fewer than {percent(ENOUGH, 0)} of the outcomes can be trusted: those left out may be the hard ones."


def main_table(view: StudyView, *, linked: bool = False) -> Table:
    """All cells and methods; ``linked``: with the number of each cell, which leads to its page."""
    shown = main_measures(view.means, view.kinds, view.own_measures)
    shown.sort(key=lambda pair: pair[0].name != view.answered_by)  # a narrow terminal has the first ones alone
    found = {(point.cell, point.method, point.measure, point.group): point for point in points(view.means)}
    rows = []
    for cell in view.places:
        place = [Cell(f"{cell.index}", values=(cell.index,), link=f"cells/{cell.key}.html")]
        settings = [_setting(cell.settings.get(axis.key)) for axis in view.axes]
        for method in view.methods:
            n_trusted, n = view.counts.get((cell.key, method), (0, 0))
            if not n and not linked:
                continue
            doubtful = (cell.key, method) in view.doubtful
            share = Cell(f"{n_trusted:,} of {n:,}", values=(n_trusted / n,)) if n else Cell(MISSING, values=(None,))
            trusted = share.marked("fair" if doubtful else "")
            values = [
                cell_of(found.get((cell.key, method, measure.name, group)), measure, doubtful=doubtful)
                for measure, group in shown
            ]
            rows.append([*place[: int(linked)], *settings, Cell(method, values=(method,)), trusted, *values])
    header = [
        *([Column("cell", "word")] if linked else []),
        *(Column(axis.label) for axis in view.axes),
        Column("method", "word"),
        Column("trusted", meaning="its method says that its numbers may be used"),
        *(Column(measure.label(group), meaning=measure.words) for measure, group in shown),
    ]
    daggers = any(cell.mark == "doubtful" for row in rows for cell in row)
    return Table(header, rows, (CAPTION, DOUBTFUL) if daggers else (CAPTION,), of="table")


def _setting(value: Any) -> Cell:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = value_text(value)
    return Cell(elided(text, 40), values=(float(value) if number else None if value is None else text,))


def summary_frame(view: StudyView, summary: pd.DataFrame | None = None) -> pd.DataFrame:
    """Every measure (see `estimates.summarize`) with one column per swept setting, in the order of the sweep."""
    summary = view.means if summary is None else summary
    columns = {"cell": [cell.key for cell in view.places]}
    columns |= {axis.key: [_plain(cell.settings.get(axis.key)) for cell in view.places] for axis in view.axes}
    merged = pd.DataFrame(columns).merge(summary, on="cell", how="right")
    return merged.sort_values(
        "cell", key=lambda keys: keys.map(list(view.cell).index), kind="stable", ignore_index=True
    )


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else value_text(value)


_TRUTHS = {True: "EM was good enough", False: "EM was not good enough", None: "cannot be told"}


def verdict_tables(view: StudyView, records: Sequence[CellVerdicts]) -> tuple[Table, Table]:
    """Verdicts against what was so, over all cells and cell by cell."""
    names = [name for name in VERDICTS if any(getattr(record, name) for record in records)]
    matrix, rows = [], []
    for good, truth in _TRUTHS.items():
        own = [record for record in records if record.em_good_enough is good]
        if own:
            totals = {name: sum(getattr(record, name) for record in own) for name in names}
            matrix.append([truth, *(_count(n, _tone(good, name, n)) for name, n in totals.items())])
    for record in records:
        label = Cell(view.cell_label(view.cell[record.cell]), link=f"cells/{record.cell}.html")
        truth = {True: "yes", False: "no", None: "unknown"}[record.em_good_enough]
        rows.append([label, record.method, truth, *(_count(getattr(record, name)) for name in names)])
    return (
        Table([Column("in truth", "word"), *names], matrix, title="Verdicts against what was so", of="verdicts"),
        Table([Column("cell", "word"), Column("method", "word"), Column("EM good enough", "word"), *names], rows),
    )


def _count(n: int, mark: str = "") -> Cell:
    return Cell(f"{n:,}", values=(n,), mark=mark)


def _tone(good: bool | None, verdict: str, n: int) -> str:
    if good is None or verdict == Verdict.INCONCLUSIVE or not n:
        return ""
    return "good" if good == (verdict != Verdict.MCMC_NEEDED) else "bad"
