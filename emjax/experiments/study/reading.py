"""Reads a config file, TOML or YAML, with the files that it extends and the overrides of the command line.

Whatever is wrong ends in one :class:`~emjax.errors.ConfigError` of one line that names the file, the line where there
is one, the key, what was given and what is allowed.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.errors import ConfigError
from emjax.experiments.config import data_kind, is_path
from emjax.experiments.nearest import printable
from emjax.experiments.study.model import model_kind
from emjax.experiments.study.overrides import apply_override, dotted, shown
from emjax.experiments.study.positions import Location, toml_lines
from emjax.experiments.study.refusals import one_line, quoted

if TYPE_CHECKING:
    from emjax.experiments.study.schema import Study

_DEEPEST = 32
_LARGEST = 2**63
_MOST_FILES = 100


@dataclasses.dataclass(frozen=True)
class Declared:
    """A config as it was written: plain values, checked by no schema yet.

    Attributes
    ----------
    tree
        Tables and lists of texts, finite numbers and truth values; ``extends`` is worked in. Swept settings stand
        under their dotted keys, however they were written.
    path
        The config file, as it was named.
    lines
        Where each value was written: a file and a line, or an override and None.
    """

    tree: dict[str, Any]
    path: str
    lines: Mapping[Location, tuple[str, int | None]] = dataclasses.field(default_factory=dict)

    def where(self, location: Location) -> str:
        """The file and line, or the override, of a value; of the table around it where it is missing."""
        for length in range(len(location), 0, -1):
            found = self.lines.get(location[:length])
            if found is not None:
                place, line = found
                return place if line is None else f"{place}, line {line}"
        return printable(self.path)


def read_tree(path: str | Path, overrides: Iterable[str] = ()) -> Declared:
    """Read a config file: YAML where its name ends in .yaml or .yml, else TOML.

    ``extends = "base.toml"`` (or a list, the later the stronger) names files, relative to this one, that are read
    first. Their tables are merged with those of this file; anything else is replaced, and so is a table that changes
    its kind. Paths (``data.source``, ``model.file``, ``output.dir``) are relative to the file that they stand in, paths
    in an override to the current folder.

    Raises ConfigError when a file cannot be read, or is no valid TOML or YAML, or extends itself.
    """
    declared = _read(Path(path), ())
    tree, lines = declared.tree, dict(declared.lines)
    for override in overrides:
        tree, location = apply_override(tree, override)
        place = shown(override)
        _check_plain(tree, {}, place)
        lines = {**_outside(lines, {location}), location: (place, None)}
        if location[0] == "sweep":
            tree, moved = _flattened(tree, {location: 0}, place, later_wins=True)
            lines.update(dict.fromkeys(moved, (place, None)))
    return Declared(tree, str(path), lines)


def read_study(path: str | Path, overrides: Iterable[str] = ()) -> Study:
    """Read the study that a config file declares, and check it and every cell of its sweep.

    Raises ConfigError as `read_tree` does, and for an unknown key, a bad value, or a cell that would have one.
    """
    from emjax.experiments.study.grid import checked_study

    declared = read_tree(path, overrides)
    return checked_study(declared.tree, declared.where)


def is_study(config: Declared | Mapping[str, Any]) -> bool:
    """Whether a config, or its tree, declares a study, not a single run: it lists methods, or sweeps something."""
    tree = config.tree if isinstance(config, Declared) else config
    return "methods" in tree or "sweep" in tree or tree.get("task") == "study"


# -- one file and those that it extends


def _read(path: Path, readers: tuple[str, ...]) -> Declared:
    """A file with its bases worked in; ``readers`` are the files that led here."""
    shown_path = printable(path)
    name = os.path.realpath(path) if "\0" not in str(path) else str(path)
    if name in readers:
        circle = " -> ".join(os.path.basename(reader) for reader in (*readers[readers.index(name) :], name))
        raise ConfigError(one_line(f"{shown_path}: extends goes in a circle: {circle}"))
    if len(readers) >= _MOST_FILES:
        raise ConfigError(one_line(f"{shown_path}: more than {_MOST_FILES} files extend one another"))
    tree, line_of = _parse(path)
    tree, line_of = _flattened(tree, line_of, shown_path)
    tree = _anchored(tree, os.path.dirname(path))
    bases = _bases(tree.pop("extends", []), shown_path, line_of)
    own = Declared(tree, str(path), {key: (shown_path, line) for key, line in line_of.items()})
    below: Declared | None = None
    for base in bases:
        other = _read(Path(os.path.dirname(path), os.path.expanduser(base)), (*readers, name))
        below = other if below is None else _merged(below, other)
    return own if below is None else _merged(below, own)


def _bases(given: Any, place: str, line_of: Mapping[Location, int]) -> list[str]:
    bases = [given] if isinstance(given, str) else given
    if not isinstance(bases, list) or not all(isinstance(base, str) and base for base in bases):
        raise ConfigError(
            one_line(
                f"{_at(place, line_of, ('extends',))}: extends = {quoted(given)} is not allowed; "
                "write the path of a config file, or a list of paths"
            )
        )
    if len(bases) > _MOST_FILES or len(set(bases)) < len(bases):
        raise ConfigError(one_line(f"{_at(place, line_of, ('extends',))}: extends names a file twice, or too many"))
    return bases


def _parse(path: Path) -> tuple[dict[str, Any], dict[Location, int]]:
    """The tree of one file, and the line of every key."""
    place = printable(path)
    text = _text(path).replace("\r\n", "\n")
    line_of: dict[Location, int] = {}
    if path.suffix.lower() in (".yaml", ".yml"):
        from emjax.experiments.study.yaml_text import YamlError, read_yaml

        try:
            tree, line_of = read_yaml(text)
        except YamlError as error:
            where = place if error.line is None else f"{place}, line {error.line}"
            raise ConfigError(one_line(f"{where}: not valid YAML for a config: {error}")) from None
        return _check_plain(_without_null(tree), line_of, place), line_of
    try:
        # tomllib.load would do this; read apart so that bad UTF-8 and bad TOML are told apart.
        tree = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{place}: nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError is one, and so is a number of too many digits
        message, line, column = _toml_position(str(error), text)
        raise ConfigError(one_line(f"{place}, line {line}, column {column}: not valid TOML: {message}")) from None
    _check_plain(tree, {}, place)
    line_of = toml_lines(text)
    return tree, line_of


def _text(path: Path) -> str:
    place = one_line(str(path), 250)
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{place}: no such config file; check the path") from None
    except IsADirectoryError:
        raise ConfigError(f"{place}: is a folder; name the config file in it, such as config.toml") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place}: not UTF-8 text at byte {error.start}; is it a TOML file?") from None
    except OSError as error:
        raise ConfigError(f"{place}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # a path with a zero byte
        raise ConfigError(f"{place}: cannot be read: {error}") from None


def _toml_position(message: str, text: str) -> tuple[str, int, int]:
    """Split tomllib's message into what and where ("end of document" becomes the last line)."""
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if found and found[1]:
        return message[: found.start()], int(found[1]), int(found[2])
    lines = text.splitlines() or [""]
    return message[: found.start()] if found else message, len(lines), len(lines[-1]) + 1


