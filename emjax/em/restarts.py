"""From the end points of all starts to the distinct optima, and to the one that is kept."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from emjax import align
from emjax.em.loop import EMState, status_of
from emjax.mixture import Mixture, MixtureParams
from emjax.result import Optimum, Status

_SAME_OBJECTIVE = 1e-7
"""Two end points are one optimum if their objectives differ by less than this per datum and their weights agree."""

_SAME_WEIGHTS = 1e-2


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
    """The start that is kept: its optimum, how many iterations it took, its trace and its rate of convergence."""

    optimum: Optimum
    n_iter: int
    trace: np.ndarray
    rate: float


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
            if _same(end.optimum, other.optimum):
                counted = dataclasses.replace(other.optimum, count=other.optimum.count + 1)
                kept[i] = dataclasses.replace(other, optimum=counted)
                break
        else:
            kept.append(end)
    return tuple(kept)


def _end(mixture: Mixture, lanes: Lanes, i: int, to_data: object, units: Units, n_features: int, ordered: bool) -> Kept:
    state = jax.tree.map(lambda leaf: leaf[i], lanes.state)
    params = jax.tree.map(np.asarray, to_data(state.params))  # type: ignore[operator]
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
    return Kept(optimum=optimum, n_iter=n_iter, trace=trace, rate=float(state.rate))


def canonical_order(mixture: Mixture, params: MixtureParams) -> np.ndarray:
    """The order of components by the first number of their first parameter."""
    first = next(iter(mixture.family.named_parameters(params.components).values()))
    return align.ordering(np.asarray(first)[None, :, 0])[0]


def _rank(optimum: Optimum) -> tuple[int, float]:
    usable = optimum.status in (Status.CONVERGED, Status.MAX_ITER)
    group = 0 if usable and not optimum.spurious else 1 if usable else 2
    objective = optimum.objective if np.isfinite(optimum.objective) else -np.inf
    return group, -objective


def _same(a: Optimum, b: Optimum) -> bool:
    if a.status is not b.status or a.spurious is not b.spurious:
        return False
    per_datum = abs(a.objective - b.objective) / max(a.effective_counts.sum(), 1.0)
    weights = np.abs(np.sort(a.params.weights) - np.sort(b.params.weights)).max()
    return bool(per_datum < _SAME_OBJECTIVE and weights < _SAME_WEIGHTS)
