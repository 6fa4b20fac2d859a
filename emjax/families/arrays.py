"""The array type of functions that serve both the host and traced code.

Fields of pytree classes are annotated ``Any``: JAX rebuilds a pytree from whatever it maps over (tracers, shapes,
placeholders), so a check in their constructors would refuse its own inner workings.
"""

from typing import Any

import jax
import numpy as np

Hyperparameter = Any
"""A number or an array of a prior as its author wrote it: ``2.0 * scatter`` of a NumPy number is a NumPy scalar."""

AnyArray = jax.Array | np.ndarray
"""A JAX or a NumPy array: what the host hands in is NumPy, what a jitted caller hands in is a tracer."""


def as_floats(value: Any, argument: str) -> np.ndarray:
    """``value`` as a float64 array, or a `ValueError` that names the argument it was given for."""
    try:
        return np.asarray(value, dtype=float)
    except OverflowError:
        raise ValueError(f"{argument} holds a number larger than float64 goes (1.8e308)") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{argument} must be an array of numbers: {error}") from None
