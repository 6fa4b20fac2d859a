"""The user's own generators, methods and measures: called, and what they return checked.

What they return is a dictionary; `Generated`, `Estimated` and, for measures, numbers by name say what may be in it.
Nothing here imports JAX.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from emjax.datasets.dataset import Dataset
from emjax.errors import ConfigError
from emjax.experiments.config.python_files import called, function_of
from emjax.experiments.plan.jobs import data_seed, method_seed
from emjax.experiments.work.methods.shared import check_deadline, failed
from emjax.experiments.work.outcome import Outcome, ParameterEstimate, Replicate, Truth, is_measured
from emjax.floats import is_gap
from emjax.matrix import default_feature_names
from emjax.metrics.parameter import equal_tailed
from emjax.naming import scalar_parameters
from emjax.wording import printable

_ROUNDED = 0.05
"""How far probabilities that somebody has rounded may be from a sum of 1."""


def _numbers(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError("expected numbers")
    return np.asarray(array, np.float64)


def _rows(value: Any) -> np.ndarray:
    array = _numbers(value)
    array = array[:, np.newaxis] if array.ndim == 1 else array
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"expected rows (n_samples, n_features), and the shape is {array.shape}")
    return array


def _labels(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 1:
        raise ValueError(f"expected one label for each row, and the shape is {array.shape}")
    # Whatever names the groups, they become 0, 1, ...; -1 is a row that no component has drawn.
    if array.dtype.kind in "iu" and array.size and array.min() >= -1:
        return array.astype(np.int64)
    if any(is_gap(label) for label in array.tolist()):
        raise ValueError("expected a label for each row; -1 is that of a row that no component has drawn")
    return np.unique(array, return_inverse=True)[1]


def _by_component(value: Any) -> np.ndarray:
    return np.atleast_1d(_numbers(value))


def _own_names(numbers: dict[str, float]) -> dict[str, float]:
    for name in numbers:
        if is_measured(name) or not name.isprintable() or not name:
            raise ValueError(f"{name!r} is what emjax measures, or no name: give the number another one")
    return numbers


Rows = Annotated[np.ndarray, BeforeValidator(_rows)]
Labels = Annotated[np.ndarray, BeforeValidator(_labels)]
ByComponent = Annotated[np.ndarray, BeforeValidator(_by_component)]
Numbers = Annotated[dict[str, float], AfterValidator(_own_names)]
OfRows = Callable[[np.ndarray], Any]


class _Returned(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Generated(_Returned):
    """What a generator returns."""

    rows: Rows  # (n_samples, n_features)
    holdout: Rows | None = None  # further ones, which no method sees
    labels: Labels | None = None  # the true component of each row, from 0; -1 where none has drawn it
    parameters: dict[str, ByComponent] = Field(default_factory=dict)  # the true ones, each leading with the components
    # Functions of rows (n, n_features): the true log density (n,), and the assignment probabilities (n, n_components)
    # of the best possible rule.
    log_density: OfRows | None = None
    responsibilities: OfRows | None = None
    discrete: bool = False  # whether rows are whole numbers, so that ``log_density`` is that of a probability
    feature_names: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _fit_together(self) -> Generated:
        n_samples, n_features = self.rows.shape
        if self.labels is not None and len(self.labels) != n_samples:
            raise ValueError(f"expected {n_samples} labels, one for each row, and there are {len(self.labels)}")
        if self.holdout is not None and self.holdout.shape[1] != n_features:
            raise ValueError(f"expected holdout with {n_features} features, as rows have")
        if self.feature_names is not None and len(self.feature_names) != n_features:
            raise ValueError(f"expected {n_features} feature_names")
        _check_parameters("parameters", self.parameters, n_features)
        n_components = _n_components(self.parameters)
        if self.labels is not None and n_components is not None and self.labels.max() >= n_components:
            raise ValueError(
                f"expected labels from 0 to {n_components - 1}, the components of parameters, or -1 for none"
            )
        return self


class Estimated(_Returned):
    """What a method returns: any of these. Parameters lead with the components: ``(K,)``, ``(K, d)``, ``(K, d, d)``."""

    estimate: dict[str, ByComponent] = Field(default_factory=dict)
    se: dict[str, ByComponent] = Field(default_factory=dict)
    # At the study's level: a pair (lower, upper) of the same shapes.
    intervals: dict[str, tuple[ByComponent, ByComponent]] = Field(default_factory=dict)
    # (n_draws, K, ...), with the components of all draws in one order. Where there is no estimate it is their mean, and
    # the standard error and interval follow from them.
    draws: dict[str, Annotated[np.ndarray, BeforeValidator(_numbers)]] = Field(default_factory=dict)
    labels: Labels | None = None  # the component of each row of the data
    responsibilities: OfRows | Rows | None = None  # or its probabilities (n_samples, K), or a function of rows
    log_density: OfRows | None = None  # the predictive one, a function of rows
    discrete: bool = False  # whether that is one of whole numbers, a probability
    numbers: Numbers = Field(default_factory=dict)  # whatever else there is to tell
    status: str = "converged"  # how it ended, or ``skipped``
    message: str = ""
    trusted: bool | None = None  # whether its numbers may be used; default: whether it converged


def _check_parameters(what: str, named: Mapping[str, np.ndarray], n_features: int) -> None:
    """Raise ValueError where arrays do not lead with the same components, followed by features."""
    if without := [name for name, values in named.items() if values.ndim == 0]:
        raise ValueError(f"expected {what} {without[0]!r} that leads with the components")
    n_components = {len(values) for values in named.values()}
    if len(n_components) > 1:
        raise ValueError(f"expected {what} that all lead with the same number of components")
    for name, values in named.items():
        if values.shape[1:] not in ((), (n_features,), (n_features, n_features)):
            raise ValueError(
                f"expected {what} {name!r} of shape (K,), (K, {n_features}) or (K, {n_features}, {n_features}), and it "
                f"is {values.shape}"
            )


class _Caller:
    """A function that a section of a spec names, with its arguments and the file that errors are told of."""

    def __init__(self, section: Mapping[str, Any], what: str) -> None:
        self._function, self._file = function_of(section, what)
        self._arguments = dict(section.get("arguments") or {})
        self._name = getattr(self._function, "__name__", section["function"])

    def accepts(self, name: str) -> bool:
        """Whether it has a parameter of this name."""
        return name in inspect.signature(self._function).parameters

    def __call__(self, *given: Any, **further: Any) -> Any:
        return called(self._function, self._file, *given, **further, **self._arguments)

    def by_name(self, **given: Any) -> Any:
        """What it returns for those that it has parameters for; where that is not all it asks for, for all in order."""
        wanted = {name: value for name, value in given.items() if self.accepts(name)}
        try:
            inspect.signature(self._function).bind(**wanted, **self._arguments)
        except TypeError:
            wanted = {}
        return self(**wanted) if wanted else self(*given.values())

    def checked(self, shape: Any, returned: Any) -> Any:
        """What it returned in the shape that is expected; raises ConfigError in one line."""
        try:
            return TypeAdapter(shape).validate_python(returned)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            at = ".".join(str(part) for part in problem["loc"][:2])
            if isinstance(shape, type) and issubclass(shape, BaseModel) and not isinstance(returned, Mapping):
                fields = ", ".join(shape.model_fields)
                raise self.refused(f"a {type(returned).__name__}; expected a dictionary with any of {fields}") from None
            why = problem["msg"].removeprefix("Value error, ")
            raise self.refused(f"{at}: {why}" if at else f"what does not fit: {why}") from None

    def of_rows(self, function: OfRows | None, name: str, n_columns: int | None = None) -> OfRows | None:
        """A function of rows that it returned, which is to give a number, or ``n_columns`` of them, for each row."""
        if function is None:
            return None

        def checked(rows: np.ndarray) -> np.ndarray:
            found = np.asarray(called(function, self._file, np.asarray(rows)), np.float64)
            wanted = (len(rows),) if n_columns is None else (len(rows), n_columns)
            if found.shape != wanted:
                raise self.refused(f"{name} that gives an array of shape {found.shape}; expected {wanted}")
            return found

        return checked

    def refused(self, problem: str) -> ConfigError:
        """An error about what it returned."""
        return ConfigError(f"{printable(self._file)}: {self._name}() returned {printable(problem)}")


def generated(spec: Mapping[str, Any], number: int) -> Replicate:
    """The data of a replicate, made by the user's own generator. Raises ConfigError."""
    call = _Caller(spec["data"], "generator")
    made: Generated = call.checked(Generated, call(data_seed(spec, number)))
    names = made.feature_names or default_feature_names(made.rows.shape[1])
    labels, n_components = made.labels, _n_components(made.parameters)
    if n_components is None and labels is not None:
        if made.responsibilities is None:
            # Nothing else counts the components: they are the groups there are, and -1 stays what it is.
            labels = np.unique(np.append(labels, -1), return_inverse=True)[1][:-1] - 1
        n_components = int(labels.max()) + 1
    data = Dataset(values=made.rows, feature_names=names, name="generated", labels=labels, truth=made.parameters)
    holdout = None if made.holdout is None else dataclasses.replace(data, values=made.holdout, labels=None)
    truth = Truth(
        named=made.parameters,
        log_density=call.of_rows(made.log_density, "a log_density"),
        responsibilities=call.of_rows(made.responsibilities, "responsibilities", n_components),
        discrete=made.discrete,
        drawn=True,
    )
    return Replicate(number=number, data=data, holdout=holdout, truth=truth)


