"""What the pages of a study are made from: its cells, methods, rows, jobs and failures, in one shape."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emjax.experiments.summary.measures import ENOUGH, outcomes, trusted_rows
from emjax.experiments.summary.wording import table_text
from emjax.shown import Shown
from emjax.wording import elided, seconds

DECADES = 1.0
"""An axis is logarithmic where its values span at least so many powers of ten."""


@dataclasses.dataclass(frozen=True, repr=False)
class Axis(Shown):
    """A setting that varies over the cells.

    Attributes
    ----------
    key
        Its dotted key.
    label
        Its name in figures and tables: the key without its section, where that is unambiguous.
    values
        Its distinct values: numbers in ascending order, anything else in the order of the sweep.
    numeric
        Whether all values are numbers.
    """

    key: str
    label: str
    values: tuple[Any, ...]
    numeric: bool

    @property
    def logarithmic(self) -> bool:
        """Whether the values span decades."""
        return self.numeric and self.values[0] > 0 and math.log10(self.values[-1] / self.values[0]) >= DECADES


@dataclasses.dataclass(frozen=True, repr=False)
class CellView(Shown):
    """A cell of the sweep: its place, its key and the settings that are its own."""

    index: int
    key: str
    settings: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, repr=False)
class MethodView(Shown):
    """A method: the name that rows carry, what kind it is, and its settings."""

    name: str
    kind: str
    settings: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class JobView:
    """A job of the plan."""

    key: str
    cell: str
    method: str
    first: int
    stop: int


@dataclasses.dataclass(frozen=True, repr=False)
class Failure(Shown):
    """A job that ended in an error, after so many attempts."""

    key: str
    job: JobView
    error: str
    attempts: int


@dataclasses.dataclass(frozen=True, repr=False)
class Sweep(Shown):
    """A study as its pages see it.

    Attributes
    ----------
    study
        The `Study`.
    rows
        Tidy rows with at least ``cell, replicate, method, quantity, parameter, value, status``, of the cells and
        methods of the plan alone.
    finished
        Keys of the jobs whose rows are there.
    has_truth
        Whether the data come from a declared mixture.
    provenance
        Pairs of a label and a text.
    """

    study: Any
    title: str
    question: str | None
    level: float
    seed: int
    n_replicates: int
    folder: str
    cells: tuple[CellView, ...]
    axes: tuple[Axis, ...]
    methods: tuple[MethodView, ...]
    rows: pd.DataFrame
    jobs: tuple[JobView, ...]
    finished: frozenset[str]
    failures: tuple[Failure, ...]
    has_truth: bool
    provenance: tuple[tuple[str, str], ...]

    @functools.cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row per outcome, see `measures.outcomes`."""
        return outcomes(self.rows)

    @functools.cached_property
    def good(self) -> pd.DataFrame:
        """The rows of trusted outcomes."""
        return trusted_rows(self.rows, self.outcomes)

    @functools.cached_property
    def doubtful(self) -> frozenset[tuple[str, str]]:
        """Cells and methods of which fewer than `measures.ENOUGH` of the outcomes can be trusted."""
        shares = self.outcomes.groupby(["cell", "method"], observed=True)["trusted"].mean()
        return frozenset((str(cell), str(method)) for cell, method in shares.index[shares < ENOUGH])

    @property
    def answered_by(self) -> str | None:
        """What the answer is about: what the study says, else the verdict where a method gives one, else unsaid."""
        given = self.study.answered_by
        return given or ("verdict" if any(method.settings.get("verdict") for method in self.methods) else None)

    def level_of(self, cell: CellView) -> float:
        """The level of a cell's intervals, which may be swept."""
        return float(cell.settings.get("level", self.level))

    def cell_label(self, cell: CellView, *, width: int = 60) -> str:
        """The settings of a cell in a few words."""
        return settings_text(cell.settings, self.axes, width=width)

    def jobs_of(self, cell: str, method: str) -> list[JobView]:
        """The jobs of a method in a cell, in the order of their replicates."""
        return [job for job in self.jobs if job.cell == cell and job.method == method]


def settings_text(settings: Mapping[str, Any], axes: Sequence[Axis], *, width: int = 60) -> str:
    """``n_samples = 100, overlap = 0.1``; ``the only cell`` where nothing is swept."""
    parts = [f"{axis.label} = {value_text(settings[axis.key])}" for axis in axes if axis.key in settings]
    return elided(", ".join(parts), width) if parts else "the only cell"


