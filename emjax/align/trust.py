"""How far labels can be trusted: margins, the separation of the equivalent modes, and `Alignment`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emjax.align.assignment import FloatArray, IntArray, apply, as_costs, permutations_from_cost
from emjax.align.direct import pivot_cost
from emjax.errors import ConfigError, DataError
from emjax.shown import Shown

METHODS = ("classification", "pivot")
"""What `align` can keep; `emjax.align.RELABELLINGS` are all methods."""

TRUST_HIGH = 0.9
TRUST_LOW = 0.5
"""Bounds of the wording of `Alignment.note`; they decide nothing else."""


@dataclass(frozen=True, eq=False, repr=False)
class Alignment(Shown):
    r"""Labels of the draws, and how far they can be trusted.

    Attributes:
        permutations: (n_draws, n_components) integers; ``permutations[s, k]`` is the component of draw ``s``
            that takes the place of component ``k`` of the reference.
        method: "classification" or "pivot", the method that chose `permutations`; "none" where the prior or labels
            in the data tell components apart.
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

    @property
    def needed(self) -> bool:
        """Whether labels had no meaning before: neither the prior nor labels in the data tell components apart."""
        return self.method != "none"

    @property
    def unmoved(self) -> "Alignment":
        """The same draws with their own labels, where these mean something already."""
        own = np.broadcast_to(np.arange(self.permutations.shape[1]), self.permutations.shape)
        note = "Labels are those of the prior or of the data, which tell components apart: nothing was moved."
        return replace(self, permutations=own, method="none", trust=1.0, agreement=1.0, separation=1.0, note=note)

    def _shown(self) -> Iterator[tuple[str, Any]]:
        names = "method", "trust", "agreement", "separation", "permutations"
        yield from ((name, getattr(self, name)) for name in names)


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
    gaps, finite = relative_gaps(cost, permutations)
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
    gaps, _ = relative_gaps(cost, permutations)
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
    gains = as_costs(overlap)
    distances = pivot_cost(parameters, reference, scale)
    if distances.shape != gains.shape or len(gains) == 0:
        raise DataError(f"align: overlap {gains.shape} must be {distances.shape}, with at least one draw")
    finite = np.isfinite(distances).all(axis=(1, 2)) & np.isfinite(gains).all(axis=(1, 2))
    chosen = {"pivot": permutations_from_cost(distances), "classification": permutations_from_cost(-gains)}
    agreement = float(np.mean((chosen["pivot"] == chosen["classification"]).all(axis=1) & finite))
    order, cost = chosen[method], distances if method == "pivot" else -gains
    apart = separation(cost, order)
    trust = label_trust(agreement, apart, n_components=order.shape[1])
    return Alignment(
        permutations=order,
        method=method,
        trust=trust,
        agreement=agreement,
        separation=apart,
        margin=float(margins(cost, order).mean()),
        objective=mean_optimum(distances if method == "pivot" else gains, order, finite),
        note=_note(order.shape[1], trust, agreement, n_non_finite=int((~finite).sum())),
    )


def label_trust(agreement: float, apart: float, n_components: int) -> float:
    """The trust of `Alignment`: agreement beyond chance times separation."""
    if n_components == 1:
        return 1.0
    chance = 1.0 / factorial(n_components)
    return max(0.0, (agreement - chance) / (1.0 - chance)) * apart


def mean_optimum(values: FloatArray, order: IntArray, finite: NDArray[np.bool_]) -> float:
    """The mean over finite draws of what the chosen permutations add up to."""
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


def relative_gaps(cost: ArrayLike, permutations: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Exchange gaps (n_finite, n_pairs) over their medians, 0 where that is 0; and which draws are finite.

    The pairs are those of ``np.triu_indices(n_components, k=1)``; the arguments, and what is raised, as in `margins`.
    """
    costs = as_costs(cost)
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
