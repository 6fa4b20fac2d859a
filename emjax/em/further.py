"""Further starts, where those of a fit have not settled which optimum is the best.

A fit that was not told how many starts to run begins with `FIRST` of them, and runs as many again, up to `MOST` in all,
where fewer than `ENOUGH` have reached the best regular optimum. Where EM is cheap it also goes on, up to
`MOST_OF_CHEAP`, until some batches in a row have found nothing better, unless the first starts are to be believed:
where they agree and EM is fast. Where it is slow, components overlap, and 20 of 20 starts may end in a lower optimum.
Of each further batch most begin near the best optima so far, with one of their components given up and made anew
elsewhere; the others are drawn like the first. Numbers of starts, of E-steps and shapes decide, never a clock; problems
that would take long do without.
"""

from __future__ import annotations

import math

import jax
import numpy as np
from jaxtyping import Array

from emjax.em.filled import log_joint_in
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

MOST_OF_CHEAP = 240
"""The same where EM is cheap."""

_MOST_SECONDS = 0.02
"""How long an E-step of a batch may take (on a nominal machine) for further starts."""

_CHEAP_SECONDS, _CHEAP_RUN_SECONDS = 0.001, 0.1
"""How long an E-step of a batch, and as many as a start takes on average, may last (nominally) where EM is cheap."""

_PATIENCE = 4
"""So many batches must have found nothing better."""

_SURE_SHARE, _SURE_RATE = 0.25, 0.9
"""The first starts are believed where this share of them ended in the best optimum and EM's rate is below this."""

_BETTER = 1e-6
"""An optimum is better than another by more than this per datum."""

_NEAR = (11, 2, 2, 2)
"""So many of a further batch begin near the best optimum so far, and near each of the next (if any, else the best)."""

N_PARENTS = len(_NEAR)
"""So many of the best optima decide on further starts, and on where these begin; the rest are told apart at the end."""


def wants_more(
    problem: Problem, kept: tuple[Kept, ...], ended: Ended, before: tuple[float, ...], most: int = 0
) -> bool:
    """Whether a fit whose starts ended in these optima needs further ones.

    ``before`` is what `best_of` said after each batch of starts but the last; ``most`` is how many starts there may be,
    where EM is cheap, until the best regular optimum has been reached by `ENOUGH`.
    """
    best, n_starts = kept[0].optimum, len(ended.traces)
    if ended.interrupted or best.status in (Status.MAX_ITER, Status.PRECISION) or problem.mixture.n_components == 1:
        return False
    samples = problem.samples
    seconds = nominal_seconds(samples.n_samples, samples.n_features, FIRST * problem.mixture.n_components)
    n_steps = float(np.mean(ended.state.n_evaluations))
    cheap = seconds <= _CHEAP_SECONDS and seconds * n_steps <= _CHEAP_RUN_SECONDS
    regular, seldom = best.kind == "regular", best.count < ENOUGH
    # Where hundreds of starts have found no regular optimum there is none to be reached again.
    if n_starts >= (max(MOST_OF_CHEAP, most * (regular and seldom)) if cheap else MOST):
        return False
    if seldom or not regular:
        return seconds <= _MOST_SECONDS
    # Where EM was at its end at once it has no rate.
    sure = not before and best.count >= _SURE_SHARE * n_starts and not kept[0].rate >= _SURE_RATE
    reached = best_of(kept) - _BETTER * samples.n_samples
    return cheap and not sure and sum(each >= reached for each in before) < _PATIENCE


def best_of(kept: tuple[Kept, ...]) -> float:
    """The best objective of a regular optimum, minus infinity where there is none."""
    return kept[0].optimum.objective if kept[0].optimum.kind == "regular" else -math.inf


def first_starts(problem: Problem, key: Array, n_init: int, starts: str) -> MixtureParams:
    """The drawn starts that a fit begins with, stacked."""
    prior = problem.frame_prior
    return drawn_starts(problem.likelihood, problem.z, key=key, n_init=n_init, starts=starts, prior=prior)


def further_starts(problem: Problem, kept: tuple[Kept, ...], key: Array, batch: int) -> MixtureParams:
    """As many starts as there were first, of batch number ``batch`` (from 1), stacked."""
    likelihood, z = problem.likelihood, problem.z
    regular = [each.optimum for each in kept[:N_PARENTS] if each.optimum.kind == "regular"]
    if not regular:
        return drawn_starts(likelihood, z, key=key, n_init=FIRST, batch=batch)
    n_near = (sum(_NEAR) - sum(_NEAR[1 : len(regular)]), *_NEAR[1 : len(regular)])
    near = [
        (jax.tree.map(lambda leaf: np.asarray(leaf, z.dtype), likelihood.to_frame(each.params, problem.frame)), n)
        for each, n in zip(regular, n_near, strict=True)
    ]
    moved = moved_starts(likelihood, z, near, key=key, batch=batch, log_joint=log_joint_in(problem))
    drawn = drawn_starts(likelihood, z, key=key, n_init=FIRST - sum(_NEAR), batch=batch)
    return joined_starts(moved, drawn)


def joined_starts(one: MixtureParams, other: MixtureParams) -> MixtureParams:
    """Stacked starts behind each other."""
    return jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), one, other)


def joined(one: Ended, other: Ended) -> Ended:
    """The starts of both."""
    return Ended(
        state=jax.tree.map(lambda *leaves: np.concatenate(leaves), one.state, other.state),
        traces=[*one.traces, *other.traces],
        interrupted=one.interrupted or other.interrupted,
    )
