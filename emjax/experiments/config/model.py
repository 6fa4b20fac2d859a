"""The model section of a config: a mixture that it declares, or a file that builds one; and its prior."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, Tag, TypeAdapter, ValidationError, model_validator

from emjax.catalogue import (
    DEFAULT_FAMILY,
    DEFAULT_STRUCTURE,
    FAMILY_ENTRIES,
    LAW_FIELDS,
    FamilyEntry,
    FamilyName,
    LawName,
    StructureName,
    family_list,
    is_structured,
)
from emjax.experiments.config.fields import (
    Arguments,
    Misplaced,
    Positive,
    PythonFile,
    Section,
    Text,
    bounded,
    by_depth,
    tagged,
)
from emjax.experiments.config.programs import ComponentAxis, ProgramModel
from emjax.experiments.config.python_files import build_from_file
from emjax.nearest import nearest, suggestion

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Row = tuple[Number, ...]


def _shape(value: Any) -> tuple[int, ...]:
    shapes = {_shape(entry) for entry in value} if isinstance(value, tuple) else {()}
    if len(shapes) > 1:
        raise ValueError("every list needs as many numbers as the one beside it")
    return (len(value), *next(iter(shapes), ())) if isinstance(value, tuple) else ()


def _even(value: Any) -> Any:
    _shape(value)
    return value


Numbers = Annotated[
    Annotated[Number, Tag("<a>")]
    | Annotated[_Row, Tag("<b>")]
    | Annotated[tuple[_Row, ...], Tag("<c>")]
    | Annotated[tuple[tuple[_Row, ...], ...], Tag("<d>")],
    by_depth(0, 3),
    AfterValidator(_even),
]


class LawTable(Section):
    """A law of a parameter: the name of one of `emjax.laws`, and its numbers.

    A number holds for all components and features; a list has one number for each feature, a list of lists one list for
    each component.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Numbers]

    law: LawName = Field(description="the law's name; beside it its numbers, as `mean` and `scale` of a normal law")

    @model_validator(mode="after")
    def _numbers_of_the_law(self) -> "LawTable":
        needed = LAW_FIELDS[self.law]
        for name in self.numbers:
            if name not in needed:
                raise Misplaced(f"unknown key {name!r} for law {self.law!r}; {suggestion(name, needed)}", name)
        for name in needed:
            if name not in self.numbers:
                raise Misplaced(f"{name} is missing: law {self.law!r} takes {', '.join(needed)}")
        return self

    @property
    def numbers(self) -> dict[str, Any]:
        """The numbers of the law by name."""
        return dict(self.__pydantic_extra__)


def _form(value: Any) -> str:
    return "table" if isinstance(value, dict | Section) else "plain"


_NumberOrLaw = Annotated[Annotated[Positive, Tag("<plain>")] | Annotated[LawTable, Tag("<table>")], tagged(_form)]


