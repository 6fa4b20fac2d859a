"""Strict JSON: what is not a number becomes null, NumPy types become plain ones, floats keep every digit."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np


def to_jsonable(value: Any) -> Any:
    """Return ``value`` as JSON's own types.

    NaN and the infinities become None, because strict JSON has no spelling for them; arrays (NumPy and JAX)
    become nested lists; dataclasses and mappings become objects with string keys; enums give their value.
    Raises TypeError for anything else, rather than writing its ``repr`` where a reader expects a value.
    """
    match value:
        case None | bool():
            return value
        case Enum():
            return to_jsonable(value.value)
        case str():
            return str(value)
        case np.generic():
            return to_jsonable(value.item())
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case PurePath():
            return str(value)
        case Mapping():
            return {str(to_jsonable(key)): to_jsonable(entry) for key, entry in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_jsonable(entry) for entry in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "__array__"):
        return to_jsonable(np.asarray(value).tolist())
    raise TypeError(f"no JSON form for {type(value).__name__}")


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """Return ``value`` as strict JSON text (see :func:`to_jsonable`)."""
    return json.dumps(to_jsonable(value), indent=indent, allow_nan=False, ensure_ascii=False)


def canonical(value: Any) -> str:
    """JSON with sorted keys and without spaces: the same text for the same settings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, n_digits: int) -> str:
    """The first hexadecimal digits of the SHA-256 of `canonical`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:n_digits]
