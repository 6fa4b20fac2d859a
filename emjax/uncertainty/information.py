r"""Standard errors from the observed information, by automatic differentiation.

The information is minus the Hessian of the log-likelihood of the mixture itself, with the labels summed out; no
missing-information correction is needed because nothing was completed. It is taken in EM's unconstrained space
(log-ratios of weights, means, log-Cholesky covariances or log rates) in the standard frame, and carried to the
numbers that people read by the delta method. Intervals are symmetric on a scale where the estimate is closer to
normal: logit for weights, log for standard deviations and rates, atanh for correlations, the number itself for
means.

All this takes the log-likelihood for a parabola. How far it is from one, where the intervals lie, is measured by the
third-order shift: how far the mean under exp(log-likelihood) lies from its top, to the next order, in standard errors.
With the columns :math:`v_k` of a root :math:`V` of :math:`I^{-1}`, :math:`k = 1 \ldots p`,

.. math:: \delta = \frac{1}{2 \sqrt p} \Bigl\| V' \sum_k \partial^2_{v_k} \nabla \log L \Bigr\|,

the root mean square over directions, which no linear change of coordinates alters. In a mixture it grows with the
overlap and falls with the rows. From `MOST_SHIFT` on intervals hold less than they claim, and the status says so; and
where another regular optimum is about as high, which no interval around the best one knows of.

References: Louis, "Finding the observed information matrix when using the EM algorithm", Journal of the Royal
Statistical Society B 44, 1982; Efron and Hinkley, Biometrika 65, 1978; Basford, Greenway, McLachlan and Peel,
Computational Statistics 12, 1997, for mixtures; Tierney and Kadane, Journal of the American Statistical Association
81, 1986, and Katsevich, arXiv 2306.07262, for the shift.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import ndtri

from emjax.em.blocks import Blocks, make_blocks
from emjax.em.rows import Rows
from emjax.em.step import log_likelihood
from emjax.families.coordinates import Coordinates
from emjax.families.frame import Frame
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.programs import QUICKLY_COMPILED, make_room
from emjax.result import Fit
from emjax.scope import computing
from emjax.uncertainty.links import symmetric
from emjax.uncertainty.quantities import Quantities, named_quantities, quantities_of, reading_of
from emjax.uncertainty.results import IntervalRow, Intervals, IntervalStatus
from emjax.uncertainty.scores import spread_of_scores

SPACE = "unconstrained (log-ratios of weights, means, log-Cholesky or log rates), standard frame"
_FARTHEST = 0.01  # standard errors from the optimum at which its curvature may still be read
MOST_SHIFT = 0.25
"""The third-order shift, in standard errors, up to which intervals hold what they claim; docs/verdict.md has the table
that it was read from."""

RIVAL_GAP = 3.0
"""Nats within which another regular optimum is about as high as the best: an interval for 90% reaches 1.35 down."""

Problem = tuple[MixtureParams, Blocks, Prior | None, Frame]
"""Parameters, data and prior in the standard frame, and the frame."""

_STEP = 0.05  # standard errors: far enough for the digits of a second difference, near enough for the top
_DIFFERENCE = 1e-5  # of free coordinates, where a density has no second derivatives
_COLUMNS_AT_ONCE = 8  # columns of the Hessian that are differentiated side by side: bounds the memory


def by_information(fit: Fit, level: float, method: str, of: Any = None) -> Intervals:
    """Intervals by the observed information or by the sandwich; see `emjax.uncertainty.intervals`."""
    make_room()
    with computing():
        given = problem_of(fit)
        found = derivatives_of(fit, given)
        scores = np.asarray(spread_of_scores(fit.mixture.likelihood, *given[:2])) if method == "sandwich" else None
        numbers = None if of is None else quantities_of(fit, given[0], given[3], of)
        return from_derivatives(fit, level, *found, scores=scores, numbers=numbers)


def left_out(
    fit: Fit,
    level: float,
    why: str = "",
    *,
    method: str = "information",
    status: IntervalStatus = IntervalStatus.LEFT_OUT,
    of: Any = None,
) -> Intervals:
    """The estimates of a fit without any standard errors; ``why`` where they were not simply not asked for."""
    with computing():
        reading = reading_of(fit, of)
        estimates = np.asarray(reading.numbers(fit.mixture.likelihood, fit.params))
    unknown = float("nan")
    rows = (
        IntervalRow(p.name, float(value), unknown, unknown, unknown, "identity")
        for p, value in zip(reading.parameters, estimates, strict=True)
    )
    # Of so many numbers the matrix might not fit.
    nothing = np.empty((0, 0))
    return Intervals(level, method, SPACE, status, tuple(rows), nothing, detail=why, parameters=reading.parameters)


def problem_of(fit: Fit, *, spread: bool = True) -> Problem:
    """The estimate, the data and the prior in the standard frame, and the frame."""
    mixture, samples = fit.mixture, fit.samples
    rows, prior = Rows.of(samples, mixture.family), mixture.resolved_prior(samples)
    frame_prior = None if prior is None else mixture.prior_to_frame(prior, rows.frame)
    blocks = make_blocks(rows, mixture, spread=spread)
    return mixture.to_frame(fit.params, rows.frame), blocks, frame_prior, rows.frame


def from_derivatives(
    fit: Fit,
    level: float,
    information: np.ndarray,
    gradient: np.ndarray,
    jacobian: np.ndarray,
    estimates: np.ndarray,
    shift: np.ndarray,
    *,
    scores: np.ndarray | None = None,
    numbers: Quantities | None = None,
) -> Intervals:
    """The intervals that follow from what `derivatives` gives, of what people read or of other ``numbers``.

    With ``scores``, the spread of these, by the sandwich.
    """
    numbers = numbers or named_quantities(fit, estimates, jacobian)
    status, covariance = _invert(information, gradient, numbers.jacobian, scores)
    if fit.spurious:
        # A maximum all the same, but of no estimate.
        status, covariance = IntervalStatus.NOT_AT_OPTIMUM, np.full_like(covariance, np.nan)
    if status is IntervalStatus.OK and not (shift <= MOST_SHIFT and fit.gap_to_rival >= RIVAL_GAP):
        status = IntervalStatus.ROUGH
    return Intervals(
        level=level,
        method="information" if scores is None else "sandwich",
        space=SPACE,
        status=status,
        rows=_rows(numbers, covariance, level),
        covariance=covariance,
        information=information,
        shift=float("nan") if status.withheld else float(shift),
        parameters=numbers.parameters,
    )


def derivatives(
    mixture: Mixture, params: MixtureParams, data: Blocks, prior: Prior | None, frame: Frame
) -> tuple[Array, Array, Array, Array, Array]:
    """Information and gradient, Jacobian and values of all named parameters in data units, flattened, and the shift."""
    objective, coordinates = free_objective(mixture, params, data, prior)
    flat = coordinates.flat(params)

    def reported(flat: Float[Array, " p"]) -> Float[Array, " m"]:
        named = mixture.named_parameters(mixture.from_frame(coordinates.params(flat), frame))
        return jnp.concatenate([jnp.ravel(value) for value in named.values()])

    gradient = jax.grad(objective)
    hessian = hessian_at(gradient, flat, smooth=mixture.family.smooth)
    at_top, shift = _third_order_shift(gradient, flat, -hessian)
    return -hessian, at_top, jax.jacfwd(reported)(flat), reported(flat), shift


def derivatives_of(fit: Fit, given: Problem) -> list[np.ndarray]:
    """The same of a fit's mixture at what is ``given``, by the program that suits the size of the data."""
    program = _derivatives_of_few if are_few(fit) else _derivatives
    return [np.asarray(each) for each in program(fit.mixture.likelihood, *given)]


