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


def share_text(found: np.ndarray) -> str:
    """The mean over numbers, and the number that is held the least with its Monte-Carlo error."""
    if len(found) < 2:
        return "–"
    least = float(found.mean(axis=0).min())
    return f"{short(found.mean())}, {short(least)} ± {short(math.sqrt(least * (1 - least) / len(found)), 3)}"


def short(value: float, digits: int = 2) -> str:
    """``.90``."""
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text


@dataclasses.dataclass(frozen=True)
class Measured:
    """The data sets of one cell by one method."""

    every: Sequence[dict[str, Any]]
    kept: Sequence[int]

    @property
    def known(self) -> list[dict[str, Any]]:
        """Those that have intervals."""
        return [one for one in self.every if one["held"]]

    @property
    def good(self) -> list[dict[str, Any]]:
        """Those whose intervals are said to be good."""
        return [one for one in self.known if one["status"] == "ok"]

    def at(self, level: float) -> str:
        """Coverage of all that there are."""
        return share_text(held(self.known, level, self.kept))

    @property
    def width(self) -> str:
        """The median over data sets of the mean width at the default level."""
        widths = [one["width"][f"{DEFAULT:g}"] for one in self.known]
        return f"{np.median([math.inf if one is None else one for one in widths]):.2f}"

    @property
    def of_good(self) -> list[str]:
        """How many are said to be good, and what these hold."""
        return [f"{len(self.good) / len(self.every):.0%}", share_text(held(self.good, DEFAULT, self.kept))]


def measured_of(cell: Cell, batches: Sequence[dict[str, Any]]) -> dict[str, Measured]:
    """By method; ``auto`` where what it chooses from was measured."""
    mine = [batch for batch in batches if batch["cell"] == cell.words]
    names = next((batch["names"] for batch in mine if batch["names"]), [])
    # Of two weights the second says what the first does.
    kept = [i for i, name in enumerate(names) if name != "weights[1]" or cell.mixture.n_components > 2]
    found = {}
    for method in METHODS:
        every = [record for batch in mine for one in batch["sets"] if (record := taken(one, method)) is not None]
        if any(record["held"] for record in every):
            found[method] = Measured(every, kept)
    return found


def tables(cells: Sequence[Cell], batches: Sequence[dict[str, Any]]) -> str:
    """Three tables: all methods that cost little, the default at other levels, and the resampling ones."""
    of_cells = {cell.words: measured_of(cell, batches) for cell in cells}
    quick, resampling = ("information", "sandwich", "profile", "auto"), METHODS[4:]
    first = [("90% intervals", "sets", *quick, "width", "`ok`", "of these")]
    levels = [("`auto`", *(f"{level:.0%}" for level in LEVELS))]
    others = [("90% intervals", "method", "sets", "50%", "80%", "90%", "95%", "width", "`ok`", "of these")]
    for words, found in of_cells.items():
        if "auto" in found:
            own = found["auto"]
            width = f"{found['information'].width} → {own.width}"
            shares = (found[method].at(DEFAULT) for method in quick)
            first.append((words, f"{len(own.every):,}", *shares, width, *own.of_good))
            levels.append((words, *(own.at(level) for level in LEVELS)))
        for method in resampling:
            if method in found:
                own = found[method]
                shares = (own.at(level) for level in LEVELS)
                others.append((words, f"`{method}`", f"{len(own.every):,}", *shares, own.width, *own.of_good))
    return "\n".join(_table(lines) for lines in (first, levels, others) if len(lines) > 1)


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = lines
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *rows))
