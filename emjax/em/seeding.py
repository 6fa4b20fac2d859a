"""Points and partitions that EM starts from: drawn on the host in NumPy, so that nothing is compiled for them.

Everything here works on a subsample ``z (m, d)`` in the standard frame, and for distances on ``y``, the same rows in
`coordinates` where a Euclidean distance means something.
"""

from __future__ import annotations

import jax
import numpy as np

from emjax.em.rows import Rows
from emjax.families.base import Family

LLOYD_STEPS = 3
"""k-means iterations after the seeding: enough to lose a bad seed, few enough to keep the starts different."""

_FLAT = 1e-10
"""A direction with less than this share of the largest variance is no direction: the features determine each other."""

_TREE_ROWS = 2_000
"""The first tree is grown on at most this many rows (mclust's default too): all their distances take 16 MB."""

_FURTHER_TREE_ROWS = 500
"""Every further tree is grown on half of the rows, at most this many: trees differ because their rows do."""

_MERGED = 0.4
"""A component that is given up leaves its rows to one other component in this share of moves, else to all others."""


def generator(key: jax.Array, *more: int) -> np.random.Generator:
    """A NumPy generator seeded by the bits of a JAX key, new or old style, and by more numbers if any is not zero."""
    bits = jax.random.key_data(key) if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    return np.random.default_rng([*np.asarray(bits).ravel().tolist(), *(more if any(more) else ())])


def subsample(rng: np.random.Generator, z: np.ndarray | Rows, n_rows: int) -> np.ndarray:
    """All rows, or ``n_rows`` different ones, the sooner drawn the more they count; only these ever leave the host."""
    if len(z) <= n_rows:
        return z[:]
    weights = z.weights if isinstance(z, Rows) else None
    shares = None if weights is None else weights / weights.sum()
    return z[rng.choice(len(z), n_rows, replace=False, shuffle=False, p=shares)]


def filled(z: np.ndarray) -> np.ndarray:
    """The rows with the mean of a column where nothing was observed: near enough to start from."""
    if not np.isnan(np.sum(z)):
        return z
    holes = np.isnan(z)
    counts = (~holes).sum(axis=0)
    means = np.where(holes, 0.0, z).sum(axis=0) / np.maximum(counts, 1)
    return np.where(holes, means[None, :], z).astype(z.dtype)


def coordinates(family: Family, z: np.ndarray, *, sphered: bool) -> np.ndarray:
    """The rows of ``z`` where distances are meaningful, float64: where the family's `place` takes them.

    ``sphered`` rotates and scales those that it leaves where they are to unit covariance (as mclust does, Scrucca and
    Raftery 2015).
    """
    y = np.asarray(family.place(np.asarray(z, dtype=float)), dtype=float)
    if not sphered or y.shape[1] == 1 or type(family).place is not Family.place:
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
        # Whole rows are compared where their first number agrees: of many starts this is most of the drawing.
        alike = np.flatnonzero(z[:, 0] == row[0])
        free[alike[(z[alike] == row).all(axis=1)]] = False
    return np.stack(chosen)


