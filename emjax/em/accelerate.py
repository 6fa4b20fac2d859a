r"""Acceleration of any EM map: SQUAREM and Anderson, guarded by the objective.

Let :math:`u` be a start's coordinates (log weights and the family's unconstrained parameters), :math:`M` the EM map,
and :math:`f(u) = M(u) - u`, which vanishes at the limit. A wrapper needs nothing else of a family or a prior.

**Anderson** (depth m) keeps the last m differences :math:`\Delta u_j, \Delta f_j` and proposes

.. math::

    u + d, \qquad d = f - \sum_j \gamma_j (\Delta u_j + \Delta f_j), \qquad
    \gamma = \arg\min_\gamma \Big\lVert f - \sum_j \gamma_j \Delta f_j \Big\rVert.

**SQUAREM** (scheme S3) proposes :math:`u_0 + 2 \alpha f_0 + \alpha^2 \Delta f` after every EM step
:math:`u_0 \to u_1`, with :math:`\alpha = \max(1, \lVert f_0 \rVert / \lVert \Delta f \rVert)`.

**What makes them safe.** (1) They begin when EM is in its linear phase, so that EM has chosen the optimum: ratios of
successive steps agree to 0.03, three times in a row. (2) A proposal is taken only if it is finite, not degenerate, and
its objective not below that of the current point; otherwise EM's own step is taken, the differences are forgotten, and
the next proposals wait, for twice as many steps after each rejection. (3) No proposal moves a coordinate by more than
0.3. (4) Where EM leaves a saddle, the secant equation points back to it, since the saddle is a root of f too; a
proposal that points against EM's step is turned round. Without (4), every second E-step is lost to a rejection on the
plateaus of overlapping components.

**One E-step a trip.** A trip of the loop evaluates one candidate of every start: EM's step, a proposal, or a probe. So
the E-step and the M-step are compiled once, and the first trip evaluates the start itself.

**When it stops.** Near the limit d is the estimated distance to it. Once it is below the tolerance, the slow directions
are looked at again: m probes of :math:`J v = M'(u) v` by differences span a Krylov space of d (Arnoldi), d is computed
once more from them (a Newton step solved by GMRES), and only if it is still below the tolerance has the start
converged. Where the tolerance is one of the objective, that Newton step is taken: it gains all that was to come. The
eigenvalues of J in that space are EM's own rates of convergence; the largest is `Fit.rate`.

References
----------
Varadhan and Roland, Scandinavian Journal of Statistics 35, 2008 (SQUAREM); Walker and Ni, SIAM Journal on Numerical
Analysis 49, 2011 (Anderson); Henderson and Varadhan, Journal of Computational and Graphical Statistics 28, 2019
(safeguards and restarts of Anderson for EM); Dauphin et al., NeurIPS 2014 (steps that leave saddles).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float

from emjax.em.blocks import Blocks
from emjax.em.loop import chunk
from emjax.em.point import Judged, Point, evaluate
from emjax.em.state import (
    CONVERGED,
    DECREASED,
    IMPRECISE,
    RUNNING,
    EMState,
    Options,
    Program,
    coordinates,
    gain_to_come,
    next_length,
    sum_of_series,
    to_retry,
)
from emjax.em.step import Statistics
from emjax.families.arrays import AnyArray
from emjax.families.linalg import cholesky, diagonal, product
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.programs import QUICKLY_COMPILED

METHODS = ("none", "squarem", "anderson")

DEPTH = 5
"""How many differences Anderson keeps; `docs/acceleration.md` has 3, 5 and 10 side by side."""

# What a candidate is: EM's step, an accelerated one, a probe beside the current point, or the step to the limit that
# complete probes give. Or nothing more, since these confirmed the end.
_PLAIN, _PROPOSED, _PROBE, _NEWTON, _CONFIRMED = range(5)

_AGREE = 0.03
_IN_A_ROW = 3
_SLOW = 0.5  # where EM halves the distance at every step, there is nothing to gain
_LARGEST_MOVE = 0.3
_LONGEST_PAUSE = 32
_STRAY = 2.0  # of `Options.reach`: farther from where acceleration began it goes only after EM has led the way again


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Walk:
    """What accelerated starts carry from trip to trip; every array leads with ``n_starts``.

    ``at`` is the current point. ``pairs (n_starts, m, 2, p)`` holds the last ``n_pairs`` differences of u and of f, the
    newest last. ``target`` ``(n_starts, p)`` is the next candidate where ``kind`` is not EM's own step. ``steady``
    counts ratios in a row that agree; ``wait`` is how many EM steps come before the next proposal, ``pause`` how many
    after the next rejection; ``followed`` says that the last step was EM's. ``anchor (n_starts, p)`` is where
    acceleration last began and ``span`` how far it may go from there, None where it may go anywhere. The other names
    are those of `EMState`.
    """

    at: Point
    step: Any
    rate: Any
    gain: Any
    gain_rate: Any
    code: Any
    n_iter: Any
    n_evaluations: Any
    pairs: Any
    n_pairs: Any
    target: Any
    kind: Any
    steady: Any
    wait: Any
    pause: Any
    followed: Any
    anchor: Any = None
    span: Any = None
    length: Any = None

    @property
    def objective(self) -> Any:
        """The objective at the current points."""
        return self.at.objective

    @property
    def du(self) -> Any:
        """Differences of u, ``(n_starts, m, p)``."""
        return self.pairs[:, :, 0]

    @property
    def df(self) -> Any:
        """Differences of f, ``(n_starts, m, p)``."""
        return self.pairs[:, :, 1]


_CHUNK = 1024
"""The most trips between two looks of the host."""

_BRIEF = 256
"""So many trips are made by a program that is quickly compiled where few are expected; what runs longer is worth one
that is quick to run."""


class Accelerated:
    """Accelerated iterations of a batch of starts; the counterpart of `emjax.em.loop.Plain`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._n_brief = _BRIEF if program.brief else 0

    def begin(self, params: MixtureParams) -> Walk:
        """The starts, evaluated: the first trip of a walk."""
        walk, _ = self.advance(self.fresh(params), until=1, limit=1)
        return walk

    def fresh(self, params: MixtureParams) -> Walk:
        """The starts as their first trip wants them, which evaluates them."""
        params = jax.tree.map(np.asarray, params)
        mixture = self.program.mixture
        walk = _before(params, coordinates(mixture, params).n_parameters)
        if self.program.options.reach is not None:
            walk = dataclasses.replace(walk, anchor=walk.target, span=walk.step)
        return walk if mixture.family.exact else dataclasses.replace(walk, length=np.ones_like(walk.step))

    def advance(self, walk: Walk, until: int, limit: int) -> tuple[Walk, np.ndarray]:
        """At most ``limit`` trips of the starts that run and have done fewer than ``until`` iterations.

        Returns them with the objectives of the iterations, one row a trip and NaN where a trip was none.
        """
        program = self.program
        trips, most = (_trips_in_brief, self._n_brief) if self._n_brief else (_trips, _CHUNK)
        bounds = np.asarray(until, np.int32), np.asarray(min(limit, most), np.int32)
        walk, rows, n_rows = trips(
            program.mixture, program.method, walk, program.data, program.prior, *bounds, program.options
        )
        self._n_brief = max(self._n_brief - int(n_rows), 0)
        return walk, np.asarray(rows)[: int(n_rows)]

    def displaced(self, walk: Walk, away: np.ndarray) -> Walk:
        """Starts beside the current points, ``away (n_starts, p)`` from them in coordinates, evaluated."""
        fresh = self.fresh(walk.at.params)
        kind = np.full_like(fresh.kind, _PROPOSED)
        beside = dataclasses.replace(fresh, target=(np.asarray(walk.at.u) + away).astype(fresh.target.dtype), kind=kind)
        return self.advance(beside, until=1, limit=1)[0]

    def coordinates(self, walk: Walk) -> np.ndarray:
        """Those of the current points, ``(n_starts, p)``."""
        return np.asarray(walk.at.u)

    def retake(self, walk: Walk) -> Walk:
        """The same starts, evaluated on other data blocks; one that had become imprecise goes on."""
        # On the host: each operation of JAX's on arrays of one more shape would be a program of its own.
        walk, fresh = (jax.tree.map(np.asarray, each) for each in (walk, self.begin(walk.at.params)))
        n_evaluations = walk.n_evaluations + fresh.n_evaluations
        fresh = dataclasses.replace(fresh, rate=walk.rate, n_iter=walk.n_iter, n_evaluations=n_evaluations)
        goes_on = (walk.code == RUNNING) | (walk.code == IMPRECISE)

        def either(new: np.ndarray, old: np.ndarray) -> np.ndarray:
            return np.where(goes_on.reshape(goes_on.shape + (1,) * (new.ndim - 1)), new, old)

        return jax.tree.map(either, fresh, walk)

    def ended(self, walk: Walk) -> EMState:
        """What the starts have reached, with EM's own rate of convergence."""
        walk = jax.tree.map(np.asarray, walk)
        rates, told = np.array(walk.rate), walk.kind == _CONFIRMED
        rates[told] = _largest_rate(walk.du[told], walk.df[told], otherwise=rates[told])
        at = walk.at
        return EMState(
            params=at.params,
            statistics=Statistics(log_likelihood=at.log_likelihood, counts=at.counts, components=None),
            objective=at.objective,
            step=walk.step,
            rate=rates,
            gain=walk.gain,
            gain_rate=walk.gain_rate,
            code=walk.code,
            n_iter=walk.n_iter,
            n_evaluations=walk.n_evaluations,
        )


