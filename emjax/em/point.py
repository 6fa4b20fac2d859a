"""What an accelerated run knows of a candidate: what one E-step and one M-step tell of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from emjax.em.sets import expectations, lane_prior, one_of
from emjax.em.state import RUNNING, Program, change, coordinates, still, verdict
from emjax.em.step import Statistics, maximization, objective, rounding
from emjax.mixture import MixtureParams, Prior


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Point:
    """A candidate, with what one E-step and one M-step tell of it and later trips need.

    ``image`` is EM's step from ``params``; ``u (p,)`` are the coordinates of ``params`` and ``f (p,)`` those of the
    image less these.
    """

    params: MixtureParams
    image: MixtureParams
    u: Any
    f: Any
    objective: Any
    log_likelihood: Any
    counts: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Judged:
    """A candidate and whether it can be used: its code, the rounding of a density, and a step that is none any more."""

    point: Point
    code: Any
    rounding: Any
    still: Any


def evaluate(program: Program, given: MixtureParams, u: Array, by_u: Array, runs: Array) -> Judged:
    """A batch of candidates, each at its parameters as they are ``given`` or (where ``by_u``) at its coordinates.

    ``runs`` tells the starts of which anything is wanted.
    """
    mixture, data, ridge, live = program.mixture, program.data, program.options.ridge, program.options.live

    own = coordinates(mixture, given)

    def weighted(u: Array, otherwise: float) -> Array:
        """The logarithm of a weight of zero stands as a zero in coordinates, or differences would not be numbers."""
        return u if live is None else own.with_logits(u, jnp.where(live, own.logits(u), otherwise))

    def placed(given: MixtureParams, u: Array, by_u: Array) -> MixtureParams:
        # Beyond a bound of the M-step the objective may be higher, and the step back would be a fall.
        moved = mixture.family.bounded(own.params(weighted(u, -jnp.inf)))
        return jax.tree.map(lambda a, b: jnp.where(by_u, a, b), moved, given)

    def one(params: MixtureParams, statistics: Statistics, prior: Prior | None) -> Judged:
        value = objective(mixture, params, statistics, prior)
        image = maximization(mixture, params, statistics, prior, ridge)
        known = statistics
        if live is not None:
            image = held(image, params, live)
            known = dataclasses.replace(statistics, counts=jnp.where(live, statistics.counts, jnp.inf))
        u = weighted(own.flat(params), 0.0)
        point = Point(
            params=params,
            image=image,
            u=u,
            f=change(u, weighted(own.flat(image), 0.0)),
            objective=value,
            log_likelihood=statistics.log_likelihood,
            counts=statistics.counts,
        )
        return Judged(
            point,
            code=verdict(mixture, params, known, value, any_data, prior, ridge, jnp.asarray(RUNNING, jnp.int32)),
            rounding=rounding(mixture, params, any_data),
            still=still(mixture, params),
        )

    any_data = one_of(data)
    params = jax.vmap(placed)(given, u, by_u)
    prior, axis = lane_prior(program.prior, data, len(u))
    return jax.vmap(one, (0, 0, axis))(params, expectations(mixture, params, data, runs), prior)


def held(params: MixtureParams, before: MixtureParams, live: Array) -> MixtureParams:
    """The parameters, of components that are filled up those of ``before``."""
    shared = {name for name, parameter in params.family.declared if parameter.shared}

    def held_of(value: Array, old: Array) -> Array:
        return jnp.where(live.reshape(-1, *[1] * (value.ndim - 1)), value, old)

    own = {name: value if name in shared else held_of(value, before[name]) for name, value in params.items()}
    return MixtureParams(params.family, own)
