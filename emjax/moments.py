"""What is learned from the data before EM begins: weighted summaries of what was observed, made once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from emjax.threads import in_threads, pieces

type _Piece = np.ndarray
type _Weights = np.ndarray | None


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
        return self._sum(lambda piece, weights: self._total((~np.isnan(piece)).astype(float), weights))

    @functools.cached_property
    def has_holes(self) -> bool:
        """Whether any cell was not observed."""
        return any(self._each(lambda piece, _: bool(np.isnan(np.sum(piece)) and np.isnan(piece).any())))

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """The means of the columns ``(d,)``, of what was observed."""
        filled = self._filling
        return self._sum(lambda piece, weights: self._total(filled(piece), weights)) / self.observed

    @functools.cached_property
    def variance(self) -> np.ndarray:
        """The variances of the columns ``(d,)`` (divisor: the weight that was observed)."""
        centred = self._centring
        return self._sum(lambda piece, weights: self._squares(centred(piece), weights)) / self.observed

    @functools.cached_property
    def covariance(self) -> np.ndarray:
        """The covariance matrix ``(d, d)`` (divisor as for the variances).

        Where cells are missing it has the variances of what was observed and the correlations of the data with holes
        filled by the mean, so that it is positive definite whatever is missing.
        """
        centred = self._centring
        matrix = self._sum(lambda piece, weights: self._products(centred(piece), weights)) / self.total_weight
        if not self.has_holes:
            return matrix
        ratio = np.sqrt(self.variance / np.diagonal(matrix))
        return matrix * (ratio[:, None] * ratio[None, :])

    @functools.cached_property
    def minimum(self) -> np.ndarray:
        """The smallest value of each column ``(d,)``, among rows that count."""
        return np.fmin.reduce([least for least in self._each(self._extremes(np.fmin)) if least is not None])

    @functools.cached_property
    def maximum(self) -> np.ndarray:
        """The largest value of each column ``(d,)``, among rows that count."""
        return np.fmax.reduce([most for most in self._each(self._extremes(np.fmax)) if most is not None])

    def level_counts(self, n_levels: int) -> np.ndarray:
        """How often each column is at each of the levels 0, 1, 2, ... ``(d, n_levels)``, weighted."""
        levels = np.arange(n_levels)

        def of_piece(piece: _Piece, weights: _Weights) -> np.ndarray:
            return np.stack([self._total((column[:, None] == levels).astype(float), weights) for column in piece.T])

        return self._sum(of_piece)

    def _each[Result](self, taken: Callable[[_Piece, _Weights], Result]) -> list[Result]:
        """What ``taken`` makes of some rows and their weights, for all rows in their order."""

        def of_rows(rows: slice) -> Result:
            weights = None if self.weights is None else self.weights[rows]
            return taken(np.asarray(self.x[rows], dtype=float), weights)

        return in_threads(of_rows, pieces(*self.x.shape))

    def _sum(self, taken: Callable[[_Piece, _Weights], np.ndarray]) -> np.ndarray:
        return np.asarray(sum(self._each(taken)))

    # What follows is asked for before threads begin: each would otherwise look for holes, or take the mean, by itself.

    @property
    def _filling(self) -> Callable[[_Piece], np.ndarray]:
        return functools.partial(np.nan_to_num, nan=0.0) if self.has_holes else lambda piece: piece

    @property
    def _centring(self) -> Callable[[_Piece], np.ndarray]:
        filled, shift = self._filling, self.mean
        return lambda piece: filled(piece - shift)

    @staticmethod
    def _extremes(of: np.ufunc) -> Callable[[_Piece, _Weights], np.ndarray | None]:
        def taken(piece: _Piece, weights: _Weights) -> np.ndarray | None:
            counting = piece if weights is None else piece[weights > 0]
            return np.asarray(of.reduce(counting, axis=0)) if len(counting) else None

        return taken

    @staticmethod
    def _products(piece: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        return np.asarray((piece if weights is None else piece * weights[:, None]).T @ piece)

    @staticmethod
    def _total(piece: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        return np.asarray(piece.sum(axis=0) if weights is None else weights @ piece)

    @staticmethod
    def _squares(piece: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        if weights is None:
            return np.einsum("ij,ij->j", piece, piece)
        return np.einsum("i,ij,ij->j", weights, piece, piece)
