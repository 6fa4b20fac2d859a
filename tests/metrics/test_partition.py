"""Co-clustering, entropy and the adjusted Rand index against double loops, hand examples and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from emjax.errors import ConfigError, DataError
from emjax.metrics import partition


@pytest.fixture
def draws():
    return np.random.default_rng(0).dirichlet([0.5, 0.5, 0.5], size=(7, 12))


def test_co_clustering_is_the_probability_of_sharing_a_component(draws):
    matrix = partition.co_clustering(draws[0])
    for i in range(12):
        for j in range(12):
            together = 1.0 if i == j else sum(draws[0, i, k] * draws[0, j, k] for k in range(3))
            assert matrix[i, j] == pytest.approx(together, rel=1e-12)


def test_co_clustering_of_sampled_assignments(draws):
    rng = np.random.default_rng(1)
    # Independent assignments drawn from the responsibilities: the share of agreement estimates the matrix.
    labels = np.stack([rng.choice(3, size=40_000, p=row) for row in draws[0]])
    share = (labels[:, None] == labels[None]).mean(axis=2)
    np.testing.assert_allclose(partition.co_clustering(draws[0]), share, atol=5 * 0.5 / np.sqrt(40_000))


def test_mean_co_clustering_is_the_mean_over_draws_however_they_come(draws):
    expected = np.mean([partition.co_clustering(draw) for draw in draws], axis=0)
    np.testing.assert_allclose(partition.mean_co_clustering(draws), expected, rtol=1e-12)
    blocks = (block for block in (draws[:3], draws[3:4], draws[4], draws[5:]))
    np.testing.assert_allclose(partition.mean_co_clustering(blocks), expected, rtol=1e-12)
    np.testing.assert_allclose(partition.mean_co_clustering([draws]), expected, rtol=1e-12)


def test_co_clustering_does_not_depend_on_labels(draws):
    rng = np.random.default_rng(2)
    shuffled = np.stack([draw[:, rng.permutation(3)] for draw in draws])
    np.testing.assert_allclose(partition.mean_co_clustering(shuffled), partition.mean_co_clustering(draws), rtol=1e-12)


def test_co_clustering_of_a_subset_is_the_sub_matrix(draws):
    rows = [1, 4, 7]
    full = partition.mean_co_clustering(draws)
    np.testing.assert_allclose(partition.mean_co_clustering(draws, rows), full[np.ix_(rows, rows)], rtol=1e-12)


@pytest.mark.parametrize(
    ("bad", "message"),
    [([], "no draws"), ([np.ones(3)], "must be"), ([np.ones((3, 2)), np.ones((4, 2))], "do not mix")],
)
def test_co_clustering_refuses(bad, message):
    with pytest.raises(DataError, match=message):
        partition.mean_co_clustering(bad)


def test_difference_over_pairs_by_hand():
    first = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.0], [0.2, 0.0, 1.0]])
    second = np.array([[0.0, 0.1, 0.2], [0.1, 1.0, 0.2], [0.2, 0.2, 1.0]])  # the diagonal must not count
    result = partition.co_clustering_difference(first, second)
    assert result.mean == pytest.approx((0.4 + 0.0 + 0.2) / 3)
    assert result.maximum == pytest.approx(0.4)
    assert (result.n_rows, result.n_pairs) == (3, 3)


def test_difference_of_opposite_partitions_is_one():
    together, apart = np.ones((4, 4)), np.eye(4)
    result = partition.co_clustering_difference(together, apart)
    assert (result.mean, result.maximum) == (1.0, 1.0)
    assert partition.co_clustering_difference([[1.0]], [[1.0]]).mean == 0.0


def test_difference_on_a_subset_is_reproducible_and_near_the_full_one():
    rng = np.random.default_rng(3)
    one, two = (partition.co_clustering(rng.dirichlet([1.0, 1.0], size=1200)) for _ in range(2))
    sub = partition.co_clustering_difference(one, two, seed=5)
    assert (sub.n_rows, sub.n_pairs) == (1000, 499_500)
    assert sub == partition.co_clustering_difference(one, two, seed=5)
    assert sub != partition.co_clustering_difference(one, two, seed=6)
    full = np.abs(one - two)[np.triu_indices(1200, k=1)]
    assert sub.mean == pytest.approx(full.mean(), rel=0.02)
    assert sub.maximum <= full.max()
    rows = partition.subset_rows(1200, seed=5)
    by_rows = partition.co_clustering_difference(one[np.ix_(rows, rows)], two[np.ix_(rows, rows)])
    assert by_rows == sub


def test_difference_lets_nan_through_and_refuses_shapes():
    bad = np.eye(3)
    bad[0, 1] = np.nan
    assert np.isnan(partition.co_clustering_difference(bad, np.eye(3)).mean)
    for shape in [(3, 4), (4, 4), (0, 0)]:
        with pytest.raises(DataError, match="square"):
            partition.co_clustering_difference(np.zeros(shape), np.eye(3))


def test_subset_rows():
    np.testing.assert_array_equal(partition.subset_rows(5), np.arange(5))
    rows = partition.subset_rows(5000, max_rows=100, seed=1)
    assert len(np.unique(rows)) == 100
    assert rows.min() >= 0
    assert rows.max() < 5000
    assert (np.diff(rows) > 0).all()
    with pytest.raises(ConfigError, match="2 or more"):
        partition.subset_rows(10, max_rows=1)


def test_entropy_by_hand():
    shares = [[1.0, 0.0], [0.5, 0.5], [0.25, 0.75], [np.nan, 1.0]]
    expected = [0.0, np.log(2.0), 0.25 * np.log(4.0) + 0.75 * np.log(4.0 / 3.0), np.nan]
    np.testing.assert_allclose(partition.assignment_entropy(shares), expected, atol=1e-15)
    assert partition.assignment_entropy(np.full((2, 3, 4), 0.25)).shape == (2, 3)


def test_hard_labels():
    np.testing.assert_array_equal(partition.hard_labels([[0.1, 0.9], [0.5, 0.5], [0.8, 0.2]]), [1, 0, 0])


@pytest.mark.parametrize("seed", range(20))
def test_adjusted_rand_is_that_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    one = rng.integers(rng.integers(1, 6), size=n)
    two = np.where(rng.random(n) < 0.3, rng.integers(4, size=n), one)
    assert partition.adjusted_rand(one, two) == pytest.approx(adjusted_rand_score(one, two), abs=1e-12)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ([0, 0, 1, 1], [1, 1, 0, 0], 1.0),
        (["a", "a", "b", "b"], [0, 1, 0, 1], -0.5),
        ([0, 0, 1, 1], [0, 0, 1, 2], 4 / 7),
        ([0, 0, 0], [1, 1, 1], 1.0),
        ([0, 1, 2], [2, 0, 1], 1.0),
        ([0, 0, 0], [0, 1, 2], 0.0),
        ([0], [3], 1.0),
    ],
)
def test_adjusted_rand_by_hand(one, two, expected):
    assert partition.adjusted_rand(one, two) == pytest.approx(expected, abs=1e-15)


def test_adjusted_rand_of_many_data_does_not_overflow():
    labels = np.repeat([0, 1], 2_000_000)
    assert partition.adjusted_rand(labels, 1 - labels) == 1.0
    with pytest.raises(DataError, match="equal, non-empty"):
        partition.adjusted_rand([0, 1], [0, 1, 1])
