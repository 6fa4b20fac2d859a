"""emjax where JAX's default device is not a CPU: n = 1e5 ... 1e8, both float types, against the device's own limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.client import PeerError, Worker
from benchmarks.limits import least_seconds, measure_limits
from benchmarks.reference import log_likelihood
from benchmarks.workloads import Params, Workload, common_start, simulate

SIZES = (100_000, 1_000_000, 10_000_000, 100_000_000)
_JUDGED = 100_000
"""Log-likelihoods are compared on this many rows: on the host, all would take longer than the fits."""


@dataclasses.dataclass
class OnDevice:
    """emjax on one problem: seconds of an iteration more, of a whole call, and the share of the device's limits."""

    workload: Workload
    dtype: str
    marginal: float = float("nan")
    whole: float = float("nan")
    fraction: float = float("nan")
    peak_bytes: float = float("nan")
    difference: float = float("nan")
    reason: str = ""


@dataclasses.dataclass
class Accelerator:
    """A device, what it can do (see `benchmarks.limits`), and emjax on it."""

    device: str
    limits: dict[str, float]
    rows: list[OnDevice]


def compare_accelerator(
    sizes: tuple[int, ...], repeats: int, say: Callable[[str], None], *, cpu_too: bool = False
) -> Accelerator | None:
    """All sizes, covariances and float types; None where the default device is a CPU (unless ``cpu_too``)."""
    with Worker("emjax", (0,), on_cpu=False) as worker:
        platform, device = worker.ask("on_accelerator", "device")
        if platform == "cpu" and not cpu_too:
            return None
        say(f"accelerator: {device}")
        limits = worker.ask("on_accelerator", "limits", platform == "cpu")
    rows = []
    for covariance in ("diag", "full"):
        for n in sizes:
            workload = Workload("G", n, 16, 64, covariance, iterations=20)
            say(workload.title)
            rows.extend(_both_types(workload, limits, repeats))
    return Accelerator(device, limits, rows)


def _both_types(workload: Workload, limits: dict[str, float], repeats: int) -> list[OnDevice]:
    judged = simulate(dataclasses.replace(workload, n=min(workload.n, _JUDGED)))[0]
    reference, rows = None, []
    for name, dtype in (("emjax", "float64"), ("emjax32", "float32")):
        row = OnDevice(workload, dtype)
        try:
            # A process for each: what one left on the device would be missing from the other's memory.
            with Worker(name, (0,), on_cpu=False) as worker:
                found: dict[str, Any] = worker.ask("on_accelerator", "fit", name, workload, repeats, timeout=1800)
        except PeerError as error:
            row.reason = str(error)
        else:
            params: Params = found.pop("params")
            value = log_likelihood(params, judged)
            reference = value if reference is None and dtype == "float64" else reference
            row = dataclasses.replace(row, **found)
            row.fraction = least_seconds(workload, dtype, limits) / row.marginal
            row.difference = float("nan") if reference is None else value - reference
        rows.append(row)
    return rows


def measure_here(what: str, *arguments: Any) -> Any:
    """The far end, in a worker: the device's name, its limits, or one row."""
    import jax

    device = jax.devices()[0]
    if what == "device":
        return device.platform, device.device_kind
    if what == "limits":
        return measure_limits(256, 1 << 20) if arguments[0] else measure_limits(8192, 1 << 28)
    return _fit_here(device, *arguments)


def _fit_here(device: Any, name: str, workload: Workload, repeats: int) -> dict[str, Any]:
    from benchmarks.peers import PEERS

    peer = PEERS[name]()
    x, truth = simulate(workload)
    start = common_start(workload, truth)
    peer.load(x, workload.k, workload.covariance)
    params, _ = peer.fit(start, workload.iterations)
    pairs = [(peer.fit(start, workload.iterations)[1], peer.fit(start, 1)[1]) for _ in range(repeats)]
    statistics = device.memory_stats() or {}
    return {
        "params": params,
        "whole": median(pair[0] for pair in pairs) / workload.iterations,
        "marginal": median((a - b) / (workload.iterations - 1) for a, b in pairs),
        "peak_bytes": float(statistics.get("peak_bytes_in_use", float("nan"))),
    }
