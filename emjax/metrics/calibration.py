r"""Whether probabilities and intervals mean what they say, where the truth is known."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emjax.errors import ConfigError, DataError

FloatArray = NDArray[np.float64]

N_BINS = 10


def brier_score(responsibilities: ArrayLike, labels: ArrayLike) -> float:
    r"""Multi-class Brier score :math:`\tfrac1n \sum_n \sum_k (r_{nk} - [z_n = k])^2`; lower is better.

    A proper score of assignment probabilities (Brier 1950, *Monthly Weather Review* 78, 1-3): 0 for certain and right,
    2 for certain and wrong, :math:`1 - 1/K` for equal probabilities.

    Args:
        responsibilities: (n_samples, n_components), aligned to the labels.
        labels: (n_samples,) true components, integers from 0.

    Returns:
        The score; NaN where a probability is NaN.

    Raises:
        DataError: shapes that do not fit, no data, or a label that is no component.
    """
    shares, truth = _checked(responsibilities, labels, "brier_score")
    gaps = shares.copy()
    gaps[np.arange(len(truth)), truth] -= 1.0
    return float((gaps**2).sum(axis=1).mean())


def calibration_error(responsibilities: ArrayLike, labels: ArrayLike, n_bins: int = N_BINS) -> float:
    r"""Expected calibration error of the largest assignment probability, in bins of equally many data.

    Data are sorted by :math:`c_n = \max_k r_{nk}` and cut into bins; the error is the mean over data of the absolute
    difference, in their bin, between the mean :math:`c` and the share of data whose most probable component is the
    true one (Naeini, Cooper & Hauskrecht 2015, *AAAI*; equal counts as in Nixon et al. 2019, *CVPR Workshops*). It is
    biased upwards: probabilities that are exactly right give about :math:`0.8 \sqrt{c (1 - c) B / n}` with B bins.

    Args:
        responsibilities: (n_samples, n_components), aligned to the labels.
        labels: (n_samples,) true components, integers from 0.
        n_bins: at least 1; with fewer data than bins each datum is its own bin.

    Returns:
        Between 0 and 1; NaN where a probability is NaN.

    Raises:
        ConfigError: no bins.
        DataError: as `brier_score`.
    """
    if n_bins < 1:
        raise ConfigError(f"metrics.calibration_error: n_bins {n_bins} must be at least 1")
    shares, truth = _checked(responsibilities, labels, "calibration_error")
    confidence = shares.max(axis=1)
    right = (shares.argmax(axis=1) == truth).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, min(n_bins, len(order)))
    return float(sum(abs((confidence[rows] - right[rows]).sum()) for rows in bins) / len(order))


def interval_score(lower: ArrayLike, upper: ArrayLike, truth: ArrayLike, level: float) -> FloatArray:
    r"""Width of an interval plus :math:`2/\alpha` times the distance by which it misses the truth; lower is better.

    With :math:`\alpha = 1 - \mathrm{level}` this is the proper score of an equal-tailed interval (Gneiting & Raftery
    2007, *J. Am. Stat. Assoc.* 102, 359-378, eq. 43): neither wide intervals nor narrow ones can improve it.

    Args:
        lower: lower ends.
        upper: upper ends, of the same shape.
        truth: true values, of the same shape.
        level: the probability of the intervals, between 0 and 1.

    Returns:
        The scores, in the units of the parameter; NaN where an end is NaN.

    Raises:
        ConfigError: `level` outside (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise ConfigError(f"metrics.interval_score: level {level!r} must lie between 0 and 1, such as 0.9")
    low, high, value = (np.asarray(numbers, np.float64) for numbers in (lower, upper, truth))
    missed = np.maximum(low - value, 0.0) + np.maximum(value - high, 0.0)
    return np.asarray(high - low + 2.0 / (1.0 - level) * missed)


def _checked(responsibilities: ArrayLike, labels: ArrayLike, place: str) -> tuple[FloatArray, NDArray[np.int64]]:
    shares, truth = np.asarray(responsibilities, np.float64), np.asarray(labels)
    if shares.ndim != 2 or truth.shape != shares.shape[:1] or truth.size == 0 or truth.dtype.kind not in "iu":
        raise DataError(
            f"metrics.{place}: responsibilities {shares.shape} must be (n_samples, n_components) and labels "
            f"{truth.shape} one integer for each datum"
        )
    if truth.min() < 0 or truth.max() >= shares.shape[1]:
        raise DataError(f"metrics.{place}: labels must be components 0 to {shares.shape[1] - 1}")
    return shares, truth.astype(np.int64)
