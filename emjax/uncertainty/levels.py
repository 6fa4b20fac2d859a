"""Intervals at another level, from what those at one level have kept.

Standard errors and replicates give every level exactly. The curves of a profile give those up to their own
(`emjax.uncertainty.curves`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from emjax.bounds import share
from emjax.uncertainty.curves import row_of
from emjax.uncertainty.links import symmetric
from emjax.uncertainty.resampling import SCHEMES, ends_of
from emjax.uncertainty.results import IntervalRow, Intervals, ProfileCurve


def at_level(known: Intervals, level: float) -> Intervals:
    """The same intervals at another ``level``, in (0, 1).

    The status stays. That of a profile may be worse than of one that was followed to the lower level alone, where an
    end is open.

    Raises
    ------
    ValueError
        If ``level`` is out of range, or above that to which a profile was followed.
    """
    share("level", level)
    if level == known.level or known.status.withheld:
        return dataclasses.replace(known, level=level)
    if known.curves:
        if level > known.level:
            raise ValueError(f"the profile was followed to {known.level:g}: ask the fit for intervals at {level:g}")
        rows = [_followed(row, known.curves, level) for row in known.rows]
    elif known.method in SCHEMES and known.replicates is not None:
        of_each = known.replicates.values
        rows = [_resampled(known.method, level, row, of_each[:, i]) for i, row in enumerate(known.rows)]
    else:
        rows = [_symmetric(row, float(ndtri(0.5 + level / 2))) for row in known.rows]
    return dataclasses.replace(known, level=level, rows=tuple(rows))


def _symmetric(row: IntervalRow, half_width: float) -> IntervalRow:
    lower, upper = symmetric(row.scale, row.estimate, half_width * row.se)
    return dataclasses.replace(row, lower=lower, upper=upper)


def _resampled(method: str, level: float, row: IntervalRow, values: np.ndarray) -> IntervalRow:
    lower, upper, note = ends_of(method, level, row.estimate, values, row.se, row.scale)
    return dataclasses.replace(row, lower=lower, upper=upper, note=note)


def _followed(row: IntervalRow, curves: Sequence[ProfileCurve], level: float) -> IntervalRow:
    own = [curve for curve in curves if curve.name == row.name]
    return row_of(row, row.scale, own, level) if own else row