def kmeans_centres(rng: np.random.Generator, z: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """The cluster means ``(k, d)`` of `kmeans` on ``y``, in the units of ``z``."""
    labels, seeds = kmeans(rng, y, k, LLOYD_STEPS)
    return cluster_means(z, labels, z[seeds])


def kmeans(rng: np.random.Generator, y: np.ndarray, k: int, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The clusters ``(m,)`` of k-means++ seeding and a few k-means iterations, and the rows ``(k,)`` that were seeds.

    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", 2007.
    """
    seeds = _seeds(rng, y, k)
    centres = y[seeds]
    for _ in range(n_steps):
        centres = cluster_means(y, nearest(y, centres), centres)
    return nearest(y, centres), seeds


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


def tree_rows(n_rows: int, k: int, *, first: bool) -> int:
    """How many of ``n_rows`` rows a tree is grown on, where trees are all there is."""
    return _TREE_ROWS if first else max(min(-(-n_rows // 2), _FURTHER_TREE_ROWS), min(2 * k, n_rows))


def tree_labels(rng: np.random.Generator, y: np.ndarray, k: int, n_rows: int) -> np.ndarray:
    """The clusters ``(m,)`` of a Ward tree cut into ``k``; rows that are not in the tree join the nearest mean.

    Ward's criterion is the classification likelihood of spherical components of one size, so on sphered data this is
    the model-based agglomeration of Fraley (SIAM Journal on Scientific Computing 20, 1998) with its simplest model.
    """
    rows = subsample(rng, np.arange(len(y)), n_rows)
    if y.shape[1] == 0 or len(rows) <= k:
        return np.arange(len(y)) % k
    labels = _ward(y[rows], k)
    if len(rows) == len(y):
        return labels
    return nearest(y, cluster_means(y[rows], labels, y[rows[:k]]))


def _ward(y: np.ndarray, k: int) -> np.ndarray:
    """Ward's tree cut into ``k`` clusters, by chains of nearest neighbours.

    SciPy's is not taken, since to import it takes longer than this does. (Murtagh, The Computer Journal 26, 1983.)
    """
    squares = np.einsum("ni,ni->n", y, y)
    costs = np.maximum(0.5 * (squares[:, None] + squares) - y @ y.T, 0.0)
    np.fill_diagonal(costs, np.inf)
    sizes, merged, heights = np.ones(len(y)), [], []
    chain: list[int] = []
    for _ in range(len(y) - 1):
        chain = chain or [int((sizes > 0).argmax())]
        while True:
            row = costs[chain[-1]]
            near = int(row.argmin())
            if len(chain) > 1 and row[chain[-2]] <= row[near]:
                break
            chain.append(near)
        *chain, kept, gone = chain
        merged.append((kept, gone))
        heights.append(costs[kept, gone])
        row = (sizes[kept] + sizes) * costs[kept] + (sizes[gone] + sizes) * costs[gone] - sizes * heights[-1]
        row /= sizes[kept] + sizes[gone] + sizes
        row[kept] = np.inf
        costs[kept], costs[:, kept], costs[:, gone] = row, row, np.inf
        sizes[kept], sizes[gone] = sizes[kept] + sizes[gone], 0.0
    labels = np.arange(len(y))
    for kept, gone in (merged[i] for i in np.argsort(heights, kind="stable")[: len(y) - k]):
        labels[labels == labels[gone]] = labels[kept]
    return np.unique(labels, return_inverse=True)[1]


def moved_labels(rng: np.random.Generator, y: np.ndarray, log_joint: np.ndarray) -> np.ndarray:
    """Clusters ``(m,)`` drawn from ``log_joint (m, K)``, one of them given up and made anew elsewhere.

    A component is given up the sooner the fewer rows it has. Its rows go to another one, or to all others as these
    claim them; the new one is half of another cluster, by k-means with two centres, or the rows about a point. That
    leads out of an optimum with two components where one would do, and one where two would be better (Ueda et al.,
    "SMEM algorithm for mixture models", Neural Computation 12, 2000). Labels are drawn, since those of the largest
    share would cut off what one component has inside another.
    """
    n_rows, k = log_joint.shape
    held = _shares(log_joint)
    odds = 1.0 / np.maximum(held.sum(axis=0), 1.0)
    gone = int(rng.choice(k, p=odds / odds.sum()))
    if rng.random() < _MERGED:
        kept = (gone + int(rng.integers(1, k))) % k
        labels = _drawn(rng, held)
        labels[labels == gone] = kept
    else:
        labels = _drawn(rng, _shares(np.where(np.arange(k) == gone, -np.inf, log_joint)))
    sizes = np.bincount(labels, minlength=k)
    if rng.random() < 0.5 and sizes.max() > 1:
        rows = np.flatnonzero(labels == rng.choice(np.flatnonzero(sizes > 1)))
        halves, _ = kmeans(rng, y[rows], 2, int(rng.integers(LLOYD_STEPS + 1)))
        new = rows[halves == 1]
    else:
        fewest = y.shape[1] + 2
        n_new = int(np.exp(rng.uniform(np.log(fewest), np.log(max(n_rows // k, fewest + 1)))))
        new = np.argsort(_squared_distance(y, int(rng.integers(n_rows))), kind="stable")[:n_new]
    labels[new] = gone
    return labels


def _shares(log_joint: np.ndarray) -> np.ndarray:
    joint = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    return joint / joint.sum(axis=1, keepdims=True)


def _drawn(rng: np.random.Generator, shares: np.ndarray) -> np.ndarray:
    """A label for each row, drawn by its ``shares (m, K)``."""
    reach = np.cumsum(shares, axis=1)
    return (reach > rng.random((len(shares), 1)) * reach[:, -1:]).argmax(axis=1)
