"""EM as on paper: plain loops over data and components, NumPy only, with a family's textbook in place of its code.

It knows nothing of emjax and is slow on purpose. The family comes as an oracle of `tests/contracts/oracles`: its log
density by SciPy, and its M-step written out.
"""

import math

import numpy as np


def run(oracle, x, weights, values, prior, n_iter):
    """Weights, values and the log-likelihood after ``n_iter`` iterations; a prior is a concentration and numbers."""
    for _ in range(n_iter):
        responsibilities, _ = expectation(oracle, x, weights, values)
        weights = _weights(responsibilities, None if prior is None else prior[0])
        values = oracle.step(x, responsibilities, None if prior is None else prior[1], values)
    return weights, values, expectation(oracle, x, weights, values)[1]


def expectation(oracle, x, weights, values):
    """Responsibilities ``(n, K)`` and the log-likelihood, one datum at a time."""
    k = len(weights)
    densities = oracle.log_density(values, x)
    responsibilities = np.zeros((len(x), k))
    log_likelihood = 0.0
    for n in range(len(x)):
        joint = [math.log(weights[c]) + densities[c, n] for c in range(k)]
        top = max(joint)
        total = top + math.log(sum(math.exp(value - top) for value in joint))
        for c in range(k):
            responsibilities[n, c] = math.exp(joint[c] - total)
        log_likelihood += total
    return responsibilities, log_likelihood


def _weights(responsibilities, concentration):
    """Shares of the components; with a prior the mode of their Dirichlet distribution."""
    n, k = responsibilities.shape
    counts = [sum(responsibilities[:, c]) for c in range(k)]
    if concentration is None:
        return np.array([count / n for count in counts])
    pseudo = [count + alpha - 1.0 for count, alpha in zip(counts, concentration, strict=True)]
    return np.array(pseudo) / sum(pseudo)
