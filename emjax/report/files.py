"""Figures and tables of a result as files, for papers and for other programs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emjax.atomic import UNTOUCHED, write_atomically
from emjax.bayes.posterior import Posterior
from emjax.comparison import Comparison
from emjax.files import user_path
from emjax.plots import FIGURES
from emjax.report import tables
from emjax.report.drawing.picture import write_figure
from emjax.result import Fit
from emjax.table import Table
from emjax.uncertainty.results import Intervals
from emjax.verdict import DEFAULT_THRESHOLDS


def write_files(source: Fit | Posterior | Comparison, folder: str | os.PathLike[str]) -> list[Path]:
    """Write every figure as SVG and PDF into ``figures/``, every table as CSV and LaTeX into ``tables/``.

    A figure that does not apply, as assignments of a single component, is left out; what is in the ``folder`` under the
    same names is replaced. Raises ConfigError if a file cannot be written, OSError if a folder cannot be made.
    """
    place = user_path(folder)
    paths = write_tables(tables_of(source), place / "tables")
    (place / "figures").mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES[type(source).__name__].items():
        try:
            figure = draw(source)
        except ValueError:
            continue
        paths += write_figure(figure, place / "figures", name)
    return paths


def tables_of(source: Fit | Posterior | Comparison, intervals: Intervals | None = None) -> list[Table]:
    """All tables of a result, each under a name of its own (`Table.of`); ``intervals`` are a fit's own by default."""
    if isinstance(source, Fit):
        known = source.intervals() if intervals is None else intervals
        good, prior = known.status.value == "ok", source.mixture.prior is not None
        estimates = tables.interval_table(map(vars, known.rows), known.level, good=good, prior=prior)
        return [estimates, tables.optima_table(source.optima)]
    if isinstance(source, Posterior):
        frame = source.to_frame().rename(columns={"parameter": "name", "rhat": "r_hat"})
        rows: list[Any] = frame.to_dict("records")
        estimates = tables.posterior_table(rows, frame.attrs["level"], trusted=source.usable)
        return [estimates, *_of_draws(source, DEFAULT_THRESHOLDS.trust)]
    return [
        tables.of_comparison(source),
        tables.invariant_table(source.invariants, trusted=source.posterior.usable),
        *_of_draws(source.posterior, source.thresholds.trust),
        tables.optima_table(source.fit.optima),
        tables.cost_table(source.cost),
    ]


def _of_draws(posterior: Posterior, needed_trust: float) -> list[Table]:
    modes = [tables.mode_table(posterior)] if posterior.modes.modes else []
    return [tables.check_table(posterior, needed_trust), *modes, tables.quantity_table(posterior)]


def write_tables(found: Iterable[Table], folder: Path) -> list[Path]:
    """Write tables as CSV, and without their wide columns as LaTeX, by what they are of, and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for table in found:
        for kind, text in (("csv", table.to_csv()), ("tex", table.brief.to_latex())):
            paths.append(folder / f"{table.of}.{kind}")
            write_atomically(paths[-1], text, UNTOUCHED)
    return paths
