"""The value every loader and simulator hands back: numbers with names and a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from emjax.levels import LevelNames
from emjax.shown import Shown

__all__ = ["Dataset", "Table"]


class Table(NamedTuple):
    """What a reader finds in a file: float64 ``(n_samples, n_features)``, a name per column, what it had to guess.

    ``weights`` and ``labels`` are the columns ``(n_samples,)`` that were asked for as such, not yet checked;
    ``level_names`` as in `Dataset`.
    """

    values: np.ndarray
    feature_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    labels: np.ndarray | None = None
    level_names: LevelNames | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Shown):
    """A data set: an array with feature names, and where it comes from.

    It can be passed wherever emjax takes ``x``; ``numpy.asarray(dataset)`` is its ``values``.

    Attributes:
        values: float64, shape ``(n_samples, n_features)``, read-only (``numpy.array(dataset)`` is a copy
            that can be written to); NaN where a cell was not seen.
        feature_names: one name per column.
        name: the bundled name, or the file's name without its suffix.
        source: where the numbers come from (a citation, or the path as it was given).
        license: the licence or legal standing of the numbers; empty for the caller's own files.
        description: what the rows and columns are, with units; empty for the caller's own files.
        labels: the known group of each row, shape ``(n_samples,)``, where there is one; never a feature, and not
            read by any estimator.
        truth: the parameters a simulated data set was drawn from, by name; None for real data.
        weights: how often each row counts ``(n_samples,)``, which estimators read; None for once.
        partial_labels: what estimators are to know of the component of each row, as `emjax.samples.as_samples` takes
            it; None for nothing.
        level_names: the names of the levels 0, 1, ... of each column where any column was of texts; else None.
    """

    values: np.ndarray
    feature_names: tuple[str, ...]
    name: str = ""
    source: str = ""
    license: str = ""
    description: str = ""
    labels: np.ndarray | None = None
    truth: Mapping[str, np.ndarray] | None = field(default=None)
    weights: np.ndarray | None = None
    partial_labels: np.ndarray | None = None
    level_names: LevelNames | None = None

    def __post_init__(self) -> None:
        # a view, so that the array it was made from stays as writable as its owner left it
        values = self.values.view()
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_samples, n_features)``."""
        return (int(self.values.shape[0]), int(self.values.shape[1]))

    @property
    def ndim(self) -> int:
        """Always 2."""
        return self.values.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values: float64."""
        return self.values.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        return self.values[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "", self.name
        yield "n_samples", self.shape[0]
        yield "n_features", self.shape[1]
        yield "feature_names", self.feature_names
