"""The telescoping sampler against the enumeration of all partitions, its prior, and itself."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from partitions import COUNTS, NUMBERS, RATE, SHAPE, exact, log_counts, log_normals, log_process, log_static
from scipy.special import logsumexp

import emjax
from emjax.bayes.diagnostics import PosteriorStatus
from emjax.families.hierarchy import Common, hierarchical_prior
from emjax.families.moves import move_components, refuses_moves
from emjax.families.observations import Observations
from emjax.selection import (
    DynamicWeights,
    FLaw,
    StaticWeights,
    StickBreaking,
    beta_negative_binomial,
    fixed,
    geometric,
    telescope,
    uniform,
)
from emjax.selection.number_posterior import _mean, judge
from emjax.selection.number_priors import prior_of_clusters
from emjax.selection.partition_prior import Given, Plan, State
from emjax.selection.sweep import sweep

RATES = {"rate": emjax.laws.Gamma(SHAPE, RATE)}
SETTINGS = {"warmup": 200, "draws": 500, "thin": 10, "key": 1}


def with_static(number, gamma):
    return lambda sizes: number.log_probabilities + [log_static(sizes, k, gamma) for k in range(1, number.most + 1)]


def with_dynamic(number, alpha):
    return lambda sizes: number.log_probabilities + [log_static(sizes, k, alpha / k) for k in range(1, number.most + 1)]


def over_grid(values, log_weights, of):
    """The prior of partitions with a random concentration, by a sum over a grid; sizes in any order are the same."""

    @functools.cache
    def summed(sizes):
        return logsumexp([own + of(value)(sizes) for value, own in zip(values, log_weights, strict=True)], axis=0)

    return lambda sizes: summed(tuple(sorted(sizes)))


def assert_equal_within_errors(found, expected, errors):
    """Within four Monte-Carlo standard errors, which are small; what is rare has an error that is itself a guess."""
    common = np.flatnonzero(expected > 1e-3)
    assert common.size > 1
    assert errors.max() < 0.015
    assert (np.abs(found - expected)[common] < 4.0 * errors[common] + 1e-9).all()
    assert np.abs(found - expected).max() < 0.02


def test_counts_have_the_posterior_of_all_partitions():
    number = uniform(10)
    found = telescope(emjax.Poisson(), COUNTS[:, None], prior=RATES, n_components=number, **SETTINGS)
    of_all, of_clusters = exact(len(COUNTS), log_counts, with_static(number, 1.0))
    assert found.status is PosteriorStatus.converged, found.message
    assert_equal_within_errors(found.p_components, of_all, found.p_components_error)
    assert_equal_within_errors(found.p_clusters, of_clusters, found.p_clusters_error)
    assert found.likeliest == of_all.argmax() + 1
    assert found.likeliest_clusters == of_clusters.argmax() + 1
    # Draws are of the same posterior, and their parts belong together.
    assert np.abs(np.bincount(found.n_components.ravel(), minlength=11)[1:] / 4000 - of_all).max() < 0.04
    np.testing.assert_array_equal(found.in_use.sum(axis=-1), found.n_components)
    np.testing.assert_array_equal((found.counts > 0).sum(axis=-1), found.n_clusters)
    assert (found.in_use | (found.counts == 0)).all()
    np.testing.assert_allclose(np.where(found.in_use, found.params.weights, 0.0).sum(axis=-1), 1.0)
    again = np.stack([(found.labels == k).sum(axis=-1) for k in range(10)], axis=-1)
    np.testing.assert_array_equal(again, found.counts)
    assert "components" in found.table.text
    partition = found.partition(n_draws=100)
    # The three largest counts are together, and none of them with the three smallest.
    assert len(set(partition.labels[-3:])) == 1
    assert not set(partition.labels[-3:]) & set(partition.labels[:3])
    with pytest.raises(emjax.ConfigError, match="fewer draws"):
        dataclasses.replace(found, labels=None).partition()
    refined = np.quantile(found.params.rate[found.in_use], [0.1, 0.9])
    assert 0.1 < refined[0] < 2.0 < 5.0 < refined[1] < 14.0


SHORT = {"n_components": uniform(3), "chains": 2, "warmup": 620, "draws": 60, "thin": 2, "key": 1}


@pytest.fixture(scope="module")
def short():
    return telescope(emjax.Poisson(), COUNTS, prior=RATES, **SHORT)


def test_laws_that_lead_with_components_are_those_of_one(short):
    each = {"rate": emjax.laws.Gamma(np.full((3, 1), SHAPE), np.full((3, 1), RATE))}
    other = telescope(emjax.Poisson(), COUNTS[:, None], prior=each, **SHORT)
    np.testing.assert_array_equal(other.labels, short.labels)


ALPHAS = np.exp(np.linspace(-9.0, 3.5, 100))
BNB = beta_negative_binomial(most=20)
CASES = {
    "dynamic": (BNB, DynamicWeights(0.7), with_dynamic(BNB, 0.7)),
    "dynamic, concentration from a gamma law": (
        BNB,
        DynamicWeights(emjax.laws.Gamma(1.0, 2.0)),
        over_grid(ALPHAS, np.log(ALPHAS) - 2.0 * ALPHAS, lambda alpha: with_dynamic(BNB, alpha)),
    ),
    "static, concentration from an F law": (
        uniform(6),
        StaticWeights(FLaw(6.0, 3.0)),
        over_grid(
            np.exp(np.linspace(-6.0, 9.0, 150)),
            scipy.stats.f(6, 3).logpdf(np.exp(np.linspace(-6.0, 9.0, 150))) + np.linspace(-6.0, 9.0, 150),
            lambda gamma: with_static(uniform(6), gamma),
        ),
    ),
    "sparse": (fixed(10), StaticWeights(0.05), with_static(fixed(10), 0.05)),
    "geometric": (geometric(0.4, 12), StaticWeights(2.0), with_static(geometric(0.4, 12), 2.0)),
    "process": (
        None,
        StickBreaking(0.8),
        lambda sizes: np.where(np.arange(50) == 49, log_process(sizes, 0.8), -np.inf),
    ),
    "process, concentration from a gamma law": (
        30,
        StickBreaking(emjax.laws.Gamma(2.0, 2.0)),
        over_grid(
            ALPHAS,
            2.0 * np.log(ALPHAS) - 2.0 * ALPHAS,
            lambda alpha: lambda sizes: np.where(np.arange(30) == 29, log_process(sizes, alpha), -np.inf),
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_all_priors_have_the_posterior_of_all_partitions(name):
    number, weights, log_partition = CASES[name]
    settings = {**SETTINGS, "draws": 1000, "thin": 20}
    found = telescope(emjax.Poisson(), COUNTS[:, None], prior=RATES, n_components=number, weights=weights, **settings)
    of_all, of_clusters = exact(len(COUNTS), log_counts, log_partition)
    assert found.converged, found.message
    assert_equal_within_errors(found.p_clusters, of_clusters, found.p_clusters_error)
    if not isinstance(weights, StickBreaking) and name != "sparse":
        assert_equal_within_errors(found.p_components, of_all, found.p_components_error)


@pytest.mark.slow
def test_a_random_rate_of_rates_has_the_posterior_of_all_partitions():
    """``B ~ Ga(1.5, 2)`` common to all components, by a sum over a grid of it."""
    grid = np.linspace(-8.0, 4.0, 200)
    number = uniform(8)
    log_grid = 1.5 * grid - 2.0 * np.exp(grid)
    expected = exact(len(COUNTS), lambda block: log_counts(block, np.exp(grid)), with_static(number, 1.0), log_grid)
    prior = {"rate": emjax.laws.Gamma(SHAPE, emjax.laws.Gamma(1.5, 2.0))}
    found = telescope(emjax.Poisson(), COUNTS[:, None], prior=prior, n_components=number, **SETTINGS)
    assert found.converged, found.message
    assert_equal_within_errors(found.p_components, expected[0], found.p_components_error)
    assert_equal_within_errors(found.p_clusters, expected[1], found.p_clusters_error)


PLANE = np.array([[0.0, 1.0], [2.0, 5.0], [3.0, -2.0], [7.0, 0.0]])


def richardson_and_green(structure):
    """Their prior of `NUMBERS`: the default for variances, and the same law written as one of matrices."""
    length = np.ptp(NUMBERS)
    if structure == "diag":
        return None
    common = emjax.laws.Wishart(0.4, [[10.0 / length**2]])
    mean = emjax.laws.Normal((NUMBERS.max() + NUMBERS.min()) / 2.0, length)
    return {"covariance": emjax.laws.InverseWishart(4.0, common), "mean": mean}


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["diag", "full"])
def test_hierarchical_normals_have_the_posterior_of_all_partitions(structure):
    """Richardson and Green's prior: means that do not know of variances, variances that have a scale in common."""
    number = uniform(8)
    length, middle = np.ptp(NUMBERS), (NUMBERS.max() + NUMBERS.min()) / 2.0
    log_scales = np.arange(-60.0, 6.0, 0.1)
    log_grid = 0.2 * log_scales - 10.0 / length**2 * np.exp(log_scales)
    marginal = functools.partial(log_normals, length=length, middle=middle, log_scales=log_scales)
    of_all, of_clusters = exact(len(NUMBERS), marginal, with_static(number, 1.0), log_grid)
    prior, settings = richardson_and_green(structure), {**SETTINGS, "draws": 2000, "thin": 40}
    found = telescope(emjax.Normal(structure), NUMBERS[:, None], prior=prior, n_components=number, **settings)
    assert found.converged, found.message
    assert_equal_within_errors(found.p_components, of_all, found.p_components_error)
    assert_equal_within_errors(found.p_clusters, of_clusters, found.p_clusters_error)


