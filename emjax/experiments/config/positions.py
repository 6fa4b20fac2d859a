"""A TOML text, and where in it each key was written; `tomllib` checks the text but does not say."""

import bisect
import re
import tomllib
from typing import Any

Location = tuple[str | int, ...]
"""The way to a value: names of keys, and positions in lists."""

MOST_PARTS = 32
"""Keys of more parts are nested more deeply than any setting."""

_NAME = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_LONG_KEY = re.compile(rf"(?:^|[\[{{,])[ \t]*{_NAME}(?:[ \t]*\.[ \t]*{_NAME}){{{MOST_PARTS}}}", re.MULTILINE)

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN_VALUE = re.compile(r"[^,\]}#\n]*")
_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_STRINGS = {
    '"""': re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL),
    "'''": re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.DOTALL),
    '"': re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    "'": re.compile(r"'[^'\n]*'"),
}


def read_toml(text: str) -> dict[str, Any]:
    """`tomllib.loads`, but for keys of more than `MOST_PARTS` parts, which take it a time that grows with their square.

    Raises ValueError for what is no valid TOML, with the line where there is one, and RecursionError.
    """
    long_key = _LONG_KEY.search(text)
    if long_key is not None:
        place = f"(at line {text.count(chr(10), 0, long_key.end()) + 1}, column 1)"
        raise ValueError(f"a key of more than {MOST_PARTS} parts is nested too deeply {place}")
    return tomllib.loads(text)


def toml_lines(text: str) -> dict[Location, int]:
    """The line, from 1, of every key, table and entry of a list in a TOML text.

    The text has to be valid TOML, with line feeds alone, and nested less deeply than Python recurses.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """Walks over a valid text once; every method starts at `at` and leaves it behind what it has read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Location, int] = {}
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._n_tables: dict[Location, int] = {}

    def document(self) -> None:
        table: Location = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self) -> Location:
        line = self._line()
        is_list = self.text.startswith("[[", self.at)
        self.at += 2 if is_list else 1
        *parents, last = self._key()
        self.at += 2 if is_list else 1
        location: Location = ()
        for name in parents:
            location = self._inside((*location, name), line)
        location = (*location, last)
        if not is_list:
            return self._inside(location, line)
        index = self._n_tables.get(location, 0)
        self._n_tables[location] = index + 1
        self.lines.setdefault(location, line)
        self.lines[(*location, index)] = line
        return (*location, index)

    def _inside(self, location: Location, line: int) -> Location:
        """A table, or the last one where the name is that of a list of tables."""
        self.lines.setdefault(location, line)
        count = self._n_tables.get(location, 0)
        return (*location, count - 1) if count else location

    def _pair(self, table: Location) -> None:
        line = self._line()
        names = self._key()
        for depth in range(1, len(names)):
            self.lines.setdefault((*table, *names[:depth]), line)
        self.at += 1  # the sign of equality
        self._skip(_SPACE)
        self._value((*table, *names), line)

    def _key(self) -> list[str]:
        names = []
        while True:
            self._skip(_SPACE)
            quoted = self.text[self.at] in "\"'"
            raw = self._take(_STRINGS[self.text[self.at]] if quoted else _BARE)
            names.append(tomllib.loads(f"key = {raw}")["key"] if quoted else raw)
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return names
            self.at += 1

    def _value(self, location: Location, line: int) -> None:
        self.lines.setdefault(location, line)
        sign = self.text[self.at : self.at + 3]
        if sign[:1] == "[":
            self._list(location)
        elif sign[:1] == "{":
            self._inline_table(location)
        else:
            opening = next((quote for quote in _STRINGS if sign.startswith(quote)), None)
            self._take(_PLAIN_VALUE if opening is None else _STRINGS[opening])

    def _list(self, location: Location) -> None:
        self.at += 1
        index = 0
        while not self._closed("]"):
            self._value((*location, index), self._line())
            index += 1

    def _inline_table(self, location: Location) -> None:
        self.at += 1
        while not self._closed("}"):
            self._pair(location)

    def _closed(self, bracket: str) -> bool:
        """Step over a comma, or over the closing bracket: then there is nothing more."""
        self._skip(_BLANK)
        if self.text[self.at] == ",":
            self.at += 1
            self._skip(_BLANK)
        if self.text[self.at] != bracket:
            return False
        self.at += 1
        return True

    def _line(self) -> int:
        return bisect.bisect_left(self._ends, self.at) + 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        assert found is not None, "the text is valid TOML"
        self.at = found.end()
        return found[0]
