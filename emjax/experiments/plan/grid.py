"""From a study to its cells, and from cells to a plan of jobs."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from pydantic import ValidationError

from emjax.catalogue import SAMPLERS, has_peer
from emjax.errors import ConfigError, DataError, EmjaxError
from emjax.experiments.config.mixtures import check_prior, resolved_model
from emjax.experiments.config.overrides import locate, put
from emjax.experiments.config.parts import GeneratorData, OwnMethod
from emjax.experiments.config.positions import Location
from emjax.experiments.config.python_files import resolved_part
from emjax.experiments.config.refusals import Refusal, one_line, quoted, refusal
from emjax.experiments.config.schema import Study, Sweep
from emjax.experiments.config.single import SourceData, is_path
from emjax.experiments.plan.jobs import FORMAT, Cell, Job, Plan, job_key, located_nowhere
from emjax.files import user_path
from emjax.jsonable import digest
from emjax.nearest import suggestion
from emjax.wording import printable

MOST_CELLS = 100_000
MOST_JOBS = 200_000
"""A plan is held in memory, and every job gets a folder of its own."""

OF_SAMPLERS, OF_OTHERS = 5, 50
"""Replicates of a job where a study does not say: sampling one takes seconds (a user's own method may), fitting one
milliseconds."""

_ORDER = (*sorted(SAMPLERS, key=lambda name: -SAMPLERS[name].cost), "own", "map", "em", "sklearn")
"""Methods by what they cost: a long job that is begun last keeps everybody waiting."""

Where = Callable[[Location], str]

_Resolved = tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], dict[str, Any]]
"""Data, model and methods (each with the model that it fits) of a cell, and the rest of the specs of its jobs: level,
and measures of the user's own."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One value of a swept setting: ``sweep.<table>."<key>"[index]``."""

    table: str
    key: str
    index: int
    value: Any

    @property
    def location(self) -> Location:
        return ("sweep", self.table, self.key, self.index)

    def __str__(self) -> str:
        return f'sweep.{self.table}."{printable(self.key)}"[{self.index}] = {quoted(self.value)}'


# -- cells


def checked_study(tree: Mapping[str, Any], where: Where) -> Study:
    """The study of a tree of plain values, with every cell of its sweep checked.

    A setting that the sweep gives may be missing elsewhere: the study then has that of the first cell.

    Raises ConfigError, which ``where`` begins with the place of what is wrong.
    """
    try:
        sweep = Sweep.model_validate(tree.get("sweep", {}))
    except ValidationError:
        sweep = Sweep()
    points = _points(sweep, tree, where)
    first = next(points)
    study = _validated(_filled(tree, first, where), first, where)
    # Without the sweep itself, which would be checked once more for every cell.
    alone = {key: value for key, value in tree.items() if key != "sweep"}
    for point in points:
        _validated(_filled(alone, point, where), point, where)
    return study


def expand(study: Study) -> tuple[Cell, ...]:
    """The cells of a study: the values of ``sweep.grid`` crossed, and those of ``sweep.zip`` in step beside them.

    The last setting varies fastest. A cell is named by a hash of its data, its model, its level and what is swept of
    its methods, so that it keeps its name when other cells and other methods are added. Of a data file and a model file
    it is the content that counts, so they are read.

    Raises ConfigError for a setting that cannot be swept, values that do not fit and two cells that are the same, and
    DataError for a data file that cannot be read.
    """
    return tuple(cell for cell, _ in _resolved(study))


def _resolved(study: Study) -> list[tuple[Cell, _Resolved]]:
    """The cells, and the sections of each as they stand in the specs of its jobs."""
    tree = study.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    tree["sweep"] = {"replicates": study.sweep.replicates}
    sections = _Sections()
    found: dict[str, tuple[Cell, _Resolved]] = {}
    for index, point in enumerate(_points(study.sweep, tree, _in_study)):
        alone = _validated(_filled(tree, point, _in_study), point, _in_study)
        resolved = sections.of(alone)
        data, model, _, rest = resolved
        # Of the methods what is swept, and not more: a method that is added leaves the cells as they are.
        swept = {entry.key: entry.value for entry in point if entry.key.startswith("methods.")}
        key = digest([located_nowhere(data), located_nowhere(model), rest["level"], swept], 12)
        settings = {entry.key: entry.value for entry in point}
        if key in found:
            same = f"{_said(found[key][0].settings)} and {_said(settings)}"
            raise ConfigError(one_line(f"study: two cells are the same: {same}"))
        subject = digest([study.seed, located_nowhere(data), located_nowhere(model)], 16)
        found[key] = Cell(index=index, key=key, settings=settings, study=alone, subject=subject), resolved
    return list(found.values())


def _in_study(location: Location) -> str:
    """The place of an error where no file is known."""
    return "study"


def _points(sweep: Sweep, tree: Mapping[str, Any], where: Where) -> Iterator[tuple[Entry, ...]]:
    """The settings of every cell, one cell without settings where nothing is swept."""
    for table in ("grid", "zip"):
        for key in getattr(sweep, table):
            _check_key(key, ("sweep", table, key), tree, where)
    both = [key for key in sweep.grid if key in sweep.zip]
    if both:
        _fail(("sweep", "zip", both[0]), f"{quoted(both[0])} is in sweep.grid and in sweep.zip: leave one out", where)
    lengths = {key: len(values) for key, values in sweep.zip.items()}
    for key, length in lengths.items():
        first = next(iter(lengths))
        if length != lengths[first]:
            problem = (
                f"sweep.zip runs in step: {quoted(first)} has {lengths[first]} values and {quoted(key)} has {length}"
            )
            _fail(("sweep", "zip", key), problem, where)
    n_cells = next(iter(lengths.values()), 1)
    for values in sweep.grid.values():
        n_cells *= len(values)
        # Before the next factor: a product of thousands of them has more digits than Python writes.
        if n_cells > MOST_CELLS:
            _fail(("sweep",), f"the sweep has {n_cells:,} cells or more, and {MOST_CELLS:,} are the most", where)
    n_methods = len(tree["methods"]) if isinstance(tree.get("methods"), list) else 1
    if n_cells * n_methods > MOST_JOBS:
        problem = f"{n_cells:,} cells and {n_methods:,} methods come to more jobs than {MOST_JOBS:,}, the most"
        _fail(("sweep",), problem, where)
    axes: list[list[tuple[Entry, ...]]] = [
        [(Entry("grid", key, *value),) for value in enumerate(values)] for key, values in sweep.grid.items()
    ]
    if sweep.zip:
        steps = zip(*sweep.zip.values(), strict=True)
        axes.append(
            [
                tuple(Entry("zip", key, at, value) for key, value in zip(lengths, step, strict=True))
                for at, step in enumerate(steps)
            ]
        )
    return (tuple(itertools.chain(*point)) for point in itertools.product(*axes))


def _check_key(key: str, location: Location, tree: Mapping[str, Any], where: Where) -> None:
    section, _, rest = key.partition(".")
    if key == "level" or (section in ("data", "model") and rest):
        return
    if section == "methods" and rest:
        try:
            place = locate(tree, key.split("."))
        except LookupError as error:
            _fail(location, str(error.args[0]), where)
        if place[2:] in (("name",), ("kind",)):
            _fail(location, f"{quoted(key)} cannot be swept: list the methods one by one under [[methods]]", where)
        return
    if section in ("execution", "output", "task", "title", "question", "answered_by"):
        _fail(location, f"{quoted(key)} cannot be swept: no number depends on it", where)
    if section in ("seed", "sweep"):
        _fail(location, f"{quoted(key)} cannot be swept: say with sweep.replicates how many data sets to draw", where)
    allowed = ["data", "model", "methods", "level"]
    problem = f"{quoted(key)} cannot be swept; write data.<key>, model.<key>, methods.<name>.<key> or level"
    near = suggestion(section, allowed)
    _fail(location, problem + (f" ({near})" if near.startswith("did") and section not in allowed else ""), where)


def _filled(tree: Mapping[str, Any], point: tuple[Entry, ...], where: Where) -> dict[str, Any]:
    """The tree with the settings of a cell in place."""
    result = dict(tree)
    for entry in point:
        try:
            result = put(result, locate(tree, entry.key.split(".")), entry.value)
        except LookupError as error:
            _fail(entry.location, f"{entry}: {error.args[0]}", where)
    return result


def _validated(tree: Mapping[str, Any], point: tuple[Entry, ...], where: Where) -> Study:
    try:
        return Study.model_validate(tree)
    except ValidationError as error:
        found = refusal(error, Study)
    # What the sweep has put there is the sweep's fault, and so is what does not go together with it.
    at_fault = [entry for entry in point if _touches(locate(tree, entry.key.split(".")), found.location)]
    if at_fault:
        text = f"{', '.join(map(str, at_fault))}: {found.text}"
        raise ConfigError(Refusal(at_fault[0].location, text, found.n_others).message(where(at_fault[0].location)))
    raise ConfigError(found.message(where(found.location)))


def _touches(swept: Location, wrong: Location) -> bool:
    length = min(len(swept), len(wrong))
    return length > 0 and swept[:length] == wrong[:length]


def _said(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{printable(key)} = {quoted(value)}" for key, value in settings.items()) or "no settings"


def _fail(location: Location, problem: str, where: Where) -> NoReturn:
    raise ConfigError(one_line(f"{where(location)}: {problem}"))


# -- jobs


def make_plan(study: Study, known: Iterable[Mapping[str, Any]] = ()) -> Plan:
    """Cut a study into jobs: each method of each cell, on blocks of ``execution.batch`` replicates.

    Blocks begin at multiples of the batch, but for those that an earlier plan of the same study has made: ``known`` are
    its jobs (``cell``, ``method``, ``first``, ``stop``, ``key``), as a folder declares them. They stay where all that
    their rows depend on is the same, and what they leave open is cut anew, so that a study that grows does what is new.
    How a study is cut changes no number.

    Raises ConfigError and DataError as `expand` does, and ConfigError for a plan of more than `MOST_JOBS` jobs.
    """
    cells = _resolved(study)
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
            for first, stop in _blocks(shared, _batch(study, method["kind"]), study.sweep.replicates, earlier):
                spec = {**shared, "first": first, "stop": stop}
                job = Job(job_key(spec), cell.key, method["name"], first, stop, spec)
                jobs.append(((_ORDER.index(method["kind"]), position, cell.index, first), job))
    in_order = sorted(jobs, key=lambda entry: entry[0])
    return Plan(study=study, cells=tuple(cell for cell, _ in cells), jobs=tuple(job for _, job in in_order))


def _batch(study: Study, kind: str) -> int:
    """The replicates of a job of a method of this kind."""
    return study.execution.batch or (OF_SAMPLERS if kind in SAMPLERS or kind == "own" else OF_OTHERS)


def _check_number(study: Study, n_cells: int) -> None:
    """Refuse a plan of too many jobs."""
    n_replicates = study.sweep.replicates
    batches = [_batch(study, method.kind) for method in study.methods]
    n_jobs = n_cells * sum(-(-n_replicates // batch) for batch in batches)
    if n_jobs > MOST_JOBS:
        raise ConfigError(
            f"study: {n_replicates:,} replicates, {min(batches):,} in a job, come to {n_jobs:,} jobs, and "
            f"{MOST_JOBS:,} are the most: raise execution.batch, or ask for fewer replicates"
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
            _check_method(method, method["model"], data)
        rest: dict[str, Any] = {"level": study.level}
        if study.measures:
            # What the page says of them changes no row.
            rest["measures"] = [{**self._part(part), "arguments": part.arguments} for part in study.measures]
        return data, model, methods, rest

    def _method(self, study: Study, method: Any) -> dict[str, Any]:
        tree = {**method.model_dump(mode="json", exclude_none=True), "name": method.label}
        tree["model"] = resolved_model(study.model_of(method))
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
        if not isinstance(data, SourceData):
            return tree, data.n_features
        if is_path(data.source):
            tree["source"] = os.path.abspath(user_path(data.source))
        # Without what a study adds, so that a file is read once for all of its splits.
        read = {name: getattr(data, name) for name in SourceData.model_fields}
        sha256, n_features = self._content(SourceData.model_validate(read))
        return {**tree, "sha256": sha256}, n_features

    @functools.cache  # noqa: B019  (lives as long as one plan is made)
    def _content(self, declared: SourceData) -> tuple[str, int]:
        """The hash of the content of a data source, and its number of features."""
        from emjax.environment import fingerprint_of
        from emjax.experiments.work.loading import load_data

        try:
            dataset = load_data(declared)
            return fingerprint_of(dataset), int(dataset.shape[1])
        except EmjaxError as error:
            raise DataError(one_line(str(error))) from None
        except (OSError, ValueError) as error:
            raise DataError(one_line(f"{declared.source}: cannot be read: {error}")) from None


def _check_method(method: Mapping[str, Any], model: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Refuse what would fail on every data set."""
    from emjax.experiments.work.methods.budgets import em_iterations, sklearn_iterations

    if method["kind"] in ("em", "map"):
        em_iterations(method)
    elif method["kind"] == "sklearn":
        if not has_peer(model["family"]):
            raise ConfigError(
                f"methods.{method['name']}: scikit-learn has normal components only, and the model's family is "
                f"{model['family']!r}; leave this method out"
            )
        for role in ("weights", "labels"):
            if data["kind"] == "source" and data.get(role) is not None:
                raise ConfigError(
                    f"methods.{method['name']}: scikit-learn's mixtures read no data.{role}: leave this method out"
                )
        sklearn_iterations(method)