def _merged(base: Declared, top: Declared) -> Declared:
    replaced: set[Location] = set()
    tree = _merge(base.tree, top.tree, (), replaced)
    return Declared(tree, top.path, {**_outside(base.lines, replaced), **top.lines})


def _merge(base: dict[str, Any], top: dict[str, Any], place: Location, replaced: set[Location]) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        here = (*place, key)
        below = base.get(key)
        if isinstance(below, dict) and isinstance(value, dict) and not _changes_kind(here, below, value):
            result[key] = _merge(below, value, here, replaced)
        else:
            replaced.add(here)
            result[key] = value
    return result


def _changes_kind(place: Location, base: dict[str, Any], top: dict[str, Any]) -> bool:
    """Whether a table declares another variant than the one it extends, whose keys would not fit it."""
    if place == ("model",):
        return model_kind(top) == "file" and model_kind(base) != "file"
    return "kind" in top and top["kind"] != (data_kind(base) if place == ("data",) else base.get("kind"))


def _outside(lines: Mapping[Location, Any], replaced: set[Location]) -> dict[Location, Any]:
    """The lines of what was not replaced."""
    return {
        key: line
        for key, line in lines.items()
        if not replaced or not any(key[:length] in replaced for length in range(1, len(key) + 1))
    }


# -- one tree


