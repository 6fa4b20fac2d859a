"""Relabelling in one step: each draw by itself, against a reference or by the order of one number."""

import numpy as np
from numpy.typing import ArrayLike

from emjax.align.assignment import FloatArray, IntArray, apply, permutations_from_cost
from emjax.errors import DataError


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
    draws, target = _checked("pivot", parameters, reference)
    units = np.broadcast_to(_checked_scale("pivot", scale, draws, target, most_axes=2), target.shape)
    cost = np.empty((draws.shape[0], draws.shape[1], draws.shape[1]))
    # One reference component at a time: differences instead of |a|^2 - 2ab + |b|^2, which cancels for offset
    # data, and no temporary larger than the draws.
    for k in range(target.shape[0]):
        difference = (draws - target[k]) / units[k]
        cost[:, k, :] = np.einsum("sjp,sjp->sj", difference, difference)
    return cost


def pra(parameters: ArrayLike, reference: ArrayLike, scale: ArrayLike | None = None) -> IntArray:
    r"""Pivotal reordering: permutations under which the inner product with a reference's parameters is largest.

    Maximises :math:`\sum_k \sum_p (\theta_{s,\pi(k),p} - c_p)(\theta^{\mathrm{ref}}_{k,p} - c_p) / u_p^2` (Marin,
    Mengersen & Robert 2005, section 5.3; "PRA" of Papastamoulis 2016, *J. Stat. Softw.* 69, which takes parameters
    as they are). The centre :math:`c`, the mean of the reference's components, changes no choice. For one and the
    same unit of each parameter the answer is that of `pivot`, since the lengths of both vectors do not depend on the
    permutation. What makes this a method of its own here is the unit: the standard deviation of the draws *within
    labels*, under the permutations of `pivot`, so that a parameter counts by how sharply it tells components apart.

    Args:
        parameters: (n_draws, n_components, n_parameters), as in `pivot`.
        reference: (n_components, n_parameters), as in `pivot`.
        scale: the units u, (n_parameters,), positive. Default: as said above.

    Returns:
        (n_draws, n_components) integers.

    Raises:
        DataError: as in `pivot`.
    """
    return permutations_from_cost(pra_cost(parameters, reference, scale))


def pra_cost(parameters: ArrayLike, reference: ArrayLike, scale: ArrayLike | None = None) -> FloatArray:
    """Negative inner products (n_draws, n_components, n_components); arguments and errors as in `pra`."""
    draws, target = _checked("pra", parameters, reference)
    if scale is None:
        units = _scale_within(draws, pivot(draws, target))
    else:
        units = _checked_scale("pra", scale, draws, target, most_axes=1)
    centre = target.mean(axis=0)
    weights = (target - centre) / units**2
    with np.errstate(invalid="ignore"):  # a draw that is not finite stays so
        return -np.einsum("sjp,kp->skj", draws - centre, weights, optimize=True)


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


def _checked(name: str, parameters: ArrayLike, reference: ArrayLike) -> tuple[FloatArray, FloatArray]:
    draws, target = np.asarray(parameters, np.float64), np.asarray(reference, np.float64)
    if draws.ndim != 3 or target.shape != draws.shape[1:]:
        raise DataError(
            f"align.{name}: parameters {draws.shape} and reference {target.shape} do not fit; "
            "give (n_draws, n_components, n_parameters) and (n_components, n_parameters)"
        )
    if not np.isfinite(target).all():
        raise DataError(f"align.{name}: the reference is not finite; fit EM again from other starts")
    return draws, target


def _checked_scale(
    name: str, scale: ArrayLike | None, draws: FloatArray, target: FloatArray, most_axes: int
) -> FloatArray:
    units = _pooled_scale(draws) if scale is None else np.asarray(scale, np.float64)
    if not (np.isfinite(units).all() and (units > 0).all()):
        raise DataError(f"align.{name}: the scale must be finite and positive; leave it out for the default")
    if units.ndim > most_axes or np.broadcast_shapes(units.shape, target.shape) != target.shape:
        raise DataError(f"align.{name}: scale {units.shape} does not fit a reference {target.shape}")
    return units


def _scale_within(draws: FloatArray, order: IntArray) -> FloatArray:
    """Standard deviation (n_parameters,) over draws within labels; that over everything where it is 0."""
    finite = np.isfinite(draws).all(axis=(1, 2))
    if not finite.any():
        return np.ones(draws.shape[2])
    within = np.sqrt(apply(order[finite], draws[finite], axis=1).var(axis=0).mean(axis=0))
    pooled = _pooled_scale(draws)
    # A parameter that is the same in all draws up to rounding has no scale of its own.
    return np.where(np.isfinite(within) & (within > 1e-9 * pooled), within, pooled)


def _pooled_scale(draws: FloatArray) -> FloatArray:
    """Standard deviation (n_parameters,) over draws and components; 1 where it is 0: nothing hangs on it."""
    finite = np.isfinite(draws).all(axis=(1, 2))
    if not finite.any():
        return np.ones(draws.shape[2])
    deviation = draws[finite].std(axis=(0, 1))
    return np.where(np.isfinite(deviation) & (deviation > 0), deviation, 1.0)
