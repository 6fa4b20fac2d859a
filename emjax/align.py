r"""Alignment of component labels: the only file of emjax that reorders components.

A mixture's density does not change when its components are renumbered, so draws of a posterior (and optima of
EM) carry arbitrary labels. Every function here answers with *permutations*: ``permutations[s, k]`` is the
component of draw ``s`` that takes the place of component ``k`` of the reference, hence ``aligned[s, k] =
values[s, permutations[s, k]]`` (`apply` does that for any array).

All methods minimise a sum of costs, ``sum_k cost[s, k, permutations[s, k]]``, and share
`permutations_from_cost`:

- `pivot`: squared distance of the component's parameters from the reference (Marin, Mengersen & Robert 2005);
- `classification`: overlap of the responsibilities with the reference's (soft form of the equivalence-classes
  representatives algorithm, ECR, of Papastamoulis & Iliopoulos 2010);
- `ordering`: by one number per component, which is simple and, for overlapping components, often wrong.

`align` runs the first two, returns the permutations of one of them, and says how far the labels can be
trusted.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations as all_permutations
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emjax.errors import ConfigError, DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

METHODS = ("classification", "pivot")
MAX_ENUMERATED = 6
"""Up to this many components every permutation is tried (6! = 720), beyond it each draw is an assignment."""

TRUST_HIGH = 0.9
TRUST_LOW = 0.5
"""Bounds of the wording of `Alignment.note`; they decide nothing else."""

_BLOCK_NUMBERS = 1 << 17  # numbers in a temporary array of the enumeration, so that it stays in a core's cache


@dataclass(frozen=True)
class Alignment:
    r"""Labels of the draws, and how far they can be trusted.

    Attributes:
        permutations: (n_draws, n_components) integers; ``permutations[s, k]`` is the component of draw ``s``
            that takes the place of component ``k`` of the reference.
        method: "classification" or "pivot", the method that chose `permutations`.
        trust: between 0 and 1, :math:`\mathrm{trust} = \mathrm{separation} \cdot \max(0, (a - c)/(1 - c))`
            with the agreement ``a`` corrected for the share ``c = 1/n_components!`` that chance alone would
            give. Near 1, a parameter "of component k" has a meaning; when it is low the labels are not
            identified by the data, and only label-invariant quantities (density, co-clustering, evidence)
            should be read. 1 for one component.
        agreement: share of draws for which pivot and classification choose the same permutation. Necessary
            but not enough: two methods with one reference can agree on how to cut a single mode in two.
        separation: see `separation`, under the chosen method: 1 when no draw is near the border between two
            numberings of the components, 0 when the draws run across it.
        margin: mean over draws of `margins` under the chosen method; for the record, not part of the trust.
        objective: mean over draws of the optimum: the summed overlap (classification; at most the number of
            data) or the summed squared distance in units of the scale (pivot).
        note: one sentence in words.
    """

    permutations: IntArray
    method: str
    trust: float
    agreement: float
    separation: float
    margin: float
    objective: float
    note: str


def permutations_from_cost(cost: ArrayLike) -> IntArray:
    r"""Minimise :math:`\sum_k c_{s,k,\pi_s(k)}` over the permutations :math:`\pi_s`, for every draw.

    All permutations are tried for up to `MAX_ENUMERATED` components, vectorised over draws; more components
    are solved as linear assignment problems (Kuhn 1955; the variant of Crouse 2016 in SciPy). Both give an
    optimum; on exact ties the enumeration returns the first permutation in lexicographic order.

    Args:
        cost: (n_draws, n_components, n_components); ``cost[s, k, j]`` is the cost of giving label ``k`` to
            component ``j`` of draw ``s``. A draw with a non-finite cost keeps its labels.

    Returns:
        (n_draws, n_components) integers.

    Raises:
        DataError: the costs are not one square matrix per draw.
    """
    costs = _as_costs(cost)
    finite = np.isfinite(costs).all(axis=(1, 2))
    if not finite.all():
        costs = np.where(finite[:, None, None], costs, 0.0)
    solve = _enumerate if costs.shape[1] <= MAX_ENUMERATED else _assign
    result = solve(costs)
    result[~finite] = np.arange(costs.shape[1])
    return result


def pivot(parameters: ArrayLike, reference: ArrayLike, scale: ArrayLike | None = None) -> IntArray:
    r"""Permutations that bring the parameters of every draw closest to a reference, the pivot.

    Minimises :math:`\sum_k \sum_p ((\theta_{s,\pi(k),p} - \theta^{\mathrm{ref}}_{k,p}) / \mathrm{scale}_p)^2`
    (Marin, Mengersen & Robert 2005, *Handbook of Statistics* 25, section 5.3).

    Args:
        parameters: (n_draws, n_components, n_parameters), the parameters of each component side by side.
        reference: (n_components, n_parameters), usually EM's MAP.
        scale: what counts as one unit, (n_parameters,) or (n_components, n_parameters), positive. Default:
            the standard deviation of each parameter over all draws and components, which does not depend on
            the labels and makes the units of the data irrelevant.

    Returns:
        (n_draws, n_components) integers.

    Raises:
        DataError: shapes that do not fit, a non-finite reference, or a scale that is not positive.
    """
    return permutations_from_cost(pivot_cost(parameters, reference, scale))


def pivot_cost(parameters: ArrayLike, reference: ArrayLike, scale: ArrayLike | None = None) -> FloatArray:
    """Scaled squared distances (n_draws, n_components, n_components); arguments and errors as in `pivot`."""
    draws = np.asarray(parameters, np.float64)
    target = np.asarray(reference, np.float64)
    if draws.ndim != 3 or target.shape != draws.shape[1:]:
        raise DataError(
            f"align.pivot: parameters {draws.shape} and reference {target.shape} do not fit; "
            "give (n_draws, n_components, n_parameters) and (n_components, n_parameters)"
        )
    if not np.isfinite(target).all():
        raise DataError("align.pivot: the reference is not finite; fit EM again from other starts")
    units = _pooled_scale(draws) if scale is None else np.asarray(scale, np.float64)
    if not (np.isfinite(units).all() and (units > 0).all()):
        raise DataError("align.pivot: the scale must be finite and positive; leave it out for the pooled sd")
    if units.ndim > 2 or np.broadcast_shapes(units.shape, target.shape) != target.shape:
        raise DataError(f"align.pivot: scale {units.shape} does not fit a reference {target.shape}")
    units = np.broadcast_to(units, target.shape)
    cost = np.empty((draws.shape[0], draws.shape[1], draws.shape[1]))
    # One reference component at a time: differences instead of |a|^2 - 2ab + |b|^2, which cancels for offset
    # data, and no temporary larger than the draws.
    for k in range(target.shape[0]):
        difference = (draws - target[k]) / units[k]
        cost[:, k, :] = np.einsum("sjp,sjp->sj", difference, difference)
    return cost


def classification(responsibilities: ArrayLike, reference: ArrayLike) -> IntArray:
    r"""Permutations under which every draw classifies the data as the reference does.

    Maximises :math:`\sum_k \sum_n r_{s,\pi(k),n} \, r^{\mathrm{ref}}_{k,n}`: the soft form of ECR
    (Papastamoulis & Iliopoulos 2010, *J. Comput. Graph. Stat.* 19, 313-331), which counts agreeing hard
    allocations. Where all responsibilities of the draws do not fit in memory, sum `overlaps` over blocks and
    give ``permutations_from_cost(-overlap)``.

    Args:
        responsibilities: (n_draws, n_components, n_samples), of each draw.
        reference: (n_components, n_samples), usually those of EM's MAP.

    Returns:
        (n_draws, n_components) integers.

    Raises:
        DataError: shapes that do not fit, or a non-finite reference.
    """
    return permutations_from_cost(-overlaps(responsibilities, reference))


def overlaps(responsibilities: ArrayLike, reference: ArrayLike) -> FloatArray:
    """Overlap (n_draws, n_components, n_components) of reference label k with component j of each draw.

    ``overlap[s, k, j] = sum_n reference[k, n] * responsibilities[s, j, n]``. Overlaps of blocks of data add
    up, those of blocks of draws are concatenated. Arguments and errors as in `classification`.
    """
    draws = np.asarray(responsibilities, np.float64)
    target = np.asarray(reference, np.float64)
    if draws.ndim != 3 or target.shape != draws.shape[1:]:
        raise DataError(
            f"align.overlaps: responsibilities {draws.shape} and reference {target.shape} do not fit; "
            "give (n_draws, n_components, n_samples) and (n_components, n_samples)"
        )
    if not np.isfinite(target).all():
        raise DataError("align.overlaps: the reference is not finite; fit EM again from other starts")
    n_draws, n_components, n_samples = draws.shape
    flat = draws.reshape(n_draws * n_components, n_samples) @ target.T
    return np.ascontiguousarray(flat.reshape(n_draws, n_components, n_components).transpose(0, 2, 1))


def ordering(values: ArrayLike) -> IntArray:
    """Permutations that put one number per component, such as its mean, in ascending order.

    Simple and easy to explain, but where components overlap it agrees with the other methods on about half of
    the draws only; prefer `align`.

    Args:
        values: (n_draws, n_components).

    Returns:
        (n_draws, n_components) integers; equal values keep their order, NaN goes last.

    Raises:
        DataError: the values are not a matrix.
    """
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 2:
        raise DataError(f"align.ordering: values {numbers.shape} must be (n_draws, n_components)")
    return np.argsort(numbers, axis=1, kind="stable").astype(np.int64)


def match(reference: ArrayLike, estimate: ArrayLike, scale: ArrayLike | None = None) -> IntArray:
    """Permutation (n_components,) that brings one estimate's components closest to another's.

    `pivot` for a single draw: ``estimate[match(reference, estimate)]`` lines up with `reference`.

    Args:
        reference: (n_components, n_parameters).
        estimate: (n_components, n_parameters).
        scale: as in `pivot`; default the standard deviation of each parameter over the components of both.

    Raises:
        DataError: as in `pivot`.
    """
    target, moved = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    if target.ndim != 2 or target.shape != moved.shape:
        raise DataError(
            f"align.match: reference {target.shape} and estimate {moved.shape} must both be "
            "(n_components, n_parameters)"
        )
    units = _pooled_scale(np.stack([target, moved])) if scale is None else scale
    return pivot(moved[None], target, units)[0]


def apply(permutations: ArrayLike, values: ArrayLike, axis: int) -> np.ndarray:
    """Reorder the components of an array: ``result[s, ..., k, ...] = values[s, ..., permutations[s, k],
    ...]``.

    Args:
        permutations: (n_draws, n_components), or with more leading axes, such as (n_chains, n_draws,
            n_components).
        values: the same leading axes, then any others, one of which counts components; any dtype.
        axis: the axis of `values` that counts components, negative from the end; not one of the leading axes.

    Returns:
        A new array of the shape and dtype of `values`.

    Raises:
        DataError: shapes that do not fit.
    """
    order, array = np.asarray(permutations), np.asarray(values)
    n_leading = order.ndim - 1
    position = axis + array.ndim if axis < 0 else axis
    fits = n_leading <= position < array.ndim and array.shape[:n_leading] == order.shape[:-1]
    if not fits or array.shape[position] != order.shape[-1]:
        raise DataError(
            f"align.apply: permutations {order.shape} do not fit values {array.shape} with components on "
            f"axis {axis}; both must share the leading axes and the number of components"
        )
    shape = [1] * array.ndim
    shape[:n_leading] = order.shape[:-1]
    shape[position] = order.shape[-1]
    return np.take_along_axis(array, order.reshape(shape), axis=position)


def margins(cost: ArrayLike, permutations: ArrayLike) -> FloatArray:
    r"""How clearly each draw tells its components apart, between 0 and 1, relative to the typical draw.

    For labels ``i, j`` let :math:`g_{ij} = c_{i,\pi(j)} + c_{j,\pi(i)} - c_{i,\pi(i)} - c_{j,\pi(j)} \ge 0`
    be what it would cost the draw to exchange them, the gap between the best permutation and that exchange,
    and :math:`\tilde g_{ij}` its median over draws. The margin of a draw is :math:`\min_{i<j} \min(1, g_{ij}
    / \tilde g_{ij})`, which is free of the units of the cost.

    Args:
        cost: (n_draws, n_components, n_components), as in `permutations_from_cost`.
        permutations: (n_draws, n_components), the optimum for `cost`.

    Returns:
        (n_draws,) numbers; 0 for a draw with a non-finite cost and wherever the median is 0; 1 for a single
        component.

    Raises:
        DataError: the costs are not one square matrix per draw, or the permutations do not fit them.
    """
    gaps, finite = _relative_gaps(cost, permutations)
    result = np.zeros(len(finite))
    result[finite] = np.minimum(gaps, 1.0).min(axis=1, initial=1.0)
    return result


def separation(cost: ArrayLike, permutations: ArrayLike) -> float:
    r"""Depth of the valley between the posterior's equivalent modes, between 0 and 1.

    A posterior has a copy of every mode for every numbering of the components, and labels mean something only
    if the copies do not run into each other. At a gap :math:`g_{ij} = 0` (see `margins`) a draw lies on the
    border between two copies. With the density of :math:`u = g_{ij} / \tilde g_{ij}` averaged over the border
    zone :math:`u < 1/2` and over the typical zone :math:`1/2 \le u < 3/2`, the separation of a pair is
    :math:`1 - \mathrm{border} / \mathrm{typical}`, at least 0, and the result is that of the worst pair. It
    is 1 if no draw comes near a border, and 0 if the density does not fall towards it, as where one symmetric
    mode is cut in two. A gap that is normal with mean 1 has 0.95 if its sd is 1/4, 0.85 if 1/3, and 0.54 if
    1/2.

    Args:
        cost: as in `margins`.
        permutations: as in `margins`.

    Returns:
        The separation; draws with a non-finite cost are left out. 0 where the median gap is 0 or no draw is
        finite, 1 for a single component.

    Raises:
        DataError: as in `margins`.
    """
    gaps, _ = _relative_gaps(cost, permutations)
    if len(gaps) == 0:
        return 0.0
    border = 2.0 * (gaps < 0.5).mean(axis=0)  # the zone is half as wide
    typical = ((gaps >= 0.5) & (gaps < 1.5)).mean(axis=0)
    valley = np.divide(border, typical, out=np.ones_like(border), where=typical > 0)
    return float(np.clip(1.0 - valley, 0.0, 1.0).min(initial=1.0))


def align(
    parameters: ArrayLike,
    reference: ArrayLike,
    overlap: ArrayLike,
    *,
    scale: ArrayLike | None = None,
    method: str = "classification",
) -> Alignment:
    """Align draws to a reference by two methods, keep one, and score how far the labels can be trusted.

    Args:
        parameters: (n_draws, n_components, n_parameters), as in `pivot`.
        reference: (n_components, n_parameters), as in `pivot`.
        overlap: (n_draws, n_components, n_components), from `overlaps`.
        scale: as in `pivot`.
        method: which permutations to keep, "classification" (default) or "pivot".

    Returns:
        The `Alignment`; its docstring defines the trust. A draw with non-finite numbers keeps its labels,
        counts as a disagreement, and is mentioned in the note.

    Raises:
        ConfigError: an unknown method.
        DataError: shapes that do not fit, no draws, or a non-finite reference.
    """
    if method not in METHODS:
        raise ConfigError(f"align: unknown method {method!r}; choose one of {', '.join(METHODS)}")
    gains = _as_costs(overlap)
    distances = pivot_cost(parameters, reference, scale)
    if distances.shape != gains.shape or len(gains) == 0:
        raise DataError(f"align: overlap {gains.shape} must be {distances.shape}, with at least one draw")
    finite = np.isfinite(distances).all(axis=(1, 2)) & np.isfinite(gains).all(axis=(1, 2))
    chosen = {"pivot": permutations_from_cost(distances), "classification": permutations_from_cost(-gains)}
    agreement = float(np.mean((chosen["pivot"] == chosen["classification"]).all(axis=1) & finite))
    order, cost = chosen[method], distances if method == "pivot" else -gains
    apart = separation(cost, order)
    trust = _trust(agreement, apart, n_components=order.shape[1])
    return Alignment(
        permutations=order,
        method=method,
        trust=trust,
        agreement=agreement,
        separation=apart,
        margin=float(margins(cost, order).mean()),
        objective=_mean_optimum(distances if method == "pivot" else gains, order, finite),
        note=_note(order.shape[1], trust, agreement, n_non_finite=int((~finite).sum())),
    )


def _trust(agreement: float, apart: float, n_components: int) -> float:
    if n_components == 1:
        return 1.0
    chance = 1.0 / factorial(n_components)
    return max(0.0, (agreement - chance) / (1.0 - chance)) * apart


def _mean_optimum(values: FloatArray, order: IntArray, finite: NDArray[np.bool_]) -> float:
    if not finite.any():
        return float("nan")
    chosen = np.take_along_axis(values[finite], order[finite][:, :, None], axis=2)
    return float(chosen.sum(axis=(1, 2)).mean())


def _note(n_components: int, trust: float, agreement: float, n_non_finite: int) -> str:
    if n_components == 1:
        text = "There is one component, so there are no labels to align"
    else:
        shares = f"two relabelling methods agree on {agreement:.0%} of the draws, trust {trust:.2f}"
        if trust >= TRUST_HIGH:
            text = f"The labels are identified: {shares}"
        elif trust >= TRUST_LOW:
            text = f"The labels are partly identified: {shares}; read parameters per component with care"
        else:
            text = f"The labels are not identified: {shares}; read label-invariant quantities only"
    if n_non_finite:
        text += f" ({n_non_finite} draws with non-finite numbers kept their labels)"
    return text + "."


def _as_costs(cost: ArrayLike) -> FloatArray:
    costs = np.asarray(cost, np.float64)
    if costs.ndim != 3 or costs.shape[1] != costs.shape[2] or costs.shape[1] == 0:
        raise DataError(f"align: costs {costs.shape} must be (n_draws, n_components, n_components)")
    return costs


def _pooled_scale(draws: FloatArray) -> FloatArray:
    """Standard deviation (n_parameters,) over draws and components; 1 where it is 0: nothing hangs on it."""
    finite = np.isfinite(draws).all(axis=(1, 2))
    if not finite.any():
        return np.ones(draws.shape[2])
    deviation = draws[finite].std(axis=(0, 1))
    return np.where(np.isfinite(deviation) & (deviation > 0), deviation, 1.0)


def _relative_gaps(cost: ArrayLike, permutations: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Exchange gaps (n_finite, n_pairs) over their medians, 0 where that is 0; and which draws are finite."""
    costs = _as_costs(cost)
    order = np.asarray(permutations)
    if order.shape != costs.shape[:2]:
        raise DataError(f"align: permutations {order.shape} do not fit costs {costs.shape}")
    finite = np.isfinite(costs).all(axis=(1, 2))
    aligned = apply(order[finite], costs[finite], axis=2)  # the optimum is now on the diagonal
    first, second = np.triu_indices(costs.shape[1], k=1)
    diagonal = np.einsum("skk->sk", aligned)
    crossed = aligned[:, first, second] + aligned[:, second, first]
    gaps = crossed - diagonal[:, first] - diagonal[:, second]
    if gaps.size == 0:
        return gaps, finite
    median = np.broadcast_to(np.median(gaps, axis=0), gaps.shape)
    return np.divide(gaps, median, out=np.zeros_like(gaps), where=median > 0), finite


@lru_cache(maxsize=MAX_ENUMERATED)
def _permutation_table(n_components: int) -> IntArray:
    """All permutations (n_components!, n_components) in lexicographic order, the identity first."""
    return np.array(list(all_permutations(range(n_components))), np.int64)


def _enumerate(costs: FloatArray) -> IntArray:
    n_draws, n_components, _ = costs.shape
    table = _permutation_table(n_components)
    best = np.empty(n_draws, np.int64)
    block = max(1, _BLOCK_NUMBERS // len(table))
    for start in range(0, n_draws, block):
        part = costs[start : start + block].transpose(1, 2, 0)  # draws last: each gather copies whole rows
        totals = part[0][table[:, 0]]
        for k in range(1, n_components):
            totals += part[k][table[:, k]]
        best[start : start + block] = totals.argmin(axis=0)
    return table[best]


def _assign(costs: FloatArray) -> IntArray:
    from scipy.optimize import (
        linear_sum_assignment,
    )  # heavy, and needed beyond MAX_ENUMERATED components only

    result = np.empty(costs.shape[:2], np.int64)
    for s, matrix in enumerate(costs):
        result[s] = linear_sum_assignment(matrix)[1]
    return result
