"""Results as plain values that JSON holds, with their arrays beside them or among them, and back to the last bit.

Only dataclasses and enumerations of the rooms of emjax listed here are written and made again, distributions of NumPyro
that are made of numbers, and classes that the caller hands over, so that a file can name nothing else; nothing is
unpickled, and nothing that a file names is run.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import importlib
import inspect
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from emjax.errors import DataError
from emjax.keys import is_key

ROOMS = (
    "align",
    "bayes",
    "comparison",
    "families",
    "metrics",
    "mixture",
    "naming",
    "plain",
    "result",
    "samples",
    "selection",
    "uncertainty",
    "verdict",
)
"""Where the classes of emjax stand that are written: modules, or folders of modules."""

_MODULE = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*")
_KINDS = "biuf"
"""The kinds of numbers whose arrays are written: nothing that would be pickled."""

OF_PROGRAM = (
    "probabilistic.family.ProgramFamily",
    "probabilistic.recognised.RecognisedFamily",
    "probabilistic.prior.ProgramPrior",
    "probabilistic.prior.SitewisePrior",
)
"""What of a result is a NumPyro program: code, which is left out, and given again by whoever opens the result."""

DATA = frozenset(f"samples.Samples.{name}" for name in ("values", "weights", "labels"))
"""The fields that hold what somebody's data are."""

Stowed = Callable[[np.ndarray, str], str | None]
"""What is asked where to keep an array, given its place such as ``params.weights``: its name there, or None to write it
where it stands."""


class UnknownTypeError(TypeError):
    """A value is of a type that is not written, such as a family of the user's own in the archive of a run."""


@dataclasses.dataclass(frozen=True)
class NoData:
    """Stands for data of a ``shape`` that were left out of a file; whatever looks at it is told so by a `DataError`."""

    shape: tuple[int, ...]

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)  # what Python asks of every object, as when it copies one
        self._missing()

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self._missing()

    def __len__(self) -> NoReturn:
        self._missing()

    def __getitem__(self, _: Any) -> NoReturn:
        self._missing()

    def _missing(self) -> NoReturn:
        raise DataError("the fit was saved without its data: give x, or save it with data=True")


def to_plain(
    value: Any,
    stowed: Stowed = lambda array, place: None,
    *,
    left_out: Collection[str] = (),
    hidden: Collection[str] = (),
    own: dict[str, type] | None = None,
) -> Any:
    """A result as values that JSON holds.

    Parameters
    ----------
    value
        Dataclasses and enumerations of emjax, its classes that say by ``__reduce__`` of what they are made, containers,
        numbers, texts, keys of JAX and arrays of numbers. JAX's arrays come back as NumPy's, NumPy's scalars as
        Python's.
    stowed
        See `Stowed`; by default every array is written where it stands.
    left_out
        Fields and classes that the reader is given from elsewhere, such as ``samples.Samples.values``.
    hidden
        Fields whose arrays come back as `NoData`.
    own
        Takes the classes by name that are not emjax's own; where it is None there must be none.

    Raises
    ------
    UnknownTypeError
        If something else is in it.
    """
    seen: dict[int, tuple[int, Any]] = {}
    """Numbers by identity; the objects with them, so that no other takes the place of one that is gone."""

    def plain(value: Any, place: str) -> Any:
        match value:
            case enum.Enum():
                return {"enum": _named(type(value), own), "value": value.value}
            case None | bool() | int() | str():
                return value
            case float():
                return float(value) if math.isfinite(value) else {"float": repr(float(value))}
            case np.generic():
                return plain(value.item(), place)
            case jax.Array() if is_key(value):
                words = jax.random.key_data(value).tolist()
                return {"random_key": words, "kind": str(jax.random.key_impl(value))}
            case np.ndarray() | jax.Array():
                return _plain_array(np.asarray(value), place, stowed)
            case list():
                return [plain(entry, f"{place}.{number}") for number, entry in enumerate(value)]
            case tuple():
                return {"tuple": [plain(entry, f"{place}.{number}") for number, entry in enumerate(value)]}
        if type(value) in (dict, MappingProxyType) and all(type(key) is str for key in value):
            return {"dict": {key: plain(entry, f"{place}.{key}") for key, entry in value.items()}}
        if id(value) in seen:
            return {"same": seen[id(value)][0]}
        if type(value).__module__.startswith(_NUMPYRO):
            arguments = {key: plain(given, f"{place}.{key}") for key, given in _arguments(value, place).items()}
            return {"distribution": type(value).__name__, "arguments": arguments}
        place_of_class = f"{type(value).__module__.removeprefix('emjax.')}.{type(value).__name__}"
        if place_of_class in left_out:
            return {"left_out": place_of_class}
        name = _named(type(value), own)
        if not dataclasses.is_dataclass(value):
            _, arguments = value.__reduce__()
            made = {"type": name, "arguments": [plain(argument, place) for argument in arguments]}
            seen[id(value)] = len(seen), value
            return made
        fields = {}
        for field in (field for field in dataclasses.fields(value) if field.init):
            whole, inner = f"{name}.{field.name}", getattr(value, field.name)
            if whole in hidden and inner is not None:
                inner = NoData(tuple(inner.shape))
            fields[field.name] = {"left_out": whole} if whole in left_out else plain(inner, f"{place}.{field.name}")
        seen[id(value)] = len(seen), value
        return {"type": name, "fields": fields}

    return plain(value, "")


