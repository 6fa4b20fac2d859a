"""Distances to a density that can only be evaluated, against closed forms, quadrature and the spread of repetitions."""

import numpy as np
import pytest
from scipy import integrate, stats

from emjax.errors import DataError
from emjax.metrics import density


def normals(distance):
    """Total variation and Hellinger distance of two unit normals that far apart."""
    return 2 * stats.norm.cdf(distance / 2) - 1, np.sqrt(1 - np.exp(-(distance**2) / 8))


@pytest.mark.parametrize("distance", [0.0, 0.01, 1.0, 8.0])
def test_on_a_line_two_normals_have_the_closed_form(distance):
    nodes = np.sort(np.concatenate([np.linspace(-10, 18, 3001), np.linspace(-5, 13, 1777)]))
    found = density.distances_on_line(stats.norm.logpdf(nodes), stats.norm.logpdf(nodes, distance), nodes)
    assert found == pytest.approx(normals(distance), abs=1e-5)


def test_on_a_line_normal_and_heavy_tails_agree_with_quadrature():
    p, q = stats.norm(0.3, 1.2), stats.t(3.0)
    nodes = 2 * np.sinh(np.linspace(-8, 8, 4001))
    fine = np.linspace(-200.0, 200.0, 100_001)
    first, second = p.pdf(fine), q.pdf(fine)
    exact = 0.5 * integrate.simpson(np.abs(first - second), x=fine)
    affinity = integrate.simpson(np.sqrt(first * second), x=fine)
    found = density.distances_on_line(p.logpdf(nodes), q.logpdf(nodes), nodes)
    assert found == pytest.approx((exact, np.sqrt(1 - affinity)), abs=1e-4)


def test_on_counts_two_poissons_are_summed():
    counts = np.arange(80)
    p, q = stats.poisson(4.0), stats.poisson(9.0)
    found = density.distances_on_counts(p.logpmf(counts), q.logpmf(counts))
    # 1 - BC of two Poissons is 1 - exp(-(sqrt a - sqrt b)^2 / 2)
    exact = 0.5 * np.abs(p.pmf(counts) - q.pmf(counts)).sum(), np.sqrt(1 - np.exp(-0.5 * (2.0 - 3.0) ** 2))
    assert found == pytest.approx(exact, abs=1e-12)


def proposed(rng, n_half):
    """Draws, half from the standard normal and half from something wider, and their log density."""
    draws = np.concatenate([rng.normal(size=n_half), 4.0 * rng.standard_t(5, size=n_half)])
    return draws, np.logaddexp(stats.norm.logpdf(draws), stats.t(5, scale=4.0).logpdf(draws)) - np.log(2)


@pytest.mark.parametrize("distance", [0.0, 0.02, 0.5, 2.0, 6.0])
def test_from_draws_two_normals_have_the_closed_form(distance):
    draws, log_m = proposed(np.random.default_rng(4), 4096)
    found = density.distances_from_draws(stats.norm.logpdf(draws), stats.norm.logpdf(draws, distance), log_m)
    for estimate, exact in zip(found, normals(distance), strict=True):
        assert estimate.value == pytest.approx(exact, rel=0.02, abs=1e-7)
        assert estimate.value == pytest.approx(exact, abs=4 * estimate.standard_error + 1e-7)


def test_from_draws_a_spike_that_no_draw_meets_is_missing_mass():
    draws, log_m = proposed(np.random.default_rng(7), 4096)
    log_p, log_q = stats.norm.logpdf(draws), np.log(0.9) + stats.norm.logpdf(draws)
    assert density.distances_from_draws(log_p, log_q, log_m)[0].value == pytest.approx(0.1, rel=0.05)


def test_standard_errors_are_the_spread_over_repetitions():
    rng = np.random.default_rng(6)
    results = []
    for _ in range(300):
        draws, log_m = proposed(rng, 300)
        results.append(density.distances_from_draws(stats.norm.logpdf(draws), stats.norm.logpdf(draws, 1.5), log_m))
    for estimates in zip(*results, strict=True):
        spread = np.std([estimate.value for estimate in estimates], ddof=1)
        # The spread is known to 1/sqrt(600) = 4 %; the halves are fixed, and regression overfits a little.
        assert np.mean([estimate.standard_error for estimate in estimates]) == pytest.approx(spread, rel=0.25)


def test_extremes_and_nan():
    logs, zeros = np.array([0.0, -1.0, -np.inf, 0.5]), np.zeros(4)
    assert [estimate.value for estimate in density.distances_from_draws(logs, logs, zeros)] == pytest.approx([0, 0])
    assert density.distances_from_draws(logs, np.full(4, -np.inf), zeros)[1].value == 1.0
    assert np.isnan(density.distances_from_draws(logs, np.full(4, np.nan), zeros)[0].value)
    assert np.isnan(density.distances_on_line([0.0, np.nan], [0.0, 0.0], [0.0, 1.0])[0])


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (density.distances_from_draws, ([0.0], [0.0, 0.0], [0.0]), "one number per point"),
        (density.distances_from_draws, ([0.0] * 4, [0.0] * 4, [np.nan] * 4), "one finite number"),
        (density.distances_on_line, ([0.0, 0.0], [0.0, 0.0], [1.0, 0.0]), "ascend"),
        (density.distances_on_line, ([0.0], [0.0], [1.0]), "two or more nodes"),
        (density.distances_on_counts, ([], []), "one number per point"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(function, arguments, words):
    with pytest.raises(DataError, match=words) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
