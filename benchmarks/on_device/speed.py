"""Times on whatever device the process has, of emjax as users call it. All times are of warm programs.

Every call ends with numbers on the host, so none of them is timed before the device has finished.
"""

from __future__ import annotations

import dataclasses
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import limits
from benchmarks.peers.base import timed
from benchmarks.workloads import Params, Workload, common_start, simulate

COMPARED_AT = 8
"""The iteration after which log-likelihoods of all sizes are compared."""

DRAWN = 100_000
"""Rows that are drawn; larger data repeat them, so that EM takes one path, and has one log-likelihood per row."""

_SEND_BYTES = 1 << 28


def describe_device() -> dict[str, Any]:
    """JAX's default device, and how many of its kind there are."""
    import jax

    device = jax.devices()[0]
    found = {"device": device.device_kind, "platform": device.platform, "n_devices": len(jax.devices())}
    return found | {"memory_bytes": _memory("bytes_limit")}


def measure_limits(quick: bool) -> dict[str, float]:
    """As `benchmarks.limits`, with sizes that fill the device, and bytes a second from the host to it (``"send"``)."""
    import jax

    full = (1024, 1 << 25) if jax.default_backend() == "cpu" else (4096, 1 << 28)
    found = limits.measure_limits(*((256, 1 << 20) if quick else full))
    x = np.ones((_SEND_BYTES >> (8 if quick else 0)) // 4, np.float32)
    seconds = min(timed(lambda: jax.block_until_ready(jax.device_put(x)))[1] for _ in range(3))
    return found | {"send": x.nbytes / seconds}


def repeated_data(workload: Workload) -> tuple[np.ndarray, Params]:
    """Data ``(n, d)``, the first rows drawn and all others repeating them, and the common start."""
    drawn = dataclasses.replace(workload, n=min(workload.n, DRAWN))
    rows, truth = simulate(drawn)
    x = np.empty((workload.n, workload.d))
    for begin in range(0, workload.n, len(rows)):
        x[begin : begin + len(rows)] = rows[: workload.n - begin]
    return x, common_start(workload, truth)


def time_size(workload: Workload, dtype: str, iterations: int, x: np.ndarray, start: Params) -> dict[str, Any]:
    """Iterations from one start; see `_timed_iterations`."""
    init = _mixture(workload).params(weights=start.weights, mean=start.means, covariance=start.covariances)
    return _timed_iterations(workload, dtype, iterations, x, init=init)


def time_workload(workload: Workload, dtype: str, iterations: int) -> dict[str, Any]:
    """The same of one of the benchmark's own, whose times there are those of whole calls of few iterations."""
    return time_size(workload, dtype, iterations, *repeated_data(workload))


def time_starts(workload: Workload, dtype: str, n_starts: int, iterations: int) -> dict[str, Any]:
    """Iterations of many random starts at once."""
    return _timed_iterations(workload, dtype, iterations, simulate(workload)[0], n_init=n_starts, starts="random")


def _mixture(workload: Workload) -> Any:
    import emjax

    return emjax.Mixture(emjax.Normal(covariance=workload.covariance), workload.k)


def _timed_iterations(workload: Workload, dtype: str, iterations: int, x: np.ndarray, **begin: Any) -> dict[str, Any]:
    """One call of `emjax.fit`, with a look at the clock after m, 2m and 2m + 1 iterations (m = ``iterations``).

    Both intervals pay for the look, so (first - second) / (m - 1) is the time of an iteration. Where noise leaves
    nothing of that, it is the first over m, which is on the high side. ``before_seconds``: the host's work on the data
    and on starts, and their way to the device; ``after_seconds``: what follows the last iteration, in float32 the
    log-likelihood evaluated once more in float64. Neither contains compilation.
    """
    import jax

    import emjax
    from emjax.clock import stopwatch

    looks: list[tuple[float, float]] = []
    earlier = _memory("peak_bytes_in_use")
    with stopwatch() as clock:
        found = emjax.fit(
            _mixture(workload),
            x,
            key=jax.random.key(0),
            tol=0.0,
            max_iter=2 * iterations + 1,
            dtype=dtype,
            log_every=iterations,
            on_progress=lambda _: looks.append((clock.total_seconds, clock.compile_seconds)),
            **begin,
        )
    at, compiled = zip(*looks, strict=True)
    first, second = (at[i + 1] - at[i] - (compiled[i + 1] - compiled[i]) for i in (0, 1))
    per_iteration = (first - second) / (iterations - 1) if first > second else first / iterations
    peak = _memory("peak_bytes_in_use")
    return {
        "iterations": found.n_iter,
        "ms_per_iteration": 1e3 * per_iteration,
        "compile_seconds": clock.compile_seconds,
        "before_seconds": max(at[0] - compiled[0] - iterations * per_iteration, 0.0),
        "after_seconds": clock.total_seconds - at[-1] - (clock.compile_seconds - compiled[-1]),
        "whole_seconds": clock.total_seconds,
        "log_likelihood": float(found.trace[COMPARED_AT]) / workload.n,
        # The device's own mark never falls: a row that stays below an earlier one's says no more than that.
        "peak_bytes": peak,
        "peak_is_its_own": bool(peak > earlier),
    }


def time_many(n_datasets: int) -> dict[str, Any]:
    """Data sets of 500 rows and one feature, two components, five starts each: after a first call that compiles."""
    import jax

    import emjax
    from emjax.em.many import fit_many

    mixture = emjax.Mixture(emjax.Normal(), 2)
    rng = np.random.default_rng(5)
    datasets = rng.normal(size=(n_datasets, 500, 1)) + 3.0 * (rng.uniform(size=(n_datasets, 500, 1)) < 0.4)
    keys = jax.random.split(jax.random.key(0), n_datasets)
    begin = perf_counter()
    first = fit_many(mixture, list(datasets[:64]), keys=keys[:64], n_init=5)
    first_seconds = perf_counter() - begin
    fits, seconds = timed(lambda: fit_many(mixture, list(datasets), keys=keys, n_init=5))
    return {
        "ms_per_dataset": 1e3 * seconds / n_datasets,
        "compile_seconds": sum(fit.compile_seconds for fit in first if isinstance(fit, emjax.Fit)),
        "first_seconds": first_seconds,
        "log_likelihoods": np.array(
            [fit.log_likelihood / 500 if isinstance(fit, emjax.Fit) else np.nan for fit in fits]
        ),
    }


def _memory(name: str) -> float:
    import jax

    return float((jax.devices()[0].memory_stats() or {}).get(name, float("nan")))
