"""Reads a config file, in TOML, with the files that it extends and the overrides of the command line.

Whatever is wrong ends in one :class:`~emjax.errors.ConfigError` of one line that names the file, the line where there
is one, the key, what was given and what is allowed.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.errors import ConfigError
from emjax.experiments.config.data import data_kind
from emjax.experiments.config.fields import one_line
from emjax.experiments.config.methods import COMPARED
from emjax.experiments.config.model import model_kind
from emjax.experiments.config.overrides import Declared, Source, apply_override, flattened, shown
from emjax.experiments.config.paths import is_path, with_paths
from emjax.experiments.config.positions import MOST_PARTS, Location, read_toml
from emjax.experiments.config.refusals import quoted
from emjax.files import read_regular, user_path

if TYPE_CHECKING:
    from emjax.experiments.config.schema import Study

_MOST_FILES = 32
_MOST_BYTES = 2**19
_MOST_VALUES = 50_000
"""What a config may come to with the files that it extends. People do not write more, and what is read takes a few
seconds at most, whoever wrote it."""

_YAML = (
    "YAML is not read, configs are written in TOML; to convert one: python -c "
    "'import sys, tomli_w, yaml; print(tomli_w.dumps(yaml.safe_load(sys.stdin)))' < old.yaml > new.toml"
)


def read_tree(path: str | Path, overrides: Iterable[str] = ()) -> Declared:
    """Read a config file, which is TOML.

    ``extends = "base.toml"`` (or a list, the later the stronger) names files, relative to this one, that are read
    first. Their tables are merged with those of this file; anything else is replaced, and so is a table that changes
    its kind. Paths (``data.source``, ``model.file``, ``output.dir``) are relative to the file that they stand in, paths
    in an override to the current folder.

    Where no file lists methods, they are those of `emjax compare`.

    Raises ConfigError when a file cannot be read, or is no valid TOML, or extends itself; also where the files are
    larger together than a config is, or more than 32 extend one another.
    """
    declared = dataclasses.replace(_Files().read(user_path(path), ()), path=str(path))
    if "methods" not in declared.tree:
        tree = {**declared.tree, "methods": [dict(method) for method in COMPARED]}
        declared = dataclasses.replace(declared, tree=tree, em_follows_prior=True)
    return overridden(declared, overrides)


def overridden(declared: Declared, overrides: Iterable[str]) -> Declared:
    """A config with each ``"a.b=value"`` put on top; raises ConfigError for one that does not fit."""
    for override in overrides:
        tree, location = apply_override(declared.tree, override)
        place = shown(override)
        _check_size(tree, place)
        declared = dataclasses.replace(
            declared,
            tree=flattened(tree),
            sources=(Source(place, at=location), *declared.sources),
            em_follows_prior=declared.em_follows_prior and location not in (("methods",), ("methods", 0, "kind")),
        )
    return declared


def read_study(path: str | Path, overrides: Iterable[str] = ()) -> Study:
    """Read the study that a config file declares, and check it and every cell of its sweep.

    Raises ConfigError as `read_tree` does, and for an unknown key, a bad value, or a cell that would have one.
    """
    from emjax.experiments.plan.cells import checked_study

    return checked_study(read_tree(path, overrides))


# -- one file and those that it extends


class _Files:
    """The files of one config: each is read once, however many others extend it."""

    def __init__(self) -> None:
        self._n_files = 0
        self._n_bytes = 0
        self._read: dict[str, Declared] = {}

    def read(self, path: Path, readers: tuple[str, ...]) -> Declared:
        """A file with its bases worked in; ``readers`` are the files that led here."""
        place, name = one_line(str(path), 250), os.path.realpath(path)
        if name in readers:
            circle = " -> ".join(os.path.basename(reader) for reader in (*readers[readers.index(name) :], name))
            raise ConfigError(one_line(f"{place}: extends goes in a circle: {circle}"))
        # By its own name: the paths in a file that is linked to from elsewhere are relative to the link.
        called = os.path.abspath(path)
        if called not in self._read:
            self._n_files += 1
            if self._n_files > _MOST_FILES:
                raise ConfigError(one_line(f"{place}: more than {_MOST_FILES} files extend one another"))
            own = self._parsed(path, place)
            below = [self.read(Path(path.parent, user_path(base)), (*readers, name)) for base in _bases(own)]
            own.tree.pop("extends", None)
            self._read[called] = functools.reduce(_merged, [*below, own])
        return self._read[called]

    def _parsed(self, path: Path, place: str) -> Declared:
        """What one file alone declares."""
        if path.suffix.lower() in (".yaml", ".yml"):
            raise ConfigError(f"{one_line(str(path), 150)}: {_YAML}")
        content = _content(path, place, _MOST_BYTES - self._n_bytes)
        self._n_bytes += len(content)
        try:
            text = content.decode("utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{place}: not UTF-8 text at byte {error.start}; is it a TOML file?") from None
        try:
            # tomllib.load would do this; read apart so that bad UTF-8 and bad TOML are told apart.
            tree = read_toml(text)
        except RecursionError:
            raise ConfigError(f"{place}: nested too deeply") from None
        except ValueError as error:  # TOMLDecodeError is one, and so is a number of too many digits
            message, at_line, column = _toml_position(str(error), text)
            raise ConfigError(
                one_line(f"{place}, line {at_line}, column {column}: not valid TOML: {message}")
            ) from None
        _check_size(tree, place)
        tree = _anchored(flattened(tree, place), os.path.dirname(path))
        return Declared(tree, str(path), (Source(place, text, dict(tree)),))


def _content(path: Path, place: str, most: int) -> bytes:
    try:
        return read_regular(path, most)
    except FileNotFoundError:
        raise ConfigError(f"{place}: no such config file; check the path") from None
    except IsADirectoryError:
        raise ConfigError(f"{place}: is a folder; name the config file in it, such as config.toml") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            size = f"{_MOST_BYTES / 2**20:g} MiB"
            raise ConfigError(f"{place}: a config and the files that it extends have at most {size} together") from None
        raise ConfigError(f"{place}: cannot be read: {error.strerror}") from None


def _bases(declared: Declared) -> list[str]:
    """The files that a config extends."""
    given = declared.tree.get("extends", [])
    bases = [given] if isinstance(given, str) else given
    if not isinstance(bases, list) or not all(isinstance(base, str) and base and "\0" not in base for base in bases):
        problem = f"extends = {quoted(given)} is not allowed; write the path of a config file, or a list of paths"
    elif len(set(bases)) < len(bases):
        problem = "extends names a file twice"
    else:
        return bases
    raise ConfigError(one_line(f"{declared.where(('extends',))}: {problem}"))


def _toml_position(message: str, text: str) -> tuple[str, int, int]:
    """Split tomllib's message into what and where ("end of document" becomes the last line)."""
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if found and found[1]:
        return message[: found.start()], int(found[1]), int(found[2])
    lines = text.splitlines() or [""]
    return message[: found.start()] if found else message, len(lines), len(lines[-1]) + 1


