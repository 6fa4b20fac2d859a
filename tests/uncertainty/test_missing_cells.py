"""By name: with a quarter of the cells missing the truth lies within three standard errors, as often as it should."""

import numpy as np
import pytest

import emjax
from emjax.em.many import fit_many
from emjax.uncertainty.many import intervals_many

MEAN, SCALE, CORRELATION, SHARE = np.array([[0.0, 0.0], [3.5, 2.0]]), np.array([1.0, 1.5]), 0.5, 0.4


def drawn(seed: int, n: int = 500) -> np.ndarray:
    rng = np.random.default_rng(seed)
    covariance = np.outer(SCALE, SCALE) * np.array([[1.0, CORRELATION], [CORRELATION, 1.0]])
    labels = (rng.random(n) > SHARE).astype(int)
    x = MEAN[labels] + rng.multivariate_normal([0, 0], covariance, n)
    return np.where(rng.random(x.shape) < 0.25, np.nan, x)


@pytest.mark.slow
def test_the_truth_lies_within_three_standard_errors():
    truth = np.concatenate([[SHARE, 1 - SHARE], MEAN.ravel(), np.tile(SCALE, 2), [CORRELATION] * 2])
    fits = fit_many(emjax.Mixture(emjax.Normal(), 2), [drawn(seed) for seed in range(200)], keys=0)
    rows = [found.rows for found in intervals_many(fits)]
    away = np.array([[(row.estimate - true) / row.se for row, true in zip(each, truth, strict=True)] for each in rows])
    assert (np.abs(away) < 3).mean(axis=0).min() >= 0.95
    # And not because standard errors are too large: about one in three is farther than one of them.
    np.testing.assert_allclose((np.abs(away) < 1).mean(axis=0), 0.68, atol=0.12)