def _anchored(tree: dict[str, Any], folder: str) -> dict[str, Any]:
    """The tree of a file in ``folder`` with its relative paths taken from there, those of a sweep too."""

    def anchor(key: str, value: Any) -> Any:
        if not isinstance(value, str) or not value or (key == "data.source" and not is_path(value, folder)):
            return value
        return os.path.join(folder, os.path.expanduser(value))

    result = dict(tree)
    for table, name in (("data", "source"), ("model", "file"), ("output", "dir")):
        section = result.get(table)
        if isinstance(section, dict) and name in section:
            result[table] = {**section, name: anchor(f"{table}.{name}", section[name])}
    for kind, swept in _sweeps(result):
        anchored = {
            key: [anchor(key, value) for value in values]
            if key in ("data.source", "model.file") and isinstance(values, list)
            else values
            for key, values in swept.items()
        }
        result["sweep"] = {**result["sweep"], kind: anchored}
    return result


def _sweeps(tree: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tables of a sweep, where there are any."""
    for kind in ("grid", "zip"):
        sweep = tree.get("sweep")
        if isinstance(sweep, dict) and isinstance(sweep.get(kind), dict):
            yield kind, sweep[kind]


def _flattened(
    tree: dict[str, Any], line_of: dict[Location, int], place: str, *, later_wins: bool = False
) -> tuple[dict[str, Any], dict[Location, int]]:
    """The tree with the settings of its sweep under dotted keys: TOML reads ``data.n_samples = [..]`` as tables."""
    for kind, swept in list(_sweeps(tree)):
        flat: dict[str, Any] = {}
        for key, value in _leaves(swept, ""):
            if key in flat and not later_wins:
                where = _at(place, line_of, ("sweep", kind))
                raise ConfigError(one_line(f"{where}: sweep.{kind} has {quoted(key)} twice"))
            flat[key] = value
        tree = {**tree, "sweep": {**tree["sweep"], kind: flat}}
    moved: dict[Location, int] = {}
    for location, line in line_of.items():
        names = [part for part in location[2:] if isinstance(part, str)]
        if location[:1] == ("sweep",) and location[1:2] in (("grid",), ("zip",)) and names:
            entries = location[2 + len(names) :]
            moved[(*location[:2], ".".join(names), *entries)] = line
        else:
            moved[location] = line
    return tree, moved


def _leaves(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _without_null(value: Any) -> Any:
    """A tree without the keys whose value is YAML's null: they are as if they were left out."""
    if isinstance(value, dict):
        return {key: _without_null(entry) for key, entry in value.items() if entry is not None}
    return [_without_null(entry) for entry in value] if isinstance(value, list) else value


def _check_plain(tree: dict[str, Any], line_of: Mapping[Location, int], place: str) -> dict[str, Any]:
    """Refuse what JSON could not say, and what nobody means: a tree nested without end, a number of 400 digits."""

    def check(value: Any, location: Location) -> None:
        if len(location) > _DEEPEST:
            fail(location, f"is nested more than {_DEEPEST} levels deep")
        if isinstance(value, dict):
            for key, entry in value.items():
                check(entry, (*location, key))
        elif isinstance(value, list):
            for index, entry in enumerate(value):
                check(entry, (*location, index))
        elif isinstance(value, int) and abs(value) >= _LARGEST:
            fail(location, "is not allowed; it is a number of more than 18 digits")
        elif isinstance(value, float) and not math.isfinite(value):
            fail(location, f"= {value} is not allowed; it should be a finite number")
        elif isinstance(value, datetime.date | datetime.time):
            fail(location, f"= {value} is a date or a time, which no setting takes; write a text in quotes")
        elif value is None:
            fail(location, "is null, which is no value; leave it out")

    def fail(location: Location, problem: str) -> None:
        key = printable(dotted(location))
        key = key if len(key) <= 80 else key[:77] + "..."
        raise ConfigError(one_line(f"{_at(place, line_of, location)}: {key} {problem}"))

    check(tree, ())
    return tree


def _at(place: str, line_of: Mapping[Location, int], location: Location) -> str:
    for length in range(len(location), 0, -1):
        if location[:length] in line_of:
            return f"{place}, line {line_of[location[:length]]}"
    return place
