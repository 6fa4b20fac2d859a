"""What a start carries from iteration to iteration, the codes it may stop with, and the tests that stop it."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from emjax.em.blocks import Blocks
from emjax.em.step import Statistics, trusted
from emjax.families.coordinates import Coordinates
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.result import Status

RUNNING = -1
CONVERGED, DEGENERATE, NONFINITE, DECREASED, IMPRECISE, INTERRUPTED, SADDLE = range(7)
_STATUS = {
    RUNNING: None,
    CONVERGED: Status.CONVERGED,
    DEGENERATE: Status.DEGENERATE,
    NONFINITE: Status.NONFINITE,
    DECREASED: Status.DECREASED,
    IMPRECISE: Status.PRECISION,
    INTERRUPTED: Status.INTERRUPTED,
    SADDLE: Status.SADDLE,
}
EMPTY = 1e-3  # a component with fewer expected points than this has lost its data

_STILL = 64
"""A step of so many roundings of a coordinate near one is no step any more."""

_SHORTEST = 2.0**-30
"""The share of EM's step below which its direction is at fault, and not its length."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EMState:
    """What the next iteration needs: parameters, the statistics taken at them, and how the last step went.

    ``step`` is the largest change of any coordinate, ``gain`` the change of the objective, each with the ratio to the
    one before; ``n_evaluations`` counts E-steps. ``length`` is the share of EM's step that is taken, see
    `first_length`.
    """

    params: MixtureParams
    statistics: Statistics
    objective: Any
    step: Any
    rate: Any
    gain: Any
    gain_rate: Any
    code: Any
    n_iter: Any
    n_evaluations: Any
    length: Any = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Options:
    """Traced settings of the loop: a tolerance that is not asked for is negative, zero for both means exact numbers.

    ``parameters`` bounds the estimated distance to the limit, ``gain`` the estimated gain of the objective per sample
    that is still to come; ``ridge`` ``(d,)``, or ``None``, is added to every variance after the M-step. Acceleration
    begins where the distance that EM has still to go is estimated below ``reach``, and keeps near, or wherever it likes
    with ``None``. ``live (K,)``, or ``None`` for all, tells the components that there are from those that are filled up
    (`emjax.em.filled`).
    """

    parameters: Any
    gain: Any
    reach: Any = None
    ridge: Any = None
    live: Any = None


@dataclasses.dataclass(frozen=True)
class Program:
    """What iterations need besides the starts: the mixture without its prior, the data, and the settings.

    ``brief`` says that few iterations are expected, of data that are few: then compiling is what takes time.
    """

    mixture: Mixture
    data: Blocks
    prior: Prior | None
    options: Options
    method: str
    brief: bool = False


def status_of(code: int) -> Status | None:
    """The status of a start's code; ``None`` while it is running."""
    return _STATUS[code]


def remaining(step: Array, rate: Array, rate_before: Array, n_iter: Array) -> Array:
    """What a linearly converging sequence still has to go, by the larger of its last two rates.

    One ratio may be small by chance, while fast directions die out and a slow one is still to come: two in a row must
    agree. The first two iterations have no such pair.
    """
    return sum_of_series(step, jnp.maximum(rate, rate_before), n_iter >= 2, first=False)


def sum_of_series(step: Array, rate: Array, known: Array, *, first: bool) -> Array:
    """What a geometric series of steps adds up to, with the ``first`` or from the one after it; else infinity."""
    usable = known & (rate < 1.0)
    rate = jnp.where(usable, rate, 0.0)
    return jnp.where(usable, step * (1.0 if first else rate) / (1.0 - rate), jnp.inf)


def gain_to_come(before: Any, gain: Array, gain_rate: Array, size: Array) -> Array:
    """The same for the objective, ``before`` being the state that the gain came from; one of rounding alone is none."""
    rounding = _STILL * jnp.finfo(gain.dtype).eps * size
    return jnp.where(gain <= rounding, 0.0, remaining(gain, gain_rate, before.gain_rate, before.n_iter))


def verdict(
    mixture: Mixture,
    params: MixtureParams,
    statistics: Statistics,
    value: Array,
    data: Blocks,
    prior: Prior | None,
    ridge: Any,
    code: Array,
) -> Array:
    """``code``, unless the parameters have collapsed, rounding spoils them, or a number is not finite."""
    # With a ridge no variance falls below it, however small it is beside the data's.
    collapsed = mixture.family.degenerate(params) & (ridge is None)
    imprecise = ~trusted(mixture, params, data)
    if prior is None:
        # So few points have no covariance: what cannot be computed precisely there is a collapse, well under way.
        fewest = mixture.family.points_without_bound(data.x.shape[1]) + 0.5
        few = jnp.any(statistics.counts < fewest) & (ridge is None)
        if data.x.dtype == jnp.float32:
            # What is singular in float32 may not be so in float64.
            collapsed, imprecise = collapsed & few, imprecise | collapsed
        collapsed, imprecise = collapsed | (imprecise & few), imprecise & ~few
        collapsed = collapsed | jnp.any(statistics.counts < EMPTY)
    else:
        # The density of such a prior is infinite where a component is empty: no height that EM could compare.
        collapsed = collapsed | jnp.any((params.weights == 0.0) & (prior.concentration < 1.0))
    # A collapse may overshoot to a matrix that is not positive definite, and then the objective is NaN too.
    code = jnp.where(jnp.isfinite(value), code, NONFINITE)
    # In the natural form, what only rounding makes singular is no collapse; in the exact one there is no such thing.
    order = [(imprecise, IMPRECISE), (collapsed, DEGENERATE)]
    for condition, meaning in reversed(order) if data.natural else order:
        code = jnp.where(condition, meaning, code)
    return jnp.where(all_finite(params), code, NONFINITE).astype(jnp.int32)


def first_length(mixture: Mixture, like: Array) -> Array | None:
    """The share of EM's step with which a start begins, in the shape and the type of an array.

    A family that gives a maximiser never needs less than the whole, and has ``None``: no number, and no work. One whose
    M-step is a step towards it (`Family.exact`) may overshoot; then the objective falls, or is no number, and the step
    is tried again half as long, in free coordinates, until it rises. What rose is followed by one twice as long.
    """
    return None if mixture.family.exact else jnp.ones_like(like)


def to_retry(length: Array, code: Array) -> Array:
    """Whether a step that ended with a code is tried again, shorter."""
    return ((code == DECREASED) | (code == NONFINITE)) & (length > _SHORTEST)


def next_length(length: Array, retried: Array) -> Array:
    """The share of the next step."""
    return jnp.where(retried, 0.5 * length, jnp.minimum(2.0 * length, 1.0))


def coordinates(mixture: Mixture, params: MixtureParams) -> Coordinates:
    """Those in which the steps of EM are told: with the logarithms of weights, not ratios."""
    return mixture.coordinates(mixture.family.n_features(params), weights="logarithms")


def change(before: Float[Array, " p"], after: Float[Array, " p"]) -> Float[Array, " p"]:
    """The change of every coordinate; from infinity to infinity (a weight of zero) is no change."""
    return jnp.where(after == before, 0.0, after - before)


def still(mixture: Mixture, params: MixtureParams) -> Array:
    """The step from which on nothing moves but by rounding."""
    eps = jnp.finfo(params.weights.dtype).eps
    return jnp.maximum(_STILL * eps, 4.0 * mixture.family.resolution(params))


def all_finite(params: MixtureParams) -> Array:
    """Whether every number is finite."""
    return functools.reduce(jnp.logical_and, [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)])
