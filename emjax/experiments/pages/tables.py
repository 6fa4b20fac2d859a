"""The table of a sweep: on the page, as CSV with all measures, and as LaTeX."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emjax.atomic import UNTOUCHED, write_atomically
from emjax.experiments.summary.measures import ENOUGH, Measure, Point, points, table_measures
from emjax.experiments.summary.phrases import measure_words
from emjax.experiments.summary.sweep import Sweep, value_text
from emjax.wording import MISSING, decimals_for, elided, fixed, percent, printable


@dataclasses.dataclass(frozen=True)
class TableCell:
    """One field: what it shows, its error beside it, and what it is sorted by (empty where there is nothing)."""

    text: str
    error: str
    sort: str
    doubtful: bool = False


@dataclasses.dataclass(frozen=True)
class TableRow:
    """A cell of the sweep and a method."""

    cell: str
    settings: tuple[TableCell, ...]
    method: str
    trusted: TableCell
    values: tuple[TableCell, ...]


@dataclasses.dataclass(frozen=True)
class SweepTable:
    """The main table.

    Attributes
    ----------
    axes
        Heads of the columns of settings.
    heads
        Heads of the measures, with what each means.
    rows
        One per cell and method.
    filters
        Per select: its label, the column it looks at, and the values.
    doubtful
        Whether any number is marked.
    """

    axes: tuple[str, ...]
    heads: tuple[tuple[str, str], ...]
    rows: tuple[TableRow, ...]
    filters: tuple[tuple[str, int, tuple[str, ...]], ...]
    doubtful: bool


def sweep_table(sweep: Sweep, summary: pd.DataFrame, kinds: Sequence[str]) -> SweepTable:
    """The table of all cells and methods."""
    shown = table_measures(summary, kinds)
    found = {(point.cell, point.method, point.measure, point.group): point for point in points(summary)}
    ended = sweep.outcomes.groupby(["cell", "method"], observed=True)["trusted"].agg(["sum", "size"])
    counts = {key: (int(row["sum"]), int(row["size"])) for key, row in ended.iterrows()}
    rows = []
    for cell in sweep.cells:
        settings = tuple(_setting(cell.settings.get(axis.key)) for axis in sweep.axes)
        for method in sweep.methods:
            n_trusted, n = counts.get((cell.key, method.name), (0, 0))
            doubtful = n_trusted < ENOUGH * n
            values = tuple(
                _field(found.get((cell.key, method.name, measure.name, group)), measure, doubtful)
                for measure, group in shown
            )
            rows.append(TableRow(cell.key, settings, printable(method.name), _share(n_trusted, n), values))
    filters = [("Method", len(sweep.axes), tuple(printable(method.name) for method in sweep.methods))]
    for place, axis in enumerate(sweep.axes):
        filters.append((axis.label, place, tuple(elided(value_text(value), 40) for value in axis.values)))
    return SweepTable(
        tuple(axis.label for axis in sweep.axes),
        tuple((_head(measure, group), measure.meaning) for measure, group in shown),
        tuple(rows),
        tuple(entry for entry in filters if 1 < len(entry[2]) <= 60),
        any(field.doubtful for row in rows for field in row.values),
    )


def _head(measure: Measure, group: str) -> str:
    return measure_words(measure, group)


def _setting(value: Any) -> TableCell:
    if value is None:
        return TableCell(MISSING, "", "")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return TableCell(elided(value_text(value), 40), "", repr(float(value)) if number else printable(value_text(value)))


def _share(n_trusted: int, n: int) -> TableCell:
    return TableCell(
        f"{n_trusted:,} of {n:,}" if n else MISSING, "", repr(n_trusted / n) if n else "", n_trusted < ENOUGH * n
    )


def _field(row: Point | None, measure: Measure, doubtful: bool) -> TableCell:
    if row is None or math.isnan(row.value):
        return TableCell(MISSING, "", "")
    if math.isinf(row.value):
        return TableCell("∞" if row.value > 0 else "−∞", "", f"{'-' if row.value < 0 else ''}Infinity", doubtful)
    doubtful = doubtful and not measure.of_all
    if measure.form == "share":
        error = percent(row.mcse) if math.isfinite(row.mcse) and row.mcse > 0 else ""
        return TableCell(percent(row.value), error, repr(float(row.value)), doubtful)
    decimals = decimals_for(row.mcse)
    error = fixed(row.mcse, decimals) if decimals is not None else ""
    return TableCell(fixed(row.value, decimals), error, repr(float(row.value)), doubtful)


def summary_frame(sweep: Sweep, summary: pd.DataFrame) -> pd.DataFrame:
    """All measures with one column per swept setting: what ``tables/summary.csv`` holds."""
    settings = pd.DataFrame(
        [
            {"cell": cell.key, **{axis.key: _plain(cell.settings.get(axis.key)) for axis in sweep.axes}}
            for cell in sweep.cells
        ]
    )
    order = {cell.key: cell.index for cell in sweep.cells}
    merged = settings.merge(summary, on="cell", how="right")
    return merged.sort_values("cell", key=lambda keys: keys.map(order), kind="stable").reset_index(drop=True)


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool) else value_text(value)


def write_tables(sweep: Sweep, summary: pd.DataFrame, kinds: Sequence[str], folder: Path) -> list[Path]:
    """Write ``summary.csv`` (all measures) and ``table.tex`` (the main table, for the package booktabs)."""
    paths = [folder / "summary.csv", folder / "table.tex"]
    table = for_spreadsheets(summary_frame(sweep, summary)).to_csv(index=False, lineterminator="\n")
    for path, text in zip(paths, (table, latex(sweep, sweep_table(sweep, summary, kinds))), strict=True):
        write_atomically(path, text, UNTOUCHED)
    return paths


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a text may not begin with: a spreadsheet would compute it, and a formula can read files and call programs."""


