"""Every relabelling method behind one call, and how far the methods agree with each other."""

import dataclasses
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emjax.align import iterative
from emjax.align.assignment import FloatArray, IntArray, apply, permutations_from_cost
from emjax.align.direct import ordering, overlaps, pivot_cost, pra_cost
from emjax.align.iterative import Alternation, Profiles
from emjax.align.trust import label_trust, mean_optimum, separation
from emjax.errors import ConfigError, DataError
from emjax.shown import Shown


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LabelledDraws(Shown):
    """Draws whose labels are arbitrary, and what they are aligned to. A method takes from it what it needs.

    Attributes
    ----------
    parameters
        ``(n_draws, n_components, n_parameters)``, the parameters of each component side by side.
    reference_parameters
        ``(n_components, n_parameters)``, usually EM's MAP.
    responsibilities
        ``(n_draws, n_components, n_samples)`` of each draw. The iterative methods compute in their precision, float32
        or float64; in float32 an iteration takes about half the time.
    reference_responsibilities
        ``(n_components, n_samples)``, usually those of EM's MAP. Iterative methods start from it, so that their labels
        are the reference's; without it they start from the first draw.
    data
        ``(n_samples, n_features)``, or ``(n_samples,)`` for one feature: what the responsibilities belong to.
    allocations
        ``(n_draws, n_samples)`` integers, the component of each datum as the sampler drew it. Without them the methods
        that need them take the most probable component.
    order_by
        The column of `parameters` that "ordering" sorts by, 1 by default: the first after the weight.
    """

    parameters: ArrayLike | None = None
    reference_parameters: ArrayLike | None = None
    responsibilities: ArrayLike | None = None
    reference_responsibilities: ArrayLike | None = None
    data: ArrayLike | None = None
    allocations: ArrayLike | None = None
    order_by: int = 1

    def has(self, name: str) -> bool:
        """Is this given, or does it follow from what is given?"""
        if name == "allocations" and self.allocations is None:
            return self.responsibilities is not None
        return getattr(self, name) is not None

    @cached_property
    def shape(self) -> tuple[int, int]:
        """``(n_draws, n_components)``, on which everything that is given has to agree."""
        leading = {name: np.shape(value)[:2] for name in _WITH_DRAWS if (value := getattr(self, name)) is not None}
        sizes = set(leading.values())
        if len(sizes) != 1 or len(next(iter(sizes))) != 2 or 0 in next(iter(sizes)):
            raise DataError(
                f"align: give {' or '.join(_WITH_DRAWS)}, each (n_draws, n_components, ...) with one draw or more and "
                f"the same in both; got {leading}"
            )
        return sizes.pop()

    @cached_property
    def soft(self) -> Profiles:
        """The responsibilities as profiles."""
        values = np.asarray(self.responsibilities)
        if values.ndim != 3 or values.shape[2] == 0:
            raise DataError(f"align: responsibilities {values.shape} must be (n_draws, n_components, n_samples)")
        return iterative.soft_profiles(values)

    @cached_property
    def hard(self) -> Profiles:
        """The allocations as profiles."""
        n_draws, n_components = self.shape
        if self.allocations is None:
            labels = iterative.most_probable(np.asarray(self.responsibilities))
            return iterative.hard_profiles(labels, self.soft.finite, n_components)
        labels = np.asarray(self.allocations)
        fits = labels.ndim == 2 and len(labels) == n_draws and labels.size > 0
        if not fits or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= n_components:
            raise DataError(
                f"align: allocations must be ({n_draws}, n_samples) integers from 0 to {n_components - 1}; "
                f"got {labels.dtype} {labels.shape}"
            )
        if self.responsibilities is not None and np.shape(self.responsibilities)[2:] != labels.shape[1:]:
            raise DataError(
                f"align: allocations {labels.shape} do not fit responsibilities {np.shape(self.responsibilities)}"
            )
        return iterative.hard_profiles(labels, np.ones(n_draws, bool), n_components)

    def start(self, profiles: Profiles) -> FloatArray:
        """The average profiles an iteration starts from, ``(n_components, n_samples)``."""
        if self.reference_responsibilities is not None:
            return self.reference(profiles)
        first = int(np.argmax(profiles.finite))
        return profiles.flat.reshape(*self.shape, -1)[first].astype(np.float64)

    def reference(self, profiles: Profiles) -> FloatArray:
        """The reference's responsibilities, as checked."""
        reference = np.asarray(self.reference_responsibilities, np.float64)
        expected = (self.shape[1], profiles.flat.shape[1])
        if reference.shape != expected or not np.isfinite(reference).all():
            raise DataError(f"align: reference_responsibilities must be {expected}, all finite; got {reference.shape}")
        return reference

    @property
    def values(self) -> FloatArray:
        """The data as ``(n_samples, n_features)``."""
        values = np.asarray(self.data, np.float64)
        values = values[:, None] if values.ndim == 1 else values
        n_samples = self.hard.flat.shape[1]
        if values.ndim != 2 or len(values) != n_samples or not np.isfinite(values).all():
            raise DataError(f"align: data must be ({n_samples}, n_features), all finite; got {values.shape}")
        return values


