"""The data in the standard frame, made where they are asked for: no second copy of all of them is ever held."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from emjax.families.frame import Frame
from emjax.samples import Samples


@dataclasses.dataclass(frozen=True)
class Rows:
    """``frame.apply(values)`` in ``dtype``, an array ``(n, d)`` of which only the rows that are indexed exist."""

    values: np.ndarray
    frame: Frame
    dtype: np.dtype
    weights: np.ndarray | None = None
    """How often each row counts ``(n,)``; ``None`` means once."""

    labels: np.ndarray | None = None
    """The logarithm of what is known of each row's component ``(n, K)``; ``None`` where nothing is."""

    has_holes: bool = False
    """Whether a cell is NaN: not observed."""

    @classmethod
    def of(cls, samples: Samples, frame: Frame, dtype: Any = float) -> Rows:
        """All that was observed, with what is known of each row."""
        return cls(samples.values, frame, np.dtype(dtype))

    @property
    def shape(self) -> tuple[int, int]:
        """``(n, d)``."""
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.asarray(self.frame.apply(self.values[rows]), self.dtype)
