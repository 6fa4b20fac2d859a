"""Alignment of labels: against brute force, known permutations, and posteriors with and without labels."""

import time
from itertools import permutations as all_permutations

import numpy as np
import pytest
from scipy import stats

from emjax import align
from emjax.errors import ConfigError, DataError


def brute_force(cost):
    """The best permutation of one draw, one permutation at a time."""
    n_components = len(cost)
    return min(
        all_permutations(range(n_components)),
        key=lambda order: sum(cost[k][order[k]] for k in range(n_components)),
    )


def normal_responsibilities(x, weights, mean, scale):
    """(n_components, n_samples) of a one-dimensional normal mixture, straight from Bayes' rule."""
    joint = weights[:, None] / scale[:, None] * np.exp(-0.5 * ((x - mean[:, None]) / scale[:, None]) ** 2)
    return joint / joint.sum(axis=0)


def random_permutations(rng, n_draws, n_components):
    return rng.permuted(np.tile(np.arange(n_components), (n_draws, 1)), axis=1)


class Posterior:
    """Draws (weight, mean, scale) around a mixture with shuffled labels, and their responsibilities."""

    def __init__(self, rng, mean, spread, n_draws=300, n_samples=200):
        mean = np.asarray(mean, float)
        n_components = len(mean)
        self.x = rng.normal(mean[rng.integers(n_components, size=n_samples)], 1.0)
        self.reference = np.stack([np.full(n_components, 1 / n_components), mean, np.ones(n_components)], axis=1)
        truth = np.stack(
            [
                rng.dirichlet(np.full(n_components, 200.0), size=n_draws),
                mean + spread * rng.normal(size=(n_draws, n_components)),
                np.exp(0.05 * rng.normal(size=(n_draws, n_components))),
            ],
            axis=2,
        )
        self.shuffle = random_permutations(rng, n_draws, n_components)
        self.draws = np.stack([draw[order] for draw, order in zip(truth, self.shuffle, strict=True)])
        self.truth = truth
        self.responsibilities = np.stack([normal_responsibilities(self.x, *draw.T) for draw in self.draws])
        self.reference_responsibilities = normal_responsibilities(self.x, *self.reference.T)

    def align(self, **options):
        overlap = align.overlaps(self.responsibilities, self.reference_responsibilities)
        return align.align(self.draws, self.reference, overlap, **options)


@pytest.fixture
def separated():
    return Posterior(np.random.default_rng(10), [-6.0, 0.0, 6.0], spread=0.1)


@pytest.mark.parametrize("n_components", [1, 2, 3, 4, 5, 6, 7])
def test_permutations_are_those_of_brute_force(n_components):
    cost = np.random.default_rng(n_components).normal(size=(6, n_components, n_components))
    result = align.permutations_from_cost(cost)
    assert result.shape == (6, n_components)
    for matrix, order in zip(cost, result, strict=True):
        assert tuple(order) == brute_force(matrix)


@pytest.mark.parametrize("n_components", [2, 3, 4, 5, 6])
def test_enumeration_and_assignment_agree(n_components, monkeypatch):
    cost = np.random.default_rng(n_components).exponential(size=(2000, n_components, n_components))
    enumerated = align.permutations_from_cost(cost)
    monkeypatch.setattr(align.assignment, "MAX_ENUMERATED", 1)
    np.testing.assert_array_equal(align.permutations_from_cost(cost), enumerated)


def test_ties_keep_the_labels_and_so_do_draws_that_are_not_finite():
    cost = np.zeros((3, 3, 3))
    cost[1, 0, 0] = np.nan
    cost[1, 0, 1] = -5.0
    cost[2, 0, 2] = -1.0
    np.testing.assert_array_equal(align.permutations_from_cost(cost), [[0, 1, 2], [0, 1, 2], [2, 0, 1]])


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 4), (2, 0, 0)])
def test_costs_of_the_wrong_shape_are_refused(shape):
    with pytest.raises(DataError, match="n_draws, n_components, n_components"):
        align.permutations_from_cost(np.zeros(shape))


@pytest.mark.parametrize("method", ["pivot", "classification"])
def test_shuffled_draws_of_a_separated_mixture_are_put_back(separated, method):
    if method == "pivot":
        result = align.pivot(separated.draws, separated.reference)
    else:
        result = align.classification(separated.responsibilities, separated.reference_responsibilities)
    np.testing.assert_array_equal(result, np.argsort(separated.shuffle, axis=1))
    np.testing.assert_array_equal(align.apply(result, separated.draws, axis=1), separated.truth)


def test_many_components_are_put_back():
    posterior = Posterior(np.random.default_rng(3), 8.0 * np.arange(9), spread=0.1, n_draws=40)
    alignment = posterior.align()
    np.testing.assert_array_equal(align.apply(alignment.permutations, posterior.draws, axis=1), posterior.truth)
    assert alignment.trust > 0.95


