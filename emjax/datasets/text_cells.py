"""Text files that pyarrow does not take as they are: every cell is looked at, and what is wrong told with its line."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

from emjax.datasets.columns import KEEP, for_option, listed, refuse_truth
from emjax.datasets.numbers import MISSING, TRUTH, looks_grouped, number
from emjax.datasets.roles import Places, Request
from emjax.datasets.text_layout import DELIMITER_NAMES, Content, Layout, records
from emjax.errors import DataError
from emjax.floats import quoted

__all__ = ["examined"]

_PLAIN = {**dict.fromkeys(MISSING, ""), "true": "1", "false": "0"}
"""What is written for words that pyarrow does not know."""


def examined(content: Content, layout: Layout, places: Places, place: str, request: Request) -> bytes:
    """The rows below the names as pyarrow takes them: without comments, cells of numbers as numbers or empty.

    Raises `DataError` for a row of another length, then for the first feature with a text in it, then for weights that
    are none, then for a value that is missing or not finite, then for true and false that nobody asked for.
    """
    features = [] if request.levels else places.features
    weights = places.weights
    numeric = {*features, weights}
    texts: dict[int, tuple[int, str]] = {}
    missing: dict[int, tuple[int, str]] = {}
    truths: set[int] = set()
    n_missing: Counter[int] = Counter()
    rewritten = io.StringIO(newline="")
    writer = csv.writer(rewritten, delimiter=layout.delimiter)
    rows = records(content, layout.delimiter, place)
    if layout.header:
        next(rows)
    for line, row in rows:
        if len(row) != len(layout.names):
            _refuse_ragged(line, row, layout, place)
        for position, cell in enumerate(row):
            word = cell.strip().lower()
            value = number(word, layout.decimal)
            if word in TRUTH:
                truths.add(position)
            elif value is None and word not in MISSING:
                texts.setdefault(position, (line, cell))
            elif value is None or not math.isfinite(value):
                is_gap = value is None or math.isnan(value)
                if not (is_gap and request.missing) or position == weights:
                    missing.setdefault(position, (line, cell))
                    n_missing[position] += 1
            if position in numeric:
                row[position] = _PLAIN.get(word, word)
        writer.writerow(row)
    if not rewritten.tell():
        raise DataError(
            f"{place} has a line of column names ({listed(layout.names)}) and no rows: give at least one row of numbers"
        )

    def at(line: int, position: int) -> str:
        return f"{place}: line {line}, column {_shown(layout.names, position)}"

    if wrong := [position for position in features if position in texts]:
        line, cell = texts[wrong[0]]
        taken = {*texts, *truths, weights, places.labels}
        others = [name or str(each) for each, name in enumerate(layout.names) if each not in taken]
        remedy = _remedy_for_text(cell, others)
        raise DataError(f"{at(line, wrong[0])}: {quoted(cell)} is not a number{remedy}")
    if weights is not None and (found := texts.get(weights) or missing.get(weights)):
        line, cell = found
        raise DataError(f"{at(line, weights)}: {quoted(cell)} is no weight: give a number of 0 or more in every row")
    if weights is not None and weights in truths:
        column = _shown(layout.names, weights)
        raise DataError(f"{place}: column {column} holds true and false, which are no weights: write 1 and 0")
    if gaps := [(missing[position][0], position) for position in features if position in missing]:
        line, position = min(gaps)
        cell = missing[position][1]
        what = f"{quoted(cell)} is not a finite number" if cell.strip() else "the cell is empty"
        more = f" ({n_missing[position] - 1} more in this column)" if n_missing[position] > 1 else ""
        keep = KEEP if cell.strip().lower() in MISSING else ""
        raise DataError(f"{at(line, position)}: {what}{more}: remove such lines or fill in the values{keep}")
    if request.columns is None:
        names = [layout.names[position] for position in features]
        refuse_truth(names, [position in truths for position in features], place)
    return rewritten.getvalue().encode()


def _refuse_ragged(line: int, row: list[str], layout: Layout, place: str) -> NoReturn:
    fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
    separator = DELIMITER_NAMES.get(layout.delimiter, quoted(layout.delimiter) + " sign")
    raise DataError(
        f"{place}: line {line} has {fields} where line {layout.first_line} has {len(layout.names)} "
        f"(separated by {separator}s): give every line the same number"
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


def _shown(names: Sequence[str], position: int) -> str:
    return quoted(names[position]) if names[position] else f"{position} (counting from 0, it has no name)"
