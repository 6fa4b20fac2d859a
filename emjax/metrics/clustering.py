r"""One partition of the data that stands for many: least expected loss over draws, with how far draws are from it.

The loss of a partition :math:`c` where :math:`z` is true is the variation of information, in nats,

.. math::

    VI(c, z) = H(c) + H(z) - 2 I(c, z) = \frac1n \Big( \sum_k f(N_k) + \sum_l f(N_l) - 2 \sum_{kl} f(N_{kl}) \Big),
    \qquad f(m) = m \log m,

with :math:`N_{kl}` data in cluster :math:`k` of :math:`c` and :math:`l` of :math:`z`; or Binder's, the share of pairs
that one partition has together and the other apart. The second prefers many small clusters, the first does not.

The search begins with the draws of least loss and with cuts of a tree by average linkage, and moves one datum after the
other to the cluster, or to one of its own, where the loss is least, until none moves: a partition that no single move
betters, which need not be the best of all.

References: Binder, Biometrika 65, 1978; Meilă, Journal of Multivariate Analysis 98, 2007; Wade and Ghahramani,
"Bayesian cluster analysis: point estimation and credible balls", Bayesian Analysis 13, 2018; Dahl, Johnson and Müller,
"Search algorithms and loss functions for Bayesian clustering", Journal of Computational and Graphical Statistics 31,
2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emjax.bounds import one_of, share
from emjax.errors import ConfigError, DataError
from emjax.shown import Shown

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LOSSES = ("vi", "binder")
MOST_ROWS = 2000
"""Of more data the pairs are not looked at: two million, and matrices of 32 MB."""

_STARTS = 6
_SWEEPS = 100


@dataclass(frozen=True, eq=False, repr=False)
class PartitionEstimate(Shown):
    """A partition with what is known of it.

    Attributes:
        labels: (n_samples,) numbers from 0, the largest cluster first.
        loss: ``"vi"`` or ``"binder"``.
        expected_loss: its mean over the draws; nats for ``"vi"``, a share of pairs for ``"binder"``.
        radius: the share ``level`` of the draws is within this loss of it: the credible ball.
        level: of the ball.
        certainty: (n_samples,) how probable it is that a datum is together with another one of its cluster, on average
            over these; NaN for a datum alone.
        together: (n_samples, n_samples) the probabilities that two data belong together.
    """

    labels: IntArray
    loss: str
    expected_loss: float
    radius: float
    level: float
    certainty: FloatArray
    together: FloatArray

    @property
    def n_clusters(self) -> int:
        """How many clusters it has."""
        return int(self.labels.max()) + 1

    @property
    def sizes(self) -> IntArray:
        """How many data each cluster holds."""
        return np.bincount(self.labels)


def few_enough(what: str, n_samples: int) -> None:
    """Raise a ConfigError, in one line, where there are too many data for every pair of them to be looked at."""
    if n_samples > MOST_ROWS:
        raise ConfigError(
            f"{what} looks at every pair of data, and these are {n_samples:,}; {MOST_ROWS:,} are the most"
        )


def variation_of_information(first: ArrayLike, second: ArrayLike) -> float:
    """The distance of two partitions of the same data, in nats: 0 for equal ones, at most ``log(n_samples)``."""
    one, two = (_numbered(np.asarray(each)) for each in (first, second))
    if one.shape != two.shape or one.size == 0:
        raise DataError(
            f"metrics.variation_of_information: labels {one.shape} and {two.shape} are not of the same data"
        )
    return float(_losses(one, two[None], "vi")[0])


def partition_estimate(draws: ArrayLike, *, loss: str = "vi", level: float = 0.95) -> PartitionEstimate:
    """The partition of least expected loss over draws.

    Args:
        draws: (n_draws, n_samples) labels, which may change their names from draw to draw.
        loss: ``"vi"`` (default) or ``"binder"``.
        level: of the credible ball.

    Returns:
        The partition with its expected loss, its ball, and how certain each datum is.

    Raises:
        DataError: no draws, or no matrix.
        ConfigError: an unknown loss, or a level not between 0 and 1.
    """
    one_of("loss", loss, LOSSES)
    share("level", level)
    given = np.asarray(draws)
    if given.ndim != 2 or given.size == 0:
        raise DataError(f"metrics.partition_estimate: draws of shape {given.shape} must be (n_draws, n_samples)")
    labels = np.stack([_numbered(each) for each in given])
    together = _together(labels)
    best, least = labels[0], math.inf
    for start in _starts(labels, together, loss):
        found = _improved(start, labels, together, loss)
        expected = float(_losses(found, labels, loss).mean())
        if expected < least - 1e-12:
            best, least = found, expected
    return _described(best, labels, together, loss, level)


def _described(best: IntArray, labels: IntArray, together: FloatArray, loss: str, level: float) -> PartitionEstimate:
    distances = _losses(best, labels, loss)
    order = np.argsort(-np.bincount(best), kind="stable")
    ordered = np.argsort(order)[best]
    own = (ordered[:, None] == ordered[None, :]) & ~np.eye(best.size, dtype=bool)
    n_others = own.sum(axis=1)
    certainty = np.where(n_others > 0, (own * together).sum(axis=1) / np.maximum(n_others, 1), np.nan)
    radius = float(np.quantile(distances, level, method="higher"))
    return PartitionEstimate(ordered, loss, float(distances.mean()), radius, level, certainty, together)


def _numbered(labels: NDArray[Any]) -> IntArray:
    """Labels as numbers from 0 without gaps."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)


