"""Further starts, where those of a fit have not settled which optimum is the best.

A fit that was not told how many starts to run begins with `FIRST` of them, and runs as many again, up to `MOST` in all,
where fewer than `ENOUGH` have reached the best regular optimum. Where an E-step costs next to nothing it also does so
once if most of the first ended elsewhere, and as long as the last batch found something better. Of each further batch
most begin near the best optimum so far, with two of its components merged and a new one elsewhere; the others are drawn
like the first. Numbers of starts and shapes alone decide, never a clock; problems that would take long do without.
"""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Array

from emjax.em.init import drawn_starts, moved_starts
from emjax.em.lanes import Ended, nominal_seconds
from emjax.em.problem import Problem
from emjax.em.restarts import Kept
from emjax.mixture import MixtureParams
from emjax.result import ENOUGH, Status

FIRST = 20
"""Starts of a fit that was not told how many."""

MOST = 80
"""Starts of a fit at most, where their best was reached too seldom."""

_MOST_SECONDS, _MOST_SECONDS_ONCE_MORE = 0.02, 0.0005
"""How long an E-step of a batch may take (on a nominal machine) for further starts: where the best optimum was reached
too seldom, and where it was not."""

_BETTER = 1e-6
"""An optimum is better than another by more than this per datum."""

_NEAR = 14
"""So many of a further batch begin near the best optimum so far."""

_MOSTLY = 0.75
"""No second look where this share of the starts ended in the best optimum."""


def wants_more(problem: Problem, kept: tuple[Kept, ...], ended: Ended, before: tuple[Kept, ...]) -> bool:
    """Whether a fit whose starts ended in these optima needs further ones.

    ``before`` are the optima without the last batch of starts, none where it is the first.
    """
    best, n_starts = kept[0].optimum, len(ended.traces)
    if ended.interrupted or n_starts >= MOST or best.status in (Status.MAX_ITER, Status.PRECISION):
        return False
    samples = problem.samples
    seconds = nominal_seconds(samples.n_samples, samples.n_features, FIRST * problem.mixture.n_components)
    if best.kind != "regular" or best.count < ENOUGH:
        return seconds <= _MOST_SECONDS
    if before:
        unsettled = best.objective > before[0].optimum.objective + _BETTER * samples.n_samples
    else:
        unsettled = best.count < _MOSTLY * n_starts
    return unsettled and seconds <= _MOST_SECONDS_ONCE_MORE


def further_starts(problem: Problem, kept: tuple[Kept, ...], key: Array, batch: int) -> MixtureParams:
    """As many starts as there were first, of batch number ``batch`` (from 1), stacked."""
    likelihood, z, best = problem.likelihood, problem.z, kept[0].optimum
    n_near = _NEAR if best.kind == "regular" and likelihood.n_components > 1 else 0
    drawn = drawn_starts(likelihood, z, key=key, n_init=FIRST - n_near, starts="mixed", batch=batch)
    if not n_near:
        return drawn
    params = jax.tree.map(lambda leaf: np.asarray(leaf, z.dtype), likelihood.to_frame(best.params, problem.frame))
    near = moved_starts(likelihood, z, params, key=key, n_init=n_near, batch=batch)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), near, drawn)


def joined(one: Ended, other: Ended) -> Ended:
    """The starts of both."""
    return Ended(
        state=jax.tree.map(lambda *leaves: np.concatenate(leaves), one.state, other.state),
        traces=[*one.traces, *other.traces],
        interrupted=one.interrupted or other.interrupted,
    )
