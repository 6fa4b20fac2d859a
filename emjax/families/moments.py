"""Moments of the columns of data that are no checked samples, such as rows in the standard frame."""

from __future__ import annotations

from typing import Any

import numpy as np

from emjax.moments import Summary as Summary


def mean(x: Any) -> np.ndarray:
    """The means ``(d,)`` of the columns of ``x (n, d)``."""
    return Summary(x).mean


def variance(x: Any) -> np.ndarray:
    """The variances ``(d,)`` (divisor ``n``) of the columns of ``x (n, d)``."""
    return Summary(x).variance


def covariance(x: Any) -> np.ndarray:
    """The covariance matrix ``(d, d)`` (divisor ``n``) of ``x (n, d)``."""
    return Summary(x).covariance
