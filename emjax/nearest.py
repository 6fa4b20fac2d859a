"""The allowed name that somebody who mistyped one most likely meant."""

from collections.abc import Iterable
from difflib import get_close_matches

from emjax.catalogue import CALLED_HERE


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name closest to ``name`` (difflib ratio at least 0.5), None where none is close.

    Case is ignored, and so is the difference between ``-`` and ``_``. Of what has another name elsewhere it is ours.
    """
    by_folded: dict[str, str] = {}
    for candidate in allowed:
        by_folded.setdefault(_fold(candidate), candidate)
    called = CALLED_HERE.get(name.upper())
    if called in by_folded:
        return called
    found = get_close_matches(_fold(name), list(by_folded), n=1, cutoff=0.5)
    return by_folded[found[0]] if found else None


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """Return the clause that ends an error about an unknown name: the nearest one, or all allowed."""
    names = list(allowed)
    close = nearest(name, names)
    if close is not None:
        return f"did you mean {close!r}?"
    return "allowed: " + ", ".join(names)


def _fold(name: str) -> str:
    return name.lower().replace("-", "_")
