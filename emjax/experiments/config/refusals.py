"""What pydantic finds wrong with a config, in one line for the person who wrote it."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

from emjax.bounds import written
from emjax.experiments.config.fields import Misplaced
from emjax.experiments.config.overrides import dotted
from emjax.experiments.config.positions import Location
from emjax.nearest import suggestion
from emjax.wording import printable

LONGEST = 399
"""A message is never longer: it has to be read in a terminal."""

_PLAIN_BRANCHES: dict[Location, tuple[str, ...]] = {("model", "prior"): ("name",)}
"""The branches of unions that are no tables."""

_MOVED = {
    "em": 'a method: [[methods]] with kind = "em" (or "map", under the prior) and its settings below',
    "mcmc": 'a method: [[methods]] with kind = "auto" (or the name of a sampler) and its settings below',
    "compare": "level at the top, and loo as a setting of the sampler under [[methods]]",
    "task": '[[methods]], of kind "em" for a fit, of a sampler for a sample; without it both are compared',
    "precision": "a setting of the methods: precision of em and map, dtype of samplers",
}
"""How keys of configs that emjax 0.1.0 has read are written now."""

_HINTS = {"data": 'say which data, as in [data] source = "faithful"', "model": "add [model] n_components = K"}


@dataclasses.dataclass(frozen=True)
class Refusal:
    """What is wrong: the place in the tree, what to say about it, and how many problems there are beside it."""

    location: Location
    text: str
    n_others: int = 0

    def message(self, place: str) -> str:
        """The whole message, behind the name of the file or command."""
        others = f" (and {self.n_others} more {'error' if self.n_others == 1 else 'errors'})" if self.n_others else ""
        return one_line(f"{place}: {self.text}", LONGEST - len(others)) + others


def one_line(text: str, longest: int = LONGEST) -> str:
    """A text on one line, with control characters escaped, cut where it is too long."""
    flat = printable(text)
    return flat if len(flat) <= longest else flat[: longest - 3] + "..."


def refusal(error: ValidationError, root: type[BaseModel], display: Mapping[str, str] | None = None) -> Refusal:
    """The worst that pydantic found.

    ``root`` is the schema; ``display`` gives the name under which the user wrote a dotted key.
    """
    # Unknown keys first: a mistyped key is what makes the right one "missing".
    problems = sorted(error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden")
    # A list is not too short beside what is wrong in it.
    wrong = {item["loc"][: len(short["loc"])] for short in problems for item in problems if item is not short}
    problems = [item for item in problems if item["type"] != "too_short" or item["loc"] not in wrong]
    place = _Place(root, problems[0]["loc"])
    text = _describe(dict(problems[0]), place, display or {})
    below: Location = ("kind",) if problems[0]["type"] == "union_tag_invalid" else ()
    cause = problems[0].get("ctx", {}).get("error")
    if isinstance(cause, Misplaced):
        below = cause.at
    return Refusal((*place.location, *below), text, len(problems) - 1)


class _Place:
    """Where a problem lies: pydantic's location without the names of branches, and the table it is in."""

    def __init__(self, root: type[BaseModel], raw: tuple[int | str, ...]) -> None:
        self.tables = tables_of(root)
        location: list[int | str] = []
        self.tags: dict[Location, str] = {}
        for part in raw:
            here = tuple(location)
            branches = {*self.tables.get(_pattern(here), {}), *_PLAIN_BRANCHES.get(here, ())} - {""}
            if part in branches and here not in self.tags:
                self.tags[here] = str(part)
            else:
                location.append(part)
        self.location: Location = tuple(location)
        self.table = self.location[:-1]
        self.name = str(self.location[-1]) if self.location else ""

    @property
    def variants(self) -> dict[str, type[BaseModel]]:
        """The schemas that the table may have, by the name of their branch."""
        return self.tables.get(_pattern(self.table), {})

    @property
    def models(self) -> list[type[BaseModel]]:
        """The schema of the table; all of its variants where none was chosen."""
        tag = self.tags.get(self.table)
        return [self.variants[tag]] if tag in self.variants else list(self.variants.values())


