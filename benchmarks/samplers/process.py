"""The near end of a sampler's process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.client import Worker, environment


class Process(Worker):
    """A package in a process of its own on one core, with one thread; `ask` answers ``(value, CPU seconds so far)``."""

    def __init__(self, name: str, core: int, caches: Mapping[str, str]) -> None:
        variables = environment(1) | dict(caches)
        super().__init__(name, (core,), module="benchmarks.samplers.worker", variables=variables)


def caches(folder: Path, fonts: Path, *, keep_programs: bool) -> dict[str, str]:
    """Every cache of compiled code below ``folder``, so that a new folder is a cold one.

    JAX keeps its programs only where a user asks for it (``keep_programs``); PyTensor and numba always do. The list
    of fonts that matplotlib makes once on every machine is no part of a cold start: it stays in ``fonts``.
    """
    found = {
        "PYTENSOR_FLAGS": f"base_compiledir={folder / 'pytensor'}",
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "XDG_CACHE_HOME": str(folder),
        "MPLCONFIGDIR": str(fonts),
    }
    if keep_programs:
        # By default JAX keeps only what took a second to compile.
        found["JAX_COMPILATION_CACHE_DIR"] = str(folder / "jax")
        found["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return found
