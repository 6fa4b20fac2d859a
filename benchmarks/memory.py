"""Peak memory above the data, from Linux's own account of a process."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_above_data(run: Callable[[], Any]) -> float:
    """The most resident bytes during ``run`` beyond those held before it, which should include the data.

    In a fresh process with libraries loaded and a small problem fitted, a first run of a new shape counts compilation,
    as users meet it, and a second run does not.
    """
    _give_back_free_memory()
    before = _resident("VmRSS")
    _RESET.write_text("5")  # the high-water mark starts again from here
    run()
    return _resident("VmHWM") - before


def _resident(field: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return float(line.split()[1]) * 1024


def _give_back_free_memory() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
