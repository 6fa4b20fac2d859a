"""Relabelling methods: known permutations, loops written out, posteriors on which they differ, and what they refuse."""

import dataclasses
import re
import time
from itertools import permutations as all_permutations
from pathlib import Path

import numpy as np
import pytest

from emjax import align
from emjax.errors import ConfigError, DataError

ITERATIVE = ("ecr-iterative-1", "ecr-iterative-2", "stephens", "data-based")


def normal_responsibilities(x, parameters):
    """(..., n_components, n_samples) of a one-dimensional normal mixture with columns weight, mean, sd."""
    weights, mean, sd = (parameters[..., column, None] for column in range(3))
    joint = weights / sd * np.exp(-0.5 * ((x - mean) / sd) ** 2)
    return joint / joint.sum(axis=-2, keepdims=True)


def simulate(mean, sd, *, spread, sd_spread=0.1, n_draws=400, n_samples=120, seed=1):
    """Draws around a mixture, their components shuffled, and the permutations that undo the shuffle."""
    rng = np.random.default_rng(seed)
    mean, sd = np.asarray(mean, float), np.asarray(sd, float)
    n_components = len(mean)
    label = rng.integers(n_components, size=n_samples)
    x = rng.normal(mean[label], sd[label])
    columns = (
        rng.dirichlet(np.full(n_components, 30.0), size=n_draws),
        mean + spread * rng.normal(size=(n_draws, n_components)),
        sd * np.exp(sd_spread * rng.normal(size=(n_draws, n_components))),
    )
    shuffle = rng.permuted(np.tile(np.arange(n_components), (n_draws, 1)), axis=1)
    parameters = align.apply(shuffle, np.stack(columns, axis=2), axis=1)
    reference = np.stack([np.full(n_components, 1 / n_components), mean, sd], axis=1)
    draws = align.LabelledDraws(
        parameters=parameters,
        reference_parameters=reference,
        responsibilities=normal_responsibilities(x, parameters),
        reference_responsibilities=normal_responsibilities(x, reference),
        data=x,
    )
    return draws, np.argsort(shuffle, axis=1)


@pytest.fixture(scope="module")
def separated():
    return simulate([-6.0, 0.0, 6.0], [1.0, 0.5, 1.5], spread=0.1)


@pytest.fixture(scope="module")
def overlapping():
    """The first two components have one mean and different spreads; the third overlaps with both."""
    return simulate([0.0, 0.0, 1.5], [0.7, 1.5, 1.0], spread=0.4, sd_spread=0.3, n_draws=1000)


@pytest.mark.parametrize("method", align.RELABELLINGS)
def test_known_permutations_are_undone(separated, method):
    draws, truth = separated
    result = align.relabel(draws, method)
    assert result.method == method
    np.testing.assert_array_equal(result.permutations, truth)
    assert result.converged
    assert result.finite.all()
    assert result.separation > 0.95
    aligned = result.apply(draws.parameters, axis=1)
    assert np.abs(aligned[:, :, 1] - [-6.0, 0.0, 6.0]).max() < 0.5


@pytest.mark.parametrize("method", ITERATIVE)
def test_known_permutations_are_undone_without_a_reference(separated, method):
    draws, truth = separated
    free = dataclasses.replace(draws, reference_parameters=None, reference_responsibilities=None)
    result = align.relabel(free, method)
    assert align.share_agreed(result.permutations, truth) == 1.0
    # The first draw gives the labels their numbers.
    np.testing.assert_array_equal(result.permutations[0], [0, 1, 2])


@pytest.mark.parametrize("method", align.RELABELLINGS)
def test_seven_components_are_put_back(method):
    draws, truth = simulate(6.0 * np.arange(7), np.ones(7), spread=0.1, n_draws=40)
    np.testing.assert_array_equal(align.relabel(draws, method).permutations, truth)


