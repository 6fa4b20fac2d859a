"""What a law of a parameter is; `emjax.families.laws` has them all."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np

from emjax.shown import Shown


class Law(Shown, abc.ABC):
    """A density of a parameter; its fields are arrays, and it is a pytree."""

    n_axes: ClassVar[int] = 0
    """How many of the last axes of a value the density is of: none for a law of single numbers."""

    @abc.abstractmethod
    def log_prob(self, value: Any, given: Any = None) -> Any:
        """The log density of each number (of each vector, each matrix); ``given`` are all the parameters."""

    @abc.abstractmethod
    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        """The law of a whole parameter of a shape as a NumPyro distribution."""

    @abc.abstractmethod
    def rescaled(self, shift: Any, scale: Any) -> Law:
        """The law of ``(v - shift) / scale``, both of the shape of the parameter's own axes."""

    def fits(self, parameter: Any) -> bool:
        """Whether it can be the law of a declared parameter, as far as that is known without data."""
        if parameter.domain.laws and not isinstance(self, Flat):
            return type(self).__name__ in parameter.domain.laws
        of_numbers, n_axes = self.n_axes == 0, parameter.domain.n_axes
        return self.n_axes <= n_axes and (of_numbers == (n_axes == 0) or isinstance(self, Flat))

    def tells_apart(self, n_axes: int) -> bool:
        """Whether it is not the same for all components of a parameter with so many axes, on the host."""
        leading = [np.asarray(leaf) for leaf in jax.tree.leaves(self) if self._leads(leaf, n_axes)]
        return any((leaf != leaf[:1]).any() for leaf in leading)

    def of_one(self, n_axes: int) -> Law:
        """The law of one component, where those of all are alike: its numbers without an axis of components."""
        alone: Law = jax.tree.map(lambda leaf: leaf[0] if self._leads(leaf, n_axes) else leaf, self)
        return alone

    def _leads(self, leaf: Any, n_axes: int) -> bool:
        """Whether components come first in one of its numbers, as they do in a parameter with so many axes."""
        of_matrices = self.n_axes == 2 and np.ndim(leaf) == n_axes - 2  # one number for each matrix
        return np.ndim(leaf) > 0 and (np.ndim(leaf) == n_axes or of_matrices)


@dataclass_transform(frozen_default=True)
def law[L](cls: type[L]) -> type[L]:
    """A class of laws as a frozen dataclass whose fields are the leaves of a pytree."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, repr=False)(cls))


def elementwise(distribution: Any, shape: tuple[int, ...]) -> Any:
    """A distribution of NumPyro as that of independent numbers of a shape."""
    return distribution.expand(shape).to_event(len(shape))


@law
class Flat(Law):
    """No preference: the improper law of maximum likelihood."""

    def log_prob(self, value: Any, given: Any = None) -> Any:
        return jnp.zeros(())

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        raise TypeError("the flat law is improper, so nothing can be drawn from it")

    def rescaled(self, shift: Any, scale: Any) -> Flat:
        return self


def led(value: Any, *arguments: Any) -> tuple[Any, ...]:
    """Arguments with as many axes as the value has, new ones in front: no promotion of ranks."""
    n_axes = jnp.ndim(value)
    found = (jnp.asarray(argument) for argument in arguments)
    return tuple(each[(None,) * (n_axes - each.ndim)] if 0 < each.ndim < n_axes else each for each in found)
