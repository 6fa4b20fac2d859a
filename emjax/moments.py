"""What is learned from the data before EM begins: weighted summaries of what was observed, made once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

_ELEMENTS = 1 << 18  # of one piece: 2 MiB in float64


@dataclasses.dataclass(frozen=True, eq=False)
class Summary:
    """Moments and ranges of data ``x (n, d)``; a cell that is NaN was not observed, a row counts ``weights`` times.

    Each is made when it is first asked for, some rows at a time, since NumPy's own make a second copy of all data.

    Attributes
    ----------
    x
        The data, an array or anything that can be sliced like one.
    weights
        How often each row counts ``(n,)``; ``None`` means once.
    """

    x: Any
    weights: np.ndarray | None = None

    @property
    def n_features(self) -> int:
        """The number of columns."""
        return int(self.x.shape[1])

    @functools.cached_property
    def total_weight(self) -> float:
        """The number of rows, each counted as often as its weight says."""
        return float(len(self.x)) if self.weights is None else float(np.sum(self.weights))

    @functools.cached_property
    def observed(self) -> np.ndarray:
        """How many cells of each column were observed ``(d,)``, weighted."""
        if not self.has_holes:
            return np.full(self.n_features, self.total_weight)
        return np.asarray(
            sum(self._total((~np.isnan(piece)).astype(float), weights) for piece, weights in self._pieces)
        )

    @functools.cached_property
    def has_holes(self) -> bool:
        """Whether any cell was not observed."""
        return any(bool(np.isnan(np.sum(piece)) and np.isnan(piece).any()) for piece, _ in self._pieces)

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """The means of the columns ``(d,)``, of what was observed."""
        return (
            np.asarray(sum(self._total(self._filled(piece), weights) for piece, weights in self._pieces))
            / self.observed
        )

    @functools.cached_property
    def variance(self) -> np.ndarray:
        """The variances of the columns ``(d,)`` (divisor: the weight that was observed)."""
        return np.asarray(sum(self._squares(centred, weights) for centred, weights in self._centred)) / self.observed

    @functools.cached_property
    def covariance(self) -> np.ndarray:
        """The covariance matrix ``(d, d)`` (divisor as for the variances).

        Where cells are missing it has the variances of what was observed and the correlations of the data with holes
        filled by the mean, so that it is positive definite whatever is missing.
        """
        products = [
            (centred if weights is None else centred * weights[:, None]).T @ centred
            for centred, weights in self._centred
        ]
        matrix = np.asarray(sum(products)) / self.total_weight
        if not self.has_holes:
            return matrix
        ratio = np.sqrt(self.variance / np.diagonal(matrix))
        return matrix * (ratio[:, None] * ratio[None, :])

    @functools.cached_property
    def minimum(self) -> np.ndarray:
        """The smallest value of each column ``(d,)``, among rows that count."""
        return np.fmin.reduce([np.fmin.reduce(piece, axis=0) for piece in self._counting])

    @functools.cached_property
    def maximum(self) -> np.ndarray:
        """The largest value of each column ``(d,)``, among rows that count."""
        return np.fmax.reduce([np.fmax.reduce(piece, axis=0) for piece in self._counting])

    def level_counts(self, n_levels: int) -> np.ndarray:
        """How often each column is at each of the levels 0, 1, 2, ... ``(d, n_levels)``, weighted."""
        levels = np.arange(n_levels)
        counts = np.zeros((self.n_features, n_levels))
        for piece, weights in self._pieces:
            for j, column in enumerate(piece.T):
                there = (column[:, None] == levels).astype(float)
                counts[j] += self._total(there, weights)
        return counts

    @property
    def _pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        n_rows = max(1, _ELEMENTS // self.n_features)
        for begin in range(0, len(self.x), n_rows):
            rows = slice(begin, begin + n_rows)
            yield np.asarray(self.x[rows], dtype=float), None if self.weights is None else self.weights[rows]

    @property
    def _centred(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        shift = self.mean
        return ((self._filled(piece - shift), weights) for piece, weights in self._pieces)

    @property
    def _counting(self) -> Iterator[np.ndarray]:
        pieces = (piece if weights is None else piece[weights > 0] for piece, weights in self._pieces)
        return (piece for piece in pieces if len(piece))

    def _filled(self, piece: np.ndarray) -> np.ndarray:
        return np.nan_to_num(piece, nan=0.0) if self.has_holes else piece

    @staticmethod
    def _total(piece: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        return np.asarray(piece.sum(axis=0) if weights is None else weights @ piece)

    @staticmethod
    def _squares(piece: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        if weights is None:
            return np.einsum("ij,ij->j", piece, piece)
        return np.einsum("i,ij,ij->j", weights, piece, piece)