def value_text(value: Any) -> str:
    """A swept value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−")
    if isinstance(value, dict):
        return table_text(value, value_text)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def find_axes(cells: Sequence[CellView]) -> tuple[Axis, ...]:
    """The settings that are swept, in the order of the sweep."""
    keys = list(dict.fromkeys(key for cell in cells for key in cell.settings))
    short = [key.partition(".")[2] or key for key in keys]
    axes = []
    for key, label in zip(keys, short, strict=True):
        values = list(
            {value_text(cell.settings[key]): cell.settings[key] for cell in cells if key in cell.settings}.values()
        )
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        label = key if short.count(label) > 1 or key.startswith("methods.") else label
        axes.append(Axis(key, label, tuple(sorted(values) if numeric else values), numeric))
    return tuple(axes)


def read_sweep(folder: str | os.PathLike[str]) -> Sweep:
    """The sweep in a study's folder.

    Raises
    ------
    ConfigError
        If the folder is not that of a study, or cannot be read.
    """
    from emjax.experiments.archive.folder import Archive

    archive = Archive(Path(folder))
    declared = archive.declaration()
    entries = archive.entries(job["key"] for job in declared["jobs"])
    return assemble(
        archive.study(),
        declared,
        archive.rows(),
        folder=str(folder),
        finished=set(entries),
        failures=archive.failures(),
        provenance=provenance_rows(
            declared["provenance"],
            archive.record(next(iter(entries))) if entries else None,
            [entry.seconds for entry in entries.values()],
        ),
    )


def assemble(
    study: Any,
    declared: Mapping[str, Any],
    rows: pd.DataFrame,
    *,
    folder: str,
    finished: set[str],
    failures: Mapping[str, Mapping[str, Any]],
    provenance: Sequence[tuple[str, str]] = (),
) -> Sweep:
    """A sweep from its parts; rows of other cells, methods or replicates are left out.

    Parameters
    ----------
    study
        The `Study`.
    declared
        The content of ``study.json``: ``cells`` and ``jobs``.
    rows
        Rows of the archive.
    folder
        The study's folder as the user would write it.
    finished
        Keys of finished jobs.
    failures
        By the job's key: ``error`` and ``attempts``.
    provenance
        Pairs of a label and a text.
    """
    cells = tuple(CellView(cell["index"], cell["key"], cell["settings"]) for cell in declared["cells"])
    methods = tuple(MethodView(method.label, method.kind, method.of_job()) for method in study.methods)
    jobs = {
        job["key"]: JobView(job["key"], job["cell"], job["method"], job["first"], job["stop"])
        for job in declared["jobs"]
    }
    ours = rows["cell"].isin([cell.key for cell in cells]) & rows["method"].isin([method.name for method in methods])
    rows = rows[ours & (rows["replicate"] < study.sweep.replicates)]
    return Sweep(
        study=study,
        title=study.title or study.question or "A simulation study",
        question=study.question if study.title else None,
        level=study.level,
        seed=study.seed,
        n_replicates=study.sweep.replicates,
        folder=folder,
        cells=cells,
        axes=find_axes(cells),
        methods=methods,
        # As categories they are compared and grouped as numbers.
        rows=rows.astype(dict.fromkeys(("cell", "method", "quantity", "parameter", "status"), "category")),
        jobs=tuple(jobs.values()),
        finished=frozenset(finished) & frozenset(jobs),
        failures=tuple(
            Failure(key, jobs[key], str(found.get("error", "")), int(found.get("attempts", 1)))
            for key, found in failures.items()
            if key in jobs and key not in finished
        ),
        has_truth=study.data.kind != "source",
        provenance=tuple(provenance),
    )


def provenance_rows(
    stored: Mapping[str, Any], job: Mapping[str, Any] | None, seconds_of_jobs: Sequence[float]
) -> list[tuple[str, str]]:
    """When, how long, with what and on what, in words.

    Parameters
    ----------
    stored
        The provenance of ``study.json``.
    job
        The record of a finished job: it knows its devices and the hash of its data. None where there is none.
    seconds_of_jobs
        What each finished job took.
    """
    spec, ran = (job["spec"], job["provenance"]) if job is not None else ({}, stored)
    rows = [("Begun", str(stored.get("started", "")))]
    if seconds_of_jobs:
        rows.append(("Time of all jobs together", seconds(sum(seconds_of_jobs))))
    rows.append(("SHA-256 of the data", str(spec.get("data", {}).get("sha256", ""))))
    versions = ran.get("versions") or {}
    rows.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)))
    machine = ran.get("machine") or {}
    if machine:
        system = f"{machine.get('system')} {machine.get('release')}, {machine.get('processor')}"
        rows.append(("Machine", f"Python {machine.get('python')}, {system}, {machine.get('cpus')} cores"))
    devices = ran.get("devices") or []
    names = [str(device.get("kind") or device.get("platform")) for device in devices]
    rows.append(("Devices", ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))))
    return [(label, text) for label, text in rows if text]
