r"""The Poisson log density in a form whose terms do not cancel.

Written out, :math:`x \log \lambda - \lambda - \log x!` is the difference of numbers of the size of :math:`x \log x`: in
float64 it is wrong by a nat at :math:`x = 10^{14}`, in float32 at a million. In saddle-point form

.. math::

    \log p(x \mid \lambda) = \log p(x \mid \lambda = x) - D(x, \lambda), \qquad
    D = x \log \frac{x}{\lambda} + \lambda - x \ge 0,

both parts are as exact as their numbers are written (Loader, "Fast and accurate computation of binomial
probabilities", 2000). The functions take ``xp``: `numpy`, or `jax.numpy` in traced code.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_PEAKS = (
    0.0,
    -1.0,
    -1.306852819440054691,
    -1.495922603223725927,
    -1.632876385868383144,
    -1.740302180611544121,
    -1.82869439664177099,
    -1.903790317678221164,
    -1.969070569306562802,
    -2.026806284055495166,
    -2.078561643135058455,
    -2.125459845091809855,
    -2.168334698205882427,
    -2.207822206123445317,
    -2.244418568125060897,
    -2.278518367307740576,
)
"""``log p(x | x)`` for x = 0, ..., 15; `tests/reference/poisson_values.py` has the digits."""

_NEAR = 0.1
"""Where ``|x - rate| / (x + rate)`` is below this, the deviance is taken by its series."""

_SERIES = tuple(1.0 / (2 * j + 3) for j in range(8))


def log_peak(x: Any, xp: Any) -> Any:
    r""":math:`\log p(x \mid \lambda = x) = -\delta(x) - \tfrac12 \log 2 \pi x`, with Stirling's error; elementwise.

    Minus infinity where ``x`` is no count 0, 1, 2, ...
    """
    table = xp.asarray(np.asarray(_PEAKS, x.dtype))
    count = (x >= 0) & (x == xp.floor(x))
    small = x < len(_PEAKS)
    large = xp.where(small, len(_PEAKS), x).astype(x.dtype)
    inverse = 1.0 / large
    square = inverse * inverse
    error = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
    by_series = -error - 0.5 * xp.log(2.0 * math.pi * large)
    by_table = table[xp.where(small & count, x, 0).astype(int)]
    return xp.where(count, xp.where(small, by_table, by_series), -np.inf).astype(x.dtype)


def deviance(x: Any, rate: Any, xp: Any) -> Any:
    """``x log(x / rate) + rate - x`` for ``x >= 0`` and ``rate > 0``, to a few roundings of itself; broadcasts."""
    apart = x - rate
    v = apart / (x + rate)
    square = v * v
    series = _SERIES[-1]
    for coefficient in reversed(_SERIES[:-1]):
        series = coefficient + square * series
    near = apart * v + 2.0 * x * v * square * series
    # Logarithms of data and of rates, never of a datum in a component: there are far fewer of them.
    far = x * (xp.log(xp.where(x > 0, x, 1.0)) - xp.log(rate)) - apart
    return xp.where(xp.abs(v) < _NEAR, near, far)