def _describe(problem: dict[str, Any], place: _Place, display: Mapping[str, str]) -> str:
    key = _key(place.location)
    shown = _named(key, display)
    given = f"{shown} = {quoted(problem['input'])}"
    match problem["type"]:
        case "extra_forbidden":
            return _unknown(key, place)
        case "missing":
            hint = _hint(place)
            return f"{shown} is missing" + (f": {hint}" if hint else "; add it")
        case "literal_error":
            allowed = problem["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            return f"{given} is not allowed; {_one_of(problem['input'], allowed)}"
        case "value_error":
            return str(problem["ctx"]["error"]) if not key else f"{shown}: {problem['ctx']['error']}"
        case "model_type" | "model_attributes_type" | "dict_type" if place.tags.get(place.location) != "table":
            return f"{given} is not a table; write [{key}] and its keys below it"
        case "union_tag_invalid" | "union_tag_not_found":
            return _unknown_kind(problem["input"], shown, _named(f"{key}.kind", display), place)
        case "tuple_type":
            return f"{given} is not allowed; write a list"
        case "too_short":
            return f"{shown} = {quoted(problem['input'])} is not allowed; write at least {problem['ctx']['min_length']}"
    return f"{given} is not allowed; {_expectation(problem['msg'])}"


def _unknown(key: str, place: _Place) -> str:
    owners = sorted(tag for tag, model in place.variants.items() if place.name in model.model_fields)
    if owners and owners != list(place.variants):
        tag = place.tags.get(place.table, "")
        if place.table == ("model",):
            return f"{key!r} does not go with model.file, whose build() decides it: leave one of them out"
        kinds = [kind for owner in owners for kind in _kinds(place.variants[owner])]
        return f"unknown key {key!r} for kind {tag!r}; it is for kind {', '.join(kinds)}"
    if len(place.location) == 1 and place.name in _MOVED:
        return f"unknown key {key!r}; it is written as {_MOVED[place.name]}"
    return f"unknown key {key!r}; {suggestion(key, _candidates(place))}"


def _named(key: str, display: Mapping[str, str]) -> str:
    """A key, behind the name under which the user wrote it."""
    return f"{display[key]} ({key})" if key in display else key


def _unknown_kind(table: Any, shown: str, kind: str, place: _Place) -> str:
    variants = place.tables.get(_pattern(place.location), {})
    kinds = [kind for model in variants.values() for kind in _kinds(model)]
    if not isinstance(table, dict):
        return f"{shown} = {quoted(table)} is not a table; write its keys, and first kind = {kinds[0]!r}"
    if "kind" not in table:
        return f"{kind} is missing; {_one_of('', kinds)}"
    return f"{kind} = {quoted(table['kind'])} is not allowed; {_one_of(table['kind'], kinds)}"


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    """The values of ``kind`` that choose this variant."""
    return get_args(model.model_fields["kind"].annotation)


def _one_of(given: Any, allowed: list[str]) -> str:
    near = suggestion(str(given)[:100], allowed)
    return f"use one of {', '.join(allowed)}" + (f" ({near})" if near.startswith("did") else "")


def _expectation(message: str) -> str:
    """Turn pydantic's "Input should be ..." into the end of our sentence."""
    return "it " + re.sub(r"^(Input|Value|Tuple|String) ", "", message[:1].upper() + message[1:])


def quoted(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    return printable(written(value))


def _key(location: Location) -> str:
    """The dotted key, cut where somebody wrote a novel."""
    key = printable(dotted(location))
    return key if len(key) <= 80 else key[:77] + "..."


def _candidates(place: _Place) -> list[str]:
    """The dotted keys to suggest for an unknown one: the same name elsewhere, else the keys of its table."""
    own = [f"{_key(place.table)}.{field}".lstrip(".") for model in place.models for field in model.model_fields]
    elsewhere = [
        f"{'.'.join(table)}.{place.name}".lstrip(".").replace("[]", "<name>")
        for table, variants in place.tables.items()
        if any(place.name in model.model_fields for model in variants.values())
    ]
    return elsewhere or list(dict.fromkeys(own)) or list(_top(place.tables))


def _top(tables: Mapping[tuple[str, ...], Mapping[str, type[BaseModel]]]) -> Iterator[str]:
    for model in tables[()].values():
        yield from model.model_fields


def _hint(place: _Place) -> str:
    if not place.table and place.name in _HINTS:
        return _HINTS[place.name]
    for model in place.models:
        if place.name in model.model_fields and model.model_fields[place.name].description:
            return str(model.model_fields[place.name].description)
    return ""


def _pattern(location: Location) -> tuple[str, ...]:
    return tuple("[]" if isinstance(part, int) else part for part in location)


@functools.cache
def tables_of(root: type[BaseModel]) -> dict[tuple[str, ...], dict[str, type[BaseModel]]]:
    """The tables of a schema by their place (``("methods", "[]")`` for a list), each with its variants by branch."""
    found: dict[tuple[str, ...], dict[str, type[BaseModel]]] = {}

    def add(place: tuple[str, ...], annotation: Any, tag: str) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.setdefault(place, {})[tag] = annotation
            for name, field in annotation.model_fields.items():
                add((*place, name), field.annotation, "")
        elif get_origin(annotation) is Annotated:
            inner, *marks = get_args(annotation)
            add(place, inner, next((mark.tag for mark in marks if isinstance(mark, Tag)), tag))
        elif get_origin(annotation) is tuple:
            add((*place, "[]"), get_args(annotation)[0], "")
        elif get_origin(annotation) is not dict:
            for choice in get_args(annotation):
                add(place, choice, tag)

    add((), root, "")
    return found