@pytest.mark.parametrize(
    ("number", "weights"),
    [
        (uniform(5), StaticWeights(0.7)),
        (geometric(0.3, 8), DynamicWeights(1.3)),
        (fixed(6), StaticWeights(0.01)),
        (fixed(4), StickBreaking(1.5)),
    ],
)
def test_the_prior_of_clusters_is_that_of_all_partitions(number, weights):
    if isinstance(weights, StickBreaking):
        log_partition = lambda sizes: np.full(7, log_process(sizes, 1.5) - math.log(7))  # noqa: E731
    else:
        kind = with_dynamic if isinstance(weights, DynamicWeights) else with_static
        log_partition = kind(number, weights.concentration)
    _, expected = exact(6, lambda block: 0.0, log_partition)
    found = prior_of_clusters(number, weights, 6)
    if isinstance(weights, StickBreaking):
        expected = np.append(expected[:3], expected[3:].sum())  # four places: the last stands for all beyond
    np.testing.assert_allclose(found, expected[: number.most], atol=1e-12)


def test_priors_of_the_number():
    np.testing.assert_allclose(uniform(4).probabilities, 0.25)
    assert fixed(3).probabilities.tolist() == [0.0, 0.0, 1.0]
    found = beta_negative_binomial(most=2000)
    # BNB(1, 4, 3): p(1) = 4/7, and a mean of K - 1 of 1 * 3 / (4 - 1) = 1.
    assert found.probabilities[0] == pytest.approx(4.0 / 7.0, rel=1e-6)
    assert found.probabilities @ np.arange(2000) == pytest.approx(1.0, abs=1e-3)
    assert beta_negative_binomial().beyond == pytest.approx(found.probabilities[50:].sum(), rel=1e-4)
    np.testing.assert_allclose(geometric(0.4, 12).probabilities[:2], [0.4, 0.24], rtol=0.01)
    value = np.array([0.3, 2.0])
    gap = np.diff(np.asarray(FLaw(6.0, 3.0).log_prob(jnp.asarray(value))))
    np.testing.assert_allclose(gap, np.diff(scipy.stats.f(6, 3).logpdf(value)), rtol=1e-5)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("structure", ["diag", "full"])
