"""The steps of a run, the most valuable first, and what is worked out from their answers."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import numpy as np

from benchmarks import environment
from benchmarks.client import ROOT, PeerError
from benchmarks.limits import TYPES, least_seconds
from benchmarks.on_device.plan import Skip, Step, Workers
from benchmarks.on_device.problems import PROBLEMS, TOLERANCE, Problem, compare, relative
from benchmarks.on_device.profile import in_words
from benchmarks.on_device.records import Record
from benchmarks.on_device.speed import COMPARED_AT, DRAWN
from benchmarks.workloads import RESTARTS, WORKLOADS, Workload

SIZES = (100_000, 1_000_000, 10_000_000, 100_000_000)
_KINDS: tuple[Literal["diag", "full"], ...] = ("diag", "full")
_CPU_SIZES, _QUICK_SIZES = SIZES[:2], (4_000,)

_PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "numpyro")

_ITERATIONS = {100_000: 200, 1_000_000: 100, 10_000_000: 40}
"""So many between two looks at the clock, up to so many rows; `_FEWEST` for more, and where the device is a CPU."""

_FEWEST = 10

_HOST_COPIES, _DEVICE_COPIES = 3.2, 1.8
"""Copies of the data in float64 that a fit holds at its peak: the user's, blocks, and blocks for the last value."""


@dataclasses.dataclass
class Run:
    """What the steps share: the processes, what was asked for, and what later steps need of earlier ones."""

    workers: Workers
    quick: bool = False
    sizes: tuple[int, ...] | None = None
    device: Record = dataclasses.field(default_factory=dict)
    limits: dict[str, float] = dataclasses.field(default_factory=dict)
    measured: dict[tuple[Workload, str], Record] = dataclasses.field(default_factory=dict)
    references: dict[Workload, float] = dataclasses.field(default_factory=dict)

    @property
    def on_cpu(self) -> bool:
        """Whether the device is no accelerator."""
        return bool(self.device["platform"] == "cpu")


def first(run: Run) -> Step:
    """The record that begins a run: the device, the machine, the versions."""

    def work(timeout: float) -> Record:
        run.device = run.workers.ask("device", timeout, "device")
        # Where neither is in the other's way.
        run.workers.beside = not run.on_cpu and run.workers.cores >= 4
        return describe(run)

    return Step("machine", {}, lambda: 20.0, work, judged=True)


def describe(run: Run) -> Record:
    """What ran where; nothing that names the machine or its user."""
    import emjax

    return {
        **run.device,
        "host": f"{environment.processor()}, {len(os.sched_getaffinity(0))} cores, {environment.memory()}",
        "python": platform.python_version(),
        "versions": environment.installed(_PACKAGES),
        "emjax": emjax.__version__,
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "quick": run.quick,
    }


def steps(run: Run) -> Iterator[Step]:
    """All steps after the first."""
    for problem, dtype in _some(run, PROBLEMS):
        yield _agreement(run, problem, dtype)
    yield Step("limits", {}, lambda: 15.0, partial(_limits, run))
    yield from _every_size(run, "float64")
    yield from _beside(run, "float64")
    n_datasets = 20 if run.quick else 1000
    yield Step("many", {"datasets": n_datasets}, lambda: 40.0, partial(_many, run, n_datasets))
    yield Step("profile", {}, lambda: 20.0, partial(_profile, run))
    for n_chains in (8,) if run.quick else (256, 4096, 8):
        yield Step("hmc", {"chains": n_chains}, lambda: 30.0, partial(_hmc, run, n_chains))
    yield from _every_size(run, "float32")
    if not run.quick:
        yield from _beside(run, "float32")


def _every_size(run: Run, dtype: str) -> Iterator[Step]:
    for n in _sizes(run):
        for covariance, own in _some(run, _KINDS):
            if own == dtype:
                yield _size(run, Workload("G", n, 16, 8 if run.quick else 64, covariance), dtype)


