r"""From the curves of a profile to the interval of a number, at any level up to the curves' own.

A number is a smooth function of the signed root r (`emjax.uncertainty.results.ProfileCurve`); a cubic spline through
the steps has its value between them, mostly to a ten-thousandth of a standard error.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import chdtri, stdtrit

from emjax.uncertainty.links import LINKS
from emjax.uncertainty.results import IntervalRow, ProfileCurve

_ROUNDING = 1e-9

_NOTES = {
    (True, False): "open below: the log-likelihood does not fall far enough that can be followed",
    (False, True): "open above: the log-likelihood does not fall far enough that can be followed",
    (True, True): "open on both sides: the log-likelihood does not fall far enough that can be followed",
}


def reach_of(rows: np.ndarray, level: float, in_doubt: int = 0) -> np.ndarray:
    """The q of numbers that so many ``rows (m,)`` hold, ``in_doubt`` degrees of freedom being in doubt."""
    own = np.sqrt(rows * np.log1p(stdtrit(rows - 1.0, 0.5 + level / 2) ** 2 / (rows - 1.0)))
    return np.maximum(own, math.sqrt(chdtri(in_doubt, 1.0 - level))) if in_doubt else own


def own_reach(rows: np.ndarray, gap: float, level: float, in_doubt: int = 0) -> np.ndarray:
    """The r of the ends around a top that lies ``gap`` nats below the estimate's, NaN where it is lower than the ends.

    ``rows (m,)`` are those that hold the numbers.
    """
    with np.errstate(invalid="ignore"):
        return np.sqrt(reach_of(rows, level, in_doubt) ** 2 - 2 * gap)


def values_at(curve: ProfileCurve, link: str, roots: np.ndarray) -> np.ndarray:
    """The number at signed ``roots (n,)`` between the ends of its curve; ``link`` names the scale it is smooth on."""
    forward, back, _ = LINKS[link]
    if len(curve.roots) < 2:
        return np.full(len(roots), curve.values[0])
    with np.errstate(over="ignore"):
        return np.asarray(back(CubicSpline(curve.roots, forward(curve.values))(roots)))


def row_of(row: IntervalRow, link: str, curves: Sequence[ProfileCurve], level: float) -> IntervalRow:
    """A row with the ends that the curves of all tops give its number: of those that reach the level, the outermost.

    Open where the curve that leads furthest ends before. A curve that ends inside the interval around another top has
    come to where the maximum under the constraint passes to that other one.
    """
    lower, ends_below = outermost(curves, link, level, 0)
    upper, ends_above = outermost(curves, link, level, -1)
    least, most = LINKS[link][1](np.array([-np.inf, np.inf]))
    return dataclasses.replace(
        row,
        lower=float(lower if ends_below else least),
        upper=float(upper if ends_above else most),
        scale=link,
        note=_NOTES.get((not ends_below, not ends_above), ""),
    )


def outermost(curves: Sequence[ProfileCurve], link: str, level: float, side: int) -> tuple[float, bool]:
    """The outermost point on one ``side`` (0 below, -1 above) at a level, and whether the interval ends there."""
    sign, found = (-1.0, 1.0)[side], []
    for curve in curves:
        reach = float(own_reach(np.array([curve.effective_rows]), curve.gap, level, curve.in_doubt)[0])
        if math.isnan(reach):
            continue
        followed = abs(float(curve.roots[side]))
        value = values_at(curve, link, np.array([sign * min(reach, followed)]))[0]
        found.append((sign * float(value), followed >= reach * (1 - _ROUNDING)))
    furthest, ends = max(found)
    return sign * furthest, ends
