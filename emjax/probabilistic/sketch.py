"""What is kept of a program in place of its code: what was found of it, and the value that it has at a point.

A program is given again by whoever opens a result. It is taken apart anew with the data that were kept, and must be the
one that the result is of: the same columns, sites and components, and the same log density at a point.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax.errors import ConfigError
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams
from emjax.families.priors import WEIGHTS
from emjax.jsonable import to_jsonable
from emjax.wording import elided

_CLOSE = 1e-8
"""Log densities at a point agree to this share: between machines sums are taken in another order."""

_WORDS = {
    "columns": "its data have other columns",
    "holes": "it takes other data where cells are masked",
    "labels": "its label has other values",
    "sites": "its sites are others",
    "weights": "its weights are another site",
    "log_densities": "its log density is another one",
}


def sketch_of(family: Any, middle: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a program from others, as values that JSON holds; ``middle`` is a point of its parameters."""
    found = family.structure
    weights = found.weights
    params = MixtureParams(family, {**middle, WEIGHTS: np.full(found.n_components, 1.0 / found.n_components)})
    rows = Observations(y=np.asarray(family.packed.T, float))
    parts = {
        "name": getattr(found.model, "__name__", "model"),
        "columns": [(one.name, one.shape, one.dtype, one.axis) for one in found.layout.columns],
        "holes": found.layout.holes,
        "labels": found.values,
        "sites": [(one.name, one.shape, str(one.constraint), one.component_axis) for one in found.sites],
        "weights": None if weights is None else (weights.site, weights.concentration, weights.entry),
        "log_densities": _log_densities(family, params, rows),
    }
    plain: dict[str, Any] = to_jsonable(parts)
    return plain


@jax.jit(static_argnums=0)
def _log_densities(family: Any, params: MixtureParams, rows: Observations) -> tuple[Any, Any]:
    density = family.log_density(params, rows)
    return jnp.sum(jnp.where(jnp.isfinite(density), density, 0.0)), family.log_prior(params)


def arguments_in(sketch: Mapping[str, Any], packed: np.ndarray) -> dict[str, np.ndarray]:
    """The arguments that a program was taken apart with, from the matrix of all of them."""
    found, begin = {}, 0
    for name, shape, dtype, axis in sketch["columns"]:
        width = int(np.prod(shape))
        values = packed[:, begin : begin + width].reshape(len(packed), *shape)
        found[name] = np.moveaxis(values, 0, axis).astype(np.dtype(dtype))
        begin += width
    return found


def check_same(family: Any, sketch: Mapping[str, Any]) -> None:
    """Raise a `ConfigError` that says in what a program differs from the one that was sketched."""
    mine = family.sketch
    for part, words in _WORDS.items():
        theirs, same = sketch[part], mine[part] == sketch[part]
        if part == "log_densities":
            ours, given = (np.asarray(values, float) for values in (mine[part], theirs))
            same = np.allclose(ours, given, rtol=_CLOSE, atol=_CLOSE, equal_nan=True)
        if not same:
            found = elided(f"{mine[part]} for {theirs}", 160)
            raise ConfigError(
                f"{family!r} is not the program that this is of: {words} ({found}); give it with all its arguments"
            )
