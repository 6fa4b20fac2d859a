r"""Who belongs with whom: comparisons of clusterings that do not depend on the labels.

The co-clustering (posterior similarity) matrix holds :math:`P(z_i = z_j)` for every pair of data. For given
parameters the data are independent, so that it is :math:`\sum_k r_{ik} r_{jk}`; over a posterior it is the
mean of that (Binder 1978; Fritsch & Ickstadt 2009, *Bayesian Analysis* 4, 367-392).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emjax.errors import ConfigError, DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_ROWS = 1000
"""Data that enter a co-clustering comparison: 1000 are 499,500 pairs and matrices of 8 MB."""


@dataclass(frozen=True)
class PairDifference:
    """Difference of two co-clustering matrices over pairs of different data.

    Attributes:
        mean: mean absolute difference of the probability that a pair belongs together, between 0 and 1.
        maximum: the largest of them.
        n_rows: number of data compared.
        n_pairs: number of pairs, ``n_rows * (n_rows - 1) / 2``.
    """

    mean: float
    maximum: float
    n_rows: int
    n_pairs: int


def subset_rows(n_samples: int, max_rows: int = MAX_ROWS, seed: int = 0) -> IntArray:
    """Rows that stand for the data in co-clustering: all, or a random subset that the seed determines.

    Args:
        n_samples: number of data.
        max_rows: with more data than this, `max_rows` of them are drawn without replacement.
        seed: of NumPy's `Generator`; the same arguments give the same rows.

    Returns:
        Sorted row numbers, at most `max_rows`.

    Raises:
        ConfigError: `max_rows` below 2, which leaves no pair.
    """
    if max_rows < 2:
        raise ConfigError(f"metrics.subset_rows: max_rows {max_rows} leaves no pair of data; use 2 or more")
    if n_samples <= max_rows:
        return np.arange(n_samples, dtype=np.int64)
    chosen = np.random.default_rng(seed).choice(n_samples, size=max_rows, replace=False)
    return np.sort(chosen).astype(np.int64)


def standing_rows(n_samples: int, weights: NDArray[np.float64] | None, max_rows: int = MAX_ROWS) -> IntArray:
    """`subset_rows` of data whose rows count as often as ``weights`` say: a row that counts twice stands there twice.

    Where a weight is no whole number, rows are drawn with shares in proportion to the weights.
    """
    if weights is None:
        return subset_rows(n_samples, max_rows)
    if (weights == np.round(weights)).all() and weights.sum() < 2**31:
        ends = np.cumsum(weights).astype(np.int64)
        return np.searchsorted(ends, subset_rows(int(ends[-1]), max_rows), side="right").astype(np.int64)
    n_drawn = min(n_samples, max_rows)
    chosen = np.random.default_rng(0).choice(n_samples, size=n_drawn, p=weights / weights.sum())
    return np.sort(chosen).astype(np.int64)


def co_clustering(responsibilities: ArrayLike, rows: ArrayLike | None = None) -> FloatArray:
    r"""Co-clustering matrix :math:`R R^\top` of a point estimate, with a diagonal of ones.

    The diagonal is set, since a datum always belongs with itself while :math:`\sum_k r_{ik}^2 < 1`.

    Args:
        responsibilities: (n_samples, n_components).
        rows: the data to compare, such as `subset_rows`; default all.

    Returns:
        (n_rows, n_rows) symmetric probabilities.

    Raises:
        DataError: not a matrix.
    """
    return mean_co_clustering([np.asarray(responsibilities, np.float64)], rows)


def mean_co_clustering(draws: Iterable[ArrayLike], rows: ArrayLike | None = None) -> FloatArray:
    """Posterior co-clustering matrix: the mean of `co_clustering` over draws.

    Labels may differ from draw to draw. An iterable is read once and one block of draws is held at a time;
    blocks of a few hundred draws are many times faster than single ones.

    Args:
        draws: an iterable (a generator, a list, or one array (n_draws, n_samples, n_components)) of single
            draws (n_samples, n_components) or blocks (n_block, n_samples, n_components); every draw counts
            once.
        rows: the data to compare, such as `subset_rows`; default all.

    Returns:
        (n_rows, n_rows) symmetric probabilities with a diagonal of ones.

    Raises:
        DataError: no draws, a block of another shape, or draws of different numbers of data.
    """
    chosen = None if rows is None else np.asarray(rows)
    total: FloatArray | None = None
    n_draws = 0
    if isinstance(draws, np.ndarray) and draws.ndim == 3:
        draws = [draws]  # one block, not one product per draw
    for draw in draws:
        block = np.asarray(draw, np.float64)
        block = block[None] if block.ndim == 2 else block
        if block.ndim != 3:
            raise DataError(f"metrics.co_clustering: responsibilities {block.shape} must be (n_samples, n_components)")
        if chosen is not None:
            block = block[:, chosen]
        # One product for the whole block: sum_s R_s R_s' = T' T, where T stacks the R_s' on each other. A
        # tall T was measured 3 times as fast as its wide transpose, and needs no copy for component-major
        # blocks.
        tall = block.transpose(0, 2, 1).reshape(-1, block.shape[1])
        product = tall.T @ tall
        if total is not None and total.shape != product.shape:
            raise DataError(f"metrics.co_clustering: draws of {len(total)} and of {len(product)} data do not mix")
        total = product if total is None else total + product
        n_draws += block.shape[0]
    if total is None or n_draws == 0:
        raise DataError("metrics.co_clustering: no draws; give the responsibilities of at least one")
    total /= n_draws
    np.fill_diagonal(total, 1.0)
    return total


def co_clustering_difference(
    first: ArrayLike, second: ArrayLike, max_rows: int = MAX_ROWS, seed: int = 0
) -> PairDifference:
    """Mean and largest absolute difference of two co-clustering matrices over the pairs i < j.

    More than `max_rows` data are compared on `subset_rows`; where the full matrices would be large, give that
    subset to `co_clustering` and `mean_co_clustering` as `rows` instead, with the same result.

    Args:
        first: (n_samples, n_samples).
        second: (n_samples, n_samples), of the same data in the same order.
        max_rows: as in `subset_rows`.
        seed: as in `subset_rows`.

    Returns:
        The `PairDifference`; both numbers are 0 for a single datum, NaN where a matrix holds NaN.

    Raises:
        ConfigError: as in `subset_rows`.
        DataError: not two square matrices of one size, or empty ones.
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.ndim != 2 or one.shape[0] != one.shape[1] or one.shape != two.shape or one.size == 0:
        raise DataError(f"metrics.co_clustering_difference: {one.shape} and {two.shape} are not of one square shape")
    rows = subset_rows(len(one), max_rows, seed)
    if len(rows) < len(one):
        one, two = one[np.ix_(rows, rows)], two[np.ix_(rows, rows)]
    n_rows = len(rows)
    if n_rows == 1:
        return PairDifference(0.0, 0.0, 1, 0)
    gaps = np.abs(one - two)[np.triu_indices(n_rows, k=1)]
    return PairDifference(float(gaps.mean()), float(gaps.max()), n_rows, gaps.size)