def test_a_move_of_independent_means_and_variances_leaves_their_posterior_as_it_is(structure):
    """The moments of one component's posterior, by a sum over a grid; without data, those of its prior."""
    family = emjax.Normal(structure)
    mean_law = emjax.laws.Normal(jnp.asarray([0.5]), jnp.asarray([0.8]))
    law = (
        emjax.laws.InverseGamma(jnp.asarray(3.0), jnp.asarray(2.0))
        if structure == "diag"
        else emjax.laws.InverseWishart(jnp.asarray(6.0), jnp.asarray([[4.0]]))
    )
    site = family.structure.site
    laws = {site: law, "mean": mean_law}
    assert refuses_moves(family, laws) is None
    features = family.sufficient_statistics(Observations(jnp.asarray(NUMBERS)[None, :]))
    moments = jnp.stack([features.sum(axis=1), jnp.zeros(len(features))])
    unit = jnp.ones((2, 1)) if structure == "diag" else jnp.ones((2, 1, 1))
    mixture = emjax.Mixture(family, 2)
    first = mixture.assembled(jnp.array([0.5, 0.5]), {"mean": jnp.zeros((2, 1)), site: unit})

    @jax.jit
    def run(key):
        def step(params, key):
            statistics = family.from_moments(params, moments)
            params = mixture.assembled(
                params.weights, move_components(family, key, statistics, moments[:, 0], params, laws)
            )
            return params, (params["mean"].reshape(2), jnp.log(params[site]).reshape(2))

        return jax.lax.scan(step, first, jax.random.split(key, 20_000))[1]

    means, logs = (np.asarray(each)[100:] for each in run(jax.random.key(0)))
    mean, log = np.meshgrid(np.linspace(-4.0, 4.0, 400), np.linspace(-6.0, 6.0, 400), indexing="ij")
    height = scipy.stats.norm(0.5, 0.8).logpdf(mean) - 3.0 * log - 2.0 * np.exp(-log)
    for place in range(2):
        if place == 0:
            height_here = height + scipy.stats.norm(mean[..., None], np.exp(0.5 * log)[..., None]).logpdf(NUMBERS).sum(
                -1
            )
        else:
            height_here = height
        mass = np.exp(height_here - logsumexp(height_here))
        for drawn, at in ((means[:, place], mean), (logs[:, place], log)):
            expected = (mass * at).sum()
            deviation = math.sqrt((mass * (at - expected) ** 2).sum())
            # Draws are nearly independent: means are so given variances, and the other way round.
            assert abs(drawn.mean() - expected) < 6.0 * deviation / math.sqrt(len(drawn))
            assert drawn.std() == pytest.approx(deviation, rel=0.04)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("weights", [StaticWeights(0.8), DynamicWeights(1.5)])
