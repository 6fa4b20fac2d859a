"""The JSON Schema of config files, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any

from emjax.experiments.config.schema import Study
from emjax.experiments.config.sweeps import TABLES

_PATHS = {"type": "array", "items": {"type": "string", "minLength": 1}}
_EXTENDS = {
    "title": "Extends",
    "description": "config files, relative to this one, whose settings hold where this one has none; the later the "
    "stronger",
    "anyOf": [_PATHS["items"], _PATHS],
}
_SWEPT_VALUES = {"type": "array", "minItems": 1, "description": "the values that this setting takes"}


def config_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of every config file, also of a part of one that extends another file.

    Only ``data`` and ``model`` are required, and not of a config with ``extends``: any key may stand in the other file.
    """
    schema: dict[str, Any] = _without_required(Study.model_json_schema())
    definitions = schema["$defs"]
    schema["properties"] = {"extends": _EXTENDS, **schema["properties"]}
    schema["anyOf"] = [{"required": ["extends"]}, {"required": ["data", "model"]}]
    # Without quotes `data.n_samples = [..]` is a table in a table.
    swept = {"anyOf": [_SWEPT_VALUES, {"$ref": "#/$defs/SweptTable"}]}
    definitions["SweptTable"] = {"title": "SweptTable", "type": "object", "additionalProperties": swept}
    for table in TABLES:
        definitions["Sweep"]["properties"][table]["additionalProperties"] = swept
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "emjax config"}


def _without_required(part: Any) -> Any:
    """A schema that requires nothing, so that of several variants more than one may fit."""
    if isinstance(part, list):
        return [_without_required(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    kept = {key: value for key, value in part.items() if key != "required" or not isinstance(value, list)}
    return {"anyOf" if key == "oneOf" else key: _without_required(value) for key, value in kept.items()}
