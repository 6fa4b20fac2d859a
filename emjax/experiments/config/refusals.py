"""What pydantic finds wrong with a config, in one line for the person who wrote it."""

import functools
import re
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

from emjax.bounds import written
from emjax.experiments.config.fields import Misplaced
from emjax.experiments.config.positions import Location, dotted
from emjax.nearest import suggestion
from emjax.wording import printable

_MOVED = {
    "em": 'a method: [[methods]] with kind = "em" (or "map", under the prior) and its settings below',
    "mcmc": 'a method: [[methods]] with kind = "auto" (or the name of a sampler) and its settings below',
    "compare": "level at the top, and loo as a setting of the sampler under [[methods]]",
    "task": '[[methods]], of kind "em" for a fit, of a sampler for a sample; without it both are compared',
    "precision": "a setting of the methods: precision of em and map, dtype of samplers",
}
"""How keys of configs that emjax 0.1.0 has read are written now."""

_HINTS = {"data": 'say which data, as in [data] source = "faithful"', "model": "add [model] n_components = K"}

_Tables = dict[tuple[str, ...], dict[str, type[BaseModel]]]


def quoted(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    return printable(written(value))


def refusal(error: ValidationError, root: type[BaseModel], display: Mapping[str, str] | None = None) -> Misplaced:
    """The worst that pydantic found.

    ``root`` is the schema; ``display`` gives the name under which the user wrote a dotted key.
    """
    # Unknown keys first: a mistyped key is what makes the right one "missing".
    problems = sorted(error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden")
    # A list is not too short beside what is wrong in it.
    wrong = {item["loc"][: len(short["loc"])] for short in problems for item in problems if item is not short}
    problems = [item for item in problems if item["type"] != "too_short" or item["loc"] not in wrong]
    problem: dict[str, Any] = dict(problems[0])
    location: Location = ()
    tags: dict[Location, str] = {}
    for part in problem["loc"]:
        if re.fullmatch(r"<[a-z]+>", str(part)):
            tags[location] = str(part)
        else:
            location = (*location, part)
    if problem["type"].startswith("union_tag") and isinstance(problem["input"], dict):
        location, problem["input"] = (*location, "kind"), problem["input"].get("kind")
    text = _described(problem, location, tags.get(location[:-1], ""), tables_of(root), display or {})
    cause = problem.get("ctx", {}).get("error")
    within = cause.at if isinstance(cause, Misplaced) else ()
    return Misplaced(text, *location, *within, n_others=len(problems) - 1)


def _described(
    problem: dict[str, Any], location: Location, tag: str, tables: _Tables, display: Mapping[str, str]
) -> str:
    """What is wrong, in our words where pydantic's are for programmers."""
    key = printable(dotted(location))
    key = key if len(key) <= 80 else key[:77] + "..."
    shown = f"{display[key]} ({key})" if key in display else key
    variants = tables.get(_pattern(location[:-1]), {})
    given = f"{shown} = {quoted(problem['input'])}"
    kind = problem["type"]
    if kind == "extra_forbidden":
        return f"unknown key {key!r}; {_remedy(location, key, tag, tables)}"
    if kind == "missing":
        fields = [model.model_fields.get(str(location[-1])) for model in variants.values()]
        hint = next((field.description for field in fields if field and field.description), "add it")
        return f"{shown} is missing: {_HINTS.get(key, hint)}"
    if kind == "value_error":
        return f"{shown}: {problem['ctx']['error']}".removeprefix(": ")
    if kind.startswith("union_tag"):
        kinds = [name for model in variants.values() for name in _kinds(model)]
        if location[-1] != "kind":
            return f"{given} is not a table; write its keys"
        if problem["input"] is None:
            return f"{shown} is missing; {_one_of('', kinds)}"
        return f"{given} is not allowed; {_one_of(problem['input'], kinds)}"
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        return f"{given} is not allowed; {_one_of(problem['input'], allowed)}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{given} is not a table; write [{key}] and its keys below it"
    said = re.sub(r"^(Input|Value|Tuple|String|List) ", "", problem["msg"])
    said = said.replace("tuple", "list").replace(" after validation", "")
    return f"{given} is not allowed; it {said}"


def _remedy(location: Location, key: str, tag: str, tables: _Tables) -> str:
    """What to write in place of an unknown key."""
    table, name = _pattern(location[:-1]), str(location[-1])
    variants = tables.get(table, {})
    if not table and name in _MOVED:
        return f"it is written as {_MOVED[name]}"
    owners = [model for model in variants.values() if name in model.model_fields]
    if owners and table == ("model",):
        if tag == "<program>":
            return "it does not go with model.program: what that takes stands in model.arguments"
        if tag == "<declared>":
            files = [other.strip("<>") for other, model in variants.items() if model in owners]
            return f"it goes with model.{' or model.'.join(files)}, which is missing"
        return "it does not go with model.file, whose build() decides it: leave one of them out"
    if owners:
        return f"it is for kind {', '.join(kind for model in owners for kind in _kinds(model))}"
    models = [variants[tag]] if tag in variants else list(variants.values())
    homes = (place for place, found in tables.items() if any(name in model.model_fields for model in found.values()))
    elsewhere = [".".join((*place, name)) for place in homes]
    own = [f"{dotted(location[:-1])}.{field}".lstrip(".") for model in models for field in model.model_fields]
    return suggestion(key, elsewhere or list(dict.fromkeys(own)) or list(tables[()][""].model_fields))


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    """The values of ``kind`` that choose this variant."""
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _one_of(given: Any, allowed: list[str]) -> str:
    near = suggestion(str(given)[:100], allowed)
    return f"use one of {', '.join(allowed)}" + (f" ({near})" if near.startswith("did") else "")


def _pattern(location: Location) -> tuple[str, ...]:
    return tuple("<name>" if isinstance(part, int) else part for part in location)


@functools.cache
def tables_of(root: type[BaseModel]) -> _Tables:
    """The tables of a schema by their place (``("methods", "<name>")`` for a list), each with its variants by tag."""
    found: _Tables = {}

    def add(place: tuple[str, ...], annotation: Any, tag: str) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.setdefault(place, {})[tag] = annotation
            for name, field in annotation.model_fields.items():
                add((*place, name), field.annotation, "")
        elif get_origin(annotation) is Annotated:
            inner, *marks = get_args(annotation)
            add(place, inner, next((mark.tag for mark in marks if isinstance(mark, Tag)), tag))
        elif get_origin(annotation) is tuple:
            add((*place, "<name>"), get_args(annotation)[0], "")
        elif get_origin(annotation) is not dict:
            for choice in get_args(annotation):
                add(place, choice, tag)

    add((), root, "")
    return found
