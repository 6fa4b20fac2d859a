"""Means, variances and covariances of the data, some rows at a time: NumPy's own make a second copy of all of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

_ELEMENTS = 1 << 18  # of one piece: 2 MiB in float64


def mean(x: Any) -> np.ndarray:
    """The means ``(d,)`` of the columns of ``x (n, d)``, an array or anything that can be sliced like one."""
    return np.asarray(sum(piece.sum(axis=0) for piece in _pieces(x)) / len(x))


def variance(x: Any) -> np.ndarray:
    """The variances ``(d,)`` (divisor ``n``) of the columns of ``x (n, d)``."""
    shift = mean(x)
    centred = (piece - shift for piece in _pieces(x))
    return np.asarray(sum(np.einsum("ij,ij->j", piece, piece) for piece in centred) / len(x))


def covariance(x: Any) -> np.ndarray:
    """The covariance matrix ``(d, d)`` (divisor ``n``) of ``x (n, d)``."""
    shift = mean(x)
    centred = (piece - shift for piece in _pieces(x))
    return np.asarray(sum(piece.T @ piece for piece in centred) / len(x))


def _pieces(x: Any) -> Iterator[np.ndarray]:
    n_rows = max(1, _ELEMENTS // x.shape[1])
    for begin in range(0, len(x), n_rows):
        yield np.asarray(x[begin : begin + n_rows], dtype=float)