def for_spreadsheets(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each text, heads too, that a spreadsheet would take for a formula.

    Numbers stay numbers: an apostrophe stands before texts alone, of which the settings, methods and parameters that
    begin so are not emjax's own.
    """

    def safe(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    safe_texts = {name: table[name].astype(object).map(safe) for name in texts}
    return table.assign(**safe_texts).rename(columns=safe)


def latex(sweep: Sweep, table: SweepTable) -> str:
    """The table in LaTeX; needs ``\\usepackage{booktabs}``."""
    columns = "l" * len(table.axes) + "l" + "r" * (1 + len(table.heads))
    heads = [*table.axes, "method", "trusted", *(head for head, _ in table.heads)]
    lines = [
        f"% {printable(sweep.title)}",
        "% Needs \\usepackage{booktabs}. After the sign: Monte-Carlo standard errors.",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        " & ".join(map(escaped, heads)) + " \\\\",
        "\\midrule",
    ]
    previous = ""
    for row in table.rows:
        if previous and previous != row.cell and len(sweep.methods) > 1:
            lines.append("\\addlinespace")
        previous = row.cell
        fields = [escaped(field.text) for field in row.settings]
        fields += [escaped(row.method), escaped(row.trusted.text), *(_latex_field(field) for field in row.values)]
        lines.append(" & ".join(fields) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _latex_field(field: TableCell) -> str:
    text = escaped(field.text)
    return f"{text} $\\pm$ {escaped(field.error)}" + ("$^\\dagger$" if field.doubtful else "") if field.error else text


_LATEX = {
    "\\": "\\textbackslash{}",
    "&": "\\&",
    "%": "\\%",
    "$": "\\$",
    "#": "\\#",
    "_": "\\_",
    "{": "\\{",
    "}": "\\}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "−": "$-$",
    "—": "---",
    "…": "\\ldots{}",
    "<": "$<$",
    ">": "$>$",
    "∞": "$\\infty$",
}


def escaped(text: str) -> str:
    """The text with LaTeX's own signs written so that they are read."""
    return "".join(_LATEX.get(sign, sign) for sign in printable(text))
