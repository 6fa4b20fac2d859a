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

from emjax.datasets.columns import KEEP, for_option, listed, refuse_truth
from emjax.datasets.dataset import Table
from emjax.datasets.numbers import MISSING, TRUTH, looks_grouped, number
from emjax.datasets.roles import Places, Request, as_levels, without_payload
from emjax.datasets.text_layout import DELIMITER_NAMES, Content, Layout, find_layout, open_binary, records
from emjax.errors import DataError
from emjax.floats import quoted

__all__ = ["read_csv"]

# Below this size the csv module is done before pyarrow is even imported.
_ACCELERATED_BYTES = 1 << 20


@dataclass
class _Column:
    """One column while it is read: its numbers, the first text and the first missing value in it.

    With ``gaps`` a missing value is NaN among the numbers; with ``cells`` its texts are kept as they stand there.
    """

    decimal: str
    gaps: bool = False
    cells: list[str] | None = None
    numbers: array[float] = field(default_factory=lambda: array("d"))
    text: tuple[int, str] | None = None
    missing: tuple[int, str] | None = None
    n_missing: int = 0
    truth: bool = False

    def add(self, cell: str, line: int) -> None:
        """Take one cell, read as a number if it is one."""
        if self.cells is not None:
            self.cells.append(cell)
            return
        value = number(cell, self.decimal)
        if value is None and cell.strip().lower() not in MISSING:
            self.text = self.text or (line, cell)
        elif self.gaps and (value is None or math.isnan(value)):
            self.numbers.append(math.nan)
        elif value is None or not math.isfinite(value):
            self.missing = self.missing or (line, cell)
            self.n_missing += 1
        else:
            self.numbers.append(value)
            self.truth = self.truth or cell.strip().lower() in TRUTH


def read_csv(content: Content, place: str, request: Request) -> Table:
    """The columns of a CSV file that are asked for: features as float64 ``(n_samples, n_features)``, and their names.

    The separator (comma, semicolon, tab or bar) is the one that gives every row the same number of fields and the
    most numbers; ``sep=;`` in the first line, as for Excel, decides.  Decimals may have a comma where nothing else
    could be meant.  The first line holds names if ``request.header`` is True, or None and `find_header` says so; else
    the columns are called ``x0``, ``x1``, ... (a single one ``x``).  Lines that begin with ``#`` are passed over; one
    right above the first row may hold the names.  Lines without any character are passed over, except in a file of one
    column, where an empty line is an empty cell.

    Raises:
        DataError: if the file is not UTF-8 text, is empty, has rows of different lengths, or a feature or a weight
            is not a finite number (a feature may be missing if ``request.missing``); the line (as an editor counts
            them) and column are named.
    """
    _check_text(content, place)
    layout = find_layout(content, place, request.header)
    places = request.places(layout.names, place)
    names = tuple(layout.names[position] or f"column {position}" for position in places.features)
    found = None
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    if size >= _ACCELERATED_BYTES and not request.levels:
        found = _read_with_pyarrow(content, layout, places, missing=request.missing)
    if found is None:
        found = _read_with_csv(content, layout, places, place, request)
    values, weights, cells = found
    labels = None if cells is None else _labels_of(cells, layout.decimal)
    values, level_names = as_levels(values, names, place, request) if request.levels else (values, None)
    values = without_payload(values) if request.missing else values
    return Table(values, names, layout.notes, weights, labels, level_names)


def _values_of(column: _Column) -> np.ndarray:
    return np.frombuffer(column.numbers) if column.cells is None else _labels_of(column.cells, column.decimal)


def _labels_of(cells: list[str], decimal: str) -> np.ndarray:
    """Labels as numbers where every cell is one, as names otherwise; gaps are NaN or None."""
    texts = [None if cell.strip().lower() in MISSING else cell.strip() for cell in cells]
    known = [text for text in texts if text is not None]
    if any(text.lower() in TRUTH or number(text, decimal) is None for text in known):
        return np.array(texts, dtype=object)
    return np.array([math.nan if text is None else number(text, decimal) for text in texts], dtype=float)


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


_NULLS = sorted({cell for each in MISSING for cell in (each, each.upper(), each.title())})
"""What pyarrow is to take for a cell that is not there: it knows no small and capital letters."""

