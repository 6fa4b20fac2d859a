"""CSV files: numbers separated by commas, semicolons or tabs, with or without a line of names.

Two readers stand behind :func:`read_csv`.  The one below, on the csv module, decides what a file means and
says where it is wrong.  pyarrow reads large files some ten times faster but says little about errors; it
is used as an accelerator, and whatever it does not take without complaint is read again by the first.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from emjax.datasets.columns import Columns, check_unique, check_width, choose_columns, listed
from emjax.errors import DataError
from emjax.floats import quoted
from emjax.samples import default_feature_names

__all__ = ["read_csv"]

_DELIMITERS = (",", ";", "\t")
_DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab"}
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?", "."})
_SNIFFED_BYTES = 1 << 16
_SNIFFED_ROWS = 50
_LONGEST_RECORD = 1 << 22
# Below this size the csv module is done before pyarrow is even imported.
_ACCELERATED_BYTES = 1 << 20


@dataclass(frozen=True)
class _Layout:
    """How a CSV file is to be read."""

    delimiter: str
    header: bool
    names: tuple[str, ...]
    header_line: int


@dataclass
class _Column:
    """One column while it is read: its numbers, the first text and the first missing value in it."""

    numbers: array[float] = field(default_factory=lambda: array("d"))
    text: tuple[int, str] | None = None
    missing: tuple[int, str] | None = None
    n_missing: int = 0

    def add(self, cell: str, line: int) -> None:
        """Take one cell, read as a number if it is one."""
        number = _number(cell)
        if number is None and cell.strip().lower() not in _MISSING:
            self.text = self.text or (line, cell)
        elif number is None or not math.isfinite(number):
            self.missing = self.missing or (line, cell)
            self.n_missing += 1
        else:
            self.numbers.append(number)


def read_csv(path: Path, place: str, columns: Columns = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The chosen columns of a CSV file as float64 ``(n_samples, n_features)``, and their names.

    The separator (comma, semicolon or tab) is the one that gives every row the same number of fields and the
    most numbers.  The first line holds names unless all its fields are numbers; then the columns are called
    ``x0``, ``x1``, ... (a single one ``x``).  ``true`` and ``false`` are 1 and 0.  Lines without any
    character are passed over, except in a file of one column, where an empty line is an empty cell.

    Raises:
        DataError: if the file is not UTF-8 text, is empty, has rows of different lengths, or a chosen column
            has a cell that is not a finite number; the line (as an editor counts them) and column are named.
    """
    _check_text(path, place)
    layout = _layout(path, place)
    chosen = choose_columns(layout.names, columns, place)
    names = tuple(layout.names[position] or f"column {position}" for position in chosen)
    values = None
    if path.stat().st_size >= _ACCELERATED_BYTES:
        values = _read_with_pyarrow(path, layout, chosen)
    if values is None:
        values = _read_with_csv(path, layout, chosen, place)
    return values, names


def _check_text(path: Path, place: str) -> None:
    """Refuse bytes that are not UTF-8 text, and files without a single visible character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    n_lines, blank = 1, True
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            if b"\0" in chunk:
                raise DataError(f"{place} is not a text file (it has NUL bytes): save it as CSV in UTF-8")
            try:
                text = decoder.decode(chunk)
            except UnicodeDecodeError as error:
                line = n_lines + error.object[: error.start].count(b"\n")
                raise DataError(
                    f"{place}: line {line} has a byte that is not UTF-8 (0x{error.object[error.start]:02x}): "
                    "save the file as UTF-8"
                ) from error
            blank = blank and not text.strip("\ufeff \t\r\n,;")
            n_lines += chunk.count(b"\n")
    if decoder.getstate()[0]:
        raise DataError(f"{place}: line {n_lines} ends in half a UTF-8 character: the file is cut off; fetch it again")
    if blank:
        raise DataError(f"{place} is empty: give a file with at least one row of numbers")


def _layout(path: Path, place: str) -> _Layout:
    """Separator, line of names and names, from the head of the file."""
    with path.open(encoding="utf-8-sig", newline="", errors="strict") as file:
        head = file.read(_SNIFFED_BYTES)
        cut_off = bool(file.read(1))
    if head.lstrip()[:9].lower().startswith(("<!doctype", "<html")):
        raise DataError(f"{place} is a web page, not a table: download the raw file itself")
    delimiter = _sniff(head, cut_off)
    header_line, first = next(_records(path, delimiter, place))
    header = not _is_numeric_row(first)
    n_fields = len(first)
    check_width(n_fields, place)
    if header:
        names = tuple(cell.strip() for cell in first)
        check_unique(names, place)
    else:
        names = default_feature_names(n_fields)
    return _Layout(delimiter, header, names, header_line)


def _sniff(head: str, cut_off: bool) -> str:
    """The separator that fits the head of a file."""
    best, best_score = _DELIMITERS[0], (-1, 0.0, 0)
    for rank, delimiter in enumerate(_DELIMITERS):
        rows = _head_rows(head, delimiter, cut_off)
        if not rows:
            continue
        n_fields = len(rows[0])
        regular = n_fields > 1 and all(len(row) == n_fields for row in rows)
        cells = [cell for row in rows[1:] or rows for cell in row]
        numeric = sum(_number(cell) is not None for cell in cells) / max(len(cells), 1)
        # without any regular separator, the one that occurs most often in the first line is meant
        score = (int(regular), numeric if regular else float(n_fields), -rank)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _head_rows(head: str, delimiter: str, cut_off: bool) -> list[list[str]]:
    """The first rows under one separator; none if the csv module does not take them."""
    lines = list(io.StringIO(head, newline=""))
    if cut_off and len(lines) > 1:
        lines.pop()
    try:
        rows = itertools.islice((row for row in csv.reader(lines, delimiter=delimiter) if row), _SNIFFED_ROWS)
        return list(rows)
    except csv.Error:
        return []


def _is_numeric_row(cells: list[str]) -> bool:
    """True for a row of numbers, among which values may be missing; False for a row of names."""
    numeric = [_number(cell) is not None for cell in cells]
    missing = [cell.strip().lower() in _MISSING for cell in cells]
    return any(numeric) and all(a or b for a, b in zip(numeric, missing, strict=True))


def _number(cell: str) -> float | None:
    """The number a cell holds (NaN and infinities included), or None."""
    text = cell.strip()
    # float() takes 1_000 and the digits of other scripts; a data file does not mean them
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return {"true": 1.0, "false": 0.0}.get(text.lower())


def _records(path: Path, delimiter: str, place: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of the line it starts on, from the first one that is not empty.

    Later empty lines are handed on as rows without cells.
    """
    line, started, length = 1, False, 0

    def lines(file: IO[str]) -> Iterator[str]:
        nonlocal length
        while text := file.readline(_LONGEST_RECORD + 1):
            length += len(text)
            if length > _LONGEST_RECORD:
                raise DataError(
                    f"{place}: the row that begins in line {line} has more than {_LONGEST_RECORD:,} characters: give "
                    "every row a line of its own"
                )
            yield text

    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(lines(file), delimiter=delimiter)
        try:
            for row in reader:
                length = 0
                started = started or bool(row)
                if started:
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{place}: line {line} cannot be split into fields ({error}): look for a quote that is not closed"
            ) from error