def _before(params: MixtureParams, width: int) -> Walk:
    """A walk that has not begun: its first trip evaluates ``params``."""
    n_starts, dtype = len(params.weights), params.weights.dtype
    flat, pairs = np.zeros((n_starts, width), dtype), np.zeros((n_starts, DEPTH, 2, width), dtype)
    number, count = np.zeros(n_starts, dtype), np.zeros(n_starts, np.int32)
    at = Point(
        params=params,
        image=params,
        u=flat,
        f=flat,
        objective=number,
        log_likelihood=number,
        counts=np.zeros_like(params.weights),
    )
    return Walk(
        at=at,
        step=number + np.inf,
        rate=number + np.nan,
        gain=number + np.inf,
        gain_rate=number + np.nan,
        code=count + np.int32(RUNNING),
        n_iter=count,
        n_evaluations=count,
        pairs=pairs,
        n_pairs=count,
        target=flat,
        kind=count + np.int32(_PLAIN),
        steady=count,
        wait=count,
        pause=count + np.int32(1),
        followed=np.ones(n_starts, bool),
    )


def _iterated(
    mixture: Mixture,
    method: str,
    walk: Walk,
    data: Blocks,
    prior: Prior | None,
    until: Array,
    limit: Array,
    options: Options,
) -> tuple[Walk, Float[Array, "chunk n_starts"], Array]:
    program = Program(mixture, data, prior, options, method)
    return chunk(functools.partial(_trip, program), walk, until, limit, _CHUNK)


