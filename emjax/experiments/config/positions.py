"""A TOML text, and in which line each of its keys was written; `tomllib` checks the text but does not say."""

import re
import tomllib
from typing import Any

Location = tuple[str | int, ...]
"""The way to a value: names of keys, and positions in lists."""

MOST_PARTS = 32
"""Keys of more parts are nested more deeply than any setting."""

_NAME = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_LONG_KEY = re.compile(rf"(?:^|[\[{{,])[ \t]*{_NAME}(?:[ \t]*\.[ \t]*{_NAME}){{{MOST_PARTS}}}", re.MULTILINE)
_MOST_EFFORT = 2**22
"""Characters that are read over and over to find lines; what comes later has none."""


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


def toml_lines(text: str) -> dict[str, int]:
    """The line, from 1, of every table and key of a valid TOML text, `dotted`; what is in a value has its key's line.

    A statement ends where `tomllib` can read it alone.
    """
    lines: dict[str, int] = {}
    n_entries: dict[Location, int] = {}
    table: Location = ()
    statement, begun, effort = "", 1, 0
    for number, line in enumerate(text.split("\n"), start=1):
        statement, begun = (f"{statement}\n{line}", begun) if statement else (line, number)
        effort += len(statement)
        if effort > _MOST_EFFORT:
            break
        try:
            found = tomllib.loads(statement)
        except ValueError:
            continue  # its value goes on
        if statement.lstrip(" \t").startswith("["):
            table = _mark_header(lines, n_entries, found, begun)
        else:
            _mark(lines, table, found, begun)
        statement = ""
    return lines


def _mark_header(lines: dict[str, int], n_entries: dict[Location, int], header: dict[str, Any], line: int) -> Location:
    """The table that a header opens: of a list of tables a new entry, or the last one."""
    location: Location = ()
    value: Any = header
    while value:
        ((name, value),) = value.items()
        location = (*location, name)
        lines.setdefault(dotted(location), line)
        if isinstance(value, list):  # [[name]]
            n_entries[location] = n_entries.get(location, 0) + 1
            value = value[0]
        if location in n_entries:
            location = (*location, n_entries[location] - 1)
            lines.setdefault(dotted(location), line)
    return location


def _mark(lines: dict[str, int], location: Location, value: Any, line: int) -> None:
    if location:
        lines.setdefault(dotted(location), line)
    for part, below in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        _mark(lines, (*location, part), below, line)
