"""The scales on which intervals are symmetric: nearer to normal than the numbers themselves, and without bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

TRACED: dict[str, Callable[..., Any]] = {
    "identity": lambda v: v,
    "log": jnp.log,
    "logit": jax.scipy.special.logit,
    "atanh": jnp.arctanh,
}
"""The ways to the scales for arrays of JAX."""

LINKS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    # name: (to the scale, back, derivative of the scale at the estimate)
    "identity": (lambda v: v, lambda t: t, lambda v: np.ones_like(v)),
    "log": (np.log, np.exp, lambda v: 1.0 / v),
    "logit": (
        lambda v: np.log(v) - np.log1p(-v),
        lambda t: 1.0 / (1.0 + np.exp(-t)),
        lambda v: 1.0 / (v * (1.0 - v)),
    ),
    "atanh": (np.arctanh, np.tanh, lambda v: 1.0 / (1.0 - v * v)),
}


def symmetric(link: str, estimate: float, reach: float) -> tuple[float, float]:
    """What lies so far on either side of an estimate, ``reach`` being one of the number itself, to first order."""
    forward, back, slope = LINKS[link]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        centre, width = forward(estimate), reach * slope(estimate)
        return float(back(centre - width)), float(back(centre + width))
