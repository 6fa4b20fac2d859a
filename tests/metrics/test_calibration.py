"""Calibration of assignment probabilities and intervals: values worked out by hand, scikit-learn, and proper scores."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss

from emjax.errors import ConfigError, DataError
from emjax.metrics import brier_score, calibration_error, interval_score


def test_brier_score_by_hand():
    assert brier_score([[1.0, 0.0]], [0]) == 0.0
    assert brier_score([[1.0, 0.0]], [1]) == 2.0
    assert brier_score(np.full((4, 3), 1 / 3), [0, 1, 2, 0]) == pytest.approx(2 / 3)
    assert brier_score([[0.7, 0.3], [0.2, 0.8]], [0, 0]) == pytest.approx((0.18 + 1.28) / 2)


def test_brier_score_of_two_components_is_twice_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    first = rng.random(200)
    labels = (rng.random(200) > first).astype(int)
    theirs = brier_score_loss(labels, 1 - first)
    assert brier_score(np.stack([first, 1 - first], axis=1), labels) == pytest.approx(2 * theirs, rel=1e-12)


def test_calibration_error_by_hand():
    # Bins of two: confidences 0.6, 0.7 with one right; 0.8, 1.0 with both right.
    shares = np.array([[0.6, 0.4], [0.3, 0.7], [0.8, 0.2], [1.0, 0.0]])
    assert calibration_error(shares, [0, 0, 0, 0], n_bins=2) == pytest.approx((abs(1.3 - 1) + abs(1.8 - 2)) / 4)
    assert calibration_error(shares, [0, 0, 0, 0], n_bins=50) == pytest.approx((0.4 + 0.7 + 0.2 + 0.0) / 4)
    assert calibration_error([[1.0, 0.0]] * 3, [0, 0, 0]) == 0.0


def test_calibration_error_of_right_probabilities_is_small_and_that_of_sharpened_ones_is_not():
    rng = np.random.default_rng(1)
    shares = rng.dirichlet([1.0, 1.0, 1.0], size=20_000)
    labels = (rng.random(20_000)[:, None] > shares.cumsum(axis=1)).sum(axis=1)
    assert calibration_error(shares, labels) < 0.015  # about 0.8 sqrt(0.2 * 10 / 20,000) = 0.008 by chance
    sharp = shares**3 / (shares**3).sum(axis=1, keepdims=True)
    gap = sharp.max(axis=1).mean() - shares.max(axis=1).mean()  # sharpening keeps the order, so accuracy stays
    assert calibration_error(sharp, labels) == pytest.approx(gap, abs=0.015)
    assert brier_score(shares, labels) < brier_score(sharp, labels)


def test_interval_score_by_hand_and_proper():
    assert interval_score([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.5, 1.5, -0.25], 0.9) == pytest.approx([1.0, 11.0, 6.0])
    draws = np.random.default_rng(2).normal(size=100_000)
    mean = {half: interval_score(-half, half, draws, 0.9).mean() for half in (1.2, stats.norm.ppf(0.95), 2.2)}
    assert min(mean, key=mean.get) == stats.norm.ppf(0.95)
    assert np.isnan(interval_score(np.nan, 1.0, 0.0, 0.9))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: brier_score([[0.5, 0.5]], [2]), DataError, "components 0 to 1"),
        (lambda: brier_score([[0.5, 0.5]], [-1]), DataError, "components 0 to 1"),
        (lambda: brier_score([[0.5, 0.5]], [0.0]), DataError, "one integer"),
        (lambda: calibration_error([[0.5, 0.5]], [0, 1]), DataError, "one integer"),
        (lambda: calibration_error([[0.5, 0.5]], [0], n_bins=0), ConfigError, "at least 1"),
        (lambda: interval_score(0.0, 1.0, 0.5, 1.0), ConfigError, "between 0 and 1"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
