"""The one declaration of a config: methods on data, for every cell of a sweep and every replicate.

A config is checked whole before anything is computed. It can never execute code, but for the Python files that it names
as its model or as parts of the user's own: every other value is a number, a text or a list of them. A single run is a
study of one cell and one replicate: `single_task` says which studies are one.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from emjax.catalogue import DEFAULT_INTERVALS, FAMILY_ENTRIES, OF_COMPARISONS, in_words, is_structured
from emjax.errors import ConfigError
from emjax.experiments.config.data import Data, PriorData, ProgramData, SimulatedData, SourceData
from emjax.experiments.config.fields import Misplaced, PathText, Seconds, Section, Seed, Share, Text, bounded
from emjax.experiments.config.methods import COMPARED, EmMethod, Method, SamplerMethod
from emjax.experiments.config.model import AnyModel, Model, ModelSetting, model_kind
from emjax.experiments.config.parts import GeneratorData, Measures
from emjax.experiments.config.paths import is_path, with_paths
from emjax.experiments.config.programs import ProgramModel
from emjax.experiments.config.sweeps import TABLES, Solve, Sweep
from emjax.nearest import suggestion
from emjax.wording import printable


class Execution(Section):
    """How the work is cut and what happens when a part of it fails; nothing here changes a number."""

    batch: Annotated[int, bounded("batch")] | None = Field(
        default=None,
        description="replicates per job, which are done and lost together; default: 5 for methods that sample, 50 for "
        "the others",
    )
    time_limit: Seconds | None = Field(default=None, description="seconds that one job may take; default: no limit")
    retries: Annotated[int, bounded("retries")] = Field(default=1, description="how often a failed job is tried again")


class Output(Section):
    """Where the results are written."""

    dir: PathText | None = Field(
        default=None,
        description="the folder; default: runs/<data>-k<K> for a single run, runs/<name of the config> for a study",
    )


ANSWERS = (
    "verdict",
    "coverage",
    "rmse",
    "log_score_loss",
    "log_score",
    "total_variation",
    "ari",
    "alignment_trust",
    "log_evidence",
    "n_evaluations",
    "run_seconds",
)
"""What the first sentence of a study's page can be about: the verdict, or one of emjax's measures."""


class Study(Section):
    """Methods on the data of every cell and replicate; one cell and one replicate are a single run."""

    title: Text | None = Field(default=None, description="the title of the report")
    question: Text | None = Field(default=None, description="the first line of the report")
    answered_by: Text | None = Field(
        default=None,
        description=f"what the report's answer is about: {', '.join(ANSWERS)}, or a number of the user's own parts; "
        "default: the verdict where a method records one, else coverage",
    )
    seed: Seed = Field(
        default=0, description="random seed; all random numbers follow from it, and from what they are for"
    )
    data: Data = Field(
        description="the data of a replicate, from a source or drawn from a mixture; default with a program: its own"
    )
    model: ModelSetting = Field(description="the mixture that all methods fit: declared, built by a file, or a program")
    methods: Annotated[tuple[Method, ...], Field(min_length=1, max_length=1000)] = Field(
        default=(), description="what is done; default: what `emjax compare` does, em and auto with a verdict"
    )
    measures: Measures = Field(default=(), description="what is measured besides: functions of the user's own")
    level: Share = Field(default=0.9, description="probability of all intervals")
    levels: tuple[Share, ...] = Field(
        default=(), description="lower ones at which a study measures coverage and width too, as [0.5, 0.8]"
    )
    sweep: Sweep = Sweep()
    solve: Solve | None = Field(default=None, description="which value of a setting is looked for, in place of a sweep")
    execution: Execution = Execution()
    output: Output = Output()

    @model_validator(mode="before")
    @classmethod
    def _left_out(cls, tree: Any) -> Any:
        """The methods of `emjax compare`, and a program's own data."""
        if not isinstance(tree, dict):
            return tree
        data = tree.get("data", {})
        own = model_kind(tree.get("model")) == "program" and isinstance(data, dict)
        if own and set(data) <= set(ProgramData.model_fields):
            tree = {**tree, "data": {"kind": "program", **data}}
        return {"methods": list(COMPARED), **tree}

    def model_of(self, method: Method) -> AnyModel:
        """The model that a method fits. Raises Misplaced where its own does not go with the study's."""
        return self.model if method.model is None else method.model.applied(self.model)

    @model_validator(mode="after")
    def _models_of_the_methods(self) -> Study:
        seen: set[str] = set()
        for place, method in enumerate(self.methods):
            if method.label in seen:
                problem = f"two methods are called {method.label!r}: give each its own name"
                raise Misplaced(problem, "methods", place, "name")
            seen.add(method.label)
            own: tuple[str | int, ...] = () if method.model is None else ("methods", place)
            try:
                model = self.model_of(method)
            except Misplaced as error:
                raise Misplaced(f"methods.{method.label}.model: {error}", *own, "model", *error.at) from None
            if model.prior == "none" and (method.kind == "map" or isinstance(method, SamplerMethod)):
                problem = f"model.prior = 'none' leaves method {method.label!r} without a posterior"
                raise Misplaced(problem, *own, "model", "prior")
            self._check_data_for(model, *own, "model", "family")
        return self

    @model_validator(mode="after")
    def _levels_are_lower(self) -> Study:
        for place, level in enumerate(self.levels):
            if level >= self.level or level in self.levels[:place]:
                problem = f"levels = {list(self.levels)}: give different ones below level = {self.level:g}"
                raise Misplaced(problem, "levels", place)
        return self

    @model_validator(mode="after")
    def _texts_fit_family(self) -> Study:
        """Texts are levels where the declared family is of levels."""
        data = self.data
        if isinstance(data, SourceData) and isinstance(self.model, Model):
            of_levels = FAMILY_ENTRIES[self.model.family].of_levels
            if data.texts == "levels" and not of_levels:
                problem = f"texts = 'levels' is for families of levels, and {self.model.family!r} is none: leave it out"
                raise Misplaced(problem, "data", "texts")
            if of_levels and data.texts is None:
                object.__setattr__(self, "data", data.model_copy(update={"texts": "levels"}))
        return self

    def _check_data_for(self, model: AnyModel, *at: str | int) -> None:
        """Normal components draw real numbers, which no other data are; a truth is drawn from a prior that exists."""
        if isinstance(self.data, ProgramData) and not isinstance(self.model, ProgramModel):
            raise Misplaced("data.kind = 'program' is for a model.program, which brings them: name data", "data")
        if isinstance(self.data, PriorData):
            if isinstance(model, ProgramModel):
                problem = "data.kind = 'prior' draws from the prior of a declared mixture, and the model is a program"
                raise Misplaced(problem, "data")
            if model.prior == "none":
                raise Misplaced("data.kind = 'prior' draws from the model's prior, and it is 'none'", *at[:-1], "prior")
            if self.data.scaled_by is None and isinstance(model, Model) and not is_structured(model.family):
                problem = f"data of kind 'prior' and family {model.family!r} need data.scaled_by, a bundled data set"
                raise Misplaced(problem, "data")
        if isinstance(model, Model) and isinstance(self.data, SimulatedData):
            family, drawn = model.family, self.data.drawn_family
            if is_structured(drawn) and not is_structured(family):
                data = FAMILY_ENTRIES[family].data
                raise Misplaced(
                    f"model.family = {family!r} is for {data}, and {in_words(drawn)} components draw none: give "
                    "data.family and its parameters, or a file of data",
                    *at,
                )

    @model_validator(mode="after")
    def _answer_is_measured(self) -> Study:
        """What parts of the user's own return is known when they have run."""
        own = self.measures or any(method.kind == "own" for method in self.methods)
        if self.answered_by not in (None, *ANSWERS) and not own:
            problem = f"answered_by = {self.answered_by!r} is no measure; {suggestion(str(self.answered_by), ANSWERS)}"
            raise Misplaced(problem, "answered_by")
        return self

    @model_validator(mode="after")
    def _solve_alone(self) -> Study:
        solve = self.solve
        if solve is None:
            return self
        if solve.method not in (labels := [method.label for method in self.methods]):
            problem = f"method = {solve.method!r} is none of the methods {', '.join(map(repr, labels))}"
            raise Misplaced(problem, "solve", "method")
        if self.sweep.until or any(getattr(self.sweep, table) for table in TABLES):
            raise Misplaced("solve stands in place of a sweep: leave out what is swept, and sweep.until", "sweep")
        if self.sweep.replicates < solve.batch:
            problem = f"the most data sets at one value, {self.sweep.replicates}, are fewer than solve.batch"
            raise Misplaced(f"sweep.replicates: {problem}", "sweep", "replicates")
        return self

    def written_to(self, folder: str | Path) -> Study:
        """The same study, to be written to ``folder`` (relative to the current one)."""
        return self.model_copy(update={"output": Output(dir=str(folder))})