def test_parameters_and_data_drawn_in_turn_have_their_prior(weights):
    """Geweke, Journal of the American Statistical Association 99, 2004: an error in any conditional would show."""
    family, number, n = emjax.Poisson(), geometric(0.4, 8), 5
    common = Common(emjax.laws.Gamma(3.0, 2.0), jnp.asarray(1.0), jnp.asarray(SHAPE), "rate", emjax.laws.Gamma)
    mixture = emjax.Mixture(family, number.most)
    plan = Plan(mixture, type(weights), n, 1, True)
    laws = {"rate": emjax.laws.Gamma(jnp.asarray(SHAPE), jnp.asarray(1.0))}

    def given(x):
        features = family.sufficient_statistics(Observations(x[None, :]))
        return Given(features, laws, (common,), jnp.asarray(number.log_probabilities), None)

    params = mixture.assembled(jnp.full(8, 1.0 / 8.0), {"rate": jnp.linspace(1.0, 6.0, 8)[:, None]})
    state = State(params, jnp.ones(8, bool), (jnp.asarray(1.5),), jnp.asarray(weights.first))

    def step(carry, key):
        state, x = carry
        sweep_key, data_key = jax.random.split(key)
        state, seen, labels = sweep(plan, sweep_key, state, given(x))
        x = family.sample(state.params, data_key, labels)[:, 0]
        return (state, x), (seen.number, seen.n_held, state.common[0], x.mean())

    chain = jax.jit(
        jax.vmap(lambda key: jax.lax.scan(step, (state, jnp.arange(5.0)), jax.random.split(key, 20_000))[1])
    )
    numbers, n_held, rate_of_rates, means = map(np.asarray, chain(jax.random.split(jax.random.key(0), 8)))
    share, clusters = (np.eye(8)[each - 1] for each in (numbers, n_held))
    for values, expected in (
        (share, number.probabilities),
        (clusters, prior_of_clusters(number, weights, n)),
        (rate_of_rates[..., None], np.array([1.5])),
        # E[SHAPE / B] with B of Gamma(3, 2) is SHAPE * 2 / (3 - 1).
        (means[..., None], np.array([SHAPE])),
    ):
        found, error = _mean(values)
        assert (error < 0.05).all()
        assert (np.abs(found - expected) < 4.0 * error + 1e-4).all()


