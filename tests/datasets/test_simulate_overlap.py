"""Overlap: the share of data that the Bayes rule assigns wrongly, against closed forms, integrals and simulation."""

import numpy as np
import pytest
from scipy import stats

from emjax.datasets.laws import LocationScaleLaw
from emjax.datasets.shapes import SkewNormal, StudentT, Uniform
from emjax.datasets.simulate import misassignment, separated

# Relative errors that the docstring states, with room for neither more.
TOLERANCE = {1: 1e-4, 2: 1e-2, 5: 1e-2, 10: 1e-2}


@pytest.mark.parametrize("n_features", sorted(TOLERANCE))
@pytest.mark.parametrize("distance", [0.5, 2.0, 4.0])
def test_two_equal_normals_have_the_closed_form(n_features, distance):
    rng = np.random.default_rng(n_features)
    root = rng.normal(size=(n_features, n_features))
    covariance = root @ root.T + np.eye(n_features)
    gap = rng.normal(size=n_features)
    gap *= distance / np.sqrt(gap @ np.linalg.solve(covariance, gap))
    found = misassignment([0.5, 0.5], [7.0 - gap, np.full(n_features, 7.0)], [covariance, covariance])
    assert found == pytest.approx(stats.norm.cdf(-distance / 2), rel=TOLERANCE[n_features])


def test_one_feature_with_unequal_widths_and_weights():
    # Of N(0, 1) at 0.7 and N(0, 4^2) at 0.3 the second wins beyond the points where the joint densities cross.
    crossing = np.sqrt(2 * np.log(0.7 * 4 / 0.3) / (1 - 1 / 16))
    exact = 0.7 * 2 * stats.norm.cdf(-crossing) + 0.3 * (1 - 2 * stats.norm.cdf(-crossing / 4))
    assert misassignment([0.7, 0.3], [[0.0], [0.0]], [[[1.0]], [[16.0]]]) == pytest.approx(exact, rel=1e-4)


def test_uniforms_in_one_feature_overlap_as_their_boxes_do():
    width = 2 * np.sqrt(3)
    found = misassignment([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[1.0]]], shape=Uniform())
    assert found == pytest.approx(0.5 * (width - 1.0) / width, rel=1e-5)


@pytest.mark.parametrize("shape", [StudentT(4.0), SkewNormal(0.9), Uniform()], ids=str)
def test_separated_means_meet_the_overlap_in_a_simulation(shape):
    weights, mean = np.array([0.5, 0.3, 0.2]), np.array([[0.0, 0.0], [1.0, 0.2], [0.0, 1.0]])
    covariance = np.array([np.eye(2), [[2.0, 0.5], [0.5, 1.0]], 0.3 * np.eye(2)])
    moved = separated(weights, mean, covariance, 0.15, shape=shape)
    law = LocationScaleLaw(weights, moved, covariance, shape)
    values, labels = law.sample(40_000, np.random.default_rng(3))
    wrong = (law.responsibilities(values).argmax(axis=1) != labels).mean()
    assert abs(wrong - 0.15) < 4 * np.sqrt(0.15 * 0.85 / 40_000) + 0.0015
    # One factor about the weighted centre, which stays.
    centre = weights @ mean
    assert np.allclose(weights @ moved, centre)
    factors = (moved - centre) / (mean - centre)
    assert np.allclose(factors, factors[0, 0])


@pytest.mark.parametrize("overlap", [0.4, 0.1, 0.01, 1e-6])
def test_separation_of_two_equal_normals_is_the_inverse_of_the_closed_form(overlap):
    moved = separated([0.5, 0.5], [[3.0], [3.1]], [[[4.0]], [[4.0]]], overlap)
    assert moved[1, 0] - moved[0, 0] == pytest.approx(-2 * stats.norm.ppf(overlap) * 2.0, rel=1e-3)
    again = separated([0.5, 0.5], [[3.0], [3.1]], [[[4.0]], [[4.0]]], overlap)
    assert np.array_equal(moved, again)


@pytest.mark.parametrize(
    ("weights", "mean", "overlap", "words"),
    [
        ([0.5, 0.5], [[0.0], [1.0]], 0.5, "coincide give 0.5"),
        ([0.9, 0.1], [[0.0], [1.0]], 0.2, "coincide give 0.1"),
        ([0.5, 0.5], [[2.0], [2.0]], 0.1, "all are equal"),
        ([0.4, 0.4, 0.2], [[0.0], [0.0], [1.0]], 0.1, "0.4 stays"),
        ([0.5, 0.5], [[0.0], [1.0]], 0.0, "between 0 and 1"),
        ([1.0], [[0.0]], 0.1, "two components"),
        ([0.5, 0.5], [[0.0, 0.0], [1.0, 0.0]], 1e-5, "0.001"),
    ],
)
def test_what_no_distance_gives_is_refused(refusal, weights, mean, overlap, words):
    covariance = np.broadcast_to(np.eye(len(mean[0])), (len(weights), len(mean[0]), len(mean[0])))
    assert words in refusal(separated, weights, mean, covariance, overlap)


def test_misassignment_checks_what_it_is_given(refusal):
    assert "sum to" in refusal(misassignment, [0.5, 0.6], [[0.0], [1.0]], [[[1.0]], [[1.0]]])
    assert "positive definite" in refusal(misassignment, [0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[-1.0]]])
    assert misassignment([1.0], [[0.0]], [[[1.0]]]) == pytest.approx(0.0, abs=1e-12)