@pytest.mark.parametrize("method", align.RELABELLINGS)
def test_the_labels_of_the_draws_do_not_matter(overlapping, method):
    draws, _ = overlapping
    rng = np.random.default_rng(3)
    shuffle = rng.permuted(np.tile([0, 1, 2], (1000, 1)), axis=1)
    shuffled = dataclasses.replace(
        draws,
        parameters=align.apply(shuffle, draws.parameters, axis=1),
        responsibilities=align.apply(shuffle, draws.responsibilities, axis=1),
    )
    before, after = align.relabel(draws, method), align.relabel(shuffled, method)
    same = after.apply(shuffled.parameters, axis=1) == before.apply(draws.parameters, axis=1)
    # ECR counts, so that some draws have two best permutations, of which the first is taken.
    assert same.all(axis=(1, 2)).mean() >= (0.99 if method.startswith("ecr") else 1.0)
    assert after.objective == pytest.approx(before.objective, rel=1e-9)


@pytest.mark.parametrize("method", align.RELABELLINGS)
def test_units_of_the_data_do_not_matter(overlapping, method):
    draws, _ = overlapping
    unit, origin = np.array([1.0, 1e-4, 1e-4]), np.array([0.0, 70.0, 0.0])
    moved = dataclasses.replace(
        draws,
        parameters=draws.parameters * unit + origin,
        reference_parameters=draws.reference_parameters * unit + origin,
        data=draws.data * 1e-4 + 70.0,
    )
    before, after = align.relabel(draws, method), align.relabel(moved, method)
    np.testing.assert_array_equal(after.permutations, before.permutations)
    assert after.objective == pytest.approx(before.objective, rel=1e-6)
    assert after.separation == pytest.approx(before.separation, rel=1e-6)


def test_ordering_disagrees_where_the_components_overlap(overlapping):
    draws, _ = overlapping
    found = {
        one.method: one for one in align.compare_methods(draws, ("stephens", "pivot", "classification", "ordering"))
    }
    assert found["stephens"].agreement["ordering"] < 0.6
    assert found["pivot"].agreement["ordering"] < 0.6
    assert found["stephens"].agreement["pivot"] > 0.9
    assert found["ordering"].trust < 0.1 < found["stephens"].trust < align.TRUST_HIGH


def test_every_pair_of_methods_is_compared(overlapping):
    draws, _ = overlapping
    found = align.compare_methods(draws)
    assert tuple(one.method for one in found) == align.RELABELLINGS
    for one in found:
        assert set(one.agreement) == set(align.RELABELLINGS) - {one.method}
        for other in found:
            if other is not one:
                assert one.agreement[other.method] == other.agreement[one.method]
        assert 0.0 <= one.trust <= 1.0


def test_trust_of_the_default_is_that_of_align(overlapping):
    draws, _ = overlapping
    overlap = align.overlaps(draws.responsibilities, draws.reference_responsibilities)
    expected = align.align(draws.parameters, draws.reference_parameters, overlap)
    found = align.compare_methods(draws, ("classification", "pivot"))[0]
    np.testing.assert_array_equal(found.permutations, expected.permutations)
    assert found.objective == pytest.approx(expected.objective, rel=1e-12)
    assert found.agreement["pivot"] == expected.agreement < 1.0
    assert found.trust == pytest.approx(expected.trust, rel=1e-12)
    assert 0.0 < found.trust < 1.0
    assert align.relabel(draws).trust is None


def test_comparison_runs_what_the_draws_allow(separated):
    draws, _ = separated
    only = align.LabelledDraws(parameters=draws.parameters, reference_parameters=draws.reference_parameters)
    assert [one.method for one in align.compare_methods(only)] == ["pivot", "pra", "ordering"]
    only = align.LabelledDraws(responsibilities=draws.responsibilities)
    assert [one.method for one in align.compare_methods(only)] == ["ecr-iterative-1", "ecr-iterative-2", "stephens"]


def loop_stephens(responsibilities, reference):
    """Stephens' algorithm 2 written out: every draw, every permutation, every datum and label."""
    n_draws, n_components, n_samples = responsibilities.shape
    average, previous = reference, None
    for n_iter in range(100):
        chosen, total = [], 0.0
        for draw in responsibilities:
            losses = {}
            for order in all_permutations(range(n_components)):
                losses[order] = 0.0
                for k in range(n_components):
                    for n in range(n_samples):
                        losses[order] += draw[order[k], n] * np.log(draw[order[k], n] / average[k, n])
            chosen.append(min(losses, key=losses.get))
            total += losses[chosen[-1]]
        if chosen == previous:
            return np.array(chosen), total / n_draws, n_iter
        previous = chosen
        average = np.mean([draw[list(order)] for draw, order in zip(responsibilities, chosen, strict=True)], axis=0)
    raise AssertionError("no fixed point")


