"""The declaration of a run: what a config file or the options of a command may say.

A config is checked whole before anything is computed. It can never execute code, but for the one file that it may
name as its model: every other value is a number, a string or a list of them. Paths in a config file are taken relative
to that file, paths given on the command line relative to the current folder.
"""

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from emjax.catalogue import (
    DEFAULT_FAMILY,
    DEFAULT_SAMPLER,
    DEFAULT_START,
    FAMILY_ENTRIES,
    SAMPLERS,
    SITES,
    FamilyName,
    SamplerName,
    StartName,
    drawn_from,
    fewest_chains,
    in_words,
    sampler_defaults,
)
from emjax.experiments.config.fields import (
    PRECISION_OF_SAMPLERS,
    STARTS_IN_WORDS,
    Column,
    Matrices,
    Misplaced,
    NotNegative,
    PathText,
    Position,
    PositiveRow,
    PositiveRows,
    Probabilities,
    Rows,
    Section,
    Seed,
    Text,
    bounded,
    check_sampler,
    distinct,
    names,
)
from emjax.experiments.config.model import FileModel, ModelSetting
from emjax.experiments.config.model import Model as Model
from emjax.files import user_path

MIN_DRAWS_TO_COMPARE = 100
"""Fewer draws over all chains have no tails to estimate (PSIS-LOO) and no interval worth comparing."""


class SourceData(Section):
    """Data that lie somewhere: a bundled name or a file (CSV, Parquet, Arrow, .npy, .npz)."""

    kind: Literal["source"] = "source"
    source: PathText = Field(description="a bundled name (see `emjax datasets`) or the path of a file")
    columns: Annotated[
        tuple[Text, ...] | None,
        Field(min_length=1),
        BeforeValidator(names, json_schema_input_type=tuple[Text | Position, ...] | None),
        AfterValidator(distinct),
    ] = Field(
        default=None,
        description="the columns to use, by name or position from 0, in this order; default: all",
    )
    header: Annotated[bool, Field(strict=True)] | None = Field(
        default=None, description="whether the first line of a text file holds names; default: found out"
    )
    weights: Column = Field(
        default=None, description="the column that says how often each row counts, by name or position; no feature"
    )
    labels: Column = Field(
        default=None,
        description="the column with labels of components, whole numbers from 0 or names, by name or position; an "
        "empty cell, NA and -1 are none; no feature",
    )
    missing: Literal["refuse", "keep"] | None = Field(
        default=None, description="empty cells: refuse (default), or keep them as not seen"
    )
    texts: Literal["refuse", "levels"] | None = Field(
        default=None,
        description="columns of texts: refuse them, or take them as levels in alphabetical order, which is the default "
        "where the model's family is of levels",
    )

    @model_validator(mode="after")
    def _one_role_each(self) -> "SourceData":
        if self.weights is not None and self.weights == self.labels:
            raise Misplaced(f"labels = {self.labels!r} is the column of the weights: name another one", "labels")
        for role in ("weights", "labels"):
            if getattr(self, role) in (self.columns or ()):
                problem = f"{role} = {getattr(self, role)!r} is among the columns, the features: leave it out there"
                raise Misplaced(problem, role)
        return self


class SimulatedData(Section):
    """Data drawn from a mixture that is written here: the truth is known."""

    kind: Literal["simulate"]
    family: FamilyName | None = Field(
        default=None, description="what the components are; default: poisson where there is a rate, else normal"
    )
    weights: PositiveRow = Field(description="one weight per component; they sum to 1")
    mean: Rows | None = Field(default=None, description="normal, Student t: mean of each feature, per component")
    scale: PositiveRows | None = Field(default=None, description="normal: standard deviation, per component")
    covariance: Matrices | None = Field(default=None, description="normal: covariance matrix, per component")
    df: PositiveRow | None = Field(default=None, description="Student t: degrees of freedom, per component")
    rate: PositiveRows | None = Field(
        default=None, description="Poisson, exponential, gamma: rate of each feature, per component"
    )
    shape: PositiveRows | None = Field(default=None, description="gamma: shape of each feature, per component")
    probability: Probabilities | None = Field(
        default=None, description="Bernoulli: of each feature, per component; categorical: of each feature's levels"
    )
    n_samples: Annotated[int, bounded("n_samples")] = Field(default=1000, description="rows to draw")
    seed: Seed = Field(default=0, description="random seed of the data")

    @model_validator(mode="after")
    def _consistent(self) -> "SimulatedData":
        if abs(sum(self.weights) - 1.0) > 1e-9:
            raise Misplaced(f"weights sum to {sum(self.weights):.12g} and have to sum to 1", "weights")
        given, ways = self.parameters, drawn_from(self.drawn_family)
        if set(given) not in ways:
            wanted = ", or ".join(" and ".join(sorted(way)) for way in ways)
            if self.family is None:
                wanted = "mean and scale, or mean and covariance (normal), or rate (Poisson), or name a family"
            else:
                wanted += f" ({in_words(self.family)})"
            raise ValueError(f"give {wanted}")
        for name, value in given.items():
            if len(value) != len(self.weights):
                raise Misplaced(f"{name} has {len(value)} components and weights has {len(self.weights)}", name)
        self._check_features()
        return self

    def _check_features(self) -> None:
        rows = {name: value for name, value in self.parameters.items() if isinstance(value[0], tuple)}
        first, n_features = next(iter(rows)), self.n_features
        for matrix in rows.pop("covariance", ()):
            if {len(matrix), *map(len, matrix)} != {n_features}:
                raise Misplaced(f"a covariance has to be {n_features} x {n_features}, like the means", "covariance")
        for name, value in rows.items():
            if len(value[0]) != len(rows[first][0]):
                raise Misplaced(f"{first} has {n_features} features and {name} has {len(value[0])}", name)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the components that are given."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name in SITES}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def drawn_family(self) -> FamilyName:
        """What the components are."""
        return self.family or ("poisson" if self.rate is not None else DEFAULT_FAMILY)

    @property
    def n_features(self) -> int:
        """The number of columns."""
        first = next(value for value in self.parameters.values() if isinstance(value[0], tuple))
        of_one = FAMILY_ENTRIES[self.drawn_family].of_levels and not isinstance(first[0][0], tuple)
        return 1 if of_one else len(first[0])


