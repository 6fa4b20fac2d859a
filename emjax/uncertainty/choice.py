"""``auto``: which method makes a fit's intervals where none is asked for.

The information costs a second derivative and is asked first. Where its own check doubts it or nearly does, or where the
smallest component holds few rows, the log-likelihood itself is followed (the profile), unless that would take long.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from emjax.result import Fit
from emjax.uncertainty.information import by_information
from emjax.uncertainty.limits import is_quick
from emjax.uncertainty.profile import by_profile
from emjax.uncertainty.results import Intervals, IntervalStatus
from emjax.wording import count

FEW_ROWS = 50.0
"""Rows of the smallest component below which the information is not relied on: of 15 rows its 90% intervals for the
worst parameter hold the truth in 77% of data sets, those by the profile in 90%."""

MOST_SHIFT_RELIED_ON = 0.125
"""The third-order shift up to which it is. Its own limit, twice as far, leaves those data sets that look sure by luck:
of two normals 3 sd apart with a tenth of 1000 rows in the smaller, the worst parameter was then held in 82%, and in 87%
up to this one, up to which no cell of ``benchmarks/coverage.py`` loses a percent against following every profile."""


def reason(smallest: float, shift: float, status: str) -> str:
    """Why the information is not relied on, in one sentence; empty where it is.

    ``smallest`` are the rows of the smallest component; ``shift`` and ``status`` those of the information's intervals.
    """
    if smallest < FEW_ROWS:
        return f"The smallest component holds {count(max(round(smallest), 1), 'row')}, too few for the information."
    if status != IntervalStatus.OK or not shift <= MOST_SHIFT_RELIED_ON:
        return "The log-likelihood is not near enough to a parabola for the information, or not around one top alone."
    return ""


def chosen(fit: Fit, level: float, of: Any = None, known: Intervals | None = None) -> Intervals:
    """Intervals of a fit by the information or the profile; see `emjax.uncertainty.intervals`.

    ``known`` are those by the information, where there are some.
    """
    known = by_information(fit, level, "information", of) if known is None else known
    if known.status.withheld:
        return known
    why = reason(float(fit.optima[0].effective_counts.min()), known.shift, known.status)
    if not why or not is_quick(fit.mixture, fit.data.shape):
        return known
    return dataclasses.replace(by_profile(fit, level, of, known), why=why)
