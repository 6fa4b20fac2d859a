"""From the sweep of a config to its cells: the settings of each, and the study that it is alone."""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from emjax.catalogue import FROM_PRIOR
from emjax.errors import EmjaxError
from emjax.experiments.config.fields import Misplaced
from emjax.experiments.config.methods import EmMethod
from emjax.experiments.config.mixtures import mixture_of, resolved_model
from emjax.experiments.config.model import MODEL, FileModel, model_kind
from emjax.experiments.config.overrides import Declared, locate, put
from emjax.experiments.config.positions import Location
from emjax.experiments.config.programs import ProgramModel
from emjax.experiments.config.refusals import quoted, refusal
from emjax.experiments.config.schema import Study
from emjax.experiments.config.sweeps import BUNDLED, TABLES, Solve, Sweep, between
from emjax.experiments.plan.jobs import derived_seed
from emjax.nearest import suggestion
from emjax.wording import printable

MOST_CELLS = 100_000
MOST_JOBS = 200_000
"""A plan is held in memory, and every job gets a folder of its own."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One value of a swept setting, ``sweep.<table>."<key>"[index]``, or of the one that is looked for."""

    table: str
    key: str
    index: int
    value: Any

    @property
    def location(self) -> Location:
        return ("solve", "over") if self.table == "solve" else ("sweep", self.table, self.key, self.index)

    def __str__(self) -> str:
        if self.table == "solve":
            return f"solve.over: {printable(self.key)} = {quoted(self.value)}"
        return f'sweep.{self.table}."{printable(self.key)}"[{self.index}] = {quoted(self.value)}'


def checked_study(declared: Declared, display: Mapping[str, str] | None = None) -> Study:
    """The study of a config as it was written, with every cell of its sweep checked.

    A setting that the sweep gives may be missing elsewhere: the study then has that of the first cell. ``display``
    gives the name under which the user wrote a dotted key, such as ``{"model.n_components": "-k"}``.

    Raises ConfigError, which begins with the place of what is wrong.
    """
    tree = declared.tree
    solve = _section(Solve, tree.get("solve"))
    asked = () if solve is None else (solve.low, solve.high)
    with declared.refusing():
        cells = points(_section(Sweep, tree.get("sweep")) or Sweep(), tree, solve, asked)
        study = cell_study(tree, next(cells), display)
        # Without the sweep itself, which would be checked once more for every cell.
        alone = {key: value for key, value in tree.items() if key not in ("sweep", "solve")}
        for point in cells:
            cell_study(alone, point)
        study = _with_map(study) if declared.em_follows_prior else study
        _check_starts(study)
    return study


def _section[T: BaseModel](kind: type[T], value: Any) -> T | None:
    """A section as it is declared; None where it is wrong, which is told with the rest."""
    try:
        return None if value is None else kind.model_validate(value)
    except ValidationError:
        return None


def _with_map(study: Study) -> Study:
    """The study with MAP in place of maximum likelihood where its model has a prior of its own."""
    model = study.model
    if isinstance(model, ProgramModel):
        given: Any = model.prior or "default"
    else:
        given = model.built.prior if isinstance(model, FileModel) and model.prior is None else model.prior
    if given in (None, "none"):
        return study
    first, *others = study.methods
    return study.model_copy(update={"methods": (first.model_copy(update={"kind": "map"}), *others)})


def _check_starts(study: Study) -> None:
    """Refuse starts from a prior of a method that has none."""
    for place, method in enumerate(study.methods):
        if isinstance(method, EmMethod) and (method.kind, method.starts) == ("em", FROM_PRIOR):
            problem = f"starts = {FROM_PRIOR!r} needs a prior, and em is maximum likelihood: take kind = 'map'"
            raise Misplaced(problem, "methods", place, "starts")


def points(
    sweep: Sweep, tree: Mapping[str, Any], solve: Solve | None = None, asked: Sequence[Any] = ()
) -> Iterator[tuple[Entry, ...]]:
    """The settings of every cell, one cell without settings where nothing is swept.

    Of a study that looks for a value of ``solve.over`` the cells are those values that are ``asked`` for.

    Raises Misplaced for what cannot be swept so.
    """
    if solve is not None:
        _check_key(solve.over, ("solve", "over"), tree)
        return ((Entry("solve", solve.over, at, value),) for at, value in enumerate(asked))
    seen: dict[str, str] = {}
    for table in TABLES:
        for key in getattr(sweep, table):
            _check_key(key, ("sweep", table, key), tree)
            if key in seen:
                problem = f"{quoted(key)} is in sweep.{seen[key]} and in sweep.{table}: leave one out"
                raise Misplaced(problem, "sweep", table, key)
            seen[key] = table
    axes = [_steps("grid", [key], zip(_sources(key, values, tree), strict=True)) for key, values in sweep.grid.items()]
    axes.append(_steps("zip", sweep.zip, _in_step(sweep)))
    axes.append(_steps("ranges", sweep.ranges, _drawn(sweep, tree)))
    n_cells = 1
    for steps in axes:
        n_cells *= max(len(steps), 1)
        # Before the next factor: a product of thousands of them has more digits than Python writes.
        if n_cells > MOST_CELLS:
            raise Misplaced(f"the sweep has {n_cells:,} cells or more, and {MOST_CELLS:,} are the most", "sweep")
    n_methods = len(tree["methods"]) if isinstance(tree.get("methods"), list) else 1
    if n_cells * n_methods > MOST_JOBS:
        problem = f"{n_cells:,} cells and {n_methods:,} methods come to more jobs than {MOST_JOBS:,}, the most"
        raise Misplaced(problem, "sweep")
    return (tuple(itertools.chain(*point)) for point in itertools.product(*filter(None, axes)))