def free_objective(
    mixture: Mixture, params: MixtureParams, data: Blocks, prior: Prior | None
) -> tuple[Callable[[Array], Array], Coordinates]:
    """What EM maximises, as a function of free coordinates, and these; ``params`` tell their shapes."""
    coordinates = mixture.coordinates(mixture.family.n_features(params))

    def objective(flat: Float[Array, " p"]) -> Float[Array, ""]:
        lane = coordinates.params(flat)
        value = log_likelihood(mixture, lane, data)
        return value if prior is None else value + mixture.log_prior(lane, prior)

    return objective, coordinates


def hessian_at(gradient: Callable[[Array], Array], flat: Float[Array, " p"], *, smooth: bool) -> Float[Array, "p p"]:
    """The Hessian, some columns side by side; by differences of the gradient where a density is not ``smooth``."""

    def column(direction: Float[Array, " p"]) -> Float[Array, " p"]:
        if smooth:
            return jax.jvp(gradient, (flat,), (direction,))[1]
        return (gradient(flat + _DIFFERENCE * direction) - gradient(flat - _DIFFERENCE * direction)) / (2 * _DIFFERENCE)

    return _side_by_side(column, jnp.eye(flat.size, dtype=flat.dtype))


def _side_by_side(function: Callable[[Array], Array], rows: Float[Array, "m p"]) -> Float[Array, "m p"]:
    """The function of every row, some at a time.

    Batches are of one size, the last filled up with zeros: a shorter one would be compiled as a second program.
    """
    n_batches = -(-len(rows) // _COLUMNS_AT_ONCE)
    width = -(-len(rows) // n_batches)
    filled = jnp.pad(rows, ((0, n_batches * width - len(rows)), (0, 0)))
    return jax.lax.map(function, filled, batch_size=width)[: len(rows)]


def _third_order_shift(
    gradient: Callable[[Array], Array], flat: Float[Array, " p"], information: Float[Array, "p p"]
) -> tuple[Float[Array, " p"], Float[Array, ""]]:
    """The gradient, and by second differences the shift of the module's docstring.

    The shift is NaN without a positive definite information.
    """
    scale = 1.0 / jnp.sqrt(jnp.diagonal(information))
    # Of unit diagonal, as in `_invert`.
    eigenvalues, vectors = jnp.linalg.eigh(information * scale[:, None] * scale[None, :])
    root = scale[:, None] * vectors / jnp.sqrt(eigenvalues)[None, :]
    # Odd terms, the slope at the centre among them, cancel between the two sides but for what is taken off here. The
    # gradient at the centre is one more row, not one more program.
    steps = jnp.concatenate([jnp.zeros_like(flat)[None], _STEP * root.T, -_STEP * root.T])
    bent = _side_by_side(lambda step: gradient(flat + step), steps)
    curvature = (jnp.sum(bent[1:], axis=0) - 2 * flat.size * bent[0]) / _STEP**2
    return bent[0], jnp.sqrt(jnp.mean((root.T @ curvature) ** 2)) / 2


_derivatives = jax.jit(derivatives, static_argnums=0)
_derivatives_of_few = jax.jit(derivatives, static_argnums=0, compiler_options=QUICKLY_COMPILED)

FEW = 10_000
"""Up to so many numbers of all components (rows times components times features) compiling is what takes time."""


def are_few(fit: Fit) -> bool:
    """Whether the data are so few that the time to compile counts, and not the time to run."""
    n_numbers = math.prod(fit.data.shape) * fit.mixture.n_components
    return n_numbers <= FEW and jax.default_backend() == "cpu"


def _invert(
    information: np.ndarray, gradient: np.ndarray, jacobian: np.ndarray, scores: np.ndarray | None = None
) -> tuple[IntervalStatus, np.ndarray]:
    unknown = np.full((len(jacobian), len(jacobian)), np.nan)
    diagonal = np.diagonal(information)
    if not np.isfinite(information).all() or (diagonal <= 0).any():
        return IntervalStatus.SINGULAR, unknown
    # Scaled to a unit diagonal, so that the test of rank does not depend on how the parameters are measured.
    scale = 1.0 / np.sqrt(diagonal)
    scaled = information * scale[:, None] * scale[None, :]
    eigenvalues, vectors = np.linalg.eigh((scaled + scaled.T) / 2)
    if eigenvalues[0] < 1e-10 * eigenvalues[-1]:
        return IntervalStatus.SINGULAR, unknown
    # Newton's decrement is the distance to the optimum in standard errors. It asks what matters here, whatever made
    # EM stop: a run of exactly n iterations may well have arrived.
    decrement = np.linalg.norm((gradient * scale) @ vectors / np.sqrt(eigenvalues))
    if not decrement <= _FARTHEST:
        return IntervalStatus.NOT_AT_OPTIMUM, unknown
    half = (jacobian * scale[None, :]) @ vectors / np.sqrt(eigenvalues)[None, :]
    if scores is None:
        return IntervalStatus.OK, half @ half.T
    moved = (half / np.sqrt(eigenvalues)[None, :]) @ vectors.T * scale[None, :]
    return IntervalStatus.OK, moved @ scores @ moved.T


def _rows(numbers: Quantities, covariance: np.ndarray, level: float) -> tuple[IntervalRow, ...]:
    half_width = float(ndtri(0.5 + level / 2))
    rows = []
    for parameter, link, estimate, variance in zip(
        numbers.parameters, numbers.links, numbers.estimates, np.diagonal(covariance), strict=True
    ):
        se = float(np.sqrt(variance))
        # The weight of a single component is known to be one: nothing to estimate and no logit.
        link = "identity" if se == 0 else link
        lower, upper = symmetric(link, estimate, half_width * se)
        rows.append(IntervalRow(parameter.name, float(estimate), se, float(lower), float(upper), link))
    return tuple(rows)