def test_pivot_cost_is_the_scaled_squared_distance():
    rng = np.random.default_rng(0)
    draws, reference, scale = rng.normal(size=(4, 3, 2)), rng.normal(size=(3, 2)), np.array([0.5, 3.0])
    cost = align.pivot_cost(draws, reference, scale)
    for s in range(4):
        for k in range(3):
            for j in range(3):
                expected = sum(((draws[s, j, p] - reference[k, p]) / scale[p]) ** 2 for p in range(2))
                assert cost[s, k, j] == pytest.approx(expected, rel=1e-12)
    per_component = align.pivot_cost(draws, reference, np.tile(scale, (3, 1)))
    np.testing.assert_array_equal(per_component, cost)


def test_pivot_does_not_depend_on_units_labels_or_offset():
    rng = np.random.default_rng(4)
    draws, reference = rng.normal(size=(500, 3, 2)), rng.normal(size=(3, 2))
    plain = align.pivot(draws, reference)
    moved = align.pivot(draws * [1e6, 1e-3] + [1e9, 0.0], reference * [1e6, 1e-3] + [1e9, 0.0])
    np.testing.assert_array_equal(moved, plain)
    shuffle = random_permutations(rng, 500, 3)
    again = align.pivot(align.apply(shuffle, draws, axis=1), reference)
    np.testing.assert_array_equal(np.take_along_axis(shuffle, again, axis=1), plain)


def test_pivot_ignores_a_parameter_that_is_the_same_everywhere():
    rng = np.random.default_rng(5)
    draws, reference = rng.normal(size=(50, 2, 1)), np.array([[-1.0], [1.0]])
    with_constant = np.concatenate([draws, np.full((50, 2, 1), 7.0)], axis=2)
    result = align.pivot(with_constant, np.column_stack([reference, [7.0, 7.0]]))
    np.testing.assert_array_equal(result, align.pivot(draws, reference))


@pytest.mark.parametrize(
    ("reference", "scale", "message"),
    [
        (np.zeros((2, 3)), None, "do not fit"),
        (np.full((3, 2), np.nan), None, "reference is not finite"),
        (np.zeros((3, 2)), [1.0, 0.0], "scale must be finite and positive"),
        (np.zeros((3, 2)), [1.0, np.nan], "scale must be finite and positive"),
        (np.zeros((3, 2)), np.ones((5, 3, 2)), "does not fit"),
    ],
)
def test_pivot_refuses_what_does_not_fit(reference, scale, message):
    with pytest.raises(DataError, match=message):
        align.pivot(np.zeros((5, 3, 2)), reference, scale)


def test_overlap_is_the_sum_over_the_data_and_adds_up_over_blocks():
    rng = np.random.default_rng(6)
    draws, reference = rng.random((4, 3, 10)), rng.random((3, 10))
    overlap = align.overlaps(draws, reference)
    for s in range(4):
        for k in range(3):
            for j in range(3):
                assert overlap[s, k, j] == pytest.approx(sum(reference[k] * draws[s, j]), rel=1e-12)
    halves = align.overlaps(draws[..., :4], reference[:, :4]) + align.overlaps(draws[..., 4:], reference[:, 4:])
    np.testing.assert_allclose(halves, overlap, rtol=1e-12)
    with pytest.raises(DataError, match="do not fit"):
        align.overlaps(draws, reference[:, :9])
    with pytest.raises(DataError, match="reference is not finite"):
        align.overlaps(draws, np.full((3, 10), np.inf))


def test_classification_counts_agreeing_hard_labels():
    # Data 0..4; the reference puts 0,1,2 | 3 | 4. The draw calls the groups 2, 0, 1 and moves datum 2 to its
    # label 0.
    reference = np.eye(3)[[0, 0, 0, 1, 2]].T
    draw = np.eye(3)[[2, 2, 0, 0, 1]].T
    np.testing.assert_array_equal(align.classification(draw[None], reference), [[2, 0, 1]])


def test_ordering_sorts_and_keeps_ties():
    result = align.ordering([[3.0, 1.0, 2.0], [5.0, 5.0, 1.0]])
    np.testing.assert_array_equal(result, [[1, 2, 0], [2, 0, 1]])
    with pytest.raises(DataError):
        align.ordering([1.0, 2.0])


@pytest.mark.parametrize("seed", range(5))
def test_match_finds_the_permutation_between_two_optima(seed):
    rng = np.random.default_rng(seed)
    reference = np.column_stack([rng.dirichlet(np.ones(4)), 10.0 * np.arange(4), rng.random(4) + 0.5])
    order = rng.permutation(4)
    estimate = reference[order] + 1e-3 * rng.normal(size=(4, 3))
    found = align.match(reference, estimate)
    np.testing.assert_array_equal(order[found], np.arange(4))
    with pytest.raises(DataError):
        align.match(reference, estimate[:3])


