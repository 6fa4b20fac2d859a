"""What gets intervals: the parameters that people read, or any function of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.bounds import written
from emjax.families.frame import Frame
from emjax.mixture import Mixture, MixtureParams
from emjax.naming import ScalarParameter, scalar_parameters
from emjax.result import Fit
from emjax.uncertainty.links import TRACED

_AT_ONCE = 64
"""Sets of parameters that are read side by side."""

_UNTRACED = (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError)
"""What NumPy, and decisions in Python, make of numbers that are not there yet."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """Which numbers are read off parameters: hashable, so that programs can be made for it.

    Attributes
    ----------
    parameters
        Their names, and where they belong.
    links
        The scale on which the intervals of each are made.
    places
        Where each lies in the concatenation of all arrays.
    functions
        What makes these arrays, by name; the mixture's named parameters where there are none.
    """

    parameters: tuple[ScalarParameter, ...]
    links: tuple[str, ...]
    places: tuple[int, ...]
    functions: tuple[tuple[str, Callable[[MixtureParams], Any]], ...] = ()

    def numbers(self, mixture: Mixture, params: MixtureParams) -> Float[Array, " m"]:
        """All numbers at parameters in the data's units."""
        named = {name: function(params) for name, function in self.functions} or mixture.named_parameters(params)
        values = jnp.concatenate([jnp.ravel(jnp.asarray(value, float)) for value in named.values()])
        return values[np.array(self.places)]

    def scaled(self, mixture: Mixture, params: MixtureParams) -> Float[Array, " m"]:
        """The same on the scales of their intervals."""
        values, links = self.numbers(mixture, params), np.array(self.links)
        # All numbers of a scale at once: each by itself would be a piece of every program.
        own = {link: np.flatnonzero(links == link) for link in dict.fromkeys(self.links)}
        found = jnp.concatenate([TRACED[link](values[places]) for link, places in own.items()])
        return found[np.argsort(np.concatenate(list(own.values())))]


def reading_of(fit: Fit, of: Any = None) -> Reading:
    """How the numbers of a fit are read that people read, or functions of its parameters.

    Raises
    ------
    TypeError
        If ``of`` is neither a function nor a mapping of such, or returns what is no number.
    ValueError
        If a number at the estimate is none that is finite.
    """
    if of is None:
        named = fit.mixture.named_parameters(fit.params)
        chosen, links = fit.mixture.scalars(named, fit.feature_names), _links(fit)
        places = tuple(map(int, _places(named, chosen)))
        return Reading(chosen, tuple(links[one.variable] for one in chosen), places)
    functions = _named(of)
    found = {name: _numbers_of(name, function(fit.params)) for name, function in functions.items()}
    chosen = scalar_parameters(found, fit.feature_names, own_axes=dict.fromkeys(found, True))
    return Reading(chosen, ("identity",) * len(chosen), tuple(range(len(chosen))), tuple(functions.items()))


def values_of(fit: Fit, reading: Reading, params: MixtureParams) -> np.ndarray:
    """The numbers ``(n, m)`` at parameters in the data's units that lead with ``n``.

    Raises
    ------
    TypeError
        If a function is none that JAX can trace.
    """
    try:
        return np.asarray(_read(fit.mixture.likelihood, reading, params))
    except _UNTRACED as error:
        raise TypeError(f"of cannot be traced ({type(error).__name__}): write it with jax.numpy") from None


@functools.partial(jax.jit, static_argnums=(0, 1))
def _read(mixture: Mixture, reading: Reading, params: MixtureParams) -> Float[Array, "n m"]:
    return jax.lax.map(lambda one: reading.numbers(mixture, one), params, batch_size=_AT_ONCE)


@dataclasses.dataclass(frozen=True)
class Quantities:
    """Numbers, their values, and their Jacobian in the free coordinates."""

    parameters: tuple[ScalarParameter, ...]
    links: tuple[str, ...]
    estimates: np.ndarray
    jacobian: np.ndarray


def named_quantities(fit: Fit, estimates: np.ndarray, jacobian: np.ndarray) -> Quantities:
    """Those that people read, from the values and the Jacobian of all named arrays one after the other."""
    reading = reading_of(fit)
    places = np.array(reading.places)
    return Quantities(reading.parameters, reading.links, estimates[places], jacobian[places])


def quantities_of(fit: Fit, params: MixtureParams, frame: Frame, of: Any) -> Quantities:
    """The values of functions of the parameters in the data's units, ``params`` being in the standard frame.

    Raises
    ------
    TypeError
        If ``of`` is neither a function nor a mapping of such, or is none that JAX can differentiate.
    """
    reading, mixture = reading_of(fit, of), fit.mixture.likelihood
    coordinates = mixture.coordinates(mixture.family.n_features(params))

    def values(flat: Float[Array, " p"]) -> Float[Array, " m"]:
        return reading.numbers(mixture, mixture.from_frame(coordinates.params(flat), frame))

    flat = coordinates.flat(jax.tree.map(jnp.asarray, params))
    try:
        found, slopes = values(flat), jax.jacfwd(values)(flat)
    except _UNTRACED as error:
        raise TypeError(f"of cannot be differentiated ({type(error).__name__}): write it with jax.numpy") from None
    return Quantities(reading.parameters, reading.links, np.asarray(found), np.asarray(slopes))


def _links(fit: Fit) -> dict[str, str]:
    """The scale on which each variable's intervals are made."""
    family, named = fit.mixture.family, fit.mixture.named_parameters(fit.params)
    return {"weights": "logit", **{name: family.reading(name).domain.link for name in named if name != "weights"}}


def _named(of: Any) -> dict[str, Callable[[MixtureParams], Any]]:
    if callable(of):
        name = getattr(of, "__name__", "of")
        return {"of" if name == "<lambda>" else name: of}
    if isinstance(of, Mapping) and of and all(map(callable, of.values())):
        return {str(name): function for name, function in of.items()}
    raise TypeError("of must be a function of the parameters, or a mapping of names to such, as {'gap': function}")


def _numbers_of(name: str, value: Any) -> np.ndarray:
    """What a function makes of the estimate, as an array of numbers."""
    try:
        found = np.asarray(value)
    except ValueError:  # lists of unequal lengths
        found = np.empty(0)
    if found.dtype.kind not in "iuf" or not found.size:
        raise TypeError(f"of: {name!r} returns {written(value)} at the estimate: return a number, or an array of some")
    if not np.isfinite(found).all():
        raise ValueError(
            f"of: {name!r} is {written(found.tolist())} at the estimate: only what is finite has an interval"
        )
    return found


def _places(named: Mapping[str, Any], chosen: tuple[ScalarParameter, ...]) -> np.ndarray:
    """Where each chosen number lies in the concatenation of all named arrays."""
    offsets, start = {}, 0
    for variable, values in named.items():
        offsets[variable] = start
        start += int(np.size(values))
    return np.array(
        [offsets[p.variable] + int(np.ravel_multi_index(p.index, np.shape(named[p.variable]))) for p in chosen]
    )
