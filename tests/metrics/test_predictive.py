"""Total variation and log scores against closed forms, quadrature and exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import integrate, special, stats

from emjax.errors import DataError
from emjax.metrics import predictive


def closed_form(distance):
    """Total variation of two unit normals whose means lie `distance` apart."""
    return 2.0 * stats.norm.cdf(abs(distance) / 2.0) - 1.0


@pytest.mark.parametrize("distance", [0.0, 0.1, 1.0, 3.0, 12.0])
def test_total_variation_of_two_normals_by_monte_carlo(distance):
    rng = np.random.default_rng(int(10 * distance))
    points = np.concatenate([rng.normal(0.0, 1.0, 20_000), rng.normal(distance, 1.0, 20_000)])
    log_p, log_q = stats.norm.logpdf(points), stats.norm.logpdf(points, loc=distance)
    result = predictive.total_variation(log_p, log_q)
    assert result.standard_error < 0.003
    assert result.value == pytest.approx(closed_form(distance), abs=4 * result.standard_error + 1e-8)
    assert predictive.total_variation(log_q, log_p) == result


def test_total_variation_of_correlated_normals_in_two_dimensions():
    rng = np.random.default_rng(1)
    covariance, shift = np.array([[2.0, 0.6], [0.6, 1.0]]), np.array([1.0, -0.5])
    p = stats.multivariate_normal([0.0, 0.0], covariance)
    q = stats.multivariate_normal(shift, covariance)
    points = rng.multivariate_normal([0.0, 0.0], covariance, 20_000) + np.repeat([[0.0], [1.0]], 10_000, 0) * shift
    result = predictive.total_variation(p.logpdf(points), q.logpdf(points))
    exact = closed_form(np.sqrt(shift @ np.linalg.solve(covariance, shift)))
    assert result.value == pytest.approx(exact, abs=4 * result.standard_error)


def test_standard_error_is_the_spread_over_repetitions():
    rng = np.random.default_rng(2)
    values, errors = [], []
    for _ in range(400):
        points = rng.normal(size=200) + np.where(rng.random(200) < 0.5, 0.0, 1.5)  # truly independent draws
        result = predictive.total_variation(stats.norm.logpdf(points), stats.norm.logpdf(points, loc=1.5))
        values.append(result.value)
        errors.append(result.standard_error)
    # The sd of 400 values is known to 1/sqrt(800) = 3.5 %.
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=4 * 0.036)


def test_total_variation_survives_the_extremes():
    result = predictive.total_variation([-1e5, 0.0, -np.inf, 3.0], [0.0, -1e5, 0.0, 3.0])
    assert result.value == 0.75
    assert predictive.total_variation([-900.0], [-900.0 + np.log(3.0)]).value == pytest.approx(0.5, rel=1e-12)
    assert np.isnan(predictive.total_variation([0.0], [0.0]).standard_error)


@pytest.mark.parametrize(
    ("log_p", "log_q", "message"),
    [
        ([0.0, 1.0], [0.0], "one, non-empty shape"),
        ([], [], "one, non-empty shape"),
        ([np.nan], [0.0], "log_p holds NaN"),
        ([0.0], [np.inf], "log_q holds NaN"),
        ([-np.inf], [-np.inf], "density 0 under both"),
    ],
)
def test_total_variation_refuses(log_p, log_q, message):
    with pytest.raises(DataError, match=message):
        predictive.total_variation(log_p, log_q)


def test_total_variation_of_counts_is_exact():
    p = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6), Fraction(0)]
    q = [Fraction(1, 4), Fraction(1, 4), Fraction(1, 4), Fraction(1, 4)]
    exact = sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log(np.array(p, float)), np.log(np.array(q, float))
    assert predictive.total_variation_counts(log_p, log_q) == pytest.approx(float(exact), rel=1e-14)
    square = predictive.total_variation_counts(log_p.reshape(2, 2), log_q.reshape(2, 2))
    assert square == pytest.approx(float(exact), rel=1e-14)


def test_total_variation_of_poissons_is_a_difference_of_distribution_functions():
    grid = np.arange(60)
    result = predictive.total_variation_counts(stats.poisson.logpmf(grid, 2.0), stats.poisson.logpmf(grid, 3.5))
    # The pmfs cross once, at log(3.5/2) * x = 1.5: below it the first is larger.
    crossing = np.floor(1.5 / np.log(3.5 / 2.0))
    exact = stats.poisson.cdf(crossing, 2.0) - stats.poisson.cdf(crossing, 3.5)
    assert result == pytest.approx(exact, rel=1e-10)
    with pytest.raises(DataError, match="q sums to"):
        predictive.total_variation_counts(stats.poisson.logpmf(grid, 2.0), stats.poisson.logpmf(grid, 50.0))


@pytest.mark.parametrize("distance", [0.0, 0.3, 2.0, 15.0])
def test_total_variation_on_a_grid(distance):
    grid, spacing = np.linspace(-10.0, 25.0, 3501, retstep=True)
    result = predictive.total_variation_grid(stats.norm.logpdf(grid), stats.norm.logpdf(grid, loc=distance), spacing)
    assert result == pytest.approx(closed_form(distance), abs=1e-5)


def test_total_variation_on_a_grid_is_that_of_quadrature_for_a_mixture():
    def mixture(x):
        return 0.3 * stats.norm.pdf(x, -1.0, 0.5) + 0.7 * stats.norm.pdf(x, 2.0, 1.2)

    def other(x):
        return stats.norm.pdf(x, 1.0, 2.0)

    grid, spacing = np.linspace(-15.0, 15.0, 6001, retstep=True)
    exact, _ = integrate.quad(lambda x: 0.5 * abs(mixture(x) - other(x)), -15, 15, limit=500, epsabs=1e-10)
    result = predictive.total_variation_grid(np.log(mixture(grid)), np.log(other(grid)), spacing)
    assert result == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize(
    ("n_points", "spacing", "message"),
    [
        (1, 0.1, "2 or more"),
        (200, 0.0, "positive spacing"),
        (200, -0.1, "positive spacing"),
        (20, 0.1, "wider"),
    ],
)
def test_total_variation_on_a_grid_refuses(n_points, spacing, message):
    log_p = stats.norm.logpdf(-10.0 + 0.1 * np.arange(n_points))
    with pytest.raises(DataError, match=message):
        predictive.total_variation_grid(log_p, log_p, spacing)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_log_mean_exp_is_that_of_scipy(axis):
    values = 50.0 * np.random.default_rng(3).normal(size=(6, 5, 4))
    expected = special.logsumexp(values, axis=axis) - np.log(values.shape[axis])
    np.testing.assert_allclose(predictive.log_mean_exp(values, axis), expected, rtol=1e-13)


def test_log_mean_exp_at_the_extremes():
    columns = np.array([[-2000.0, -np.inf, -np.inf, np.nan], [-2000.0, -np.inf, 800.0, 0.0]])
    expected = [-2000.0, -np.inf, 800.0 - np.log(2.0), np.nan]
    np.testing.assert_allclose(predictive.log_mean_exp(columns), expected, rtol=1e-13)
    for empty in (np.zeros((0, 3)), 1.0):
        with pytest.raises(DataError, match="no draws"):
            predictive.log_mean_exp(empty)


def test_log_score_is_a_mean_with_its_standard_error():
    result = predictive.log_score([-1.0, -2.0, -3.0, -6.0])
    assert result.value == -3.0
    assert result.standard_error == pytest.approx(np.sqrt((4 + 1 + 0 + 9) / 3 / 4))
    assert predictive.log_score([-1.0, -np.inf]).value == -np.inf
    for values in ([-1.0, np.nan], [-1.0, -np.inf]):
        assert np.isnan(predictive.log_score(values).standard_error)
    for bad in ([], [[1.0]]):
        with pytest.raises(DataError, match="one number per datum"):
            predictive.log_score(bad)
