"""``auto``: which method makes a fit's intervals where none is asked for.

The information costs a second derivative and is asked first. Where its own check doubts it, or where the smallest
component holds few rows, the log-likelihood itself is followed (the profile), unless that would take long.
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
"""Rows of the smallest component below which the information is not relied on."""


def chosen(fit: Fit, level: float, of: Any = None, known: Intervals | None = None) -> Intervals:
    """Intervals of a fit by the information or the profile; see `emjax.uncertainty.intervals`.

    ``known`` are those by the information, where there are some.
    """
    known = by_information(fit, level, "information", of) if known is None else known
    if known.status.withheld:
        return known
    few = float(fit.optima[0].effective_counts.min())
    if few < FEW_ROWS:
        why = f"The smallest component holds {count(max(round(few), 1), 'row')}, too few for the information."
    elif known.status is IntervalStatus.ROUGH:
        why = "The information cannot be relied on here."
    else:
        return known
    if not is_quick(fit.mixture, fit.data.shape):
        return known
    return dataclasses.replace(by_profile(fit, level, of, known), why=why)
