"""CSV files: numbers separated by commas, semicolons, tabs or bars, with or without a line of names.

pyarrow reads them; it is told how they are laid out, and what it does not take is looked at cell by cell.
"""

from __future__ import annotations

import codecs
import dataclasses
import math
from pathlib import Path

import numpy as np

from emjax.datasets.dataset import Table
from emjax.datasets.numbers import MISSING, TRUTH, number
from emjax.datasets.roles import Places, Request, assembled, floats_of
from emjax.datasets.text_cells import examined
from emjax.datasets.text_layout import Content, Layout, find_layout, open_binary
from emjax.errors import DataError

__all__ = ["read_csv"]

_NULLS = sorted({cell for each in MISSING for cell in (each, each.upper(), each.title())})
"""What pyarrow is to take for a cell that is not there: it knows no small and capital letters."""
_LONGEST_ROW = 1 << 22


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
    n_comments, n_empty = _check_text(content, place)
    layout = find_layout(content, place, request.header)
    places = request.places(layout.names, place)
    columns = None
    if n_comments == layout.n_comments:
        columns = _read(content, layout, places, request, n_empty)
    if columns is None:
        rows = examined(content, layout, places, place, request)
        columns = _read(rows, dataclasses.replace(layout, header=False, first_line=1), places, request)
    if columns is None:
        raise DataError(f"{place} has a row of more than {_LONGEST_ROW:,} bytes: give every row a line of its own")
    names = tuple(layout.names[position] or f"column {position}" for position in places.features)
    return assembled(columns, places, names, place, request, layout.notes)


def _check_text(content: Content, place: str) -> tuple[int, int]:
    """Refuse bytes that are not UTF-8 text, and files without a single visible character.

    Returns how many lines begin with ``#``, and how many empty ones there are at the end.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    n_lines, n_comments, n_ends, blank, end = 1, 0, 1, True, "\n"
    with open_binary(content) as file:
        while chunk := file.read(1 << 20):
            if b"\0" in chunk:
                raise DataError(f"{place} is not a text file (it has NUL bytes): save it as CSV in UTF-8")
            try:
                text = end + decoder.decode(chunk)
            except UnicodeDecodeError as error:
                line = n_lines + error.object[: error.start].count(b"\n")
                raise DataError(
                    f"{place}: line {line} has a byte that is not UTF-8 (0x{error.object[error.start]:02x}): "
                    "save the file as UTF-8"
                ) from error
            tail = text[len(text.rstrip("\r\n")) :]
            n_ends = len(tail.splitlines()) + (n_ends - len(end) if tail == text else 0)
            end = tail[-1:]
            n_lines += chunk.count(b"\n")
            n_comments += text.count("\n#") + text.count("\r#") if b"#" in chunk else 0
            blank = blank and not text.strip(" \t\r\n,;|")
    if decoder.getstate()[0]:
        raise DataError(f"{place}: line {n_lines} ends in half a UTF-8 character: the file is cut off; fetch it again")
    if blank:
        raise DataError(f"{place} is empty: give a file with at least one row of numbers")
    return n_comments, max(n_ends - 1, 0)


def _read(
    content: Content, layout: Layout, places: Places, request: Request, n_empty: int = 0
) -> dict[int, np.ndarray] | None:
    """The columns that are asked for, or None where pyarrow does not take them, or not as finite numbers.

    In a file of one column empty lines are rows, but for the ``n_empty`` last ones.
    """
    import pyarrow as pa
    from pyarrow import csv

    texts = {places.labels, *(places.features if request.levels else ())}
    single = len(layout.names) == 1
    types = {str(position): pa.string() if position in texts else pa.float64() for position in places.all}
    try:
        table = csv.read_csv(
            content if isinstance(content, Path) else pa.BufferReader(content),
            read_options=csv.ReadOptions(
                column_names=list(map(str, range(len(layout.names)))),
                skip_rows=layout.first_line - 1,
                skip_rows_after_names=int(layout.header),
                block_size=_LONGEST_ROW,
            ),
            parse_options=csv.ParseOptions(
                delimiter=layout.delimiter, newlines_in_values=True, ignore_empty_lines=not single
            ),
            convert_options=csv.ConvertOptions(
                include_columns=list(types), column_types=types, null_values=_NULLS, decimal_point=layout.decimal
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    table = table.slice(0, table.num_rows - n_empty if single else None)
    columns = {}
    for position in places.all:
        column = table.column(str(position))
        if position in texts:
            columns[position] = _numbers_or_texts(column.to_pylist(), layout.decimal)
            continue
        columns[position] = floats_of(column)
        may_be_missing = request.missing and position != places.weights
        if np.isinf(columns[position]).any() if may_be_missing else not np.isfinite(columns[position]).all():
            return None
    return columns if table.num_rows else None


def _numbers_or_texts(cells: list[str], decimal: str) -> np.ndarray:
    """Numbers where every cell is one, texts otherwise; gaps are NaN or None."""
    texts = [None if cell.strip().lower() in MISSING else cell.strip() for cell in cells]
    known = [text for text in texts if text is not None]
    if any(text.lower() in TRUTH or number(text, decimal) is None for text in known):
        return np.array(texts, dtype=object)
    return np.array([math.nan if text is None else number(text, decimal) for text in texts], dtype=float)
