"""From the end points of all starts to the distinct optima, and to the one that is kept."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from emjax import align
from emjax.em.state import EMState, status_of
from emjax.mixture import Mixture, MixtureParams
from emjax.result import Optimum, Status

_SAME_OBJECTIVE = 1e-7
"""Two end points may be one optimum if their objectives differ by less than this per datum, plus rounding ..."""

_ROUNDINGS = 32
"""... of so many epsilons of the objective: in float32 that is more than the number above."""

_SAME_PLACE = 0.02
"""Components are at one place if each of their numbers, in the standard frame, agrees to this, absolute or relative."""

_SAME_WEIGHT = 0.01
"""The weights at one place agree to this share of the larger."""


@dataclasses.dataclass(frozen=True)
class Lanes:
    """All starts as they ended, on the host: the state leads with ``n_starts``, traces ``(n_starts, n_iter + 1)``."""

    state: EMState
    traces: np.ndarray


@dataclasses.dataclass(frozen=True)
class Units:
    """What leads from the standard frame back to the data: constants of the log-likelihood and of the log prior."""

    log_likelihood: float
    log_prior: float


@dataclasses.dataclass(frozen=True)
class Kept:
    """The start that is kept: its optimum, its iterations and E-steps, its trace and its rate of convergence.

    ``places (K, p)`` and ``weights (K,)`` are its components in the standard frame, ``rounding`` the error of its
    objective: what tells whether another start ended in the same optimum.
    """

    optimum: Optimum
    n_iter: int
    n_evaluations: int
    trace: np.ndarray
    rate: float
    places: np.ndarray
    weights: np.ndarray
    rounding: float


def distinct_optima(
    mixture: Mixture, lanes: Lanes, to_data: object, units: Units, *, n_features: int, ordered: bool
) -> tuple[Kept, ...]:
    """One entry per distinct optimum, best first: regular ones, then spurious ones, then failures.

    ``to_data`` maps parameters from the frame to the data's units; ``ordered`` puts components in the order of their
    first parameter.
    """
    ends = [_end(mixture, lanes, i, to_data, units, n_features, ordered) for i in range(len(lanes.traces))]
    ends.sort(key=lambda end: _rank(end.optimum))
    kept: list[Kept] = []
    for end in ends:
        for i, other in enumerate(kept):
            if same_optimum(end, other):
                counted = dataclasses.replace(other.optimum, count=other.optimum.count + 1)
                kept[i] = dataclasses.replace(other, optimum=counted)
                break
        else:
            kept.append(end)
    return tuple(kept)


def _end(mixture: Mixture, lanes: Lanes, i: int, to_data: object, units: Units, n_features: int, ordered: bool) -> Kept:
    state = jax.tree.map(lambda leaf: leaf[i], lanes.state)
    params = jax.tree.map(np.asarray, to_data(state.params))  # type: ignore[operator]
    named = mixture.family.named_parameters(state.params.components).values()
    counts = np.asarray(state.statistics.counts, dtype=float)
    if ordered:
        permutation = canonical_order(mixture, params)
        params, counts = mixture.permute(params, permutation), counts[permutation]
    log_likelihood = float(state.statistics.log_likelihood) + units.log_likelihood
    optimum = Optimum(
        params=params,
        log_likelihood=log_likelihood,
        objective=float(state.objective) + units.log_likelihood + units.log_prior,
        status=status_of(int(state.code)) or Status.MAX_ITER,
        count=1,
        effective_counts=counts,
        spurious=bool((counts <= n_features + 1.5).any()),
    )
    n_iter = int(state.n_iter)
    trace = lanes.traces[i, : n_iter + 1].astype(float) + units.log_likelihood + units.log_prior
    return Kept(
        optimum=optimum,
        n_iter=n_iter,
        n_evaluations=int(state.n_evaluations),
        trace=trace,
        rate=float(state.rate),
        places=np.concatenate([np.reshape(each, (len(counts), -1)) for each in named], axis=1).astype(float),
        weights=np.asarray(state.params.weights, dtype=float),
        rounding=_ROUNDINGS * abs(float(state.objective)) * float(np.finfo(state.objective.dtype).eps),
    )


def canonical_order(mixture: Mixture, params: MixtureParams) -> np.ndarray:
    """The order of components by the first number of their first parameter."""
    first = next(iter(mixture.family.named_parameters(params.components).values()))
    return align.ordering(np.asarray(first)[None, :, 0])[0]


def _rank(optimum: Optimum) -> tuple[int, float]:
    usable = optimum.status in (Status.CONVERGED, Status.MAX_ITER, Status.INTERRUPTED)
    group = 0 if usable and not optimum.spurious else 1 if usable else 2
    objective = optimum.objective if np.isfinite(optimum.objective) else -np.inf
    return group, -objective


def same_optimum(a: Kept, b: Kept) -> bool:
    """Whether two starts ended in one optimum, however its components are numbered.

    Objectives must agree, and so must the mixtures: around every component of either, both have the same weight. Equal
    objectives alone are not enough (data with a symmetry have optima that mirror each other), and components need not
    be matched one to one (two equal components are the same mixture as one with their weights together). Where the
    likelihood has no bound, the objective is only how far a start came before it stopped, so the place decides.
    """
    if a.optimum.status is not b.optimum.status or a.optimum.spurious is not b.optimum.spurious:
        return False
    if a.optimum.status is not Status.DEGENERATE:
        n = max(a.optimum.effective_counts.sum(), 1.0)
        apart = abs(a.optimum.objective - b.optimum.objective)
        if not apart < _SAME_OBJECTIVE * n + max(a.rounding, b.rounding):
            return False
    return _same_mixture(a, b)


def _same_mixture(a: Kept, b: Kept) -> bool:
    """Whether around every component of either, both have the same weight."""
    places, weights = np.concatenate([a.places, b.places]), np.concatenate([a.weights, b.weights])
    # Row by row: with many features, all pairs at once would need more memory than the data.
    near = np.stack([(np.abs(places - each) <= _SAME_PLACE * (1.0 + np.abs(each))).all(axis=1) for each in places])
    mine, yours = near[:, : len(a.weights)] @ a.weights, near[:, len(a.weights) :] @ b.weights
    agree = np.abs(mine - yours) <= _SAME_WEIGHT * np.maximum(mine, yours)
    return bool((agree | (weights == 0)).all())