def _together(labels: IntArray) -> FloatArray:
    total = np.zeros((labels.shape[1],) * 2)
    for each in labels:
        members = (each[:, None] == np.arange(each.max() + 1)[None, :]).astype(float)
        total += members @ members.T
    return total / len(labels)


def _entropic(counts: Any) -> Any:
    """``m log m``, zero at zero."""
    counts = np.asarray(counts, float)
    return counts * np.log(np.where(counts > 0, counts, 1.0))


def _tables(partition: IntArray, labels: IntArray) -> IntArray:
    """How many data each cluster has in common with each of every draw, ``(n_draws, K + 1, L)``, one empty in front."""
    n_draws, n_clusters, n_most = len(labels), int(partition.max()) + 2, int(labels.max()) + 1
    cells = (np.arange(n_draws)[:, None] * n_clusters + partition[None, :] + 1) * n_most + labels
    counts = np.bincount(cells.ravel(), minlength=n_draws * n_clusters * n_most)
    return counts.reshape(n_draws, n_clusters, n_most)


def _losses(partition: IntArray, labels: IntArray, loss: str) -> FloatArray:
    """The loss of a partition at each draw."""
    n, tables = partition.size, _tables(partition, labels)
    if loss == "vi":
        own, theirs = _entropic(np.bincount(partition)).sum(), _entropic(tables.sum(axis=1)).sum(axis=1)
        found = (own + theirs - 2.0 * _entropic(tables).sum(axis=(1, 2))) / n
    else:
        squares = (np.bincount(partition).astype(float) ** 2).sum() + (tables.sum(axis=1) ** 2).sum(axis=1)
        found = (squares - 2.0 * (tables**2).sum(axis=(1, 2))) / max(n * (n - 1), 1)
    return np.maximum(found, 0.0)


def _starts(labels: IntArray, together: FloatArray, loss: str) -> list[IntArray]:
    """The draws of least expected loss, and cuts of a tree."""
    from scipy.cluster.hierarchy import cut_tree, linkage

    distinct = np.unique(labels, axis=0)
    chosen = distinct[np.unique(np.linspace(0, len(distinct) - 1, 200).astype(int))]
    expected = [float(_losses(each, labels, loss).mean()) for each in chosen]
    starts = [chosen[place] for place in np.argsort(expected, kind="stable")[:_STARTS]]
    n = labels.shape[1]
    if n > 2:
        tree = linkage((1.0 - together)[np.triu_indices(n, 1)], "average")
        most = min(n, int(labels.max()) + 2)
        cuts = [_numbered(cut_tree(tree, n_clusters=k).ravel()) for k in range(1, most + 1)]
        expected = [float(_losses(each, labels, loss).mean()) for each in cuts]
        starts += [cuts[place] for place in np.argsort(expected, kind="stable")[:_STARTS]]
    return starts


def _improved(partition: IntArray, labels: IntArray, together: FloatArray, loss: str) -> IntArray:
    """The partition after single data have moved where the expected loss is least, until none moves."""
    partition = partition.copy()
    for _ in range(_SWEEPS):
        moved = False
        tables = _tables(partition, labels).astype(float) if loss == "vi" else np.zeros(0)
        sizes = np.bincount(partition + 1, minlength=int(partition.max()) + 2).astype(float)
        for i in range(partition.size):
            a = partition[i] + 1
            sizes[a] -= 1.0
            if loss == "vi":
                seats = np.arange(len(labels)), labels[:, i]
                tables[seats[0], a, seats[1]] -= 1.0
                shared = tables[seats[0], :, seats[1]]
                costs = _entropic(sizes + 1.0) - _entropic(sizes)
                costs -= 2.0 * (_entropic(shared + 1.0) - _entropic(shared)).mean(axis=0)
            else:
                pairs = 1.0 - 2.0 * together[i]
                pairs[i] = 0.0
                costs = np.bincount(partition + 1, pairs, minlength=sizes.size)
            # The first cluster is an empty one; others that are empty are the same.
            costs[1:][sizes[1:] == 0] = np.where(np.arange(1, sizes.size) == a, costs[0], np.inf)[sizes[1:] == 0]
            b = int(np.argmin(costs))
            if costs[b] > costs[a] - 1e-12:
                b = int(a)
            if b == 0:
                # A cluster of its own gets a place, which later data may join in the next sweep.
                partition[i] = int(partition.max()) + 1
                moved = True
                break
            partition[i] = b - 1
            sizes[b] += 1.0
            if loss == "vi":
                tables[seats[0], b, seats[1]] += 1.0
            moved = moved or b != a
        partition = _numbered(partition)
        if not moved:
            break
    return partition
