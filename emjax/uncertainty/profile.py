r"""Intervals by the profile likelihood: as far as the log-likelihood itself falls, and not a parabola.

For a number :math:`\psi(\theta)` let :math:`\ell_p(c) = \max_{\psi(\theta) = c} \ell(\theta)`. The interval holds
every c with

.. math:: 2 \,(\ell(\hat\theta) - \ell_p(c)) \le q^2 = N \log\bigl(1 + t^2 / (N - 1)\bigr),

t being Student's quantile of the level with :math:`N - 1` degrees of freedom and N the rows that the number's component
holds (of weights and functions, that the smallest holds) times the share of the information about the number that is
there although no label is known (`emjax.uncertainty.missing`). For one normal the mean's interval is then Student's;
with many rows q is the normal quantile, with which a component of 15 rows had its scale held in 80% of intervals for
90%. Of three normals 3 sd apart with 200 rows in each, intervals for 90% held the worst number in .84 of 2,000
data sets with all rows counted, in .86 with those that tell something. The interval is the same in any coordinates,
need not be symmetric, and is open where the log-likelihood never falls so far (as where a component may as well be
empty).

Where one component fewer explains the data about as well (`_in_doubt`), they do not say whether the component is there,
and the likelihood ratio of the truth is not distributed as that of one number. There :math:`q^2` is at least the
quantile of a chi-squared with :math:`2 (p - 1)` degrees of freedom, p the parameters that go with a component: Wolfe's
law for the test of one component fewer. Of two normals 2 sd apart with 100 rows in each, intervals for 90% then held
the worst number in .87 of 2,000 data sets, without it in .72 of 500. The same is done where instruments may be weak.

The maximum is that over all :math:`\theta`. Another optimum that stands above the ends has its own part of the profile,
which is followed likewise (of the `MOST_TOPS` highest), and the interval reaches from the lowest end to the highest. Of
two normals 2 sd apart, 500 rows in each, one data set in five has such a rival: intervals for 90% around the best alone
held the worst number in .83 of 500 data sets, around all in .86.

Each end solves :math:`\nabla\ell = \mu \nabla\psi` and :math:`2(\ell(\hat\theta) - \ell) = r^2` at :math:`r = q` for
:math:`(\theta, \mu)` by Newton's method, in coordinates in which the information is the identity, and is followed there
from the estimate in `STEPS` steps of r, so that it stays on the ridge that leads to the top; what the steps pass is the
profile itself. On the way the point must stay a maximum among those with the same :math:`\psi`. Of an end that cannot
be followed the border of the number's range is told, with a note.

References: Venzon and Moolgavkar, Applied Statistics 37, 1988, for the equations; Wilks, Annals of Mathematical
Statistics 9, 1938; McLachlan and Peel, "Finite Mixture Models", 2000, section 2.15; Wolfe, "A Monte Carlo study of the
sampling distribution of the likelihood ratio for mixtures of multinormal distributions", Technical Bulletin STB 72-2,
Naval Personnel and Training Research Laboratory, 1971; Andrews and Cheng, Econometrica 80, 2012, for critical values
that depend on whether the data identify the parameters.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.em.blocks import Blocks
from emjax.em.fit import fit as emjax_fit
from emjax.families.frame import Frame
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.programs import QUICKLY_COMPILED, make_room
from emjax.result import Fit, Optimum
from emjax.scope import computing
from emjax.uncertainty.curves import own_reach, reach_of, row_of
from emjax.uncertainty.information import (
    RIVAL_GAP,
    Problem,
    are_few,
    by_information,
    derivatives_of,
    free_objective,
    hessian_at,
    problem_of,
)
from emjax.uncertainty.links import LINKS
from emjax.uncertainty.missing import share_there
from emjax.uncertainty.numbering import numbered_as, told_apart
from emjax.uncertainty.quantities import Reading, reading_of
from emjax.uncertainty.results import IntervalRow, Intervals, IntervalStatus, ProfileCurve

STEPS = 8
"""Steps of r from the estimate to the end of an interval."""

_ROUNDS, _CORRECTIONS = 4, 6
"""Matrices at each of them, and corrections by each, at most."""

_NEAR = 1e-6
"""Standard errors within which an end is known."""

_LONGEST = 1.0
"""Standard errors that a correction moves at most."""

_ENDS_AT_ONCE = 8
"""... at most: batches are of one size, since a shorter last one would be compiled as a second program."""

_PROBES = 10
_SURE = 5.0
"""Of 2,000 data sets with 100 rows in each of two components 2 sd apart this leaves 7% that are not in doubt."""

_FEWEST = 1.0
"""Degrees of freedom, at least."""

_ROUNDINGS = 8 * np.finfo(float).eps
"""Of a number, in which its standard error may be nothing but rounding."""

MOST_TOPS = 4
"""Optima around which the profile is followed, at most."""

_GOOD = {
    False: "The log-likelihood itself was followed to both ends of every interval.",
    True: (
        "The log-likelihood itself was followed from every optimum that is about as high: each interval reaches around "
        "all of them."
    ),
}

UNTRUSTED = "No interval of EM's can be trusted here"


def by_profile(fit: Fit, level: float, of: Any = None, known: Intervals | None = None) -> Intervals:
    """Intervals of a fit by the profile likelihood; see `emjax.uncertainty.intervals`.

    ``known`` are those by the information, where there are some.
    """
    known = by_information(fit, level, "information", of) if known is None else known
    if known.status.withheld:
        return dataclasses.replace(known, method="profile")
    make_room()
    with computing():
        reading, given = reading_of(fit, of), problem_of(fit)
        held = _effective_rows(fit, known, reading, given)
    in_doubt = _in_doubt(fit)
    reach = float(reach_of(held, level, in_doubt).max())
    tops = _tops(fit, reach)
    with computing():
        curves = _curves(fit, known, (held, level, in_doubt), reading, tops, given)
    rows = []
    for row, link in zip(known.rows, reading.links, strict=True):
        own = [curve for curve in curves if curve.name == row.name]
        rows.append(row_of(row, link, own, level) if own else row)
    problem = problem_of_rows(fit, rows, reach, in_doubt)
    return dataclasses.replace(
        known,
        method="profile",
        rows=tuple(rows),
        status=IntervalStatus.ROUGH if problem else IntervalStatus.OK,
        detail=problem or _GOOD[len(tops) > 1],
        shift=float("nan"),
        curves=tuple(curves),
    )


def _rivals(fit: Fit, below: float) -> list[Optimum]:
    """The other regular optima that lie less than ``below`` nats below the estimate."""
    return [one for one in fit.optima[1:] if one.kind == "regular" and fit.objective - one.objective < below]


def _followed_rivals(fit: Fit, reach: float) -> list[Optimum]:
    """Those whose top lies above the ends."""
    return _rivals(fit, reach**2 / 2)[: MOST_TOPS - 1]


def _tops(fit: Fit, reach: float) -> list[tuple[MixtureParams, float]]:
    """The estimate and these, numbered as the estimate is, with how far below it each is, in nats."""
    tops = [(fit.params, 0.0)]
    for one in _followed_rivals(fit, reach):
        params = one.params if told_apart(fit) else numbered_as(fit, one.params)
        tops.append((params, fit.objective - one.objective))
    return tops


def _curves(
    fit: Fit,
    known: Intervals,
    ends: tuple[np.ndarray, float, int],
    reading: Reading,
    tops: list[tuple[MixtureParams, float]],
    given: Problem,
) -> list[ProfileCurve]:
    """What is passed on the way from every top to both ends of every number that can move."""
    held, level, in_doubt = ends
    mixture, frame = fit.mixture.likelihood, given[-1]
    # What cannot move, such as the diagonal of a correlation, may have a standard error of some roundings.
    numbers = np.flatnonzero(np.array([row.se > _ROUNDINGS * abs(row.estimate) for row in known.rows]))
    followed = _program_of_few if are_few(fit) else _program
    curves: list[ProfileCurve] = []
    for params, gap in tops if len(numbers) else ():
        reach = own_reach(held[numbers], gap, level, in_doubt)
        # Of a number that few rows hold the ends may lie below another's top.
        above = np.where(np.isnan(reach), 0.0, reach)
        sides = np.repeat([-1.0, 1.0], len(numbers))
        each_end = np.tile(numbers, 2), sides, np.tile(above, 2)
        at_top = mixture.to_frame(params, frame), *given[1:]
        root = _root(derivatives_of(fit, at_top)[0] if gap else known.information)
        paths = followed(mixture, reading, *at_top, root, *each_end)
        tops_at, psi, reached = (np.asarray(each).reshape(2, len(numbers), -1) for each in paths)
        for i in np.flatnonzero(above > 0):
            name, link = known.rows[numbers[i]].name, reading.links[numbers[i]]
            points = tops_at[0, i, 0], psi[:, i], reached[:, i]
            curve = _curve(name, link, *points, float(above[i]), float(held[numbers[i]]))
            curves.append(dataclasses.replace(curve, gap=gap, in_doubt=in_doubt))
    return curves


def _root(information: np.ndarray) -> np.ndarray:
    """The coordinates in which the information is the identity, as columns."""
    scale = 1.0 / np.sqrt(np.diagonal(information))
    eigenvalues, vectors = np.linalg.eigh(information * scale[:, None] * scale[None, :])
    return scale[:, None] * vectors / np.sqrt(eigenvalues)[None, :]


def _effective_rows(fit: Fit, known: Intervals, reading: Reading, given: Problem) -> np.ndarray:
    """The rows of each number's component ``(m,)``, of the smallest where the number is of no single one, as far as
    they tell something of it."""
    rows = fit.optima[0].effective_counts
    of_components = fit.mixture.family.reported(len(fit.feature_names))
    own = [p.component if p.variable in of_components else None for p in known.parameters]
    held = np.array([rows.min() if k is None else rows[k] for k in own])
    params, data, _, frame = given
    share = share_there(fit.mixture.likelihood, reading, params, data, frame, jnp.asarray(known.information))
    # Of what cannot move nothing is missing; what rounds to more than everything is everything.
    return np.maximum(held * np.clip(np.nan_to_num(np.asarray(share), nan=1.0), 0.0, 1.0), 1.0 + _FEWEST)


def _curve(
    name: str, link: str, top: float, psi: np.ndarray, reached: np.ndarray, reach: float, held: float
) -> ProfileCurve:
    """The points that were reached on both sides, and the top."""
    r, back = reach * np.arange(1, STEPS + 1) / STEPS, LINKS[link][1]
    (below, above), (at_below, at_above) = psi, reached
    with np.errstate(over="ignore"):
        values = back(np.concatenate([below[at_below][::-1], [top], above[at_above]]))
    roots = np.concatenate([-r[at_below][::-1], [0.0], r[at_above]])
    return ProfileCurve(name, np.asarray(values), roots, reach, held)


def problem_of_rows(fit: Fit, rows: list[IntervalRow], reach: float, in_doubt: int) -> str:
    """Why the intervals hold less than they claim, in words; empty where nothing says so."""
    if in_doubt:
        return (
            f"{UNTRUSTED}: the data hardly need so many components. One fewer explains them about as well, "
            "and then estimates that look sure are the lucky ones. The intervals are as wide as that doubt makes them; "
            "open ends stand at the border of a number's range. Use the posterior's intervals, more rows or fewer "
            "components."
        )
    if any(row.note for row in rows):
        return (
            f"{UNTRUSTED}: the log-likelihood does not fall far enough around every estimate, and open ends stand at "
            "the border of a number's range. Use a prior, the posterior's intervals, more rows or fewer components."
        )
    followed = _followed_rivals(fit, reach)
    if len(_rivals(fit, max(RIVAL_GAP, reach**2 / 2))) > len(followed):
        return (
            f"{UNTRUSTED}: another optimum is about as high, and no interval reaches around it. Use the posterior's "
            "intervals, more rows or fewer components."
        )
    return ""


def _in_doubt(fit: Fit) -> int:
    """Degrees of freedom in doubt: 0 where one component fewer lowers the log-likelihood by more than chance does.

    Chance: twice the fall is below :math:`p + 5 \\sqrt{2 p}` with p the parameters that go with a component, five
    standard deviations above the mean of a chi-squared. Components whose number is given (labels, programs, priors) are
    not doubted.
    """
    mixture = fit.mixture
    given = mixture.prior is not None or fit.samples.labels is not None or mixture.family.own_program() is not None
    if mixture.n_components == 1 or given:
        return 0
    fewer = emjax_fit(
        dataclasses.replace(mixture, n_components=mixture.n_components - 1), fit.samples, key=0, n_init=_PROBES
    )
    p = fit.n_parameters - fewer.n_parameters
    hardly = 2 * (fit.log_likelihood - fewer.log_likelihood) < p + _SURE * np.sqrt(2 * p)
    return max(2 * (p - 1), 1) if hardly else 0


def _followed(
    mixture: Mixture,
    reading: Reading,
    params: MixtureParams,
    data: Blocks,
    prior: Prior | None,
    frame: Frame,
    root: Float[Array, "p p"],
    numbers: Array,
    sides: Array,
    reach: Array,
) -> tuple[Float[Array, " ends"], Float[Array, "ends steps"], Array]:
    """The profile from a top to each end: the number on its scale there and at every step of r, and which were reached.

    With ``root`` coordinates are those in which the information is the identity; ``numbers`` and ``sides`` (-1 or 1)
    say which end, ``reach`` at which r it lies.
    """
    objective, coordinates = free_objective(mixture, params, data, prior)
    flat = coordinates.flat(params)
    top = objective(flat)

    def fall(y: Float[Array, " p"]) -> Array:
        return objective(flat + root @ y) - top

    def one(end: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        number, side, q = end

        def psi(y: Float[Array, " p"]) -> Array:
            return reading.scaled(mixture, mixture.from_frame(coordinates.params(flat + root @ y), frame))[number]

        return psi(jnp.zeros(flat.size)), *_path(fall, psi, side, q, flat.size, smooth=mixture.family.smooth)

    n_batches = -(-len(sides) // _ENDS_AT_ONCE)
    width = -(-len(sides) // n_batches)
    ends = [jnp.pad(each, (0, n_batches * width - len(sides)), "edge") for each in (numbers, sides, reach)]
    top_at, psi, reached = jax.lax.map(one, tuple(ends), batch_size=width)
    return top_at[: len(sides)], psi[: len(sides)], reached[: len(sides)]


_program = jax.jit(_followed, static_argnums=(0, 1))
_program_of_few = jax.jit(_followed, static_argnums=(0, 1), compiler_options=QUICKLY_COMPILED)


def _path(fall: Any, psi: Any, side: Array, q: Array, n: int, *, smooth: bool) -> tuple[Array, Array]:
    """:math:`\\psi` at r = q/STEPS, ..., q on one side, and whether each was reached."""
    slope = jax.grad(psi)(jnp.zeros(n))
    size = jnp.linalg.norm(slope)
    begin = jnp.append(side * slope / size, -side / size)  # the direction of (y, mu) per r, of a parabola

    def step(carry: tuple[Array, Array, Array], r: Array) -> tuple[Any, tuple[Array, Array]]:
        at, ahead, good = carry
        at, good, ahead = _corrected(fall, psi, at + ahead * q / STEPS, r, good, smooth=smooth)
        return (at, ahead, good), (psi(at[:n]), good)

    carry = jnp.zeros(n + 1), begin, jnp.asarray(True)
    _, (values, good) = jax.lax.scan(step, carry, q * jnp.arange(1, STEPS + 1) / STEPS)
    return values, good


def _corrected(fall: Any, psi: Any, at: Array, r: Array, good: Array, *, smooth: bool) -> tuple[Array, Array, Array]:
    """The point (y, mu) at r, whether it is one, and its derivative by r; nothing is asked of what is not ``good``.

    Newton's method, whose matrix serves as long as each correction is less than half as long as the one before
    (Shamanskii, Ukrainian Mathematical Journal 19, 1967): a Hessian costs ten gradients and more.
    """
    n = at.size - 1

    def missed(at: Array) -> Array:
        value, gradient = jax.value_and_grad(fall)(at[:n])
        return jnp.append(gradient - at[n] * jax.grad(psi)(at[:n]), value + r * r / 2)

    def matrix_at(at: Array) -> Array:
        y, mu = at[:n], at[n]
        bent = hessian_at(jax.grad(lambda y: fall(y) - mu * psi(y)), y, smooth=smooth)
        return jnp.block([[bent, -jax.grad(psi)(y)[:, None]], [jax.grad(fall)(y)[None, :], jnp.zeros((1, 1))]])

    def round_of(carry: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
        matrix = matrix_at(carry[0])
        inverse = jnp.linalg.inv(matrix)

        def shrinks(carry: tuple[Array, Array, Array, Array]) -> Array:
            _, length, before, done = carry
            return (length > _NEAR) & (length < before / 2) & (done < _CORRECTIONS)

        def correct(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            at, length, _, done = carry
            move = -inverse @ missed(at)
            own = jnp.linalg.norm(move[:n])
            return at + move * jnp.minimum(1.0, _LONGEST / jnp.maximum(own, _LONGEST)), own, length, done + 1

        begin = carry[0], jnp.asarray(jnp.finfo(at.dtype).max), jnp.asarray(jnp.inf), jnp.asarray(0)
        reached, length, _, _ = jax.lax.while_loop(shrinks, correct, begin)
        return reached, length, carry[2] + 1, matrix, inverse

    def goes_on(carry: tuple[Array, Array, Array, Array, Array]) -> Array:
        return (carry[1] > _NEAR) & (carry[2] < _ROUNDS)

    nothing = jnp.zeros((n + 1, n + 1))
    begin = at, jnp.where(good, jnp.inf, 0.0), jnp.asarray(0), nothing, nothing
    at, length, _, matrix, inverse = jax.lax.while_loop(goes_on, round_of, begin)
    ahead = -r * inverse[:, n]
    slope = -matrix[:n, n]
    unit = slope / jnp.linalg.norm(slope)
    across = jnp.eye(n) - jnp.outer(unit, unit)
    # Among points with the same number a maximum: no direction across leads up. The matrix is that of a point from
    # which corrections became shorter and shorter.
    highest = jnp.linalg.eigvalsh(across @ matrix[:n, :n] @ across - jnp.outer(unit, unit))[-1]
    found = good & (length <= _NEAR) & (highest < 0) & jnp.isfinite(ahead).all() & jnp.isfinite(at).all()
    # Numbers that are none would spoil the others side by side.
    return jnp.where(found, at, 0.0), found, jnp.where(found, ahead, 0.0)
