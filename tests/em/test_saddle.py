"""Nothing is `converged` where the objective rises in some direction."""

import jax
import numpy as np
import pytest

import emjax
from emjax.result import Status

KEY = jax.random.key(0)
NORMAL = emjax.Mixture(emjax.Normal(), 2)


@pytest.fixture(scope="module")
def symmetric() -> np.ndarray:
    """Three clusters that mirror each other: two components cannot share them evenly at a maximum."""
    side = np.random.default_rng(0).normal(size=200)
    return np.concatenate([side - 6, side[:100], -side[:100], 6 - side])


@pytest.mark.parametrize("accelerate", ["none", "anderson"])
def test_equal_responsibilities_rest_on_a_saddle(accelerate):
    x = np.asarray(emjax.datasets.load("faithful"))
    fit = emjax.fit(NORMAL, x, key=KEY, init=np.full((272, 2), 0.5), accelerate=accelerate)
    assert fit.status is Status.SADDLE
    assert not fit.converged
    assert "saddle" in fit.message
    assert fit.optima[0].kind == "saddle"


def test_a_symmetric_start_on_symmetric_data_rests_on_a_saddle(symmetric):
    fit = emjax.fit(NORMAL, symmetric, key=KEY, init=[-3.0, 3.0])
    assert fit.status is Status.SADDLE
    broken = emjax.fit(NORMAL, symmetric, key=KEY, init=[-3.0, 3.3])
    assert broken.converged
    assert broken.log_likelihood > fit.log_likelihood + 10


def test_equal_rates_are_a_saddle():
    counts = np.random.default_rng(1).negative_binomial(2, 0.3, 300)
    mixture = emjax.Mixture(emjax.Poisson(), 2)
    assert emjax.fit(mixture, counts, key=KEY, init=[4.0, 4.0]).status is Status.SADDLE
    assert emjax.fit(mixture, counts, key=KEY, init=[3.0, 5.0]).converged


def test_maxima_are_no_saddles():
    x = emjax.datasets.load("faithful")
    mixture = emjax.Mixture(emjax.Normal(covariance="tied"), 2)
    assert emjax.fit(mixture, x, key=KEY, init=np.asarray(x)[[0, 1]]).converged
    deaths = emjax.datasets.load("deaths")
    assert emjax.fit(emjax.Mixture(emjax.Poisson(), 2), deaths, key=KEY, init=[1.0, 3.0]).converged


def test_a_start_on_a_saddle_among_others_is_listed_last(symmetric):
    starts = [NORMAL.params(mean=mean, scale=[3.0, 3.0]) for mean in ([-3.0, 3.0], [-3.0, 4.0])]
    fit = emjax.fit(NORMAL, symmetric, key=KEY, init=starts)
    assert [optimum.status for optimum in fit.optima] == [Status.CONVERGED, Status.SADDLE]