_trips = jax.jit(_iterated, static_argnums=(0, 1))
_trips_in_brief = jax.jit(_iterated, static_argnums=(0, 1), compiler_options=QUICKLY_COMPILED)


def _trip(program: Program, walk: Walk) -> Walk:
    """One E-step, at the candidate, and what follows from it."""
    target, by_u = walk.target, walk.kind != _PLAIN
    if walk.length is not None:
        shorter = ~by_u & (walk.length < 1.0)
        target, by_u = _rows(shorter, walk.at.u + walk.length[:, None] * walk.at.f, target), by_u | shorter
    judged = evaluate(program, walk.at.image, target, by_u, walk.code == RUNNING)
    new, code = judged.point, judged.code
    eps, total_weight = jnp.finfo(new.objective.dtype).eps, program.data.total_weight
    size = jnp.abs(new.objective) + total_weight
    plain, probe = walk.kind == _PLAIN, walk.kind == _PROBE
    proposed = (walk.kind == _PROPOSED) | (walk.kind == _NEWTON)
    if program.options.ridge is None:
        slack = 1e4 * eps * size + 4.0 * judged.rounding * total_weight
        fell = new.objective < walk.at.objective - slack
        code = jnp.where((code == RUNNING) & fell, DECREASED, code)
    step = jnp.abs(new.f).max(axis=1)
    good = (code == RUNNING) & (plain | jnp.isfinite(step))
    not_below = new.objective >= walk.at.objective - 16 * eps * size
    taken, probed = good & (plain | (proposed & not_below)), good & probe

    after = _either(taken, _stepped(walk, new, step, plain, program.options.reach), _missed(walk, probed))
    pairs = _rows(taken | probed, _with_pair(walk, new), walk.pairs)
    after = dataclasses.replace(after, pairs=pairs, n_evaluations=walk.n_evaluations + 1)
    after = _aim(program, after, walk, judged, taken, size)
    # EM's own step fails: the start stops at its last good point, as it does without acceleration.
    failed = plain & ~good
    if walk.length is not None:
        retried = failed & to_retry(walk.length, code)
        after = dataclasses.replace(after, length=jnp.where(plain, next_length(walk.length, retried), walk.length))
        failed &= ~retried
    after = dataclasses.replace(after, code=jnp.where(failed, code, after.code))
    return _either(walk.n_evaluations > 0, after, _begun(walk, judged, step))


