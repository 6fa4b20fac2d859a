"""YAML as a config needs it: plain values, no surprises, and the line of every key.

Scalars follow the core schema of YAML 1.2: ``1e-6`` is a number, and ``no``, ``on`` and ``2026-01-01`` are texts.
"""

import functools
import re
from typing import Any

from emjax.experiments.study.positions import Location

MOST_VALUES = 100_000
"""Aliases can make a short text mean an endless tree."""

_DEEPEST = 32
_PREFIX = "tag:yaml.org,2002:"
_CORE = {
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+"),
    "float": re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
}


class YamlError(ValueError):
    """What is wrong with a YAML text, and in which line (from 1, None where unknown)."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


def read_yaml(text: str) -> tuple[dict[str, Any], dict[Location, int]]:
    """The tree of a YAML text, and the line of every key and of every entry of a list; empty is an empty table.

    Raises YamlError.
    """
    import yaml

    try:
        node = yaml.compose(text, Loader=_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(error.problem or str(error), None if mark is None else mark.line + 1) from None
    except yaml.reader.ReaderError as error:
        raise YamlError(error.reason, text[: error.position].count("\n") + 1) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise YamlError(str(error), None) from None
    except RecursionError:
        raise YamlError("nested too deeply", None) from None
    if node is None:
        return {}, {}
    builder = _Builder()
    tree = builder.value(node, ())
    if not isinstance(tree, dict):
        raise YamlError("a config is a table of keys and values", builder.lines[()])
    return tree, builder.lines


@functools.cache
def _loader() -> Any:
    """PyYAML's safe loader, with the core schema's idea of what a plain scalar means."""
    import yaml

    class Loader(yaml.SafeLoader):
        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            if kind is not yaml.ScalarNode:
                return str(super().resolve(kind, value, implicit))
            is_plain = implicit[0]
            found = (name for name, pattern in _CORE.items() if is_plain and pattern.fullmatch(value))
            return _PREFIX + next(found, "str")

    return Loader


class _Builder:
    """Turns nodes into plain values, and counts them."""

    def __init__(self) -> None:
        self.lines: dict[Location, int] = {}
        self._n_values = 0

    def value(self, node: Any, location: Location) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(location, line)
        self._n_values += 1
        if self._n_values > MOST_VALUES:
            raise YamlError(f"more than {MOST_VALUES:,} values", line)
        if len(location) > _DEEPEST:
            raise YamlError(f"nested more than {_DEEPEST} levels deep", line)
        kind = node.tag.removeprefix(_PREFIX)
        if node.id == "mapping" and kind == "map":
            return self._table(node, location)
        if node.id == "sequence" and kind == "seq":
            return [self.value(entry, (*location, index)) for index, entry in enumerate(node.value)]
        if node.id == "scalar" and kind in (*_CORE, "str"):
            return _scalar(node, kind)
        raise YamlError(f"the tag {node.tag} is not allowed; write plain values", line)

    def _table(self, node: Any, location: Location) -> dict[str, Any]:
        table: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.id != "scalar":
                raise YamlError("a key has to be a text", line)
            if key.value == "<<" and key.style is None:
                merged += self._merged(value, location)
                continue
            if key.value in table:
                raise YamlError(f"the key {key.value!r} is given twice", line)
            self.lines[(*location, key.value)] = line
            table[key.value] = self.value(value, (*location, key.value))
        for other in merged:
            table = {**other, **table}
        return table

    def _merged(self, node: Any, location: Location) -> list[dict[str, Any]]:
        """The tables that ``<<`` names, the strongest first; keys of their own table are stronger."""
        nodes = node.value if node.id == "sequence" else [node]
        tables = [self.value(entry, (*location, "<<")) for entry in nodes]
        if not all(isinstance(table, dict) for table in tables):
            raise YamlError("<< takes a table or a list of tables", node.start_mark.line + 1)
        return tables


def _scalar(node: Any, kind: str) -> Any:
    text = node.value
    try:
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
            case "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise YamlError(f"{shown} cannot be read as {kind}", node.start_mark.line + 1) from None
    return text
