"""What the machine can do at best, and how near to it an EM iteration comes.

The work of an iteration is counted for the cheapest known form of EM for normal mixtures: the log-densities and the
sums of the M-step are each one product of a matrix of ``p`` features, ``[1, x, x^2]`` for diagonal covariances and
``[1, x, the upper triangle of x x']`` for full ones, with a ``p x K`` matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.base import timed
from benchmarks.workloads import Workload

TYPES = ("float64", "float32")

RATES = {"gemm": "flop/s, product of two square matrices", "exp": "exp/s, inside a sum", "read": "byte/s, a sum"}
"""The units of `measure_limits`, whose keys are ``"gemm NumPy float64"`` and so on."""

_EXPS = 16
"""Exponentials of each number on a GPU: with one, the memory that the numbers come from would be measured instead."""


def work(workload: Workload, dtype: str) -> dict[str, float]:
    """Floating-point operations, exponentials and bytes read of one iteration."""
    d = workload.d
    features = 1 + 2 * d if workload.covariance == "diag" else 1 + d + d * (d + 1) // 2
    return {
        "flops": 4.0 * workload.n * features * workload.k,
        "exps": float(workload.n * workload.k),
        "bytes": float(workload.n * d * np.dtype(dtype).itemsize),
    }


def least_seconds(workload: Workload, dtype: str, limits: dict[str, float]) -> float:
    """The least time of one iteration: arithmetic one after the other, reading at the same time.

    One core does matrix products and exponentials with the same units, so their times add up; a GPU could overlap
    them, so that the fraction it is given is on the high side by no more than the smaller of the two.
    """
    amount = work(workload, dtype)
    best = {unit: max(limits.get(f"{unit} {by} {dtype}", 0.0) for by in ("NumPy", "XLA")) for unit in RATES}
    arithmetic = amount["flops"] / best["gemm"] + amount["exps"] / best["exp"]
    return max(arithmetic, amount["bytes"] / best["read"])


def measure_limits(size: int = 1024, length: int = 1 << 25, repeats: int = 3) -> dict[str, float]:
    """The best of some repeats of each operation, through NumPy and through XLA, on the cores of this process."""
    import jax

    on_cpu = jax.default_backend() == "cpu"
    n_exps = 1 if on_cpu else _EXPS
    found: dict[str, float] = {}
    for dtype in TYPES:
        with jax.enable_x64(True):
            if on_cpu:
                found |= _rates("NumPy", _numpy_operations(), dtype, size, length, repeats)
            found |= _rates("XLA", _xla_operations(n_exps), dtype, size, length, repeats, n_exps)
    return found


def _numpy_operations() -> dict[str, Callable[..., Any]]:
    # In pieces that stay in the cache, or the memory would be measured in place of the exponential.
    def exponential(x: np.ndarray) -> float:
        return sum(float(np.exp(part).sum()) for part in x.reshape(-1, 1 << 13))

    return {"gemm": lambda a: a @ a, "exp": exponential, "read": lambda x: float(x.sum())}


def _xla_operations(n_exps: int) -> dict[str, Callable[..., Any]]:
    import jax
    import jax.numpy as jnp

    def product(a: Any) -> Any:
        return jnp.matmul(a, a, precision=jax.lax.Precision.HIGHEST)

    def exponentials(x: Any) -> Any:
        return jnp.sum(sum((jnp.exp(x * (1.0 + i)) for i in range(1, n_exps)), jnp.exp(x)))

    operations = {"gemm": product, "exp": exponentials, "read": jnp.sum}
    return {unit: jax.jit(function) for unit, function in operations.items()}


def _rates(
    by: str,
    operations: dict[str, Callable[..., Any]],
    dtype: str,
    size: int,
    length: int,
    repeats: int,
    n_exps: int = 1,
) -> dict[str, float]:
    square = np.full((size, size), 1e-3, dtype)
    short, long = np.linspace(-1, 0, length >> 4, dtype=dtype), np.ones(length, dtype)
    arguments = {"gemm": square, "exp": short, "read": long}
    amounts = {"gemm": 2.0 * size**3, "exp": float(n_exps * short.size), "read": float(long.nbytes)}
    found = {}
    for unit, operation in operations.items():
        argument = arguments[unit]
        if by == "XLA":
            import jax

            argument = jax.device_put(argument)
        _finish(operation(argument))
        seconds = min(timed(lambda f=operation, a=argument: _finish(f(a)))[1] for _ in range(repeats))
        found[f"{unit} {by} {dtype}"] = amounts[unit] / seconds
    return found


def _finish(value: Any) -> None:
    getattr(value, "block_until_ready", lambda: None)()