def _begun(walk: Walk, judged: Judged, step: Array) -> Walk:
    """After the first trip, which evaluates the start: EM's step comes next."""
    kind, n_evaluations = jnp.full_like(walk.kind, _PLAIN), walk.n_evaluations + 1
    return dataclasses.replace(
        walk, at=judged.point, step=step, code=judged.code, kind=kind, n_evaluations=n_evaluations
    )


def _aim(program: Program, walk: Walk, before: Walk, judged: Judged, taken: Array, size: Array) -> Walk:
    """Which starts have come to rest, and which candidate comes next for the others."""
    options, squarem = program.options, program.method == "squarem"
    active = walk.steady >= _IN_A_ROW
    probed = (before.kind == _PROBE) & (walk.n_pairs > 0)
    complete = probed & (walk.n_pairs >= DEPTH)
    at_rest = taken & _rests(program, walk, before, active, judged.still, size)
    newton = _anderson(walk)
    move = _rows(complete, newton, _squarem(walk)) if squarem else newton
    distance = jnp.abs(move).max(axis=1)
    proposes = active & (walk.wait <= 0) & (walk.n_pairs > 0) & jnp.isfinite(distance)
    if squarem:
        proposes &= walk.followed | complete

    back = (move * walk.at.f).sum(axis=1) < 0
    shorter = _rows(back, -move, move) * jnp.minimum(1.0, _LARGEST_MOVE / jnp.maximum(distance, _LARGEST_MOVE))[:, None]
    strays = jnp.zeros_like(active)
    if options.reach is not None:
        strays = active & (jnp.abs(walk.at.u + shorter - walk.anchor).max(axis=1) > walk.span)
        proposes &= ~strays

    # A tolerance of zero is none, and nothing is below it.
    nearest = jnp.where(options.parameters > 0, options.parameters, -1.0)
    least = jnp.where(options.gain > 0, options.gain * program.data.total_weight, -1.0)
    confirmed = complete & (distance <= nearest)
    # A step to the limit gains all that was still to come.
    confirmed |= taken & (before.kind == _NEWTON) & (walk.gain <= least)
    small_gains = ~before.followed & ~walk.followed & (jnp.maximum(before.gain, walk.gain) <= least)
    near = taken & proposes & ((distance <= nearest) | small_gains)
    probing = near | (probed & ~complete)
    # The first probe looks along the estimated way to the limit, where slow directions weigh most.
    along = _rows(near, newton, _beyond(walk))
    norms = jnp.linalg.norm(along, axis=1, keepdims=True)
    along = along / jnp.where(norms > 0, norms, 1.0)
    target = walk.at.u + _rows(probing, _probe_width(along.dtype) * along, shorter)
    whole = complete & ~back & (distance <= _LARGEST_MOVE)
    kind = jnp.where(probing, _PROBE, jnp.where(proposes, jnp.where(whole, _NEWTON, _PROPOSED), _PLAIN))
    return dataclasses.replace(
        walk,
        code=jnp.where(confirmed | at_rest, CONVERGED, RUNNING).astype(jnp.int32),
        target=target.astype(walk.target.dtype),
        kind=jnp.where(confirmed, _CONFIRMED, kind),
        n_pairs=jnp.where(near | strays, 0, walk.n_pairs),
        steady=jnp.where(strays, 0, walk.steady),
    )


