"""A TOML text, and in which line each of its keys was written; `tomllib` checks the text but does not say."""

import bisect
import re
import tomllib
from collections.abc import Callable
from typing import Any

Location = tuple[str | int, ...]
"""The way to a value: names of keys, and positions in lists."""

MOST_PARTS = 32
"""Keys of more parts are nested more deeply than any setting."""

_NAME = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_LONG_KEY = re.compile(rf"(?:^|[\[{{,])[ \t]*{_NAME}(?:[ \t]*\.[ \t]*{_NAME}){{{MOST_PARTS}}}", re.MULTILINE)
_MOST_EFFORT = 2**22
"""Characters that are read over and over to find one line."""


def dotted(location: Location) -> str:
    """A place as messages write it: ``data.scale[1][0]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def read_toml(text: str) -> dict[str, Any]:
    """`tomllib.loads`, but for keys of more than `MOST_PARTS` parts, which take it a time that grows with their square.

    Raises ValueError for what is no valid TOML, with the line where there is one, and RecursionError.
    """
    long_key = _LONG_KEY.search(text)
    if long_key is not None:
        place = f"(at line {text.count(chr(10), 0, long_key.end()) + 1}, column 1)"
        raise ValueError(f"a key of more than {MOST_PARTS} parts is nested too deeply {place}")
    return tomllib.loads(text)


def holds(tree: Any, location: Location) -> bool:
    """Whether a tree has a value in a place."""
    for part in location:
        if not (part in tree if isinstance(tree, dict) else isinstance(tree, list) and part in range(len(tree))):
            return False
        tree = tree[part]
    return True


def line_of(text: str, found: Callable[[dict[str, Any]], bool]) -> int | None:
    """The line, from 1, of the statement of a TOML text after which its tree is ``found`` to be as it was asked for.

    What is in a value has the line of its key. None where looking for it would take long.
    """
    lines = text.split("\n")
    effort = 0

    def after(n_lines: int) -> bool:
        nonlocal effort
        for stop in range(n_lines, len(lines) + 1):
            beginning = "\n".join(lines[:stop])
            effort += len(beginning)
            if effort > _MOST_EFFORT:
                raise TimeoutError
            try:
                return found(tomllib.loads(beginning))
            except ValueError:
                continue  # a value goes on
        return False

    try:
        return 1 + bisect.bisect_left(range(1, len(lines) + 1), True, key=after)
    except TimeoutError:
        return None