def test_stephens_is_the_algorithm_written_out():
    draws, _ = simulate([0.0, 0.5, 1.5], [1.0, 1.5, 0.7], spread=0.5, n_draws=40, n_samples=15)
    result = align.relabel(draws, "stephens")
    order, objective, n_iter = loop_stephens(draws.responsibilities, draws.reference_responsibilities)
    np.testing.assert_array_equal(result.permutations, order)
    assert result.objective == pytest.approx(objective, rel=1e-9)
    assert result.n_iter == n_iter > 1


def test_objectives_of_stephens_and_ecr_never_get_worse(overlapping):
    draws = dataclasses.replace(overlapping[0], reference_responsibilities=None)
    for method, sign in (("stephens", 1.0), ("ecr-iterative-1", -1.0)):
        result = align.relabel(draws, method)
        assert result.converged
        assert len(result.trace) == result.n_iter + 1 > 3
        assert np.diff(sign * np.array(result.trace)).max() <= 1e-12 * abs(result.objective)
        assert result.trace[-1] == result.objective


def test_an_iteration_that_is_cut_short_says_so(overlapping):
    draws = dataclasses.replace(overlapping[0], reference_responsibilities=None)
    result = align.relabel(draws, "stephens", max_iter=1)
    assert (result.n_iter, result.converged) == (1, False)
    assert result.objective > align.relabel(draws, "stephens").objective


def test_ecr_counts_data_allocated_as_by_the_reference(overlapping):
    draws, _ = overlapping
    own = draws.responsibilities.argmax(axis=1)
    pivot = draws.reference_responsibilities.argmax(axis=0)
    agreeing = [max((np.array(order)[pivot] == labels).sum() for order in all_permutations(range(3))) for labels in own]
    result = align.relabel(draws, "ecr")
    assert result.objective == pytest.approx(np.mean(agreeing), rel=1e-12)
    given = dataclasses.replace(draws, allocations=own, responsibilities=None)
    np.testing.assert_array_equal(align.relabel(given, "ecr").permutations, result.permutations)


def test_iterative_ecr_ends_at_the_allocation_of_the_majority(overlapping):
    draws, _ = overlapping
    own = draws.responsibilities.argmax(axis=1)
    for method in ("ecr-iterative-1", "ecr-iterative-2"):
        result = align.relabel(draws, method)
        assert result.converged
        labels = np.take_along_axis(np.argsort(result.permutations, axis=1), own, axis=1)
        if method == "ecr-iterative-1":
            shares = np.stack([(labels == k).mean(axis=0) for k in range(3)])
        else:
            shares = result.apply(draws.responsibilities, axis=1).mean(axis=0)
        assert result.objective == pytest.approx((labels == shares.argmax(axis=0)).sum(axis=1).mean(), rel=1e-12)


def test_sampled_allocations_are_used_where_they_are_given(separated):
    draws, truth = separated
    rng = np.random.default_rng(5)
    sampled = (draws.responsibilities.cumsum(axis=1) < rng.random((400, 1, 120))).sum(axis=1)
    given = dataclasses.replace(draws, allocations=sampled)
    for method in ("ecr", "ecr-iterative-1", "ecr-iterative-2", "data-based"):
        np.testing.assert_array_equal(align.relabel(given, method).permutations, truth)
    most_probable = align.relabel(draws, "ecr").objective
    assert align.relabel(given, "ecr").objective < most_probable


