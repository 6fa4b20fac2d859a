"""From a study's folder to its pages, figures and tables."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from emjax.atomic import UNTOUCHED, write_atomically
from emjax.atomic import sweep as sweep_folder
from emjax.errors import ConfigError
from emjax.experiments.archive.folder import Archive
from emjax.experiments.pages.cell_page import cell_content
from emjax.experiments.pages.curves import curve_pictures
from emjax.experiments.pages.frontier import frontier_picture
from emjax.experiments.pages.verdict_bars import verdict_picture
from emjax.experiments.summary.findings import CLAIM, Findings, find
from emjax.experiments.summary.tables import main_table, summary_frame, verdict_tables
from emjax.experiments.summary.verdicts import DEFINITION, CellVerdicts, cell_verdicts
from emjax.experiments.summary.view import StudyView
from emjax.experiments.summary.words import settings_text, value_text
from emjax.files import user_path
from emjax.report.drawing.picture import write_figure
from emjax.report.files import write_files, write_tables
from emjax.report.page import render
from emjax.table import Cell, Column, Table
from emjax.table import for_spreadsheets as safe
from emjax.wording import count, elided, printable

if TYPE_CHECKING:
    import pandas as pd

    from emjax.experiments.archive.single import SingleRun
    from emjax.report.drawing.picture import Picture

PAGE = "report.html"
FOLDERS = ("cells", "tables", "figures")
_PACKAGE = "emjax.experiments.pages"
_MOST_FAILURES = 50
"""And warnings."""

_MOST_FILTERED = 60
"""Values of a setting that a filter of the table offers."""


def write_study_report(
    folder: str | os.PathLike[str], *, target: str | os.PathLike[str] | None = None, figures: bool = True
) -> Path:
    """Write the page of a study, with the pages of its cells, its figures and its tables, and return its path.

    Parameters
    ----------
    folder
        A study's folder.
    target
        The folder for ``report.html``, ``cells/``, ``figures/`` and ``tables/``; by default the study's own. What is
        there under these names is replaced; links among them are not followed.
    figures
        Whether figures are also written as SVG and PDF files.

    Notes
    -----
    Every page holds what it shows and asks for nothing; its only script sorts and filters the table, and is named by
    its hash in the page's content security policy. Numbers are means over the outcomes that can be trusted, with
    Monte-Carlo standard errors (`emjax.experiments.summary.estimates`).

    Raises
    ------
    ConfigError
        If the folder is not that of a study, or something cannot be written: no link in it is followed.
    OSError
        If a folder cannot be made.
    """
    place = user_path(folder if target is None else target)
    return write_pages(StudyView(Archive(Path(folder))), place, figures=figures).page


class Written(NamedTuple):
    """What was written: the page, the study's title, the first sentence of its answer, and all files."""

    page: Path
    title: str
    answer: str
    files: list[Path]


def study_pictures(view: StudyView, records: Sequence[CellVerdicts] | None = None) -> list[Picture]:
    """All figures of a study, in the order of its page; they are drawn when they are looked at."""
    records = cell_verdicts(view) if records is None else records
    return [*curve_pictures(view), *filter(None, (frontier_picture(view), verdict_picture(view, records)))]


def write_pages(view: StudyView, target: Path, *, figures: bool = True) -> Written:
    """Write everything for a study into a folder."""
    prepare(target)
    records = cell_verdicts(view)
    found = find(view, records)
    matrix, by_cell = verdict_tables(view, records)
    pictures = study_pictures(view, records)
    for name in FOLDERS[: None if figures and pictures else -1]:
        (target / name).mkdir(parents=True, exist_ok=True)
    content = _content(view, found, pictures)
    content |= {"matrix": matrix, "by_cell": by_cell, "files": figures}
    files = [write_page(target / PAGE, "study.html.j2", script="study.js", **content)]
    for cell in view.places:
        files.append(write_page(target / "cells" / f"{cell.key}.html", "cell.html.j2", **cell_content(view, cell)))
    summary = for_spreadsheets(summary_frame(view)).to_csv(index=False, lineterminator="\n")
    files.append(_write(target / "tables" / "summary.csv", summary))
    files += write_tables(filter(None, (main_table(view), matrix)), target / "tables")
    for picture in pictures if figures else ():
        files += write_figure(picture.figure, target / "figures", picture.name)
    return Written(target / PAGE, view.title, found.answer, files)


def write_single(run: SingleRun, target: Path) -> list[Path]:
    """Write the figures and tables of a single run into a folder; raises as `SingleRun.fit` does, and ConfigError."""
    prepare(target)
    return write_files(run.comparison or run.posterior or run.fit, target)


def write_index(written: Sequence[Written], target: Path) -> Path:
    """Write the page that links several studies' pages, and return its path."""
    studies = [
        {"link": link_from(target, entry.page), "title": entry.title, "answer": elided(entry.answer, 200)}
        for entry in written
    ]
    title = count(len(studies), "study", "studies")
    return write_page(target, "studies.html.j2", title=title, subject="", studies=studies)


def link_from(page: Path, other: Path) -> str:
    """The address of another file on a page."""
    return Path(os.path.relpath(other, page.absolute().parent)).as_posix()


def write_page(path: Path, template: str, *, script: str = "", **content: Any) -> Path:
    """Write a page from one of the templates here, in the style of all reports, with a script of ours or none."""
    text = (resources.files(_PACKAGE) / script).read_text(encoding="utf-8") if script else ""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    ours = {"script": Markup(text), "script_source": Markup(f"'sha256-{digest}'")}  # our own files, no data in them
    return _write(path, render(template, {**ours, **content}, _PACKAGE, "study.css"))