def test_what_is_heard_changes_no_number_and_what_is_saved_comes_back(short, tmp_path, capsys):
    settings = {"prior": RATES, **SHORT}
    calls = []
    heard = telescope(emjax.Poisson(), COUNTS, **settings, on_progress=lambda *call: calls.append(call), progress=True)
    assert calls == [("warmup", 500, 650), ("warmup", 650, 650), ("draws", 100, 200), ("draws", 200, 200)]
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(heard.n_components, short.n_components)
    np.testing.assert_array_equal(heard.params.rate, short.params.rate)
    found = emjax.load(heard.save(tmp_path / "number.npz"))
    for field in dataclasses.fields(found):
        for one, other in zip(*(jax.tree.leaves(getattr(each, field.name)) for each in (heard, found)), strict=True):
            assert np.array_equal(one, other) if isinstance(one, np.ndarray) else repr(one) == repr(other)
    np.testing.assert_array_equal(found.number_prior.log_probabilities, uniform(3).log_probabilities)
    assert (found.status, str(found.table)) == (heard.status, str(heard.table))

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        telescope(emjax.Poisson(), COUNTS, **settings, on_progress=stop)


def test_what_is_no_model_of_an_unknown_number_is_refused_in_one_line():
    def refused(match, family=emjax.Poisson(), x=COUNTS[:, None], **settings):  # noqa: B008
        with pytest.raises(emjax.ConfigError, match=match) as caught:
            telescope(family, x, **settings)
        assert "\n" not in str(caught.value)

    gamma = emjax.laws.Gamma
    refused("give a family", family="poisson")
    refused("the weights have theirs", prior={"weights": emjax.laws.Dirichlet([1.0, 1.0])})
    refused("LogNormal", prior={"rate": emjax.laws.LogNormal(0.0, 1.0)})
    refused("does not integrate", prior={"rate": emjax.laws.Flat()})
    refused("tells components apart", prior={"rate": gamma(np.array([[1.0], [2.0]]), 1.0)}, n_components=2)
    refused("must be positive", prior={"rate": gamma(1.0, gamma(-1.0, 1.0))})
    refused("what may be random", prior={"rate": gamma(gamma(1.0, 1.0), 1.0)})
    wishart = functools.partial(emjax.laws.InverseWishart, 4.0)
    of_matrices = {"family": emjax.Normal(), "x": NUMBERS[:, None]}
    refused(
        "must be above 1",
        x=PLANE,
        family=emjax.Normal(),
        prior={"covariance": wishart(emjax.laws.Wishart(1.0, np.eye(2)))},
    )
    refused(
        "rate must be positive def", prior={"covariance": wishart(emjax.laws.Wishart(1.0, [[-1.0]]))}, **of_matrices
    )
    for rate in ([1.0, 2.0], [[1.0, 0.9], [0.1, 1.0]]):
        law = emjax.laws.InverseWishart(6.0, emjax.laws.Wishart(3.0, rate))
        refused("rate must be a symmetric matrix", family=emjax.Normal(), x=PLANE, prior={"covariance": law})
    refused("with a Wishart law", prior={"covariance": wishart(gamma(1.0, 1.0))}, **of_matrices)
    refused("cells are missing", x=np.array([[1.0], [np.nan], [3.0]]))
    refused("cells are missing", family=emjax.Normal(), x=np.where(PLANE == 7.0, np.nan, PLANE))
    refused("number of sticks", n_components=uniform(10), weights=StickBreaking(1.0))
    refused("give StaticWeights", weights=1.0)
    refused("draws = 10", draws=10)
    refused("no sufficient statistics|no conjugate prior", family=emjax.StudentT(), x=NUMBERS[:, None])
    for wrong in (-1.0, "a", True):
        with pytest.raises(emjax.ConfigError, match="give a positive number"):
            StaticWeights(wrong)


