"""A NumPyro program as a function of one flat vector, for NumPyro's own sampler.

NUTS moves in NumPyro's unconstrained space: the values of the sites, each sent through the inverse of the bijection of
its support, ravelled and joined in the order of the sites' names. `FlatModel` is that view of any NumPyro program
without discrete latent sites. The other samplers move on `emjax.bayes.target`, whose density is EM's.

``unconstrain_fn`` outside ``jit`` compiles dozens of single operations: 1.6 s against 0.5 s inside.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class _Arguments:
    """A model's arguments, split in arrays (traced: data are never constants of a program) and the rest."""

    treedef: Hashable
    static: tuple[Hashable, ...]

    @staticmethod
    def split(model_args: tuple, model_kwargs: Mapping[str, Any] | None) -> "tuple[_Arguments, list[Any]]":
        leaves, treedef = jax.tree.flatten((tuple(model_args), dict(model_kwargs or {})))
        is_array = [isinstance(leaf, np.ndarray | np.generic | jax.Array) for leaf in leaves]
        static = tuple(_ARRAY if array else leaf for leaf, array in zip(leaves, is_array, strict=True))
        arrays = [leaf for leaf, array in zip(leaves, is_array, strict=True) if array]
        return _Arguments(treedef, static), arrays

    def join(self, arrays: Sequence[Any]) -> tuple[tuple, dict[str, Any]]:
        remaining = iter(arrays)
        leaves = [next(remaining) if leaf is _ARRAY else leaf for leaf in self.static]
        return jax.tree.unflatten(self.treedef, leaves)


class _ArrayMark:
    """Stands in ``_Arguments.static`` where an array belongs."""


_ARRAY = _ArrayMark()


@dataclass(frozen=True)
class FlatModel:
    """A NumPyro program whose latent sites are one flat unconstrained vector.

    The object is static and hashable; the arrays among the model's arguments stand apart and are passed to
    each method. Two flat models that compare equal share their compiled programs within a process, so a
    model should be a module-level function or an object with value equality (a frozen dataclass), not a new
    closure per call.

    Attributes
    ----------
    model
        The NumPyro program.
    sites
        Pairs (name, unconstrained shape), ordered by name: the order of the entries of the flat vector.
    arguments
        How to rebuild the program's arguments from the list of arrays.
    """

    model: Callable[..., Any]
    sites: tuple[tuple[str, tuple[int, ...]], ...]
    arguments: _Arguments

    @staticmethod
    def build(
        model: Callable[..., Any],
        model_args: tuple,
        model_kwargs: Mapping[str, Any] | None,
        position: Mapping[str, Any],
    ) -> "tuple[FlatModel, list[Any]]":
        """The flat model and the arrays for its methods; ``position`` gives the unconstrained shapes."""
        sites = tuple((name, np.shape(position[name])) for name in sorted(position))
        arguments, arrays = _Arguments.split(model_args, model_kwargs)
        return FlatModel(model, sites, arguments), arrays

    @property
    def n_parameters(self) -> int:
        """Length of the flat vector."""
        return sum(int(np.prod(shape)) for _, shape in self.sites)

    def ravel(self, position: Mapping[str, Any]) -> np.ndarray:
        """Flat vectors ``(..., n_parameters)`` of positions with leading batch axes ``(...)``."""
        pieces = []
        for name, shape in self.sites:
            value = np.asarray(position[name])
            batch = value.shape[: value.ndim - len(shape)]
            pieces.append(value.reshape(*batch, int(np.prod(shape))))
        return np.concatenate(pieces, axis=-1)

    def unravel(self, flat: Any) -> dict[str, Any]:
        """The inverse of :meth:`ravel`, for NumPy and traced arrays alike."""
        position, begin = {}, 0
        for name, shape in self.sites:
            end = begin + int(np.prod(shape))
            position[name] = flat[..., begin:end].reshape(*flat.shape[:-1], *shape)
            begin = end
        return position

    def potential(self, flat: jax.Array, arrays: Sequence[Any]) -> jax.Array:
        """Minus the log joint density in the unconstrained space (with the log-Jacobians); traceable."""
        from numpyro.infer.util import potential_energy

        args, kwargs = self.arguments.join(arrays)
        return potential_energy(self.model, args, kwargs, self.unravel(flat))

    def constrain(self, flat: jax.Array, arrays: Sequence[Any]) -> dict[str, jax.Array]:
        """Values of the latent and deterministic sites at one flat vector; traceable."""
        from numpyro.infer.util import constrain_fn

        args, kwargs = self.arguments.join(arrays)
        return constrain_fn(self.model, args, kwargs, self.unravel(flat), return_deterministic=True)


@partial(jax.jit, static_argnums=0)
def value_and_gradient(flat_model: FlatModel, flat: jax.Array, arrays: Sequence[Any]) -> tuple[jax.Array, jax.Array]:
    """Potential and gradient at one flat vector."""
    return jax.value_and_grad(flat_model.potential)(flat, arrays)


@partial(jax.jit, static_argnums=(0, 1))
def _unconstrain(
    model: Callable[..., Any], arguments: _Arguments, values: dict[str, Any], arrays: Sequence[Any]
) -> dict[str, jax.Array]:
    from numpyro.infer.util import unconstrain_fn

    args, kwargs = arguments.join(arrays)
    return unconstrain_fn(model, args, kwargs, values)


def unconstrain(
    model: Callable[..., Any],
    model_args: tuple,
    model_kwargs: Mapping[str, Any] | None,
    constrained_values: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Values of the latent sites of a NumPyro program, moved to the unconstrained space.

    Parameters
    ----------
    model, model_args, model_kwargs
        The program and its arguments.
    constrained_values
        A value for every latent site (no leading axis), in natural units.

    Returns
    -------
    dict of str to numpy.ndarray
        The same names with unconstrained values, ordered by name.
    """
    dtype = jnp.result_type(float)
    values = {name: np.asarray(constrained_values[name], dtype) for name in sorted(constrained_values)}
    arguments, arrays = _Arguments.split(model_args, model_kwargs)
    unconstrained = _unconstrain(model, arguments, values, arrays)
    return {name: np.asarray(unconstrained[name]) for name in values}


@partial(jax.jit, static_argnums=(0, 1))
def _unconstrain_all(
    model: Callable[..., Any], arguments: _Arguments, values: dict[str, Any], arrays: Sequence[Any]
) -> dict[str, jax.Array]:
    return jax.vmap(lambda one: _unconstrain(model, arguments, one, arrays))(values)


def unconstrain_all(
    model: Callable[..., Any],
    model_args: tuple,
    model_kwargs: Mapping[str, Any] | None,
    constrained_values: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """The same as `unconstrain` for many values of each site at once, all with one leading axis."""
    values = {name: np.asarray(constrained_values[name]) for name in sorted(constrained_values)}
    arguments, arrays = _Arguments.split(model_args, model_kwargs)
    return {name: np.asarray(v) for name, v in _unconstrain_all(model, arguments, values, arrays).items()}
