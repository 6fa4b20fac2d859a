"""What differs between two runs, in sentences and tables: for the terminal and for a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.experiments.summary.words import value_text
from emjax.jsonable import canonical
from emjax.table import Cell, Column, Table, of_estimate
from emjax.wording import fixed

if TYPE_CHECKING:
    import pandas as pd

    from emjax.experiments.archive.differences import Difference, NumberComparison
    from emjax.experiments.summary.view import StudyView

CLEAR = 3.0
"""Standard errors beyond which a measure has moved."""

_STATES = {
    "identical": ("The same numbers, bit by bit", "good"),
    "within_rounding": ("The same numbers, to rounding", "good"),
    "different": ("Different numbers", "bad"),
    "nothing_in_common": ("No number in common", "bad"),
}


def said_of(numbers: NumberComparison, names: tuple[str, str]) -> tuple[str, str, list[str]]:
    """What became of the numbers: a sentence, what to make of it (``good`` or ``bad``), and how it is known."""
    sentence, mark = _STATES[numbers.state]
    counts = [f"{numbers.n_compared:,} compared"]
    if numbers.state == "different":
        counts = [f"{numbers.n_different:,} of {numbers.n_compared:,} differ beyond rounding"]
    only = zip(names, (numbers.n_only_first, numbers.n_only_second), strict=True)
    return sentence, mark, [*counts, *(f"{n:,} only in {name}" for name, n in only if n)]


def largest_table(numbers: NumberComparison, names: tuple[str, str]) -> Table:
    """The largest differences of numbers, and of the words beside them."""
    rows = []
    for entry in numbers.largest:
        sides = [entry.get(f"{side}_word", "") or _exact(entry[side]) for side in ("first", "second")]
        relative = entry["relative"]
        rows.append([_named(entry), *sides, "-" if relative != relative else f"{relative:.1e}"])
    return Table([Column("number", "name"), *names, "relative"], rows, title="Largest differences")


def _named(entry: Mapping[str, Any]) -> str:
    if "place" in entry:
        return f"{entry['file']} {entry['place']}"
    what = " ".join(filter(None, (entry["quantity"], entry["parameter"])))
    cell = f"cell {entry['cell']}, " if entry["cell"] != "{}" else ""  # the only one
    return f"{entry['method']}, {cell}replicate {entry['replicate']}: {what}"


def _exact(value: float) -> str:
    return "-" if value != value else f"{value:.10g}"


def pairs_table(title: str, pairs: Mapping[str, tuple[Any, Any]], names: tuple[str, str]) -> Table:
    """Settings or versions that differ, with both values."""
    rows = [[name, *map(value_text, values)] for name, values in pairs.items()]
    return Table([Column("", "name"), *(Column(name, "word") for name in names)], rows, title=title)


def difference_tables(difference: Difference, names: tuple[str, str]) -> list[Table]:
    """Everything that differs; tables without rows are left out."""
    tables = [
        largest_table(difference.numbers, names),
        pairs_table("Settings that differ", difference.settings, names),
        pairs_table("Versions that differ", difference.versions, names),
    ]
    return [table for table in tables if table]


def moved_table(first: StudyView, second: StudyView, names: tuple[str, str]) -> Table:
    """The measures of two studies side by side, those that moved most from their Monte-Carlo errors first.

    Cells belong together by what was swept. The errors of the two are taken as independent, which is too careful where
    both saw the same data.
    """
    keys = ["settings", "method", "measure", "group"]
    both = _by_settings(first).merge(_by_settings(second), on=keys, suffixes=("_first", "_second"))
    labels = {canonical(cell.settings): first.cell_label(cell) for cell in first.places}
    difference = (both["value_second"] - both["value_first"]).to_numpy(float)
    error = np.hypot(both["mcse_first"].to_numpy(float), both["mcse_second"].to_numpy(float))
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.where(difference != 0, difference / error, np.nan)
    rows = []
    for place in np.argsort(-np.nan_to_num(np.abs(errors), nan=-1.0, posinf=0.0), kind="stable"):
        line = both.iloc[place]
        if not difference[place] or not np.isfinite(errors[place]):
            continue
        sides = [of_estimate(line[f"value_{side}"], line[f"mcse_{side}"]) for side in ("first", "second")]
        change = Cell(
            fixed(errors[place], 1), values=(errors[place],), mark="fair" if abs(errors[place]) > CLEAR else ""
        )
        what = first.measures[line["measure"]].label(line["group"])
        rows.append([labels[line["settings"]], line["method"], what, *sides, change])
    heads = [*(Column(name, "word") for name in ("cell", "method", "measure")), *map(Column, names)]
    note = "Change: difference over its Monte-Carlo standard error, as if both were independent studies."
    return Table([*heads, Column("change", meaning=note)], rows, [note], title="Measures, those that moved most first")


def _by_settings(view: StudyView) -> pd.DataFrame:
    """The summary without single parameters, cells named by their settings."""
    lines = view.means[~view.means["group"].str.contains("[", regex=False)]
    return lines.assign(settings=lines["cell"].map({cell.key: canonical(cell.settings) for cell in view.places}))
