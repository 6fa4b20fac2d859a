"""The cores that a process may use, and what the host does with all of them: many rows, some at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

_MOST_THREADS = 16
"""Passes over data wait for memory before that."""

_ELEMENTS = 1 << 18
"""The numbers of one piece: it stays in a core's cache while it is worked on."""

_FEWEST_ITEMS = 4
"""Of fewer pieces, threads would cost more than they save."""


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads[Item, Result](function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``[function(item) for item in items]``, several at a time: NumPy lets other threads work while it does.

    Results are in the order of ``items`` whatever ended first, so that sums over them have the same bits everywhere.
    """
    n_threads = min(usable_cores(), _MOST_THREADS, len(items)) if len(items) >= _FEWEST_ITEMS else 1
    if n_threads < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(n_threads, thread_name_prefix="emjax-rows") as pool:
        return list(pool.map(function, items))


def pieces(n_rows: int, n_columns: int) -> list[slice]:
    """All rows in slices of at most 2 MiB in float64."""
    at_once = max(1, _ELEMENTS // max(n_columns, 1))
    return [slice(begin, min(begin + at_once, n_rows)) for begin in range(0, n_rows, at_once)]