def _merged(base: Declared, top: Declared) -> Declared:
    sources = tuple(dict.fromkeys((*top.sources, *base.sources)))
    return Declared(_merge(base.tree, top.tree, ()), top.path, sources)


def _merge(base: dict[str, Any], top: dict[str, Any], place: Location) -> dict[str, Any]:
    result = {**base, **top}
    for key in top.keys() & base.keys():
        below, value, here = base[key], top[key], (*place, key)
        if isinstance(below, dict) and isinstance(value, dict) and not _changes_kind(here, below, value):
            result[key] = _merge(below, value, here)
    return result


def _changes_kind(place: Location, base: dict[str, Any], top: dict[str, Any]) -> bool:
    """Whether a table declares another variant than the one it extends, whose keys would not fit it."""
    if place == ("model",):
        return model_kind(top) != "declared" and model_kind(base) != model_kind(top)
    if place == ("data",):
        return ("kind" in top or "generator" in top) and data_kind(top) != data_kind(base)
    return "kind" in top and top["kind"] != base.get("kind")


# -- one tree


def _anchored(tree: dict[str, Any], folder: str) -> dict[str, Any]:
    """The tree of a file in ``folder`` with its relative paths taken from there, those of a sweep too."""

    def anchored(key: str, value: str) -> str:
        if not value or "\0" in value:
            return value  # the schema refuses it
        if key == "data.source" and not is_path(value, folder):
            return value
        if key == "data.generator" and not value.endswith(".py"):
            return value  # the name that a package offers it by
        return os.path.join(folder, os.path.expanduser(value))

    found: dict[str, Any] = with_paths(tree, anchored)
    return found


def _check_size(tree: Any, place: str, depth: int = 0) -> int:
    """The number of values of a tree. Refuses one that nobody would read, or that is nested without end."""
    if depth > MOST_PARTS:
        raise ConfigError(f"{place}: nested more than {MOST_PARTS} levels deep")
    below = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    n_values = 1 + sum(_check_size(value, place, depth + 1) for value in below)
    if n_values > _MOST_VALUES:
        raise ConfigError(f"{place}: more than {_MOST_VALUES:,} values; a config is something that people read")
    return n_values
