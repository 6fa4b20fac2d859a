"""The model section of a config: a mixture that it declares, or a file that builds one; and its prior."""

import json
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Tag, field_validator, model_validator

from emjax.catalogue import NAMES, WITH_COVARIANCE
from emjax.experiments.study.fields import Misplaced, PathText, Positive, Section, Text, bounded


class PriorTable(Section):
    """A conjugate prior that differs from the default one in the numbers that are given.

    The default prior is scaled by the data (`emjax.Mixture.default_prior`), and so is this one: what is left out is
    as it is there.
    """

    concentration: Positive | None = Field(
        default=None, description="alpha of the Dirichlet prior of the weights, one for all components; default: 1"
    )
    mean_precision: Positive | None = Field(
        default=None, description="normal: how many observations the prior mean is worth, kappa_0; default: 0.01"
    )
    degrees_of_freedom: Positive | None = Field(
        default=None,
        description="normal: nu_0 of the inverse Wishart; an inverse gamma has shape nu_0 / 2; default: features + 2 "
        "(full, tied) or 3 (diag, spherical)",
    )
    scatter: Positive | None = Field(
        default=None, description="normal: a factor on the default prior's scatter, Psi_0; default: 1"
    )
    shape: Positive | None = Field(default=None, description="Poisson: shape of the gamma prior of a rate; default: 2")
    rate: Positive | None = Field(
        default=None,
        description="Poisson: rate (inverse scale) of that prior, for every feature; default: shape / a feature's mean",
    )

    def misplaced(self, family: str) -> str | None:
        """What is wrong with this prior for components of a family, None where nothing is."""
        own = PRIOR_KEYS.get(family, ())
        for name in self.model_fields_set - {"concentration", *own}:
            if getattr(self, name) is not None:
                takes = ", ".join(("concentration", *own))
                return f"prior.{name} is not for family {family!r}, whose prior takes {takes}: leave it out"
        return None


PRIOR_KEYS = {"normal": ("mean_precision", "degrees_of_freedom", "scatter"), "poisson": ("shape", "rate")}
"""What the prior of each family's components takes, beside the concentration of the weights."""


def _prior_kind(prior: Any) -> str:
    return "table" if isinstance(prior, dict | PriorTable) else "name"


PriorSetting = Annotated[
    Annotated[Literal["none", "default"], Tag("name")] | Annotated[PriorTable, Tag("table")],
    Discriminator(_prior_kind),
]

_PRIOR = (
    "default: the default prior, scaled by the data; a table changes some of its numbers; none: no prior, so that EM "
    "maximises the likelihood in `fit` (`sample` and `compare` need a prior). Where it is given, EM works with it too "
    "(MAP); left out, `fit` and `compare` maximise the likelihood"
)


class Model(Section):
    """The mixture: what its components are and how many there are."""

    family: Literal[*NAMES] = Field(default="normal", description="what its components are")  # type: ignore[valid-type]
    covariance: Literal["full", "tied", "diag", "spherical"] | None = Field(
        default=None, description=f"{' and '.join(WITH_COVARIANCE)} only; default: full"
    )
    n_components: Annotated[int, bounded("n_components")] = Field(description="number of components, K")
    prior: PriorSetting | None = Field(default=None, description=_PRIOR)

    @model_validator(mode="after")
    def _covariance_belongs(self) -> "Model":
        if self.family not in WITH_COVARIANCE and self.covariance is not None:
            those = " and ".join(map(repr, WITH_COVARIANCE))
            raise Misplaced(f"covariance is for {those}; {self.family!r} has none: leave it out", "covariance")
        return self

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

    file: PathText = Field(description="the path of a Python file whose function build() returns an emjax.Mixture")
    arguments: dict[Text, JsonValue] = Field(default_factory=dict, description="what build() is called with")
    prior: PriorSetting | None = Field(default=None, description=_PRIOR + "; left out: the prior of the mixture built")

    @field_validator("arguments")
    @classmethod
    def _finite(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(arguments, allow_nan=False)
        except ValueError:
            raise ValueError("every number among the arguments has to be finite") from None
        return arguments

    @model_validator(mode="after")
    def _is_a_python_file(self) -> "FileModel":
        if not self.file.endswith(".py"):
            raise Misplaced(f"file = {self.file!r} is not a Python file: its name has to end in .py", "file")
        return self

    @property
    def built(self) -> Any:
        """The `emjax.Mixture` that the file builds; raises `ConfigError` where it does not."""
        from emjax.experiments.study.mixtures import build_from_file

        return build_from_file(self.file, self.arguments)

    @property
    def family(self) -> str:
        """The name of the family of the mixture built."""
        return str(self.built.family.name)

    @property
    def covariance(self) -> Any:
        """The covariance structure of the mixture built; None for a family without one."""
        return getattr(self.built.family, "covariance", None)

    @property
    def n_components(self) -> int:
        """The number of components of the mixture built."""
        return int(self.built.n_components)


def model_kind(model: Any) -> str:
    """The variant of a ``model`` table: one that names a file, or one that declares the mixture itself."""
    named = "file" in model if isinstance(model, dict) else isinstance(model, FileModel)
    return "file" if named else "declared"


ModelSetting = Annotated[
    Annotated[Model, Tag("declared")] | Annotated[FileModel, Tag("file")], Discriminator(model_kind)
]