def from_plain(
    value: Any,
    stowed: Mapping[str, np.ndarray] = MappingProxyType({}),
    *,
    left_out: Mapping[str, Any] = MappingProxyType({}),
    own: Mapping[str, type] = MappingProxyType({}),
) -> Any:
    """What `to_plain` was given, from the same arguments. Raises ValueError, TypeError, KeyError and their like."""
    seen: list[Any] = []

    def made(value: Any) -> Any:
        match value:
            case {"enum": str(name), "value": word}:
                return _class(name, enum.Enum, own)(word)
            case {"float": str(number)}:
                return float(number)
            case {"array": str(text), "dtype": str(kind), "shape": list(shape)}:
                return array_of(base64.b64decode(text, validate=True), np.dtype(kind), shape)
            case {"random_key": list(words), "kind": str(kind)}:
                return jax.random.wrap_key_data(jnp.array(words, np.uint32), impl=kind)
            case {"stowed": str(name)}:
                return stowed[name]
            case {"left_out": str(name)}:
                return left_out[name]
            case {"tuple": list(entries)}:
                return tuple(made(entry) for entry in entries)
            case {"dict": dict(entries)}:
                return {key: made(entry) for key, entry in entries.items()}
            case {"same": int(number)}:
                return seen[number]
            case {"distribution": str(name), "arguments": dict(entries)}:
                given = {key: made(entry) for key, entry in entries.items()}
                if any(isinstance(one, dict | list | str) for one in given.values()):
                    raise ValueError(f"holds a {name} of other things than numbers")
                return _distribution(name)(**given)
            case {"type": str(name), "fields": dict(entries)}:
                fields = {key: made(entry) for key, entry in entries.items()}
                seen.append(_class(name, object, own)(**fields))
                return seen[-1]
            case {"type": str(name), "arguments": list(entries)}:
                arguments = [made(entry) for entry in entries]
                seen.append(_class(name, object, own)(*arguments))
                return seen[-1]
            case dict():
                raise ValueError("holds a table of no known kind")
            case list():
                return [made(entry) for entry in value]
        return value

    return made(value)


def _plain_array(array: np.ndarray, place: str, stowed: Stowed) -> dict[str, Any]:
    if array.dtype.kind not in _KINDS:
        raise UnknownTypeError(f"an array of the type {array.dtype}")
    name = stowed(array, place)
    if name is not None:
        return {"stowed": name}
    text = base64.b64encode(array.tobytes()).decode("ascii")
    return {"array": text, "dtype": array.dtype.str, "shape": list(array.shape)}


