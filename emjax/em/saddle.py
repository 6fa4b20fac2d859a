r"""Whether EM came to rest on a saddle: a point where nothing moves although the objective rises in some direction.

EM's steps vanish there as they do at a maximum, so no test of steps tells the two apart. Near a point of rest EM is
linear, :math:`M(u^* + v) = u^* + J v`, and the observed information has a negative direction where :math:`J` has an
eigenvalue above one. A few iterations from displaced copies of the point, run by the program that is compiled already,
span a space in which the largest eigenvalue of :math:`J` is found (Arnoldi). Directions are only a suspicion; the
proof are points beside the point of rest, on both of its sides, from which EM climbs higher than that within some
iterations, which it cannot do from beside a maximum.

Drawn starts come near a saddle only where two components are equal, since no other symmetry is theirs: it is there that
such ends are looked at. A start that was given may have any symmetry.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from emjax.em.problem import Problem
from emjax.em.restarts import Kept, coincide, rank
from emjax.em.state import coordinates
from emjax.mixture import MixtureParams
from emjax.result import Status

_WIDTH = 1e-4
"""The largest displacement of a coordinate: small enough for EM to be linear, large beside rounding."""

_STEPS, _PAIRS = 3, 6
"""Iterations from one displacement, and how many displaced iterations are wanted at least."""

_SUSPECT = 0.999
"""The largest eigenvalue from which on the objective is looked at."""

_DIRECTIONS = 3
"""Of so many directions at most."""

_AWAY = (0.03, 0.1, 0.3)
_RISE = 1e-9  # of the size of the objective, beyond its rounding

_MOST = 3
"""So many ends at most are looked at."""

_FOREVER = np.iinfo(np.int32).max


def without_saddles(
    problem: Problem, kept: tuple[Kept, ...], engine: Callable[[], tuple[Any, int]], *, given: bool
) -> tuple[Kept, ...]:
    """The distinct optima with saddles marked as such, and put behind all others that can be used.

    ``engine`` gives, where it is needed, what iterates starts, and how many; ``given`` says that they were not drawn.
    """
    ends, looks = list(kept), 0
    if len(kept[0].optimum.params.weights) == 1:
        return kept
    for i, end in enumerate(kept):
        optimum = end.optimum
        if optimum.status is not Status.CONVERGED or not (optimum.params.weights > 0).all():
            continue
        params = problem.mixture.to_frame(optimum.params, problem.frame)
        if not (given or coincide(problem.likelihood, params)):
            continue
        if looks == _MOST:
            break
        looks += 1
        if _rises(*engine(), params):
            ends[i] = dataclasses.replace(end, optimum=dataclasses.replace(optimum, status=Status.SADDLE))
    return tuple(sorted(ends, key=lambda end: rank(end.optimum.status, end.optimum.spurious, end.optimum.objective)))


def _rises(engine: Any, n_lanes: int, params: MixtureParams) -> bool:
    """Whether the objective is higher somewhere beside ``params``, in the direction in which EM leaves them."""
    mixture, dtype = engine.program.mixture, engine.program.data.x.dtype
    stacked = jax.tree.map(lambda leaf: np.broadcast_to(np.asarray(leaf, dtype), (n_lanes, *np.shape(leaf))), params)
    state = engine.begin(stacked)
    centre = engine.coordinates(state)[0]

    def begun(displacements: np.ndarray) -> Any:
        return engine.displaced(state, displacements.astype(dtype))

    def reached(state: Any) -> np.ndarray:
        return np.asarray(engine.coordinates(state) - centre)

    directions = _unstable(engine, begun, reached, (n_lanes, len(centre)))
    if not len(directions):
        return False
    # Shares of equal components may be exchanged freely, which hides the way up that it is mixed with.
    apart = directions.copy()
    apart[:, coordinates(mixture, params).of_weights] = 0.0
    directions = np.concatenate([directions, apart])
    sizes = np.array([*_AWAY, *(-size for size in _AWAY)])
    away = (sizes[None, :, None] * directions[:, None, :]).reshape(-1, len(centre))
    filled = np.concatenate([np.zeros((1, len(centre))), away, np.zeros((-(1 + len(away)) % n_lanes, len(centre)))])
    batches = filled.reshape(-1, n_lanes, len(centre))
    objectives = np.concatenate([_after_steps(engine, begun(each)) for each in batches])
    size = abs(objectives[0]) + float(engine.program.data.total_weight)
    # On both sides: where EM was stopped by a coarse tolerance, the objective rises on one.
    ways = objectives[1 : 1 + len(away)].reshape(len(directions), 2, -1).min(axis=1)
    return bool((ways > objectives[0] + max(_RISE, 1e3 * np.finfo(dtype).eps) * size).any())


def _after_steps(engine: Any, state: Any) -> np.ndarray:
    """The objectives after some iterations: the way up from equal components is bent, and EM keeps to it."""
    for _ in range(_STEPS):
        state, _ = engine.advance(state, _FOREVER, 1)
    return np.asarray(state.objective)


def _unstable(engine: Any, begun: Any, reached: Any, shape: tuple[int, int]) -> np.ndarray:
    """The directions ``(m, p)`` of EM's eigenvalues that may be one or more, the largest coordinate of each one.

    Equal components have several eigenvalues of one, and only some of their directions lead up.
    """
    before: list[np.ndarray] = []
    after: list[np.ndarray] = []
    moved = np.random.default_rng(0).normal(size=shape)
    while sum(map(len, before)) < _PAIRS:
        moved *= _WIDTH / np.maximum(np.abs(moved).max(axis=1, keepdims=True), 1e-300)
        state = begun(moved)
        for _ in range(_STEPS):
            n_iter = np.asarray(state.n_iter)
            state, _ = engine.advance(state, _FOREVER, 1)
            new = reached(state)
            length = np.linalg.norm(moved, axis=1)
            usable = (np.asarray(state.n_iter) > n_iter) & np.isfinite(new).all(axis=1) & (length > 1e-5 * _WIDTH)
            before.append(moved[usable] / length[usable, None])
            after.append(new[usable] / length[usable, None])
            moved = np.where(usable[:, None], new, moved)
        if not usable.any():
            break
    rows, images = np.concatenate(before), np.concatenate(after)
    if not len(rows):
        return rows
    values, vectors = np.linalg.eig((images @ np.linalg.pinv(rows, rcond=1e-6)).T)
    largest = np.argsort(-values.real)[:_DIRECTIONS]
    directions = vectors[:, largest].real.T @ rows
    longest = np.abs(directions).max(axis=1)
    suspect = (values[largest].real >= _SUSPECT) & (longest > 0)
    return directions[suspect] / longest[suspect, None]
