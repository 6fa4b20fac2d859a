"""Best permutations for given costs, and their application: the one place where components change places."""

from functools import lru_cache
from itertools import permutations as all_permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emjax.errors import DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_ENUMERATED = 6
"""Up to this many components every permutation is tried (6! = 720), beyond it each draw is an assignment."""

_BLOCK_NUMBERS = 1 << 17  # numbers in a temporary array of the enumeration, so that it stays in a core's cache


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
    costs = as_costs(cost)
    finite = np.isfinite(costs).all(axis=(1, 2))
    if not finite.all():
        costs = np.where(finite[:, None, None], costs, 0.0)
    solve = _enumerate if costs.shape[1] <= MAX_ENUMERATED else _assign
    result = solve(costs)
    result[~finite] = np.arange(costs.shape[1])
    return result


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


def as_costs(cost: ArrayLike) -> FloatArray:
    """Costs as float64, or a `DataError` where they are not one square matrix for each draw."""
    costs = np.asarray(cost, np.float64)
    if costs.ndim != 3 or costs.shape[1] != costs.shape[2] or costs.shape[1] == 0:
        raise DataError(f"align: costs {costs.shape} must be (n_draws, n_components, n_components)")
    return costs


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
    from scipy.optimize import linear_sum_assignment  # heavy, and needed beyond MAX_ENUMERATED components only

    result = np.empty(costs.shape[:2], np.int64)
    for s, matrix in enumerate(costs):
        result[s] = linear_sum_assignment(matrix)[1]
    return result