def _rests(program: Program, walk: Walk, before: Walk, active: Array, still: Array, size: Array) -> Array:
    """Whether a step was the last: where nothing moves any more, or by plain EM's tests before any acceleration."""
    options = program.options
    # The step to come is known already, and need not be estimated as in the loop of plain EM. So of steps there are
    # two ratios one iteration before there are two of gains.
    rate = jnp.maximum(walk.rate, before.rate)
    distance = sum_of_series(walk.step, rate, walk.n_iter >= 2, first=True)
    enough = gain_to_come(before, walk.gain, walk.gain_rate, size) <= options.gain * program.data.total_weight
    wanted = (options.parameters > 0) | (options.gain > 0)
    return wanted & ((~active & ((distance <= options.parameters) | enough)) | (walk.step <= still))


def _stepped(walk: Walk, new: Point, step: Array, plain: Array, reach: Array | None) -> Walk:
    """After a step: sizes and rates (EM's own where EM made the step), and room for one more pair."""
    rate = step / walk.step
    gain = jnp.abs(new.objective - walk.at.objective)
    # Ratios of steps that are mostly rounding say nothing of the rate.
    tells = plain & (step > 1e4 * jnp.finfo(step.dtype).eps)
    agree = plain & (jnp.abs(rate - walk.rate) <= _AGREE) & (rate > _SLOW)
    to_go = sum_of_series(step, jnp.maximum(rate, walk.rate), walk.n_iter >= 2, first=False)
    if reach is not None:
        agree &= to_go <= reach
    steady = jnp.where(agree, walk.steady + 1, jnp.where(walk.steady >= _IN_A_ROW, walk.steady, 0))
    if reach is not None:
        begins = (steady >= _IN_A_ROW) & (walk.steady < _IN_A_ROW)
        anchor, span = _rows(begins, new.u, walk.anchor), jnp.where(begins, _STRAY * to_go, walk.span)
        walk = dataclasses.replace(walk, anchor=anchor, span=span)
    return dataclasses.replace(
        walk,
        at=new,
        step=step,
        rate=jnp.where(tells, rate, walk.rate),
        gain=gain,
        gain_rate=jnp.where(plain, gain / walk.gain, jnp.inf).astype(gain.dtype),
        n_iter=walk.n_iter + 1,
        n_pairs=jnp.minimum(walk.n_pairs + 1, DEPTH),
        steady=steady,
        wait=jnp.where(plain, jnp.maximum(walk.wait - 1, 0), walk.wait),
        pause=jnp.where(plain, walk.pause, 1),
        followed=plain,
    )