@pytest.mark.parametrize(("shape", "axis"), [((5, 3), 1), ((5, 3, 2), 1), ((5, 2, 3), 2), ((5, 2, 3), -1)])
def test_apply_moves_only_the_component_axis(shape, axis):
    rng = np.random.default_rng(7)
    values, order = rng.normal(size=shape), random_permutations(rng, 5, 3)
    result = align.apply(order, values, axis)
    for s in range(5):
        for k in range(3):
            np.testing.assert_array_equal(
                np.take(result[s], k, axis=axis - 1 if axis > 0 else axis),
                np.take(values[s], order[s, k], axis=axis - 1 if axis > 0 else axis),
            )


def test_apply_takes_chains_and_keeps_the_dtype():
    rng = np.random.default_rng(8)
    values, order = (
        np.arange(2 * 5 * 3 * 4, dtype=np.int32).reshape(2, 5, 3, 4),
        random_permutations(rng, 10, 3),
    )
    result = align.apply(order.reshape(2, 5, 3), values, axis=2)
    flat = align.apply(order, values.reshape(10, 3, 4), axis=1)
    np.testing.assert_array_equal(result, flat.reshape(values.shape))
    assert result.dtype == np.int32


@pytest.mark.parametrize(("shape", "axis"), [((5, 4), 1), ((4, 3), 1), ((5, 3), 0), ((5, 3), 2), ((5, 3), -2)])
def test_apply_refuses_what_does_not_fit(shape, axis):
    with pytest.raises(DataError, match="do not fit"):
        align.apply(np.tile([0, 1, 2], (5, 1)), np.zeros(shape), axis)


def test_margins_and_separation_from_contrasts():
    rng = np.random.default_rng(9)
    reference = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 8.0]])
    draws = reference + rng.normal(size=(500, 3, 2))
    cost = align.pivot_cost(draws, reference, np.ones(2))
    order = align.permutations_from_cost(cost)
    aligned = align.apply(order, draws, axis=1)
    margin, valley = np.ones(500), []
    for i in range(3):
        for j in range(i + 1, 3):
            # Written out, the cost of an exchange is twice the projection of one contrast on the other.
            gap = (aligned[:, i] - aligned[:, j]) @ (reference[i] - reference[j])
            gap = gap / np.median(gap)
            margin = np.minimum(margin, gap)
            valley.append(2 * np.mean(gap < 0.5) / np.mean((gap >= 0.5) & (gap < 1.5)))
    np.testing.assert_allclose(align.margins(cost, order), margin, rtol=1e-10)
    assert 0.0 <= margin.min() < margin.max() <= 1.0
    assert 0.0 < max(valley) < 1.0
    assert align.separation(cost, order) == pytest.approx(1 - max(valley), rel=1e-10)


@pytest.mark.parametrize(("sd", "expected"), [(0.05, 1.0), (0.25, 0.952), (1 / 3, 0.845), (0.5, 0.539), (50.0, 0.0)])
def test_separation_of_a_normal_gap_is_the_documented_one(sd, expected):
    gaps = 1.0 + sd * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    # Only label 0 has a preference between the two components: exchanging them costs `gaps`.
    cost = np.zeros((20_000, 2, 2))
    cost[:, 0, 1] = gaps
    order = align.permutations_from_cost(cost)
    np.testing.assert_array_equal(order[:, 0] == 1, gaps < 0)
    assert align.separation(cost, order) == pytest.approx(expected, abs=0.002)


def test_equal_components_have_neither_margin_nor_separation():
    cost, order = np.zeros((4, 2, 2)), np.tile([0, 1], (4, 1))
    np.testing.assert_array_equal(align.margins(cost, order), np.zeros(4))
    assert align.separation(cost, order) == 0.0
    assert align.separation(np.full((4, 2, 2), np.nan), order) == 0.0
    with pytest.raises(DataError, match="do not fit"):
        align.separation(cost, order[:3])


@pytest.mark.parametrize("method", align.METHODS)
def test_separated_components_are_trusted(separated, method):
    alignment = separated.align(method=method)
    assert alignment.method == method
    assert alignment.agreement == 1.0
    assert alignment.margin > 0.95
    assert alignment.trust == alignment.separation == 1.0
    assert alignment.note.startswith("The labels are identified")
    assert alignment.note.count(".") >= 1
    assert "\n" not in alignment.note
    np.testing.assert_array_equal(align.apply(alignment.permutations, separated.draws, axis=1), separated.truth)


