"""What figures read of the data alone, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axis import Axis

from emjax.families.base import Family
from emjax.samples import Samples
from emjax.wording import elided

WIDEST_BARS = 100
"""Counts over a wider range than this are drawn as a histogram."""


class Columns:
    """Data with the family that they are of."""

    if TYPE_CHECKING:

        @property
        def samples(self) -> Samples:
            """The data with what is known of them."""

        @property
        def family(self) -> Family:
            """The family with what it took from the data."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.samples.feature_names

    @property
    def n_features(self) -> int:
        return len(self.feature_names)

    @property
    def values(self) -> np.ndarray:
        """The data ``(n, d)``, NaN where a cell was not seen."""
        return self.samples.values

    def level_names(self, feature: int) -> tuple[str, ...]:
        """The names of a feature's levels, in the order of their numbers."""
        levels = self.family.levels
        return ("0", "1") if levels is None else tuple(levels[feature])

    def name_levels(self, axis: Axis, feature: int, letters: int = 40) -> None:
        """The names of levels in place of their numbers, all in so many letters."""
        if self.family.nominal:
            names = self.level_names(feature)
            axis.set_ticks(range(len(names)), [elided(name, max(letters // len(names), 3)) for name in names])

    def cells(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """The cells of a feature that were seen in rows that count, and the weights of their rows."""
        samples = self.samples.counted
        column = samples.values[:, feature]
        weights = np.ones(len(column)) if samples.weights is None else samples.weights
        seen = ~np.isnan(column)
        return column[seen], weights[seen]

    def limits(self, feature: int) -> tuple[float, float]:
        """The smallest and the largest value of a feature that was seen."""
        summary = self.samples.summary
        return float(summary.minimum[feature]), float(summary.maximum[feature])

    def bars(self, feature: int = 0) -> bool:
        """Whether the density of a feature is drawn as a bar for each of its values."""
        return self.family.discrete and np.ptp(self.limits(feature)) < WIDEST_BARS