def prepare(target: Path) -> None:
    """Before anything is worked out: refuse, by ConfigError, a folder in which one for pages is a link, which may lead
    anywhere, and clear away what was left unfinished."""
    for name in FOLDERS:
        if (target / name).is_symlink():
            raise ConfigError(
                f"{printable(target / name)}: is a link, and links are not followed for writing; remove it, or choose "
                "another folder with --out"
            )
    for folder in (target, *(target / name for name in FOLDERS)):
        sweep_folder(folder)


def _write(path: Path, text: str) -> Path:
    write_atomically(path, text, UNTOUCHED)
    return path


def for_spreadsheets(table: pd.DataFrame) -> pd.DataFrame:
    """A frame with an apostrophe before each text, heads too, that a spreadsheet would take for a formula."""
    texts = table.select_dtypes(exclude="number").astype(object)
    return table.assign(**texts.map(lambda value: safe(value) if isinstance(value, str) else value)).rename(
        columns=safe
    )


def _content(view: StudyView, found: Findings, pictures: Sequence[Picture]) -> dict[str, Any]:
    names = {picture.name: picture for picture in pictures}
    single = {name: names.pop(name, None) for name in ("frontier", "verdicts")}
    swept = ", ".join(elided(axis.label, 40) for axis in view.axes)
    methods = ", ".join(elided(name, 40) for name in view.methods)
    filters = [("Method", len(view.axes) + 1, [*view.methods])]
    for place, axis in enumerate(view.axes, start=1):
        filters.append((axis.label, place, [elided(value_text(value), 40) for value in axis.values]))
    table = main_table(view, linked=True)
    return {
        "title": view.title,
        "subject": f"{count(len(view.places), 'cell')}{f' ({swept})' if swept else ''}, "
        f"{count(view.n_replicates, 'replicate')} each, {count(len(view.study.methods), 'method')}: {methods}",
        "question": view.question,
        "found": found,
        "claim": f"{CLAIM:g}",
        "progress": _progress(len(view.finished), len(view.failures), len(view.jobs)),
        "table": table,
        "filters": [(label, place, values) for label, place, values in filters if 1 < len(values) <= _MOST_FILTERED],
        "meanings": [(head.name, head.meaning) for head in table.header if head.meaning],
        "curves": list(names.values()),
        "curves_title": "What changes with the settings" if view.axes else "The methods side by side",
        **single,
        "definition": DEFINITION,
        "cells": [
            (cell.key, view.cell_label(cell, width=90), cell.index, _done(view, cell.key)) for cell in view.places
        ],
        "failures": _failures(view),
        "warnings": _warnings(view),
        "provenance": [*_declared(view), *view.provenance],
        "folder": printable(view.folder),
    }


def _declared(view: StudyView) -> list[tuple[str, str]]:
    """What all cells share, as far as it is not swept."""
    swept = {axis.key for axis in view.axes}
    rows = [("Seed", f"{view.study.seed}")]
    rows += [("Level of all intervals", f"{view.study.level:.0%}")] if "level" not in swept else []
    for section in ("data", "model"):
        settings = getattr(view.study, section).model_dump(mode="json", exclude_none=True)
        rows.append((section.capitalize(), elided(settings_text(_fixed(settings, section, swept)), 600)))
    return rows


def _fixed(settings: Mapping[str, Any], place: str, swept: set[str]) -> dict[str, Any]:
    """The settings that are not swept, and not empty."""
    found = {key: value for key, value in settings.items() if f"{place}.{key}" not in swept}
    tables = {key: _fixed(value, f"{place}.{key}", swept) for key, value in found.items() if isinstance(value, Mapping)}
    return {key: value for key, value in {**found, **tables}.items() if value != {}}


def _progress(n_done: int, n_failed: int, n: int) -> dict[str, Any]:
    parts = [f"{n_done:,} of {count(n, 'job')} done"]
    parts += [f"{n_failed:,} failed"] if n_failed else []
    parts += [f"{n - n_done - n_failed:,} to do"] if n > n_done + n_failed else []
    share = 100 / max(n, 1)
    return {"text": ", ".join(parts), "done": round(share * n_done, 2), "failed": round(share * n_failed, 2)}


def _done(view: StudyView, cell: str) -> str:
    done = [key in view.finished for key, job in view.jobs.items() if job["cell"] == cell]
    return "all done" if all(done) else f"{sum(done)} of {count(len(done), 'job')} done"


def _failures(view: StudyView) -> Table:
    rows = []
    for key, failure in list(view.failures.items())[:_MOST_FAILURES]:
        job, error = view.jobs[key], elided(str(failure.get("error", "")), 300)
        cell = Cell(view.cell_label(view.cell[job["cell"]]), link=f"cells/{job['cell']}.html")
        replicates, attempts = f"{job['first']} to {job['stop'] - 1}", f"{failure.get('attempts', 1)}"
        rows.append([cell, job["method"], replicates, attempts, error])
    n = len(view.failures)
    notes = [f"The first {_MOST_FAILURES} of {n}."] if n > _MOST_FAILURES else []
    heads = [("cell", "word"), ("method", "word"), ("replicates", "number"), ("attempts", "number"), ("error", "name")]
    return Table([Column(*head) for head in heads], rows, notes)


def _warnings(view: StudyView) -> Table:
    heard = view.warnings.head(_MOST_FAILURES).itertuples(index=False)
    rows = [[method, elided(text, 300), f"{times:,}"] for method, text, times in heard]
    return Table([Column("method", "word"), Column("warning", "name"), Column("times")], rows)