class PriorTable(Section):
    """A prior that differs from the default one in the numbers and the laws that are given.

    The default prior is scaled by the data (`emjax.Mixture.default_prior`), and so is this one: what is left out is
    as it is there. ``[model.prior.<parameter>]`` gives a parameter a law of its own.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, LawTable]

    concentration: Positive | None = Field(
        default=None, description="alpha of the Dirichlet prior of the weights, one for all components; default: 1"
    )
    mean_precision: Positive | None = Field(
        default=None, description="how many observations the prior mean is worth, kappa_0; default: 0.01"
    )
    degrees_of_freedom: Positive | None = Field(
        default=None,
        description="nu_0 of the inverse Wishart; an inverse gamma has shape nu_0 / 2; default: features + 2 (full, "
        "tied) or 3 (all others)",
    )
    scatter: Positive | None = Field(
        default=None, description="a factor on the default prior's scatter, Psi_0; default: 1"
    )
    shape: _NumberOrLaw | None = Field(
        default=None, description="a number: shape of the gamma prior of a rate, default: 2; or a law of a shape"
    )
    rate: _NumberOrLaw | None = Field(
        default=None,
        description="a number: rate (inverse scale) of the gamma prior of a rate, for every feature, default: shape / "
        "a feature's mean; or a law of a rate",
    )

    @model_validator(mode="before")
    @classmethod
    def _mistyped_number(cls, table: Any) -> Any:
        """A number under a name that is nearly that of another one; of what else is no table pydantic says so."""
        sites = {site for entry in FAMILY_ENTRIES.values() for site in entry.sites}
        for name, value in table.items() if isinstance(table, dict) else ():
            close = None if isinstance(value, dict | LawTable) or name in sites else nearest(name, cls.model_fields)
            if close is not None and close != name:
                raise Misplaced(f"unknown key {name!r}; did you mean {close!r}?", name)
        return table

    @property
    def laws(self) -> dict[str, LawTable]:
        """The laws that are given, by parameter."""
        return {name: value for name, value in self if isinstance(value, LawTable)}

    @property
    def factors(self) -> dict[str, float]:
        """The numbers that are given, by name."""
        return {name: value for name, value in self if isinstance(value, float)}

    def misplaced(self, family: str) -> str | None:
        """What is wrong with this prior for components of a family, None where nothing is."""
        entry = FAMILY_ENTRIES.get(family, FamilyEntry("", ()))
        numbers, sites = ("concentration", *entry.factors), ("weights", *entry.sites)
        for name in self.factors:
            if name not in numbers:
                takes = ", ".join(numbers)
                return f"prior.{name} is not for family {family!r}, whose prior takes {takes}: leave it out"
        if "weights" in self.laws and "concentration" in self.factors:
            return "prior.concentration and prior.weights are both of the weights: leave one of them out"
        # A model's file may build a family of its own, which says for itself what its parameters are.
        for name in self.laws if family in FAMILY_ENTRIES else ():
            if name not in sites:
                return f"prior.{name}: family {family!r} has no parameter {name!r}; {suggestion(name, sites)}"
        return None


PriorSetting = Annotated[
    Annotated[Literal["none", "default"], Tag("<plain>")] | Annotated[PriorTable, Tag("<table>")], tagged(_form)
]

_PRIOR = (
    "default: the default prior, scaled by the data; a table changes some of its numbers; none: no prior, so that EM "
    "maximises the likelihood in `fit` (`sample` and `compare` need a prior). Where it is given, EM works with it too "
    "(MAP); left out, `fit` and `compare` maximise the likelihood"
)


class Model(Section):
    """The mixture: what its components are and how many there are."""

    family: FamilyName = Field(default=DEFAULT_FAMILY, description=f"what its components are; {family_list()}")
    covariance: StructureName | None = Field(
        default=None,
        description=f"covariance structure of {' and '.join(filter(is_structured, FAMILY_ENTRIES))} components; "
        f"default: {DEFAULT_STRUCTURE}",
    )
    n_components: Annotated[int, bounded("n_components")] = Field(description="number of components, K")
    prior: PriorSetting | None = Field(default=None, description=_PRIOR)

    @model_validator(mode="after")
    def _covariance_belongs(self) -> "Model":
        if self.covariance is not None and not is_structured(self.family):
            owners = " and ".join(repr(name) for name in FAMILY_ENTRIES if is_structured(name))
            raise Misplaced(f"covariance is for family {owners}; {self.family!r} has none: leave it out", "covariance")
        return self

    @property
    def structure(self) -> str | None:
        """The covariance structure in force; None for a family without one."""
        return (self.covariance or DEFAULT_STRUCTURE) if is_structured(self.family) else None

    @model_validator(mode="after")
    def _prior_belongs(self) -> "Model":
        problem = self.prior.misplaced(self.family) if isinstance(self.prior, PriorTable) else None
        if problem is not None:
            raise Misplaced(problem, "prior")
        return self


class FileModel(Section):
    """A mixture that a Python file builds: the only thing in a config that can run code.

    The file defines ``build(**arguments)``, which returns an `emjax.Mixture`. What `Model` declares is read from that
    mixture, so asking for it runs the file.
    """

    file: PythonFile = Field(description="the path of a Python file whose function build() returns an emjax.Mixture")
    arguments: Arguments = Field(default_factory=dict, description="what build() is called with")
    prior: PriorSetting | None = Field(default=None, description=_PRIOR + "; left out: the prior of the mixture built")

    @property
    def built(self) -> Any:
        """The `emjax.Mixture` that the file builds; raises `ConfigError` where it does not."""
        return build_from_file(self.file, self.arguments)

    @property
    def family(self) -> str:
        """The name of the family of the mixture built."""
        return str(self.built.family.name)

    @property
    def structure(self) -> str | None:
        """The covariance structure of the mixture built; None for a family without one."""
        structure: str | None = self.built.family.structured
        return structure

    @property
    def n_components(self) -> int:
        """The number of components of the mixture built."""
        return int(self.built.n_components)


def model_kind(model: Any) -> str:
    """The variant of a ``model`` table: one that names a program or a file, or one that declares the mixture itself."""
    for name, kind in _NAMED.items():
        if name in model if isinstance(model, dict) else isinstance(model, kind):
            return name
    return "declared"


_NAMED: dict[str, type[Section]] = {"program": ProgramModel, "file": FileModel}
"""Models that a Python file is, by the key that names it."""

AnyModel = Model | FileModel | ProgramModel

ModelSetting = Annotated[
    Annotated[Model, Tag("<declared>")]
    | Annotated[FileModel, Tag("<file>")]
    | Annotated[ProgramModel, Tag("<program>")],
    tagged(model_kind),
]


class ModelChange(Section):
    """What a method fits in place of the study's model: its keys are those of ``[model]``, and stand before them.

    Where the family, the file or the program is another one, only the number of components is taken from ``[model]``.
    """

    family: FamilyName | None = Field(default=None, description="as in [model]")
    covariance: StructureName | None = Field(default=None, description="as in [model]")
    n_components: Annotated[int, bounded("n_components")] | None = Field(default=None, description="as in [model]")
    prior: PriorSetting | None = Field(default=None, description="as in [model]")
    file: PythonFile | None = Field(default=None, description="as in [model]")
    arguments: Arguments | None = Field(default=None, description="as in [model]")
    program: PythonFile | None = Field(default=None, description="as in [model]")
    latent: Text | None = Field(default=None, description="as in [model]")
    plate: Text | None = Field(default=None, description="as in [model]")
    component_axis: ComponentAxis = Field(default=None, description="as in [model]")

    def applied(self, model: AnyModel) -> AnyModel:
        """The model with what is given here in place. Raises Misplaced, ``at`` the key in this table."""
        given = self.model_dump(exclude_none=True)
        below = model.model_dump(exclude_unset=True, exclude_none=True)
        if model_kind(given) in _NAMED:
            kept = {}
        elif "family" in given and not (isinstance(model, Model) and given["family"] == model.family):
            kept = {"n_components": model.n_components} if isinstance(model, Model) else {}
        else:
            kept = below
        together = {**kept, **given}
        for key in together if (kind := model_kind(together)) in _NAMED else ():
            if key not in _NAMED[kind].model_fields:
                raise Misplaced(f"{key} does not go with {DECIDED_BY[kind]}: leave it out", key)
        try:
            merged: AnyModel = MODEL.validate_python(together)
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            cause = found.get("ctx", {}).get("error")
            at = cause.at if isinstance(cause, Misplaced) else found["loc"][1:]
            raise Misplaced(str(cause or f"{'.'.join(map(str, at))}: {found['msg']}"), *at) from None
        return merged


DECIDED_BY = {"file": "a file, whose build() decides it", "program": "a program, whose arguments decide it"}
"""Why other settings of a model do not go with a Python file."""

MODEL: TypeAdapter[AnyModel] = TypeAdapter(ModelSetting, config=ConfigDict(defer_build=True))
