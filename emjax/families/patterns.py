"""Rows in an order in which neighbours have the same cells observed, so that they share what depends on these alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_MATRICES = 6
"""What the matrices of a group take: so many rows' work for each feature, and as much more for each row."""

FILLED = 3
"""No more than so many times the rows there are, with those that fill up groups."""


class Grouped(NamedTuple):
    """The rows ``order (m,)``, of which some only fill up, each ``n_alike`` neighbours with the same cells observed.

    ``first (m,)`` is whether a row does not only fill up: each of the given ones is so once.
    """

    order: np.ndarray
    first: np.ndarray
    n_alike: int


def grouped(holes: np.ndarray, largest: int) -> Grouped:
    """Rows whose missing cells are ``holes (n, d)``, in groups of the size up to ``largest`` that makes the least work.

    Sizes are powers of two. Large groups share more and fill up more, since a pattern that few rows have takes a group
    too; where no two rows have the same cells missing, each is its own group, and nothing fills up.
    """
    n_samples, n_features = holes.shape
    _, pattern, counts = np.unique(np.packbits(holes, axis=1), axis=0, return_inverse=True, return_counts=True)
    sizes = 1 << np.arange(largest.bit_length())
    n_groups = -(-counts // sizes[:, None])
    work = n_groups.sum(axis=1) * (_MATRICES * n_features + sizes)
    best = int(np.argmin(np.where(n_groups.sum(axis=1) * sizes > FILLED * n_samples, np.inf, work)))
    n_alike, n_groups = int(sizes[best]), n_groups[best]
    rows = np.argsort(pattern.reshape(-1), kind="stable")
    ends = np.cumsum(counts)
    # A pattern's rows begin where its groups do; what is left of its last group repeats its last row.
    places = np.arange(n_samples) + np.repeat(
        np.cumsum(n_groups * n_alike) - n_groups * n_alike - ends + counts, counts
    )
    order = np.repeat(rows[ends - 1], n_groups * n_alike)
    order[places] = rows
    first = np.zeros(len(order), bool)
    first[places] = True
    return Grouped(order, first, n_alike)