@pytest.mark.usefixtures("x64")
def test_the_default_prior_follows_the_units_of_the_data():
    full, large = (
        hierarchical_prior(emjax.Normal(), scale * PLANE + 7.0)["covariance"] for scale in (1.0, [10.0, 0.1])
    )
    np.testing.assert_allclose(large.scatter.mean, full.scatter.mean * np.array([[100.0, 1.0], [1.0, 0.01]]), rtol=1e-9)
    one, other = (hierarchical_prior(emjax.Normal("diag"), scale * NUMBERS[:, None] + 7.0) for scale in (1.0, 10.0))
    assert other["variance"].scale.rate == pytest.approx(one["variance"].scale.rate / 100.0)
    assert other["mean"].scale == pytest.approx(10.0 * one["mean"].scale)
    assert hierarchical_prior(emjax.Exponential(), COUNTS[:, None] + 1.0) is None


def test_chains_that_disagree_and_priors_that_end_too_early_have_a_status():
    rng = np.random.default_rng(0)

    def chains(n_held, number, share=None):
        held = np.eye(10)[n_held - 1]
        params = emjax.MixtureParams(emjax.Poisson(), {"weights": np.ones((4, 200, 10))})
        state = type("State", (), {"params": params})
        return {
            "held": held,
            "share": held if share is None else share,
            "n_held": n_held,
            "number": number,
            "counts": rng.multinomial(20, np.full(10, 0.1), size=(4, 200)),
            "state": state,
        }

    mixed = rng.integers(2, 5, (4, 200))
    apart = mixed + 3 * (np.arange(4) == 0)[:, None]
    number = beta_negative_binomial(most=10)
    assert judge(chains(mixed, mixed), number, StaticWeights()).status is PosteriorStatus.converged
    found = judge(chains(apart, apart), number, StaticWeights())
    assert found.status is PosteriorStatus.not_converged
    assert any("number of clusters" in reason for reason in found.fields["reasons"])
    at_the_end = np.tile(np.eye(10)[9] * 0.5 + 0.05, (4, 200, 1))
    found = judge(chains(mixed, mixed, at_the_end), number, StaticWeights())
    assert found.status is PosteriorStatus.unreliable
    # The uniform prior ends there by itself.
    assert judge(chains(mixed, mixed, at_the_end), uniform(10), StaticWeights()).status is PosteriorStatus.converged
    slow = np.repeat(rng.integers(2, 5, (4, 20)), 10, axis=1)
    found = judge(chains(slow, slow), number, StaticWeights())
    assert found.status is not PosteriorStatus.converged
