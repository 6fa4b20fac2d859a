"""Which settings of a config may be paths of files, and what becomes of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from emjax.experiments.config.sweeps import TABLES

PATHS = (
    *("data.source", "data.generator", "model.file", "model.program", "output.dir"),
    *("methods.file", "methods.model.file", "methods.model.program", "measures.file"),
)
"""Settings that may be the path of a file or a folder, relative to the config that they stand in."""


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


def with_paths(tree: Any, changed: Callable[[str, str], str], key: str = "") -> Any:
    """The tree of a config with each text that may be a path, also among swept values, as ``changed(key, text)``."""
    if isinstance(tree, dict):
        return {name: with_paths(value, changed, f"{key}.{name}".lstrip(".")) for name, value in tree.items()}
    if isinstance(tree, list):
        return [with_paths(value, changed, key) for value in tree]
    setting = re.sub(rf"^sweep\.({'|'.join(TABLES)})\.", "", key)
    return changed(setting, tree) if isinstance(tree, str) and setting in PATHS else tree