_WITH_DRAWS = ("parameters", "responsibilities")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Relabelling(Shown):
    """What one method answers.

    Attributes
    ----------
    method
        One of `RELABELLINGS`.
    permutations
        ``(n_draws, n_components)``; ``permutations[s, k]`` is the component of draw ``s`` that gets label ``k``.
    objective
        Mean over draws of what the method optimises: smallest for "pivot" (squared distance in pooled standard
        deviations), "stephens" (Kullback-Leibler divergence, nats) and "data-based" (squared distance of the data from
        the means of their clusters, in standard deviations of all data), largest for "pra" and "ordering" (inner
        products) and for "classification", "ecr" and its iterative forms (data on which draw and reference agree).
        Comparable between runs of one method only.
    n_iter
        How often the reference was estimated, 0 for a method that does not estimate one.
    converged
        False where `max_iter` ended an iterative method.
    separation
        `emjax.align.separation` under the method's own cost: 1 where no draw is near the border of two numberings.
    finite
        ``(n_draws,)``; a draw with numbers that are not finite keeps its labels, and counts as a disagreement.
    trace
        The objective at the start and after each iteration. It never gets worse with "stephens" and "ecr-iterative-1".
    agreement
        By the name of each other method of `compare_methods`, the share of draws on which both choose the same
        permutation, up to one permutation of all labels that is the same for all draws.
    """

    method: str
    permutations: IntArray
    objective: float
    n_iter: int
    converged: bool
    separation: float
    finite: NDArray[np.bool_]
    trace: tuple[float, ...]
    agreement: dict[str, float] = dataclasses.field(default_factory=dict)

    def apply(self, values: ArrayLike, axis: int) -> NDArray[Any]:
        """Values ``(n_draws, ...)`` with their components, which ``axis`` counts, in the order of the labels."""
        return apply(self.permutations, values, axis)

    @property
    def trust(self) -> float | None:
        """`Alignment.trust` of these labels, or None where the method that it needs was not run.

        The agreement in its formula is that with a method that reads other evidence: "pivot" for a method that reads
        responsibilities, "classification" for one that reads parameters.
        """
        other = _COUNTERPART[_METHODS[self.method].reads]
        if other not in self.agreement:
            return None
        return label_trust(self.agreement[other], self.separation, self.permutations.shape[1])


def relabel(draws: LabelledDraws, method: str = "classification", *, max_iter: int = 100) -> Relabelling:
    """Give the components of all draws one set of labels.

    Parameters
    ----------
    draws
        The draws, and what they are aligned to.
    method
        "classification"
            the overlap of responsibilities with the reference's, see `classification`.
        "pivot", "pra"
            squared distance and inner product of the parameters with the reference's, see `pivot` and `pra`.
        "ordering"
            by one parameter, see `ordering`; the labels of the reference, where it is given.
        "ecr"
            equivalence classes representatives: the most data that are allocated as by the reference (Papastamoulis
            and Iliopoulos 2010).
        "ecr-iterative-1"
            the same against the most frequent allocation of each datum over all draws, re-estimated in turn
            (Papastamoulis 2016).
        "ecr-iterative-2"
            the same against the label with the largest mean responsibility, re-estimated in turn (Papastamoulis 2016).
        "stephens"
            the smallest Kullback-Leibler divergence of the responsibilities from their mean, re-estimated in turn
            (Stephens 2000).
        "data-based"
            the smallest distance of the allocated data from the means of the labels' clusters, in standard deviations
            of these clusters, both re-estimated in turn (Rodriguez and Walker 2014); here to a fixed point, and for
            several features the sum over them.
    max_iter
        The most re-estimates of an iterative method, 100 by default.

    Returns
    -------
    Relabelling

    Raises
    ------
    ConfigError
        If the method is unknown or ``max_iter`` below 1.
    DataError
        If something the method needs is missing, or shapes do not fit.

    References
    ----------
    Stephens, Journal of the Royal Statistical Society B 62, 2000, algorithm 2; Papastamoulis and Iliopoulos, Journal of
    Computational and Graphical Statistics 19, 2010; Rodriguez and Walker, the same 23, 2014; Papastamoulis, Journal of
    Statistical Software 69, 2016.
    """
    if method not in _METHODS:
        raise ConfigError(f"align: unknown method {method!r}; choose one of {', '.join(RELABELLINGS)}")
    if max_iter < 1:
        raise ConfigError(f"align: max_iter={max_iter} must be at least 1")
    missing = [name for name in _METHODS[method].needs if not draws.has(name)]
    if missing:
        raise DataError(f"align: method {method!r} needs {' and '.join(missing)} of the LabelledDraws")
    n_components = draws.shape[1]
    answer = _METHODS[method].answer(draws, max_iter)
    finite = np.isfinite(answer.cost).all(axis=(1, 2))
    order = np.where(finite[:, None], answer.order, np.arange(n_components)[None, :])
    return Relabelling(
        method=method,
        permutations=order,
        objective=answer.trace[-1],
        n_iter=len(answer.trace) - 1,
        converged=answer.converged,
        separation=separation(answer.cost, order),
        finite=finite,
        trace=answer.trace,
    )


