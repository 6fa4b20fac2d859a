"""The declaration of a study: data, model, a list of methods, and a sweep over any of their settings.

A study is what `emjax run` does with a config that has ``[[methods]]``. It shares the sections ``data``, ``model`` and
``output`` with the config of a single run (`emjax.experiments.config.single`) and widens them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from emjax.bounds import LARGEST
from emjax.catalogue import (
    DEFAULT_FAMILY,
    DEFAULT_SAMPLER,
    DEFAULT_START,
    FAMILY_ENTRIES,
    NAMED_SAMPLERS,
    SAMPLERS,
    SamplerName,
    StartName,
    fewest_chains,
    in_words,
    is_structured,
)
from emjax.experiments.config.fields import (
    PRECISION_OF_SAMPLERS,
    STARTS_IN_WORDS,
    Misplaced,
    NotNegative,
    Positive,
    Seconds,
    Section,
    Seed,
    Text,
    bounded,
    check_sampler,
)
from emjax.experiments.config.model import FileModel, Model, ModelChange, ModelSetting
from emjax.experiments.config.parts import GeneratorData, Measures, MethodOrFunction, OwnMethod, own_label
from emjax.experiments.config.single import (
    MIN_DRAWS_TO_COMPARE,
    Output,
    SimulatedData,
    SourceData,
    data_kind,
    with_texts,
)

Share = Annotated[float, Field(strict=True, gt=0, lt=1)]


class Contamination(Section):
    """Rows that no component of the mixture has drawn: each row is replaced with probability ``share``."""

    share: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(
        description="the probability that a row is replaced"
    )
    kind: Literal["uniform", "normal"] = Field(
        default="uniform",
        description="uniform: over the box of the data, widened `spread` times about its centre; normal: about the "
        "centre of the data, with `spread` times its standard deviations",
    )
    spread: Positive = Field(default=2.0, description="how wide the contamination is, in widths of the data")


class Misspecification(Section):
    """Components of another shape than the model's, with the same means and covariances."""

    kind: Literal["student_t", "skew_normal", "uniform"] = Field(description="the shape of every component")
    degrees_of_freedom: Annotated[float, Field(strict=True, allow_inf_nan=False, gt=2, le=LARGEST)] | None = Field(
        default=None, description="student_t: default 5"
    )
    skewness: Annotated[float, Field(strict=True, gt=-1, lt=1)] | None = Field(
        default=None, description="skew_normal: delta, between -1 and 1; default 0.9"
    )

    @model_validator(mode="after")
    def _settings_belong(self) -> Misspecification:
        if self.kind != "student_t" and self.degrees_of_freedom is not None:
            raise Misplaced(
                f"degrees_of_freedom is for kind 'student_t', not {self.kind!r}: leave it out", "degrees_of_freedom"
            )
        if self.kind != "skew_normal" and self.skewness is not None:
            raise Misplaced(f"skewness is for kind 'skew_normal', not {self.kind!r}: leave it out", "skewness")
        return self


class StudySource(SourceData):
    """Data that lie somewhere; replicates differ by their split, or are bootstrap samples."""

    holdout: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(
        default=0.0, description="the share of the rows that is set aside for the log score, drawn anew per replicate"
    )
    resample: Literal["none", "bootstrap"] = Field(
        default="none", description="bootstrap: every replicate draws as many rows with replacement"
    )

    @model_validator(mode="after")
    def _read_more_than_once(self) -> StudySource:
        if self.source == "-":
            raise ValueError(
                "source '-' is standard input, which is read once, and a study reads its data again and "
                "again: save them as a file"
            )
        return self


class StudySimulation(SimulatedData):
    """Data drawn from a mixture that is written here, anew for every replicate."""

    overlap: Share | None = Field(
        default=None,
        description="the share of rows that the best possible rule assigns wrongly; means are moved apart or together "
        "about their common centre until it is met",
    )
    contamination: Contamination | None = Field(default=None, description="rows that no component has drawn")
    misspecification: Misspecification | None = Field(
        default=None, description="components of another shape than the model's"
    )
    holdout: Annotated[int, bounded("holdout")] = Field(
        default=0, description="further rows drawn for the log score, never contaminated"
    )

    @model_validator(mode="after")
    def _normal_only(self) -> StudySimulation:
        for name in ("overlap", "contamination", "misspecification"):
            if self.drawn_family != DEFAULT_FAMILY and getattr(self, name) is not None:
                others = in_words(self.drawn_family)
                raise Misplaced(f"{name} is for normal components, and these are {others}: leave it out", name)
        if self.overlap is not None and len(self.weights) < 2:
            raise Misplaced("overlap needs at least two components", "overlap")
        return self


StudyData = Annotated[
    Annotated[StudySource, Tag("source")]
    | Annotated[StudySimulation, Tag("simulate")]
    | Annotated[GeneratorData, Tag("generator")],
    Discriminator(data_kind),
]