def test_objective_is_the_mean_optimum(separated):
    aligned = align.apply(separated.align().permutations, separated.responsibilities, axis=1)
    overlap = (aligned * separated.reference_responsibilities).sum(axis=(1, 2)).mean()
    assert separated.align().objective == pytest.approx(overlap, rel=1e-12)
    unit = np.ones(3)
    distance = ((separated.truth - separated.reference) ** 2).sum(axis=(1, 2)).mean()
    assert separated.align(method="pivot", scale=unit).objective == pytest.approx(distance, rel=1e-12)


@pytest.mark.parametrize("method", align.METHODS)
@pytest.mark.parametrize("n_components", [2, 3])
def test_exchangeable_components_are_not_trusted(method, n_components):
    # All components are draws of one distribution: nothing in the data tells label 0 from label 1. The
    # reference is itself one such draw, as a MAP of this posterior would be.
    posterior = Posterior(np.random.default_rng(20), np.zeros(n_components), spread=0.5, n_draws=2000)
    posterior.reference = posterior.truth[0]
    posterior.reference_responsibilities = normal_responsibilities(posterior.x, *posterior.reference.T)
    alignment = posterior.align(method=method)
    assert alignment.trust < align.TRUST_LOW
    assert alignment.note.startswith("The labels are not identified")


def test_agreement_of_the_methods_alone_is_not_trusted():
    posterior = Posterior(np.random.default_rng(21), [0.0, 0.0], spread=0.5, n_draws=2000)
    posterior.reference[:, 1] = [-1e-6, 1e-6]
    posterior.reference_responsibilities = normal_responsibilities(posterior.x, *posterior.reference.T)
    for method in align.METHODS:
        alignment = posterior.align(method=method)
        assert alignment.agreement > 0.7  # both cut the one mode in two along nearly the same line
        assert alignment.trust < 0.3


def test_trust_falls_as_components_move_together():
    trusts = [
        Posterior(np.random.default_rng(22), [0.0, gap], spread=0.4, n_draws=1000).align().trust
        for gap in (6.0, 1.5, 1.0, 0.2)
    ]
    assert trusts == sorted(trusts, reverse=True)
    assert trusts[0] > align.TRUST_HIGH > align.TRUST_LOW > trusts[-1]


def test_trust_does_not_depend_on_the_labels_of_the_draws():
    posterior = Posterior(np.random.default_rng(23), [0.0, 1.5, 3.0], spread=0.4)
    before = posterior.align()
    order = random_permutations(np.random.default_rng(24), len(posterior.draws), 3)
    posterior.draws = align.apply(order, posterior.draws, axis=1)
    posterior.responsibilities = align.apply(order, posterior.responsibilities, axis=1)
    after = posterior.align()
    assert after.trust == pytest.approx(before.trust, rel=1e-9)
    assert after.agreement == before.agreement < 1.0
    np.testing.assert_array_equal(np.take_along_axis(order, after.permutations, axis=1), before.permutations)


def test_one_component_is_the_identity_with_full_trust():
    alignment = Posterior(np.random.default_rng(25), [0.0], spread=0.5, n_draws=20).align()
    np.testing.assert_array_equal(alignment.permutations, np.zeros((20, 1)))
    assert (alignment.trust, alignment.agreement) == (1.0, 1.0)
    assert (alignment.separation, alignment.margin) == (1.0, 1.0)
    assert "one component" in alignment.note


def test_draws_that_are_not_finite_keep_their_labels_and_cost_trust(separated):
    whole = separated.align()
    separated.draws[:30, 0, 1] = np.nan
    separated.responsibilities[:30] = np.nan
    alignment = separated.align()
    np.testing.assert_array_equal(alignment.permutations[:30], np.tile([0, 1, 2], (30, 1)))
    np.testing.assert_array_equal(alignment.permutations[30:], whole.permutations[30:])
    assert alignment.agreement == pytest.approx(0.9)
    assert alignment.trust < 0.9 * whole.trust
    assert "30 draws with non-finite numbers" in alignment.note
    assert np.isfinite(alignment.objective)


def test_align_refuses_unknown_methods_and_shapes_that_differ(separated):
    with pytest.raises(ConfigError, match="choose one of classification, pivot"):
        separated.align(method="stephens")
    with pytest.raises(DataError, match="must be"):
        align.align(separated.draws, separated.reference, np.zeros((2, 3, 3)))
    with pytest.raises(DataError, match="at least one draw"):
        align.align(np.zeros((0, 3, 3)), separated.reference, np.zeros((0, 3, 3)))


def test_four_thousand_draws_take_milliseconds():
    rng = np.random.default_rng(26)
    draws, reference = rng.normal(size=(4000, 3, 5)), rng.normal(size=(3, 5))
    seconds = []
    for _ in range(10):  # the best of ten, since the machine is shared
        start = time.perf_counter()
        align.pivot(draws, reference)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02
