"""Importance sampling from the Laplace mixture: evidences in closed form and on a grid, Pareto k, resampling."""

import math

import jax
import numpy as np
import pytest
import scipy.stats
from posteriors import (
    GROUPS,
    GROUPS_PRIOR,
    NORMAL_PRIOR,
    NORMAL_ROWS,
    ONE_NORMAL,
    TWO_POISSONS,
    evaluator,
    group_starts,
    modes_from,
    normal_posterior,
    normal_start,
    two_poissons_on_a_grid,
)

import emjax
from emjax.bayes.laplace import GOOD_PARETO_K, good_pareto_k, importance_sample, resample, smoothed_weights
from tests.priors import poisson_prior

pytestmark = pytest.mark.usefixtures("x64")
POINTS = 4000


def importance(mixture, x, prior, starts):
    with jax.enable_x64(True):
        evaluate = evaluator(mixture, x, prior)
        return importance_sample(evaluate, modes_from(evaluate, starts), np.random.default_rng(4), POINTS), evaluate


@pytest.fixture(scope="module")
def groups():
    return importance(TWO_POISSONS, GROUPS, GROUPS_PRIOR, group_starts())


@pytest.fixture(scope="module")
def grid():
    return two_poissons_on_a_grid()


def log_evidence_and_error(sample, evaluate):
    """The estimate in the data's units, and its standard error from the raw weights."""
    weights = np.exp(sample.values - sample.mixture.log_prob(sample.points))
    error = weights.std() / weights.mean() / math.sqrt(len(weights))
    return sample.log_evidence + float(evaluate.data.base_measure), error


# --- evidence and masses


def test_the_evidence_of_one_normal_is_the_closed_form():
    sample, evaluate = importance(ONE_NORMAL, NORMAL_ROWS, NORMAL_PRIOR, [normal_start()])
    found, error = log_evidence_and_error(sample, evaluate)
    assert error < 0.03
    assert abs(found - normal_posterior().log_evidence) < 4 * error
    assert sample.good
    assert sample.masses.tolist() == pytest.approx([1.0])


def test_the_evidence_of_one_poisson_is_the_closed_form():
    x = np.array([[3.0], [0.0], [5.0], [2.0], [4.0]])
    prior = poisson_prior([1.0], shape=3.0, rate=[0.8])
    mixture = emjax.Mixture(emjax.Poisson(), 1)
    sample, evaluate = importance(mixture, x, prior, [mixture.params(rate=[[2.0]])])
    found, error = log_evidence_and_error(sample, evaluate)
    shape, inverse_scale = 3.0 + x.sum(), 0.8 + len(x)
    exact = 3.0 * math.log(0.8) - math.lgamma(3.0) + math.lgamma(shape) - shape * math.log(inverse_scale)
    exact -= sum(math.lgamma(value + 1.0) for value in x[:, 0])
    assert error < 0.01
    assert abs(found - exact) < 4 * error


def test_the_evidence_of_two_poissons_counts_every_copy(groups, grid):
    found, error = log_evidence_and_error(*groups)
    assert error < 0.05
    # Without the two copies of each mode it would be log 2 = 0.69 away.
    assert abs(found - grid.log_evidence) < 4 * error


def test_weights_correct_masses_and_means(groups, grid):
    sample, evaluate = groups
    masses = sample.masses
    assert masses.sum() == pytest.approx(1.0)
    error = math.sqrt(0.25 / sample.effective_sample_size)
    assert error < 0.02
    assert abs(masses[0] - grid.mode_shares(sample.mixture, hard=False)[0]) < 4 * error
    rates = np.sort(np.exp(sample.points[:, :2]), axis=1)
    for found, exact in ((rates[:, 0], grid.low), (rates[:, 1], grid.high)):
        mean, sd = grid.moments(exact)
        assert abs(found @ sample.weights - mean) < 4 * sd / math.sqrt(sample.effective_sample_size)
    np.testing.assert_allclose(sample.values[:5], evaluate(sample.points[:5])[0], rtol=1e-12)


# --- the tail of the weights


def log_weights_of_a_normal(width, n=4000, p=3):
    """A standard normal target and a normal proposal ``width`` times as wide."""
    z = width * np.random.default_rng(0).standard_normal((n, p))
    return scipy.stats.norm().logpdf(z).sum(axis=1) - scipy.stats.norm(scale=width).logpdf(z).sum(axis=1)


def test_pareto_k_tells_a_proposal_that_is_too_narrow():
    shapes = {width: smoothed_weights(log_weights_of_a_normal(width))[1] for width in (0.3, 0.6, 0.9, 1.3)}
    assert shapes[1.3] < 0.3
    assert shapes[0.9] < GOOD_PARETO_K
    assert shapes[0.3] > GOOD_PARETO_K
    # Weights of a normal with a proposal of this width have no moments beyond 1 / (1 - width^2).
    assert abs(shapes[0.6] - (1 - 0.6**2)) < 0.3


@pytest.mark.parametrize(
    ("n_points", "limit"), [(10, 0.0), (100, 0.5), (400, 0.6157), (1000, 2 / 3), (2154, 0.7), (10**6, 0.7)]
)
def test_the_limit_of_pareto_k_depends_on_the_number_of_points(n_points, limit):
    """Vehtari et al. 2024: min(1 - 1 / log10 S, 0.7)."""
    assert good_pareto_k(n_points) == pytest.approx(limit, abs=1e-4)


def test_smoothing_leaves_good_weights_and_trims_the_largest():
    good = log_weights_of_a_normal(1.3)
    weights, _ = smoothed_weights(good)
    plain = np.exp(good - np.logaddexp.reduce(good))
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(weights, plain, atol=3e-5)
    bad = log_weights_of_a_normal(0.3)
    weights, _ = smoothed_weights(bad)
    assert weights.max() < np.exp(bad - np.logaddexp.reduce(bad)).max()


def test_weights_that_cannot_be_smoothed():
    equal, shape = smoothed_weights(np.full(100, -3.0))
    assert shape == -math.inf
    np.testing.assert_allclose(equal, 0.01)
    nothing, shape = smoothed_weights(np.full(100, -math.inf))
    assert shape == math.inf
    np.testing.assert_allclose(nothing, 0.01)
    some = log_weights_of_a_normal(1.3)
    some[::7] = -math.inf
    weights, shape = smoothed_weights(some)
    assert weights[::7].max() < 1e-100
    assert weights.sum() == pytest.approx(1.0)
    assert shape < GOOD_PARETO_K


# --- draws


def test_resampling_keeps_means_and_masses(groups):
    sample, evaluate = groups
    run = resample(sample, np.random.default_rng(6), 4, 1000)
    assert run.flat.shape == (4, 1000, 3)
    # Systematic resampling draws each point as often as its weight says, to within one.
    drawn = np.unique(run.flat.reshape(-1, 3), axis=0, return_counts=True)
    by_point = {row.tobytes(): count for row, count in zip(*drawn, strict=True)}
    found = np.array([by_point.get(point.tobytes(), 0) for point in sample.points])
    assert (np.abs(found - 4000 * sample.weights) < 1.0 + 1e-9).all()
    np.testing.assert_allclose(run.sample_stats["lp"][0, :5], evaluate(run.flat[0, :5])[0], rtol=1e-12)
    # And in random order: no chain is a part of the list.
    mean, sd = run.flat.mean(axis=(0, 1)), run.flat.std(axis=(0, 1))
    assert (np.abs(run.flat.mean(axis=1) - mean) < 4 * sd / math.sqrt(1000)).all()