def test_data_based_needs_no_more_than_data_and_allocations():
    # Two features, of which only the second tells the clusters apart, and one that is constant.
    rng = np.random.default_rng(6)
    label = np.repeat([0, 1], 30)
    x = np.column_stack([rng.normal(size=60), rng.normal(5.0 * label, 1.0), np.full(60, 3.0)])
    flip = rng.integers(2, size=50)
    noise = rng.random((50, 60)) < 0.1
    allocations = (label[None, :] + flip[:, None] + noise) % 2
    draws = align.LabelledDraws(parameters=np.zeros((50, 2, 1)), data=x, allocations=allocations)
    result = align.relabel(draws, "data-based")
    np.testing.assert_array_equal(result.permutations[:, 0] == result.permutations[0, 0], flip == flip[0])
    labels = np.take_along_axis(np.argsort(result.permutations, axis=1), allocations, axis=1)
    spread = 0.0
    for k in range(2):
        share = (labels == k).sum(axis=0) / 50
        for feature in (x[:, 0], x[:, 1]):
            spread += (share * (feature - np.average(feature, weights=share)) ** 2).sum() / feature.var()
    assert result.objective == pytest.approx(spread, rel=1e-9)


def test_pra_is_pivot_for_the_same_units_and_not_for_its_own(overlapping):
    draws, _ = overlapping
    scale = draws.parameters.std(axis=(0, 1))
    pivot = align.pivot(draws.parameters, draws.reference_parameters, scale)
    np.testing.assert_array_equal(align.pra(draws.parameters, draws.reference_parameters, scale), pivot)
    own = align.relabel(draws, "pra").permutations
    aligned = align.apply(pivot, draws.parameters, axis=1)
    within = np.sqrt(aligned.var(axis=0).mean(axis=0))
    np.testing.assert_array_equal(align.pra(draws.parameters, draws.reference_parameters, within), own)
    assert (own != pivot).any()
    with pytest.raises(DataError, match="does not fit"):
        align.pra(draws.parameters, draws.reference_parameters, np.ones((3, 3)))


def test_ordering_keeps_the_labels_of_the_reference(separated):
    draws, truth = separated
    turned = dataclasses.replace(draws, reference_parameters=draws.reference_parameters[[2, 0, 1]])
    np.testing.assert_array_equal(align.relabel(turned, "ordering").permutations, truth[:, [2, 0, 1]])
    free = dataclasses.replace(draws, reference_parameters=None)
    np.testing.assert_array_equal(align.relabel(free, "ordering").permutations, truth)
    by_sd = dataclasses.replace(free, order_by=2)
    np.testing.assert_array_equal(
        align.relabel(by_sd, "ordering").permutations, np.argsort(draws.parameters[..., 2], axis=1)
    )
    with pytest.raises(DataError, match="no column 3"):
        align.relabel(dataclasses.replace(draws, order_by=3), "ordering")


@pytest.mark.parametrize("method", ITERATIVE)
def test_float32_chooses_the_same_permutations(separated, method):
    draws, truth = separated
    single = dataclasses.replace(draws, responsibilities=draws.responsibilities.astype(np.float32))
    result = align.relabel(single, method)
    np.testing.assert_array_equal(result.permutations, truth)
    assert result.objective == pytest.approx(align.relabel(draws, method).objective, rel=1e-4)


@pytest.mark.parametrize("method", align.RELABELLINGS)
def test_draws_that_are_not_finite_keep_their_labels(separated, method):
    draws, truth = separated
    parameters, responsibilities = draws.parameters.copy(), draws.responsibilities.copy()
    parameters[:20, 1] = np.nan
    responsibilities[:20] = np.nan
    broken = dataclasses.replace(draws, parameters=parameters, responsibilities=responsibilities)
    result = align.relabel(broken, method)
    np.testing.assert_array_equal(result.permutations[:20], np.tile([0, 1, 2], (20, 1)))
    np.testing.assert_array_equal(result.permutations[20:], truth[20:])
    np.testing.assert_array_equal(result.finite, np.arange(400) >= 20)
    assert np.isfinite(result.objective)
    assert result.separation > 0.9


def test_draws_that_are_not_finite_count_as_disagreement(separated):
    draws, _ = separated
    parameters = draws.parameters.copy()
    parameters[:40] = np.inf
    found = align.compare_methods(dataclasses.replace(draws, parameters=parameters), ("pivot", "stephens"))
    assert found[0].agreement["stephens"] == pytest.approx(0.9)


