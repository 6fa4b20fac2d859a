"""From the end points of all starts to the distinct optima, and to the one that is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from emjax import align
from emjax.em.state import EMPTY, EMState, status_of
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

_NUMBERS_AT_ONCE = 1 << 18
"""The most numbers of places that are compared at once."""


@dataclasses.dataclass(frozen=True)
class Lanes:
    """All starts as they ended, on the host: the state leads with ``n_starts``, traces have ``n_iter + 1`` or more."""

    state: EMState
    traces: Sequence[np.ndarray] | np.ndarray


@dataclasses.dataclass(frozen=True)
class Units:
    """What leads from the standard frame back to the data: constants of the log-likelihood and of the log prior."""

    log_likelihood: float
    log_prior: float


@dataclasses.dataclass(frozen=True)
class Kept:
    """The start that is kept: its optimum, its iterations and E-steps, its trace and its rate of convergence."""

    optimum: Optimum
    n_iter: int
    n_evaluations: int
    trace: np.ndarray
    rate: float


def distinct_optima(
    mixture: Mixture,
    lanes: Lanes,
    to_data: object,
    units: Units,
    *,
    n_features: int,
    ordered: bool,
    bounded: bool,
    most: int | None = None,
    judged: list[End] | None = None,
) -> tuple[Kept, ...]:
    """One entry per distinct optimum, best first: regular ones, then spurious ones, then failures.

    ``to_data`` maps parameters from the frame to the data's units; ``ordered`` puts components in the order of their
    first parameter; ``bounded`` says that a prior keeps the objective from growing without bound. Only the ``most``
    best are told apart, all by default. ``judged`` are the ends of the first starts, as an earlier call has found them;
    those of the others come to them.
    """
    ends = [] if judged is None else judged
    if len(ends) < len(lanes.state.objective):
        new = jax.tree.map(lambda leaf: leaf[len(ends) :], lanes.state)
        ends += _ends(mixture, new, units, n_features, bounded=bounded)
    groups: list[tuple[int, int]] = []
    left = sorted(range(len(ends)), key=lambda i: rank(ends[i].status, ends[i].spurious, ends[i].objective))
    while left and len(groups) != most:
        best, *others = left
        left = [i for i, same in zip(others, are_same(ends[best], [ends[i] for i in others]), strict=True) if not same]
        groups.append((best, 1 + len(others) - len(left)))
    return tuple(_end(mixture, lanes, i, ends[i], to_data, units, count, ordered) for i, count in groups)


@dataclasses.dataclass(frozen=True)
class End:
    """Where a start ended, in the standard frame: what tells its rank and whether another one is the same optimum."""

    status: Status
    spurious: bool
    objective: float
    n_samples: float
    rounding: float
    places: np.ndarray
    weights: np.ndarray


def _ends(mixture: Mixture, state: EMState, units: Units, n_features: int, *, bounded: bool) -> list[End]:
    params = jax.tree.map(lambda leaf: np.asarray(leaf, dtype=float), state.params)
    counts, objective = np.asarray(state.statistics.counts, dtype=float), np.asarray(state.objective, dtype=float)
    places = np.asarray(mixture.places(params), float)
    roundings = _ROUNDINGS * np.abs(objective) * np.finfo(state.objective.dtype).eps
    ends = []
    # Trees are not mapped start by start, which took a third of a fit to the London deaths.
    for i, code in enumerate(np.asarray(state.code)):
        one = MixtureParams(params.family, {name: value[i] for name, value in params.items()})
        end = End(
            status=status_of(int(code)) or Status.MAX_ITER,
            spurious=_is_spurious(mixture, one, counts[i], n_features, bounded=bounded),
            objective=float(objective[i]) + units.log_likelihood + units.log_prior,
            n_samples=float(counts[i].sum()),
            rounding=float(roundings[i]),
            places=places[i],
            weights=one.weights,
        )
        ends.append(end)
    return ends


def coincide(mixture: Mixture, params: MixtureParams) -> bool:
    """Whether two components are at one place; ``params`` are in the standard frame."""
    places = np.asarray(mixture.places(params), float)
    return any(_near(places[i + 1 :], place).any() for i, place in enumerate(places))


def _near(places: np.ndarray, place: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # places of what has collapsed may be infinite, and are not the same
        return (np.abs(places - place) <= _SAME_PLACE * (1.0 + np.abs(place))).all(axis=-1)


def _is_spurious(
    mixture: Mixture, params: MixtureParams, counts: np.ndarray, n_features: int, *, bounded: bool
) -> bool:
    """Whether a component has lost its data, or stands where the likelihood has no bound (a prior gives it one)."""
    if (counts < EMPTY).any():
        return True
    if bounded or not all(np.isfinite(value).all() for _, value in params.items()):
        return False
    return bool(mixture.family.without_bound(params, params.weights, counts, n_features).any())


def _end(
    mixture: Mixture, lanes: Lanes, i: int, place: End, to_data: object, units: Units, count: int, ordered: bool
) -> Kept:
    state = jax.tree.map(lambda leaf: leaf[i], lanes.state)
    params = jax.tree.map(np.asarray, to_data(state.params))  # type: ignore[operator]
    counts = np.asarray(state.statistics.counts, dtype=float)
    if ordered:
        permutation = canonical_order(mixture, params)
        params, counts = mixture.permute(params, permutation), counts[permutation]
    optimum = Optimum(
        params=params,
        log_likelihood=float(state.statistics.log_likelihood) + units.log_likelihood,
        objective=place.objective,
        status=place.status,
        count=count,
        effective_counts=counts,
        spurious=place.spurious,
    )
    n_iter = int(state.n_iter)
    trace = lanes.traces[i][: n_iter + 1].astype(float) + units.log_likelihood + units.log_prior
    return Kept(
        optimum=optimum,
        n_iter=n_iter,
        n_evaluations=int(state.n_evaluations),
        trace=trace,
        rate=float(state.rate),
    )


def canonical_order(mixture: Mixture, params: MixtureParams) -> np.ndarray:
    """The order of components by the first number of their first parameter."""
    first = np.asarray(mixture.places(params), float)[:, 0]
    return align.ordering(first[None, :])[0]


def rank(status: Status, spurious: bool, objective: float) -> tuple[int, float]:
    """What sorts ends: regular ones, spurious ones, failures; the higher objective first."""
    usable = status in (Status.CONVERGED, Status.MAX_ITER, Status.INTERRUPTED)
    group = 0 if usable and not spurious else 1 if usable else 2
    return group, -objective if np.isfinite(objective) else np.inf


def are_same(one: End, others: list[End]) -> np.ndarray:
    """Whether a start ended in the optimum of each of some others, however components are numbered.

    All mixtures have one shape. Objectives must agree, and so must the mixtures: around every component of either, both
    have the same weight. Equal objectives alone are not enough (data with a symmetry have optima that mirror each
    other), and components need not be matched one to one (two equal components are the same mixture as one with their
    weights together). Where the likelihood has no bound, the objective is only how far a start came before it stopped,
    so the place decides.
    """
    same = _may_be_same(one, others)
    # So many at a time that many features do not need more memory than the data.
    at_once = max(1, _NUMBERS_AT_ONCE // one.places.size)
    for chosen in np.split(np.flatnonzero(same), range(at_once, len(others), at_once)):
        if len(chosen):
            same[chosen] = _are_same_mixtures(one, [others[i] for i in chosen])
    return same


def _may_be_same(one: End, others: list[End]) -> np.ndarray:
    same = np.array([one.status is other.status and one.spurious is other.spurious for other in others], bool)
    if one.status is Status.DEGENERATE or not same.any():
        return same
    objectives, roundings = np.array([(other.objective, other.rounding) for other in others]).T
    rounding = np.maximum(one.rounding, roundings)
    return same & (np.abs(one.objective - objectives) < _SAME_OBJECTIVE * max(one.n_samples, 1.0) + rounding)


def _are_same_mixtures(one: End, others: list[End]) -> np.ndarray:
    """Whether around every component of either, both have the same weight."""
    k, n_others = len(one.weights), len(others)
    mine = np.broadcast_to(one.places, (n_others, *one.places.shape))
    places = np.concatenate([mine, [other.places for other in others]], axis=1)
    weights = np.concatenate([np.tile(one.weights, (n_others, 1)), [other.weights for other in others]], axis=1)
    same = np.ones(n_others, dtype=bool)
    for i in range(places.shape[1]):
        each = places[:, i : i + 1]
        near = _near(places, each) * weights
        ours, theirs = near[:, :k].sum(axis=1), near[:, k:].sum(axis=1)
        same &= (np.abs(ours - theirs) <= _SAME_WEIGHT * np.maximum(ours, theirs)) | (weights[:, i] == 0)
    return same