def outcomes(
    spec: Mapping[str, Any], replicates: Sequence[Replicate], *, deadline: float | None = None
) -> Iterator[Outcome]:
    """The outcome of the user's own method on each replicate; one that fails says where and why."""
    call = _Caller(spec["method"], "method")
    further = {"model": dict(spec["model"])} if call.accepts("model") else {}
    further.update({"level": spec["level"]} if call.accepts("level") else {})
    for done, replicate in enumerate(replicates):
        check_deadline(deadline, done, len(replicates))
        seen = dataclasses.replace(replicate.data, labels=None, truth=None)
        started = time.perf_counter()
        try:
            returned = call(seen, method_seed(spec, replicate.number), **further)
        except ConfigError as error:
            yield failed(error)
            continue
        took = time.perf_counter() - started
        yield dataclasses.replace(_outcome(call, returned, seen, spec["level"]), run_seconds=took, compile_seconds=0.0)


def _outcome(call: _Caller, returned: Any, data: Dataset, level: float) -> Outcome:
    found: Estimated = call.checked(Estimated, returned)
    named = {**{name: values.mean(axis=0) for name, values in found.draws.items()}, **found.estimate}
    try:
        _check_parameters("estimate", named, data.shape[1])
        parameters = _parameters(found, named, data.feature_names, level)
        responsibilities = _responsibilities(call, found, data, _n_components(named))
    except ValueError as error:
        raise call.refused(f"what does not fit: {error}") from None
    return Outcome(
        status=found.status,
        message=printable(found.message),
        trusted=found.status == "converged" if found.trusted is None else found.trusted,
        named=named,
        parameters=parameters,
        log_density=call.of_rows(found.log_density, "a log_density"),
        responsibilities=responsibilities,
        numbers=found.numbers,
        not_measured=[
            *(name for name, value in named.items() if np.isnan(value).any()),
            *(name for name, value in found.numbers.items() if math.isnan(value)),
        ],
        discrete=found.discrete,
        draws=found.draws,
    )


