"""Parameters as a family declares them, and all that follows from a declaration: written here, once.

A family says of each parameter where it lies (`emjax.families.domains`), along which axes its numbers stand, and how
it follows a change of the data's units. Coordinates, volumes, counts, checks, names, permutations and the frame's
Jacobians follow.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray, as_floats
from emjax.families.domains import Domain
from emjax.families.frame import Frame
from emjax.shown import Shown

Values = dict[str, Any]
"""Parameters by name."""


class Unit(enum.Enum):
    """How a parameter follows ``x -> (x - shift) / scale``: divided by this power of the scale."""

    LOCATION = "location"
    SCALE = "scale"
    VARIANCE = "variance"
    RATE = "rate"
    NONE = "none"

    @property
    def power(self) -> int:
        """The power of the scale."""
        return {"location": 1, "scale": 1, "variance": 2, "rate": -1, "none": 0}[self.value]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of a component, or with ``shared`` of all of them.

    Attributes
    ----------
    domain
        Where it lies.
    axes
        What its numbers stand for: ``"feature"``, twice for matrices, and ``"level"`` for categories.
    unit
        How it follows the data's units.
    shared
        Whether all components share it, so that no axis of components leads.
    """

    domain: Domain
    axes: tuple[str, ...] = ("feature",)
    unit: Unit = Unit.NONE
    shared: bool = False

    def shape(self, n_components: int, lengths: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of its array; ``lengths`` are those of the axes."""
        own = tuple(lengths[axis] for axis in self.axes)
        return own if self.shared else (n_components, *own)

    def scale(self, frame: Frame) -> Any:
        """What its values in the frame's units are multiplied with to be in the data's, of the shape of its axes."""
        if self.unit.power == 0:
            return np.ones(())
        scale = frame.scale
        if not self.axes:
            return scale[0] ** self.unit.power
        return scale[:, None] * scale[None, :] if len(self.axes) == 2 else scale**self.unit.power

    def log_jacobian(self, frame: Frame) -> Any:
        """``log |d value(z) / d value(x)|`` of one component."""
        power = float(self.unit.power)
        if power == 0.0:
            return jnp.zeros(())
        if not self.axes:
            return -power * jnp.log(frame.scale[0])
        # Of a symmetric matrix there are d (d + 1) / 2 numbers, and each scale is in d + 1 of them.
        return -(frame.scale.shape[0] + 1.0 if len(self.axes) == 2 else power) * frame.log_scale()


@dataclasses.dataclass(frozen=True)
class Declared:
    """The parameters of a family by name, in their order."""

    parameters: Mapping[str, Parameter]

    def __iter__(self) -> Iterator[tuple[str, Parameter]]:
        return iter(self.parameters.items())

    def checked(self, given: Mapping[str, Any], lengths: Mapping[str, int]) -> Values:
        """Plain arrays as float64 parameters of one number of components, for a family without rules of its own.

        Raises
        ------
        ValueError
            That names the argument that is missing, unknown or wrong.
        """
        for name in given:
            if name not in self.parameters:
                raise ValueError(f"{name} is no parameter here; there are {', '.join(self.parameters)}")
        found: Values = {}
        for name, parameter in self:
            if given.get(name) is None:
                raise ValueError(f"{name} is missing; give it as an array of shape {_axes_in_words(parameter)}")
            value = as_floats(given[name], name)
            n_axes = len(parameter.axes) + (not parameter.shared)
            if value.ndim == n_axes - 1 and parameter.axes == ("feature",):
                value = value[..., None]
            if value.ndim != n_axes or not parameter.domain.holds(value):
                raise ValueError(f"{name} must be {parameter.domain.demands} and of shape {_axes_in_words(parameter)}")
            found[name] = value
        for name, parameter in self:
            own = found[name].shape if parameter.shared else found[name].shape[1:]
            for axis, length in zip(parameter.axes, own, strict=True):
                expected = lengths.get(axis, next(iter(found.values())).shape[-1])
                if axis == "feature" and length != expected:
                    raise ValueError(f"{name} is of {length} features, expected {expected}")
        return found

    def log_volume(self, values: Any) -> Float[Array, ""]:
        """``log |d parameters / d free coordinates|``."""
        return sum((jnp.sum(p.domain.log_volume(values[name])) for name, p in self), jnp.zeros(()))

    def permute(self, values: Any, permutation: AnyArray) -> Values:
        """The components in another order; this is the same for parameters and for their free coordinates."""
        return {name: values[name] if p.shared else values[name][permutation] for name, p in self}

    def to_frame(self, values: Any, frame: Frame) -> Values:
        """Parameters for ``x`` as parameters for ``z = (x - shift) / scale``."""
        return {name: _moved(p, values[name], frame, back=False) for name, p in self}

    def from_frame(self, values: Any, frame: Frame) -> Values:
        """The inverse of `to_frame`."""
        return {name: _moved(p, values[name], frame, back=True) for name, p in self}


def _moved(parameter: Parameter, value: Any, frame: Frame, *, back: bool) -> Any:
    if parameter.unit is Unit.NONE:
        return value
    scale, shift = parameter.scale(frame), frame.shift
    leading = value.ndim - np.ndim(scale)
    scale, shift = scale[(None,) * leading], shift[(None,) * (value.ndim - 1)]
    if parameter.unit is Unit.LOCATION:
        return shift + scale * value if back else (value - shift) / scale
    return scale * value if back else value / scale


def _axes_in_words(parameter: Parameter) -> str:
    words = {"feature": "n_features", "level": "n_levels"}
    names = [*([] if parameter.shared else ["n_components"]), *(words[axis] for axis in parameter.axes)]
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


@jax.tree_util.register_pytree_with_keys_class
class MixtureParams(Shown):
    """The parameters of a mixture: ``weights`` and the family's own, and by name all that follows from them.

    A pytree, so that it can be mapped, stacked and differentiated; attributes are those of a normal mixture,
    ``params.weights``, ``params.mean``, ``params.covariance`` (whatever the structure), ``params.scale``, or of a
    Poisson mixture, ``params.rate``. ``params["mean"]`` is an array as it is stored, and ``params.keys()`` are the
    names of these. Stacked parameters, such as the draws of a posterior, have further axes in front.
    """

    __slots__ = ("_values", "family")

    family: Any
    _values: Values

    def __init__(self, family: Any, values: Mapping[str, Any]) -> None:
        object.__setattr__(self, "family", family)
        object.__setattr__(self, "_values", dict(values))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"parameters are not changed in place; use params.replace({name}=...)")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        values = self._values
        # What is derived comes first: of tied covariances one is stored, and there is one for each component.
        if name in self.family.derived:
            return self.family.derive(name, self)
        if name in values:
            return values[name]
        known = ", ".join(dict.fromkeys([*values, *self.family.derived]))
        raise AttributeError(f"{self.family.name} mixtures have no parameter {name!r}; they have {known}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values, *self.family.derived]

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def keys(self) -> tuple[str, ...]:
        """The names of the parameters that are stored."""
        return tuple(self._values)

    def items(self) -> tuple[tuple[str, Any], ...]:
        """The stored parameters with their names."""
        return tuple(self._values.items())

    def replace(self, **values: Any) -> MixtureParams:
        """The same with some of the stored parameters replaced."""
        for name in values:
            if name not in self._values:
                raise ValueError(f"{name!r} is not stored; there are {', '.join(self._values)}")
        return MixtureParams(self.family, {**self._values, **values})

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield from self._values.items()

    def __reduce__(self) -> tuple[Any, ...]:
        return MixtureParams, (self.family, self._values)

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, tuple[str, ...]]]:
        """The values, and what is static: the family and the names."""
        return tuple(self._values.values()), (self.family, tuple(self._values))

    def tree_flatten_with_keys(self) -> tuple[tuple[tuple[Any, Any], ...], tuple[Any, tuple[str, ...]]]:
        """`tree_flatten` with the names of the values."""
        values, static = self.tree_flatten()
        return tuple(zip(map(jax.tree_util.GetAttrKey, self._values), values, strict=True)), static

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, tuple[str, ...]], values: Any) -> MixtureParams:
        """The inverse."""
        family, names = static
        return cls(family, dict(zip(names, values, strict=True)))
