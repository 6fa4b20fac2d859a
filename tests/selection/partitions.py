"""The exact posterior of partitions of a few data, by enumeration of all of them."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.special import gammaln, logsumexp

COUNTS = np.array([0.0, 1.0, 2.0, 3.0, 7.0, 9.0, 12.0])
SHAPE, RATE = 2.0, 0.5
NUMBERS = np.array([-1.0, -0.8, 0.1, 1.5, 1.7])


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


def log_counts(block, rate=RATE, shape=SHAPE):
    """The log marginal of counts of one rate, factorials left out."""
    total, n = COUNTS[block].sum(), len(block)
    return shape * np.log(rate) - gammaln(shape) + gammaln(shape + total) - (shape + total) * np.log(rate + n)


def log_normals(block, length, middle, log_scales):
    """The log marginal of `NUMBERS` in a block, at each scale: the mean in closed form, the variance by a sum."""
    x, n, width = NUMBERS[block], len(block), 0.1
    ratio = np.arange(-4.0, 60.0, width)  # log variance less log scale
    log_prior = -2.0 * ratio - np.exp(-ratio)  # IG(2, 1), as a density of the logarithm
    variance = np.exp(log_scales[:, None] + ratio[None, :])
    center = x.mean()
    within = ((x - center) ** 2).sum()
    of_mean = -0.5 * np.log(length**2 + variance / n) - 0.5 * (center - middle) ** 2 / (length**2 + variance / n)
    rest = -0.5 * (n - 1) * np.log(2.0 * np.pi * variance) - 0.5 * math.log(n) - 0.5 * within / variance
    return logsumexp(log_prior + of_mean - 0.5 * math.log(2.0 * math.pi) + rest, axis=1) + math.log(width)