class Budget(Section):
    """What a method may spend on one data set, so that accuracy is compared at equal cost."""

    seconds: Seconds | None = Field(default=None, description="run seconds, compilation not counted")
    evaluations: Annotated[int, bounded("evaluations")] | None = Field(
        default=None, description="passes over the data: E-steps of all starts, density evaluations of all chains"
    )

    @model_validator(mode="after")
    def _one_unit(self) -> Budget:
        if (self.seconds is None) == (self.evaluations is None):
            raise ValueError("give either seconds or evaluations")
        return self


class MethodBase(Section):
    """What every method has."""

    name: Text | None = Field(default=None, description="how reports call it; default: its kind")
    budget: Budget | None = Field(default=None, description="what it may spend on one data set; default: no limit")
    model: ModelChange | None = Field(default=None, description="what it fits in place of the study's model")

    @property
    def label(self) -> str:
        """The name in force."""
        return self.name or str(getattr(self, "kind"))  # noqa: B009  (declared by the variants)


class EmSettings(MethodBase):
    """What both estimates by EM have."""

    n_init: Annotated[int, bounded("n_init")] = Field(default=20, description="number of starts; the best is kept")
    starts: StartName = Field(default=DEFAULT_START, description=STARTS_IN_WORDS)
    accelerate: Literal["auto", "none", "squarem", "anderson"] = Field(
        default="auto", description="auto: Anderson acceleration; none: plain EM"
    )
    max_iter: Annotated[int, bounded("max_iter")] = Field(default=10_000, description="most iterations of one start")
    tol: NotNegative = Field(
        default=1e-6, description="stop when the estimated distance to the limit is below this; 0: never"
    )
    precision: Literal["float64", "float32"] = Field(default="float64", description="precision of EM")
    intervals: Literal["information", "none"] = Field(
        default="information", description="information: from the observed information; none: estimates alone"
    )


class EmMethod(EmSettings):
    """Maximum likelihood by EM."""

    kind: Literal["em"]


class MapMethod(EmSettings):
    """The posterior mode by EM, under the model's prior."""

    kind: Literal["map"]


class SamplerMethod(MethodBase):
    """A posterior by one of the library's samplers, or by the one that ``auto`` chooses."""

    kind: SamplerName = Field(description="the sampler, as `mcmc.method` of a single run")
    chains: Annotated[int, bounded("chains")] | None = Field(
        default=None, description="chains; default: the sampler's own"
    )
    warmup: Annotated[int, bounded("warmup")] | None = Field(
        default=None, description="steps of each chain that are not kept; default: the sampler's own"
    )
    draws: Annotated[int, bounded("draws")] | None = Field(
        default=None, description="draws kept of each chain; default: the sampler's own"
    )
    target_accept_prob: Share | None = Field(
        default=None, description="acceptance probability that steps are tuned to; default: the sampler's own"
    )
    dtype: Literal["float64", "float32"] = Field(default="float64", description=PRECISION_OF_SAMPLERS)
    verdict: bool = Field(
        default=False, description="also compare with EM and record what `emjax compare` would have said"
    )
    keep_draws: bool = Field(default=False, description="write every posterior as NetCDF beside its rows")

    @model_validator(mode="after")
    def _settings_go_with_kind(self) -> SamplerMethod:
        check_sampler(self.kind, self)
        if self.kind == DEFAULT_SAMPLER and self.budget is not None:
            others = " or ".join(NAMED_SAMPLERS)
            raise Misplaced(f"auto goes on until its draws suffice: for a budget name {others}", "budget")
        n_draws = (self.chains or fewest_chains(self.kind)) * (self.draws or MIN_DRAWS_TO_COMPARE)
        if self.verdict and n_draws < MIN_DRAWS_TO_COMPARE:
            problem = f"chains x draws = {n_draws}: a verdict needs at least {MIN_DRAWS_TO_COMPARE} draws"
            raise Misplaced(problem, "draws")
        return self


class SklearnMethod(MethodBase):
    """scikit-learn's mixtures, as peers; they need scikit-learn (extra `sklearn`)."""

    kind: Literal["sklearn"]
    estimator: Literal["GaussianMixture", "BayesianGaussianMixture"] = Field(
        default="GaussianMixture", description="EM, or variational inference"
    )
    n_init: Annotated[int, bounded("n_init")] = Field(default=1, description="number of starts; the best is kept")
    init_params: Literal["kmeans", "k-means++", "random", "random_from_data"] = Field(
        default="kmeans", description="how starts are drawn"
    )
    max_iter: Annotated[int, bounded("max_iter")] = Field(default=100, description="most iterations of one start")
    tol: NotNegative = Field(
        default=1e-3, description="stop when the mean log-likelihood of a row (or its bound) gains less than this"
    )
    reg_covar: NotNegative = Field(default=1e-6, description="added to the variances of every component")


