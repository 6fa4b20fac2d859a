"""The telescoping sampler where components share a parameter, against the enumeration of all partitions."""

import math

import numpy as np
import pytest
from partitions import exact, log_static

import emjax
from emjax.selection import telescope, uniform

NUMBERS = np.array([-1.0, -0.8, 0.1, 1.5, 1.7])


@pytest.mark.slow
def test_normals_of_one_variance_have_the_posterior_of_all_partitions():
    """What components share is no part of a block: the means in closed form, the variance by a sum over a grid."""
    degrees, scatter, middle, precision = 3.0, 0.5, 0.2, 0.3
    log_variance = np.arange(-12.0, 8.0, 0.05)
    variance = np.exp(log_variance)

    def log_block(block):
        x, n = NUMBERS[block], len(block)
        squares = ((x - x.mean()) ** 2).sum() + n * precision / (n + precision) * (x.mean() - middle) ** 2
        return -0.5 * (n * np.log(2 * np.pi * variance) + math.log1p(n / precision) + squares / variance)

    def of_sizes(sizes):
        return number.log_probabilities + [log_static(sizes, k, 1.0) for k in range(1, number.most + 1)]

    number = uniform(8)
    log_grid = -0.5 * degrees * log_variance - 0.5 * scatter / variance
    expected = exact(len(NUMBERS), log_block, of_sizes, log_grid)
    prior = {
        "covariance": emjax.laws.InverseWishart(degrees, [[scatter]]),
        "mean": emjax.laws.NormalGiven([middle], precision),
    }
    settings = {"warmup": 200, "draws": 1000, "thin": 20, "key": 1}
    found = telescope(emjax.Normal("tied"), NUMBERS[:, None], prior=prior, n_components=number, **settings)
    assert found.converged, found.message
    found_and_expected = [
        (found.p_components, found.p_components_error, expected[0]),
        (found.p_clusters, found.p_clusters_error, expected[1]),
    ]
    for shares, errors, exactly in found_and_expected:
        common = exactly > 1e-3
        assert errors.max() < 0.015
        assert (np.abs(shares - exactly)[common] < 4.0 * errors[common] + 1e-9).all()
