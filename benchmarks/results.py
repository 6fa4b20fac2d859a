"""Everything one run measured."""

from __future__ import annotations

import dataclasses

from benchmarks.accuracy import Accuracy
from benchmarks.cold import Cold
from benchmarks.cores import Cores
from benchmarks.measure import Row
from benchmarks.restarts import Restarts
from benchmarks.scaling import Scaling
from benchmarks.workloads import Workload


@dataclasses.dataclass
class Memory:
    """Peak bytes above the data of one package on one workload: of a first fit, compilation included, and of a next."""

    workload: Workload
    package: str
    dtype: str
    first: float = float("nan")
    next: float = float("nan")
    reason: str = ""


@dataclasses.dataclass
class Results:
    """The parts that ran; the others are empty."""

    environment: dict[str, str]
    packages: dict[str, str] = dataclasses.field(default_factory=dict)
    limits: dict[str, float] = dataclasses.field(default_factory=dict)
    rows: list[Row] = dataclasses.field(default_factory=list)
    restarts: list[Restarts] = dataclasses.field(default_factory=list)
    cores: list[Cores] = dataclasses.field(default_factory=list)
    memory: list[Memory] = dataclasses.field(default_factory=list)
    cold: list[Cold] = dataclasses.field(default_factory=list)
    accuracy: list[Accuracy] = dataclasses.field(default_factory=list)
    scaling: list[Scaling] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
