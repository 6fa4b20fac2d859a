"""Numbers and names as people read them."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

MISSING = "—"


def printable(text: Any) -> str:
    """The text on one line, with signs that have no shape written as escapes: controls (colour codes too), lone
    surrogates, changes of the writing direction.

    Column names and paths come from files that anybody may have written; in a terminal or a page such signs would break
    it or hide what follows.
    """
    flat = " ".join(str(text).split())
    if flat.isprintable():
        return flat  # an image is half a million signs long
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in flat)


def elided(text: str, width: int) -> str:
    """The text in at most ``width`` columns, its middle left out where it is longer; wide characters count twice."""
    text = printable(text)
    if columns(text) <= width:
        return text
    head, tail = _fitting(text, (width - 1) * 2 // 3), _fitting(text[::-1], (width - 1) // 3)[::-1]
    return f"{head}…{tail}"


def columns(text: str) -> int:
    """How many columns a text takes; signs of East Asia take two."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _fitting(text: str, width: int) -> str:
    length = 0
    while length < len(text) and columns(text[: length + 1]) <= width:
        length += 1
    return text[:length]


def number(value: Any, digits: int = 4) -> str:
    """A number to so many significant digits, whole numbers below a million in full; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude >= 6 or magnitude < -4:
        return _minus(f"{value:.{digits - 1}e}")
    return _minus(f"{value:,.{max(0, digits - 1 - magnitude)}f}")


def decimals_for(spread: Any) -> int | None:
    """How many decimals show a number whose uncertainty is ``spread`` with two digits of that uncertainty; None if
    there is no such number."""
    if spread is None or not math.isfinite(spread) or spread <= 0:
        return None
    places = 1 - math.floor(math.log10(spread))
    return places if places <= 8 else None


def fixed(value: Any, decimals: int | None) -> str:
    """A number with so many decimals (negative: rounded left of the point), or as `number` where that is None."""
    if decimals is None or value is None or not math.isfinite(value):
        return number(value)
    if abs(value) >= 1e7:
        return number(value, 5)
    return _minus(f"{round(value, decimals):,.{max(0, decimals)}f}")


def signed(value: Any, unit: str = "", decimals: int = 2) -> str:
    """A difference with its sign, which a rounded nothing has not: ``+1.00 sd``."""
    text = fixed(value, decimals)
    plus = value is not None and value > 0 and text.strip("0.,")
    return text if text == MISSING else f"{'+' if plus else ''}{text}{unit}"


def interval(lower: Any, upper: Any, decimals: int | None) -> str:
    """Two ends as ``1.2 to 3.4``; one dash where either is missing."""
    if any(end is None or not math.isfinite(end) for end in (lower, upper)):
        return MISSING
    return f"{fixed(lower, decimals)} to {fixed(upper, decimals)}"


def percent(value: Any, decimals: int = 1) -> str:
    """A share as a percentage."""
    return MISSING if value is None or not math.isfinite(value) else _minus(f"{100 * value:.{decimals}f}%")


def seconds(value: Any) -> str:
    """A time, short: ``0.15 s``, ``12.4 s``, ``3 min 20 s``."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value >= 120:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def count(amount: int, one: str, many: str = "") -> str:
    """``1 draw``, ``2,000 draws``."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def listed(names: tuple[str, ...] | list[str], most: int = 6) -> str:
    """``a, b and c``; beyond ``most`` names, the rest is counted."""
    names = [elided(name, 40) for name in names]
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _minus(text: str) -> str:
    # "-0.00" is a rounded nothing.
    if text.startswith("-") and not text.strip("-0.,%"):
        text = text[1:]
    return text.replace("-", "−")
