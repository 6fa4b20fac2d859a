"""What a cell of a text file says."""

from __future__ import annotations

import re

__all__ = ["MISSING", "looks_grouped", "number"]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?", "."})
"""What stands for a value that is not there, in small letters."""

TRUTH = {"true": 1.0, "false": 0.0}

_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([,.' \u00a0\u202f\u2019])\d{3}(?:\1\d{3})*(?:[.,]\d+)?")


def number(cell: str, decimal: str = ".") -> float | None:
    """The number a cell holds (NaN and infinities included; ``true`` and ``false`` are 1 and 0), or None."""
    text = cell.strip()
    # float() takes 1_000 and the digits of other scripts; a data file does not mean them
    if "_" in text or not text.isascii():
        return None
    if decimal != ".":
        if "." in text:
            return None
        text = text.replace(decimal, ".", 1)
    try:
        return float(text)
    except ValueError:
        return TRUTH.get(text.lower())


def looks_grouped(cell: str) -> bool:
    """Whether a cell may hold thousands separators: 1,234 or 1.234,5 or 1'234'567."""
    return _GROUPED.fullmatch(cell.strip()) is not None
