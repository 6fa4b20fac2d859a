"""The exact posterior of partitions of a few data, by enumeration of all of them."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.special import gammaln, logsumexp


def partitions(n: int) -> Iterator[list[list[int]]]:
    """All partitions of ``n`` data into blocks."""
    if n == 0:
        yield []
        return
    for smaller in partitions(n - 1):
        for i, block in enumerate(smaller):
            yield [*smaller[:i], [*block, n - 1], *smaller[i + 1 :]]
        yield [*smaller, [n - 1]]


def log_static(sizes: list[int], k: int, gamma: float) -> float:
    """``log p(C | K)`` of labels with Dirichlet(gamma) weights: the number of labellings times the chance of one."""
    if k < len(sizes):
        return -math.inf
    n, total = sum(sizes), k * gamma
    ways = gammaln(k + 1) - gammaln(k - len(sizes) + 1)
    return float(
        ways + gammaln(total) - gammaln(n + total) + sum(gammaln(size + gamma) - gammaln(gamma) for size in sizes)
    )


def log_process(sizes: list[int], alpha: float) -> float:
    """``log p(C)`` of a Chinese restaurant process, guest by guest."""
    n = sum(sizes)
    seats = sum(math.log(alpha) + sum(math.log(j) for j in range(1, size)) for size in sizes)
    return seats - sum(math.log(alpha + i) for i in range(n))


def exact(
    n: int,
    log_marginal: Callable[[list[int]], Any],
    log_partition: Callable[[list[int]], np.ndarray],
    log_grid: Any = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """``p(K | x)`` and ``p(K+ | x)``.

    ``log_marginal`` is that of the data of a block, at each point of a grid of what blocks have in common if there is
    one, with log weights ``log_grid``. ``log_partition(sizes)`` is the prior ``log p(K, C)`` of 1, 2, ... components.
    """
    known: dict[tuple[int, ...], Any] = {}
    joint, n_blocks = [], []
    for blocks in partitions(n):
        likelihood = log_grid
        for block in blocks:
            if tuple(block) not in known:
                known[tuple(block)] = log_marginal(block)
            likelihood = likelihood + known[tuple(block)]
        joint.append(logsumexp(likelihood) + log_partition([len(block) for block in blocks]))
        n_blocks.append(len(blocks))
    logs = np.array(joint)
    shares = np.exp(logs - logsumexp(logs))
    clusters = np.bincount(np.array(n_blocks) - 1, shares.sum(axis=1), minlength=shares.shape[1])
    return shares.sum(axis=0), clusters[: shares.shape[1]]
