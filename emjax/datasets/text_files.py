"""CSV files: numbers separated by commas, semicolons, tabs or bars, with or without a line of names.

pyarrow reads them; it says little about errors.  What it does not take without complaint, and small files, for which it
is not worth its import, are read by the csv module, which says where a file is wrong.
"""

from __future__ import annotations

import codecs
import math
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emjax.datasets.columns import Columns, choose_columns, for_option, listed, refuse_truth
from emjax.datasets.dataset import Table
from emjax.datasets.numbers import MISSING, TRUTH, looks_grouped, number
from emjax.datasets.text_layout import DELIMITER_NAMES, Content, Layout, find_layout, open_binary, records
from emjax.errors import DataError
from emjax.floats import quoted

__all__ = ["read_csv"]

# Below this size the csv module is done before pyarrow is even imported.
_ACCELERATED_BYTES = 1 << 20


@dataclass
class _Column:
    """One column while it is read: its numbers, the first text and the first missing value in it."""

    decimal: str
    numbers: array[float] = field(default_factory=lambda: array("d"))
    text: tuple[int, str] | None = None
    missing: tuple[int, str] | None = None
    n_missing: int = 0
    truth: bool = False

    def add(self, cell: str, line: int) -> None:
        """Take one cell, read as a number if it is one."""
        value = number(cell, self.decimal)
        if value is None and cell.strip().lower() not in MISSING:
            self.text = self.text or (line, cell)
        elif value is None or not math.isfinite(value):
            self.missing = self.missing or (line, cell)
            self.n_missing += 1
        else:
            self.numbers.append(value)
            self.truth = self.truth or cell.strip().lower() in TRUTH


def read_csv(content: Content, place: str, columns: Columns = None, header: bool | None = None) -> Table:
    """The chosen columns of a CSV file as float64 ``(n_samples, n_features)``, and their names.

    The separator (comma, semicolon, tab or bar) is the one that gives every row the same number of fields and the
    most numbers; ``sep=;`` in the first line, as for Excel, decides.  Decimals may have a comma where nothing else
    could be meant.  The first line holds names if ``header`` is True, or None and `find_header` says so; else the
    columns are called ``x0``, ``x1``, ... (a single one ``x``).  Lines that begin with ``#`` are passed over; one right
    above the first row may hold the names.  Lines without any character are passed over, except in a file of one
    column, where an empty line is an empty cell.

    Raises:
        DataError: if the file is not UTF-8 text, is empty, has rows of different lengths, or a chosen column
            has a cell that is not a finite number; the line (as an editor counts them) and column are named.
    """
    _check_text(content, place)
    layout = find_layout(content, place, header)
    chosen = choose_columns(layout.names, columns, place)
    names = tuple(layout.names[position] or f"column {position}" for position in chosen)
    values = None
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    if size >= _ACCELERATED_BYTES:
        values = _read_with_pyarrow(content, layout, chosen)
    if values is None:
        values = _read_with_csv(content, layout, chosen, place, truth=columns is not None)
    return Table(values, names, layout.notes)


def _check_text(content: Content, place: str) -> None:
    """Refuse bytes that are not UTF-8 text, and files without a single visible character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    n_lines, blank = 1, True
    with open_binary(content) as file:
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
            blank = blank and not text.strip("\ufeff \t\r\n,;|")
            n_lines += chunk.count(b"\n")
    if decoder.getstate()[0]:
        raise DataError(f"{place}: line {n_lines} ends in half a UTF-8 character: the file is cut off; fetch it again")
    if blank:
        raise DataError(f"{place} is empty: give a file with at least one row of numbers")


def _read_with_pyarrow(content: Content, layout: Layout, chosen: list[int]) -> np.ndarray | None:
    """The chosen columns by pyarrow, or None where it finds anything that is not a finite number."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    inner_names = [f"c{position}" for position in range(len(layout.names))]
    wanted = [inner_names[position] for position in chosen]
    try:
        table = arrow_csv.read_csv(
            content if isinstance(content, Path) else pa.BufferReader(content),
            read_options=arrow_csv.ReadOptions(
                column_names=inner_names,
                skip_rows=layout.first_line - 1,
                skip_rows_after_names=int(layout.header),
                block_size=1 << 22,
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=layout.delimiter, newlines_in_values=True, ignore_empty_lines=len(inner_names) > 1
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=wanted,
                column_types={name: pa.float64() for name in wanted},
                null_values=[],
                decimal_point=layout.decimal,
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


def _read_with_csv(content: Content, layout: Layout, chosen: list[int], place: str, *, truth: bool) -> np.ndarray:
    """The chosen columns by the csv module, every cell looked at; raises where a cell is no finite number."""
    n_fields = len(layout.names)
    columns = [_Column(layout.decimal) for _ in range(n_fields)]
    n_rows = 0
    empty_lines: list[int] = []
    rows = records(content, layout.delimiter, place)
    if layout.header:
        next(rows)
    for line, row in rows:
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
    if not truth:
        refuse_truth(layout.names, [columns[position].truth for position in chosen], place)
    return np.column_stack([np.frombuffer(columns[position].numbers) for position in chosen])


def _raise_ragged(line: int, row: list[str], layout: Layout, place: str) -> None:
    fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
    separator = DELIMITER_NAMES.get(layout.delimiter, quoted(layout.delimiter) + " sign")
    raise DataError(
        f"{place}: line {line} has {fields} where line {layout.first_line} has {len(layout.names)} "
        f"(separated by {separator}s): give every line the same number"
    )


def _check_columns(columns: list[_Column], chosen: list[int], layout: Layout, place: str) -> None:
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
                f"{_remedy_for_text(cell, numeric)}"
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


def _remedy_for_text(cell: str, numeric: list[str]) -> str:
    if looks_grouped(cell):
        return ": write numbers without thousands separators, and decimals with a point (1234.5)"
    if number(cell, ",") is not None:
        return ": write all decimals with a point (1.5)"
    parts = cell.split()
    if len(parts) > 1 and all(number(part) is not None for part in parts):
        return ": separate the columns by commas, not by spaces"
    if not numeric:
        return ", and no other column is numeric: give a file with numbers"
    return f": correct it or choose numeric columns, --columns {for_option(numeric)}"


def _shown(layout: Layout, position: int) -> str:
    name = layout.names[position]
    return quoted(name) if name else f"{position} (counting from 0, it has no name)"
