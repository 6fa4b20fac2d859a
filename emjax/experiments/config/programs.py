"""A NumPyro program as the model of a config: the Python file with its function, and what that is called with."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt

from emjax.errors import ConfigError
from emjax.experiments.config.fields import Arguments, PythonFile, Section, Text
from emjax.experiments.config.python_files import absolute, called, content_of, function_in, signature_of
from emjax.nearest import suggestion
from emjax.wording import printable

MODEL, DATA = "model", "data"
"""The functions of a program's file: the program, and, where it brings them, the data that it was written for."""


def _of_a_program(prior: Any) -> Any:
    if isinstance(prior, Mapping) or (isinstance(prior, str) and prior not in ("none", "default")):
        raise ValueError("a program has priors of its own: change them there, or give 'none' for maximum likelihood")
    return prior


ComponentAxis = Annotated[dict[Text, StrictInt] | None, AfterValidator(lambda axes: axes or None)]
"""The axis of components of some sites, by their names; an empty table says nothing."""


class ProgramModel(Section):
    """A NumPyro program with one discrete latent per datum; its file is run, as that of a model's file is.

    The file defines ``model(data..., **arguments)``, and may define ``data(seed=0)``, which returns the data that it
    was written for as arguments by name.
    """

    family: ClassVar[str] = "program"
    structure: ClassVar[None] = None
    n_components: ClassVar[None] = None

    program: PythonFile = Field(
        description="the path of a Python file whose function model() is a NumPyro program with one discrete latent "
        "per datum"
    )
    arguments: Arguments = Field(default_factory=dict, description="what model() is called with besides the data")
    latent: Text | None = Field(default=None, description="the site of the latent; default: the only one there is")
    plate: Text | None = Field(default=None, description="the plate of the data; default: that of the latent")
    component_axis: ComponentAxis = Field(
        default=None,
        description="of a site, by its name, which of its axes is that of the components; default: the one found",
    )
    prior: Annotated[Literal["none", "default"] | None, BeforeValidator(_of_a_program)] = Field(
        default=None,
        description="default: the program's own priors, so that EM gives the posterior mode; none: flat ones, for "
        "`fit` alone",
    )


def resolved_program(model: ProgramModel) -> dict[str, Any]:
    """The model section of a spec: the program's file with the hash of its content, and all that it is called with.

    The file is run. Raises ConfigError where it cannot be, has no function `MODEL`, or where that takes no argument of
    a name that is given.
    """
    _, sha256 = content_of(model.program, "program")
    _check_arguments(model)
    tree = model.model_dump(mode="json", exclude_none=True)
    return {**tree, "program": absolute(model.program), "sha256": sha256, "family": model.family}


def _check_arguments(model: ProgramModel) -> None:
    parameters = signature_of(_function(model.program, MODEL)).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return
    names = [each.name for each in parameters if each.kind is not inspect.Parameter.VAR_POSITIONAL]
    for name in model.arguments:
        if name not in names:
            raise ConfigError(
                f"{printable(model.program)}: {MODEL}() takes no argument {printable(name)!r}, which model.arguments "
                f"gives; {suggestion(name, names)}"
            )


def program_of(model: Mapping[str, Any], *, with_prior: bool) -> Any:
    """The `emjax.Program` that the model section of a spec (see `resolved_program`) means.

    Raises ConfigError where its file is gone, cannot be run, or has changed since.
    """
    from emjax.probabilistic.program import program

    prior = "program" if with_prior and model.get("prior") != "none" else None
    return program(
        _function(model["program"], MODEL, model.get("sha256")),
        latent=model.get("latent"),
        plate=model.get("plate"),
        component_axis=model.get("component_axis"),
        prior=prior,  # type: ignore[arg-type]
        **model.get("arguments", {}),
    )


def data_of_program(section: Mapping[str, Any], seed: int) -> Any:
    """What the function `DATA` of a program's file returns.

    Raises ConfigError where it has none, that fails, or the file is not what it was when the section was resolved.
    """
    file = section["program"]
    return called(_function(file, DATA, section.get("sha256")), absolute(file), seed=seed)


_REMEDIES = {
    MODEL: "define the NumPyro program under that name",
    DATA: "define one that returns the program's data by the names of its arguments, or name data",
}


def _function(file: str, name: str, sha256: str | None = None) -> Any:
    return function_in(file, "program", name, _REMEDIES[name], sha256)