def data_kind(data: Any) -> str:
    """The variant that a ``data`` table declares by its ``kind``, or by the generator or the source that it names."""
    default = "generator" if isinstance(data, dict) and "generator" in data else "source"
    kind = data.get("kind", default) if isinstance(data, dict) else getattr(data, "kind", default)
    return kind if isinstance(kind, str) else "source"


Data = Annotated[
    Annotated[SourceData, Tag("source")] | Annotated[SimulatedData, Tag("simulate")], Discriminator(data_kind)
]


class Em(Section):
    """How EM is started and when it stops."""

    n_init: Annotated[int, bounded("n_init")] | None = Field(
        default=None,
        description="number of starts; the best is kept, all optima are reported; default: 20, and up to 240 "
        "where these have not settled which is the best; 1 with `iterations`",
    )
    starts: StartName = Field(default=DEFAULT_START, description=STARTS_IN_WORDS)
    accelerate: Literal["auto", "none", "squarem", "anderson"] = Field(
        default="auto", description="auto: Anderson acceleration, and plain EM with `iterations`"
    )
    max_iter: Annotated[int, bounded("max_iter")] = Field(default=10_000, description="most iterations of one start")
    tol: NotNegative = Field(
        default=1e-6, description="stop when the estimated distance to the limit is below this; 0: never"
    )
    iterations: Annotated[int, bounded("iterations")] | None = Field(
        default=None, description="run exactly this many iterations (max_iter and tol are then not used)"
    )
    prior: Literal["none", "default"] | None = Field(
        default=None,
        description="none: maximum likelihood; default: MAP; left out: MAP where model.prior is given",
    )
    log_every: Annotated[int, bounded("log_every")] = Field(
        default=0, description="a line with the parameters every so many iterations; 0: none"
    )
    intervals: Annotated[bool, Field(strict=True)] = Field(
        default=True, description="whether estimates get standard errors; compare needs them"
    )


