"""What gets intervals: the parameters that people read, or any function of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.frame import Frame
from emjax.mixture import MixtureParams
from emjax.naming import ScalarParameter, scalar_parameters
from emjax.result import Fit


@dataclasses.dataclass(frozen=True)
class Quantities:
    """Numbers, their values, their Jacobian in the free coordinates, and by variable the scale of their intervals."""

    parameters: tuple[ScalarParameter, ...]
    estimates: np.ndarray
    jacobian: np.ndarray
    links: Mapping[str, str]


def named_quantities(fit: Fit, estimates: np.ndarray, jacobian: np.ndarray) -> Quantities:
    """Those that people read, from the values and the Jacobian of all named arrays one after the other."""
    family, named = fit.mixture.family, fit.mixture.named_parameters(fit.params)
    chosen = fit.mixture.scalars(named, fit.feature_names)
    places = _places(named, chosen)
    own = {name: family.reading(name).domain.link for name in named if name != "weights"}
    return Quantities(chosen, estimates[places], jacobian[places], {"weights": "logit", **own})


def quantities_of(fit: Fit, params: MixtureParams, frame: Frame, of: Any) -> Quantities:
    """The values of functions of the parameters in the data's units, ``params`` being in the standard frame.

    Raises
    ------
    TypeError
        If ``of`` is neither a function nor a mapping of such, or is none that JAX can differentiate.
    """
    functions = _named(of)
    mixture = fit.mixture.likelihood
    coordinates = mixture.coordinates(mixture.family.n_features(params))

    def values(flat: Float[Array, " p"]) -> dict[str, Array]:
        at = mixture.from_frame(coordinates.params(flat), frame)
        return {name: jnp.asarray(function(at), float) for name, function in functions.items()}

    flat = coordinates.flat(jax.tree.map(jnp.asarray, params))
    try:
        found, slopes = values(flat), jax.jacfwd(values)(flat)
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        raise TypeError(f"of cannot be differentiated ({type(error).__name__}): write it with jax.numpy") from None
    chosen = scalar_parameters(found, fit.feature_names, own_axes=dict.fromkeys(found, True))
    estimates = np.concatenate([np.ravel(found[name]) for name in found])
    jacobian = np.concatenate([np.reshape(slopes[name], (-1, flat.size)) for name in found])
    return Quantities(chosen, estimates, jacobian, dict.fromkeys(found, "identity"))


def _named(of: Any) -> dict[str, Callable[[MixtureParams], Any]]:
    if callable(of):
        name = getattr(of, "__name__", "of")
        return {"of" if name == "<lambda>" else name: of}
    if isinstance(of, Mapping) and of and all(map(callable, of.values())):
        return {str(name): function for name, function in of.items()}
    raise TypeError("of must be a function of the parameters, or a mapping of names to such, as {'gap': function}")


def _places(named: Mapping[str, Any], chosen: tuple[ScalarParameter, ...]) -> np.ndarray:
    """Where each chosen number lies in the concatenation of all named arrays."""
    offsets, start = {}, 0
    for variable, values in named.items():
        offsets[variable] = start
        start += int(np.size(values))
    return np.array(
        [offsets[p.variable] + int(np.ravel_multi_index(p.index, np.shape(named[p.variable]))) for p in chosen]
    )