def _beside(run: Run, dtype: str) -> Iterator[Step]:
    """The benchmark's own workloads, and many starts of its W6, on the device and on the host."""
    for workload in WORKLOADS[:1] if run.quick else WORKLOADS:
        small = workload.smaller() if run.quick else workload
        yield Step(
            "workload", {"workload": small.title, "dtype": dtype}, lambda: 12.0, partial(_workload, run, small, dtype)
        )
    small = RESTARTS.smaller() if run.quick else RESTARTS
    for n_starts in (8,) if run.quick else (32, 1000):
        label: Record = {"workload": small.title, "dtype": dtype, "starts": n_starts}
        yield Step("starts", label, lambda: 15.0, partial(_starts, run, small, dtype, n_starts))


def _sizes(run: Run) -> tuple[int, ...]:
    if run.sizes is not None:
        return run.sizes
    if run.quick:
        return _QUICK_SIZES
    return _CPU_SIZES if run.on_cpu else SIZES


def _some[What](run: Run, every: Sequence[What]) -> list[tuple[What, str]]:
    """All of them in the default float type and then in the other; in a quick run the first in one, the second not."""
    return list(zip(every, TYPES, strict=False)) if run.quick else [(one, dtype) for dtype in TYPES for one in every]


def _agreement(run: Run, problem: Problem, dtype: str) -> Step:
    def work(timeout: float) -> Record:
        n = 500 if run.quick else 2_000
        found, at_home = run.workers.both(timeout, "agreement", problem, dtype, n)
        if isinstance(at_home, PeerError):
            raise at_home
        return compare(found, at_home, dtype)

    return Step("agreement", {"problem": problem.title, "dtype": dtype}, lambda: 12.0, work, judged=True)


def _limits(run: Run, timeout: float) -> Record:
    run.limits = run.workers.ask("device", timeout, "limits", run.quick)
    return {"rates": run.limits}


def _size(run: Run, workload: Workload, dtype: str) -> Step:
    label = {"n": workload.n, "d": workload.d, "K": workload.k, "covariance": workload.covariance, "dtype": dtype}
    expected: Callable[[], float] = partial(_expected, run, workload, dtype)
    return Step("size", label, expected, partial(_time_size, run, workload, dtype))


def _expected(run: Run, workload: Workload, dtype: str) -> float:
    """From the largest smaller size: what is not compilation grows with the rows."""
    smaller = [
        (w.n, found)
        for (w, d), found in run.measured.items()
        if (w.covariance, d) == (workload.covariance, dtype) and w.n < workload.n
    ]
    if not smaller:
        return 15.0
    n, found = max(smaller, key=lambda each: each[0])
    per_row = (found["whole_seconds"] - found["compile_seconds"]) / n
    # Fewer iterations are timed the more rows there are.
    share = _iterations(run, workload.n) / _iterations(run, n)
    iterating = found["ms_per_iteration"] * 2e-3 * _iterations(run, n) / n
    per_row = max(per_row - iterating, 0.0) + iterating * share
    return float(found["compile_seconds"] + 1.3 * per_row * workload.n)


def _iterations(run: Run, n: int) -> int:
    if run.on_cpu or run.quick:
        return _FEWEST
    return next((number for rows, number in _ITERATIONS.items() if n <= rows), _FEWEST)


def _time_size(run: Run, workload: Workload, dtype: str, timeout: float) -> Record:
    _check_room(run, workload)
    base = dataclasses.replace(workload, n=min(workload.n, DRAWN))
    if base not in run.references:
        at_home = run.workers.ask("host", timeout, "size", base, "float64", COMPARED_AT)
        run.references[base] = at_home["log_likelihood"]
    found: Record = run.workers.ask("device", timeout, "size", workload, dtype, _iterations(run, workload.n))
    run.measured[workload, dtype] = found
    n_bytes = workload.n * workload.d * np.dtype(dtype).itemsize
    found["transfer_seconds"] = n_bytes / run.limits["send"] if run.limits else float("nan")
    return found | _fraction(run, workload, dtype, found) | _verdict(found, run.references[base], dtype)


