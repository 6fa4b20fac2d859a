"""The schema that editors get accepts what emjax accepts, and refuses what it can see is wrong."""

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from emjax.experiments.config.json_schema import config_schema

ROOT = Path(__file__).resolve().parents[3]

STUDY = """\
title = "how far apart"
seed = 3
level = 0.9
data = { kind = "simulate", weights = [0.5, 0.5], mean = [0, 3], scale = [1, 1], contamination = { share = 0.1 } }
model = { n_components = 2, prior = { concentration = 2.0 } }
methods = [{ kind = "em", n_init = 5, budget = { evaluations = 150 } }, { kind = "hmc", chains = 4 }]
[sweep]
replicates = 20
[sweep.grid]
data.n_samples = [100, 200]
"methods.em.n_init" = [1, 5]
"""

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def fits(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether a value satisfies a schema: the part of JSON Schema that ours uses."""
    if "$ref" in schema and not fits(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root):
        return False
    for key, wanted in (("anyOf", None), ("oneOf", 1)):
        n_fitting = sum(fits(value, choice, root) for choice in schema[key]) if key in schema else None
        if n_fitting == 0 or (wanted and n_fitting not in (None, wanted)):
            return False
    return _has_type(value, schema.get("type")) and _keeps_limits(value, schema) and _entries_fit(value, schema, root)


def _has_type(value: Any, kind: str | None) -> bool:
    if kind in ("number", "integer"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    return kind is None or isinstance(value, TYPES[kind])


def _keeps_limits(value: Any, schema: dict[str, Any]) -> bool:
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        return False
    if isinstance(value, list | str) and len(value) < schema.get("minItems", schema.get("minLength", 0)):
        return False
    if not isinstance(value, int | float):
        return True
    return (
        value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


def _entries_fit(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    if isinstance(value, list):
        return all(fits(entry, schema.get("items", {}), root) for entry in value)
    if not isinstance(value, dict):
        return True
    if not set(schema.get("required", ())) <= set(value):
        return False
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    unknown = [entry for key, entry in value.items() if key not in known]
    if other is False and unknown:
        return False
    others_fit = not isinstance(other, dict) or all(fits(entry, other, root) for entry in unknown)
    return others_fit and all(fits(entry, known[key], root) for key, entry in value.items() if key in known)


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/*/config.toml")), ids=lambda path: path.parent.name)
def test_what_ships_fits_the_schema(path):
    schema = config_schema()
    assert fits(tomllib.loads(path.read_text(encoding="utf-8")), schema, schema)


def test_a_study_fits_the_schema_and_its_mistakes_do_not():
    schema = config_schema()
    good = tomllib.loads(STUDY)
    assert fits(good, schema, schema)
    for place, name, wrong in [
        ((), "seeds", 1), ((), "level", 1.5), (("data",), "n_sample", 5), (("methods", 0), "draws", 5),
        (("methods", 0), "kind", "emm"), (("methods", 0, "budget"), "evaluations", 0), (("model",), "file", "m.py"),
        (("model", "prior"), "concentrations", 1), (("sweep",), "replicates", 2.5), (("sweep", "grid"), "level", []),
        (("sweep", "grid", "data"), "overlap", 0.1),
    ]:  # fmt: skip
        bad = copy.deepcopy(good)
        table: Any = bad
        for part in place:
            table = table[part]
        table[name] = wrong
        assert not fits(bad, schema, schema), (place, name)
    missing = {key: value for key, value in good.items() if key != "model"}
    assert not fits(missing, schema, schema)
    assert fits({**missing, "extends": "base.toml"}, schema, schema)
    assert not fits({**missing, "extends": "base.toml", "seeds": 1}, schema, schema)


def test_every_table_is_closed_and_every_reference_is_there():
    schema = config_schema()
    text = json.dumps(schema)
    assert json.loads(text) == schema
    tables = {name: table for name, table in schema["$defs"].items() if "properties" in table}
    # Any parameter may be given a law, and any law's numbers are its own.
    further = {name: table["additionalProperties"] for name, table in tables.items()}
    assert further.pop("PriorTable")["$ref"].endswith("LawTable")
    assert "number" in str(further.pop("LawTable"))
    assert set(further.values()) == {False}
    assert {part.split('"')[0] for part in text.split('"#/$defs/')[1:]} <= set(schema["$defs"])


def test_every_setting_says_what_it_is():
    schema = config_schema()
    silent = {
        f"{name}.{key}"
        for name, table in {**schema["$defs"], "Study": schema}.items()
        for key, field in table.get("properties", {}).items()
        if "description" not in field and "$ref" not in field and "const" not in field
    }
    assert silent == set()
