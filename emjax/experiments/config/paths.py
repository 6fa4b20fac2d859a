"""Which settings of a config may be paths of files, and what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from emjax.experiments.config.sweeps import TABLES

PATHS = ("data.source", "data.generator", "model.file", "output.dir")
"""Settings that may be the path of a file or a folder, relative to the config that they stand in."""

PARTS = ("methods", "measures")
"""The lists of tables in which ``file`` is one, and ``file`` of their ``model``."""


def is_path(source: str, folder: str = "") -> bool:
    """Whether a source means a file, by the rule of ``emjax.datasets.load``, seen from ``folder``.

    What is neither a bundled name nor a file is left for the reader of the data to refuse by name.
    """
    if "\0" in source or not source:
        return False
    if os.path.splitext(source)[1] or "/" in source or os.sep in source:
        return True
    from emjax.datasets.bundled import CATALOGUE

    return source not in CATALOGUE and os.path.exists(os.path.join(folder, source))


def with_paths(tree: Mapping[str, Any], changed: Callable[[str, str], str]) -> dict[str, Any]:
    """The tree of a config with each text that may be a path, also among swept values, as ``changed(key, text)``."""

    def one(key: str, value: Any) -> Any:
        return changed(key, value) if isinstance(value, str) else value

    def with_file(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        ways = {"file": lambda value: one("file", value), "model": with_file}
        return {**part, **{key: way(part[key]) for key, way in ways.items() if key in part}}

    result = dict(tree)
    for key in PATHS:
        table, _, name = key.partition(".")
        if isinstance(result.get(table), dict) and name in result[table]:
            result[table] = {**result[table], name: one(key, result[table][name])}
    for table in PARTS:
        if isinstance(result.get(table), list):
            result[table] = [with_file(part) for part in result[table]]
    for kind, settings in swept(result):
        lists = {key: settings[key] for key in PATHS if isinstance(settings.get(key), list)}
        found = {key: [one(key, value) for value in values] for key, values in lists.items()}
        result["sweep"] = {**result["sweep"], kind: {**settings, **found}}
    return result


def swept(tree: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tables of a sweep, where there are any."""
    sweep = tree.get("sweep")
    for kind in TABLES:
        if isinstance(sweep, dict) and isinstance(sweep.get(kind), dict):
            yield kind, sweep[kind]
