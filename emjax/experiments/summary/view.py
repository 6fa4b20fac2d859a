"""A study as its pages and its terminal see it: cells, methods, rows, jobs and failures, in one shape."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from emjax.experiments.summary.estimates import ENOUGH, kinds_in, outcomes, summarize, trusted_rows
from emjax.experiments.summary.measures import MEASURE, Measure, measures_of
from emjax.experiments.summary.words import value_text
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
    drawn
        Whether its values were drawn together with those of other settings: no two cells differ in it alone.
    """

    key: str
    label: str
    values: tuple[Any, ...]
    numeric: bool
    drawn: bool = False

    @property
    def logarithmic(self) -> bool:
        """Whether the values span decades."""
        return self.numeric and self.values[0] > 0 and math.log10(self.values[-1] / self.values[0]) >= DECADES


@dataclasses.dataclass(frozen=True, repr=False)
class CellView(Shown):
    """A cell: its place, its key and the settings that are its own."""

    index: int
    key: str
    settings: Mapping[str, Any]


class JobView(NamedTuple):
    """A job of the plan: a method on some replicates of a cell."""

    key: str
    cell: str
    method: str
    first: int
    stop: int


class StudyView(Shown):
    """A study to be shown; everything is read and worked out when it is first asked for.

    Parameters
    ----------
    archive
        Its folder, an `emjax.experiments.archive.folder.Archive`.
    rows
        What the archive's ``rows()`` gives, where they have been read already.
    """

    def __init__(self, archive: Any, rows: pd.DataFrame | None = None) -> None:
        self.archive = archive
        self.folder = str(archive.path)
        self.declared: Mapping[str, Any] = archive.declaration()
        self._rows = rows

    def _shown(self) -> Iterable[tuple[str, Any]]:
        yield "", self.folder

    @functools.cached_property
    def study(self) -> Any:
        """The `Study`."""
        return self.archive.study()

    @property
    def title(self) -> str:
        """The title, or the question."""
        return self.study.title or self.study.question or "A simulation study"

    @property
    def question(self) -> str | None:
        """What the study asks, where that is not its title."""
        return self.study.question if self.study.title else None

    @property
    def n_replicates(self) -> int:
        """Data sets of each cell."""
        return int(self.study.sweep.replicates)

    @property
    def has_truth(self) -> bool:
        """Whether it is known what the data come from."""
        return bool(self.study.data.kind != "source")

    @property
    def methods(self) -> tuple[Any, ...]:
        """The study's methods, each with a ``label`` and a ``kind``."""
        return tuple(self.study.methods)

    @property
    def names(self) -> list[str]:
        """The methods' labels."""
        return [method.label for method in self.methods]

    @functools.cached_property
    def own_measures(self) -> tuple[Measure, ...]:
        """The rows of the table of measures that the study brings itself."""
        if not self.study.measures:
            return ()
        words = {name: said for measure in self.study.measures for name, said in measure.words.items()}
        directions = {"less": -1, "more": 1, "neither": 0}
        told = [
            Measure(name, name, said.title or name.replace("_", " "), said.meaning, directions[said.better])
            for name, said in words.items()
        ]
        table = measures_of(self.rows, told)
        return tuple(measure for name, measure in table.items() if name not in MEASURE or name in words)

    @functools.cached_property
    def measures(self) -> Mapping[str, Measure]:
        """The table of measures by name: emjax's, the study's own, and whatever else the rows hold."""
        return measures_of(self.rows, self.own_measures)

    @functools.cached_property
    def cells(self) -> tuple[CellView, ...]:
        """The cells, in the order of the sweep."""
        return tuple(CellView(cell["index"], cell["key"], cell["settings"]) for cell in self.declared["cells"])

    @functools.cached_property
    def cell(self) -> Mapping[str, CellView]:
        """The cells by key."""
        return {cell.key: cell for cell in self.cells}

    @functools.cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The settings that are swept, in the order of the sweep."""
        ranges = set(self.study.sweep.ranges)
        return find_axes(self.cells, ranges if len(ranges) > 1 else set())

    @functools.cached_property
    def jobs(self) -> Mapping[str, JobView]:
        """The jobs of the plan by key."""
        return {job["key"]: JobView(*(job[name] for name in JobView._fields)) for job in self.declared["jobs"]}

    @functools.cached_property
    def finished(self) -> Mapping[str, Any]:
        """The plan's jobs whose rows are there, by key, with the ``seconds`` that each took."""
        return dict(self.archive.entries(self.jobs))

    @functools.cached_property
    def failures(self) -> tuple[tuple[JobView, str, int], ...]:
        """The plan's jobs that failed and were not done since, each with its error and its attempts."""
        return tuple(
            (self.jobs[key], str(found.get("error", "")), int(found.get("attempts", 1)))
            for key, found in self.archive.failures().items()
            if key in self.jobs and key not in self.finished
        )

    @functools.cached_property
    def rows(self) -> pd.DataFrame:
        """The rows of the cells, methods and replicates of the plan; texts are categories."""
        rows = self.archive.rows() if self._rows is None else self._rows
        ours = rows["cell"].isin(list(self.cell)) & rows["method"].isin(self.names)
        rows = rows[ours & (rows["replicate"] < self.n_replicates)]
        # As categories they are compared and grouped as numbers.
        return rows.astype(dict.fromkeys(("cell", "method", "quantity", "parameter", "status"), "category"))

    @property
    def provenance(self) -> list[tuple[str, str]]:
        """When, how long, with what and on what, in words; devices and the hash of the data as a finished job says."""
        stored = self.declared["provenance"]
        job = self.archive.record(next(iter(self.finished))) if self.finished else None
        spec, ran = (job["spec"], job["provenance"]) if job is not None else ({}, stored)
        machine, versions = ran.get("machine") or {}, ran.get("versions") or {}
        system = f"{machine.get('system')} {machine.get('release')}, {machine.get('processor')}"
        names = [str(device.get("kind") or device.get("platform")) for device in ran.get("devices") or []]
        took = [entry.seconds for entry in self.finished.values()]
        rows = [
            ("Begun", str(stored.get("started", ""))),
            ("Time of all jobs together", seconds(sum(took)) if took else ""),
            ("SHA-256 of the data", str(spec.get("data", {}).get("sha256", ""))),
            ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)),
            ("Machine", f"Python {machine.get('python')}, {system}, {machine.get('cpus')} cores" if machine else ""),
            ("Devices", ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))),
        ]
        return [(label, text) for label, text in rows if text]

    @functools.cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row per outcome, see `estimates.outcomes`."""
        return outcomes(self.rows)

    @functools.cached_property
    def good(self) -> pd.DataFrame:
        """The rows of trusted outcomes."""
        return trusted_rows(self.rows, self.outcomes)

    @functools.cached_property
    def summary(self) -> pd.DataFrame:
        """Every measure over the replicates, see `estimates.summarize`."""
        return summarize(self.rows, self.good, self.own_measures)

    @functools.cached_property
    def summary_of_all(self) -> pd.DataFrame:
        """The same over all outcomes, trusted or not."""
        return summarize(self.rows, self.rows, self.own_measures)

    @functools.cached_property
    def kinds(self) -> list[str]:
        """The kinds of parameters, see `estimates.kinds_in`."""
        return kinds_in(self.good)

    @functools.cached_property
    def counts(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """By cell and method, how many outcomes can be trusted, and how many there are."""
        found = self.outcomes.groupby(["cell", "method"], observed=True)["trusted"].agg(["sum", "size"])
        return {(str(line[0][0]), str(line[0][1])): (int(line[1]), int(line[2])) for line in found.itertuples()}

    def below(self, share: float) -> frozenset[tuple[str, str]]:
        """Cells and methods of which a smaller share of the outcomes can be trusted."""
        return frozenset(pair for pair, (n_trusted, n) in self.counts.items() if n_trusted < share * n)

    @functools.cached_property
    def doubtful(self) -> frozenset[tuple[str, str]]:
        """Cells and methods of which fewer than `estimates.ENOUGH` of the outcomes can be trusted."""
        return self.below(ENOUGH)

    @property
    def answered_by(self) -> str | None:
        """What the answer is about: what the study says, else the verdict where a method gives one, else unsaid."""
        given = self.study.answered_by
        return given or ("verdict" if any(getattr(method, "verdict", False) for method in self.methods) else None)

    def level_of(self, cell: CellView) -> float:
        """The level of a cell's intervals, which may be swept."""
        return float(cell.settings.get("level", self.study.level))

    def cell_label(self, cell: CellView, *, width: int = 60) -> str:
        """The settings of a cell in a few words; ``the only cell`` where nothing is swept."""
        parts = [
            f"{axis.label} = {value_text(cell.settings[axis.key])}" for axis in self.axes if axis.key in cell.settings
        ]
        return elided(", ".join(parts), width) if parts else "the only cell"

    def jobs_of(self, cell: str, method: str) -> list[JobView]:
        """The jobs of a method in a cell, in the order of their replicates."""
        return [job for job in self.jobs.values() if job.cell == cell and job.method == method]


def find_axes(cells: Iterable[CellView], drawn: set[str]) -> tuple[Axis, ...]:
    """The settings that are swept, in the order of the sweep; those ``drawn`` were drawn together."""
    found: dict[str, dict[str, Any]] = {}
    for cell in cells:
        for key, value in cell.settings.items():
            found.setdefault(key, {})[value_text(value)] = value
    short = [key.partition(".")[2] or key for key in found]
    axes = []
    for (key, values), label in zip(found.items(), short, strict=True):
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values())
        label = key if short.count(label) > 1 or key.startswith("methods.") else label
        found_values = tuple(sorted(values.values()) if numeric else values.values())
        axes.append(Axis(key, label, found_values, numeric, key in drawn))
    return tuple(axes)
