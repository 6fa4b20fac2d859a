"""The data in the standard frame, made where they are asked for: of many data no second copy is held between calls."""

from __future__ import annotations

import dataclasses
import weakref
from typing import Any

import numpy as np

from emjax.families.base import Family
from emjax.families.frame import Frame
from emjax.families.observations import Observations, observed_rows
from emjax.samples import Samples

_MADE: weakref.WeakKeyDictionary[Samples, dict[Family, Rows]] = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class Rows:
    """``frame.apply(values)`` in ``dtype``, an array ``(n, d)`` of which only the rows that are indexed exist.

    Attributes
    ----------
    values
        The data in their own units; NaN where a cell was not observed.
    weights
        How often each row counts ``(n,)``, always above zero; ``None`` means once.
    labels
        The logarithm of what is known of each row's component ``(n, K)``; ``None`` where nothing is.
    has_holes
        Whether a cell is NaN.
    layouts
        The blocks that were made of them and kept, see `emjax.em.blocks.make_blocks`.
    """

    values: np.ndarray
    frame: Frame
    dtype: np.dtype
    weights: np.ndarray | None = None
    labels: np.ndarray | None = None
    has_holes: bool = False
    layouts: dict[Any, Any] = dataclasses.field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, samples: Samples, family: Family) -> Rows:
        """All rows that count, with what is known of each, in the family's frame: made once for the same samples."""
        made = _MADE.setdefault(samples, {})
        if family not in made:
            known, frame = samples.counted, family.frame(samples.summary)
            made[family] = cls(known.values, frame, np.dtype(float), known.weights, known.labels, known.has_holes)
        return made[family]

    def astype(self, dtype: Any) -> Rows:
        """The same rows in another precision."""
        return self if self.dtype == dtype else dataclasses.replace(self, dtype=np.dtype(dtype))

    @property
    def shape(self) -> tuple[int, int]:
        """``(n, d)``."""
        return self.values.shape

    @property
    def plain(self) -> bool:
        """Whether there is nothing but cells: each row counts once, all was observed, and no label is known."""
        return self.weights is None and self.labels is None and not self.has_holes

    @property
    def total_weight(self) -> float:
        """The number of rows, each counted as often as its weight says."""
        return float(len(self)) if self.weights is None else float(self.weights.sum())

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.asarray(self.frame.apply(self.values[rows]), self.dtype)

    def take(self, rows: Any) -> Rows:
        """Some of the rows, with what is known of them."""
        weights = None if self.weights is None else self.weights[rows]
        labels = None if self.labels is None else self.labels[rows]
        return dataclasses.replace(self, values=self.values[rows], weights=weights, labels=labels)

    @property
    def observations(self) -> Observations:
        """All rows as a family reads them, on the host, filled up so that programs are shared."""
        return observed_rows(self[:], self.labels)

    @property
    def repeated(self) -> Rows | None:
        """Each row as often as its weight says and of weight one; ``None`` where a weight is no whole number."""
        if self.weights is None:
            return self
        if (self.weights != np.round(self.weights)).any():
            return None
        rows = np.repeat(np.arange(len(self)), self.weights.astype(int))
        return dataclasses.replace(self.take(rows), weights=None)
