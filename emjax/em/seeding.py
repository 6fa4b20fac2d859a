"""Points and partitions that EM starts from: drawn on the host in NumPy, so that nothing is compiled for them.

Everything here works on a subsample ``z (m, d)`` in the standard frame, and for distances on ``y``, the same rows in
`coordinates` where a Euclidean distance means something.
"""

from __future__ import annotations

import jax
import numpy as np

from emjax.em.rows import Rows
from emjax.families.base import Family

_LLOYD_STEPS = 3
"""k-means iterations after the seeding: enough to lose a bad seed, few enough to keep the starts different."""

_FLAT = 1e-10
"""A direction with less than this share of the largest variance is no direction: the features determine each other."""

_TREE_ROWS = 2_000
"""The first tree is grown on at most this many rows (mclust's default too): all their distances take 16 MB."""

_FURTHER_TREE_ROWS = 500
"""Every further tree is grown on half of the rows, at most this many: trees differ because their rows do."""


def generator(key: jax.Array) -> np.random.Generator:
    """A NumPy generator seeded by the bits of a JAX key, new or old style."""
    bits = jax.random.key_data(key) if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return np.random.default_rng(np.asarray(bits).ravel().tolist())


def subsample(rng: np.random.Generator, z: np.ndarray | Rows, n_rows: int) -> np.ndarray:
    """All rows, or ``n_rows`` different ones; only these ever leave the host."""
    if len(z) <= n_rows:
        return z[:]
    return z[rng.choice(len(z), n_rows, replace=False, shuffle=False)]


def coordinates(family: Family, z: np.ndarray, *, sphered: bool) -> np.ndarray:
    r"""The rows of ``z`` where distances are meaningful, float64.

    Positive means whose spread grows with them (counts) are taken as :math:`\sqrt z`, which stabilises the variance.
    ``sphered`` rotates and scales the data to unit covariance (as mclust does, Scrucca and Raftery 2015).
    """
    y = np.asarray(z, dtype=float)
    if next(iter(family.links.values())) == "log" and (y >= 0).all():
        return np.sqrt(y)
    if not sphered or y.shape[1] == 1:
        return y
    centred = y - y.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred / len(y))
    kept = variances > _FLAT * variances[-1]
    return centred @ (directions[:, kept] / np.sqrt(variances[kept]))


def different_rows(rng: np.random.Generator, z: np.ndarray, k: int) -> np.ndarray:
    """``k`` rows drawn evenly, each different from those before while there are such; ``(k, d)``."""
    chosen, free = [], np.ones(len(z), dtype=bool)
    for _ in range(k):
        open_rows = np.flatnonzero(free)
        row = z[rng.choice(open_rows) if len(open_rows) else rng.integers(len(z))]
        chosen.append(row)
        free &= (z != row).any(axis=1)
    return np.stack(chosen)


def kmeans_centres(rng: np.random.Generator, z: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """The cluster means ``(k, d)`` of k-means++ seeding and a few k-means iterations on ``y``, in the units of ``z``.

    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", 2007.
    """
    seeds = _seeds(rng, y, k)
    centres = y[seeds]
    for _ in range(_LLOYD_STEPS):
        centres = cluster_means(y, nearest(y, centres), centres)
    return cluster_means(z, nearest(y, centres), z[seeds])


def _seeds(rng: np.random.Generator, y: np.ndarray, k: int) -> np.ndarray:
    """The rows of k-means++: each drawn with a probability proportional to its squared distance to those before."""
    seeds = [int(rng.integers(len(y)))]
    distance = _squared_distance(y, seeds[0])
    for _ in range(k - 1):
        reach = np.cumsum(distance)
        # Where every row is a centre already, all distances are zero and any row will do.
        drawn = np.searchsorted(reach, rng.random() * reach[-1], side="right")
        seeds.append(int(min(drawn, len(y) - 1) if reach[-1] > 0 else rng.integers(len(y))))
        distance = np.minimum(distance, _squared_distance(y, seeds[-1]))
    return np.asarray(seeds)


def _squared_distance(y: np.ndarray, row: int) -> np.ndarray:
    away = y - y[row]
    return np.einsum("ni,ni->n", away, away)


def nearest(y: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The index of the nearest centre of every row, ``(m,)``."""
    return np.argmin((centres**2).sum(axis=1) - 2.0 * (y @ centres.T), axis=1)


def cluster_means(values: np.ndarray, labels: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """The mean of each cluster, ``otherwise`` where a cluster is empty; ``(k, d)``."""
    k = len(otherwise)
    counts = np.bincount(labels, minlength=k)
    sums = np.stack([np.bincount(labels, weights=feature, minlength=k) for feature in values.T], axis=1)
    return np.where((counts > 0)[:, None], sums / np.maximum(counts, 1)[:, None], otherwise)


def tree_labels(rng: np.random.Generator, y: np.ndarray, k: int, *, first: bool) -> np.ndarray:
    """The clusters ``(m,)`` of a Ward tree cut into ``k``; rows that are not in the tree join the nearest mean.

    Ward's criterion is the classification likelihood of spherical components of one size, so on sphered data this is
    the model-based agglomeration of Fraley (SIAM Journal on Scientific Computing 20, 1998) with its simplest model.
    """
    from scipy.cluster.hierarchy import cut_tree, linkage  # a third of a second, for those who ask for it

    n_rows = _TREE_ROWS if first else max(min(-(-len(y) // 2), _FURTHER_TREE_ROWS), min(2 * k, len(y)))
    rows = subsample(rng, np.arange(len(y)), n_rows)
    if y.shape[1] == 0 or len(rows) <= 1:
        return np.arange(len(y)) % k
    labels = cut_tree(linkage(y[rows], method="ward"), n_clusters=k)[:, 0]
    if len(rows) == len(y):
        return labels
    return nearest(y, cluster_means(y[rows], labels, y[rows[:k]]))
