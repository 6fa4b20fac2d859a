"""What one run measured."""

from __future__ import annotations

import dataclasses
from statistics import median
from typing import Any


@dataclasses.dataclass
class Row:
    """A package, with one of its methods, on one posterior.

    Attributes
    ----------
    wall, cpu
        Seconds of each repeat.
    first_wall, first_cpu
        Seconds of a first call with everything it compiled; the package was imported before.
    ess
        The least effective sample size, bulk or tail, of each repeat; ``bulk``, ``tail``, ``rhat`` and ``worst`` are
        those of the last one.
    deviation, deviation_of
        The largest difference of a quantile from a reference in Monte-Carlo standard errors of both, and whose it is.
    reason
        Why there is no figure; empty where there is one.
    """

    part: str
    problem: str
    package: str
    method: str
    title: str
    caches: str = ""
    size: str = ""
    wall: list[float] = dataclasses.field(default_factory=list)
    cpu: list[float] = dataclasses.field(default_factory=list)
    first_wall: list[float] = dataclasses.field(default_factory=list)
    first_cpu: list[float] = dataclasses.field(default_factory=list)
    ess: list[float] = dataclasses.field(default_factory=list)
    bulk: float = float("nan")
    tail: float = float("nan")
    rhat: float = float("nan")
    worst: str = ""
    deviation: float = float("nan")
    deviation_of: str = ""
    quantiles: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    reason: str = ""

    @property
    def least_ess(self) -> float:
        """The median over repeats of the least effective sample size; without repeats, that of the first call."""
        return median(self.ess) if self.ess else min(self.bulk, self.tail)

    @property
    def seconds(self) -> float | None:
        """Median CPU seconds of a call."""
        return median(self.cpu) if self.cpu else None

    @property
    def ess_per_second(self) -> float | None:
        """Median over repeats of the least effective sample size by CPU second."""
        pairs = list(zip(self.ess, self.cpu, strict=False))
        return median(ess / seconds for ess, seconds in pairs) if pairs else None

    def seconds_to(self, ess: float) -> float | None:
        """CPU seconds of a compiled call, scaled to an effective sample size."""
        return self.seconds * ess / self.least_ess if self.seconds else None

    def first_seconds_to(self, ess: float) -> float | None:
        """The same with what a first call takes longer, which is not scaled."""
        scaled = self.seconds_to(ess)
        if scaled is None or self.seconds is None or not self.first_cpu:
            return None
        return self.first_cpu[0] - self.seconds + scaled


@dataclasses.dataclass
class Results:
    """Everything of a run."""

    environment: dict[str, str]
    packages: dict[str, str] = dataclasses.field(default_factory=dict)
    rows: list[Row] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
