"""How many compiled programs a process keeps: as many as its memory mappings allow.

Linux allows a process 65,530 memory mappings (``vm.max_map_count``), and one that asks for more dies by a segmentation
fault in the middle of a compilation. A program compiled for a CPU takes some hundreds of them and JAX keeps every one:
a loop over fits and intervals of some hundred shapes would be the end of its process. `make_room` is called before
anything is compiled and lets all programs go where most mappings are used up; what is needed again is compiled again.
"""

import gc
from pathlib import Path

_MAPPINGS = Path("/proc/self/maps")
_ALLOWED = Path("/proc/sys/vm/max_map_count")
_SHARE = 0.6
"""The share of the mappings from which on programs go: a fit, its intervals, a posterior and a comparison of one shape
took a fourteenth (4,400 mappings, Old Faithful with two components and all defaults)."""

_EVERY = 16
"""New programs after which mappings are counted again, which takes some milliseconds where there are many."""

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
