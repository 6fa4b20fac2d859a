"""A study's folder, opened for reading: what was declared, how far it is, its rows, and their summary."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.experiments.summary.estimates import ENOUGH, kinds_in, outcomes, summarize, trusted_rows
from emjax.experiments.summary.measures import MEASURE, Measure, measures_of
from emjax.experiments.summary.words import value_text
from emjax.experiments.work.outcome import is_measured
from emjax.shown import Shown
from emjax.wording import elided, seconds

if TYPE_CHECKING:
    import pandas as pd

    from emjax.experiments.archive.folder import Archive
    from emjax.experiments.config.schema import Study


DECADES = 1.0
"""An axis is logarithmic where its values span at least so many powers of ten."""


@dataclasses.dataclass(frozen=True, repr=False)
class Axis(Shown):
    """A setting that varies over the cells."""

    key: str  # dotted
    label: str  # the key without its section, where that is unambiguous
    values: tuple[Any, ...]  # distinct ones: numbers in ascending order, anything else in the order of the sweep
    numeric: bool  # whether all values are numbers
    drawn: bool = False  # together with those of other settings: no two cells differ in it alone

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


class StudyView(Shown):
    """A study as its pages and its terminal see it; what is on disk is read when it is first asked for, and not again.

    Made from the `Archive` of its folder; raises ConfigError where that is not the folder of a study, or its
    ``study.json`` is damaged.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.folder = Path(archive.path)
        self.declaration: Mapping[str, Any] = archive.declaration()
        """The content of ``study.json``: title, question, cells, methods, jobs, provenance."""

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "", str(self.folder)

    # -- what was declared

    @functools.cached_property
    def study(self) -> Study:
        """The study as declared, read from ``study.toml``."""
        return self.archive.study()

    @property
    def title(self) -> str:
        """The title, or the folder's name."""
        return self.declaration.get("title") or self.folder.resolve().name

    @property
    def question(self) -> str | None:
        """What the study asks."""
        return self.declaration.get("question")

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods' labels, as declared."""
        return tuple(self.declaration["methods"])

    @property
    def swept(self) -> tuple[str, ...]:
        """The swept keys; each is a column of `rows` and `cells`."""
        return tuple(self.declaration["sweep"])

    @property
    def n_replicates(self) -> int:
        """Data sets of each cell."""
        return int(self.study.sweep.replicates)

    @property
    def has_truth(self) -> bool:
        """Whether it is known what the data come from."""
        return bool(self.study.data.kind != "source")

    @functools.cached_property
    def places(self) -> tuple[CellView, ...]:
        """The cells, in the order of the sweep."""
        return tuple(CellView(cell["index"], cell["key"], cell["settings"]) for cell in self.declaration["cells"])

    @functools.cached_property
    def cell(self) -> Mapping[str, CellView]:
        """The cells by key."""
        return {cell.key: cell for cell in self.places}

    @functools.cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The settings that are swept, in the order of the sweep."""
        ranges = set(self.study.sweep.ranges)
        return find_axes(self.places, ranges if len(ranges) > 1 else set())

    @functools.cached_property
    def jobs(self) -> Mapping[str, Mapping[str, Any]]:
        """The jobs of the plan by key: ``cell``, ``method``, ``first``, ``stop``, ``key``."""
        return {job["key"]: job for job in self.declaration["jobs"]}

    @property
    def answered_by(self) -> str | None:
        """What the answer is about: what the study says, else the verdict where a method gives one, else unsaid."""
        given = self.study.answered_by
        return given or ("verdict" if any(getattr(method, "verdict", False) for method in self.study.methods) else None)

    def level_of(self, cell: CellView) -> float:
        """The level of a cell's intervals, which may be swept."""
        return float(cell.settings.get("level", self.study.level))

    def cell_label(self, cell: CellView, *, width: int = 60) -> str:
        """The settings of a cell in a few words; ``the only cell`` where nothing is swept."""
        parts = [
            f"{axis.label} = {value_text(cell.settings[axis.key])}" for axis in self.axes if axis.key in cell.settings
        ]
        return elided(", ".join(parts), width) if parts else "the only cell"

    # -- how far it is

    @functools.cached_property
    def finished(self) -> Mapping[str, Any]:
        """The study's finished jobs by key, with the ``seconds`` that each took."""
        return self.archive.entries(self.jobs)

    @functools.cached_property
    def failures(self) -> dict[str, dict[str, Any]]:
        """The study's failed jobs by key: ``spec``, ``error``, ``traceback``, ``attempts``, ``when``."""
        found = self.archive.failures()
        return {key: found[key] for key in found if key in self.jobs and key not in self.finished}

    @functools.cached_property
    def warnings(self) -> pd.DataFrame:
        """How often each warning was given: ``method``, ``warning``, ``times``, the most frequent first."""
        import pandas as pd

        heard: Counter[tuple[str, str]] = Counter()
        for _, entry in sorted(self.finished.items()):
            heard.update({(entry.method, warning): times for warning, times in entry.warnings.items()})
        rows = [(*which, times) for which, times in heard.most_common()]
        return pd.DataFrame(rows, columns=["method", "warning", "times"])

    @property
    def provenance(self) -> list[tuple[str, str]]:
        """When, how long, with what and on what, in words; devices and hash as a finished job says."""
        stored = self.declaration["provenance"]
        job = self.archive.record(next(iter(self.finished))) if self.finished else None
        spec, ran = (job["spec"], job["provenance"]) if job is not None else ({}, stored)
        machine, versions = ran.get("machine") or {}, ran.get("versions") or {}
        system = f"{machine.get('system')} {machine.get('release')}, {machine.get('processor')}"
        names = [str(device.get("kind") or device.get("platform")) for device in ran.get("devices") or []]
        took = [entry.seconds for entry in self.finished.values()]
        rows = [
            ("Begun", str(stored.get("started", ""))),
            ("Time of all jobs together", seconds(sum(took)) if took else ""),
            self._hash_of(spec.get("data", {})),
            ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)),
            ("Machine", f"Python {machine.get('python')}, {system}, {machine.get('cpus')} cores" if machine else ""),
            ("Devices", ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))),
        ]
        return [(label, text) for label, text in rows if text]

    def _hash_of(self, data: Mapping[str, Any]) -> tuple[str, str]:
        """The hash of a job's data, or of the file whose function makes them; nothing where there are several."""
        several = {"data.source", "data.generator"} & {axis.key for axis in self.axes}
        what = "data" if data.get("kind") == "source" else "file that makes the data"
        return f"SHA-256 of the {what}", "" if several else str(data.get("sha256", ""))

    # -- its rows

    @functools.cached_property
    def rows(self) -> pd.DataFrame:
        """All rows, tidy: ``cell``, the swept keys, ``replicate``, ``method``, ``quantity``, ``parameter``, ``value``,
        ``status``."""
        return self.archive.rows()

    @functools.cached_property
    def planned_rows(self) -> pd.DataFrame:
        """The rows of the cells, methods and replicates of the plan; texts are categories."""
        ours = self.rows["cell"].isin(list(self.cell)) & self.rows["method"].isin(self.methods)
        rows = self.rows[ours & (self.rows["replicate"] < self.n_replicates)]
        # As categories they are compared and grouped as numbers.
        return rows.astype(dict.fromkeys(("cell", "method", "quantity", "parameter", "status"), "category"))

    @functools.cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row per outcome, see `estimates.outcomes`."""
        return outcomes(self.planned_rows)

    @functools.cached_property
    def good(self) -> pd.DataFrame:
        """The rows of trusted outcomes."""
        return trusted_rows(self.planned_rows, self.outcomes)

    @functools.cached_property
    def means(self) -> pd.DataFrame:
        """Every measure over the replicates, see `estimates.summarize`."""
        return summarize(self.planned_rows, self.good, self.own_measures)

    @functools.cached_property
    def means_of_all(self) -> pd.DataFrame:
        """The same over all outcomes, trusted or not."""
        return summarize(self.planned_rows, self.planned_rows, self.own_measures)

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
            if not is_measured(name)
        ]
        table = measures_of(self.planned_rows, told)
        return tuple(measure for name, measure in table.items() if name not in MEASURE or name in words)

    @functools.cached_property
    def measures(self) -> Mapping[str, Measure]:
        """The table of measures by name: emjax's, the study's own, and whatever else the rows hold."""
        return measures_of(self.planned_rows, self.own_measures)


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
