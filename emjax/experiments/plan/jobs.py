"""From a study to its cells, and from cells to jobs.

**Seeds.** The data of a replicate follow from (seed, the cell's data section, replicate), the randomness of a method
from (seed, data, model, method, replicate). A cell that is added changes no other; cells that differ in their model or
methods alone see the same data.

**Jobs.** A job is one method on a batch of the replicates of one cell. Its key is a hash of all that its rows depend
on, so that a job that is done is known by its folder, whoever ran it and from whatever config.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from emjax.experiments.config.schema import Study
from emjax.jsonable import digest
from emjax.shown import Shown

FORMAT = 1
"""The version of what a job's rows hold; part of its key, so that old rows are never taken for new ones."""


@dataclasses.dataclass(frozen=True, repr=False)
class Cell(Shown):
    """One point of the sweep."""

    index: int  # its place in the sweep
    key: str  # 12 hexadecimal digits that follow from its settings: its name in rows
    settings: Mapping[str, Any]  # the swept values by dotted key, in the order of the sweep
    study: Study  # of this cell alone: its settings in place, nothing left to sweep
    subject: str  # the hash of its seed, data and model, by which a study is known


@dataclasses.dataclass(frozen=True, repr=False)
class Job(Shown):
    """One method on replicates ``first`` to ``stop - 1`` of a cell.

    ``spec`` is all that its rows depend on, as plain JSON values: ``format``, ``seed``, ``data`` (with ``sha256`` of a
    file's content), ``model``, ``method`` (its name included, because rows carry it), ``measures`` (those of the user's
    own, where there are any), ``level``, ``levels`` (lower ones, where there are any), ``cell``, ``first``, ``stop``.
    ``key`` is its `job_key`, and the name of the job's folder.
    """

    key: str
    cell: str
    method: str
    first: int
    stop: int
    spec: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, repr=False)
class Plan(Shown):
    """A study cut into cells and jobs; jobs are in the order in which they are best begun."""

    study: Study
    cells: tuple[Cell, ...]
    jobs: tuple[Job, ...]

    @property
    def n_results(self) -> int:
        """Pairs of a method and a data set."""
        return sum(job.stop - job.first for job in self.jobs)


def located_nowhere(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section of a spec without the path of its file, for which the hash of its content stands.

    So the same study on another machine, or from another folder, has the same seeds and the same jobs. A bundled name
    is no path, and stays.
    """
    if "model" in section:  # what a truth is drawn from
        section = {**section, "model": located_nowhere(section["model"])}
    if "sha256" not in section:
        return dict(section)
    return {key: value for key, value in section.items() if key not in _PLACES or not os.path.isabs(value)}


_PLACES = ("source", "file", "program")


def job_key(spec: Mapping[str, Any]) -> str:
    """The key of a job: the hash of all that its rows depend on, so not of where files lie."""
    nowhere: dict[str, Any] = {name: located_nowhere(spec[name]) for name in ("data", "model", "method")}
    if "measures" in spec:
        nowhere["measures"] = [located_nowhere(measure) for measure in spec["measures"]]
    return digest({**spec, **nowhere}, 16)


def derived_seed(*parts: Any) -> int:
    """A seed of 32 bits that follows from its parts alone."""
    return int(digest(list(parts), 8), 16)


def data_seed(spec: Mapping[str, Any], replicate: int) -> int:
    """The seed of the data of a replicate of a job."""
    return derived_seed("data", spec["seed"], located_nowhere(spec["data"]), replicate)


def method_seed(spec: Mapping[str, Any], replicate: int) -> int:
    """The seed of a method on a replicate of a job; its name, its budget and what is kept of it do not matter."""
    aside = ("name", "budget", "verdict", "keep_draws")
    settings = {key: value for key, value in located_nowhere(spec["method"]).items() if key not in aside}
    sections = (located_nowhere(spec["data"]), located_nowhere(spec["model"]))
    return derived_seed("method", spec["seed"], *sections, settings, replicate)
