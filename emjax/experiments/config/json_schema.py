"""The JSON Schema of config files, for editors that complete and check while one types."""

from __future__ import annotations

import copy
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from emjax.experiments.config.schema import Study
from emjax.experiments.config.single import Config

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_EXTENDS = {
    "title": "Extends",
    "description": "config files, relative to this one, whose settings hold where this one has none; the later the "
    "stronger",
    "anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string", "minLength": 1}}],
}
_SWEPT_VALUES = {"type": "array", "minItems": 1, "description": "the values that this setting takes"}


def config_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of every config file: a run, a study, or a part of one that extends another file.

    A config with ``extends`` may lack what the other file has, so nothing is required of it.
    """
    definitions = _definitions(Config, Study)
    definitions.update({f"Partial{name}": _partial(part) for name, part in definitions.items()})
    is_study = {"anyOf": [{"required": ["methods"]}, {"required": ["sweep"]}]}
    parts = {"anyOf": [{"$ref": "#/$defs/PartialStudy"}, {"$ref": "#/$defs/PartialConfig"}]}
    whole = {"if": is_study, "then": {"$ref": "#/$defs/Study"}, "else": {"$ref": "#/$defs/Config"}}
    return {
        "$schema": _DIALECT,
        "title": "emjax config",
        "description": "What `emjax run` does: one run, or with [[methods]] a study.",
        "type": "object",
        "if": {"required": ["extends"]},
        "then": parts,
        "else": whole,
        "$defs": definitions,
    }


def study_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a study alone."""
    definitions = _definitions(Study)
    return {"$schema": _DIALECT, **definitions.pop("Study"), "$defs": definitions}


def _definitions(*models: type[BaseModel]) -> dict[str, Any]:
    """The definitions of some schemas and of all their tables, with what may be written beside what they hold."""
    _, schema = models_json_schema([(model, "validation") for model in models])
    definitions: dict[str, Any] = schema["$defs"]
    for model in models:
        own = definitions[model.__name__]
        own["properties"] = {"extends": _EXTENDS, **own["properties"]}
    # Without quotes `data.n_samples = [..]` is a table in a table.
    swept = {"anyOf": [_SWEPT_VALUES, {"$ref": "#/$defs/SweptTable"}]}
    definitions["SweptTable"] = {"title": "SweptTable", "type": "object", "additionalProperties": swept}
    for table in ("grid", "zip"):
        definitions["Sweep"]["properties"][table]["additionalProperties"] = swept
    return definitions


def _partial(part: Any) -> Any:
    """A schema that requires nothing, so that of several variants more than one may fit."""
    if isinstance(part, list):
        return [_partial(entry) for entry in part]
    if not isinstance(part, dict):
        return copy.copy(part)
    changed: dict[str, Any] = {}
    for key, value in part.items():
        if key == "required" and isinstance(value, list):
            continue
        if key == "$ref":
            changed[key] = value.replace("#/$defs/", "#/$defs/Partial")
        else:
            changed["anyOf" if key == "oneOf" else key] = _partial(value)
    return changed