def compare_methods(
    draws: LabelledDraws, methods: Iterable[str] | None = None, *, max_iter: int = 100
) -> tuple[Relabelling, ...]:
    """Run several methods on the same draws, and say for each how far it agrees with each other one.

    Parameters
    ----------
    draws
        The draws, and what they are aligned to.
    methods
        Names out of `RELABELLINGS`; by default all for which the draws have what is needed.
    max_iter
        As in `relabel`.

    Returns
    -------
    tuple of Relabelling
        In the order of ``methods``, with `Relabelling.agreement`.

    Raises
    ------
    ConfigError, DataError
        As `relabel` does; ConfigError also if a method is named twice.
    """
    if methods is None:
        names = tuple(name for name, method in _METHODS.items() if all(draws.has(need) for need in method.needs))
    else:
        names = tuple(methods)
    if len(set(names)) < len(names):
        raise ConfigError(f"align: a method is named twice: {', '.join(names)}")
    found = [relabel(draws, name, max_iter=max_iter) for name in names]
    return tuple(
        dataclasses.replace(
            one,
            agreement={
                other.method: share_agreed(one.permutations, other.permutations, one.finite & other.finite)
                for other in found
                if other is not one
            },
        )
        for one in found
    )


def share_agreed(first: ArrayLike, second: ArrayLike, counted: ArrayLike | None = None) -> float:
    r"""Share of draws on which two relabellings agree, up to one permutation that is the same for all draws.

    Methods that choose their own reference number the labels as they please. With :math:`\pi_s` and :math:`\rho_s` the
    permutations of a draw, :math:`\pi_s^{-1} \rho_s` is the same for all draws on which the methods agree; the share is
    that of the most frequent one.

    Parameters
    ----------
    first, second
        ``(n_draws, n_components)`` permutations.
    counted
        ``(n_draws,)``, False for a draw that counts as a disagreement whatever its permutations are; default none.
    """
    one, other = np.asarray(first), np.asarray(second)
    if one.ndim != 2 or one.shape != other.shape or one.size == 0:
        raise DataError(f"align: permutations {one.shape} and {other.shape} must both be (n_draws, n_components)")
    relative = np.take_along_axis(np.argsort(one, axis=1), other, axis=1)
    if counted is not None:
        relative = relative[np.asarray(counted, bool)]
    if len(relative) == 0:
        return 0.0
    return float(np.unique(relative, axis=0, return_counts=True)[1].max() / len(one))


@dataclasses.dataclass(frozen=True)
class _Answer:
    """Costs, NaN for a draw that is not finite; permutations; the objective after each choice of permutations."""

    cost: FloatArray
    order: IntArray
    trace: tuple[float, ...]
    converged: bool = True


def _best(cost: FloatArray, sign: float) -> _Answer:
    """The answer of a method that is done in one step; its objective is the cost or, with sign -1, its negative."""
    return _done(cost, permutations_from_cost(cost), sign)


def _done(cost: FloatArray, order: IntArray, sign: float) -> _Answer:
    objective = sign * mean_optimum(cost, order, np.isfinite(cost).all(axis=(1, 2)))
    return _Answer(cost, order, (objective,))


def _ended(profiles: Profiles, end: Alternation, sign: float) -> _Answer:
    cost = np.where(profiles.finite[:, None, None], end.cost, np.nan)
    return _Answer(cost, end.permutations, tuple(sign * loss for loss in end.trace), end.converged)


