"""The methods that a config lists: EM, the samplers, and scikit-learn's mixtures as peers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator

from emjax.catalogue import (
    DEFAULT_INTERVALS,
    DEFAULT_SAMPLER,
    DEFAULT_START,
    NAMED_SAMPLERS,
    SAMPLERS,
    IntervalName,
    SamplerName,
    StartName,
    fewest_chains,
    sampler_defaults,
    samplers_where,
)
from emjax.experiments.config.fields import Misplaced, NotNegative, Section, Share, Text, bounded, tagged
from emjax.experiments.config.model import ModelChange
from emjax.experiments.config.parts import MethodOrFunction, OwnMethod, own_label

MIN_DRAWS_TO_COMPARE = 100
"""Fewer draws over all chains have no tails to estimate (PSIS-LOO) and no interval worth comparing."""

N_INIT = 20
"""The starts of EM in a study that does not say how many."""

Precision = Literal["float64", "float32"]
_SINGLE = " and ".join(samplers_where("float32"))


class Budget(Section):
    """What a method may spend on one data set, so that accuracy is compared at equal cost."""

    evaluations: Annotated[int, bounded("evaluations")] = Field(
        description="passes over the data: E-steps of all starts, density evaluations of all chains"
    )


_OF_SINGLE_RUNS = {"log_every", "loo"}
"""Settings that mean something in a single run alone."""


class MethodBase(Section):
    """What every method has."""

    name: Text | None = Field(default=None, description="how reports call it; default: its kind")
    budget: Budget | None = Field(default=None, description="what it may spend on one data set; default: no limit")
    model: ModelChange | None = Field(default=None, description="what it fits in place of the study's model")

    @property
    def label(self) -> str:
        """The name in force."""
        return self.name or str(getattr(self, "kind"))  # noqa: B009  (declared by the variants)

    def of_job(self) -> dict[str, Any]:
        """The settings in force as plain JSON values: what the rows of a study's jobs depend on."""
        return {**self.model_dump(mode="json", exclude_none=True, exclude=_OF_SINGLE_RUNS), "name": self.label}


class EmMethod(MethodBase):
    """Maximum likelihood, or the posterior mode under the model's prior, by EM."""

    kind: Literal["em", "map"] = Field(description="em: maximum likelihood; map: the posterior mode")
    n_init: Annotated[int, bounded("n_init")] | None = Field(
        default=None,
        description=f"number of starts; the best is kept, all optima are reported; default: {N_INIT}, and in a single "
        "run up to 240 where these have not settled which is the best; 1 with `iterations`",
    )
    starts: StartName = Field(
        default=DEFAULT_START,
        description="how starts are drawn; mixed: k-means++, random points, and hard clusters; prior_draws: for map",
    )
    accelerate: Literal["auto", "none", "squarem", "anderson"] = Field(
        default="auto", description="auto: Anderson acceleration, and plain EM with `iterations`; none: plain EM"
    )
    max_iter: Annotated[int, bounded("max_iter")] = Field(default=10_000, description="most iterations of one start")
    tol: NotNegative = Field(
        default=1e-6, description="stop when the estimated distance to the limit is below this; 0: never"
    )
    iterations: Annotated[int, bounded("iterations")] | None = Field(
        default=None, description="run exactly this many iterations; max_iter and tol are then not used"
    )
    precision: Precision = Field(default="float64", description="precision of EM")
    intervals: Literal[IntervalName, "none"] = Field(
        default=DEFAULT_INTERVALS,
        description="how intervals are made; information: from the log-likelihood's curvature; sandwich: from the "
        "spread of the scores beside it; profile: from the log-likelihood itself; bootstrap, weighted, parametric, "
        "jackknife: from EM on replicates of the data; auto: by the information, and by the profile where that cannot "
        "be relied on (beside a posterior by the information); none: estimates alone",
    )
    resamples: Annotated[int, bounded("replicates")] = Field(
        default=1000, description="replicates of the data where intervals are made from such"
    )
    log_every: Annotated[int, bounded("log_every")] = Field(
        default=0, description="a line with the parameters every so many iterations of a single run; 0: none"
    )

    @property
    def fixed_n_init(self) -> int | None:
        """The number of starts in force, None where it is left to `emjax.fit`; exact iterations are those of one."""
        return self.n_init or (1 if self.iterations else None)

    def of_job(self) -> dict[str, Any]:
        """The settings in force; exact iterations are as many at most, and a tolerance of nothing."""
        settings = {**super().of_job(), "n_init": self.fixed_n_init or N_INIT}
        iterations = settings.pop("iterations", None)
        return settings if iterations is None else {**settings, "max_iter": iterations, "tol": 0.0}


