"""Means, variances and covariances of the data, some rows at a time: NumPy's own make a second copy of all of them."""

from collections.abc import Iterator

import numpy as np

_ELEMENTS = 1 << 18  # of one piece: 2 MiB in float64


def variance(x: np.ndarray) -> np.ndarray:
    """The variances (divisor ``n``) of the columns of ``x (n, d)``."""
    shift = x.mean(axis=0)
    return sum(np.einsum("ij,ij->j", piece, piece) for piece in _centred(x, shift)) / len(x)


def covariance(x: np.ndarray) -> np.ndarray:
    """The covariance matrix ``(d, d)`` (divisor ``n``) of ``x (n, d)``."""
    shift = x.mean(axis=0)
    return sum(piece.T @ piece for piece in _centred(x, shift)) / len(x)


def _centred(x: np.ndarray, shift: np.ndarray) -> Iterator[np.ndarray]:
    n_rows = max(1, _ELEMENTS // x.shape[1])
    for begin in range(0, len(x), n_rows):
        yield x[begin : begin + n_rows] - shift
