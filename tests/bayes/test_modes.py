"""Newton's method to the modes of a posterior, and the Laplace mixture over them."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
import scipy.stats
from posteriors import (
    GROUPS,
    GROUPS_PRIOR,
    TWO_POISSONS,
    evaluator,
    group_starts,
    modes_from,
    optimum,
)

from emjax.bayes import modes as modes_module
from emjax.bayes.modes import LaplaceMixture, climb, find_modes
from emjax.errors import FitError
from emjax.result import Status

pytestmark = pytest.mark.usefixtures("x64")


@pytest.fixture(scope="module")
def evaluate():
    with jax.enable_x64(True):
        return evaluator(TWO_POISSONS, GROUPS, GROUPS_PRIOR)


@pytest.fixture(scope="module")
def mixture(evaluate):
    """The two modes of the three groups of counts."""
    with jax.enable_x64(True):
        return modes_from(evaluate, group_starts())


@pytest.fixture(scope="module")
def hessian(evaluate):
    """The Hessian of the log density by automatic differentiation."""
    gradient = lambda at: evaluate.target.value_and_gradient(at, evaluate.data)[1]  # noqa: E731
    return jax.jit(jax.jacfwd(gradient))


def copies(mixture):
    """Weight, mean and covariance of the normals around all copies of all modes."""
    k = mixture.target.likelihood.n_components
    for order in itertools.permutations(range(k)):
        turn = mixture.target.permute(np.eye(mixture.centers.shape[1]), order).T  # the map is linear
        for weight, mode in zip(mixture.weights, mixture.modes, strict=True):
            yield weight, turn @ mode.flat, turn @ mode.root @ mode.root.T @ turn.T


# --- Newton's method


def test_newton_ends_in_two_modes_where_the_gradient_is_zero(evaluate, mixture, hessian):
    assert len(mixture.modes) == 2
    rates = np.sort([np.ravel(mixture.target.params(jax.numpy.asarray(m.flat)).rate) for m in mixture.modes])
    assert (np.abs(rates - [[2.3, 20.2], [6.9, 27.6]]) < [0.8, 1.5]).all()  # the modes of another parametrisation
    for mode in mixture.modes:
        assert mode.converged
        (value,), (gradient,) = evaluate(mode.flat[None])
        assert np.linalg.norm(mode.root.T @ gradient) < 1e-5
        assert mode.log_density == pytest.approx(value, rel=1e-12)
        information = -np.asarray(hessian(mode.flat))
        assert (np.linalg.eigvalsh(information) > 0).all()
        np.testing.assert_allclose(mode.root @ mode.root.T, np.linalg.inv(information), rtol=1e-4, atol=1e-6)
        log_mass = value + 1.5 * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(information)[1]
        assert mode.log_mass == pytest.approx(log_mass, abs=1e-5)


def test_modes_come_by_mass_with_the_optimum_they_grew_from(mixture):
    assert mixture.weights[0] > mixture.weights[1]
    assert mixture.weights.sum() == pytest.approx(1.0)
    ratio = np.exp(mixture.modes[1].log_mass - mixture.modes[0].log_mass)
    assert mixture.weights[1] / mixture.weights[0] == pytest.approx(ratio)
    lowest = [mode.optimum.params.rate.min() for mode in mixture.modes]
    assert lowest == [2.0, 7.0]


def test_optima_of_one_mode_are_one_also_with_exchanged_labels(evaluate, mixture):
    first, second = group_starts()
    near = TWO_POISSONS.params(weights=[0.45, 0.55], rate=[[2.6], [19.0]])
    exchanged = [TWO_POISSONS.permute(params, np.array([1, 0])) for params in (first, near, second)]
    found = modes_from(evaluate, [first, near, *exchanged, second])
    assert len(found.modes) == 2
    np.testing.assert_allclose(found.modes[0].log_density, mixture.modes[0].log_density, rtol=1e-10)
    # The first of equal ones stays, with its labels.
    np.testing.assert_allclose(found.modes[0].flat, mixture.modes[0].flat, atol=1e-5)


@pytest.mark.parametrize("lanes", [1, 8])
def test_newton_climbs_from_far_away_whatever_the_number_of_lanes(lanes, mixture):
    evaluate = evaluator(TWO_POISSONS, GROUPS, GROUPS_PRIOR, lanes)
    start = TWO_POISSONS.params(weights=[0.02, 0.98], rate=[[0.05], [90.0]])
    found = climb(evaluate, np.asarray(evaluate.target.flat(start)), optimum(start))
    assert found.converged
    distances = [abs(found.log_density - mode.log_density) for mode in mixture.modes]
    assert min(distances) < 1e-8


def test_a_saddle_is_left_out_where_there_is_a_mode_and_a_start_where_there_is_none(evaluate, mixture, hessian):
    # With two equal components the density is symmetric, so Newton's method stays where they are equal.
    saddle = TWO_POISSONS.params(weights=[0.5, 0.5], rate=[[14.0], [14.0]])
    alone = modes_from(evaluate, [saddle])
    (only,) = alone.modes
    assert not only.converged
    assert np.linalg.eigvalsh(np.asarray(hessian(only.flat)))[-1] > 0
    found = modes_from(evaluate, [saddle, group_starts()[0]])
    (mode,) = found.modes
    assert mode.converged
    np.testing.assert_allclose(mode.flat, mixture.modes[0].flat, atol=1e-5)


def test_optima_that_cannot_matter_are_not_polished(evaluate):
    first, second = group_starts()
    flat = [np.asarray(evaluate.target.flat(params)) for params in (first, second)]
    for worse in (optimum(second, -25.0), optimum(second, status=Status.DEGENERATE)):
        assert len(find_modes(evaluate, (optimum(first), worse), flat).modes) == 1
    assert len(find_modes(evaluate, (optimum(first), optimum(second, -15.0)), flat).modes) == 2
    nowhere = [flat[0], np.full_like(flat[1], np.nan)]
    assert len(find_modes(evaluate, (optimum(first), optimum(second)), nowhere).modes) == 1


def test_modes_of_negligible_mass_are_left_out(evaluate, monkeypatch):
    monkeypatch.setattr(modes_module, "_NEGLIGIBLE", 0.1)
    assert len(modes_from(evaluate, group_starts()).modes) == 1


def test_em_s_own_estimate_is_a_start_whatever_its_status(evaluate):
    assert len(modes_from(evaluate, group_starts()[:1], status=Status.PRECISION).modes) == 1


def test_no_finite_density_anywhere_is_said(evaluate):
    first = group_starts()[0]
    with pytest.raises(FitError, match="no finite density"):
        find_modes(evaluate, (optimum(first),), [np.full(3, 1e6)])


def test_with_too_many_parameters_the_start_itself_is_the_mode(evaluate, monkeypatch):
    monkeypatch.setattr(modes_module, "MOST_PARAMETERS", 2)
    start = np.asarray(evaluate.target.flat(group_starts()[0]))
    mode = climb(evaluate, start, optimum(group_starts()[0]))
    np.testing.assert_array_equal(mode.flat, start)
    assert not mode.converged


# --- the mixture over the modes


def test_log_prob_sums_over_all_copies(mixture):
    points = np.concatenate([mixture.sample(np.random.default_rng(0), 20)[0], np.zeros((1, 3))])
    points[::2] = mixture.target.permute(points[::2], [1, 0])
    terms = [
        np.log(weight) + scipy.stats.multivariate_normal(mean, covariance).logpdf(points)
        for weight, mean, covariance in copies(mixture)
    ]
    assert len(terms) == 4
    expected = np.logaddexp.reduce(terms)
    np.testing.assert_allclose(mixture.log_prob(points), expected, rtol=1e-9)
    by_mode = np.logaddexp(terms[:2], terms[2:])
    np.testing.assert_allclose(mixture.log_terms(points), np.transpose(by_mode), rtol=1e-9)


def test_labels_of_points_are_brought_to_those_of_the_modes(mixture):
    points = mixture.centers[[0, 1, 0, 1]] + 0.1
    moved = points.copy()
    moved[:2] = mixture.target.permute(points[:2], [1, 0])
    np.testing.assert_allclose(mixture.relabelled(moved), points, rtol=1e-12)


def test_with_many_components_the_nearest_copy_stands_for_all(mixture, monkeypatch):
    points = mixture.centers[[0, 1, 0, 1]] + 0.1
    points[:2] = mixture.target.permute(points[:2], [1, 0])
    enumerated = mixture.log_terms(points), mixture.relabelled(points)
    monkeypatch.setattr(modes_module, "MOST_ENUMERATED", 1)
    own = np.arange(4), [0, 1, 0, 1]  # a point's term of the mode it lies in, where other copies are far
    np.testing.assert_allclose(mixture.log_terms(points)[own], enumerated[0][own], rtol=1e-6)
    np.testing.assert_allclose(mixture.relabelled(points), enumerated[1], rtol=1e-12)


def test_samples_have_the_moments_of_the_mixture(mixture):
    points, which = mixture.sample(np.random.default_rng(1), 20_000)
    share = mixture.weights[0]
    assert abs((which == 0).mean() - share) < 4 * np.sqrt(share * (1 - share) / len(which))
    for i, mode in enumerate(mixture.modes):
        mine = points[which == i] - mode.flat
        whitened = np.linalg.solve(mode.root, mine.T)
        np.testing.assert_allclose(whitened.mean(axis=1), 0.0, atol=4 / np.sqrt(len(mine)))
        np.testing.assert_allclose(np.cov(whitened), np.eye(3), atol=6 / np.sqrt(len(mine)))


def test_refining_recovers_masses_means_and_covariances_of_draws(mixture):
    rng = np.random.default_rng(2)
    means = mixture.centers + np.array([[0.1, -0.1, 0.2], [-0.05, 0.1, 0.0]])
    roots = mixture.roots * np.array([0.5, 0.3])[:, None, None]
    which = rng.choice(2, size=20_000, p=[0.3, 0.7])
    points = means[which] + np.einsum("nij,nj->ni", roots[which], rng.standard_normal((len(which), 3)))
    half = len(points) // 2
    points[:half] = mixture.target.permute(points[:half], [1, 0])
    refined = mixture.refined(points)
    np.testing.assert_allclose(refined.weights, [0.3, 0.7], atol=0.02)
    for mode, mean, root in zip(refined.modes, means, roots, strict=True):
        np.testing.assert_allclose(np.linalg.solve(root, mode.flat - mean), 0.0, atol=0.1)
        relative = np.linalg.solve(root, mode.root)
        np.testing.assert_allclose(relative @ relative.T, np.eye(3), atol=0.1)
    # What is drawn from follows the new numbers.
    assert refined.log_prob(points[:5]).shape == (5,)
    assert not np.allclose(refined.log_prob(points[:5]), mixture.log_prob(points[:5]))


def test_few_draws_change_little_and_broken_ones_nothing(mixture):
    few = mixture.refined(mixture.centers[[0]])
    for old, new in zip(mixture.modes, few.modes, strict=True):
        np.testing.assert_allclose(new.flat, old.flat, rtol=1e-12)
        shrunk = 15.0 / 16.0 if new is few.modes[0] else 1.0  # five draws a parameter, against one
        np.testing.assert_allclose(new.root @ new.root.T, shrunk * old.root @ old.root.T, rtol=1e-9)
    assert mixture.refined(np.full((4, 3), np.nan)) is mixture


def test_the_metric_is_the_covariance_within_modes(mixture):
    expected = sum(
        weight * mode.root @ mode.root.T for weight, mode in zip(mixture.weights, mixture.modes, strict=True)
    )
    np.testing.assert_allclose(mixture.covariance, expected, rtol=1e-12)
    one = LaplaceMixture(mixture.target, (dataclasses.replace(mixture.modes[1], log_mass=-500.0),))
    np.testing.assert_allclose(one.weights, [1.0])
    np.testing.assert_allclose(one.covariance, mixture.modes[1].root @ mixture.modes[1].root.T, rtol=1e-12)