type _Found = tuple[np.ndarray, np.ndarray | None, list[str] | None]
"""Features, weights, and the cells of the labels."""


def _read_with_pyarrow(content: Content, layout: Layout, places: Places, *, missing: bool) -> _Found | None:
    """The columns that are asked for by pyarrow, or None where it finds anything that is not a finite number."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    inner_names = [f"c{position}" for position in range(len(layout.names))]
    wanted = [inner_names[position] for position in places.all]
    types = {inner_names[place]: pa.string() if place == places.labels else pa.float64() for place in places.all}
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
                column_types=types,
                null_values=sorted({cell for each in MISSING for cell in (each, each.upper(), each.title())})
                if missing
                else [],
                decimal_point=layout.decimal,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    if table.num_rows == 0:
        return None
    values = np.empty((table.num_rows, len(places.features)))
    for position, feature in enumerate(places.features):
        values[:, position] = table.column(inner_names[feature]).to_numpy()
    weights = None if places.weights is None else table.column(inner_names[places.weights]).to_numpy()
    cells = None if places.labels is None else table.column(inner_names[places.labels]).to_pylist()
    whole = not np.isinf(values).any() if missing else bool(np.isfinite(values).all())
    return (values, weights, cells) if whole and (weights is None or np.isfinite(weights).all()) else None


def _read_with_csv(content: Content, layout: Layout, places: Places, place: str, request: Request) -> _Found:
    """The columns that are asked for by the csv module, every cell looked at; raises where one is no finite number."""
    n_fields = len(layout.names)
    columns = [
        _Column(
            layout.decimal,
            gaps=request.missing and position != places.weights,
            cells=[] if position == places.labels or (request.levels and position in places.features) else None,
        )
        for position in range(n_fields)
    ]
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
    _check_columns(columns, places, layout, place)
    if request.columns is None:
        names = [layout.names[position] for position in places.features]
        refuse_truth(names, [columns[position].truth for position in places.features], place)
    values = np.column_stack([_values_of(columns[position]) for position in places.features])
    weights = None if places.weights is None else np.frombuffer(columns[places.weights].numbers)
    return values, weights, None if places.labels is None else columns[places.labels].cells


def _raise_ragged(line: int, row: list[str], layout: Layout, place: str) -> None:
    fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
    separator = DELIMITER_NAMES.get(layout.delimiter, quoted(layout.delimiter) + " sign")
    raise DataError(
        f"{place}: line {line} has {fields} where line {layout.first_line} has {len(layout.names)} "
        f"(separated by {separator}s): give every line the same number"
    )


def _check_columns(columns: list[_Column], places: Places, layout: Layout, place: str) -> None:
    """Raise for the first feature with a text in it, then for weights that are none, then for a missing value."""
    for position in places.features:
        text = columns[position].text
        if text is not None:
            numeric = [
                name or str(index)
                for index, (name, column) in enumerate(zip(layout.names, columns, strict=True))
                if column.text is None and index not in (places.weights, places.labels)
            ]
            line, cell = text
            raise DataError(
                f"{place}: line {line}, column {_shown(layout, position)}: {quoted(cell)} is not a number"
                f"{_remedy_for_text(cell, numeric)}"
            )
    if places.weights is not None:
        _check_weights(columns[places.weights], _shown(layout, places.weights), place)
    offences = [(columns[position].missing, position) for position in places.features if columns[position].missing]
    if offences:
        (line, cell), position = min((missing, position) for missing, position in offences if missing)
        what = {"": "the cell is empty"}.get(cell.strip(), f"{quoted(cell)} is not a finite number")
        others = columns[position].n_missing - 1
        more = f" ({others} more in this column)" if others else ""
        raise DataError(
            f"{place}: line {line}, column {_shown(layout, position)}: {what}{more}: "
            f"remove such lines or fill in the values{KEEP if number(cell, layout.decimal) is None else ''}"
        )


def _check_weights(column: _Column, name: str, place: str) -> None:
    found = column.text or column.missing
    if found is not None:
        line, cell = found
        raise DataError(
            f"{place}: line {line}, column {name}: {quoted(cell)} is no weight: give a number of 0 or more in every row"
        )
    if column.truth:
        raise DataError(f"{place}: column {name} holds true and false, which are no weights: write 1 and 0")


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
