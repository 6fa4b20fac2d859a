"""What a run or a study came to: its folder, opened for reading."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.errors import ConfigError
from emjax.experiments.archive.declaration import JSON
from emjax.experiments.archive.differences import comparable_rows, flattened, job_versions
from emjax.experiments.archive.door import looking
from emjax.experiments.archive.folder import Archive
from emjax.experiments.archive.single import SingleRun, is_single_run, open_single_run
from emjax.experiments.config.schema import comparable
from emjax.experiments.summary.view import StudyView
from emjax.files import user_path
from emjax.jsonable import canonical
from emjax.nearest import suggestion
from emjax.shown import Card, Pictured
from emjax.wording import count, printable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from emjax.experiments.summary.solving import Solution
    from emjax.report.drawing.picture import Picture


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a study is, in jobs: ``n_jobs = n_done + n_failed + n_missing``."""

    n_jobs: int
    n_done: int
    n_failed: int

    @property
    def n_missing(self) -> int:
        """Jobs that were never tried to the end."""
        return self.n_jobs - self.n_done - self.n_failed

    @property
    def complete(self) -> bool:
        """Whether every job is done."""
        return self.n_done == self.n_jobs

    def __str__(self) -> str:
        parts = [f"{self.n_done:,} of {count(self.n_jobs, 'job')} done"]
        parts += [f"{self.n_failed} failed"] if self.n_failed else []
        parts += [f"{self.n_missing} missing"] if self.n_missing else []
        return ", ".join(parts)


class StudyResult(StudyView, Pictured):
    """The results of a study. Made by `open_study` and `run_study`.

    What is on disk is read when it is first asked for, and not again.
    """

    @functools.cached_property
    def newer(self) -> str | None:
        """A sentence where a newer emjax wrote the folder, or a job of it, which counts as missing; else None."""
        unfinished = [job["key"] for job in self.declaration["jobs"] if job["key"] not in self.finished]
        return self.archive.newer(unfinished)

    @property
    def progress(self) -> Progress:
        """How many jobs are done, failed and missing."""
        return Progress(len(self.jobs), len(self.finished), len(self.failures))

    @functools.cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell: ``cell`` (its key), the swept keys, ``n_jobs``, ``n_done``, ``n_failed``."""
        import pandas as pd

        from emjax.experiments.archive.rows import setting_columns

        keys = [cell["key"] for cell in self.declaration["cells"]]
        settings = {key: column.to_pandas() for key, column in setting_columns(self.declaration).items()}
        jobs = pd.DataFrame(self.declaration["jobs"], columns=["cell", "key"])
        done, failed = jobs["key"].isin(self.finished), jobs["key"].isin(self.failures)
        counts = jobs.assign(n_jobs=1, n_done=done, n_failed=failed).drop(columns="key").groupby("cell").sum()
        frame = pd.DataFrame({"cell": keys, **settings})
        return frame.join(counts.reindex(keys, fill_value=0).astype(int), on="cell")

    def listed(self) -> dict[str, Any]:
        """What a list of runs says of it: what it is about, and how far it is in jobs."""

        def swept(key: str, name: str) -> Any:
            """What the study declares, or the swept values joined by commas."""
            default = self.declaration.get(name)
            found = dict.fromkeys(str(cell["settings"].get(key, default)) for cell in self.declaration["cells"])
            return default if len(found) < 2 else ", ".join(map(os.path.basename, found))

        return {
            "kind": "study",
            "started": self.declaration["provenance"]["started"],
            "data": swept("data.source", "data"),
            "n_components": swept("model.n_components", "n_components"),
            "status": str(self.progress),
            "title": self.title,
            "n_cells": len(self.declaration["cells"]),
            **dataclasses.asdict(self.progress),
        }

    def settings_by_key(self) -> dict[str, Any]:
        """The settings by dotted key, methods by their label; without those that no number depends on.

        Of what is swept the sweep says the values; what stands elsewhere is that of the first cell.
        """
        tree = comparable(self.study)
        methods = {method.label: entry for method, entry in zip(self.study.methods, tree["methods"], strict=True)}
        swept = tuple(f"{key}." for key in self.swept)
        settings = flattened({**tree, "methods": methods})
        return {key: value for key, value in settings.items() if not f"{key}.".startswith(swept)}

    def versions(self) -> dict[str, Any]:
        """The versions that some fifty of the jobs were done with, joined by commas where they differ."""
        keys = sorted(self.finished)
        found = (self.archive.record(key) for key in keys[:: max(1, math.ceil(len(keys) / 50))])
        return job_versions(record for record in found if record is not None)

    def numbers(self) -> pd.DataFrame:
        """The rows less costs, with the status as ``word``; a cell is what was swept, whatever else it depends on."""
        settings = {cell["key"]: canonical(cell["settings"]) for cell in self.declaration["cells"]}
        return comparable_rows(self.rows.assign(cell=self.rows["cell"].map(settings)))

    def summary(self, *measures: str, trusted: bool = True) -> pd.DataFrame:
        """Every measure over the replicates with its Monte-Carlo error, by cell, method and group of parameters.

        Parameters
        ----------
        measures
            The measures to keep, such as ``"bias"`` or ``"coverage"`` (`emjax.experiments.summary.measures.MEASURES`);
            default: all that the rows hold.
        trusted
            Whether outcomes that their method does not trust are left out; what they cost counts in any case.

        Returns
        -------
        DataFrame
            ``cell``, the swept keys, and the columns of `emjax.experiments.summary.estimates.summarize`.

        Raises
        ------
        ConfigError
            For a measure that there is not; one that this study cannot take has no rows.
        """
        from emjax.experiments.summary.tables import summary_frame

        if unknown := [name for name in measures if name not in self.measures]:
            raise ConfigError(f"there is no measure {unknown[0]!r}; {suggestion(unknown[0], self.measures)}")
        found = summary_frame(self, self.means if trusted else self.means_of_all)
        return found[found["measure"].isin(measures)].reset_index(drop=True) if measures else found

    def solution(self) -> Solution | None:
        """The value that the study looks for (``solve``), with its interval; None for another study."""
        from emjax.experiments.summary.solving import solution_of

        return solution_of(self)

    def verdicts(self) -> pd.DataFrame:
        """Per cell how often each verdict was given and whether it was right (`summary.verdicts.verdict_frame`)."""
        from emjax.experiments.summary.verdicts import cell_verdicts, verdict_frame

        return verdict_frame(cell_verdicts(self))

    def report(self, **options: Any) -> Path:
        """Write the study's page and return its path (`emjax.experiments.pages.write_study_report`)."""
        from emjax.experiments.pages import write_study_report

        return write_study_report(self.folder, **options)

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "", str(self.folder)
        yield "n_cells", len(self.declaration["cells"])
        yield "methods", self.methods
        yield "progress", str(self.progress)

    def _card(self) -> Card:
        from emjax.experiments.summary.tables import main_table

        return Card(
            f"{self.title}: {self.progress}",
            alerts=() if self.finished else ("No job is done yet.",),
            lines=(self.question,) if self.question else (),
            table=main_table(self).fitting(80, len(self.swept) + 3) if self.finished else None,
            rest="see .summary()",
        )

    def _figures(self) -> Mapping[str, Callable[..., Figure]]:
        from emjax.experiments.pages.build import study_pictures

        def of(picture: Picture) -> Callable[..., Figure]:
            return lambda _, width=7.0: picture.draw(width)

        found = {picture.name: of(picture) for picture in study_pictures(self)}
        # One panel, and what most studies are about: it fits a notebook.
        return {name: found[name] for name in sorted(found, key=lambda name: name != "coverage")}


