r"""Intervals at another level, from what those at one level have kept.

Standard errors and replicates give every level exactly. A profile gives those up to its own: the number is a smooth
function of the signed root r (`emjax.uncertainty.results.ProfileCurve`), and a cubic spline through the steps has its
value at the r of the level, mostly to a ten-thousandth of a standard error.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import ndtri

from emjax.bounds import share
from emjax.uncertainty.links import LINKS, symmetric
from emjax.uncertainty.profile import reach_of, row_between
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
        curves = {curve.name: curve for curve in known.curves}
        rows = [_followed(row, curves[row.name], level) if row.name in curves else row for row in known.rows]
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


def _followed(row: IntervalRow, curve: ProfileCurve, level: float) -> IntervalRow:
    reach = float(reach_of(np.array([curve.effective_rows]), level)[0])
    reached = np.array([curve.roots[0] <= -reach, curve.roots[-1] >= reach])
    if not reached.any():
        return row_between(row, row.scale, np.full(2, np.nan), reached)
    return row_between(
        row, row.scale, CubicSpline(curve.roots, LINKS[row.scale][0](curve.values))([-reach, reach]), reached
    )
