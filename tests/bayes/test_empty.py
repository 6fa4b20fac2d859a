"""Where components are empty: found, weighed, started from, and sampled; against the sum over all labellings."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from posteriors import GROUPS, GROUPS_PRIOR, TWO_POISSONS, evaluator, rows_of
from scipy.special import logsumexp

import emjax
from benchmarks.enumeration import Case, run
from benchmarks.labellings import enumerate_labellings
from emjax.bayes import adaptive
from emjax.bayes import sample as sample_module
from emjax.bayes.empty import count_empty
from emjax.bayes.handoff import hand_off, overdispersed_starts, points_on_ridges
from emjax.bayes.jumps import labelling_jumps
from emjax.bayes.problem import prepare
from emjax.bayes.visits import describe_modes
from emjax.samples import as_samples

pytestmark = pytest.mark.usefixtures("x64")

MILLIONS = np.random.default_rng(3).poisson(1e6, (12, 1)).astype(float)
"""A dozen counts of one cluster: two rates fit them little better than one, and cost more."""

ONE_CLUSTER = np.random.default_rng([12, 30]).poisson(30.0, (12, 1)).astype(float)
TWO_CLUSTERS = np.array([98_000, 100_000, 103_000, 200_000, 202_000, 197_000], float)[:, None]


def handed_off(x, k, family=None, concentration=None, seed=0):
    """The mixture, its problem, and what EM hands over."""
    mixture = emjax.Mixture(family or emjax.Poisson(), k)
    prior = mixture.default_prior(x)
    if concentration is not None:
        prior = prior.replace(weights=emjax.laws.Dirichlet(np.asarray(concentration, float)))
    mixture = dataclasses.replace(mixture, prior=prior)
    with jax.enable_x64(True):
        problem = prepare(mixture, as_samples(x))
        return mixture, problem, hand_off(problem, jax.random.key(seed), None, np.random.default_rng(seed))


def exact(mixture, x):
    return enumerate_labellings(x, mixture.prior.concentration, mixture.prior.components)


@pytest.fixture(scope="module")
def one_cluster():
    return handed_off(MILLIONS, 2)


# --- the oracle


def test_the_sum_over_labellings_is_that_of_a_closed_form_and_of_bayes_factors():
    # Two data: their components are the same with probability one half before they are seen.
    x = np.array([[3.0], [5.0]])
    mixture = emjax.Mixture(emjax.Poisson(), 1, "default")
    prior = mixture.default_prior(x).components
    alone = enumerate_labellings(x, np.ones(1), prior).log_evidence
    apart = sum(enumerate_labellings(x[i : i + 1], np.ones(1), prior).log_evidence for i in range(2))
    two = enumerate_labellings(x, np.ones(2), prior)
    # With a uniform weight two data share a component with probability 2/3.
    assert two.log_evidence == pytest.approx(np.log(2 / 3 * np.exp(alone) + 1 / 3 * np.exp(apart)))
    assert two.together[0, 1] == pytest.approx(2 / 3 * np.exp(alone - two.log_evidence))
    assert two.empty.tolist() == pytest.approx([1 - two.together[0, 1], two.together[0, 1]])


# --- the ridges


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "concentration"),
    [(2, 4.0), (2, 1.0), (3, 1.0)],
)
def test_the_mass_of_each_ridge_is_that_of_the_labellings_with_so_many_empty_components(k, concentration):
    mixture, _, handoff = handed_off(MILLIONS, k, concentration=np.full(k, concentration))
    sample = handoff.sample
    assert [ridge.n_empty for ridge in sample.ridges] == list(range(1, k))
    expected = exact(mixture, MILLIONS).empty[1:]
    log_copies = np.log(np.arange(1, k + 1)).sum()
    log_masses = np.array([ridge.mode.log_mass for ridge in sample.ridges]) + log_copies + handoff.constant
    # A Laplace approximation: of the prior's gamma distribution too, and of splits that are hardly identified.
    np.testing.assert_allclose(log_masses - exact(mixture, MILLIONS).log_evidence, np.log(expected), atol=0.6)


def test_nothing_is_looked_for_where_no_component_may_be_empty():
    apart = np.concatenate([MILLIONS, MILLIONS + 5e4])
    assert handed_off(apart, 2)[2].sample.ridges == ()
    assert handed_off(MILLIONS, 1)[2].sample.ridges == ()


def test_points_of_a_ridge_lie_on_it_and_points_of_a_mode_do_not(one_cluster):
    _, _, handoff = one_cluster
    (ridge,) = handoff.sample.ridges
    points = ridge.sample(handoff.evaluate, np.random.default_rng(0), 400)
    # A weight of about 1/14 without data makes each of the 12 data its own with some luck; most often it has none.
    assert 0.8 < np.mean(count_empty(handoff.evaluate, points) == 1) <= 1.0
    points, _ = handoff.modes.sample(np.random.default_rng(0), 400)
    assert np.mean(count_empty(handoff.evaluate, points) == 1) < 0.2


def test_the_count_of_empty_components_is_that_of_the_responsibilities():
    evaluate = evaluator(TWO_POISSONS, GROUPS, GROUPS_PRIOR)
    random = np.random.default_rng(0)
    points = np.concatenate([random.normal(2.0, 1.0, (200, 2)), random.normal(0.0, 3.0, (200, 1))], axis=1)
    rates, weights = np.exp(points[:, :2]), 1 / (1 + np.exp(np.stack([-points[:, 2], points[:, 2]], axis=1)))
    joint = np.log(weights)[:, None] + GROUPS * np.log(rates)[:, None] - rates[:, None]
    counts = np.exp(joint - logsumexp(joint, axis=2)[:, :, None]).sum(axis=1)
    np.testing.assert_array_equal(count_empty(evaluate, points), (counts < 0.5).sum(axis=1))


# --- the proposal


@pytest.mark.parametrize("k", [2, 3, pytest.param(4, marks=pytest.mark.slow)])
def test_the_density_of_labellings_is_the_sum_over_all_numberings(k):
    x = np.random.default_rng(0).poisson(5.0, (8, 1)).astype(float)
    mixture = emjax.Mixture(emjax.Poisson(), k)
    evaluate = evaluator(mixture, x, mixture.default_prior(x))
    points = np.random.default_rng(1).normal(1.5, 1.0, (20, 2 * k - 1))
    jumps = labelling_jumps(
        evaluate.target, evaluate.data, rows_of(x), points, jax.random.key(0), 30, ((1.0, 0.6), (0.3, 0.3))
    )
    of_one = jax.jit(jax.vmap(lambda point: jumps.log_density(evaluate.target, evaluate.data, point)))
    numbered = [of_one(evaluate.target.permute(points, order)) for order in itertools.permutations(range(k))]
    found = adaptive.log_density(evaluate.target, evaluate.data, jumps, points)
    np.testing.assert_allclose(found, logsumexp(np.array(numbered), axis=0), rtol=1e-10)


def test_weighted_points_give_the_exact_evidence_and_share_of_empty_components(one_cluster):
    mixture, _, handoff = one_cluster
    expected = exact(mixture, MILLIONS)
    assert handoff.sample.good
    assert handoff.sample.log_evidence + handoff.constant == pytest.approx(expected.log_evidence, abs=0.1)
    assert handoff.masses[-1] == pytest.approx(expected.empty[1], abs=0.05)
    assert expected.empty[1] > 0.5
    assert not handoff.simple


# --- chains


def test_chains_start_where_a_component_is_empty_and_the_note_says_so(one_cluster):
    _, _, handoff = one_cluster
    starts = overdispersed_starts(handoff, np.random.default_rng(0), 8)
    n_there = int((count_empty(handoff.evaluate, starts.flat) == 1).sum())
    assert 1 <= n_there <= 7
    assert "where components are empty" in starts.note


def test_chains_that_miss_the_region_make_the_posterior_not_converged(one_cluster):
    _, problem, handoff = one_cluster
    points, _ = handoff.modes.sample(np.random.default_rng(0), 4000)
    points = points[count_empty(handoff.evaluate, points) == 0][:800].reshape(4, 200, -1)
    arguments = (handoff.evaluate, points_on_ridges(problem, handoff))
    found = describe_modes(handoff.sample, handoff.masses, handoff.constant, points, *arguments)
    (missed,) = found.unvisited
    assert found.modes[missed].n_empty == 1
    assert np.isfinite(found.modes[missed].objective)
    assert found.modes[missed].params.weights[-1] == pytest.approx(1 / 14)
    ((status, phrase),) = sample_module._problems("nuts", handoff, found)
    assert status.value == "not_converged"
    assert phrase.startswith("no chain visited the region where one component is empty, which holds about")


def test_weights_are_right_and_chains_start_there_under_a_prior_that_tells_components_apart():
    mixture, _, handoff = handed_off(MILLIONS, 2, concentration=[1.0, 2.0])
    sample, expected = handoff.sample, exact(mixture, MILLIONS)
    assert sample.good
    assert sample.log_evidence + handoff.constant == pytest.approx(expected.log_evidence, abs=0.1)
    starts = overdispersed_starts(handoff, np.random.default_rng(0), 8)
    assert (count_empty(handoff.evaluate, starts.flat) == 1).any()


# --- the whole way: a few cases of `python -m benchmarks.enumeration`


def case(name, x, k, family=None, marks=()):
    return pytest.param(Case(name, x, k, family or emjax.Poisson()), id=name, marks=marks)


CASES = [
    case("a dozen counts near a million, K = 2", MILLIONS, 2),
    case("six counts near 30, K = 3", np.random.default_rng(5).poisson(30.0, (6, 1)).astype(float), 3),
    case("six counts in two clusters, K = 3", TWO_CLUSTERS, 3),
    # EM has no MAP under such a prior wherever one component is enough.
    pytest.param(Case("twelve counts, concentration 1/2", ONE_CLUSTER, 2, emjax.Poisson(), 0.5), id="sparse"),
    case("six measurements, K = 2", np.random.default_rng(5).normal(size=(6, 1)), 2, emjax.Normal(), pytest.mark.slow),
]


# The weighted points of the first are held above.
SLOW = [pytest.param(each, marks=pytest.mark.slow) for each in CASES[:3]]


@pytest.mark.parametrize("case", [*SLOW, *CASES[3:]])
def test_weighted_draws_agree_with_all_labellings_or_say_no(case):
    outcomes = [run(case, "laplace", key) for key in range(1 if case.concentration == 0.5 else 2)]
    assert [outcome.verdict for outcome in outcomes].count("wrong") == 0
    assert any(outcome.verdict == "right" for outcome in outcomes)


@pytest.mark.slow
def test_chains_agree_with_all_labellings():
    outcome = run(Case("a dozen counts near a million", MILLIONS, 2, emjax.Poisson()), "auto", 0)
    assert outcome.verdict == "right"


def test_sums_over_all_orders_survive_those_that_underflow():
    """Against the sum over all permutations in logarithms; of one labelling every order is below what a float holds."""
    rng = np.random.default_rng(4)
    moments, natural = rng.normal(size=(2, 2, 3)), rng.normal(size=(4, 2, 3))
    shares = np.log([0.3, 0.7])
    # Both components want the same column: every order is far below the product of their best entries, and below zero.
    moments[1] = [[0.0, 0.0, 1000.0], [0.0, 0.0, 1000.0]]
    natural[:, 0, 2], natural[:, 1, 2] = 2.0, -1002.0
    orders = list(itertools.permutations(range(2)))
    each = [
        [shares[s] + sum(moments[s, k] @ eta[order[k]] for k in range(2)) for s in range(2) for order in orders]
        for eta in natural
    ]
    with np.errstate(over="raise", invalid="raise"):
        found = adaptive._log_mean_permanent(moments, shares, natural)
    np.testing.assert_allclose(found, logsumexp(each, axis=1), rtol=1e-10)
