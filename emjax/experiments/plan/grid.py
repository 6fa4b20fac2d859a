"""From the cells of a study to a plan of jobs."""

from __future__ import annotations

import functools
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emjax.catalogue import SAMPLERS
from emjax.datasets.readers import STANDARD_INPUT
from emjax.environment import fingerprint_of
from emjax.errors import ConfigError, DataError, EmjaxError
from emjax.experiments.config.data import PriorData, ProgramData, SourceData
from emjax.experiments.config.fields import one_line
from emjax.experiments.config.mixtures import check_prior, resolved_model
from emjax.experiments.config.overrides import Declared
from emjax.experiments.config.parts import GeneratorData, OwnMethod
from emjax.experiments.config.paths import is_path
from emjax.experiments.config.python_files import resolved_part
from emjax.experiments.config.schema import Study
from emjax.experiments.plan import cells as sweep_cells
from emjax.experiments.plan.cells import cell_study, points, said
from emjax.experiments.plan.jobs import FORMAT, Cell, Job, Plan, job_key, located_nowhere
from emjax.experiments.work.loading import load_data
from emjax.experiments.work.methods.budgets import em_iterations, sklearn_iterations
from emjax.experiments.work.methods.peers import check_family
from emjax.files import user_path
from emjax.jsonable import digest

OF_SAMPLERS, OF_OTHERS = 5, 50
"""Replicates of a job where a study does not say: sampling one takes seconds (a user's own method may), fitting one
milliseconds."""

_ORDER = (*sorted(SAMPLERS, key=lambda name: -SAMPLERS[name].cost), "own", "map", "em", "sklearn")
"""Methods by what they cost: a long job that is begun last keeps everybody waiting."""

_Resolved = tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], dict[str, Any]]
"""Data, model and methods (each with the model that it fits) of a cell, and the rest of the specs of its jobs: level,
and measures of the user's own."""


# -- cells


def _expanded(study: Study, asked: Sequence[Any] = ()) -> list[tuple[Cell, _Resolved]]:
    """The cells of a study, and the sections of each as they stand in the specs of its jobs.

    The last setting varies fastest. A cell is named by a hash of its data, its model, its level and what is swept of
    its methods, so that it keeps its name when other cells and other methods are added. Of a data file and a model file
    it is the content that counts, so they are read.
    """
    tree = study.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    tree["sweep"] = {"replicates": study.sweep.replicates}
    solve = tree.pop("solve", None) and study.solve
    with Declared(tree, "study").refusing():
        expanded = [(point, cell_study(tree, point)) for point in points(study.sweep, tree, solve, asked)]
    sections = _Sections()
    found: dict[str, tuple[Cell, _Resolved]] = {}
    for index, (point, alone) in enumerate(expanded):
        resolved = sections.of(alone)
        data, model, _, rest = resolved
        # Of the methods what is swept, and not more: a method that is added leaves the cells as they are.
        swept = {entry.key: entry.value for entry in point if entry.key.startswith("methods.")}
        key = digest([located_nowhere(data), located_nowhere(model), rest["level"], swept], 12)
        settings = {entry.key: entry.value for entry in point}
        if key in found:
            same = f"{said(found[key][0].settings)} and {said(settings)}"
            raise ConfigError(one_line(f"study: two cells are the same: {same}"))
        subject = digest([study.seed, located_nowhere(data), located_nowhere(model)], 16)
        found[key] = Cell(index=index, key=key, settings=settings, study=alone, subject=subject), resolved
    return list(found.values())


# -- jobs