def _read_with_pyarrow(path: Path, layout: _Layout, chosen: list[int]) -> np.ndarray | None:
    """The chosen columns by pyarrow, or None where it finds anything that is not a finite number."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    inner_names = [f"c{position}" for position in range(len(layout.names))]
    wanted = [inner_names[position] for position in chosen]
    try:
        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(
                column_names=inner_names, skip_rows_after_names=int(layout.header), block_size=1 << 22
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=layout.delimiter, newlines_in_values=True, ignore_empty_lines=len(inner_names) > 1
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=wanted, column_types={name: pa.float64() for name in wanted}, null_values=[]
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    if table.num_rows == 0:
        return None
    values = np.empty((table.num_rows, len(wanted)))
    for position, name in enumerate(wanted):
        values[:, position] = table.column(name).to_numpy()
    return values if np.isfinite(values).all() else None


def _read_with_csv(path: Path, layout: _Layout, chosen: list[int], place: str) -> np.ndarray:
    """The chosen columns by the csv module, every cell looked at; raises where a cell is no finite number."""
    n_fields = len(layout.names)
    columns = [_Column() for _ in range(n_fields)]
    n_rows = 0
    empty_lines: list[int] = []
    records = _records(path, layout.delimiter, place)
    if layout.header:
        next(records)
    for line, row in records:
        if not row:
            empty_lines.append(line)
            continue
        if len(row) != n_fields:
            _raise_ragged(line, row, layout, place)
        if n_fields == 1:
            # in a file of one column an empty line before the last row is an empty cell
            for empty_line in empty_lines:
                columns[0].add("", empty_line)
        empty_lines.clear()
        for column, cell in zip(columns, row, strict=True):
            column.add(cell, line)
        n_rows += 1
    if n_rows == 0:
        raise DataError(
            f"{place} has a line of column names ({listed(layout.names)}) and no rows: give at least one row of numbers"
        )
    _check_columns(columns, chosen, layout, place)
    return np.column_stack([np.frombuffer(columns[position].numbers) for position in chosen])


def _raise_ragged(line: int, row: list[str], layout: _Layout, place: str) -> None:
    fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
    raise DataError(
        f"{place}: line {line} has {fields} where line {layout.header_line} has {len(layout.names)} "
        f"(separated by {_DELIMITER_NAMES[layout.delimiter]}s): give every line the same number"
    )


def _check_columns(columns: list[_Column], chosen: list[int], layout: _Layout, place: str) -> None:
    """Raise for the first chosen column with a text in it, then for the first missing value."""
    for position in chosen:
        text = columns[position].text
        if text is not None:
            numeric = [
                name or str(index)
                for index, (name, column) in enumerate(zip(layout.names, columns, strict=True))
                if column.text is None
            ]
            line, cell = text
            raise DataError(
                f"{place}: line {line}, column {_shown(layout, position)}: {quoted(cell)} is not a number"
                f"{_remedy_for_text(cell, layout.delimiter, numeric)}"
            )
    offences = [(columns[position].missing, position) for position in chosen if columns[position].missing]
    if offences:
        (line, cell), position = min((missing, position) for missing, position in offences if missing)
        what = {"": "the cell is empty"}.get(cell.strip(), f"{quoted(cell)} is not a finite number")
        others = columns[position].n_missing - 1
        more = f" ({others} more in this column)" if others else ""
        raise DataError(
            f"{place}: line {line}, column {_shown(layout, position)}: {what}{more}: "
            "remove such lines or fill in the values"
        )


def _remedy_for_text(cell: str, delimiter: str, numeric: list[str]) -> str:
    if delimiter != "," and _number(cell.replace(",", ".", 1)) is not None:
        return ": write decimals with a point (1.5), not a comma"
    parts = cell.split()
    if len(parts) > 1 and all(_number(part) is not None for part in parts):
        return ": separate the columns by commas, not by spaces"
    if not numeric:
        return ", and no other column is numeric: give a file with numbers"
    return f": correct it or choose numeric columns, --columns {listed(numeric).replace(', ', ',')}"


def _shown(layout: _Layout, position: int) -> str:
    name = layout.names[position]
    return quoted(name) if name else f"{position} (counting from 0, it has no name)"