def assignment_entropy(responsibilities: ArrayLike) -> FloatArray:
    r"""Entropy :math:`-\sum_k r_{nk} \log r_{nk}` of each datum's assignment, in nats.

    Args:
        responsibilities: (..., n_samples, n_components).

    Returns:
        (..., n_samples), between 0 (certain) and log(n_components) (no idea); 0 log 0 is 0.
    """
    shares = np.asarray(responsibilities, np.float64)
    # `where` keeps zeros (and rounding below zero) out of the log, and lets NaN through.
    logs = np.log(shares, out=np.zeros_like(shares), where=~(shares <= 0))
    return np.maximum(-(shares * logs).sum(axis=-1), 0.0)


def hard_labels(responsibilities: ArrayLike) -> IntArray:
    """Most probable component (..., n_samples), the first on a tie, of (..., n_samples, n_components)."""
    return np.asarray(responsibilities, np.float64).argmax(axis=-1).astype(np.int64)


def adjusted_rand(first: ArrayLike, second: ArrayLike) -> float:
    r"""Adjusted Rand index of two clusterings (Hubert & Arabie 1985, *J. Classification* 2, 193-218).

    With the contingency table :math:`n_{ij}`, its margins :math:`a_i, b_j`, and :math:`e = \sum_i
    \binom{a_i}{2} \sum_j \binom{b_j}{2} / \binom{n}{2}`, it is :math:`(\sum_{ij} \binom{n_{ij}}{2} - e) /
    (\tfrac12 (\sum_i \binom{a_i}{2} + \sum_j \binom{b_j}{2}) - e)`: 1 for equal partitions, 0 on average by
    chance, possibly negative.

    Args:
        first: (n_samples,) labels of any type that sorts.
        second: (n_samples,) labels of the same data.

    Returns:
        The index; 1 where both put everything together, or both put everything apart.

    Raises:
        DataError: shapes that differ, or no data.
    """
    one, two = np.asarray(first), np.asarray(second)
    if one.ndim != 1 or one.shape != two.shape or one.size == 0:
        raise DataError(f"metrics.adjusted_rand: labels {one.shape} and {two.shape} must be two equal, non-empty rows")
    _, row = np.unique(one, return_inverse=True)
    _, column = np.unique(two, return_inverse=True)
    n_columns = int(column.max()) + 1
    _, cells = np.unique(row * n_columns + column, return_counts=True)  # non-empty cells only
    together = _pairs(cells)
    in_first, in_second = _pairs(np.bincount(row)), _pairs(np.bincount(column))
    n_pairs = one.size * (one.size - 1) / 2
    expected = in_first * in_second / n_pairs if n_pairs else 0.0
    largest = 0.5 * (in_first + in_second)
    if largest == expected:  # both partitions trivial, in the same way: they are equal
        return 1.0
    return (together - expected) / (largest - expected)


def _pairs(counts: IntArray) -> float:
    """Number of pairs within groups of the given sizes, in float so that it cannot overflow."""
    sizes = counts.astype(np.float64)
    return float((sizes * (sizes - 1.0)).sum() / 2.0)
