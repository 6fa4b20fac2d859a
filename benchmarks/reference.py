"""The log-likelihood by which all packages are judged: NumPy, float64, none of the packages' own code."""

from __future__ import annotations

import numpy as np

from benchmarks.workloads import Params

_ROWS = 20_000

SAME = {"float64": 1e-8, "float32": 1e-5}
"""Two fits are equal where their log-likelihoods per sample differ by no more than this."""


def log_likelihood(params: Params, x: np.ndarray) -> float:
    r"""The mean over samples of :math:`\log \sum_k w_k N(x \mid \mu_k, \Sigma_k)`; NaN for invalid parameters."""
    try:
        roots = np.linalg.cholesky(np.asarray(params.matrices, float))
    except np.linalg.LinAlgError:
        return float("nan")
    means, weights = np.asarray(params.means, float), np.asarray(params.weights, float)
    inverse = np.linalg.inv(roots)
    log_det = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
    constant = np.log(weights) - log_det - 0.5 * x.shape[1] * np.log(2 * np.pi)
    total = 0.0
    for begin in range(0, len(x), _ROWS):
        joint = np.stack([_kernel(x[begin : begin + _ROWS], m, r) for m, r in zip(means, inverse, strict=True)])
        joint += constant[:, None]
        top = joint.max(axis=0)
        total += float(np.sum(top + np.log(np.exp(joint - top).sum(axis=0))))
    return total / len(x)


def _kernel(x: np.ndarray, mean: np.ndarray, inverse_root: np.ndarray) -> np.ndarray:
    y = (x - mean) @ inverse_root.T
    return -0.5 * np.einsum("ni,ni->n", y, y)
