"""Differences in sds, width ratios and intervals, by hand and against known distributions."""

import numpy as np
import pytest
from scipy import stats

from emjax.errors import ConfigError, DataError
from emjax.metrics import parameter


def test_difference_in_sd_is_signed_and_elementwise():
    result = parameter.difference_in_sd([1.0, 2.0, -3.0], [0.5, 4.0, -3.0], [0.25, 1.0, 2.0])
    np.testing.assert_array_equal(result, [2.0, -2.0, 0.0])
    assert parameter.difference_in_sd(1.0, 0.0, 4.0) == 0.25


@pytest.mark.parametrize(
    ("em", "mean", "sd", "expected"),
    [
        (1.0, 1.0, 0.0, 0.0),
        (1.0, 1.0 + 1e-15, 1e-16, 0.0),  # the weight of a single component, up to rounding
        (0.0, 0.0, 0.0, 0.0),
        (1.0, 1.1, 0.0, np.nan),
        (1.0, 0.0, -1.0, np.nan),
        (np.nan, 0.0, 1.0, np.nan),
        (np.inf, 0.0, 1.0, np.nan),
        (0.0, np.inf, np.inf, np.nan),
        (1e-20, 0.0, 1e-20, 1.0),  # small, but not rounding
    ],
)
def test_difference_in_sd_without_spread(em, mean, sd, expected):
    np.testing.assert_array_equal(parameter.difference_in_sd(em, mean, sd), expected)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((0.0, 1.0, 0.0, 2.0), 0.5),
        ((-3.0, 3.0, 10.0, 12.0), 3.0),
        ((1.0, 1.0, 0.0, 2.0), 0.0),
        ((1.0, 1.0, 1.0, 1.0), 1.0),
        ((0.9, 1.1, 1.0, 1.0), np.nan),
        ((1.0, 0.0, 0.0, 2.0), np.nan),
        ((0.0, 1.0, 2.0, 0.0), np.nan),
        ((np.nan, 1.0, 0.0, 2.0), np.nan),
        ((0.0, np.inf, 0.0, 2.0), np.nan),
        ((-np.inf, np.inf, -np.inf, np.inf), np.nan),
    ],
)
def test_width_ratio(ends, expected):
    np.testing.assert_array_equal(parameter.width_ratio(*ends), expected)
    np.testing.assert_array_equal(
        parameter.width_ratio(*(np.full((2, 3), end) for end in ends)), np.full((2, 3), expected)
    )


def test_mass_inside_counts_ends_and_broadcasts():
    draws = np.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0], [3.0, 8.0]])
    np.testing.assert_array_equal(parameter.mass_inside(draws, [1.0, 0.0], [2.0, 6.5]), [0.5, 0.5])
    assert parameter.mass_inside(draws[:, 0], -np.inf, np.inf) == 1.0
    assert parameter.mass_inside(draws[:, 0], 9.0, 1.0) == 0.0


def test_mass_inside_of_what_is_undefined():
    assert np.isnan(parameter.mass_inside([0.0, 1.0], np.nan, 1.0))
    np.testing.assert_array_equal(parameter.mass_inside([[0.0, np.nan], [1.0, 0.0]], 0.0, 1.0), [1.0, np.nan])
    for empty in (np.zeros((0, 2)), 3.0):
        with pytest.raises(DataError, match="no draws"):
            parameter.mass_inside(empty, 0.0, 1.0)


def test_mass_of_a_normal_interval():
    draws = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    assert parameter.mass_inside(draws, -1.0, 2.0) == pytest.approx(
        stats.norm.cdf(2.0) - stats.norm.cdf(-1.0), abs=2e-5
    )


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_equal_tailed_interval_of_normal_draws(level):
    draws = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    lower, upper = parameter.equal_tailed(np.column_stack([draws, 3.0 * draws + 1.0]), level)
    z = stats.norm.ppf(0.5 * (1 + level))
    np.testing.assert_allclose(lower, [-z, 1.0 - 3.0 * z], atol=2e-3)
    np.testing.assert_allclose(upper, [z, 1.0 + 3.0 * z], atol=2e-3)
    assert parameter.mass_inside(draws, lower[0], upper[0]) == pytest.approx(level, abs=2e-5)


def test_equal_tailed_interpolates_between_order_statistics():
    lower, upper = parameter.equal_tailed([4.0, 0.0, 2.0, 1.0, 3.0], level=0.6)
    assert lower == pytest.approx(0.8)
    assert upper == pytest.approx(3.2)


def test_equal_tailed_lets_nan_through_and_refuses_levels():
    lower, upper = parameter.equal_tailed([[0.0, np.nan], [1.0, 2.0]])
    np.testing.assert_array_equal(np.isnan([lower, upper]), [[False, True], [False, True]])
    for level in (0.0, 1.0, 90.0, float("nan")):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            parameter.equal_tailed([0.0, 1.0], level)
    with pytest.raises(DataError, match="no draws"):
        parameter.equal_tailed([])
