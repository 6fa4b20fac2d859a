"""EM as a Python programmer would first write it: a loop over data, a loop over components, one feature."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.peers.base import Peer, timed
from benchmarks.workloads import Params


class DoubleLoop(Peer):
    """float64, of one feature only."""

    name = "Python double loop"
    most_features = 1

    def missing(self) -> str:
        return ""

    def version(self) -> str:
        import platform

        return platform.python_version()

    def fit(self, start: Params, n_iter: int) -> tuple[Params, float]:
        if self.x.shape[1] != 1:
            raise ValueError("written for one feature")
        data = self.x[:, 0].tolist()
        weights, means = start.weights.tolist(), start.means[:, 0].tolist()
        variances = start.covariances.reshape(self.n_components).tolist()

        def run() -> tuple[list[float], list[float], list[float]]:
            state = weights, means, variances
            for _ in range(n_iter):
                state = _iterate(data, *state)
            return state

        (weights, means, variances), seconds = timed(run)
        shape = (self.n_components, 1) if start.diagonal else (self.n_components, 1, 1)
        params = Params(np.array(weights), np.array(means)[:, None], np.array(variances).reshape(shape))
        return params, seconds


def _iterate(
    data: list[float], weights: list[float], means: list[float], variances: list[float]
) -> tuple[list[float], list[float], list[float]]:
    k = len(weights)
    scales = [w / math.sqrt(2 * math.pi * v) for w, v in zip(weights, variances, strict=True)]
    halves = [-0.5 / v for v in variances]
    counts, firsts, seconds = [0.0] * k, [0.0] * k, [0.0] * k
    joint = [0.0] * k
    for value in data:
        total = 0.0
        for c in range(k):
            joint[c] = scales[c] * math.exp(halves[c] * (value - means[c]) ** 2)
            total += joint[c]
        for c in range(k):
            share = joint[c] / total
            # About the current mean, so that the variance below loses no digits.
            gap = value - means[c]
            counts[c] += share
            firsts[c] += share * gap
            seconds[c] += share * gap * gap
    shifts = [first / count for first, count in zip(firsts, counts, strict=True)]
    return (
        [count / len(data) for count in counts],
        [mean + shift for mean, shift in zip(means, shifts, strict=True)],
        [second / count - shift * shift for second, count, shift in zip(seconds, counts, shifts, strict=True)],
    )
