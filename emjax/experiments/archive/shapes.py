"""The shapes of the documents in a folder, as far as they are read; `emjax.experiments.archive.door` checks them.

They say what readers may rely on, and documents are read as they stand, so a default here only says that a key may be
missing. Further keys are let through: a newer emjax may write them. Names that become file names or stand in sentences
have a pattern, so that they are nothing else.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

CellKey = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
JobKey = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
FileName = Annotated[str, Field(pattern=r"^(rows\.parquet|posterior-[0-9]{1,9}\.nc)$")]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
SweptKey = Annotated[str, Field(pattern=r"^((data|model|methods)\..+|level)$")]
Label = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, Field(ge=0)]
Format = Annotated[int, Field(ge=1)]
Number = float | None


class Shape(BaseModel):
    """A table: what is named has to be of its type, exactly; anything else may be there."""

    model_config = ConfigDict(extra="allow", strict=True)


class Device(Shape):
    platform: str
    kind: str


class Provenance(Shape):
    started: str | None = None
    versions: dict[str, str | None] = {}
    machine: dict[str, Any] = {}
    devices: list[Device] | None = None


# -- single runs


class RunConfig(Shape):
    class _Data(Shape):
        kind: str = ""
        source: str = ""

    class _Model(Shape):
        family: str = ""
        covariance: str = ""
        n_components: int = 0
        file: str = ""

    task: Literal["compare", "fit", "sample"]
    seed: int = 0
    data: _Data
    model: _Model


class Environment(Provenance):
    class _Data(Shape):
        name: str
        n_samples: int
        n_features: int

    class _Model(Shape):
        family: str
        covariance: str | None
        n_components: int

    format: Format = 1
    data: _Data
    model: _Model | None = None


class Optimum(Shape):
    count: int
    objective: Number
    spurious: bool
    status: Word = "converged"


class Interval(Shape):
    name: str
    estimate: Number
    se: Number
    lower: Number
    upper: Number


class Intervals(Shape):
    level: float
    status: Word
    message: str
    rows: list[Interval]


class FitDocument(Shape):
    status: Word
    message: str
    converged: bool
    exact_iterations: bool
    prior: Word
    space: str
    log_likelihood: Number
    log_prior: Number = None
    bic: Number
    n_iter: int | None
    intervals: Intervals
    optima: list[Optimum]
    compile_seconds: Number
    run_seconds: Number


class Unfinished(Shape):
    key: str
    done: list[Literal["EM", "sampling"]]


class EmDocument(Shape):
    mle: FitDocument | None
    map: FitDocument | None


class Alignment(Shape):
    trust: Number
    note: str = ""


class Mode(Shape):
    mass: Number
    n_empty: int | None = None


class PosteriorDocument(Shape):
    class _Row(Shape):
        name: str
        mean: Number
        sd: Number
        lower: Number
        upper: Number
        ess: Number
        r_hat: Number

    class _Alignment(Alignment):
        note: str

    status: Word
    message: str
    status_message: str = ""
    prior_note: str
    method: Word
    decision: list[str]
    n_modes: int
    modes: list[Mode]
    pareto_k: Number
    good_pareto_k: float = 0.0
    log_evidence: Number
    level: float
    alignment: _Alignment
    parameters: list[_Row]
    compile_seconds: Number
    run_seconds: Number


class _Value(Shape):
    value: Number


class _MeanDifference(Shape):
    mean_difference: Number


class _Scores(Shape):
    em: Number
    posterior_predictive: Number
    difference: Number


class _Loo(Shape):
    value: Number
    standard_error: Number


class _PosteriorSays(Shape):
    status: Word
    status_message: str = ""


class _SpuriousOrNot(Shape):
    spurious: bool


class _IntervalsSay(Shape):
    status: Word = "converged"
    message: str


class _Judgement(Shape):
    sentence: str = ""


class _EmSays(Shape):
    status: Word
    message: str
    prior: str = ""
    optima: list[_SpuriousOrNot] = []
    intervals: _IntervalsSay | None = None
    judgement: _Judgement | None = None


class _Seconds(Shape):
    method: Word | None = None
    compile_seconds: Number
    run_seconds: Number


class ComparisonDocument(Shape):
    class _Row(Shape):
        name: str
        em: Number
        se: Number
        mean: Number
        sd: Number
        difference_in_sd: Number
        width_ratio: Number

    class _Invariants(Shape):
        total_variation: _Value
        co_clustering: _MeanDifference
        log_score: _Scores
        elpd_loo: _Loo | None
        bic: Number

    class _Diagnostics(Shape):
        posterior: _PosteriorSays
        em: _EmSays | None = None
        alignment: Alignment | None = None

    class _Cost(Shape):
        em: _Seconds | None = None
        mcmc: _Seconds | None = None

    verdict: Literal["em_sufficient", "em_with_intervals", "mcmc_needed", "inconclusive"]
    reasons: list[str]
    parameters: list[_Row]
    invariants: _Invariants
    diagnostics: _Diagnostics
    cost: _Cost | None = None


# -- studies


class Cell(Shape):
    index: Whole
    key: CellKey
    settings: dict[SweptKey, Any]
    subject: str | None = None


class DeclaredJob(Shape):
    key: JobKey
    cell: CellKey
    method: Label
    first: Whole
    stop: Whole


class Declaration(Shape):
    format: Format
    title: str | None = None
    question: str | None = None
    seed: int
    level: float
    data: str | None = None
    n_components: int | None = None
    methods: Annotated[list[Label], Field(min_length=1)]
    sweep: list[SweptKey]
    cells: list[Cell]
    jobs: list[DeclaredJob]
    provenance: Provenance

    @model_validator(mode="after")
    def _parts_name_one_another(self) -> Self:
        cells, jobs = [cell.key for cell in self.cells], [job.key for job in self.jobs]
        for name, values in {"cells": cells, "jobs": jobs, "methods": self.methods, "sweep": self.sweep}.items():
            if len(set(values)) < len(values):
                raise ValueError(f"one of its {name} stands there twice")
        if set().union(*(cell.settings for cell in self.cells)) != set(self.sweep):
            raise ValueError("the settings of its cells are not those of its sweep")
        known = set(cells), set(self.methods)
        for job in self.jobs:
            if job.cell not in known[0] or job.method not in known[1] or job.first >= job.stop:
                raise ValueError("one of its jobs has a cell, a method or replicates that the study does not have")
        return self


class Failure(Shape):
    key: JobKey
    error: str
    attempts: int = 0
    spec: dict[str, Any] = {}


class ListedFile(Shape):
    size: Whole
    sha256: str


class Spec(Shape):
    class _Method(Shape):
        name: Label
        kind: str
        budget: dict[str, Any] = {}

    seed: int
    data: dict[str, Any]
    model: dict[str, Any]
    method: _Method
    level: float
    cell: CellKey
    first: Whole
    stop: Whole


class Record(Shape):
    class _Summary(Shape):
        n_rows: Whole = 0
        statuses: dict[str, int] = {}

    class _Provenance(Provenance):
        seconds: float

    format: Format
    key: JobKey
    spec: Spec
    files: dict[FileName, ListedFile]
    summary: _Summary
    provenance: _Provenance


class IndexedJob(Shape):
    model_config = ConfigDict(extra="forbid")

    stamp: Annotated[tuple[Whole, int], Field(strict=False)]
    files: dict[FileName, Annotated[tuple[Whole, str], Field(strict=False)]]  # JSON has lists alone
    cell: str
    method: str
    first: int
    stop: int
    n_rows: int
    statuses: dict[str, int]
    seconds: float


class IndexDocument(Shape):
    format: Format
    jobs: dict[JobKey, IndexedJob]
    rows: dict[str, str]
