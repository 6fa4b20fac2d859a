"""The sweep of a study: which settings vary, over which values, and how often each cell is repeated."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from emjax.experiments.config.fields import Section, bounded

TABLES = ("grid", "zip", "ranges")
"""The tables of a sweep whose keys are those of settings."""

BUNDLED = "bundled"
"""The value of ``data.source`` that stands for all bundled data sets that the model takes."""


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