def array_of(content: bytes, dtype: np.dtype, shape: Iterable[Any], order: Any = "C") -> np.ndarray:
    """The array that these bytes are; raises `ValueError` where they are none of this type and shape."""
    lengths = tuple(shape)
    if dtype.kind not in _KINDS or not all(type(length) is int and length >= 0 for length in lengths):
        raise ValueError(f"holds an array of the kind {dtype.str!r}")
    if math.prod(lengths) * dtype.itemsize != len(content):
        raise ValueError("holds an array of another size")
    return np.ndarray(lengths, dtype, bytearray(content), order=order)


_NUMPYRO = "numpyro.distributions."


def _distribution(name: str) -> Any:
    """The class of a distribution of NumPyro that is made of numbers, and maybe of another one, which it truncates."""
    from numpyro import distributions

    found = getattr(distributions, name, None)
    if not (isinstance(found, type) and issubclass(found, distributions.Distribution)):
        raise ValueError(f"holds a {name}, which NumPyro does not know")
    if not _parameters(found) <= {*getattr(found, "arg_constraints", ()), "base_dist"}:
        raise ValueError(f"holds a {name}, which is made of other things than numbers")
    return found


def _parameters(distribution: Any) -> set[str]:
    return set(inspect.signature(distribution).parameters) - {"validate_args"}


def _arguments(value: Any, place: str) -> dict[str, Any]:
    """What a distribution of NumPyro is made of; `UnknownTypeError` where that are not only numbers."""
    name = type(value).__name__
    try:
        if _distribution(name) is not type(value) or value.event_shape:
            raise ValueError(f"holds a {name}")
    except ValueError:
        where = place.removeprefix(".")
        raise UnknownTypeError(f"{type(value).__module__}.{name} in {where}, no distribution made of numbers") from None
    return {key: getattr(value, key) for key in _parameters(type(value))}


def _named(cls: type, own: dict[str, type] | None) -> str:
    """The name of a class in files: of emjax its place and name, of the user's own ``own.`` and its name."""
    module = cls.__module__.removeprefix("emjax.")
    if module != cls.__module__ and _is_stored(module) and "." not in cls.__qualname__ and _can_be_made(cls):
        return f"{module}.{cls.__name__}"
    # What a constructor of its own keeps besides the fields would be lost without a word.
    loses = "__init__" in vars(cls) and "__dataclass_fields__" not in vars(cls) and not issubclass(cls, enum.Enum)
    can = dataclasses.is_dataclass(cls) or issubclass(cls, enum.Enum)
    if own is None or not can or loses or own.setdefault(cls.__name__, cls) is not cls:
        raise UnknownTypeError(f"{cls.__module__}.{cls.__qualname__}")
    return f"own.{cls.__name__}"


def _class(name: str, kind: type, own: Mapping[str, type]) -> Any:
    module, _, word = name.rpartition(".")
    found = own.get(word) if module == "own" else None
    if _is_stored(module):
        try:
            found = vars(importlib.import_module(f"emjax.{module}")).get(word)
        except ModuleNotFoundError:
            found = None
        found = found if getattr(found, "__module__", None) == f"emjax.{module}" else None
    if not (isinstance(found, type) and _can_be_made(found) and issubclass(found, kind)):
        raise ValueError(f"holds a {name}, which this emjax does not know")
    return found


def _is_stored(module: str) -> bool:
    return bool(_MODULE.fullmatch(module)) and module.partition(".")[0] in ROOMS


def _can_be_made(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) or issubclass(cls, enum.Enum) or "__reduce__" in vars(cls)


def of_program(mixture: Any) -> dict[str, Any]:
    """What stands for `OF_PROGRAM` where a mixture is a program's."""
    family, prior = mixture.family, mixture.family.own_prior()
    return {name: prior if name.endswith("Prior") else family for name in OF_PROGRAM}


def equal_array(array: np.ndarray, known: Mapping[str, np.ndarray]) -> str | None:
    """The name of the array among ``known`` that has the same bytes, type and shape."""
    for name, values in known.items():
        alike = array.shape == values.shape and array.dtype == values.dtype
        if alike and array.tobytes() == values.tobytes():
            return name
    return None