WORDS = ("title", "question", "answered_by")
"""Settings of a study that no number depends on, only its page."""


# -- single runs


@dataclasses.dataclass(frozen=True)
class Task:
    """What a single run does."""

    kind: Literal["compare", "fit", "sample"]  # EM, the posterior, and whether EM is enough; or one of them alone
    data: SourceData | SimulatedData | ProgramData
    em: EmMethod  # for ``sample``, whose chains start at EM's modes, by ``map``
    sampler: SamplerMethod | None = None  # None for ``fit``


def single_task(study: Study) -> Task | None:
    """What a study comes to as a single run; None where it is more than that.

    A single run is one cell and one replicate, on data as they are, of ``em`` or ``map`` (a fit), of a sampler, with
    ``map`` for its starts or without (a sample), or of a sampler with a verdict and what that is on (a comparison).

    Raises ConfigError for a comparison with an EM that has no intervals.
    """
    ems = [method for method in study.methods if isinstance(method, EmMethod)]
    samplers = [method for method in study.methods if isinstance(method, SamplerMethod)]
    if len(ems) > 1 or len(samplers) > 1 or len(ems) + len(samplers) < len(study.methods):
        return None
    data = study.data
    if (
        study.sweep != Sweep()
        or study.solve
        or study.measures
        or study.levels
        or isinstance(data, GeneratorData | PriorData)
        or not data.plain
    ):
        return None
    if any(method.budget or method.model for method in (*ems, *samplers)) or any(one.keep_draws for one in samplers):
        return None
    if not samplers:
        return Task("fit", data, ems[0])
    if samplers[0].verdict:
        em = ems[0] if ems else EmMethod(kind="em")
        if em.intervals not in (DEFAULT_INTERVALS, OF_COMPARISONS):
            problem = f"intervals = {em.intervals!r} is for a fit or a sample: a comparison judges by the information"
            raise ConfigError(f"methods.{printable(em.label)}: {problem}")
        return Task("compare", data, em, samplers[0])
    start = ems[0] if ems else EmMethod(kind="map")
    return Task("sample", data, start, samplers[0]) if start.kind == "map" else None