class SamplerMethod(MethodBase):
    """A posterior by one of the library's samplers, or by the one that ``auto`` chooses."""

    kind: SamplerName = Field(
        description="the sampler; " + "; ".join(f"{name}: {entry.what}" for name, entry in SAMPLERS.items())
    )
    chains: Annotated[int, bounded("chains")] | None = Field(
        default=None, description=f"number of chains; default: {sampler_defaults('chains')}"
    )
    warmup: Annotated[int, bounded("warmup")] | None = Field(
        default=None,
        description="steps of each chain that tune the sampler and are not kept; default: "
        + sampler_defaults("warmup"),
    )
    draws: Annotated[int, bounded("draws")] | None = Field(
        default=None,
        description=f"draws kept of each chain; default: {sampler_defaults('draws')}, and more where "
        "these do not suffice and the sampler can go on",
    )
    target_accept_prob: Share | None = Field(
        default=None,
        description="acceptance probability that steps are tuned to; raise it where transitions diverge; default: "
        + sampler_defaults("target_accept_prob"),
    )
    pseudo_rows: NotNegative | None = Field(
        default=None, description="rows of data that those weigh which the bootstrap takes from the prior; default: 0"
    )
    dtype: Precision = Field(default="float64", description=f"precision of {_SINGLE}; the others work in float64 only")
    verdict: bool = Field(
        default=False, description="also compare with EM, and say whether EM is enough as `emjax compare` does"
    )
    loo: Annotated[bool, Field(strict=True)] = Field(
        default=True,
        description="whether a single run with a verdict computes PSIS-LOO, which no verdict needs; of many rows from "
        "a sample",
    )
    keep_draws: bool = Field(default=False, description="write every posterior as NetCDF beside its rows")

    @model_validator(mode="after")
    def _settings_go_with_kind(self) -> SamplerMethod:
        entry, kind = SAMPLERS[self.kind], self.kind
        if self.dtype == "float32" and not entry.float32:
            raise Misplaced(f"dtype = 'float32' is for {_SINGLE}; {kind} works in float64 only", "dtype")
        if self.target_accept_prob is not None and not entry.target_accept_prob:
            tuned = " and ".join(samplers_where("target_accept_prob"))
            problem = f"target_accept_prob is for {tuned}; {kind} tunes no steps: leave it out"
            raise Misplaced(problem, "target_accept_prob")
        if self.pseudo_rows is not None and not entry.approximate:
            one = " or ".join(samplers_where("approximate"))
            problem = f"pseudo_rows is for {one}; {kind} takes no rows from the prior: leave it out"
            raise Misplaced(problem, "pseudo_rows")
        if self.warmup is not None and entry.independent:
            problem = f"warmup is for samplers with chains; draws of {kind} are independent: leave it out"
            raise Misplaced(problem, "warmup")
        if kind == DEFAULT_SAMPLER and self.budget is not None:
            others = " or ".join(NAMED_SAMPLERS)
            raise Misplaced(f"auto goes on until its draws suffice: for a budget name {others}", "budget")
        n_draws = (self.chains or fewest_chains(kind)) * (self.draws or MIN_DRAWS_TO_COMPARE)
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
    return "sampler" if kind in SAMPLERS else "em" if kind == "map" else kind


Method = Annotated[
    Annotated[EmMethod, Tag("<em>")]
    | Annotated[SamplerMethod, Tag("<sampler>")]
    | Annotated[SklearnMethod, Tag("<sklearn>")]
    | Annotated[OwnMethod, Tag("<own>")],
    tagged(_method_kind),
    MethodOrFunction,
]

COMPARED: tuple[dict[str, Any], ...] = ({"kind": "em"}, {"kind": DEFAULT_SAMPLER, "verdict": True})
"""The methods of a config that lists none: those of `emjax compare`."""