def make_plan(study: Study, known: Iterable[Mapping[str, Any]] = (), reached: Mapping[Any, int] | None = None) -> Plan:
    """Cut a study into jobs: each method of each cell, on blocks of ``execution.batch`` replicates.

    Blocks begin at multiples of the batch, but for those that an earlier plan of the same study has made: ``known`` are
    its jobs (``cell``, ``method``, ``first``, ``stop``, ``key``), as a folder declares them. They stay where all that
    their rows depend on is the same, and what they leave open is cut anew, so that a study that grows does what is new.
    How a study is cut changes no number.

    A study that decides as it goes (``sweep.until``, ``solve``) is planned as far as it has ``reached``: how many
    replicates by the cell's key, or by the value that is looked for (see `emjax.experiments.summary.stepwise`). At
    first it is planned to its first step.

    Raises ConfigError for a setting that cannot be swept, values that do not fit, two cells that are the same, and more
    than `MOST_JOBS` jobs; DataError for a data file that cannot be read.
    """
    if study.solve is not None:
        reached = reached or {study.solve.first: study.solve.batch}
    cells = _expanded(study, sorted(reached or ()) if study.solve else ())
    _check_number(study, len(cells))
    before: defaultdict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for earlier_job in known:
        before[earlier_job["cell"], earlier_job["method"]].append(earlier_job)
    jobs: list[tuple[tuple[int, int, int, int], Job]] = []
    for cell, (data, _, methods, rest) in cells:
        for position, method in enumerate(methods):
            own = {
                "method": {name: value for name, value in method.items() if name != "model"},
                "model": method["model"],
            }
            parts = {"format": FORMAT, "seed": study.seed, "data": data, **own}
            shared = {**parts, **rest, "cell": cell.key}
            earlier = before[cell.key, method["name"]]
            n_replicates = _replicates(study, cell, reached or {})
            for first, stop in _blocks(shared, _batch(study, method["kind"]), n_replicates, earlier):
                spec = {**shared, "first": first, "stop": stop}
                job = Job(job_key(spec), cell.key, method["name"], first, stop, spec)
                jobs.append(((_ORDER.index(method["kind"]), position, cell.index, first), job))
    in_order = sorted(jobs, key=lambda entry: entry[0])
    return Plan(study=study, cells=tuple(cell for cell, _ in cells), jobs=tuple(job for _, job in in_order))


def _replicates(study: Study, cell: Cell, reached: Mapping[Any, int]) -> int:
    """How many replicates a cell has so far."""
    if study.solve is not None:
        return reached[cell.settings[study.solve.over]]
    if study.sweep.until:
        return reached.get(cell.key, study.sweep.step(study.execution.batch))
    return study.sweep.replicates


def _batch(study: Study, kind: str) -> int:
    """The replicates of a job of a method of this kind."""
    return study.execution.batch or (OF_SAMPLERS if kind in SAMPLERS or kind == "own" else OF_OTHERS)