# -- what is written down


def resolved(study: Study) -> dict[str, Any]:
    """Every setting in force as plain TOML types; files by absolute path, and without the output's folder.

    What is left to a sampler (``chains``, ``warmup``, ``draws``, ``target_accept_prob``, ``pseudo_rows``) stays out,
    because ``auto`` may come to another one than it began with, and a number would bind them all.
    """
    tree = study.model_dump(mode="json", exclude_none=True, exclude={"output"})
    if not study.levels:
        del tree["levels"]
    swept = [key for table in TABLES for key in getattr(study.sweep, table)]
    if isinstance(study.model, Model) and study.model.structure and not any(key.startswith("model") for key in swept):
        known = {**tree["model"], "covariance": study.model.structure}
        tree["model"] = {name: known[name] for name in Model.model_fields if name in known}
    tree = with_paths(tree, lambda _, value: os.path.abspath(os.path.expanduser(value)) if is_path(value) else value)
    tree["sweep"] = {key: value for key, value in tree["sweep"].items() if value}
    if not study.sweep.ranges:
        tree["sweep"] = {key: value for key, value in tree["sweep"].items() if key not in ("design", "points")}
    return tree


def comparable(study: Study) -> dict[str, Any]:
    """The settings that numbers follow from, or that say how they came about: `resolved` less `WORDS`."""
    return {key: value for key, value in resolved(study).items() if key not in WORDS}
