"""What differs between two runs: settings, versions, numbers.

Numbers are **identical** if all are equal bit by bit, **within rounding** if all agree to `ROUNDING`, and **different**
otherwise. Costs (seconds) are never compared.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from emjax.errors import ConfigError
from emjax.shown import Shown
from emjax.wording import printable

if TYPE_CHECKING:
    import pandas

ROUNDING = 1e-9
"""Two numbers agree within rounding if they differ by at most this share of the larger, or by `NOTHING`."""

NOTHING = 1e-12

SHOWN = 10
"""Differences of numbers that are listed; all are counted."""


@dataclasses.dataclass(frozen=True, repr=False)
class NumberComparison(Shown):
    """How the numbers of two runs compare."""

    state: str  # ``identical``, ``within_rounding``, ``different``, or ``nothing_in_common``
    n_compared: int  # numbers that both have: the sum of the next three
    n_identical: int
    n_within_rounding: int
    n_different: int  # a changed status is a difference
    n_only_first: int  # numbers that the other lacks are no difference between numbers, but said
    n_only_second: int
    # The largest differences, each with what names the number, ``first``, ``second``, ``relative``, and the two
    # statuses or words where those differ.
    largest: list[dict[str, Any]]

    @property
    def same(self) -> bool:
        """Whether all numbers agree, to rounding at least."""
        return self.state in ("identical", "within_rounding")


@dataclasses.dataclass(frozen=True, repr=False)
class Difference(Shown):
    """What differs between two runs; ``settings`` and ``versions`` map a name to its two values (None: absent)."""

    settings: dict[str, tuple[Any, Any]]
    versions: dict[str, tuple[Any, Any]]
    numbers: NumberComparison

    @property
    def same(self) -> bool:
        """Whether settings and numbers agree and neither has numbers that the other lacks; versions may differ."""
        return not self.settings and self.numbers.same and self.numbers.n_only_first == self.numbers.n_only_second == 0


class Run(Protocol):
    """What is compared of a run, a single one or a study."""

    @property
    def folder(self) -> Path:
        """Where it lies."""

    def settings_by_key(self) -> dict[str, Any]:
        """Its settings by dotted key; methods of a study by their label."""

    def versions(self) -> dict[str, Any]:
        """The versions that its numbers were made with; of a study those of its jobs, joined where they differ."""

    def numbers(self) -> "pandas.DataFrame":
        """Its numbers: columns that name them, ``value`` (NaN for a word) and ``word`` (a status or verdict)."""


def difference(first: Run, second: Run) -> Difference:
    """Compare two runs of the same kind. Raises ConfigError for a study beside a single run."""
    if type(first) is not type(second):
        raise ConfigError(
            f"{printable(first.folder)} and {printable(second.folder)}: a study and a single run have nothing to "
            "compare; name two of one kind"
        )
    return Difference(
        settings=differing(first.settings_by_key(), second.settings_by_key()),
        versions=differing(first.versions(), second.versions()),
        numbers=compare_numbers(first.numbers(), second.numbers()),
    )


def job_versions(records: Iterable[Mapping[str, Any]]) -> dict[str, str | None]:
    """The versions in the provenance of some jobs; several of one package are joined by a comma."""
    found: dict[str, set[str]] = {}
    for record in records:
        for package, version in record["provenance"]["versions"].items():
            found.setdefault(package, set()).update([version] if version else [])
    return {package: ", ".join(sorted(versions)) or None for package, versions in found.items()}


def comparable_rows(rows: "pandas.DataFrame") -> "pandas.DataFrame":
    """The rows of a study as `compare_numbers` takes them: without costs, the status as word."""
    from emjax.experiments.work.measures import COST

    chosen = rows.loc[~rows["quantity"].isin(COST)].rename(columns={"status": "word"})
    return chosen[["cell", "method", "replicate", "quantity", "parameter", "value", "word"]].reset_index(drop=True)


def compare_numbers(first: "pandas.DataFrame", second: "pandas.DataFrame") -> NumberComparison:
    """Compare two tables of numbers with the columns of `Run.numbers`; of what is named alike the first counts."""
    names = [name for name in first.columns if name not in ("value", "word")]
    # Two of a name in both tables would be compared crosswise.
    first, second = first.drop_duplicates(names), second.drop_duplicates(names)
    both = first.merge(second, on=names, how="outer", suffixes=("_first", "_second"), indicator=True)
    only = both["_merge"].value_counts()
    both = both[both["_merge"] == "both"]
    a, b = (both[f"value_{side}"].to_numpy(float) for side in ("first", "second"))
    words = (both["word_first"] == both["word_second"]).to_numpy(bool)
    identical = words & ((a == b) | (np.isnan(a) & np.isnan(b)))
    # What is not finite agrees with nothing but itself: a comparison with NaN is False.
    with np.errstate(invalid="ignore", divide="ignore"):
        apart, largest = np.abs(a - b), np.maximum(np.abs(a), np.abs(b))
        near = np.isfinite(apart) & ((apart <= ROUNDING * largest) | (apart <= NOTHING))
        relative = np.where(identical, 0.0, np.where(largest > 0, apart / largest, 0.0))
    close = words & ~identical & near
    different = ~identical & ~close
    listed = np.flatnonzero(~identical)
    order = np.lexsort((listed, -np.nan_to_num(relative[listed], nan=np.inf), ~different[listed]))
    state = "different" if different.any() else "within_rounding" if close.any() else "identical"
    state = state if len(both) else "nothing_in_common"
    return NumberComparison(
        state=state,
        n_compared=len(both),
        n_identical=int(identical.sum()),
        n_within_rounding=int(close.sum()),
        n_different=int(different.sum()),
        n_only_first=int(only.get("left_only", 0)),
        n_only_second=int(only.get("right_only", 0)),
        largest=[_told(both.iloc[place], names, relative[place]) for place in listed[order[:SHOWN]]],
    )


def _told(row: Any, names: list[str], relative: float) -> dict[str, Any]:
    told = {name: row[name] for name in names}
    told.update(first=row["value_first"], second=row["value_second"], relative=relative)
    if row["word_first"] != row["word_second"]:
        told.update(first_word=row["word_first"], second_word=row["word_second"])
    return told


def flattened(tree: Any, place: str = "") -> dict[str, Any]:
    """A tree as values by dotted key; lists stay whole."""
    if isinstance(tree, Mapping) and tree:
        found: dict[str, Any] = {}
        for key, value in tree.items():
            found.update(flattened(value, f"{place}.{key}" if place else str(key)))
        return found
    return {place: tree} if place else {}


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The names whose values differ, with both values; None where one lacks it."""
    names = dict.fromkeys([*first, *second])
    pairs = {name: (first.get(name), second.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