class Mcmc(Section):
    """How the posterior is sampled."""

    method: SamplerName = Field(
        default=DEFAULT_SAMPLER, description="; ".join(f"{name}: {entry.what}" for name, entry in SAMPLERS.items())
    )
    chains: Annotated[int, bounded("chains")] | None = Field(
        default=None, description=f"chains; default: {sampler_defaults('chains')}"
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
    target_accept_prob: Annotated[float, Field(strict=True, gt=0, lt=1)] | None = Field(
        default=None,
        description="acceptance probability that steps are tuned to; raise it where transitions diverge; default: "
        + sampler_defaults("target_accept_prob"),
    )
    dtype: Literal["float64", "float32"] = Field(default="float64", description=PRECISION_OF_SAMPLERS)

    @model_validator(mode="after")
    def _settings_go_with_method(self) -> "Mcmc":
        check_sampler(self.method, self)
        return self


class Compare(Section):
    """How EM and posterior are compared."""

    level: Annotated[float, Field(strict=True, gt=0, lt=1)] = Field(
        default=0.9, description="probability of the intervals of both"
    )
    loo: Annotated[bool, Field(strict=True)] = Field(
        default=True, description="whether PSIS-LOO is computed, which no verdict needs; of many rows from a sample"
    )


class Output(Section):
    """Where the run is written."""

    dir: PathText | None = Field(default=None, description="the run's folder; default: runs/<data>-k<K>")


class Config(Section):
    """One run: its data, its model, and how it is fitted, sampled and compared."""

    task: Literal["compare", "fit", "sample"] = Field(
        default="compare",
        description="compare: fit by EM, sample, and say whether EM is enough; fit or sample: that alone",
    )
    seed: Seed = Field(default=0, description="random seed of everything but simulated data, which have their own")
    precision: Literal["float64", "float32"] = Field(
        default="float64", description="precision of EM; the sampler has its own, mcmc.dtype"
    )
    data: Data = Field(description="the data, from a source or drawn from a mixture")
    model: ModelSetting = Field(description="the mixture: declared, or built by a file")
    em: Em = Em()
    mcmc: Mcmc = Mcmc()
    compare: Compare = Compare()
    output: Output = Output()

    @model_validator(mode="after")
    def _texts_fit_family(self) -> "Config":
        object.__setattr__(self, "data", with_texts(self.data, self.model))
        return self

    @model_validator(mode="after")
    def _prior_fits_task(self) -> "Config":
        if self.task != "fit" and self.model.prior == "none":
            raise Misplaced(
                f"model.prior = 'none' leaves task {self.task!r} without a posterior: use 'default', or leave it out "
                "(compare then sets maximum likelihood beside the posterior)",
                "model",
                "prior",
            )
        return self

    @model_validator(mode="after")
    def _intervals_fit_task(self) -> "Config":
        if self.task == "compare" and not self.em.intervals:
            raise ValueError("em.intervals = false is for tasks fit and sample: compare judges EM by its intervals")
        return self

    @model_validator(mode="after")
    def _enough_draws(self) -> "Config":
        mcmc = self.mcmc
        if self.task != "compare" or mcmc.draws is None:
            return self
        n_draws = (mcmc.chains or fewest_chains(mcmc.method)) * mcmc.draws
        if n_draws < MIN_DRAWS_TO_COMPARE:
            problem = f"mcmc.chains x mcmc.draws = {n_draws}: compare needs at least {MIN_DRAWS_TO_COMPARE} draws"
            raise Misplaced(problem, "mcmc", "draws")
        return self

    @property
    def prior(self) -> Literal["none", "default"]:
        """Whether a prior is in force: ``none`` or, for any prior at all, ``default``.

        As declared; else ``default`` for the tasks that need one, and what the model's file says for ``fit``.
        """
        return self.em_prior if self.task == "fit" else "default"

    @property
    def em_prior(self) -> Literal["none", "default"]:
        """The prior that EM works with: ``default`` (MAP, whichever prior it is) or ``none`` (maximum likelihood).

        That of the posterior for ``sample``. For ``fit`` and ``compare`` what ``em.prior`` or else ``model.prior``
        declares; where neither does, that of the model's file, if it has one, and else none.
        """
        if self.task == "sample":
            return "default"
        declared = self.em.prior or self.model.prior
        if declared is None:
            return "default" if isinstance(self.model, FileModel) and self.model.built.prior is not None else "none"
        return "none" if declared == "none" else "default"

    @property
    def n_init(self) -> int | None:
        """The number of starts in force, None where it is left to `emjax.fit`; exact iterations are those of one."""
        return self.em.n_init or (1 if self.em.iterations else None)

    def resolved(self) -> dict[str, Any]:
        """Return every setting in force as plain TOML types, nothing left to a default that this file knows.

        What is left to the sampling method (``mcmc.chains``, ``warmup``, ``draws``, ``target_accept_prob``) stays
        out, because ``auto`` may come to another method than it began with, and a number would bind them all.
        A data file is named by its absolute path, so that the result can be run from any folder. The output
        folder is left out: it says where this run lies, not what it computes, and running the resolved config
        again must not run into the folder it came from.
        """
        tree = self.model_dump(mode="json", exclude={"output"})
        if isinstance(self.model, FileModel):
            tree["model"]["file"] = os.path.abspath(user_path(self.model.file))
        else:
            tree["model"]["prior"] = tree["model"]["prior"] or self.prior
            tree["model"]["covariance"] = self.model.structure
        tree["em"]["n_init"] = self.n_init
        if self.em_prior != self.prior:
            # A prior that is written out would be EM's too.
            tree["em"]["prior"] = self.em_prior
        if isinstance(self.data, SourceData) and is_path(self.data.source):
            tree["data"]["source"] = os.path.abspath(user_path(self.data.source))
        return _without_none(tree)


def with_texts[D](data: D, model: FileModel | Model) -> D:
    """The data section, with texts read as levels where the declared family is of levels.

    Raises `Misplaced` where texts are to be levels, and the family has none; what a file builds says that later.
    """
    if not isinstance(data, SourceData) or isinstance(model, FileModel):
        return data
    of_levels = FAMILY_ENTRIES[model.family].of_levels
    if data.texts == "levels" and not of_levels:
        problem = f"texts = 'levels' is for families of levels, and {model.family!r} is none: leave it out"
        raise Misplaced(problem, "data", "texts")
    return data.model_copy(update={"texts": "levels"}) if of_levels and data.texts is None else data


def is_path(source: str, folder: str = "") -> bool:
    """Whether a source means a file, by the rule of ``emjax.datasets.load``, seen from ``folder``.

    What is neither a bundled name nor a file is left for the reader of the data to refuse by name.
    """
    if "\0" in source or not source:
        return False
    if os.path.splitext(source)[1] or "/" in source or os.sep in source:
        return True
    from emjax.datasets.bundled import CATALOGUE

    return source not in CATALOGUE and os.path.exists(os.path.join(folder, source))


def _without_none(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None
    }