def _check_room(run: Run, workload: Workload) -> None:
    n_bytes = 8.0 * workload.n * workload.d
    there = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    places = {"the host": (_HOST_COPIES, there), "the device": (_DEVICE_COPIES, run.device["memory_bytes"])}
    for place, (copies, room) in places.items():
        if copies * n_bytes > room:
            raise Skip(f"needs {copies * n_bytes / 1e9:.0f} GB, and {place} has {room / 1e9:.0f} GB")


def _fraction(run: Run, workload: Workload, dtype: str, found: Record) -> Record:
    if not run.limits:
        return {"fraction": float("nan")}
    return {"fraction": 1e3 * least_seconds(workload, dtype, run.limits) / found["ms_per_iteration"]}


def _verdict(found: Record, reference: float, dtype: str) -> Record:
    difference = relative(found["log_likelihood"], reference)
    tolerance = TOLERANCE[dtype]
    return {"agrees": bool(difference <= tolerance), "difference": difference, "tolerance": tolerance}


def _workload(run: Run, workload: Workload, dtype: str, timeout: float) -> Record:
    found, at_home = run.workers.both(timeout, "workload", workload, dtype)
    judged = {} if isinstance(at_home, PeerError) else _verdict(found, at_home["log_likelihood"], dtype)
    return found | _of_host(at_home) | _fraction(run, workload, dtype, found) | judged


def _of_host(at_home: Record | PeerError) -> Record:
    if isinstance(at_home, PeerError):
        return {"host_error": str(at_home)}
    return {f"host_{name}": value for name, value in at_home.items()}


def _starts(run: Run, workload: Workload, dtype: str, n_starts: int, timeout: float) -> Record:
    found, at_home = run.workers.both(timeout, "starts", workload, dtype, n_starts)
    return found | _of_host(at_home)


def _many(run: Run, n_datasets: int, timeout: float) -> Record:
    found, at_home = run.workers.both(timeout, "many", n_datasets)
    values = found.pop("log_likelihoods")
    if isinstance(at_home, PeerError):
        return found | _of_host(at_home)
    reference = at_home.pop("log_likelihoods")
    # Rounding may choose another of two optima, so this is told and not judged.
    differ = ~(np.abs(values - reference) <= TOLERANCE["float64"] * np.maximum(np.abs(reference), 1.0))
    return found | _of_host(at_home) | {"differing": int(differ.sum())}


def _hmc(run: Run, n_chains: int, timeout: float) -> Record:
    # Thousands of chains are the host's slowest task, and a few iterations of them tell as much as many of a few.
    iterations = 20 if run.quick else max(25, min(100, 25_600 // n_chains))
    found, at_home = run.workers.both(timeout, "hmc", n_chains, iterations)
    return found | _of_host(at_home)


def _profile(run: Run, timeout: float) -> Record:
    """Of the size that is furthest from its limit."""
    if not (run.measured and run.limits):
        raise Skip("neither a size nor the limits were measured")

    def share(row: tuple[Workload, str]) -> float:
        return float(_fraction(run, *row, run.measured[row])["fraction"])

    workload, dtype = min(run.measured, key=share)
    found: Record = run.workers.ask("device", timeout, "profile", workload, dtype)
    milliseconds = run.measured[workload, dtype]["ms_per_iteration"]
    words = in_words(found, workload, dtype, run.limits, milliseconds)
    return {"n": workload.n, "covariance": workload.covariance, "dtype": dtype, **found, "words": words}


def _commit() -> str:
    """The commit of the checkout, with a word where files differ from it; empty outside one."""
    try:
        asked = [["git", "rev-parse", "--short=12", "HEAD"], ["git", "status", "--porcelain", "-uno"]]
        commit, changes = (
            subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
            for command in asked
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{commit} and changes" if changes else commit
