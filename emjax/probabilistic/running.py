"""A NumPyro program run with values given to its sites, and what its sites then say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.infer import init_to_uniform

Model = Callable[..., Any]
Trace = Mapping[str, Mapping[str, Any]]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def run(model: Model, arguments: Arguments, given: Mapping[str, Any], seed: int | jax.Array = 0) -> Trace:
    """The program's trace with ``given`` in place of draws; what is not given is drawn by the seed."""
    positional, named = arguments
    # An array of NumPy cannot be indexed by a label that is traced; and what is known must not look traced.
    with jax.ensure_compile_time_eval():
        values = {name: jnp.asarray(value) for name, value in given.items()}
    known = handlers.seed(handlers.substitute(model, data=values), seed)
    # Whoever listens outside, as a sampler of NumPyro does, has heard of these sites already.
    with handlers.block():
        return handlers.trace(known).get_trace(*positional, **named)


def sketched(model: Model, data: Mapping[str, Any], fixed: Mapping[str, Any]) -> Trace:
    """A trace without any number: shapes, plates and kinds of distributions, for next to nothing."""
    return _as_program(model, data, fixed, jax.eval_shape)[0]


def first_run(model: Model, data: Mapping[str, Any], fixed: Mapping[str, Any]) -> Trace:
    """A trace with the latent sites near the middle of the unconstrained space.

    It is compiled as one program, of which NumPyro's distributions are outputs; one operation at a time would be a
    hundred programs. What cannot be compiled is run so.
    """
    try:
        kept, found = _as_program(model, data, fixed, lambda parts, *given: jax.jit(parts)(*given))
    except Exception:
        # Whatever it is, it is told by the run that is not compiled.
        kept, found = _as_program(model, data, fixed, lambda parts, *given: parts(*given))
    concrete = {name: {"fn": law or kept[name].get("fn"), "value": value} for name, (law, value) in found.items()}
    return {name: {**site, **concrete[name]} for name, site in kept.items()}


def _as_program(
    model: Model, data: Mapping[str, Any], fixed: Mapping[str, Any], how: Callable[..., Any]
) -> tuple[Trace, dict[str, Any]]:
    """The messages of a run, and their distributions and values as ``how`` gives them."""
    kept: dict[str, Any] = {}
    numbers = {name: value for name, value in data.items() if isinstance(value, np.ndarray)}
    others = {name: value for name, value in data.items() if name not in numbers}

    def parts(numbers: Mapping[str, Any], key: jax.Array) -> dict[str, Any]:
        trace = in_the_middle(model, {**numbers, **others}, fixed, key)
        for name, site in trace.items():
            kept[name] = {**site, "log_prob_shape": np.shape(log_prob(site))} if is_random(site) else site
        return {name: (site["fn"] if is_random(site) else None, site["value"]) for name, site in trace.items()}

    return kept, how(parts, numbers, jax.random.key(0))


def in_the_middle(model: Model, data: Mapping[str, Any], fixed: Mapping[str, Any], key: jax.Array) -> Trace:
    """A trace with the latent sites drawn near the middle of the unconstrained space."""
    known = handlers.substitute(handlers.seed(model, key), substitute_fn=init_to_uniform(radius=1))
    return handlers.trace(known).get_trace(**data, **fixed)


def is_random(site: Mapping[str, Any]) -> bool:
    """Whether a message of a trace is a random site, drawn or observed; factors are such, observed."""
    return site["type"] == "sample"


def is_latent(site: Mapping[str, Any]) -> bool:
    """Whether it is drawn."""
    return is_random(site) and not site["is_observed"]


def frame_of(site: Mapping[str, Any], plate: str) -> Any:
    """The plate of this name that a site stands in, or ``None``."""
    return next((frame for frame in site["cond_indep_stack"] if frame.name == plate), None)


def log_prob(site: Mapping[str, Any]) -> jax.Array:
    """The log density of a site's value in the shape of its batch, masked and scaled as the program says."""
    found = site["fn"].log_prob(site["value"])
    return found if site["scale"] is None else site["scale"] * found


def of_each_datum(site: Mapping[str, Any], plate: str) -> jax.Array:
    """The log density of a site in the plate of data, what it holds of each datum added up, ``(n,)``."""
    frame, found = frame_of(site, plate), jnp.asarray(log_prob(site))
    found = found.reshape((1,) * (-frame.dim - found.ndim) + found.shape)
    found = jnp.moveaxis(found, frame.dim, -1)
    found = jnp.sum(found, axis=tuple(range(found.ndim - 1)))
    return jnp.broadcast_to(found, (frame.size,))


def drawn(model: Model, arguments: Arguments, key: jax.Array, given: Mapping[str, Any] | None = None) -> Trace:
    """A trace with every site that is not given drawn, those that the data belong to among them."""
    positional, named = arguments
    known = handlers.seed(handlers.substitute(handlers.uncondition(model), data=dict(given or {})), key)
    return handlers.trace(known).get_trace(*positional, **named)


def unwrapped(distribution: Any) -> Any:
    """A distribution without what only shapes it."""
    while type(distribution).__name__ in ("Independent", "ExpandedDistribution", "MaskedDistribution"):
        distribution = distribution.base_dist
    return distribution