def _pivot(draws: LabelledDraws, max_iter: int) -> _Answer:
    return _best(pivot_cost(_given(draws.parameters), _given(draws.reference_parameters)), 1.0)


def _pra(draws: LabelledDraws, max_iter: int) -> _Answer:
    return _best(pra_cost(_given(draws.parameters), _given(draws.reference_parameters)), -1.0)


def _classification(draws: LabelledDraws, max_iter: int) -> _Answer:
    cost = -overlaps(_given(draws.responsibilities), _given(draws.reference_responsibilities))
    return _best(cost, -1.0)


def _ordering(draws: LabelledDraws, max_iter: int) -> _Answer:
    parameters = np.asarray(draws.parameters, np.float64)
    if parameters.ndim != 3 or not 0 <= draws.order_by < parameters.shape[2]:
        raise DataError(f"align: parameters {parameters.shape} have no column {draws.order_by} to sort by")
    values = parameters[:, :, draws.order_by]
    ranks = np.arange(values.shape[1])
    if draws.reference_parameters is not None:
        # Each label gets the rank that it has in the reference.
        ranks = np.argsort(ordering(np.asarray(draws.reference_parameters)[None, :, draws.order_by])[0])
    finite = np.isfinite(values).all(axis=1)
    deviation = values[finite].std() if finite.any() else 1.0
    z = (values - (values[finite].mean() if finite.any() else 0.0)) / (deviation if deviation > 0 else 1.0)
    # Sorting is the permutation with the largest inner product of ranks and values (rearrangement inequality).
    cost = -((ranks - ranks.mean())[None, :, None] * z[:, None, :])
    order = ordering(values)[:, ranks]
    return _done(cost, order, -1.0)


def _ecr(draws: LabelledDraws, max_iter: int) -> _Answer:
    hard = draws.hard
    cost = -hard.scores(iterative.modal_allocation(draws.reference(hard)))
    return _best(np.where(hard.finite[:, None, None], cost, np.nan), -1.0)


def _stephens(draws: LabelledDraws, max_iter: int) -> _Answer:
    return _ended(draws.soft, iterative.stephens(draws.soft, draws.start(draws.soft), max_iter), 1.0)


def _ecr_iterative(draws: LabelledDraws, max_iter: int, averaged: Profiles) -> _Answer:
    hard = draws.hard
    start = draws.start(averaged)
    end = iterative.alternate(hard, iterative.modal_allocation, start, averaged=averaged, max_iter=max_iter)
    return _ended(hard, end, -1.0)


def _ecr_iterative_1(draws: LabelledDraws, max_iter: int) -> _Answer:
    return _ecr_iterative(draws, max_iter, draws.hard)


def _ecr_iterative_2(draws: LabelledDraws, max_iter: int) -> _Answer:
    return _ecr_iterative(draws, max_iter, draws.soft)


def _data_based(draws: LabelledDraws, max_iter: int) -> _Answer:
    hard = draws.hard
    clusters = iterative.Clusters.of(draws.values)
    start = draws.start(hard)
    # In units of the clusters themselves the data are always at the same distance from their own clusters.
    end = iterative.alternate(hard, clusters.target, start, objective=clusters.spread, max_iter=max_iter)
    return _ended(hard, end, 1.0)


def _given(value: ArrayLike | None) -> ArrayLike:
    assert value is not None  # `needs` says so, and `relabel` has looked
    return value


@dataclasses.dataclass(frozen=True)
class _Method:
    reads: Literal["parameters", "responsibilities"]
    needs: tuple[str, ...]
    answer: Callable[[LabelledDraws, int], _Answer]


_PARAMETERS = ("parameters", "reference_parameters")
_RESPONSIBILITIES = ("responsibilities", "reference_responsibilities")
_METHODS = {
    "classification": _Method("responsibilities", _RESPONSIBILITIES, _classification),
    "pivot": _Method("parameters", _PARAMETERS, _pivot),
    "pra": _Method("parameters", _PARAMETERS, _pra),
    "ordering": _Method("parameters", ("parameters",), _ordering),
    "ecr": _Method("responsibilities", ("allocations", "reference_responsibilities"), _ecr),
    "ecr-iterative-1": _Method("responsibilities", ("allocations",), _ecr_iterative_1),
    "ecr-iterative-2": _Method("responsibilities", ("allocations", "responsibilities"), _ecr_iterative_2),
    "stephens": _Method("responsibilities", ("responsibilities",), _stephens),
    "data-based": _Method("responsibilities", ("allocations", "data"), _data_based),
}
_COUNTERPART = {"parameters": "classification", "responsibilities": "pivot"}

RELABELLINGS = tuple(_METHODS)
"""The methods of `relabel`."""
