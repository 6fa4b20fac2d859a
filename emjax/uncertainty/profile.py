r"""Intervals by the profile likelihood: as far as the log-likelihood itself falls, and not a parabola.

For a number :math:`\psi(\theta)` let :math:`\ell_p(c) = \max_{\psi(\theta) = c} \ell(\theta)`. The interval holds
every c with

.. math:: 2 \,(\ell(\hat\theta) - \ell_p(c)) \le z^2,

z the normal quantile of the level. It is the same in any coordinates, need not be symmetric, and is open where the
log-likelihood never falls so far (as where a component may as well be empty).

Each end solves :math:`\nabla\ell = \mu \nabla\psi` and :math:`2(\ell(\hat\theta) - \ell) = r^2` at :math:`r = z` for
:math:`(\theta, \mu)` by Newton's method, in coordinates in which the information is the identity, and is followed there
from the estimate in `STEPS` steps of r, so that it stays on the ridge that leads to the top; what the steps pass is the
profile itself. On the way the point must stay a maximum among those with the same :math:`\psi`. Of an end that cannot
be followed the border of the number's range is told, with a note.

References: Venzon and Moolgavkar, Applied Statistics 37, 1988, for the equations; Wilks, Annals of Mathematical
Statistics 9, 1938; McLachlan and Peel, "Finite Mixture Models", 2000, section 2.15.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import ndtri

from emjax.em.blocks import Blocks
from emjax.families.frame import Frame
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.programs import make_room
from emjax.result import Fit
from emjax.scope import computing
from emjax.uncertainty.information import (
    QUICKLY_COMPILED,
    RIVAL_GAP,
    are_few,
    by_information,
    free_objective,
    hessian_at,
    problem_of,
)
from emjax.uncertainty.links import LINKS
from emjax.uncertainty.quantities import Reading, reading_of
from emjax.uncertainty.results import IntervalRow, Intervals, IntervalStatus

STEPS = 8
"""Steps of r from the estimate to the end of an interval."""

_CORRECTIONS = 8
"""Newton steps at each of them, at most."""

_NEAR = 1e-6
"""Standard errors within which an end is known."""

_LONGEST = 1.0
"""Standard errors that a correction moves at most."""

_ENDS_AT_ONCE = 8

_NOTES = {
    (True, False): "open below: the log-likelihood does not fall far enough that can be followed",
    (False, True): "open above: the log-likelihood does not fall far enough that can be followed",
    (True, True): "open on both sides: the log-likelihood does not fall far enough that can be followed",
}


def by_profile(fit: Fit, level: float, of: Any = None) -> Intervals:
    """Intervals of a fit by the profile likelihood; see `emjax.uncertainty.intervals`."""
    known = by_information(fit, level, "information", of)
    if known.status.withheld:
        return dataclasses.replace(known, method="profile")
    z = float(ndtri(0.5 + level / 2))
    make_room()
    with computing():
        params, data, prior, frame = problem_of(fit)
        reading = reading_of(fit, of)
        numbers = np.flatnonzero(np.array([row.se > 0 for row in known.rows]))
        sides = np.repeat([-1.0, 1.0], len(numbers))
        followed = _program_of_few if are_few(fit) else _program
        ends = np.tile(numbers, 2), sides, np.asarray(z)
        paths = followed(fit.mixture.likelihood, reading, params, data, prior, frame, *ends)
        psi, reached = (np.asarray(each).reshape(2, len(numbers), STEPS) for each in paths)
    rows = list(known.rows)
    for place, number in enumerate(numbers):
        rows[number] = _row(rows[number], reading.links[number], psi[:, place], reached[:, place])
    open_ends = any(row.note for row in rows)
    rough = open_ends or fit.gap_to_rival < max(RIVAL_GAP, z * z / 2)
    return dataclasses.replace(
        known,
        method="profile",
        rows=tuple(rows),
        status=IntervalStatus.ROUGH if rough else IntervalStatus.OK,
        detail=_detail(open_ends=open_ends, rough=rough),
        shift=float("nan"),
    )


def _row(row: IntervalRow, link: str, psi: np.ndarray, reached: np.ndarray) -> IntervalRow:
    back, unbounded = LINKS[link][1], np.array([-np.inf, np.inf])
    with np.errstate(over="ignore"):
        lower, upper = back(np.where(reached[:, -1], psi[:, -1], unbounded))
    note = _NOTES.get((not reached[0, -1], not reached[1, -1]), "")
    return dataclasses.replace(row, lower=float(lower), upper=float(upper), scale=link, note=note)


def _detail(*, open_ends: bool, rough: bool) -> str:
    if open_ends:
        return (
            "The log-likelihood does not fall far enough around every estimate: open ends stand at the border of a "
            "number's range. Use a prior, more rows or fewer components."
        )
    if rough:
        return (
            "Another optimum is about as high, which no interval around the best one knows of. Use the posterior's "
            "intervals, more rows or fewer components."
        )
    return "The log-likelihood itself was followed to both ends of every interval."


def _followed(
    mixture: Mixture,
    reading: Reading,
    params: MixtureParams,
    data: Blocks,
    prior: Prior | None,
    frame: Frame,
    numbers: Array,
    sides: Array,
    z: Array,
) -> tuple[Float[Array, "ends steps"], Array]:
    """The profile from the estimate to each end: the number on its scale at every step of r, and whether it was there.

    ``numbers`` and ``sides`` (-1 or 1) say which end.
    """
    objective, coordinates = free_objective(mixture, params, data, prior)
    flat = coordinates.flat(params)
    information = -hessian_at(jax.grad(objective), flat, smooth=mixture.family.smooth)
    scale = 1.0 / jnp.sqrt(jnp.diagonal(information))
    eigenvalues, vectors = jnp.linalg.eigh(information * scale[:, None] * scale[None, :])
    root = scale[:, None] * vectors / jnp.sqrt(eigenvalues)[None, :]
    top = objective(flat)

    def fall(y: Float[Array, " p"]) -> Array:
        return objective(flat + root @ y) - top

    def one(end: tuple[Array, Array]) -> tuple[Array, Array]:
        number, side = end

        def psi(y: Float[Array, " p"]) -> Array:
            return reading.scaled(mixture, mixture.from_frame(coordinates.params(flat + root @ y), frame))[number]

        return _path(fall, psi, side, z, flat.size, smooth=mixture.family.smooth)

    return jax.lax.map(one, (numbers, sides), batch_size=_ENDS_AT_ONCE)


_program = jax.jit(_followed, static_argnums=(0, 1))
_program_of_few = jax.jit(_followed, static_argnums=(0, 1), compiler_options=QUICKLY_COMPILED)


def _path(fall: Any, psi: Any, side: Array, z: Array, n: int, *, smooth: bool) -> tuple[Array, Array]:
    """:math:`\\psi` at r = z/STEPS, ..., z on one side, and whether each was reached."""
    slope = jax.grad(psi)(jnp.zeros(n))
    size = jnp.linalg.norm(slope)
    begin = jnp.append(side * slope / size, -side / size)  # the direction of (y, mu) per r, of a parabola

    def step(carry: tuple[Array, Array, Array], r: Array) -> tuple[Any, tuple[Array, Array]]:
        at, ahead, good = carry
        at, found, ahead = _corrected(fall, psi, at + ahead * z / STEPS, r, smooth=smooth)
        good &= found
        return (at, ahead, good), (psi(at[:n]), good)

    carry = jnp.zeros(n + 1), begin, jnp.asarray(True)
    _, (values, good) = jax.lax.scan(step, carry, z * jnp.arange(1, STEPS + 1) / STEPS)
    return values, good


def _corrected(fall: Any, psi: Any, at: Array, r: Array, *, smooth: bool) -> tuple[Array, Array, Array]:
    """The point (y, mu) at r, whether it is one, and its derivative by r."""
    n = at.size - 1

    def equations(at: Array) -> tuple[Array, Array]:
        y, mu = at[:n], at[n]
        gradient, slope = jax.grad(fall)(y), jax.grad(psi)(y)
        bent = hessian_at(jax.grad(fall), y, smooth=smooth) - mu * jax.jacfwd(jax.grad(psi))(y)
        matrix = jnp.block([[bent, -slope[:, None]], [gradient[None, :], jnp.zeros((1, 1))]])
        return jnp.append(gradient - mu * slope, fall(y) + r * r / 2), matrix

    def goes_on(carry: tuple[Array, Array, Array, Array]) -> Array:
        return (carry[1] > _NEAR) & (carry[2] < _CORRECTIONS)

    def correct(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        at, _, done, _ = carry
        missed, matrix = equations(at)
        move = -jnp.linalg.solve(matrix, missed)
        length = jnp.linalg.norm(move[:n])
        move *= jnp.minimum(1.0, _LONGEST / jnp.maximum(length, _LONGEST))
        return at + move, length, done + 1, matrix

    begin = at, jnp.asarray(jnp.inf), jnp.asarray(0), jnp.zeros((n + 1, n + 1))
    # The matrix is that of the point before the last move, which was no more than `_NEAR`.
    at, length, _, matrix = jax.lax.while_loop(goes_on, correct, begin)
    ahead = jnp.linalg.solve(matrix, jnp.append(jnp.zeros(n), -r))
    slope = -matrix[:n, n]
    unit = slope / jnp.linalg.norm(slope)
    across = jnp.eye(n) - jnp.outer(unit, unit)
    # Among points with the same number a maximum: no direction across leads up.
    highest = jnp.linalg.eigvalsh(across @ matrix[:n, :n] @ across - jnp.outer(unit, unit))[-1]
    found = (length <= _NEAR) & (highest < 0) & jnp.isfinite(ahead).all() & jnp.isfinite(at).all()
    # Of what was lost nothing more is asked; numbers that are none would spoil the others side by side.
    return jnp.where(found, at, 0.0), found, jnp.where(found, ahead, 0.0)
