"""The sandwich: against closed forms, and against scores that were differenced in NumPy."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import emjax
from emjax.uncertainty import Intervals

RNG = np.random.default_rng(8)
SKEWED = RNG.gamma(1.5, 2.0, (400, 1))


def errors(found: Intervals) -> dict[str, float]:
    return {row.name: row.se for row in found.rows}


def test_one_normal_has_the_errors_of_its_moments():
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 1), SKEWED, key=0, n_init=1, accelerate="none")
    found = fit.intervals(method="sandwich")
    n, s = len(SKEWED), SKEWED.std()
    fourth = np.mean((SKEWED - SKEWED.mean()) ** 4)
    assert found.method == "sandwich"
    assert found["mean[0, x]"].se == pytest.approx(s / np.sqrt(n), rel=1e-8)
    # By the delta method from the variance, whose sampling variance is (m4 - s^4) / n whatever the law.
    assert found["scale[0, x]"].se == pytest.approx(np.sqrt((fourth - s**4) / n) / (2.0 * s), rel=1e-8)
    third = np.mean((SKEWED - SKEWED.mean()) ** 3)
    names = [row.name for row in found.rows]
    at = names.index("mean[0, x]"), names.index("scale[0, x]")
    assert found.covariance[at] == pytest.approx(third / (2.0 * s * n), rel=1e-8)
    # Data of a gamma law are none of a normal one, and the information does not know it.
    assert found["scale[0, x]"].se > 1.3 * fit.intervals(method="information")["scale[0, x]"].se


def test_two_poissons_have_the_scores_of_a_density_written_by_hand():
    x = np.r_[RNG.poisson(2.0, 90), RNG.poisson(9.0, 60)].astype(float)
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), x, key=0, tol=1e-10, n_init=4, accelerate="none")

    def log_density(at: np.ndarray) -> np.ndarray:
        share, rates = 1.0 / (1.0 + np.exp(-at[0])), np.exp(at[1:])
        return np.logaddexp(
            np.log(share) + scipy.stats.poisson.logpmf(x, rates[0]),
            np.log1p(-share) + scipy.stats.poisson.logpmf(x, rates[1]),
        )

    share, rates = fit.params.weights[0], fit.params.rate[:, 0]
    at = np.array([np.log(share / (1.0 - share)), *np.log(rates)])
    scores = scipy.optimize.approx_fprime(at, log_density, 1e-6)
    steps = 1e-4 * np.eye(3)
    total = lambda point: log_density(point).sum()  # noqa: E731
    hessian = [
        [(total(at + a + b) - total(at + a - b) - total(at - a + b) + total(at - a - b)) / 4e-8 for b in steps]
        for a in steps
    ]
    bread = np.linalg.inv(-np.array(hessian))
    covariance = bread @ (scores.T @ scores) @ bread
    expected = np.sqrt(np.diag(covariance)) * np.array([share * (1.0 - share), *rates])
    found = errors(fit.intervals(method="sandwich"))
    np.testing.assert_allclose([found["weights[0]"], found["rate[0, x]"], found["rate[1, x]"]], expected, rtol=2e-4)


def test_rows_that_count_twice_are_two_rows():
    x, counts = np.arange(12.0), np.array([9, 14, 8, 5, 2, 1, 3, 6, 8, 5, 3, 1])
    mixture = emjax.Mixture(emjax.Poisson(), 1)
    one = emjax.fit(mixture, x, weights=counts, key=0, n_init=1, accelerate="none").intervals(method="sandwich")
    other = emjax.fit(mixture, np.repeat(x, counts), key=0, n_init=1, accelerate="none").intervals(method="sandwich")
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-6)


def test_a_prior_is_in_the_information_and_no_datum():
    x = RNG.negative_binomial(2, 0.3, 80).astype(float)
    prior = {"rate": emjax.laws.Gamma(40.0, 4.0)}
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 1, prior=prior), x, key=0, n_init=1, accelerate="none")
    rate = float(fit.params.rate[0, 0])
    information = (rate / fit.intervals(method="information")["rate[0, x]"].se) ** 2
    spread = np.sum((x - x.mean()) ** 2)
    found = fit.intervals(method="sandwich")["rate[0, x]"]
    assert found.se == pytest.approx(rate * np.sqrt(spread) / information, rel=1e-6)


def test_unknown_methods_are_named():
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 1), np.arange(9.0), key=0, n_init=1, accelerate="none")
    with pytest.raises(ValueError, match=r"information.*sandwich"):
        fit.intervals(method="sandwitch")
