"""Published optima are reached by a fit with default settings; their sources are in ``reference/published.json``."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import emjax

REFERENCE = Path(__file__).parents[1] / "reference"
PUBLISHED = json.loads((REFERENCE / "published.json").read_text(encoding="utf-8"))
KEY = jax.random.key(0)


def reaches(found: float, published: float, decimals: int) -> bool:
    """At least the published value, which was rounded to so many decimals."""
    return found >= published - 0.5 * 10.0**-decimals


NAMES = ("data", "case", "covariance", "n_components", "decimals")
CASES = [
    ("faithful", "full_2", "full", 2, 5),
    ("faithful", "tied_3", "tied", 3, 5),
    ("galaxies", "unequal_3", "full", 3, 4),
    ("galaxies", "unequal_4", "full", 4, 4),
    ("galaxies", "unequal_5", "full", 5, 4),
    ("acidity", "equal_2", "tied", 2, 4),
]
every_case = pytest.mark.parametrize(NAMES, CASES)
# The fit of "unequal_5" is that of a test below, with more starts, and that of "tied_3" one of a sweep.
some_cases = pytest.mark.parametrize(
    NAMES, [pytest.param(*case, marks=[pytest.mark.slow] * (i == 1 or i >= 3)) for i, case in enumerate(CASES)]
)


@some_cases
def test_normal_mixtures(data: str, case: str, covariance: str, n_components: int, decimals: int):
    x = emjax.datasets.load(data)
    fit = emjax.fit(emjax.Mixture(emjax.Normal(covariance=covariance), n_components), x, key=KEY)
    published = PUBLISHED[data][case]
    assert fit.converged
    assert not fit.optima[0].spurious
    assert reaches(fit.log_likelihood, published["log_likelihood"], decimals)
    # These are the best regular optima known: more than rounding above them would be an error of the likelihood.
    assert fit.log_likelihood < published["log_likelihood"] + 1e-4
    if "bic" in published:
        assert fit.bic(x) == pytest.approx(published["bic"], abs=5e-5)


@pytest.mark.slow
@every_case
def test_every_key_reaches_the_published_optimum(
    data: str, case: str, covariance: str, n_components: int, decimals: int
):
    x = emjax.datasets.load(data)
    for seed in range(20):
        fit = emjax.fit(emjax.Mixture(emjax.Normal(covariance=covariance), n_components), x, key=jax.random.key(seed))
        assert fit.converged
        assert not fit.optima[0].spurious
        assert reaches(fit.log_likelihood, PUBLISHED[data][case]["log_likelihood"], decimals), seed


@pytest.mark.slow
def test_the_two_normals_of_posteriordb():
    published = PUBLISHED["low_dim_gauss_mix"]
    x = np.loadtxt(REFERENCE / "posteriordb" / "low_dim_gauss_mix.csv", skiprows=1)
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, key=KEY)
    assert fit.converged
    assert [optimum.count for optimum in fit.optima] == [20]
    np.testing.assert_allclose(fit.params.weights[0], published["weight"], atol=5e-5)
    np.testing.assert_allclose(fit.params.mean[:, 0], published["means"], atol=5e-5)
    np.testing.assert_allclose(fit.params.scale[:, 0], published["scales"], atol=5e-5)


def test_a_spurious_optimum_is_listed_and_not_kept():
    published = PUBLISHED["galaxies"]["unequal_5"]
    mixture = emjax.Mixture(emjax.Normal(), 5)
    fit = emjax.fit(mixture, emjax.datasets.load("galaxies"), key=KEY, n_init=60)
    assert reaches(fit.log_likelihood, published["log_likelihood"], 4)
    best = max((o for o in fit.optima if o.status is emjax.Status.CONVERGED), key=lambda o: o.log_likelihood)
    assert reaches(best.log_likelihood, published["spurious_log_likelihood"], 3)
    assert best.spurious
    assert best.effective_counts.min() < 2.5
    assert not fit.optima[0].spurious
    assert fit.optima[0].log_likelihood == fit.log_likelihood
    assert sum(o.count for o in fit.optima) == 60
    # Regular optima come first, best first; then the spurious ones.
    regular = [o.log_likelihood for o in fit.optima if not o.spurious and o.status is emjax.Status.CONVERGED]
    assert regular == sorted(regular, reverse=True)
    flags = [o.spurious for o in fit.optima if o.status is emjax.Status.CONVERGED]
    assert flags == sorted(flags)


@pytest.fixture(scope="module")
def deaths() -> emjax.datasets.Dataset:
    return emjax.datasets.load("deaths")


def test_the_poisson_optimum_of_the_death_notices(deaths):
    published = PUBLISHED["deaths"]
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), deaths, key=KEY)
    assert fit.converged
    assert reaches(fit.log_likelihood, published["log_likelihood"], 9)
    # EM is slow here, but what "converged" promises holds: within 1e-6 of the optimum, plus the published rounding.
    np.testing.assert_allclose(fit.params.weights[0], published["weight"], atol=1e-6)
    np.testing.assert_allclose(fit.params.rate[:, 0], published["rates"], atol=1.1e-6)
    assert fit.rate == pytest.approx(published["rate_of_convergence"], abs=3e-6)


def test_iterate_1500_of_the_death_notices(deaths):
    published = PUBLISHED["deaths"]
    mixture = emjax.Mixture(emjax.Poisson(), 2)
    begin, end = published["iterate_1500_from"], published["iterate_1500"]
    start = mixture.params(weights=[begin["weight"], 1 - begin["weight"]], rate=begin["rates"])
    fit = emjax.fit(mixture, deaths, key=KEY, init=start, max_iter=1500, tol=0.0)
    assert fit.n_iter == 1500
    # The published digits: 13 of the weight, 12 after the point of the rates.
    np.testing.assert_allclose(fit.params.weights[0], end["weight"], atol=1e-12)
    np.testing.assert_allclose(fit.params.rate[:, 0], end["rates"], atol=2e-12)
    assert fit.rate == pytest.approx(published["rate_of_convergence"], abs=3e-6)
