"""Reads a config: from a file, from ``--set`` overrides, from the options of a command.

Whatever is wrong ends in one :class:`~emjax.errors.ConfigError` of one line that names the place, the key,
what was given and what is allowed.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from emjax.errors import ConfigError
from emjax.experiments import config as schema
from emjax.experiments.config import Config, is_path
from emjax.experiments.nearest import printable, suggestion


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Return the config of a TOML file, with ``overrides`` (``"model.n_components=3"``) put on top.

    Paths in the file (``data.source``, ``output.dir``) are relative to the file; paths in an override are
    relative to the current folder.

    Raises ConfigError when the file cannot be read, is not TOML, or holds an unknown key or a bad value.
    """
    path = Path(path)
    tree = _anchored(_read_toml(path), os.path.dirname(path))
    return build_config(apply_overrides(tree, overrides), place=str(path))


def build_config(tree: Mapping[str, Any], *, place: str, display: Mapping[str, str] | None = None) -> Config:
    """Return the config of a tree of plain values.

    ``place`` opens the error messages; ``display`` gives the name under which the user wrote a dotted key,
    such as ``{"model.n_components": "-k"}``.
    """
    try:
        return Config.model_validate(dict(tree))
    except ValidationError as error:
        raise ConfigError(_describe(error, place, display or {})) from None


def with_output(config: Config, folder: Path) -> Config:
    """Return the same config, to be written to ``folder`` (relative to the current one)."""
    return config.model_copy(update={"output": schema.Output(dir=str(folder))})


def apply_overrides(tree: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return a copy of ``tree`` with each ``"a.b=value"`` set; value is read as TOML, else as a string."""
    result = _copied(tree)
    for override in overrides:
        key, sign, text = override.partition("=")
        names = [name.strip() for name in key.split(".")]
        if not sign or not all(names):
            raise ConfigError(f"--set {printable(override)}: write a key, '=' and a value, as in model.n_components=3")
        table = result
        for depth, name in enumerate(names[:-1], start=1):
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {printable(override)}: {'.'.join(names[:depth])!r} is a value, not a table")
        table[names[-1]] = _parse_value(text.strip())
    return result


def _read_toml(path: Path) -> dict[str, Any]:
    shown = printable(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{shown}: no such config file; check the path") from None
    except IsADirectoryError:
        raise ConfigError(f"{shown}: is a folder; name the config file in it, such as config.toml") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown}: not UTF-8 text at byte {error.start}; is it a TOML file?") from None
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror}") from None
    try:
        # tomllib.load would do this; read apart so that bad UTF-8 and bad TOML are told apart.
        return tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        message, line, column = _toml_position(str(error), text)
        raise ConfigError(f"{shown}, line {line}, column {column}: not valid TOML: {printable(message)}") from None


def _toml_position(message: str, text: str) -> tuple[str, int, int]:
    """Split tomllib's message into what and where ("end of document" becomes the last line)."""
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if found and found[1]:
        return message[: found.start()], int(found[1]), int(found[2])
    lines = text.splitlines() or [""]
    return message[: found.start()] if found else message, len(lines), len(lines[-1]) + 1


def _parse_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}\n")
    except tomllib.TOMLDecodeError:
        return text
    # A text with a line break could smuggle in further keys: then it is a string like any other.
    return parsed["value"] if set(parsed) == {"value"} else text


def _copied(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in tree.items()}


def _anchored(tree: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return the tree of a file in ``folder`` with its relative paths taken from there."""
    data, output = tree.get("data"), tree.get("output")
    if isinstance(data, dict) and isinstance(source := data.get("source"), str) and is_path(source, folder):
        data["source"] = os.path.join(folder, os.path.expanduser(source))
    if isinstance(output, dict) and isinstance(target := output.get("dir"), str) and target:
        output["dir"] = os.path.join(folder, os.path.expanduser(target))
    return tree


def _describe(error: ValidationError, place: str, display: Mapping[str, str]) -> str:
    # Unknown keys first: a mistyped key is what makes the right one "missing".
    problems = sorted(error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden")
    message = f"{printable(place)}: {printable(_problem(dict(problems[0]), display))}"
    others = len(problems) - 1
    return message + (f" (and {others} more {'error' if others == 1 else 'errors'})" if others else "")


def _problem(problem: dict[str, Any], display: Mapping[str, str]) -> str:
    location = _without_tag(problem["loc"])
    key = _dotted(location)
    shown = f"{display[key]} ({key})" if key in display else key
    given = f"{shown} = {_short(problem['input'])}"
    match problem["type"]:
        case "extra_forbidden":
            return f"unknown key {key!r}; {suggestion(key, _candidates(location))}"
        case "missing":
            hint = _description(location)
            return f"{shown} is missing" + (f": {hint}" if hint else "; add it")
        case "literal_error":
            allowed = problem["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            near = suggestion(str(problem["input"]), allowed)
            return f"{given} is not allowed; use one of {', '.join(allowed)}" + (
                f" ({near})" if near.startswith("did") else ""
            )
        case "value_error":
            return str(problem["ctx"]["error"]) if not key else f"{shown}: {problem['ctx']['error']}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{given} is not a table; write [{key}] and its keys below it"
        case "union_tag_invalid":
            return f"data.kind = {_short(problem['input'].get('kind'))} is not allowed; use source or simulate"
        case "tuple_type":
            return f"{given} is not allowed; write a list"
    return f"{given} is not allowed; {_expectation(problem['msg'])}"


def _expectation(message: str) -> str:
    """Turn pydantic's "Input should be ..." into the end of our sentence."""
    return "it " + re.sub(r"^(Input|Value|Tuple|String) ", "", message[:1].upper() + message[1:])


def _without_tag(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    # pydantic names the branch of the data union ("source" or "simulate") after "data"; no user wrote that.
    return location[:1] + location[2:] if location[:1] == ("data",) else location


def _dotted(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def _short(value: Any) -> str:
    text = printable(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def _sections() -> dict[str, tuple[type[BaseModel], ...]]:
    """The keys of every table, by the table's dotted name; the data table has two forms."""
    return {
        "": (Config,),
        "data": (schema.SourceData, schema.SimulatedData),
        "model": (schema.Model,),
        "em": (schema.Em,),
        "mcmc": (schema.Mcmc,),
        "compare": (schema.Compare,),
        "output": (schema.Output,),
    }


def _candidates(location: tuple[int | str, ...]) -> list[str]:
    """The dotted keys to suggest for an unknown one: the same name elsewhere, else the keys of its table."""
    table, name = _dotted(location[:-1]), str(location[-1])
    keys = {
        section: [f"{section}.{field}".lstrip(".") for model in models for field in model.model_fields]
        for section, models in _sections().items()
    }
    elsewhere = [key for names in keys.values() for key in names if key.rpartition(".")[2] == name]
    return elsewhere or list(dict.fromkeys(keys.get(table, keys[""])))


def _description(location: tuple[int | str, ...]) -> str:
    table, name = _dotted(location[:-1]), str(location[-1])
    for model in _sections().get(table, ()):
        if name in model.model_fields and model.model_fields[name].description:
            return str(model.model_fields[name].description)
    return {
        "data": 'say which data, as in [data] source = "faithful"',
        "model": "add [model] n_components = K",
    }.get(name, "")
