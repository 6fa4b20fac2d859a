"""Annotations are checked at run time, of every function that is made once."""

from collections.abc import Callable
from typing import Any

from beartype import beartype


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """beartype's check; a function within another, which is made in every call, is not compiled a check each time."""
    return function if "<locals>" in function.__qualname__ else beartype(function)
