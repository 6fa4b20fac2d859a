"""The table of `benchmarks.coverage`: what intervals hold, with Monte-Carlo errors."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from emjax.datasets.laws import MixtureLaw
from emjax.mixture import Mixture
from emjax.uncertainty.choice import reason

LEVELS = (0.5, 0.8, 0.9, 0.95)

DEFAULT = 0.9
"""The level of `Fit.intervals`."""

METHODS = ("information", "sandwich", "profile", "auto", "bootstrap", "weighted", "parametric", "jackknife")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A law, how many rows are drawn from it, and what is fitted to them."""

    words: str
    n: int
    law: MixtureLaw
    mixture: Mixture


def taken(one: dict[str, Any], method: str) -> dict[str, Any] | None:
    """What ``method`` gave for a data set, ``auto`` by its rule; None where nothing was measured."""
    if method != "auto":
        return one.get(method)
    information = one.get("information")
    if information is None or not information["held"]:
        return information
    return one["profile"] if reason(one["smallest"], one["shift"], information["status"]) else information


def held(records: Sequence[dict[str, Any]], level: float, kept: Sequence[int]) -> np.ndarray:
    """Whether each data set's intervals hold each of the numbers ``kept``: ``(n_sets, n_numbers)`` of 0 and 1."""
    bits = [[int(record["held"][f"{level:g}"][i]) for i in kept] for record in records]
    return np.array(bits, float).reshape(len(bits), len(kept))


def mean_text(found: np.ndarray) -> str:
    """The mean over numbers and data sets; numbers of one data set are no independent answers."""
    if len(found) < 2:
        return "–"
    each = found.mean(axis=1)
    return f"{short(each.mean())} ± {short(each.std(ddof=1) / math.sqrt(len(each)), 3)}"


def worst_text(found: np.ndarray) -> str:
    """The number that is held the least."""
    if len(found) < 2:
        return "–"
    share = float(found.mean(axis=0).min())
    return f"{short(share)} ± {short(math.sqrt(share * (1 - share) / len(found)), 3)}"


def short(value: float, digits: int = 2) -> str:
    """``.90``."""
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text


def row_of(method: str, sets: Sequence[dict[str, Any]], kept: Sequence[int]) -> list[str] | None:
    """One line of the table, None where the method was not measured."""
    every = [found for one in sets if (found := taken(one, method)) is not None]
    known = [found for found in every if found["held"]]
    if not known:
        return None
    good = [found for found in known if found["status"] == "ok"]
    at = {level: held(known, level, kept) for level in LEVELS}
    widths = [found["width"][f"{DEFAULT:g}"] for found in known]
    width = float(np.median([math.inf if one is None else one for one in widths]))
    return [
        f"`{method}`",
        f"{len(every):,}",
        *(short(at[level].mean()) for level in (0.5, 0.8)),
        mean_text(at[DEFAULT]),
        short(at[0.95].mean()),
        worst_text(at[DEFAULT]),
        f"{width:.2f}",
        f"{len(good) / len(every):.0%}",
        worst_text(held(good, DEFAULT, kept)),
    ]


HEAD = ("", "sets", "50%", "80%", "90%", "95%", "worst of 90%", "width", "`ok`", "worst of these")


def tables(cells: Sequence[Cell], batches: Sequence[dict[str, Any]]) -> str:
    """One table, a block for each cell."""
    lines = [HEAD, ("---",) * len(HEAD)]
    for cell in cells:
        mine = [batch for batch in batches if batch["cell"] == cell.words]
        rows = []
        for method in METHODS:
            sets = [one for batch in mine if method in batch["methods"] or method == "auto" for one in batch["sets"]]
            names = next((batch["names"] for batch in mine if batch["names"]), [])
            # Of two weights the second says what the first does.
            kept = [i for i, name in enumerate(names) if name != "weights[1]" or cell.mixture.n_components > 2]
            rows.append(row_of(method, sets, kept))
        if any(rows):
            lines += [(f"**{cell.words}**", *[""] * (len(HEAD) - 1)), *(tuple(row) for row in rows if row)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
