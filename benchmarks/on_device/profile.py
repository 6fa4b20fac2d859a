"""Where the time of an iteration goes: what the compiled program does, and what a trace of the device says.

XLA's cost analysis counts the body of every loop once; the loop over blocks of rows is the innermost, so what it gives
for the program of EM is one iteration of one block, and the few operations of an M-step.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.limits import least_seconds
from benchmarks.on_device.speed import repeated_data
from benchmarks.workloads import Params, Workload

_TRACED_ROWS = 1_000_000
_TRACED_ITERATIONS = 20
_LONGEST_NAME = 40

_LOOPS = ("while", "ThunkExecutor")
"""Events of the host's threads that contain others."""

_FAILURES = (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)

_WAITS = 0.5
"""An iteration that takes more than twice what its arithmetic and its memory traffic need is bound by neither."""


def profile(workload: Workload, dtype: str) -> dict[str, Any]:
    """The cost of one iteration, and the operations that took most of the time of some iterations of it."""
    found: dict[str, Any] = {}
    for name, look in (("cost", _cost), ("trace", _trace)):
        try:
            found |= look(workload, dtype)
        except _FAILURES as error:  # neither is JAX's stable interface, and one must not cost the other
            found[f"{name}_error"] = f"{type(error).__name__}: {error}".splitlines()[0]
    return found


def _cost(workload: Workload, dtype: str) -> dict[str, Any]:
    import jax

    with jax.enable_x64(dtype == "float64"):
        return _counted(workload, np.dtype(dtype), repeated_data(dataclasses.replace(workload, n=1))[1])


def _counted(workload: Workload, dtype: np.dtype, start: Params) -> dict[str, Any]:
    import jax

    import emjax
    from emjax.em import blocks, loop
    from emjax.em.state import Options
    from emjax.families.observations import Observations

    mixture = emjax.Mixture(emjax.Normal(covariance=workload.covariance), workload.k)
    n_blocks = -(-workload.n // blocks.block_size(mixture, workload.d, dtype.itemsize))
    rows = -(-workload.n // n_blocks)
    shape = functools.partial(jax.ShapeDtypeStruct, dtype=dtype)
    data = blocks.Blocks(
        rows=Observations(y=shape((n_blocks, workload.d, rows))),
        weights=shape((n_blocks, rows)),
        total_weight=shape(()),
        natural=True,
    )
    given = mixture.params(weights=start.weights, mean=start.means, covariance=start.covariances)
    params = jax.tree.map(lambda leaf: shape((1, *np.shape(leaf))), given)
    state = jax.eval_shape(functools.partial(loop.start, mixture), params, data, None, None)
    count = jax.ShapeDtypeStruct((), np.int32)
    options = Options(parameters=shape(()), gain=shape(()), reach=shape(()))
    lowered = loop.run_chunk.lower(mixture, state, data, None, count, count, options)
    # Before compilation products are products; a GPU's program calls libraries for them, which nobody counts.
    counted, compiled = lowered.cost_analysis() or {}, lowered.compile()
    memory = compiled.memory_analysis()
    return {
        "n_blocks": n_blocks,
        "block_rows": rows,
        "flops": n_blocks * float(counted.get("flops", np.nan)),
        "exps": n_blocks * float(counted.get("transcendentals", np.nan)),
        "bytes": n_blocks * float((compiled.cost_analysis() or {}).get("bytes accessed", np.nan)),
        "temporary_bytes": float(getattr(memory, "temp_size_in_bytes", np.nan)),
    }


def _trace(workload: Workload, dtype: str) -> dict[str, Any]:
    """Shares of the operations in the time of all, the share of the time in which any ran, and their number."""
    import jax

    import emjax

    workload = dataclasses.replace(workload, n=min(workload.n, _TRACED_ROWS))
    x, start = repeated_data(workload)
    mixture = emjax.Mixture(emjax.Normal(covariance=workload.covariance), workload.k)
    init = mixture.params(weights=start.weights, mean=start.means, covariance=start.covariances)
    options: dict[str, Any] = {"init": init, "tol": 0.0, "dtype": dtype, "max_iter": _TRACED_ITERATIONS}
    emjax.fit(mixture, x, key=jax.random.key(0), **options)
    with tempfile.TemporaryDirectory() as folder:
        begin = perf_counter()
        with jax.profiler.trace(folder):
            emjax.fit(mixture, x, key=jax.random.key(0), **options)
        seconds = perf_counter() - begin
        (file,) = Path(folder).rglob("*.xplane.pb")
        times, number = _times(jax.profiler.ProfileData.from_file(str(file)))
    total = sum(times.values())
    return {
        "traced_rows": workload.n,
        "top": {name[:_LONGEST_NAME]: share / total for name, share in times.most_common(6)},
        "busy": 1e-9 * total / seconds,
        "operations_per_iteration": number / _TRACED_ITERATIONS,
    }


def _times(data: Any) -> tuple[Counter[str], int]:
    """Nanoseconds of every operation, and how many there were: of the device, or else of XLA's threads on the host."""
    planes = list(data.planes)
    on_device = [plane for plane in planes if plane.name.startswith("/device:")]
    times, number = Counter[str](), 0
    for event in _events(on_device or planes, "Stream" if on_device else "XLA"):
        if not event.name.startswith(_LOOPS):
            times[event.name] += event.duration_ns
            number += 1
    if not times:
        raise ValueError("the trace holds no operation of XLA")
    return times, number


def _events(planes: list[Any], kind: str) -> Iterator[Any]:
    for plane in planes:
        for line in plane.lines:
            if kind in line.name:
                yield from line.events


def in_words(found: Mapping[str, Any], workload: Workload, dtype: str, limits: dict[str, float], ms: float) -> str:
    """What binds an iteration that takes ``ms``, at the limits measured on the device."""
    least = 1e3 * least_seconds(workload, dtype, limits)
    words = [f"{workload.title}, {dtype}: {ms:.3g} ms an iteration, {least / ms:.0%} of the limit."]
    rates = {unit: max(limits.get(f"{unit} {by} {dtype}", 0.0) for by in ("NumPy", "XLA")) for unit in ("gemm", "read")}
    amounts = {"arithmetic": ("flops", "gemm"), "memory traffic": ("bytes", "read")}
    needs = {name: 1e3 * found.get(what, 0.0) / rates[unit] for name, (what, unit) in amounts.items()}
    known = {name: value for name, value in needs.items() if value > 0}
    if known:
        would = " and ".join(f"{name} would take {value:.3g} ms" for name, value in known.items())
        blocks = f"{found['n_blocks']} blocks of {found['block_rows']} rows"
        words.append(f"{blocks}; at the measured limits {would}, as XLA counts them.")
        # More than the whole time is traffic that does not reach the memory: it stays in caches.
        binding = max(known, key=lambda name: known[name] if known[name] <= ms else 0.0)
        bound = binding if _WAITS * ms <= known[binding] <= ms else "neither: small operations, or waits between them"
        words.append(f"It is bound by {bound}.")
    if "top" in found:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in list(found["top"].items())[:4])
        words.append(
            f"A trace of {found['traced_rows']:,} rows: {found['operations_per_iteration']:.0f} operations an "
            f"iteration, busy {found['busy']:.0%} of the call; most time went into {shares}."
        )
    return " ".join(words)
