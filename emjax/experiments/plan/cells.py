"""From the sweep of a config to its cells: the settings of each, and the study that it is alone."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from pydantic import ValidationError

from emjax.errors import ConfigError, EmjaxError
from emjax.experiments.config.model import MODEL, FileModel
from emjax.experiments.config.overrides import Declared, locate, put
from emjax.experiments.config.positions import Location
from emjax.experiments.config.refusals import Refusal, one_line, quoted, refusal
from emjax.experiments.config.schema import Study
from emjax.experiments.config.sweeps import BUNDLED, TABLES, Solve, Sweep
from emjax.experiments.plan.jobs import derived_seed
from emjax.nearest import suggestion
from emjax.wording import printable

MOST_CELLS = 100_000
MOST_JOBS = 200_000
"""A plan is held in memory, and every job gets a folder of its own."""

Where = Callable[[Location], str]


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
    tree, where = declared.tree, declared.where
    try:
        sweep = Sweep.model_validate(tree.get("sweep", {}))
    except ValidationError:
        sweep = Sweep()
    solve = _solve_of(tree)
    cells = points(sweep, tree, where, solve, () if solve is None else (solve.low, solve.high))
    first = next(cells)
    study = cell_study(tree, first, where, display)
    # Without the sweep itself, which would be checked once more for every cell.
    alone = {key: value for key, value in tree.items() if key not in ("sweep", "solve")}
    for point in cells:
        cell_study(alone, point, where)
    return _with_map(study) if declared.em_follows_prior else study


def _solve_of(tree: Mapping[str, Any]) -> Solve | None:
    try:
        return Solve.model_validate(tree["solve"]) if "solve" in tree else None
    except ValidationError:  # it is told with the rest
        return None


def _with_map(study: Study) -> Study:
    """The study with MAP in place of maximum likelihood where its model has a prior of its own."""
    model = study.model
    given = model.built.prior if isinstance(model, FileModel) and model.prior is None else model.prior
    if given in (None, "none"):
        return study
    first, *others = study.methods
    return study.model_copy(update={"methods": (first.model_copy(update={"kind": "map"}), *others)})


def points(
    sweep: Sweep, tree: Mapping[str, Any], where: Where, solve: Solve | None = None, asked: Sequence[Any] = ()
) -> Iterator[tuple[Entry, ...]]:
    """The settings of every cell, one cell without settings where nothing is swept.

    Of a study that looks for a value of ``solve.over`` the cells are those values that are ``asked`` for.
    """
    if solve is not None:
        _check_key(solve.over, ("solve", "over"), tree, where)
        return ((Entry("solve", solve.over, at, value),) for at, value in enumerate(asked))
    seen: dict[str, str] = {}
    for table in TABLES:
        for key in getattr(sweep, table):
            _check_key(key, ("sweep", table, key), tree, where)
            if key in seen:
                problem = f"{quoted(key)} is in sweep.{seen[key]} and in sweep.{table}: leave one out"
                _fail(("sweep", table, key), problem, where)
            seen[key] = table
    axes: list[list[tuple[Entry, ...]]] = [
        [(Entry("grid", key, *value),) for value in enumerate(_sources(key, values, tree))]
        for key, values in sweep.grid.items()
    ]
    n_cells = 1
    for steps in (*axes, _in_step(sweep, where), _drawn(sweep, tree)):
        n_cells *= max(len(steps), 1)
        # Before the next factor: a product of thousands of them has more digits than Python writes.
        if n_cells > MOST_CELLS:
            _fail(("sweep",), f"the sweep has {n_cells:,} cells or more, and {MOST_CELLS:,} are the most", where)
    n_methods = len(tree["methods"]) if isinstance(tree.get("methods"), list) else 1
    if n_cells * n_methods > MOST_JOBS:
        problem = f"{n_cells:,} cells and {n_methods:,} methods come to more jobs than {MOST_JOBS:,}, the most"
        _fail(("sweep",), problem, where)
    axes += [steps for steps in (_in_step(sweep, where), _drawn(sweep, tree)) if steps]
    return (tuple(itertools.chain(*point)) for point in itertools.product(*axes))


def _in_step(sweep: Sweep, where: Where) -> list[tuple[Entry, ...]]:
    """The steps of ``sweep.zip``."""
    lengths = {key: len(values) for key, values in sweep.zip.items()}
    first = next(iter(lengths), "")
    for key, length in lengths.items():
        if length != lengths[first]:
            problem = (
                f"sweep.zip runs in step: {quoted(first)} has {lengths[first]} values and {quoted(key)} has {length}"
            )
            _fail(("sweep", "zip", key), problem, where)
    steps = zip(*sweep.zip.values(), strict=True)
    return [
        tuple(Entry("zip", key, at, value) for key, value in zip(lengths, step, strict=True))
        for at, step in enumerate(steps)
    ]


def _drawn(sweep: Sweep, tree: Mapping[str, Any]) -> list[tuple[Entry, ...]]:
    """The points of ``sweep.ranges``, as far as whole numbers leave them distinct."""
    if not sweep.ranges:
        return []
    import numpy as np
    from scipy.stats import qmc

    seed = tree.get("seed", 0)
    rng = np.random.default_rng(derived_seed("design", seed if isinstance(seed, int) else 0, list(sweep.ranges)))
    shape = sweep.points, len(sweep.ranges)
    hypercube = sweep.design == "latin_hypercube"
    shares = qmc.LatinHypercube(shape[1], rng=rng).random(shape[0]) if hypercube else rng.random(shape)
    steps = [
        tuple(_within(entries, float(share)) for entries, share in zip(sweep.ranges.values(), row, strict=True))
        for row in shares
    ]
    return [
        tuple(Entry("ranges", key, at, value) for at, (key, value) in enumerate(zip(sweep.ranges, step, strict=True)))
        for step in dict.fromkeys(steps)
    ]


def _within(entries: tuple[Any, ...], share: float) -> int | float:
    """The value at a share of a range, to six digits."""
    low, high = entries[:2]
    value = low * (high / low) ** share if len(entries) == 3 else low + (high - low) * share
    whole = isinstance(low, int) and isinstance(high, int)
    return min(max(round(value), low), high) if whole else float(f"{value:.6g}")


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
    from emjax.experiments.config.mixtures import mixture_of, resolved_model

    model = tree.get("model")
    try:
        given = {"n_components": 1, **model} if isinstance(model, dict) and "file" not in model else model
        mixture = mixture_of(resolved_model(MODEL.validate_python(given)), with_prior=False)
        mixture.family.check(mixture.samples(load(name)))
    except (EmjaxError, ValueError):
        return False
    return True


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
    if section in ("execution", "output", "title", "question", "answered_by"):
        _fail(location, f"{quoted(key)} cannot be swept: no number depends on it", where)
    if section in ("seed", "sweep"):
        _fail(location, f"{quoted(key)} cannot be swept: say with sweep.replicates how many data sets to draw", where)
    allowed = ["data", "model", "methods", "level"]
    problem = f"{quoted(key)} cannot be swept; write data.<key>, model.<key>, methods.<name>.<key> or level"
    near = suggestion(section, allowed)
    _fail(location, problem + (f" ({near})" if near.startswith("did") and section not in allowed else ""), where)


def cell_study(
    tree: Mapping[str, Any], point: tuple[Entry, ...], where: Where, display: Mapping[str, str] | None = None
) -> Study:
    """The study of a tree with the settings of a cell in place. Raises ConfigError."""
    for entry in point:
        try:
            tree = put(tree, locate(tree, entry.key.split(".")), entry.value)
        except LookupError as error:
            _fail(entry.location, f"{entry}: {error.args[0]}", where)
    try:
        return Study.model_validate(tree)
    except ValidationError as error:
        found = refusal(error, Study, display)
    # What the sweep has put there is the sweep's fault, and so is what does not go together with it.
    at_fault = [entry for entry in point if _touches(locate(tree, entry.key.split(".")), found.location)]
    if at_fault:
        text = f"{', '.join(map(str, at_fault))}: {found.text}"
        found = Refusal(at_fault[0].location, text, found.n_others)
    raise ConfigError(found.message(where(found.location)))


def _touches(swept: Location, wrong: Location) -> bool:
    length = min(len(swept), len(wrong))
    return length > 0 and swept[:length] == wrong[:length]


def said(settings: Mapping[str, Any]) -> str:
    """The settings of a cell as messages write them."""
    return ", ".join(f"{printable(key)} = {quoted(value)}" for key, value in settings.items()) or "no settings"


def _fail(location: Location, problem: str, where: Where) -> NoReturn:
    raise ConfigError(one_line(f"{where(location)}: {problem}"))