def _missed(walk: Walk, probed: Array) -> Walk:
    """After a probe, which adds a pair, or after a rejection, which forgets all of them."""
    return dataclasses.replace(
        walk,
        n_pairs=jnp.where(probed, walk.n_pairs + 1, 0),
        wait=jnp.where(probed, 0, walk.pause),
        pause=jnp.where(probed, walk.pause, jnp.minimum(2 * walk.pause, _LONGEST_PAUSE)),
    )


def _with_pair(walk: Walk, new: Point) -> Array:
    """The pairs with one more in place of the oldest: of a probe as small as it is, since only directions count."""
    pair = jnp.stack([new.u - walk.at.u, new.f - walk.at.f], axis=1)
    return jnp.concatenate([walk.pairs[:, 1:], pair[:, None]], axis=1)


def _anderson(walk: Walk) -> Array:
    known, f = _known(walk), walk.at.f
    df = known[:, :, 1]
    gram = product(df, df.swapaxes(1, 2))
    scale = jnp.sqrt(diagonal(gram))
    scale = jnp.where(scale > 0, scale, 1.0)
    # A touch of ridge: differences that are nearly parallel must not be told apart by their rounding.
    ridge = 4096 * jnp.finfo(df.dtype).eps * np.eye(DEPTH, dtype=df.dtype)
    root = cholesky(gram / (scale[:, :, None] * scale[:, None, :]) + ridge[None])
    gamma = cho_solve((root, True), product(df, f[:, :, None]) / scale[:, :, None])[:, :, 0] / scale
    return f - product(gamma[:, None, :], known.sum(axis=2))[:, 0]


def _squarem(walk: Walk) -> Array:
    du, df = walk.du[:, -1], walk.df[:, -1]
    first = walk.at.f - df
    length = jnp.linalg.norm(first, axis=1, keepdims=True) / jnp.linalg.norm(df, axis=1, keepdims=True)
    length = jnp.maximum(length, 1.0)
    return 2.0 * length * first + length**2 * df - du


def _beyond(walk: Walk) -> Array:
    """``J v`` of the last probe, less what lies in the directions looked at already (Arnoldi)."""
    du = _known(walk)[:, :, 0]
    squares = diagonal(product(du, du.swapaxes(1, 2)))
    squares = jnp.where(squares > 0, squares, 1.0)
    vector = walk.pairs[:, -1].sum(axis=1)
    for _ in range(2):  # twice is enough for orthogonality to rounding
        shares = product(du, vector[:, :, None])[:, :, 0] / squares
        vector = vector - product(shares[:, None, :], du)[:, 0]
    return vector


def _known(walk: Walk) -> Float[Array, "n m 2 p"]:
    """The pairs that count, zeros in place of the others."""
    kept = jnp.arange(DEPTH)[None, :] >= DEPTH - walk.n_pairs[:, None]
    return jnp.where(kept[:, :, None, None], walk.pairs, 0.0)


def _largest_rate(du: np.ndarray, df: np.ndarray, *, otherwise: np.ndarray | float) -> np.ndarray:
    """The largest eigenvalue of J in the span of the probes ``(..., m, p)``, of each start."""
    reduced = (du + df) @ np.linalg.pinv(du, rcond=1e-6)
    rates = np.linalg.eigvals(reduced).real
    largest = np.where((rates >= 0) & (rates < 1), rates, -np.inf).max(axis=-1)
    return np.where(largest >= 0, largest, otherwise)


def _probe_width(dtype: Any) -> float:
    return 8.0 * float(jnp.finfo(dtype).eps) ** 0.5


def _rows(condition: AnyArray, one: AnyArray, other: AnyArray) -> Array:
    return jnp.where(condition.reshape(condition.shape + (1,) * (one.ndim - 1)), one, other)


def _either(condition: AnyArray, one: Any, other: Any) -> Any:
    """Start by start, one or the other."""
    return jax.tree.map(lambda a, b: _rows(condition, a, b), one, other)
