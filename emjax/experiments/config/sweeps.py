"""The sweep of a study: which settings vary, over which values, and how often each cell is repeated."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from emjax.experiments.config.fields import Misplaced, Positive, Section, Text, bounded

TABLES = ("grid", "zip", "ranges")
"""The tables of a sweep whose keys are those of settings."""

BUNDLED = "bundled"
"""The value of ``data.source`` that stands for all bundled data sets that the model takes."""

EACH_TIME = 20
"""Replicates that are added at a time where a study stops when enough is known, and says no batch."""

Number = (
    Annotated[int, Field(strict=True, ge=-(10**15), le=10**15)]
    | Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e15, le=1e15)]
)


def _range(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    numbers = all(isinstance(entry, int | float) and not isinstance(entry, bool) for entry in entries[:2])
    logarithmic = entries[2:] == ("log",)
    if not numbers or len(entries) < 2 or not (logarithmic or len(entries) == 2) or entries[0] >= entries[1]:
        raise ValueError("write [low, high] with low < high, or [low, high, 'log'] for values even in their logarithm")
    if logarithmic and entries[0] <= 0:
        raise ValueError("a range that is even in the logarithm has to begin above 0")
    return entries


def _without_none(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if _holds_none(values):  # TOML has no form for it
        raise ValueError("null is no value; leave it out or give a number")
    return values


def _holds_none(value: Any) -> bool:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return value is None or any(map(_holds_none, below))


def between(low: float, high: float, share: float, *, logarithmic: bool) -> int | float:
    """The value at a share of a range, to six digits; a whole number where both ends are."""
    value = low * (high / low) ** share if logarithmic else low + (high - low) * share
    whole = isinstance(low, int) and isinstance(high, int)
    return min(max(round(value), low), high) if whole else float(f"{value:.6g}")


Values = Annotated[tuple[Any, ...], Field(min_length=1), AfterValidator(_without_none)]
Range = Annotated[tuple[Any, ...], AfterValidator(_range)]


class Sweep(Section):
    """Which settings vary, and how often each cell is repeated.

    The values of ``grid`` are crossed, those of ``zip`` run in step; both are tables of dotted keys, such as
    ``"data.n_samples" = [100, 1000]``. Of ``ranges``, such as ``"data.n_samples" = [100, 10000, "log"]``, so many
    ``points`` are drawn by the ``design`` from the study's seed, and crossed with the others.
    """

    replicates: Annotated[int, bounded("replicates")] = Field(default=1, description="data sets per cell")
    grid: dict[str, Values] = Field(
        default_factory=dict, description="settings whose values are crossed, by dotted key, each with a list of values"
    )
    zip: dict[str, Values] = Field(
        default_factory=dict, description="settings whose values run in step: lists of equal length, by dotted key"
    )
    ranges: dict[str, Range] = Field(
        default_factory=dict,
        description="settings that are drawn together by the design, by dotted key: [low, high] or [low, high, 'log']; "
        "whole numbers where both ends are",
    )
    design: Literal["latin_hypercube", "random"] = Field(
        default="latin_hypercube",
        description="latin_hypercube: every setting evenly spread over its range; random: points that stay where they "
        "are when there are more of them",
    )
    points: Annotated[int, bounded("points")] = Field(default=20, description="points of the design")
    until: dict[Text, Positive] = Field(
        default_factory=dict,
        description="stop a cell when the Monte-Carlo error of each of these measures is reached for all methods, such "
        "as { coverage = 0.01 }; `replicates` are the most",
    )

    def step(self, batch: int | None) -> int:
        """The replicates after which `until` is looked at again."""
        return min(batch or EACH_TIME, self.replicates)


class Solve(Section):
    """Where does a measure meet a limit? The value of one setting is looked for, with its interval."""

    over: Text = Field(description='the setting that is looked for, by dotted key, such as "data.n_samples"')
    low: Number = Field(description="the least value; whole numbers are looked at where both ends are")
    high: Number = Field(description="the largest")
    find: Literal["smallest", "largest"] = Field(
        default="smallest", description="the smallest value that meets the limit, or the largest"
    )
    measure: Text = Field(
        description="one of the measures of the page, or em_enough: the share of verdicts that EM is enough"
    )
    method: Text = Field(description="the method that it is of, by name")
    at_least: Number | None = Field(default=None, description="the limit, where more is better")
    at_most: Number | None = Field(default=None, description="the limit, where less is better")
    points: Annotated[int, Field(strict=True, ge=2, le=1000)] = Field(
        default=25, description="how many values are told apart, even in their logarithm where they span a factor of 10"
    )
    batch: Annotated[int, Field(strict=True, ge=2, le=1000)] = Field(
        default=10, description="data sets that are added at a time"
    )
    most: Annotated[int, bounded("replicates")] = Field(default=200, description="the most data sets in all")

    @model_validator(mode="after")
    def _a_question(self) -> Solve:
        if self.low >= self.high:
            raise Misplaced(f"low = {self.low:g} has to be below high = {self.high:g}", "low")
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give the limit: either at_least or at_most")
        return self

    @property
    def candidates(self) -> list[int | float]:
        """The values that are told apart, in ascending order."""
        logarithmic = self.low > 0 and self.high / self.low >= 10
        shares = (at / (self.points - 1) for at in range(self.points))
        return sorted({between(self.low, self.high, share, logarithmic=logarithmic) for share in shares})

    @property
    def in_order(self) -> list[int | float]:
        """The values in an order in which the limit is met from some place on."""
        return self.candidates if self.find == "smallest" else self.candidates[::-1]

    @property
    def first(self) -> int | float:
        """Where the search begins."""
        return self.in_order[len(self.candidates) // 2]
