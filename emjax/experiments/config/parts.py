"""Parts of a study that its user brings: functions in Python files, or offered by installed packages.

Together with the file of a model they are all in a config that can run code, and only what is named as such is run.
From Python a part may be the function itself; it is known by the file that it stands in.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from emjax.experiments.config.fields import Arguments, Misplaced, PathText, PythonFile, Section, Text
from emjax.experiments.config.model import ModelChange


def reference_of(function: Any) -> dict[str, str]:
    """The ``file`` and the ``function`` of a Python function.

    Raises ValueError where it has no file that another process could run.
    """
    name = getattr(function, "__qualname__", "")
    try:
        file = os.path.abspath(inspect.getsourcefile(function) or "")
    except TypeError:
        file = ""
    if not name.isidentifier() or not os.path.isfile(file):
        raise ValueError(
            f"{name or type(function).__name__} is no function at the top of a Python file, which every process of a "
            "study runs: write it into one, and import it or name the file"
        )
    return {"file": file, "function": name}


def as_table(value: Any) -> Any:
    """The table of a part that is given as a function, or whose file or generator is."""
    if callable(value) and not isinstance(value, Section):
        return reference_of(value)
    for key in ("file", "generator") if isinstance(value, Mapping) else ():
        if callable(value.get(key)):
            found = reference_of(value[key])
            return {**value, key: found["file"], "function": found["function"]}
    return value


class Function(Section):
    """A function in a Python file, or one that an installed package offers by name."""

    default_function: ClassVar[str]
    what: ClassVar[str]

    function: Text | None = Field(default=None, description="the function's name in the file")
    arguments: Arguments = Field(default_factory=dict, description="what the function is called with by name")

    @model_validator(mode="before")
    @classmethod
    def _of_a_function(cls, value: Any) -> Any:
        return as_table(value)


class Part(Function):
    """A function by its file or its entry point."""

    file: PythonFile | None = Field(default=None, description="the path of a Python file with the function")
    entry_point: Text | None = Field(
        default=None, description="instead of a file: the name under which an installed package offers the function"
    )

    @model_validator(mode="after")
    def _one_home(self) -> Part:
        if (self.file is None) == (self.entry_point is None):
            raise ValueError("give either file, the path of a Python file, or entry_point, a name")
        if self.entry_point is not None and self.function is not None:
            raise Misplaced("function is for a file: an entry point names its function itself", "function")
        return self


class OwnMethod(Part):
    """A method of the user's own: ``estimate(data, key, **arguments)``."""

    default_function = "estimate"
    what = "method"

    kind: Literal["own"] = "own"
    name: Text | None = Field(default=None, description="how reports call it; default: the file's name, or its own")
    model: ModelChange | None = Field(default=None, description="what it is told to fit in place of the study's model")

    def of_job(self) -> dict[str, Any]:
        """The settings in force as plain JSON values."""
        return {**self.model_dump(mode="json", exclude_none=True), "name": self.label}

    @property
    def label(self) -> str:
        """The name in force."""
        return self.name or own_label(self.model_dump()) or self.kind


def own_label(method: Mapping[str, Any]) -> str | None:
    """What a method of the user's own is called where it has no name; None for a table of something else."""
    if isinstance(file := method.get("file"), str):
        return method.get("function") or os.path.splitext(os.path.basename(file))[0] or None
    return method.get("entry_point")


class Words(Section):
    """What the page says of a number that a measure of the user's own returns."""

    title: Text | None = Field(default=None, description="its name; default: that of the number")
    meaning: str = Field(default="", description="what it says, in a few words")
    better: Literal["less", "more", "neither"] = Field(default="neither", description="which way is better")


class OwnMeasure(Part):
    """A measure of the user's own: ``measure(outcome, replicate, **arguments)`` returns numbers by name."""

    default_function = "measure"
    what = "measure"

    words: dict[Text, Words] = Field(default_factory=dict, description="what the page says of each number, by its name")


class GeneratorData(Function):
    """Data that a function of the user's own makes for every replicate: ``generate(key, **arguments)``."""

    default_function = "generate"
    what = "generator"

    kind: Literal["generator"] = "generator"
    generator: PathText = Field(
        description="the path of a Python file (.py) with the function, or the name under which an installed package "
        "offers it"
    )

    @property
    def file(self) -> str | None:
        """The file; None where the generator is named."""
        return self.generator if self.generator.endswith(".py") else None

    @property
    def entry_point(self) -> str | None:
        """The name; None where the generator is in a file."""
        return None if self.generator.endswith(".py") else self.generator


MethodOrFunction = BeforeValidator(as_table)
"""What the union of methods is annotated with, so that a function may stand for its table."""

Measures = Annotated[tuple[OwnMeasure, ...], Field(max_length=100)]


def python_files_of(config: Any) -> list[str]:
    """The Python files that a config names, which what it declares would run."""
    methods = getattr(config, "methods", ())
    models = (config.model, *(method.model for method in methods))
    parts = (*models, config.data, *methods, *getattr(config, "measures", ()))
    named = (getattr(part, key, None) for part in parts for key in ("file", "program"))
    return [file for file in named if file is not None]


def declared_part(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section of a spec as a config would have it: without the hash of what is in its file."""
    left_out = {"sha256", "function"} if "entry_point" in section else {"sha256"}
    return {key: value for key, value in section.items() if key not in left_out}
