"""What the shell offers after Tab: names of bundled data, and the values that a setting may take.

`emjax --install-completion` writes the script for the user's shell. Where nothing is offered, shells go on with files.
"""

from collections.abc import Callable, Container, Iterator
from typing import Any


def choices(key: str, among: Container[str] | None = None) -> Callable[[str], list[str]]:
    """The completer of an option: the values that the schema allows for its key, such as ``model.family``.

    The key of a method is ``methods.<key>``, whatever its kind; ``among`` leaves out what is not in it.
    """

    def complete(incomplete: str) -> list[str]:
        from emjax.experiments.config.json_schema import config_schema

        schema = config_schema()
        nodes: list[dict[str, Any]] = [schema]
        for name in key.split("."):
            nodes = [found for node in nodes for found in _properties(node, name, schema)]
        allowed = [value for node in nodes for part in _branches(node, schema) for value in part.get("enum", [])]
        kept = [value for value in dict.fromkeys(allowed) if among is None or value in among]
        return [value for value in kept if str(value).startswith(incomplete)]

    return complete


def data_names(incomplete: str) -> list[str]:
    """The bundled data sets whose names begin so; files are the shell's."""
    from emjax import datasets

    return [name for name in datasets.available() if name.startswith(incomplete)]


def _properties(node: dict[str, Any], name: str, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in _branches(node, schema):
        if name in part.get("properties", {}):
            yield part["properties"][name]


def _branches(node: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of a JSON Schema and what it refers to, each of its alternatives and the entries of a list."""
    if "$ref" in node:
        yield from _branches(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    for kind in ("anyOf", "oneOf", "allOf"):
        for choice in node.get(kind, []):
            yield from _branches(choice, schema)
    if isinstance(node.get("items"), dict):
        yield from _branches(node["items"], schema)
    yield node
