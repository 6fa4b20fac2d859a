"""From a study's folder to its pages, figures and tables."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.atomic import UNTOUCHED, write_atomically
from emjax.atomic import sweep as sweep_folder
from emjax.errors import ConfigError
from emjax.files import user_path
from emjax.wording import count, elided, percent, printable
from emjax.wording import printable as shown_path

if TYPE_CHECKING:
    from jinja2 import Environment

    from emjax.experiments.summary.sweep import Sweep

PAGE = "report.html"
FOLDERS = ("cells", "tables", "figures")
_MOST_FAILURES = 50
_NO_SCRIPT = "'none'"


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
    Monte-Carlo standard errors (`emjax.experiments.summary.measures`).

    Raises
    ------
    ConfigError
        If the folder is not that of a study, or something cannot be written: no link in it is followed.
    OSError
        If a folder cannot be made.
    """
    from emjax.experiments.summary.sweep import read_sweep

    return write_pages(read_sweep(folder), user_path(folder if target is None else target), figures=figures).page


class Written:
    """What was written: the page, the first sentence of its answer, and all files."""

    def __init__(self, page: Path, title: str, answer: str, files: Sequence[Path]) -> None:
        self.page, self.title, self.answer, self.files = page, title, answer, tuple(files)


def write_pages(sweep: Sweep, target: Path, *, figures: bool = True) -> Written:
    """Write everything for a sweep into a folder."""
    from emjax.experiments.pages.cell_page import cell_content, cell_subject
    from emjax.experiments.pages.tables import write_tables
    from emjax.experiments.summary.measures import kinds_in, summarize_measures

    refuse_links(target)  # before anything is worked out
    summary = summarize_measures(sweep.rows, sweep.good)
    kinds = kinds_in(sweep.good)
    environment = _environment()
    for folder in (target, *(target / name for name in FOLDERS)):
        sweep_folder(folder)
    content = _content(sweep, summary, kinds)
    pictures = [*content["curves"], *filter(None, (content["frontier"], content["verdict_picture"]))]
    for name in FOLDERS[: None if figures and pictures else -1]:
        (target / name).mkdir(parents=True, exist_ok=True)
    page = target / PAGE
    files = [_write(page, _page(environment, "study.html.j2", files=figures, **content))]
    for place, cell in enumerate(sweep.cells):
        context = {
            "title": sweep.cell_label(cell, width=120) if cell.settings else "The only cell",
            "subject": cell_subject(sweep, cell),
            "study_title": sweep.title,
            "key": cell.key,
            "level": f"{sweep.level_of(cell):.0%}",
            "has_truth": sweep.has_truth,
            "folder": shown_path(sweep.folder),
            "before": sweep.cells[place - 1].key if place else None,
            "after": sweep.cells[place + 1].key if place + 1 < len(sweep.cells) else None,
            **cell_content(sweep, cell, summary),
        }
        files.append(_write(target / "cells" / f"{cell.key}.html", _page(environment, "cell.html.j2", **context)))
    files += write_tables(sweep, summary, kinds, target / "tables")
    for picture in pictures if figures else ():
        files += picture.write(target / "figures")
    return Written(page, sweep.title, content["answer"], files)


