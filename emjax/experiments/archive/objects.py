"""Results of a run as plain values, and back to the last bit: what `emjax.open_run` reads.

Only dataclasses and enumerations of the modules listed here are written and made again, so that a file can name nothing
else; nothing is unpickled.  The data are not written, and neither are draws, which `posterior.nc` holds.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import functools
import importlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

FORMAT = 1
FILE = "objects.json"

_MODULES = (
    "align.trust",
    "bayes.diagnostics",
    "bayes.posterior",
    "bayes.visits",
    "comparison",
    "families.matrices",
    "families.normal",
    "families.poisson",
    "families.structure",
    "families.variances",
    "metrics.side",
    "mixture",
    "result",
    "uncertainty.information",
    "verdict",
)
_LEFT_OUT = {"result.Fit": "data", "posterior.Posterior": "tree"}
"""The field of a class that lies elsewhere."""


class UnknownTypeError(TypeError):
    """A value is of a type that is not written, such as a family of the user's own."""


def to_plain(value: Any, draws: Mapping[str, np.ndarray]) -> Any:
    """A result as values that JSON holds; raises `UnknownTypeError`.

    ``draws`` are the variables of ``posterior.nc``, each ``(chain * draw, ...)``; an array equal to one of them is
    named instead of written.
    """
    seen: dict[int, int] = {}

    def plain(value: Any) -> Any:
        match value:
            case enum.Enum():
                return {"enum": _name(type(value)), "value": value.value}
            case None | bool() | int() | str():
                return value
            case float():
                return value if math.isfinite(value) else {"float": repr(float(value))}
            case np.generic():
                return plain(value.item())
            case np.ndarray():
                return _plain_array(value, draws)
            case list():
                return [plain(entry) for entry in value]
            case tuple():
                return {"tuple": [plain(entry) for entry in value]}
            case Mapping():
                return {"dict": {str(key): plain(entry) for key, entry in value.items()}}
        if id(value) in seen:
            return {"same": seen[id(value)]}
        name = _name(type(value))
        names = [field.name for field in dataclasses.fields(value) if field.name != _LEFT_OUT.get(name)]
        fields = {field: plain(getattr(value, field)) for field in names}
        seen[id(value)] = len(seen)
        return {"type": name, "fields": fields}

    return plain(value)


def from_plain(value: Any, draws: Mapping[str, np.ndarray], elsewhere: Mapping[str, Any]) -> Any:
    """What `to_plain` was given; ``elsewhere`` has ``data`` and ``tree``. Raises ValueError, TypeError or KeyError."""
    seen: list[Any] = []

    def made(value: Any) -> Any:
        match value:
            case {"enum": str(name), "value": str(word)}:
                return _type(name, enum.Enum)(word)
            case {"float": str(number)}:
                return float(number)
            case {"array": str(text), "dtype": str(kind), "shape": list(shape)}:
                return _array(text, kind, shape)
            case {"draws": str(name)}:
                return draws[name]
            case {"tuple": list(entries)}:
                return tuple(made(entry) for entry in entries)
            case {"dict": dict(entries)}:
                return {key: made(entry) for key, entry in entries.items()}
            case {"same": int(place)}:
                return seen[place]
            case {"type": str(name), "fields": dict(entries)}:
                fields = {key: made(entry) for key, entry in entries.items()}
                if name in _LEFT_OUT:
                    fields[_LEFT_OUT[name]] = elsewhere[_LEFT_OUT[name]]
                seen.append(_type(name, object)(**fields))
                return seen[-1]
            case dict():
                raise ValueError("holds a table of no known kind")
            case list():
                return [made(entry) for entry in value]
        return value

    return made(value)


def _plain_array(array: np.ndarray, draws: Mapping[str, np.ndarray]) -> dict[str, Any]:
    for name, values in draws.items():
        alike = array.shape == values.shape and array.dtype == values.dtype
        if alike and array.tobytes() == values.tobytes():
            return {"draws": name}
    text = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {"array": text, "dtype": array.dtype.str, "shape": list(array.shape)}


def _array(text: str, kind: str, shape: list[Any]) -> np.ndarray:
    if np.dtype(kind).kind not in "biuf" or not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"holds an array of the kind {kind!r}")
    return np.frombuffer(bytearray(base64.b64decode(text, validate=True)), dtype=kind).reshape(shape)


@functools.cache
def _types() -> dict[str, type]:
    """The classes that are written, by the last part of their module and their name."""
    found: dict[str, type] = {}
    for module in _MODULES:
        full = f"emjax.{module}"
        for value in vars(importlib.import_module(full)).values():
            known = isinstance(value, type) and (dataclasses.is_dataclass(value) or issubclass(value, enum.Enum))
            if known and value.__module__ == full:
                found[f"{module.rpartition('.')[2]}.{value.__name__}"] = value
    return found


def _type(name: str, kind: type) -> Any:
    found = _types().get(name)
    if found is None or not issubclass(found, kind):
        raise ValueError(f"holds a {name}, which this emjax does not know")
    return found


def _name(found: type) -> str:
    name = f"{found.__module__.rpartition('.')[2]}.{found.__name__}"
    if _types().get(name) is not found:
        raise UnknownTypeError(f"{found.__module__}.{found.__qualname__}")
    return name
