r"""Relabelling that estimates its own reference from all draws: alternate between permutations and reference.

Every method here is one loop. With a profile :math:`p_{s,j,n}` of each draw's components over the data (its
responsibilities, or its allocations as zeros and ones), a reference scores how well component ``j`` of draw ``s`` fits
label ``k`` by :math:`\sum_n p_{s,j,n} t_{k,n}`; each draw takes its best permutation, the profiles are averaged under
these, :math:`q_{k,n} = \frac1S \sum_s p_{s,\pi_s(k),n}`, and the targets :math:`t_{k,n}` follow from :math:`q`. Methods
differ in the profile and in the targets only, and both halves of an iteration are matrix products.
"""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emjax.align.assignment import FloatArray, IntArray, permutations_from_cost

Profile = NDArray[Any]  # float32 or float64

SMALLEST = 1e-30
"""Logarithms stop here. In float32 smaller responsibilities count as 0: below 1e-38 it is a hundred times slower."""

_BLOCK_NUMBERS = 1 << 15  # numbers in a temporary array, so that it stays in a core's cache
_TOLERANCE = 1e-12  # a relative change of the loss that counts as none, such as an exchange of two equal components


@dataclasses.dataclass(frozen=True, eq=False)
class Profiles:
    """Profiles of the components of every draw over the data, as one matrix.

    Attributes
    ----------
    flat
        ``(n_draws * n_components, n_samples)``, zeros for a draw that is not finite.
    finite
        ``(n_draws,)``, which draws have finite numbers.
    """

    flat: Profile
    finite: NDArray[np.bool_]

    @property
    def n_components(self) -> int:
        """Components of each draw."""
        return len(self.flat) // len(self.finite)

    def scores(self, target: FloatArray) -> FloatArray:
        """``scores[s, k, j] = sum_n target[k, n] * profile[s, j, n]``, from a product in the profile's precision."""
        product = target.astype(self.flat.dtype) @ self.flat.T
        parts = product.reshape(self.n_components, len(self.finite), self.n_components)
        return np.ascontiguousarray(parts.transpose(1, 0, 2), np.float64)

    def average(self, order: IntArray) -> FloatArray:
        """Mean ``(n_components, n_samples)`` over finite draws of the profiles that permutations give each label."""
        n_draws, n_components = order.shape
        rows = (np.arange(n_draws)[:, None] * n_components + order).T
        chosen = np.zeros((n_components, len(self.flat)), self.flat.dtype)
        chosen[np.arange(n_components)[:, None], rows] = 1.0
        return (chosen @ self.flat).astype(np.float64) / max(1, int(self.finite.sum()))

    @cached_property
    def negative_entropy(self) -> float:
        """Mean over finite draws of ``sum_jn p log p``, which no permutation changes."""
        total, rows = 0.0, max(1, _BLOCK_NUMBERS // self.flat.shape[1])
        for start in range(0, len(self.flat), rows):
            part = self.flat[start : start + rows]
            total += float(np.sum(part * np.log(np.maximum(part, SMALLEST)), dtype=np.float64))
        return total / max(1, int(self.finite.sum()))


def soft_profiles(responsibilities: Profile) -> Profiles:
    """Profiles of responsibilities ``(n_draws, n_components, n_samples)``: float32 as it is, all else in float64.

    Contiguous float64 with finite numbers only is not copied.
    """
    n_draws, n_components, n_samples = responsibilities.shape
    single = responsibilities.dtype == np.float32
    values = responsibilities if single else np.asarray(responsibilities, np.float64)
    flat = values.reshape(n_draws * n_components, n_samples)
    if single:
        flat = flat * (flat >= np.float32(SMALLEST))  # a NaN stays one
    # A sum is finite if and only if all of its terms are, since responsibilities cannot overflow it.
    finite = np.isfinite(flat.sum(axis=1)).reshape(n_draws, n_components).all(axis=1)
    if not finite.all():
        flat = np.where(np.repeat(finite, n_components)[:, None], flat, 0.0).astype(flat.dtype)
    return Profiles(flat, finite)


def hard_profiles(allocations: NDArray[Any], finite: NDArray[np.bool_], n_components: int) -> Profiles:
    """Profiles of allocations ``(n_draws, n_samples)``: one where a datum is allocated, exact in float32."""
    n_draws, n_samples = allocations.shape
    hot = np.empty((n_draws, n_components, n_samples), np.float32)
    for j in range(n_components):
        np.equal(allocations, j, out=hot[:, j], casting="unsafe")
    hot[~finite] = 0.0
    return Profiles(hot.reshape(n_draws * n_components, n_samples), finite)


def most_probable(responsibilities: Profile) -> NDArray[Any]:
    """Allocations ``(n_draws, n_samples)``, the first of equals; ``argmax`` along this axis takes ten times longer."""
    best = responsibilities[:, 0].copy()
    label = np.zeros(best.shape, np.int8 if responsibilities.shape[1] < 128 else np.int64)
    for j in range(1, responsibilities.shape[1]):
        better = responsibilities[:, j] > best
        label[better] = j
        np.maximum(best, responsibilities[:, j], out=best)
    return label


@dataclasses.dataclass(frozen=True)
class Alternation:
    """Where an alternation ended.

    Attributes
    ----------
    permutations
        ``(n_draws, n_components)``.
    cost
        ``(n_draws, n_components, n_components)`` under the final reference; the permutations minimise it.
    trace
        The objective after each choice of permutations.
    converged
        The permutations choose themselves again, or the objective no longer changes.
    """

    permutations: IntArray
    cost: FloatArray
    trace: tuple[float, ...]
    converged: bool

    @property
    def n_iter(self) -> int:
        """How often the reference was estimated."""
        return len(self.trace) - 1


Target = Callable[[FloatArray], FloatArray]


def alternate(
    profiles: Profiles,
    target: Target,
    start: FloatArray,
    *,
    averaged: Profiles | None = None,
    objective: Callable[[FloatArray], float] | None = None,
    max_iter: int = 100,
) -> Alternation:
    """Alternate between the permutations for a reference and the reference for the permutations.

    Parameters
    ----------
    profiles
        What is scored.
    target
        From the average profiles ``(n_components, n_samples)`` to the targets of the same shape, which scores maximise.
    start
        First average profiles.
    averaged
        What is averaged, if not what is scored.
    objective
        From average profiles to what the trace follows, if not the mean over draws of the summed cost.
    max_iter
        The most estimates of the reference.
    """
    averaged = profiles if averaged is None else averaged
    trace: list[float] = []
    average, order, converged = start, None, False
    while not converged and len(trace) <= max_iter:
        previous = order
        order, cost, loss = _best(profiles, target(average))
        average = averaged.average(order)
        trace.append(loss if objective is None else objective(average))
        if previous is not None:
            converged = bool((order == previous).all()) or abs(trace[-2] - trace[-1]) <= _TOLERANCE * abs(trace[-1])
    assert order is not None
    return Alternation(order, cost, tuple(trace), converged)


def _best(profiles: Profiles, target: FloatArray) -> tuple[IntArray, FloatArray, float]:
    cost = -profiles.scores(target)
    order = permutations_from_cost(cost)
    order[~profiles.finite] = np.arange(order.shape[1])
    best = np.take_along_axis(cost, order[:, :, None], axis=2)[profiles.finite]
    return order, cost, float(best.sum()) / max(1, len(best))


def stephens(profiles: Profiles, start: FloatArray, max_iter: int) -> Alternation:
    r"""Stephens' algorithm: minimise :math:`\sum_n \sum_k p_{\pi(k),n} \log(p_{\pi(k),n} / q_{k,n})`.

    The entropy of a draw is the same for all its permutations: it is added to the loss once, and an iteration computes
    the cross term only. Both halves of an iteration minimise the loss, so that it never rises.
    """
    found = alternate(profiles, _log, start, max_iter=max_iter)
    entropy = profiles.negative_entropy
    return dataclasses.replace(found, trace=tuple(entropy + loss for loss in found.trace))


def _log(average: FloatArray) -> FloatArray:
    return np.log(np.maximum(average, SMALLEST))


def modal_allocation(average: FloatArray) -> FloatArray:
    """One for the most frequent label of each datum, the first of equals, and zero for the others."""
    return np.equal(np.arange(len(average))[:, None], average.argmax(axis=0)[None, :]).astype(np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of the data under average allocations, for the data-based method.

    Attributes
    ----------
    z
        Data ``(n_samples, n_features)`` over their standard deviations, about their mean.
    """

    z: FloatArray

    @classmethod
    def of(cls, values: FloatArray) -> "Clusters":
        """From data in their own units; a feature that is the same everywhere tells nothing apart."""
        deviation = values.std(axis=0)
        return cls((values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0))

    def target(self, average: FloatArray) -> FloatArray:
        r"""Minus :math:`\sum_d ((x_{nd} - m_{kd}) / s_{kd})^2`, with the clusters' means and standard deviations."""
        square, share = self._squares(average)
        variance = np.einsum("kn,knd->kd", share, square)
        # A cluster on one point: its distance to others is huge, but not infinite.
        return -np.einsum("knd,kd->kn", square, 1.0 / np.maximum(variance, 1e-12))

    def spread(self, average: FloatArray) -> float:
        """Sum over data and features of squared distances from the clusters' means, in sds of all data."""
        return float(np.einsum("kn,knd->", average, self._squares(average)[0]))

    def _squares(self, average: FloatArray) -> tuple[FloatArray, FloatArray]:
        size = average.sum(axis=1)[:, None]
        share = np.divide(average, size, out=np.full_like(average, 1 / len(self.z)), where=size > 0)
        return (self.z[None] - (share @ self.z)[:, None, :]) ** 2, share