def write_index(written: Sequence[Written], target: Path) -> Path:
    """Write the page that links several studies' pages, and return its path."""
    studies = [
        {
            "link": Path(os.path.relpath(entry.page, target.parent)).as_posix(),
            "title": entry.title,
            "answer": elided(entry.answer, 200),
        }
        for entry in written
    ]
    return _write(
        target,
        _page(
            _environment(),
            "studies.html.j2",
            title=count(len(studies), "study", "studies"),
            subject="",
            studies=studies,
        ),
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    return Environment(
        loader=PackageLoader("emjax.experiments.pages", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )


def _page(environment: Environment, name: str, **context: Any) -> str:
    from markupsafe import Markup

    # Our own files, no data in them.
    style = "".join(
        resources.files(package).joinpath(file).read_text(encoding="utf-8")
        for package, file in (
            ("emjax.report", "report.css"),
            ("emjax.experiments.pages", "study.css"),
        )
    )
    script, source = "", _NO_SCRIPT
    if name == "study.html.j2":
        script = resources.files("emjax.experiments.pages").joinpath("study.js").read_text(encoding="utf-8")
        source = "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
    return environment.get_template(name).render(
        style=Markup(style), script=Markup(script), script_source=Markup(source), **context
    )


def refuse_links(target: Path) -> None:
    """Refuse, by ConfigError, a folder in which one for pages is a link: it might lead anywhere."""
    for name in FOLDERS:
        if (target / name).is_symlink():
            raise ConfigError(
                f"{shown_path(target / name)}: is a link, and links are not followed for writing; remove it, or choose "
                "another folder with --out"
            )


def _write(path: Path, page: str) -> Path:
    write_atomically(path, page, UNTOUCHED)
    return path


def _content(sweep: Sweep, summary: Any, kinds: Sequence[str]) -> dict[str, Any]:
    from emjax.experiments.pages import pictures, tables
    from emjax.experiments.summary import findings, measures
    from emjax.experiments.summary.verdicts import cell_verdicts, verdict_tables
    from emjax.report.drawing.style import drawing

    records = cell_verdicts(sweep)
    found = findings.find(sweep, summary, kinds, records)
    with drawing():
        curves = list(pictures.curve_pictures(sweep, summary, kinds))
        frontier = pictures.frontier_picture(sweep, summary, kinds)
        verdict_picture = pictures.verdict_picture(sweep, records)
    table = tables.sweep_table(sweep, summary, kinds)
    axes = pictures.best_axes(sweep)
    return {
        "title": sweep.title,
        "subject": _subject(sweep),
        "question": sweep.question,
        "answer": found.answer,
        "further": found.further,
        "alerts": found.alerts,
        "claim": f"{findings.CLAIM:g}",
        "progress": _progress(sweep),
        "table": table,
        "enough": percent(measures.ENOUGH, 0),
        "meanings": table.heads,
        "places": {cell.key: cell.index + 1 for cell in sweep.cells},
        "curves": curves,
        "curves_title": "What changes with the settings" if axes else "The methods side by side",
        "frontier": frontier,
        "verdicts": verdict_tables(sweep, records),
        "verdict_picture": verdict_picture,
        "cells": _cells(sweep),
        "failures": _failures(sweep),
        "n_failures": len(sweep.failures),
        "provenance": [*_declared(sweep), *sweep.provenance],
        "folder": shown_path(sweep.folder),
    }


def _subject(sweep: Sweep) -> str:
    swept = ", ".join(elided(axis.label, 40) for axis in sweep.axes)
    names = ", ".join(elided(method.name, 40) for method in sweep.methods)
    return (
        f"{count(len(sweep.cells), 'cell')}{f' ({swept})' if swept else ''}, "
        f"{count(sweep.n_replicates, 'replicate')} each, {count(len(sweep.methods), 'method')}: {names}"
    )


def _declared(sweep: Sweep) -> list[tuple[str, str]]:
    """What all cells share, as far as it is not swept."""
    from emjax.experiments.summary.sweep import value_text

    swept = {axis.key for axis in sweep.axes}
    rows = [("Seed", f"{sweep.seed}"), ("Level of all intervals", f"{sweep.level:.0%}")]
    for label, section in (("Data", "data"), ("Model", "model")):
        settings = getattr(sweep.study, section).model_dump(mode="json", exclude_none=True)
        parts = [f"{key} = {value_text(value)}" for key, value in settings.items() if f"{section}.{key}" not in swept]
        rows.append((label, elided(", ".join(parts), 600)))
    return [row for row in rows if row[0] != "Level of all intervals" or "level" not in swept]


def _progress(sweep: Sweep) -> dict[str, Any]:
    n, n_done, n_failed = len(sweep.jobs), len(sweep.finished), len(sweep.failures)
    parts = [f"{n_done:,} of {count(n, 'job')} done"]
    parts += [f"{n_failed:,} failed"] if n_failed else []
    parts += [f"{n - n_done - n_failed:,} to do"] if n > n_done + n_failed else []
    share = 100 / max(n, 1)
    return {"text": ", ".join(parts), "done": round(share * n_done, 2), "failed": round(share * n_failed, 2)}


def _cells(sweep: Sweep) -> list[dict[str, Any]]:
    return [
        {
            "key": cell.key,
            "label": sweep.cell_label(cell, width=90),
            "place": cell.index + 1,
            "progress": _cell_progress([job.key in sweep.finished for job in sweep.jobs if job.cell == cell.key]),
        }
        for cell in sweep.cells
    ]


def _cell_progress(done: Sequence[bool]) -> str:
    return "all done" if all(done) else f"{sum(done)} of {count(len(done), 'job')} done"


def _failures(sweep: Sweep) -> list[Mapping[str, str]]:
    cells = {cell.key: cell for cell in sweep.cells}
    return [
        {
            "cell": sweep.cell_label(cells[failure.job.cell]),
            "method": failure.job.method,
            "replicates": f"{failure.job.first} to {failure.job.stop - 1}",
            "attempts": f"{failure.attempts}",
            "error": elided(failure.error, 300),
        }
        for failure in sweep.failures[:_MOST_FAILURES]
    ]