def _method_kind(method: Any) -> str | None:
    if isinstance(method, dict) and "kind" not in method and own_label(method) is not None:
        return "own"
    kind = method.get("kind") if isinstance(method, dict) else getattr(method, "kind", None)
    if not isinstance(kind, str):
        return None
    return "sampler" if kind in SAMPLERS else kind


Method = Annotated[
    Annotated[EmMethod, Tag("em")]
    | Annotated[MapMethod, Tag("map")]
    | Annotated[SamplerMethod, Tag("sampler")]
    | Annotated[SklearnMethod, Tag("sklearn")]
    | Annotated[OwnMethod, Tag("own")],
    Discriminator(_method_kind),
    MethodOrFunction,
]


class Sweep(Section):
    """Which settings vary, and how often each cell is repeated.

    The values of ``grid`` are crossed, those of ``zip`` run in step; both are tables of dotted keys, such as
    ``"data.n_samples" = [100, 1000]``.
    """

    replicates: Annotated[int, bounded("replicates")] = Field(default=1, description="data sets per cell")
    grid: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="settings whose values are crossed, by dotted key, each with a list of values"
    )
    zip: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="settings whose values run in step: lists of equal length, by dotted key"
    )


class Execution(Section):
    """How the work is cut and what happens when a part of it fails; nothing here changes a number."""

    batch: Annotated[int, bounded("batch")] | None = Field(
        default=None,
        description="replicates per job, which are done and lost together; default: 5 for methods that sample, 50 for "
        "the others",
    )
    time_limit: Seconds | None = Field(default=None, description="seconds that one job may take; default: no limit")
    retries: Annotated[int, bounded("retries")] = Field(default=1, description="how often a failed job is tried again")


Answer = Literal[
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
]
"""What the first sentence of a study's page can be about: the verdict, or one of its measures."""


class Study(Section):
    """A study: methods on the data of every cell and replicate."""

    task: Literal["study"] = "study"
    title: Text | None = Field(default=None, description="the title of the report")
    question: Text | None = Field(default=None, description="the first line of the report")
    answered_by: Answer | None = Field(
        default=None,
        description="what the report's answer is about; default: the verdict where a method records one, else coverage",
    )
    seed: Seed = Field(default=0, description="all random numbers follow from it, and from what they are for")
    data: StudyData = Field(description="the data of a replicate, from a source or drawn from a mixture")
    model: ModelSetting = Field(description="the mixture that all methods fit: declared, or built by a file")
    methods: Annotated[tuple[Method, ...], Field(min_length=1, max_length=1000)] = Field(description="what is compared")
    measures: Measures = Field(default=(), description="what is measured besides: functions of the user's own")
    level: Share = Field(default=0.9, description="probability of all intervals")
    sweep: Sweep = Sweep()
    execution: Execution = Execution()
    output: Output = Output()

    def model_of(self, method: Method) -> Model | FileModel:
        """The model that a method fits. Raises Misplaced where its own does not go with the study's."""
        return self.model if method.model is None else method.model.applied(self.model)

    @model_validator(mode="after")
    def _models_of_the_methods(self) -> Study:
        for place, method in enumerate(self.methods):
            own: tuple[str | int, ...] = () if method.model is None else ("methods", place)
            try:
                model = self.model_of(method)
            except Misplaced as error:
                raise Misplaced(f"methods.{method.label}.model: {error}", *own, "model", *error.at) from None
            if model.prior == "none" and isinstance(method, MapMethod | SamplerMethod):
                problem = f"model.prior = 'none' leaves method {method.label!r} without a posterior"
                raise Misplaced(problem, *own, "model", "prior")
            self._check_data_for(model, *own, "model", "family")
        return self

    @model_validator(mode="after")
    def _texts_fit_family(self) -> Study:
        object.__setattr__(self, "data", with_texts(self.data, self.model))
        return self

    def _check_data_for(self, model: Model | FileModel, *at: str | int) -> None:
        """Normal components draw real numbers, which no other data are."""
        if isinstance(model, Model) and isinstance(self.data, StudySimulation):
            family, drawn = model.family, self.data.drawn_family
            if is_structured(drawn) and not is_structured(family):
                data = FAMILY_ENTRIES[family].data
                raise Misplaced(
                    f"model.family = {family!r} is for {data}, and {in_words(drawn)} components draw none: give "
                    "data.family and its parameters, or a file of data",
                    *at,
                )

    @model_validator(mode="after")
    def _distinct_names(self) -> Study:
        seen: set[str] = set()
        for place, method in enumerate(self.methods):
            if method.label in seen:
                problem = f"two methods are called {method.label!r}: give each its own name"
                raise Misplaced(problem, "methods", place, "name")
            seen.add(method.label)
        return self