@pytest.mark.parametrize("method", align.RELABELLINGS)
def test_one_component_has_one_permutation(method):
    draws, _ = simulate([0.0], [1.0], spread=0.1, n_draws=20, n_samples=10)
    result = align.relabel(draws, method)
    np.testing.assert_array_equal(result.permutations, np.zeros((20, 1)))
    assert (result.separation, result.converged) == (1.0, True)


def test_share_agreed_looks_through_one_global_permutation():
    first = np.array([[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]])
    assert align.share_agreed(first, first[:, [1, 2, 0]]) == 1.0
    second = first[:, [1, 2, 0]].copy()
    second[3] = first[3]
    assert align.share_agreed(first, second) == 0.75
    assert align.share_agreed(first, second, [True, False, False, True]) == 0.25
    assert align.share_agreed(first, second, np.zeros(4, bool)) == 0.0
    with pytest.raises(DataError, match="must both be"):
        align.share_agreed(first, first[:3])


@pytest.mark.parametrize("method", align.RELABELLINGS)
def test_what_a_method_needs_is_named(method):
    with pytest.raises(DataError, match=f"'{method}' needs "):
        align.relabel(align.LabelledDraws(), method)


@pytest.mark.parametrize(
    ("change", "method", "message"),
    [
        ({"responsibilities": np.ones((400, 2, 120))}, "stephens", "the same in both"),
        ({"responsibilities": np.ones((400, 3))}, "stephens", "n_draws, n_components, n_samples"),
        ({"parameters": np.ones((0, 3, 3)), "responsibilities": None}, "pivot", "one draw or more"),
        ({"reference_responsibilities": np.ones((3, 119))}, "stephens", "reference_responsibilities must be"),
        ({"reference_responsibilities": np.full((3, 120), np.nan)}, "ecr", "reference_responsibilities must be"),
        ({"allocations": np.full((400, 120), 3)}, "ecr", "integers from 0 to 2"),
        ({"allocations": np.zeros((399, 120), int)}, "ecr", "integers from 0 to 2"),
        ({"allocations": np.zeros((400, 120))}, "ecr", "integers from 0 to 2"),
        ({"allocations": np.zeros((400, 119), int)}, "ecr-iterative-2", "do not fit responsibilities"),
        ({"data": np.zeros(119)}, "data-based", "data must be"),
        ({"data": np.full(120, np.nan)}, "data-based", "data must be"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(separated, change, method, message):
    with pytest.raises(DataError, match=message):
        align.relabel(dataclasses.replace(separated[0], **change), method)


def test_unknown_settings_are_refused(separated):
    draws, _ = separated
    with pytest.raises(ConfigError, match="unknown method 'sjw'; choose one of classification, pivot"):
        align.relabel(draws, "sjw")
    with pytest.raises(ConfigError, match="max_iter=0"):
        align.relabel(draws, "stephens", max_iter=0)
    with pytest.raises(ConfigError, match="named twice"):
        align.compare_methods(draws, ("pivot", "pivot"))


def test_an_iteration_of_stephens_takes_a_twentieth_of_the_loop_over_draws():
    draws, _ = simulate([0.0, 1.0, 2.0], np.ones(3), spread=0.5, n_draws=500, n_samples=82)
    responsibilities, logs = draws.responsibilities, np.log(draws.reference_responsibilities)

    def loop():
        orders = [list(order) for order in all_permutations(range(3))]
        for draw in responsibilities:
            cost = (draw[None] * (np.log(draw)[None] - logs[:, None])).sum(axis=-1)
            min(orders, key=lambda order: cost[[0, 1, 2], order].sum())

    def fast():
        align.permutations_from_cost(-profiles.scores(logs))

    profiles = draws.soft
    seconds = {loop: [], fast: []}
    for _ in range(5):
        for run, times in seconds.items():
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    assert min(seconds[fast]) < min(seconds[loop]) / 20


def test_the_example_of_the_page_runs(capsys):
    page = (Path(__file__).resolve().parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert max(map(len, example.splitlines())) <= 80
    exec(compile(example, "labels.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "[-2.  2.]"
    assert [line.split()[0] for line in printed[1:]] == list(align.RELABELLINGS)
    assert all(f"| `{name}` |" in page for name in align.RELABELLINGS)