def _check_number(study: Study, n_cells: int) -> None:
    """Refuse a plan of too many jobs."""
    n_replicates = study.sweep.replicates
    batches = [_batch(study, method.kind) for method in study.methods]
    n_jobs = n_cells * sum(-(-n_replicates // batch) for batch in batches)
    if n_jobs > sweep_cells.MOST_JOBS:
        raise ConfigError(
            f"study: {n_replicates:,} replicates, {min(batches):,} in a job, come to {n_jobs:,} jobs, and "
            f"{sweep_cells.MOST_JOBS:,} are the most: raise execution.batch, or ask for fewer replicates"
        )


def _blocks(
    shared: Mapping[str, Any], batch: int, n_replicates: int, earlier: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, int]]:
    """The blocks of replicates of a method in a cell: those of an ``earlier`` plan, and between them new ones."""
    at = 0
    for job in [*sorted(earlier, key=lambda job: job["first"]), None]:
        first, stop = (n_replicates, n_replicates) if job is None else (job["first"], job["stop"])
        if job is not None and (
            first < at or stop > n_replicates or job_key({**shared, "first": first, "stop": stop}) != job["key"]
        ):
            continue
        while at < first:
            end = min((at // batch + 1) * batch, first)
            yield at, end
            at = end
        if job is not None:
            yield first, stop
            at = stop


class _Sections:
    """The resolved sections of cells; files that several cells share are read once."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str | None, ...], dict[str, str]] = {}

    def of(self, study: Study) -> _Resolved:
        """The sections of a cell, as they stand in the specs of its jobs."""
        methods = [self._method(study, method) for method in study.methods]
        data, n_features = self._data(study)
        model = resolved_model(study.model)
        for method in methods:
            if n_features is not None:
                check_prior(method["model"], n_features)
            _check_method(method, method["model"], data, has_holes=self._has_holes(study.data))
        rest: dict[str, Any] = {"level": study.level}
        if study.levels:
            rest["levels"] = list(study.levels)
        if study.measures:
            # What the page says of them changes no row.
            rest["measures"] = [{**self._part(part), "arguments": part.arguments} for part in study.measures]
        return data, model, methods, rest

    def _method(self, study: Study, method: Any) -> dict[str, Any]:
        tree = {**method.of_job(), "model": resolved_model(study.model_of(method))}
        return {**tree, **self._part(method)} if isinstance(method, OwnMethod) else tree

    def _part(self, part: Any) -> dict[str, str]:
        # A file is read once for all cells, so that all of them mean the same content.
        at = (part.what, part.file, part.entry_point, part.function)
        if at not in self._parts:
            self._parts[at] = resolved_part(part)
        return self._parts[at]

    def _data(self, study: Study) -> tuple[dict[str, Any], int | None]:
        """The data section, and the number of features where it is known before data are made."""
        data = study.data
        tree = data.model_dump(mode="json", exclude_none=True, exclude={"generator"})
        if isinstance(data, GeneratorData):
            return {**tree, **self._part(data)}, None
        if isinstance(data, ProgramData):
            own = resolved_model(study.model)
            return {**tree, "program": own["program"], "sha256": own["sha256"]}, None
        if isinstance(data, PriorData):
            bundled = None if data.scaled_by is None else SourceData(source=data.scaled_by)
            n_features = data.n_features if bundled is None else self._content(bundled)[1]
            return {**tree, "n_features": n_features, "model": resolved_model(study.model)}, n_features
        if not isinstance(data, SourceData):
            return tree, data.n_features
        if data.source == STANDARD_INPUT:
            raise ConfigError(
                "data.source = '-' is standard input, which is read once, and a study reads its data again and again: "
                "save them as a file"
            )
        if is_path(data.source):
            tree["source"] = os.path.abspath(user_path(data.source))
        sha256, n_features, _ = self._content(_all_of(data))
        return {**tree, "sha256": sha256}, n_features

    def _has_holes(self, data: Any) -> bool:
        return isinstance(data, SourceData) and self._content(_all_of(data))[2]

    @functools.cache  # noqa: B019  (lives as long as one plan is made)
    def _content(self, declared: SourceData) -> tuple[str, int, bool]:
        """The hash of the content of a data source, its number of features, and whether it has empty cells."""
        try:
            dataset = load_data(declared)
            return fingerprint_of(dataset), int(dataset.shape[1]), bool(np.isnan(dataset.values).any())
        except EmjaxError as error:
            raise DataError(one_line(str(error))) from None
        except (OSError, ValueError) as error:
            raise DataError(one_line(f"{declared.source}: cannot be read: {error}")) from None


def _all_of(data: SourceData) -> SourceData:
    """The source of data, whatever is held out of it or drawn from it."""
    return data.model_copy(update={"holdout": 0.0, "resample": "none"})


def _check_method(
    method: Mapping[str, Any], model: Mapping[str, Any], data: Mapping[str, Any], *, has_holes: bool
) -> None:
    """Refuse what would fail on every data set."""
    if method["kind"] in ("em", "map"):
        em_iterations(method)
    elif method["kind"] == "sklearn":
        check_family(method["name"], model["family"])
        for role in ("weights", "labels"):
            if data["kind"] == "source" and data.get(role) is not None:
                raise ConfigError(
                    f"methods.{method['name']}: scikit-learn's mixtures read no data.{role}: leave this method out"
                )
        if has_holes:
            raise ConfigError(
                f"methods.{method['name']}: scikit-learn's mixtures read no empty cells, as {data['source']} has: "
                "leave this method out"
            )
        sklearn_iterations(method)
