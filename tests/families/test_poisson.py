"""The Poisson family: its checks of data and parameters, and what it does at a rate or a count of zero."""

import jax
import numpy as np
import pytest

import emjax
from emjax.errors import DataError
from emjax.moments import Summary
from emjax.samples import as_samples

FAMILY = emjax.Poisson()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1.0, 2.5], "row 1 .*column 'x' is 2.5; choose other columns"),
        ([0.0, -1.0], "row 1 .* is -1"),
        ([[1.0, 0.0], [2.0, 0.0]], "column 'x1' holds only zeros"),
    ],
)
def test_data_that_are_no_counts(x, message: str):
    with pytest.raises(DataError, match=message):
        FAMILY.check(as_samples(np.array(x)))


def test_counts_pass():
    FAMILY.check(as_samples(np.array([[0, 3], [1, 0]])))


@pytest.mark.parametrize("rate", [[0.0, 1.0], [-1.0, 1.0], [np.nan, 1.0], np.ones((2, 1, 1))])
def test_wrong_rates(rate):
    with pytest.raises(ValueError, match="rate must be positive and finite and of shape"):
        FAMILY.params(rate=rate)


def test_rates_of_one_feature_may_be_flat():
    np.testing.assert_array_equal(FAMILY.params(rate=[1.0, 2.0])["rate"], [[1.0], [2.0]])


def test_a_component_of_zeros_has_a_finite_log_likelihood():
    mixture = emjax.Mixture(FAMILY, 2)
    x = np.concatenate([np.zeros(50), np.random.default_rng(0).poisson(20.0, 50)])
    fit = emjax.fit(mixture, x, key=jax.random.key(0), init=[0.0, 15.0])
    assert fit.converged, fit.message
    np.testing.assert_allclose(fit.params.weights, 0.5, atol=1e-6)
    assert fit.params.rate[0, 0] < 1e-9
    assert np.isfinite(fit.score_samples(np.arange(30.0))).all()


def test_units_stay():
    frame = FAMILY.frame(Summary(np.array([[3.0, 400.0], [5.0, 600.0]])))
    np.testing.assert_array_equal(frame.shift, 0.0)
    np.testing.assert_array_equal(frame.scale, 1.0)


@pytest.mark.usefixtures("x64")
def test_draws_are_counts():
    mixture = emjax.Mixture(FAMILY, 2)
    sample = jax.jit(mixture.sample, static_argnums=2)
    x, _ = sample(mixture.params(rate=[0.5, 30.0]), jax.random.key(0), 200)
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x, np.floor(x))
    assert x.min() >= 0