def _parameters(
    found: Estimated, named: Mapping[str, np.ndarray], feature_names: tuple[str, ...], level: float
) -> tuple[ParameterEstimate, ...]:
    """Every number with its standard error and interval, given or those of its draws."""
    se, intervals = dict(found.se), dict(found.intervals)
    for name, values in found.draws.items():
        if len(values) > 1:
            se.setdefault(name, values.std(axis=0, ddof=1))
            lower, upper = equal_tailed(values, level)
            intervals.setdefault(name, (lower, upper))
    for name, values in {**se, **{name: np.stack(pair, axis=-1)[..., 0] for name, pair in intervals.items()}}.items():
        if name not in named or np.shape(values) != named[name].shape:
            raise ValueError(f"expected se and intervals of {name!r} of the shape of its estimate")
    for name, (lower, upper) in intervals.items():
        if (lower > upper).any():
            raise ValueError(f"expected intervals of {name!r} whose lower ends come first")

    def of(parameter: Any) -> ParameterEstimate:
        place = parameter.place
        spread = se[parameter.variable][place] if parameter.variable in se else math.nan
        lower, upper = (
            (ends[place] for ends in intervals[parameter.variable])
            if parameter.variable in intervals
            else (math.nan, math.nan)
        )
        estimate = float(named[parameter.variable][place])
        return ParameterEstimate(parameter.name, estimate, float(spread), float(lower), float(upper))

    return tuple(of(parameter) for parameter in scalar_parameters(named, feature_names))


def _n_components(named: Mapping[str, np.ndarray]) -> int | None:
    return next((len(values) for values in named.values()), None)


def _responsibilities(
    call: _Caller, found: Estimated, data: Dataset, n_components: int | None
) -> Callable[[np.ndarray], np.ndarray] | None:
    if callable(found.responsibilities):
        return call.of_rows(found.responsibilities, "responsibilities", n_components)
    shares = found.responsibilities
    if shares is None and found.labels is not None:
        # Where it has components, what it calls -1 is of none of them; else it is a group like others.
        drawn = found.labels[found.labels >= 0]
        groups = np.unique(found.labels) if n_components is None else np.union1d(drawn, np.arange(n_components))
        shares = (found.labels[:, np.newaxis] == groups).astype(np.float64)
    if shares is None:
        return None
    if len(shares) != len(data):
        raise ValueError(f"expected labels or responsibilities of {len(data)} rows, and there are {len(shares)}")
    if n_components not in (None, shares.shape[1]):
        raise ValueError(f"expected labels or responsibilities of the {n_components} components of its estimate")
    if (shares < 0).any() or (np.abs(shares.sum(axis=1) - 1) > _ROUNDED).any():
        raise ValueError("expected responsibilities that are probabilities: each row sums to 1")
    of_data = shares

    def responsibilities(rows: np.ndarray) -> np.ndarray:
        """Of the data alone, which is all that is asked for."""
        return of_data if rows.shape == data.shape else np.full((len(rows), of_data.shape[1]), np.nan)

    return responsibilities


def own_rows(
    measures: Sequence[Mapping[str, Any]], replicate: Replicate, outcome: Outcome
) -> list[tuple[str, str, float]]:
    """What the user's own measures say of an outcome. Raises ConfigError."""
    rows: dict[str, float] = {}
    for section in measures:
        call = _Caller(section, "measure")
        returned = call.checked(Numbers, call.by_name(outcome=outcome, replicate=replicate))
        if taken := sorted(returned.keys() & (rows.keys() | outcome.numbers.keys())):
            # two rows of one name would be averaged
            raise call.refused(f"{taken[0]!r}, which the method or another measure gives: give the number another name")
        rows |= returned
    return [(name, "", value) for name, value in rows.items()]
