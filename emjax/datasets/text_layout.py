"""How a text file is laid out: separator, decimal sign, comments and names, from its head."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from emjax.datasets.columns import check_unique, check_width
from emjax.datasets.header import find_header
from emjax.datasets.numbers import looks_grouped, number
from emjax.errors import DataError
from emjax.matrix import default_feature_names

__all__ = ["DELIMITER_NAMES", "Content", "Layout", "find_layout", "open_binary", "records"]

type Content = Path | bytes
"""A file, or what was unpacked or read from standard input."""

DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""The first line by which Excel is told the separator."""
_COMMENT = re.compile(r"#(?!N/A|DIV/0!|VALUE!|REF!|NAME\?|NUM!|NULL!)")
"""How a comment begins; spreadsheets write errors of their cells with the same sign, and those stand in rows."""
_SNIFFED_BYTES = 1 << 16
_SNIFFED_ROWS = 50
_LONGEST_RECORD = 1 << 22


@dataclass(frozen=True)
class Layout:
    """How a text file is to be read: ``first_line`` is that of the first row, names or not, counted from 1.

    ``n_comments`` is the number of comments above it.
    """

    delimiter: str
    decimal: str
    header: bool
    names: tuple[str, ...]
    first_line: int
    n_comments: int = 0
    notes: tuple[str, ...] = ()


def open_binary(content: Content) -> IO[bytes]:
    """The bytes of a file, from the beginning."""
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def find_layout(content: Content, place: str, header: bool | None) -> Layout:
    """The layout of a text file; ``header`` says whether the first row is names, None that it is to be found out."""
    with _open_text(content) as file:
        head = file.read(_SNIFFED_BYTES)
        cut_off = bool(file.read(1))
    if head.lstrip()[:9].lower().startswith(("<!doctype", "<html")):
        raise DataError(f"{place} is a web page, not a table: download the raw file itself")
    lines = list(io.StringIO(head, newline=""))
    if cut_off and len(lines) > 1:
        lines.pop()
    told = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    table = [line for line in lines[1 if told else 0 :] if not _COMMENT.match(line)]
    delimiter, decimal = _sniff(table, (told[1],) if told else tuple(DELIMITER_NAMES))
    first_line, first = next(records(content, delimiter, place), (0, []))
    if not first:
        raise DataError(f"{place} has comments and no rows: give at least one row of numbers")
    check_width(len(first), place)
    rows = _raw_rows(table, delimiter, first)
    named, note = find_header(rows, decimal) if header is None else (header, None)
    names = tuple(cell.strip() for cell in first)
    if not named:
        names = _commented_names(lines, first_line, delimiter, len(first)) or default_feature_names(len(first))
    check_unique(names, place)
    n_comments = sum(_COMMENT.match(line) is not None for line in lines[: first_line - 1])
    return Layout(delimiter, decimal, named, names, first_line, n_comments, () if note is None else (note,))


def records(content: Content, delimiter: str, place: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of the line it starts on.

    Lines that begin with ``#`` and Excel's ``sep=`` are passed over, and empty ones, but for those between rows of one
    cell, which are empty cells.
    """
    start = n_lines = length = n_fields = 0
    empty_lines: list[int] = []

    def lines(file: IO[str]) -> Iterator[str]:
        nonlocal start, n_lines, length
        while text := file.readline(_LONGEST_RECORD + 1):
            n_lines += 1
            start, length = start or n_lines, length + len(text)
            if length > _LONGEST_RECORD:
                raise DataError(
                    f"{place}: the row that begins in line {start} has more than {_LONGEST_RECORD:,} characters: give "
                    "every row a line of its own"
                )
            if start == n_lines and (_COMMENT.match(text) or (n_lines == 1 and _SEPARATOR_LINE.fullmatch(text))):
                start = length = 0
            else:
                yield text

    with _open_text(content) as file:
        try:
            for row in csv.reader(lines(file), delimiter=delimiter):
                line, start, length = start, 0, 0
                if row:
                    yield from ((empty_line, [""]) for empty_line in empty_lines)
                    yield line, row
                    empty_lines.clear()
                    n_fields = n_fields or len(row)
                elif n_fields == 1:
                    empty_lines.append(line)
        except csv.Error as error:
            raise DataError(
                f"{place}: line {start} cannot be split into fields ({error}): look for a quote that is not closed"
            ) from error


def _open_text(content: Content) -> IO[str]:
    return io.TextIOWrapper(open_binary(content), encoding="utf-8-sig", newline="")


def _sniff(lines: list[str], delimiters: tuple[str, ...]) -> tuple[str, str]:
    """The separator and the decimal sign that fit the head of a file."""
    candidates = [
        (delimiter, decimal, rows)
        for delimiter in delimiters
        if (rows := _head_rows(lines, delimiter))
        for decimal in (".", ",")
        if decimal == "." or _has_decimal_commas(rows)
    ]
    single = all(len(rows[0]) == 1 for *_, rows in candidates)

    def fitness(candidate: tuple[str, str, list[list[str]]]) -> tuple[bool, float]:
        _, decimal, rows = candidate
        cells = [cell for row in rows[1:] or rows for cell in row]
        numeric = sum(number(cell, decimal) is not None for cell in cells) / max(len(cells), 1)
        n_fields = len(rows[0])
        regular = all(len(row) == n_fields for row in rows) and (n_fields > 1 or (single and numeric == 1.0))
        # without any regular separator, the one that occurs most often in the first line is meant
        return regular, numeric if regular else float(n_fields)

    delimiter, decimal, _ = max(candidates, key=fitness, default=(delimiters[0], ".", []))
    return delimiter, decimal


def _has_decimal_commas(rows: list[list[str]]) -> bool:
    """Whether a cell below the first row is a number with a decimal comma that cannot be one of thousands."""
    cells = (cell for row in rows[1:] or rows for cell in row)
    return any("," in cell and number(cell, ",") is not None and not looks_grouped(cell) for cell in cells)


def _head_rows(lines: list[str], delimiter: str, *, quotes: bool = True) -> list[list[str]]:
    """The first rows under one separator; none if the csv module does not take them."""
    try:
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
        return list(itertools.islice((row for row in rows if row), _SNIFFED_ROWS))
    except csv.Error:
        return []


def _raw_rows(lines: list[str], delimiter: str, first: list[str]) -> list[list[str]]:
    """The first rows with their quotes; without them where a cell in quotes holds a separator or a line's end."""
    for quotes in (False, True):
        rows = _head_rows(lines, delimiter, quotes=quotes)
        if rows and all(len(row) == len(first) for row in rows):
            return rows
    return [first]


def _commented_names(lines: list[str], first_line: int, delimiter: str, n_fields: int) -> tuple[str, ...] | None:
    """Names in the comment right above the first row, as NumPy's ``savetxt`` writes them."""
    above = lines[first_line - 2] if 2 <= first_line <= len(lines) else ""
    if not _COMMENT.match(above) or n_fields < 2:
        return None
    cells = [cell.strip() for row in _head_rows([above[1:]], delimiter) for cell in row]
    is_names = len(cells) == n_fields and all(cells) and not any(number(cell) is not None for cell in cells)
    return tuple(cells) if is_names else None
