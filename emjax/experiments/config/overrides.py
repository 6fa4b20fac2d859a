"""A config as it was written, and values put into it by their dotted keys: ``--set``, and the cells of a sweep."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from emjax.errors import ConfigError
from emjax.experiments.config.fields import Misplaced
from emjax.experiments.config.parts import own_label
from emjax.experiments.config.positions import Location, dotted, holds, line_of, read_toml
from emjax.experiments.config.sweeps import TABLES
from emjax.wording import printable


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Where values were written: a file by its text and its tree, or an override by what it is ``at``."""

    place: str
    text: str = ""
    tree: Mapping[str, Any] | None = None
    at: Location = ()

    def gives(self, location: Location) -> bool:
        """Whether a value was written here."""
        return location[: len(self.at)] == self.at if self.tree is None else holds(self.tree, location)

    def where(self, location: Location) -> str:
        """The file and the line, or the override."""
        line = line_of(self.text, lambda tree: holds(flattened(tree), location)) if self.text else None
        return self.place if line is None else f"{self.place}, line {line}"


@dataclasses.dataclass(frozen=True)
class Declared:
    """A config as it was written: plain values, checked by no schema yet.

    ``extends`` is worked into the tree, and swept settings stand under their dotted keys, however they were written.
    ``em_follows_prior`` is whether nobody has said which kind of EM the first method is: MAP where the model has a
    prior of its own.
    """

    tree: dict[str, Any]
    path: str  # of the config file, as it was named
    sources: tuple[Source, ...] = ()  # what it was written in, the strongest first
    em_follows_prior: bool = False

    def where(self, location: Location) -> str:
        """The file and line, or the override, of a value; of the table around it where it is missing."""
        for length in range(len(location), 0, -1):
            if holds(self.tree, location[:length]):
                for source in self.sources:
                    if source.gives(location[:length]):
                        return source.where(location[:length])
        return printable(self.path)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Turn what is misplaced in its tree into a ConfigError that begins with the place."""
        try:
            yield
        except Misplaced as error:
            raise ConfigError(error.message(self.where(error.at))) from None


def flattened(tree: dict[str, Any], place: str | None = None) -> dict[str, Any]:
    """The tree with the settings of its sweep under dotted keys: TOML reads ``data.n_samples = [..]`` as tables.

    Of one that is there in both forms the last holds, but in a file, ``place``, that is an error.
    """
    sweep = tree.get("sweep")
    for kind in TABLES:
        if isinstance(sweep, dict) and isinstance(sweep.get(kind), dict):
            leaves = list(_leaves(sweep[kind], ""))
            flat = dict(leaves)
            if place is not None and len(flat) < len(leaves):
                raise ConfigError(f"{place}: sweep.{kind} has a setting twice, in quotes and without")
            sweep = {**sweep, kind: flat}
            tree = {**tree, "sweep": sweep}
    return tree


def _leaves(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def apply_override(tree: Mapping[str, Any], override: str) -> tuple[dict[str, Any], Location]:
    """A copy of ``tree`` with ``"a.b=value"`` set, and the place of it; value is read as TOML, else as a string.

    A method is named by its name or its kind, as in ``"methods.em.n_init=5"``.

    Raises ConfigError for an override without a key or that needs a table where there is a value.
    """
    key, sign, text = override.partition("=")
    names = [name.strip() for name in key.split(".")]
    if not sign or not all(names):
        raise ConfigError(f"{shown(override)}: write a key, '=' and a value, as in model.n_components=3")
    try:
        location = locate(tree, names)
        return put(tree, location, parsed_value(text.strip())), location
    except LookupError as error:
        raise ConfigError(f"{shown(override)}: {error.args[0]}") from None


def shown(override: str) -> str:
    """How messages name an override."""
    text = printable(override)
    return f"--set {text}" if len(text) <= 120 else f"--set {text[:117]}..."


def locate(tree: Mapping[str, Any], names: list[str]) -> Location:
    """The place that a dotted key means: the name of a method, or a kind that only one has, becomes its position.

    What is swept stays one dotted key. Raises LookupError where there is no such method.
    """
    if names[0] == "sweep" and len(names) > 3 and names[1] in TABLES:
        return ("sweep", names[1], ".".join(names[2:]))
    methods = tree.get("methods")
    if names[0] != "methods" or not isinstance(methods, list) or len(names) == 1:
        return tuple(names)
    labels = [method_label(method) for method in methods]
    kinds = [method.get("kind") if isinstance(method, dict) else None for method in methods]
    # A name may hold dots itself: the longest that fits is meant.
    for stop in range(len(names) - 1, 1, -1):
        label = ".".join(names[1:stop])
        for called in (labels, kinds):
            if label in called and (called is labels or called.count(label) == 1):
                return ("methods", called.index(label), *names[stop:])
    allowed = ", ".join(repr(label) for label in labels if label)
    raise LookupError(
        f"no method has a setting {printable('.'.join(names))!r}; write methods.<name>.<setting>"
        + (f", with a name among {allowed}" if allowed else "")
    )


def method_label(method: Any) -> str | None:
    """The name of a method in a tree: its own, or its kind, or that of the user's own part."""
    if not isinstance(method, dict):
        return None
    label = method.get("name") or (own_label(method) if method.get("kind", "own") == "own" else method["kind"])
    return label if isinstance(label, str) else None


def put(tree: Mapping[str, Any], location: Location, value: Any) -> dict[str, Any]:
    """Return a copy of a tree with a value put in its place; what lies beside the way to it is shared.

    Raises LookupError where the way leads through a value.
    """
    result = dict(tree)
    holder: Any = result
    for depth, (name, below) in enumerate(itertools.pairwise(location), start=1):
        child = holder.get(name, {}) if isinstance(holder, dict) else holder[name]
        if not isinstance(child, list if isinstance(below, int) else dict):
            raise LookupError(f"{printable(dotted(location[:depth]))!r} is a value, not a table")
        child = child.copy()
        holder[name] = child
        holder = child
    holder[location[-1]] = value
    return result


def parsed_value(text: str) -> Any:
    """A value of the command line: TOML, else the text."""
    try:
        parsed = read_toml(f"value = {text}\n")
    except (ValueError, RecursionError):
        return text
    # A text with a line break could smuggle in further keys: then it is a string like any other.
    return parsed["value"] if set(parsed) == {"value"} else text
