"""The bounds of what a user gives, numbers by one table: for Python, for configs and for the command line.

They are far beyond what anybody computes, and no machine is asked: what needs too much memory is refused elsewhere, by
how much it needs.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from emjax.errors import ConfigError, EmjaxError
from emjax.nearest import nearest

BOUNDS: Mapping[str, tuple[int, int]] = {
    "n_components": (1, 100_000),
    "n_samples": (1, 10**9),
    "holdout": (0, 10**9),
    "seed": (0, 2**32 - 1),
    "key": (0, 2**32 - 1),
    # Iterations are counted in 32 bits.
    "n_init": (1, 100_000),
    "max_iter": (1, 10**9),
    "iterations": (1, 10**9),
    "log_every": (0, 10**9),
    "chains": (1, 10_000),
    "warmup": (0, 10**7),
    "draws": (1, 10**7),
    "max_tree_depth": (1, 20),
    "evaluations": (1, 10**15),
    "replicates": (1, 10**6),
    "points": (1, 100_000),
    "batch": (1, 10**6),
    "retries": (0, 1000),
    "workers": (1, 1024),
}
"""Whole numbers: the least and the most, by name."""

LARGEST = 1e140
"""Real numbers, of data and settings: float64 holds their squares, with sums and quotients of them."""

LONGEST_SECONDS = 1e9
"""Thirty years; systems refuse to wait much longer."""


def whole(name: str, value: Any, *, shown: str | None = None, error: type[EmjaxError] = ConfigError) -> int:
    """``value`` as an int within the `BOUNDS` of ``name``.

    Raises ``error`` in one line, which calls it ``shown`` (by default ``name``), for what is no whole number (truth
    values and floats are none) or lies outside.
    """
    least, most = BOUNDS[name]
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        asked = f"give a whole number from {least:,} to {most:,}"
        raise error(f"{shown or name} = {written(value)} is not allowed; {asked}")
    return number


def not_negative(name: str, value: Any) -> float:
    """``value`` as a float from 0 to `LARGEST`; raises ConfigError in one line for anything else."""
    number = _real(value)
    if number is None or not 0.0 <= number <= LARGEST:
        raise ConfigError(f"{name} = {written(value)} is not allowed; give a number from 0 to {LARGEST:g}")
    return number


def share(name: str, value: Any) -> float:
    """``value`` as a float between 0 and 1, both exclusive; raises ConfigError in one line for anything else."""
    number = _real(value)
    if number is None or not 0.0 < number < 1.0:
        raise ConfigError(f"{name} = {written(value)} is not allowed; it must lie between 0 and 1, both exclusive")
    return number


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """``value``, which is one of the names allowed; raises ConfigError in one line, with the nearest, if it is not."""
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    close = nearest(value, names) if isinstance(value, str) else None
    hint = f"; did you mean {close!r}?" if close else ""
    raise ConfigError(f"{name}={written(value)} is not one of {', '.join(map(repr, names))}{hint}")


def flag(name: str, value: Any) -> bool:
    """``value`` as a bool; raises ConfigError in one line for what is not a truth value, such as ``"no"``."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ConfigError(f"{name} = {written(value)} is not allowed; give True or False")


def called(name: str, value: Any) -> Any:
    """``value``, a function or None; raises ConfigError in one line for what cannot be called."""
    if value is None or callable(value):
        return value
    raise ConfigError(f"{name} = {written(value)} cannot be called; give a function, or leave it out")


def _real(value: Any) -> float | None:
    if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def written(value: Any) -> str:
    """A value as messages write it: on one line, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write out the digits of the largest whole numbers
        return "a number of thousands of digits"
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"
