"""The data section of a config: data that lie somewhere, or that are drawn from a mixture that is written there."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Tag, field_validator, model_validator

from emjax.bounds import LARGEST
from emjax.catalogue import DEFAULT_FAMILY, FAMILY_ENTRIES, SITES, FamilyName, drawn_from, in_words
from emjax.experiments.config.fields import (
    Column,
    Columns,
    Matrices,
    Misplaced,
    PathText,
    Positive,
    PositiveRow,
    PositiveRows,
    Probabilities,
    Rows,
    Section,
    Seed,
    Share,
    Text,
    bounded,
    tagged,
)
from emjax.experiments.config.parts import GeneratorData
from emjax.nearest import suggestion
from emjax.wording import count


class SourceData(Section):
    """Data that lie somewhere: a bundled name or a file. Replicates differ by their split, or are bootstrap samples."""

    kind: Literal["source"] = "source"
    source: PathText = Field(description="a bundled name (see `emjax datasets`) or the path of a file")
    columns: Columns | None = Field(
        default=None, description="the columns to use, by name or position from 0, in this order; default: all"
    )
    header: Annotated[bool, Field(strict=True)] | None = Field(
        default=None, description="whether the first line of a text file holds names; default: found out"
    )
    weights: Column | None = Field(
        default=None, description="the column that says how often each row counts, by name or position; no feature"
    )
    labels: Column | None = Field(
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
    holdout: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(
        default=0.0, description="the share of the rows that is set aside for the log score, drawn anew per replicate"
    )
    resample: Literal["none", "bootstrap"] = Field(
        default="none", description="bootstrap: every replicate draws as many rows with replacement"
    )

    @model_validator(mode="after")
    def _one_role_each(self) -> SourceData:
        if self.weights is not None and self.weights == self.labels:
            raise Misplaced(f"labels = {self.labels!r} is the column of the weights: name another one", "labels")
        for role in ("weights", "labels"):
            if getattr(self, role) in (self.columns or ()):
                problem = f"{role} = {getattr(self, role)!r} is among the columns, the features: leave it out there"
                raise Misplaced(problem, role)
        return self

    @property
    def plain(self) -> bool:
        """Whether all rows are taken as they are."""
        return self.holdout == 0 and self.resample == "none"


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
        for name, kind in (("degrees_of_freedom", "student_t"), ("skewness", "skew_normal")):
            if self.kind != kind and getattr(self, name) is not None:
                raise Misplaced(f"{name} is for kind {kind!r}, not {self.kind!r}: leave it out", name)
        return self


class SimulatedData(Section):
    """Data drawn from a mixture that is written here, anew for every replicate: the truth is known."""

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
    seed: Seed = Field(default=0, description="random seed of the data, beside that of the study")
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
    def _consistent(self) -> SimulatedData:
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
                raise Misplaced(
                    f"{name} has {count(len(value), 'component')} and weights has {len(self.weights)}", name
                )
        self._check_features()
        self._check_normal_only()
        return self

    def _check_features(self) -> None:
        rows = {name: value for name, value in self.parameters.items() if isinstance(value[0], tuple)}
        first, n_features = next(iter(rows)), self.n_features
        for matrix in rows.pop("covariance", ()):
            if {len(matrix), *map(len, matrix)} != {n_features}:
                raise Misplaced(f"a covariance has to be {n_features} x {n_features}, like the means", "covariance")
        for name, value in rows.items():
            if len(value[0]) != len(rows[first][0]):
                raise Misplaced(f"{first} has {count(n_features, 'feature')} and {name} has {len(value[0])}", name)

    def _check_normal_only(self) -> None:
        for name in ("overlap", "contamination", "misspecification"):
            if self.drawn_family != DEFAULT_FAMILY and getattr(self, name) is not None:
                others = in_words(self.drawn_family)
                raise Misplaced(f"{name} is for normal components, and these are {others}: leave it out", name)
        if self.overlap is not None and len(self.weights) < 2:
            raise Misplaced("overlap needs at least two components", "overlap")

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

    @property
    def plain(self) -> bool:
        """Whether rows are drawn from the mixture as it is written, and from it alone."""
        return self.holdout == 0 and self.overlap is None and self.contamination is None and not self.misspecification


class PriorData(Section):
    """Data whose truth is drawn, anew for every replicate, from the study's ``[model]`` and its prior, for calibration.

    A default prior is scaled by data, and here it has to be known before there are any: it is scaled by a data set that
    is the same for all replicates, and so is that of every method.
    """

    kind: Literal["prior"]
    n_samples: Annotated[int, bounded("n_samples")] = Field(default=1000, description="rows to draw")
    n_features: Annotated[int, Field(strict=True, ge=1, le=100)] = Field(default=1, description="features of a row")
    scaled_by: Text | None = Field(
        default=None,
        description="the bundled data set that the default prior is scaled by, and whose number of features holds; "
        "default: rows with mean 0 and standard deviation 1",
    )
    holdout: Annotated[int, bounded("holdout")] = Field(default=0, description="further rows drawn for the log score")

    @field_validator("scaled_by")
    @classmethod
    def _is_bundled(cls, name: str | None) -> str | None:
        from emjax.datasets.bundled import CATALOGUE

        if name is not None and name not in CATALOGUE:
            raise ValueError(f"there is no bundled data set {name!r}; {suggestion(name, CATALOGUE)}")
        return name


class ProgramData(Section):
    """The data that a program brings: what ``data(seed)`` in the file of the study's ``[model] program`` returns.

    Replicate r has the seed ``seed + r``; of published data all are the same.
    """

    kind: Literal["program"]
    plain: ClassVar[bool] = True
    seed: Seed = Field(default=0, description="what data() is called with for the first replicate")


def data_kind(data: Any) -> str:
    """The variant that a ``data`` table declares by its ``kind``, or by the generator or the source that it names."""
    default = "generator" if isinstance(data, dict) and "generator" in data else "source"
    kind = data.get("kind", default) if isinstance(data, dict) else getattr(data, "kind", default)
    return kind if isinstance(kind, str) else "source"


Data = Annotated[
    Annotated[SourceData, Tag("<source>")]
    | Annotated[SimulatedData, Tag("<simulate>")]
    | Annotated[GeneratorData, Tag("<generator>")]
    | Annotated[PriorData, Tag("<prior>")]
    | Annotated[ProgramData, Tag("<program>")],
    tagged(data_kind),
]
