"""The data of a program: which of its arguments hold one entry per datum, and these as columns of one matrix."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax.errors import DataError
from emjax.families.observations import Observations
from emjax.matrix import has_names
from emjax.probabilistic.running import Arguments
from emjax.samples import Samples, as_samples


def given_arguments(model: Callable[..., Any], data: Any, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The data as named arguments of a program, ``fixed`` ones left out.

    A mapping names them; a tuple holds the first ones; an array is the first. Of a table, columns go to the arguments
    of their names, and what is left to the one argument that is: a vector where it is one column, else a matrix.

    Raises
    ------
    DataError
        If the program takes no such arguments.
    """
    parameters = [
        each
        for each in inspect.signature(model).parameters.values()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    open_names = [each.name for each in parameters if each.name not in fixed]
    if isinstance(data, Mapping):
        found = dict(data)
    elif isinstance(data, tuple):
        if len(data) > len(open_names):
            raise DataError(f"the data are {len(data)} arguments, and the program takes {_listed(open_names)}")
        found = dict(zip(open_names, data, strict=False))
    elif not open_names:
        raise DataError("the program takes no argument for data: let it take them, model(y)")
    elif isinstance(data, Samples) or has_names(data):
        needed = [each.name for each in parameters if each.name in open_names and each.default is each.empty]
        found = _of_table(data if isinstance(data, Samples) else as_samples(data, missing=True), open_names, needed)
    else:
        found = {open_names[0]: data}
    unknown = [name for name in found if name not in open_names]
    if unknown:
        raise DataError(f"the program takes no argument {unknown[0]!r}; it takes {_listed(open_names)}")
    missing = [each.name for each in parameters if each.default is each.empty and each.name not in {*found, *fixed}]
    if missing:
        raise DataError(f"the program's argument {missing[0]!r} is missing: give it with the data or to emjax.program")
    given = {name: _array(value) for name, value in found.items()}
    if not any(isinstance(value, np.ndarray) and value.dtype.kind in "biuf" for value in given.values()):
        raise DataError("the data hold no array of numbers: give the program's first argument, or a mapping of them")
    return given


def _of_table(table: Samples, names: list[str], needed: list[str]) -> dict[str, Any]:
    columns = {name: _whole(column) for name, column in zip(table.feature_names, table.values.T, strict=True)}
    found = {name: columns.pop(name) for name in names if name in columns}
    # ``y[0, 1]`` is an entry of an array, as a layout itself names its columns.
    for name in [name for name in names if name not in found]:
        entries = [each for each in columns if each.startswith(f"{name}[") and each.endswith("]")]
        index = [tuple(map(int, each[len(name) + 1 : -1].split(","))) for each in entries if _is_index(each)]
        if entries and index == list(np.ndindex(*(np.max(index, axis=0) + 1))):
            array = np.stack([columns.pop(each) for each in entries], axis=1)
            found[name] = array.reshape(len(array), *(np.max(index, axis=0) + 1))
    # Settings with a default get a column only where nothing else could.
    left = [name for name in needed if name not in found] or ([] if found else names[:1])
    if columns and len(left) == 1:
        rest = list(columns.values())
        found[left[0]] = rest[0] if len(rest) == 1 else np.stack(rest, axis=1)
    return found


def _whole(column: np.ndarray) -> np.ndarray:
    """A column of a table as whole numbers where it holds nothing else: they may be counts, labels or places."""
    whole = np.isfinite(column).all() and (column == np.round(column)).all() and (np.abs(column) < 2.0**53).all()
    return column.astype(int) if whole else column


def _is_index(label: str) -> bool:
    return all(part.strip().isdigit() for part in label[label.index("[") + 1 : -1].split(","))


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "no arguments"


def _array(value: Any) -> Any:
    """Numbers as a NumPy array, anything else as it is."""
    if isinstance(value, np.ndarray | jax.Array) or hasattr(value, "__array__") or isinstance(value, list):
        return np.asarray(value)
    return value


@dataclasses.dataclass(frozen=True)
class Column:
    """An argument with one entry per datum: the shape of an entry, its type, and on which axis the datum stands."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    axis: int

    @property
    def width(self) -> int:
        """How many columns of the matrix it takes."""
        return math.prod(self.shape)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of these columns."""
        if not self.shape:
            return (self.name,)
        return tuple(f"{self.name}[{', '.join(map(str, index))}]" for index in np.ndindex(self.shape))


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which arguments are columns, in which order."""

    columns: tuple[Column, ...]
    holes: bool = False
    """Whether the program is given NaN where there is NaN, which it masks; else zero, which it masks as well."""

    @classmethod
    def of(cls, arguments: Mapping[str, Any], n_samples: int) -> Layout:
        """The arguments with an axis as long as the plate of data, the first such axis."""
        columns = []
        for name, value in arguments.items():
            shape = np.shape(value) if isinstance(value, np.ndarray) else ()
            if n_samples in shape and value.dtype.kind in "biuf":
                axis = shape.index(n_samples)
                columns.append(Column(name, shape[:axis] + shape[axis + 1 :], value.dtype.str, axis))
        return cls(tuple(columns))

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all columns of the matrix."""
        return tuple(label for column in self.columns for label in column.labels)

    def with_floats(self, names: Collection[str]) -> Layout:
        """The same with some of the arguments in float64, whatever they were given in."""
        return Layout(tuple(dataclasses.replace(c, dtype="<f8") if c.name in names else c for c in self.columns))

    def packed(self, arguments: Mapping[str, Any]) -> np.ndarray:
        """The matrix ``(n, d)``, float64."""
        parts = []
        for column in self.columns:
            value = np.asarray(arguments.get(column.name), float)
            fits = value.ndim == len(column.shape) + 1
            moved = np.moveaxis(value, column.axis, 0) if fits else value
            if not fits or moved.shape[1:] != column.shape:
                raise DataError(
                    f"the argument {column.name!r} has shape {value.shape}, and the fit was made with entries of shape "
                    f"{column.shape} per datum on axis {column.axis}"
                )
            parts.append(moved.reshape(len(moved), -1))
        if len(lengths := {len(part) for part in parts}) > 1:
            found = ", ".join(f"{c.name} {len(part)}" for c, part in zip(self.columns, parts, strict=True))
            raise DataError(f"the arguments are of {len(lengths)} numbers of data: {found}")
        matrix = np.concatenate(parts, axis=1)
        return matrix if self.holes else np.where(np.isnan(matrix), 0.0, matrix)

    def unpacked(self, rows: Observations) -> dict[str, Any]:
        """The arguments that rows ``y (d, n)`` are; whole numbers and truths in their own types. Traceable."""
        found, begin, y = {}, 0, jnp.asarray(rows.y)
        if self.holes and rows.seen is not None:
            y = jnp.where(rows.seen > 0, y, jnp.nan)
        for column in self.columns:
            part = y[begin : begin + column.width]
            part = jnp.moveaxis(part.reshape(*column.shape, part.shape[-1]), -1, column.axis)
            kind = np.dtype(column.dtype).kind
            found[column.name] = part if kind == "f" else part > 0.5 if kind == "b" else jnp.round(part).astype(int)
            begin += column.width
        return found

    def places(self, name: str) -> slice:
        """Where the columns of an argument stand."""
        begin = 0
        for column in self.columns:
            if column.name == name:
                return slice(begin, begin + column.width)
            begin += column.width
        raise KeyError(name)

    def as_entries(self, name: str, values: Any) -> Any:
        """Values of one argument, datum on its own axis, as columns ``(n, width)``; traceable."""
        column = next(each for each in self.columns if each.name == name)
        moved = jnp.moveaxis(jnp.asarray(values), column.axis, 0)
        return moved.reshape(len(moved), -1)


def called_with(data: Mapping[str, Any], fixed: Mapping[str, Any]) -> Arguments:
    """What a program is called with."""
    arrays = {name: jnp.asarray(value) if isinstance(value, np.ndarray) else value for name, value in data.items()}
    return (), {**arrays, **fixed}
