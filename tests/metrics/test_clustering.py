"""One partition from draws: against all partitions of a few data, and by hand."""

import math

import numpy as np
import pytest

import emjax
from emjax.metrics import partition_estimate, variation_of_information


def all_partitions(n):
    """Restricted growth strings: every partition once."""
    if n == 0:
        yield ()
        return
    for smaller in all_partitions(n - 1):
        for label in range(max(smaller, default=-1) + 2):
            yield (*smaller, label)


def by_hand(one, two, loss):
    """The losses from their definitions: entropies of joint shares, and pairs one by one."""
    n = len(one)
    if loss == "binder":
        pairs = [(i, j) for i in range(n) for j in range(i)]
        return sum((one[i] == one[j]) != (two[i] == two[j]) for i, j in pairs) / len(pairs)

    def entropy(column):
        shares = np.bincount(column)[np.bincount(column) > 0] / n
        return -(shares * np.log(shares)).sum()

    return 2.0 * entropy(10 * np.array(one) + np.array(two)) - entropy(one) - entropy(two)


@pytest.mark.parametrize("loss", ["vi", "binder"])
def test_the_estimate_has_the_least_expected_loss_of_all_partitions(loss):
    """Six data, 203 partitions; draws around two of them and others at random."""
    candidates = [np.array(each) for each in all_partitions(6)]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        base = np.stack([candidates[rng.integers(203)] for _ in range(2)])
        draws = np.where(rng.random((40, 6)) < 0.8, base[rng.integers(2, size=40)], rng.integers(0, 4, (40, 6)))
        expected = [np.mean([by_hand(each, draw, loss) for draw in draws]) for each in candidates]
        found = partition_estimate(draws, loss=loss)
        assert found.expected_loss == pytest.approx(min(expected), abs=1e-12)
        losses = sorted(by_hand(found.labels, draw, loss) for draw in draws)
        assert found.expected_loss == pytest.approx(np.mean(losses))
        assert found.radius == pytest.approx(losses[math.ceil(0.95 * 39)])
        assert (np.diff(found.sizes) <= 0).all()


def test_names_of_labels_do_not_matter():
    draws = np.random.default_rng(0).integers(0, 3, (40, 12))
    renamed = np.stack([np.random.default_rng(i).permutation(9)[draw] for i, draw in enumerate(draws)])
    one, other = partition_estimate(draws), partition_estimate(renamed)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.together, other.together)


def test_what_is_certain_is_said_to_be():
    labels = np.array([0] * 5 + [1] * 3 + [2])
    found = partition_estimate(np.tile(labels, (10, 1)))
    np.testing.assert_array_equal(found.labels, labels)
    assert found.expected_loss == 0.0
    assert found.radius == 0.0
    assert found.n_clusters == 3
    np.testing.assert_array_equal(found.certainty[:8], 1.0)
    assert math.isnan(found.certainty[8])
    moved = np.tile(labels, (10, 1))
    moved[:3, 0] = 1
    assert partition_estimate(moved).certainty[0] == pytest.approx(0.7)


def test_the_distance_of_partitions():
    assert variation_of_information([0, 0, 1, 1], ["b", "b", "a", "a"]) == 0.0
    assert variation_of_information([0, 0, 0, 0], [0, 1, 2, 3]) == pytest.approx(math.log(4.0))
    # H(z | c) = log 2 with two equal halves of one cluster.
    assert variation_of_information([0, 0, 0, 0], [0, 0, 1, 1]) == pytest.approx(math.log(2.0))


def test_what_are_no_draws_is_refused():
    with pytest.raises(emjax.DataError, match="must be"):
        partition_estimate([0, 1, 1])
    with pytest.raises(emjax.DataError, match="not of the same data"):
        variation_of_information([0, 1], [0, 1, 1])
    with pytest.raises(emjax.ConfigError, match="did you mean 'binder'"):
        partition_estimate([[0, 1]], loss="bindr")
