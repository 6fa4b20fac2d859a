"""The density that samplers move on: against NumPyro, equal rows stored once, blocks, no natural form."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density
from posteriors import (
    GROUPS,
    GROUPS_PRIOR,
    NORMAL_PRIOR,
    NORMAL_ROWS,
    ONE_NORMAL,
    TWO_POISSONS,
    evaluator,
    group_starts,
)

import emjax
from emjax.bayes import target as target_module
from emjax.bayes.bridge import MixtureProgram
from emjax.bayes.target import Evaluator, distinct_rows, make_target
from emjax.em import blocks as blocks_module

pytestmark = pytest.mark.usefixtures("x64")

MIXTURE = emjax.Mixture(emjax.Normal("full"), 2)
X = np.random.default_rng(3).normal(size=(41, 2)) * [1.0, 2.0] + np.repeat([[-1.0, 0.0], [2.0, 1.0]], [20, 21], axis=0)
PARAMS = MIXTURE.params(
    weights=[0.3, 0.7],
    mean=[[-1.2, 0.3], [1.8, 0.9]],
    covariance=[[[1.0, 0.3], [0.3, 2.0]], [[0.8, -0.2], [-0.2, 1.5]]],
)


class PlainNormal(emjax.Normal):
    """A normal family as if it had no natural form."""

    natural = False


class PlainPoisson(emjax.Poisson):
    """A Poisson family as if it had no natural form."""

    natural = False


def points_near(target, params, n=5, seed=0):
    return np.asarray(target.flat(params)) + 0.3 * np.random.default_rng(seed).standard_normal((n, target.n_parameters))


@pytest.fixture(scope="module")
def prior():
    return MIXTURE.default_prior(X)


@pytest.fixture(scope="module")
def reference(prior):
    """The plain target with one block of rows that are all different, some points, values and gradients."""
    with jax.enable_x64(True):
        evaluate = evaluator(MIXTURE, X, prior)
        points = points_near(evaluate.target, PARAMS)
        return evaluate, points, *evaluate(points)


def assert_same(found, expected, rtol=1e-11):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("case", ["normals", "counts"])
def test_values_are_numpyro_s_log_density_and_the_volume(case, reference, prior):
    if case == "normals":
        mixture, x, (evaluate, points, values, _) = MIXTURE, X, reference
    else:
        mixture, x, prior = TWO_POISSONS, GROUPS, GROUPS_PRIOR
        evaluate = evaluator(mixture, x, prior)
        points = points_near(evaluate.target, group_starts()[0], 3)
        values, _ = evaluate(points)

    @jax.jit
    def expected(point):
        params = evaluate.target.params(point)
        joint, _ = log_density(MixtureProgram(mixture), (x,), {"prior": prior}, prior.at_sites(params))
        return joint + mixture.log_volume(params)

    for point, value in zip(points[:3], values[:3], strict=True):
        np.testing.assert_allclose(value + evaluate.data.base_measure, expected(point), rtol=1e-11)


def test_many_blocks_are_one(reference, prior, monkeypatch):
    _, points, *expected = reference
    monkeypatch.setattr(blocks_module, "_LARGEST_BLOCK", 16)
    evaluate = evaluator(MIXTURE, X, prior)
    assert evaluate.data.blocks.x.shape == (3, 2, 16)  # 41 rows in 3 blocks, seven places padded
    assert_same(evaluate(points), expected)


@pytest.mark.parametrize("n_blocks", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_family_without_a_natural_form_has_the_same_density(n_blocks, reference, prior, monkeypatch):
    _, points, *expected = reference
    if n_blocks > 1:
        monkeypatch.setattr(blocks_module, "_LARGEST_BLOCK", 16)
    evaluate = evaluator(emjax.Mixture(PlainNormal("full"), 2), X, prior)
    assert not evaluate.data.blocks.natural
    assert evaluate.data.blocks.x.shape[0] == n_blocks
    assert_same(evaluate(points), expected, rtol=1e-10)


@pytest.mark.parametrize("family", [emjax.Poisson(), PlainPoisson()], ids=["natural", "plain"])
def test_equal_rows_are_stored_once_and_count_as_often_as_they_occur(family, monkeypatch):
    mixture = emjax.Mixture(family, 2)
    rows = np.repeat(GROUPS[::2], [5, 1, 3], axis=0)
    monkeypatch.setattr(target_module, "filled_distinct_rows", target_module.distinct_rows)
    once = evaluator(mixture, rows, GROUPS_PRIOR)
    assert sorted(np.asarray(once.data.blocks.weights).ravel())[-4:] == [0.0, 1.0, 3.0, 5.0]
    monkeypatch.setattr(target_module, "_WORTH_COLLAPSING", 0.0)
    each = evaluator(mixture, rows, GROUPS_PRIOR)
    assert sorted(np.asarray(each.data.blocks.weights).ravel())[-10:] == [0.0] + [1.0] * 9
    np.testing.assert_allclose(once.data.base_measure, each.data.base_measure, rtol=1e-14)
    points = points_near(once.target, group_starts()[0], 4)
    assert_same(once(points), each(points), rtol=1e-12)
    # Scaled by how often they occur, not by chance: another split of the nine rows has another density.
    other = evaluator(mixture, np.repeat(GROUPS[::2], [3, 3, 3], axis=0), GROUPS_PRIOR)
    assert np.abs(other(points)[0] - once(points)[0]).min() > 0.1


def test_rows_are_looked_through_only_where_some_are_equal(monkeypatch):
    rows, counts = distinct_rows(np.array([[1.0, 2.0], [0.0, 3.0], [1.0, 2.0], [1.0, 2.0]]))
    assert rows.tolist() == [[0.0, 3.0], [1.0, 2.0]]
    assert counts.tolist() == [1, 3]
    different = np.arange(20.0)[:, None]
    same, counts = distinct_rows(different)
    assert same is different
    assert counts is None
    few_equal = np.concatenate([different, different[:2]])
    assert distinct_rows(few_equal)[1] is None
    # A large data set is judged by a part of it.
    monkeypatch.setattr(target_module, "_ROWS_LOOKED_AT", 10)
    assert distinct_rows(np.repeat(different, 2, axis=0))[1] is None


def counts_with(n_distinct: int) -> np.ndarray:
    """300 counts with so many distinct values."""
    x = np.concatenate([np.arange(n_distinct), np.random.default_rng(n_distinct).integers(n_distinct, size=300)])
    return x[:300].astype(float)[:, None]


# The others are of the steps between.
FEWER_AND_MORE = [(9, 23), (70, 101), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((3, 31), (33, 61)))]


@pytest.mark.parametrize(("fewer", "more"), FEWER_AND_MORE)
def test_counts_with_more_or_fewer_values_share_their_programs(fewer: int, more: int):
    mixture = emjax.Mixture(emjax.Poisson(), 2)
    first, second = (counts_with(n) for n in (fewer, more))
    prior = mixture.default_prior(first)
    evaluate = evaluator(mixture, first, prior)
    point = np.asarray(evaluate.target.flat(mixture.params(rate=[[3.0], [9.0]])))[None]
    evaluate(point)
    known = target_module.values_and_gradients._cache_size()
    other = evaluator(mixture, second, prior)
    value, _ = other(point)
    assert target_module.values_and_gradients._cache_size() == known
    assert other.data.blocks.x.size < len(second)
    # Rows that fill up count for nothing.
    params = other.target.params(jnp.asarray(point[0]))
    expected = mixture.log_prob(params, second).sum() + other.target.log_prior(params, prior)
    np.testing.assert_allclose(value[0] + other.data.base_measure, expected, rtol=1e-12)


def test_where_filling_up_would_be_more_than_all_rows_all_are_taken():
    x = np.concatenate([np.arange(40.0), np.arange(20.0)])[:, None]
    rows, counts = target_module.filled_distinct_rows(x)
    assert rows is x
    assert counts is None


def test_hessians_are_those_of_automatic_differentiation():
    evaluate = evaluator(TWO_POISSONS, GROUPS, GROUPS_PRIOR)
    point = np.asarray(evaluate.target.flat(group_starts()[0]))
    root = np.array([[0.3, 0.05, -0.1], [0.0, 0.2, 0.0], [0.2, 0.0, 0.6]])
    gradient = lambda at: evaluate.target.value_and_gradient(at, evaluate.data)[1]  # noqa: E731
    expected = root.T @ np.asarray(jax.jit(jax.jacfwd(gradient))(point)) @ root
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(evaluate.hessian(point, root), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("n", [1, 8, 11])
def test_any_number_of_points_goes_through_one_program(n, reference):
    evaluate, points, *_ = reference
    many = np.concatenate([points, points + 0.1, points - 0.1])[:n]
    fresh = Evaluator(evaluate.target, evaluate.data, evaluate.lanes)
    values, gradients = fresh(many)
    assert values.shape == (n,)
    assert gradients.shape == many.shape
    for i in (0, n - 1):
        value, gradient = evaluate(many[i : i + 1])
        np.testing.assert_allclose(values[i], value[0], rtol=1e-13)
        np.testing.assert_allclose(gradients[i], gradient[0], rtol=1e-12, atol=1e-12)


def test_float32_is_near_float64(reference, prior):
    _, points, values, gradients = reference
    with jax.enable_x64(False):
        evaluate = Evaluator(*make_target(MIXTURE, X, prior, n_chains=8, dtype=np.float32), 8)
        found_values, found_gradients = evaluate(points)
    assert found_values.dtype == found_gradients.dtype == np.float32
    np.testing.assert_allclose(found_values, values, rtol=1e-5)
    np.testing.assert_allclose(found_gradients, gradients, rtol=1e-3, atol=1e-3)


def test_the_target_is_hashable_and_knows_its_own_shape():
    target, _ = make_target(MIXTURE, X, MIXTURE.default_prior(X))
    again, _ = make_target(dataclasses.replace(MIXTURE, prior="default"), X, MIXTURE.default_prior(X))
    assert target == again
    assert hash(target) == hash(again)
    assert target.n_parameters == 11
    params = target.params(target.flat(PARAMS))
    np.testing.assert_allclose(params.covariance, PARAMS.covariance, rtol=1e-12)
    np.testing.assert_allclose(params.weights, PARAMS.weights, rtol=1e-12)


def test_one_component_has_one_order():
    target, _ = make_target(ONE_NORMAL, NORMAL_ROWS, NORMAL_PRIOR)
    points = np.random.default_rng(0).standard_normal((3, target.n_parameters))
    np.testing.assert_array_equal(target.permute(points, [0]), points)
    moved = target.permute_to(points, points[:2])
    np.testing.assert_array_equal(moved, np.repeat(points[:, None], 2, axis=1))
