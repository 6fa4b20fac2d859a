"""Poisson densities of large counts against 25 digits of mpmath; `tests/reference/poisson_values.py` made them."""

import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import stats

import emjax
from emjax.datasets.laws import PoissonLaw
from emjax.em.blocks import make_blocks
from emjax.em.step import expectation
from emjax.errors import DataError
from emjax.families.observations import observed

CASES = json.loads((Path(__file__).parents[1] / "reference" / "poisson_values.json").read_text())["cases"]
X, RATE, EXPECTED = (np.array([float(case[key]) for case in CASES]) for key in ("x", "rate", "log_probability"))
KEY = jax.random.key(0)
QUICK = {"key": KEY, "n_init": 2, "accelerate": "none"}


def one(rate: float) -> tuple[emjax.Mixture, emjax.MixtureParams]:
    mixture = emjax.Mixture(emjax.Poisson(), 1)
    return mixture, mixture.params(rate=[[rate]])


def drawn(rates: list[float], n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.poisson(rate, n // len(rates)) for rate in rates]).astype(float)[:, None]


def reference(x: np.ndarray, weights: np.ndarray, rates: np.ndarray) -> float:
    """The log-likelihood in long doubles, which hold 19 digits."""
    x, rates, total = x[:, 0].astype(np.longdouble), np.asarray(rates, np.longdouble).ravel(), np.longdouble(0)
    for value in x:
        peak = -np.log(2 * np.pi * value) / 2 - 1 / (12 * value) + 1 / (360 * value**3)
        terms = [
            w * np.exp(peak - value * _excess((rate - value) / value)) for w, rate in zip(weights, rates, strict=True)
        ]
        total += np.log(sum(terms))
    return float(total)


def _excess(delta: np.longdouble) -> np.longdouble:
    return delta - np.log1p(delta)


@pytest.mark.usefixtures("x64")
def test_log_density_keeps_its_digits():
    density = jax.jit(
        lambda x, rate: one(1.0)[0].log_prob(one(1.0)[1].replace(rate=rate[None, None]), x[None, None])[0]
    )
    values = [float(density(x, rate)) for x, rate in zip(X, RATE, strict=True)]
    np.testing.assert_allclose(values, EXPECTED, rtol=1e-13, atol=1e-14)


def test_the_law_of_simulated_counts_has_the_same_density():
    laws = [PoissonLaw(np.ones(1), np.array([[rate]])) for rate in RATE]
    values = [law.log_components(np.array([[x]]))[0, 0] for law, x in zip(laws, X, strict=True)]
    np.testing.assert_allclose(values, EXPECTED, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("x", [2.5, -1.0, -0.5, 1e6 + 0.25])
def test_what_is_no_count_has_no_density(x: float):
    data = np.arange(20.0)
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 1), data, **QUICK)
    density = fit.score_samples(np.array([3.0, x]))
    assert density[1] == -math.inf
    np.testing.assert_allclose(density[0], stats.poisson.logpmf(3, data.mean()), rtol=1e-12)


@pytest.mark.parametrize(
    ("rates", "dtype"),
    [
        ([3e6, 3.01e6], "float32"),
        ([1e9, 1.0002e9], "float64"),
        pytest.param([3e6, 3.01e6], "float64", marks=pytest.mark.slow),
        pytest.param([1e9, 1.0002e9], "float32", marks=pytest.mark.slow),
        pytest.param([2.0, 40.0], "float32", marks=pytest.mark.slow),
        pytest.param([2.0, 40.0], "float64", marks=pytest.mark.slow),
    ],
)
def test_reported_numbers_are_those_of_the_parameters(rates: list[float], dtype: str):
    x = drawn(rates, 400)
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), x, **QUICK, dtype=dtype)
    assert fit.converged
    rate = fit.params.rate
    if min(rates) > 1e3:
        expected = reference(x, fit.params.weights, rate)
    else:
        logs = stats.poisson.logpmf(x, rate.ravel()) + np.log(fit.params.weights)
        expected = np.logaddexp.reduce(logs, axis=1).sum()
    assert fit.log_likelihood == pytest.approx(expected, rel=1e-11)
    assert fit.score_samples(x).sum() == pytest.approx(expected, rel=1e-11)
    assert fit.bic(x) == pytest.approx(-2 * expected + 3 * np.log(len(x)), rel=1e-11)
    assert fit.trace[-1] == pytest.approx(fit.objective, rel=1e-12)
    assert rate.dtype == np.float64


