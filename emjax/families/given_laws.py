"""What a user gives as a law: one of `emjax.families.laws`, or a distribution of NumPyro."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax.families.laws import (
    LKJ,
    Beta,
    Dirichlet,
    FromNumPyro,
    Gamma,
    HalfNormal,
    InverseGamma,
    InverseWishart,
    Law,
    LogNormal,
    Normal,
    Wishart,
)
from emjax.families.linalg import product

_TWINS = {
    "Normal": lambda d: Normal(d.loc, d.scale),
    "LogNormal": lambda d: LogNormal(d.loc, d.scale),
    "HalfNormal": lambda d: HalfNormal(d.scale),
    "Gamma": lambda d: Gamma(d.concentration, d.rate),
    "Exponential": lambda d: Gamma(np.ones_like(d.rate), d.rate),
    "InverseGamma": lambda d: InverseGamma(d.concentration, d.rate),
    "Beta": lambda d: Beta(d.concentration1, d.concentration0),
    "Dirichlet": lambda d: Dirichlet(d.concentration),
    "InverseWishart": lambda d: InverseWishart(
        d.concentration, product(d.scale_tril, jnp.swapaxes(d.scale_tril, -1, -2))
    ),
    "Wishart": lambda d: Wishart(
        d.concentration, jnp.linalg.inv(product(d.scale_tril, jnp.swapaxes(d.scale_tril, -1, -2)))
    ),
    "LKJ": lambda d: LKJ(d.concentration),
}
"""NumPyro's distributions that are laws of our own; a subclass, as HalfNormal of a folded one, is none."""

_ENDS: dict[type[Law], tuple[float, float]] = {
    Normal: (-math.inf, math.inf),
    LogNormal: (0.0, math.inf),
    HalfNormal: (0.0, math.inf),
    Gamma: (0.0, math.inf),
    InverseGamma: (0.0, math.inf),
    Beta: (0.0, 1.0),
}
"""Between which numbers each law of single numbers has its density."""

_UNBOUNDED = ("lower_bound", -math.inf), ("upper_bound", math.inf)
"""What NumPyro's supports call their ends, and what these are where a support has none."""


def as_law(site: str, given: Any) -> Law:
    """A law, or a NumPyro distribution as one.

    Raises
    ------
    ValueError
        That names the site, where it is neither, or a NumPyro distribution of vectors that has no law here.
    """
    if isinstance(given, Law):
        return given
    if not (hasattr(given, "log_prob") and hasattr(given, "event_shape")):
        raise ValueError(
            f"prior[{site!r}] must be a law such as emjax.laws.Normal(0, 10) or a NumPyro distribution, not {given!r}"
        )
    while type(given).__name__ in ("Independent", "ExpandedDistribution"):
        given = given.base_dist
    twin = _TWINS.get(type(given).__name__)
    if twin is not None and type(given).__module__.startswith("numpyro."):
        return jax.tree.map(np.asarray, twin(given))
    if given.event_shape:
        raise ValueError(
            f"prior[{site!r}] is a {type(given).__name__} of vectors; give a distribution of single numbers, or one of "
            "emjax.laws"
        )
    return FromNumPyro(given, np.zeros(()), np.ones(()))


def elsewhere(law: Law, ends: tuple[float, float]) -> str:
    """Where a law has its density, in words, if a parameter lies elsewhere: between these ``ends``; else empty.

    A law of fewer numbers would be taken for one of all: nothing keeps EM or a chain within its bounds.
    """
    if isinstance(law, FromNumPyro):
        support = law.distribution.support
        if support.is_discrete:
            return "whole numbers"
        own = tuple(getattr(support, name, end) for name, end in _UNBOUNDED)
    elif type(law) in _ENDS:
        own = _ENDS[type(law)]
    else:
        return ""
    if all(np.all(np.asarray(mine) == theirs) for mine, theirs in zip(own, ends, strict=True)):
        return ""
    return between(*own)


def between(lower: Any, upper: Any) -> str:
    """Which numbers lie between two ends, in words."""
    low, high = float(np.min(lower)), float(np.max(upper))
    if high < math.inf:
        return f"all numbers below {high:.4g}" if low == -math.inf else f"all numbers between {low:.4g} and {high:.4g}"
    return {-math.inf: "all numbers", 0.0: "all positive numbers"}.get(low, f"all numbers above {low:.4g}")