def open_study(path: str | Path) -> StudyResult:
    """Open the folder of a study, finished or not. Nothing is run, the file of a model neither.

    Raises ConfigError where the folder is no study's, or damaged.
    """
    return StudyResult(Archive(path))


def open_run(path: str | Path, *, program: Any = None) -> SingleRun | StudyResult:
    """Open the folder of a run and get back what it held; nothing is computed anew, or run but for ``program``.

    Parameters
    ----------
    path
        The folder that ``emjax compare``, ``fit``, ``sample`` or ``run`` has written.
    program
        What ``fit``, ``posterior`` and ``comparison`` of a run of a NumPyro program are made with, once they are asked
        for: ``True``, the Python file that the run names, or the path of another file of the same content, is run; an
        `emjax.program` is taken as it is. What is not the program of the run is refused.

    Returns
    -------
    SingleRun or StudyResult
        Of a single run ``fit``, ``posterior`` and ``comparison`` to the last bit (None where its task has none),
        ``data``, ``config`` and ``document``; of a study what `emjax.experiments.open_study` returns.

    Raises
    ------
    ConfigError
        The folder is neither, or damaged; or ``program`` is given for what is no run of one.
    """
    folder = user_path(path)
    with looking(folder):
        if not folder.is_dir():
            raise ConfigError(f"{printable(folder)}: no such folder; see what there is with: emjax ls")
        opened: SingleRun | StudyResult | None = None
        if os.path.lexists(folder / JSON):
            opened = open_study(folder)
        elif is_single_run(folder):
            opened = open_single_run(folder, program)
        if program is not None and not (isinstance(opened, SingleRun) and "program" in opened.model):
            raise ConfigError(f"{printable(folder)}: is no single run of a NumPyro program: leave out program=")
        if opened is not None:
            return opened
    raise ConfigError(f"{printable(folder)}: neither a study nor a single run; see what there is with: emjax ls")