@pytest.mark.parametrize("scale", [1e12, 1e15])
def test_counts_of_many_digits(scale: float):
    x = drawn([scale, scale + 6 * scale**0.5], 400)
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), x, **QUICK)
    assert fit.converged
    np.testing.assert_allclose(np.sort(fit.params.rate.ravel()), [scale, scale + 6 * scale**0.5], rtol=1 / scale**0.5)
    assert fit.log_likelihood == pytest.approx(reference(x, fit.params.weights, fit.params.rate), abs=1e-6)
    np.testing.assert_allclose(fit.predict_proba(x).sum(axis=1), 1.0, rtol=1e-12)


def test_float32_says_where_it_is_too_coarse_for_counts():
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 1), drawn([1e13], 100), **QUICK, dtype="float32")
    assert fit.status is emjax.Status.PRECISION


def test_counts_that_float64_does_not_hold_are_refused():
    with pytest.raises(DataError, match=r"row 1 .* column 'x' is 1e\+16, .* above 2\*\*53 .* normal mixture"):
        emjax.fit(emjax.Mixture(emjax.Poisson(), 1), [1.0, 1e16], key=KEY)


@pytest.mark.usefixtures("x64")
def test_both_forms_of_the_e_step_agree():
    mixture = emjax.Mixture(emjax.Poisson(), 2)
    params = mixture.params(weights=[0.3, 0.7], rate=[[4.0, 90.0], [9.0, 70.0]])
    x = np.random.default_rng(1).poisson([6.0, 80.0], (300, 2)).astype(float)
    taken = jax.jit(expectation, static_argnums=0)
    natural, exact = (taken(mixture, params, make_blocks(x, mixture, exact=exact)) for exact in (False, True))
    np.testing.assert_allclose(natural.log_likelihood, exact.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(natural.components, exact.components, rtol=1e-10)
    base = np.asarray(mixture.family.log_base_measure(observed(x))).sum()
    logs = stats.poisson.logpmf(x[:, None, :], params.rate).sum(axis=2) + np.log(params.weights)
    np.testing.assert_allclose(exact.log_likelihood + base, np.logaddexp.reduce(logs, axis=1).sum(), rtol=1e-11)


@pytest.mark.usefixtures("x64")
def test_derivatives_are_those_of_the_density():
    mixture, params = one(1e12)
    x = np.array([[1e12 + 3e6], [0.0], [4e12]])

    def total(rate):
        return mixture.log_prob(params.replace(rate=rate), x).sum()

    rate = np.array([[1e12]])
    gradient, curvature = jax.jit(lambda rate: (jax.grad(total)(rate), jax.hessian(total)(rate)))(rate)
    assert float(gradient[0, 0]) == pytest.approx(float(np.sum((x - rate) / rate)), rel=1e-12)
    assert float(curvature[0, 0, 0, 0]) == pytest.approx(-float(np.sum(x / rate**2)), rel=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("rate", [2e3, pytest.param(3e6, marks=pytest.mark.slow), 1e12])
def test_draws_of_large_rates_have_the_distribution(rate: float):
    mixture, params = one(rate)
    sample = jax.jit(mixture.sample, static_argnums=2)
    x = np.concatenate([np.asarray(sample(params, jax.random.key(key), 4000)[0])[:, 0] for key in range(8)])
    np.testing.assert_array_equal(x, np.floor(x))
    # Counts are spread evenly over their share, as one of them is a hundredth of all at the smallest rate; the
    # standardised count is normal, with its skewness, to less than what 32,000 draws show.
    place = x + np.random.default_rng(0).uniform(-0.5, 0.5, len(x)) - rate
    cdf = stats.norm.cdf(place / rate**0.5 - (place**2 / rate - 1.0) / (6.0 * rate**0.5))
    assert stats.kstest(cdf, "uniform").pvalue > 0.01
