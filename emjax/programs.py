"""How many compiled programs a process has: few for data of many sizes, and as many as its memory mappings allow.

**Few.** Every shape of data is a program of its own, which takes seconds to compile and memory to keep. So rows are
filled up to one of few numbers (`padded_rows`) wherever they meet a compiled program, and data sets of about one size
share theirs.

**As many as fit.** Linux allows a process 65,530 memory mappings (``vm.max_map_count``), and one that asks for more
dies by a segmentation fault in the middle of a compilation. A program compiled for a CPU takes some hundreds of them
and JAX keeps every one: a loop over fits and intervals of some hundred models would be the end of its process.
`make_room` is called before anything is compiled and lets all programs go where most mappings are used up; what is
needed again is compiled again.
"""

import gc
from pathlib import Path

import numpy as np

_MAPPINGS = Path("/proc/self/maps")
_ALLOWED = Path("/proc/sys/vm/max_map_count")
_SHARE = 0.6
"""The share of the mappings from which on programs go: a fit, its intervals, a posterior and a comparison of one shape
took a fourteenth (4,400 mappings, Old Faithful with two components and all defaults)."""

_EVERY = 16
"""New programs after which mappings are counted again, which takes some milliseconds where there are many."""

_FEWEST_ROWS = 32
"""Fewer rows are filled up to so many: they cost no more than one does."""

STEPS = 16
"""Numbers of rows from one power of two to the next: padding adds a sixteenth at most."""

QUICKLY_COMPILED: dict[str, bool | int] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
"""Compiler options of a program that runs briefly. One of derivatives compiles in three quarters of the time with
these, one of EM's iterations in three fifths, and both take four times as long to run."""

_compiled = 0
_counted_at = 0
_is_listening = False


def make_room() -> bool:
    """Let all compiled programs go if the process is about to run out of memory mappings; return whether they went.

    Nothing happens where mappings are not counted (outside Linux). Arrays stay, and so do programs that run just now.
    """
    global _counted_at
    _listen_once()
    if _compiled - _counted_at < _EVERY:
        return False
    _counted_at = _compiled
    if not mappings() > _SHARE * _allowed():
        return False
    import jax

    jax.clear_caches()
    gc.collect()
    return True


def padded_rows(n_rows: int, steps: int = STEPS) -> int:
    """The number of rows, padding included, that ``n_rows`` rows take: the next of ``steps`` in each power of two."""
    n_rows = max(n_rows, _FEWEST_ROWS)
    unit = max((1 << (n_rows - 1).bit_length()) // (2 * steps), 1)
    return -(-n_rows // unit) * unit


def filled_up(rows: np.ndarray) -> np.ndarray:
    """`padded_rows` rows, the last one again and again; for what looks at rows one by one."""
    missing = padded_rows(len(rows)) - len(rows)
    return np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows


def _listen_once() -> None:
    global _is_listening
    if not _is_listening:
        _is_listening = True
        import jax.monitoring

        jax.monitoring.register_event_duration_secs_listener(_on_duration)


def _on_duration(event: str, duration_secs: float, **_: str | int) -> None:
    global _compiled
    if event == "/jax/core/compile/backend_compile_duration":
        _compiled += 1


def mappings() -> int:
    """The memory mappings of this process, 0 where they cannot be counted."""
    try:
        return _MAPPINGS.read_bytes().count(b"\n")
    except OSError:
        return 0


def _allowed() -> float:
    try:
        return float(_ALLOWED.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 65_530.0