def _steps(table: str, keys: Iterable[str], steps: Iterable[tuple[Any, ...]]) -> list[tuple[Entry, ...]]:
    return [
        tuple(Entry(table, key, at, value) for key, value in zip(keys, step, strict=True))
        for at, step in enumerate(steps)
    ]


def _in_step(sweep: Sweep) -> Iterable[tuple[Any, ...]]:
    lengths = {key: len(values) for key, values in sweep.zip.items()}
    first = next(iter(lengths), "")
    for key, length in lengths.items():
        if length != lengths[first]:
            problem = f"{quoted(first)} has {lengths[first]} values and {quoted(key)} has {length}"
            raise Misplaced(f"sweep.zip runs in step: {problem}", "sweep", "zip", key)
    return zip(*sweep.zip.values(), strict=True)


def _drawn(sweep: Sweep, tree: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    """The points of ``sweep.ranges``, as far as whole numbers leave them distinct."""
    if not sweep.ranges:
        return ()
    import numpy as np
    from scipy.stats import qmc

    seed = tree.get("seed", 0)
    rng = np.random.default_rng(derived_seed("design", seed if isinstance(seed, int) else 0, list(sweep.ranges)))
    shape = sweep.points, len(sweep.ranges)
    hypercube = sweep.design == "latin_hypercube"
    shares = qmc.LatinHypercube(shape[1], rng=rng).random(shape[0]) if hypercube else rng.random(shape)
    return dict.fromkeys(
        tuple(
            between(low, high, float(share), logarithmic=bool(log))
            for (low, high, *log), share in zip(sweep.ranges.values(), row, strict=True)
        )
        for row in shares
    )


def _sources(key: str, values: tuple[Any, ...], tree: Mapping[str, Any]) -> list[Any]:
    """The values of a setting; ``bundled`` among sources is all bundled sets that the model takes."""
    if key != "data.source" or BUNDLED not in values:
        return list(values)
    from emjax.datasets.bundled import CATALOGUE

    found: list[Any] = []
    for value in values:
        found += [name for name in CATALOGUE if _takes(tree, name)] if value == BUNDLED else [value]
    return list(dict.fromkeys(found))


def _takes(tree: Mapping[str, Any], name: str) -> bool:
    """Whether the model of a tree takes a bundled data set; a model that is wrong is refused elsewhere."""
    from emjax.datasets import load

    model = tree.get("model")
    try:
        declared = isinstance(model, dict) and model_kind(model) == "declared"
        given = {"n_components": 1, **model} if declared and isinstance(model, dict) else model
        data = load(name)
        mixture = mixture_of(resolved_model(MODEL.validate_python(given)), with_prior=False).declared(data)
        mixture.family.check(mixture.samples(data))
    except (EmjaxError, ValueError):
        return False
    return True


_NOT_SWEPT = {
    **dict.fromkeys(("execution", "output", "title", "question", "answered_by"), ": no number depends on it"),
    **dict.fromkeys(("seed", "sweep"), ": say with sweep.replicates how many data sets to draw"),
}


def _check_key(key: str, location: Location, tree: Mapping[str, Any]) -> None:
    section, _, rest = key.partition(".")
    allowed = ["data", "model", "methods", "level"]
    near = suggestion(section, allowed)
    reason = "; write data.<key>, model.<key>, methods.<name>.<key> or level"
    reason += f" ({near})" if near.startswith("did") and section not in allowed else ""
    if key == "level" or (section in ("data", "model") and rest):
        return
    if section == "methods" and rest:
        try:
            place = locate(tree, key.split("."))
        except LookupError as error:
            raise Misplaced(str(error.args[0]), *location) from None
        if place[2:] not in (("name",), ("kind",)):
            return
        reason = ": list the methods one by one under [[methods]]"
    raise Misplaced(f"{quoted(key)} cannot be swept{_NOT_SWEPT.get(section, reason)}", *location)


def cell_study(tree: Mapping[str, Any], point: tuple[Entry, ...], display: Mapping[str, str] | None = None) -> Study:
    """The study of a tree with the settings of a cell in place. Raises Misplaced."""
    for entry in point:
        try:
            tree = put(tree, locate(tree, entry.key.split(".")), entry.value)
        except LookupError as error:
            raise Misplaced(f"{entry}: {error.args[0]}", *entry.location) from None
    try:
        return Study.model_validate(tree)
    except ValidationError as error:
        found = refusal(error, Study, display)
    # What the sweep has put there is the sweep's fault, and so is what does not go together with it.
    ways = [(entry, locate(tree, entry.key.split("."))) for entry in point if found.at]
    at_fault = [entry for entry, way in ways if all(map(operator.eq, way, found.at))]
    if at_fault:
        text = f"{', '.join(map(str, at_fault))}: {found}"
        found = Misplaced(text, *at_fault[0].location, n_others=found.n_others)
    raise found


def said(settings: Mapping[str, Any]) -> str:
    """The settings of a cell as messages write them."""
    return ", ".join(f"{printable(key)} = {quoted(value)}" for key, value in settings.items()) or "no settings"
