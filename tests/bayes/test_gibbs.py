"""The Gibbs sampler against posteriors known in closed form or on a grid, and its driver: keys, progress, errors."""

import threading
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from arviz_stats.base import array_stats
from scipy.special import gammaln, logsumexp
from scipy.stats import kstest

import emjax
from emjax.bayes.gibbs import GibbsData, run_gibbs, sweep
from emjax.clock import stopwatch
from emjax.em.rows import Rows
from emjax.errors import ConfigError
from emjax.families.frame import identity_frame
from emjax.families.observations import observed
from tests.priors import normal_prior, poisson_prior

CHAINS, WARMUP, DRAWS = 4, 260, 1500
POISSON = emjax.Mixture(emjax.Poisson(), 2)
COUNTS = np.repeat([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0, 12.0], [3, 5, 7, 4, 2, 2, 1, 2, 2, 1])[:, None]
PRIOR = poisson_prior([1.5, 1.5], shape=2.0, rate=[0.5])
STARTS = POISSON.assembled(
    np.array([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9], [0.3, 0.7]]),
    {"rate": np.array([[[1.0], [8.0]], [[8.0], [1.0]], [[3.0], [3.1]], [[0.1], [20.0]]])},
)


def run(mixture=POISSON, x=COUNTS, prior=PRIOR, *, seed=0, starts=STARTS, warmup=WARMUP, draws=DRAWS, on_progress=None):
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"):
        return run_gibbs(
            mixture,
            Rows(x, identity_frame(x.shape[1]), x.dtype),
            prior,
            key=jax.random.key(seed),
            starts=starts,
            warmup=warmup,
            draws=draws,
            on_progress=on_progress,
        )


@pytest.fixture(scope="module")
def progress():
    """The calls of the callback during the run of the fixture ``poisson``."""
    return []


@pytest.fixture(scope="module")
def poisson(progress):
    def on_progress(phase, done, total, info):
        progress.append((phase, done, total, info, threading.get_ident()))

    return run(on_progress=on_progress)


# --- the right distribution


def test_the_posterior_of_two_poissons_is_that_of_a_grid(poisson):
    # Labels are exchangeable: the grid holds pairs of rates in order, and the draws are brought to that order.
    rates = np.linspace(0.02, 16.0, 160)
    shares = np.linspace(0.005, 0.995, 100)
    values, repeats = np.unique(COUNTS, return_counts=True)
    log_pmf = values * np.log(rates[:, None]) - rates[:, None] - gammaln(values + 1)
    log_density = np.log(rates) - 0.5 * rates  # Gamma(2, 0.5) without its constant
    low, high = np.triu_indices(len(rates), 1)
    joint = np.empty((len(shares), len(low)))
    for row, share in enumerate(shares):
        mixed = np.logaddexp(np.log(share) + log_pmf[low], np.log1p(-share) + log_pmf[high])
        joint[row] = mixed @ repeats + log_density[low] + log_density[high] + 0.5 * np.log(share * (1 - share))
    mass = np.exp(joint - logsumexp(joint))
    order = np.argsort(poisson.rate[..., 0], axis=-1)
    drawn = np.take_along_axis(poisson.rate[..., 0], order, -1)
    weight = np.take_along_axis(poisson.weights, order, -1)[..., 0]
    share = np.broadcast_to(shares[:, None], mass.shape)
    quantities = (
        (drawn[..., 0], np.broadcast_to(rates[low], mass.shape)),
        (drawn[..., 1], np.broadcast_to(rates[high], mass.shape)),
        (weight, share),
        (weight * drawn[..., 0] + (1 - weight) * drawn[..., 1], share * rates[low] + (1 - share) * rates[high]),
    )
    for draws, grid in quantities:
        assert array_stats.ess(draws, method="bulk") > 300
        mean = (grid * mass).sum()
        sd = np.sqrt(((grid - mean) ** 2 * mass).sum())
        assert abs(draws.mean() - mean) < 4 * array_stats.mcse(draws, method="mean")
        assert abs(draws.std() - sd) < 4 * array_stats.mcse(draws, method="sd")
        # And the shape: how often draws lie below the grid's own quartiles.
        for point in (mean - 0.7 * sd, mean + 0.7 * sd):
            below = (draws < point).astype(float)
            expected = mass[grid < point].sum()
            assert abs(below.mean() - expected) < 4 * array_stats.mcse(below, method="mean") + 0.01


def test_labels_are_in_random_order(poisson):
    ordered = poisson.rate[..., 0, 0] < poisson.rate[..., 1, 0]
    # Whatever the chains do, the order of each draw is a coin of its own.
    assert np.all(np.abs(ordered.mean(axis=1) - 0.5) < 4 * 0.5 / np.sqrt(DRAWS))
    repeats = (ordered[:, 1:] == ordered[:, :-1]).mean()
    assert abs(repeats - 0.5) < 4 * 0.5 / np.sqrt(ordered[:, 1:].size)
    np.testing.assert_allclose(poisson.weights.sum(-1), 1.0, rtol=1e-12)


def test_labels_stay_where_the_prior_tells_them_apart():
    far = np.where(np.arange(len(COUNTS)) < 12, 2.0, 90.0)[:, None]
    prior = poisson_prior([1.5, 1.6], shape=2.0, rate=[0.5])
    starts = jax.tree.map(lambda leaf: np.repeat(leaf[:1], CHAINS, axis=0), STARTS)
    drawn = run(x=far, prior=prior, starts=starts, warmup=0, draws=200)
    assert np.all(drawn.rate[..., 0, 0] < drawn.rate[..., 1, 0])
    # With labels known, weights are Dirichlet and independent from draw to draw.
    exact = scipy.stats.beta(1.5 + 12, 1.6 + len(far) - 12)
    assert kstest(drawn.weights[..., 0].ravel(), exact.cdf).pvalue > 1e-3


ONE = emjax.Mixture(emjax.Normal(), 1)
ONE_START = ONE.assembled(np.ones((2, 1)), {"mean": np.full((2, 1, 1), 0.3), "covariance": np.ones((2, 1, 1, 1))})


@pytest.mark.parametrize("width", [1.0, 1e-7], ids=["natural form", "too narrow for the natural form"])
def test_one_component_has_its_conjugate_posterior_exactly(width: float):
    x = 3.0 + width * np.random.default_rng(5).normal(size=(20, 1))
    prior = normal_prior([1.0], mean=[3.0], precision=0.5, degrees_of_freedom=4.0, scatter=[[2.0 * width**2]])
    start = jax.tree.map(np.copy, ONE_START)
    start["mean"][:] = 3.0
    start["covariance"][:] = width**2
    drawn = run(ONE, x, prior, starts=start, warmup=1, draws=1000)
    n, offset = len(x), x.mean() - 3.0
    scatter = 2.0 * width**2 + ((x - x.mean()) ** 2).sum() + 0.5 * n / (0.5 + n) * offset**2
    variance = scipy.stats.invgamma((4.0 + n) / 2, scale=scatter / 2)
    mean = scipy.stats.t(4.0 + n, (0.5 * 3.0 + n * x.mean()) / (0.5 + n), np.sqrt(scatter / (0.5 + n) / (4.0 + n)))
    assert kstest(drawn.covariance.ravel(), variance.cdf).pvalue > 1e-3
    assert kstest(drawn.mean.ravel(), mean.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(drawn.weights, 1.0)


REPLICATES = 3000


def replicate(mixture, natural, prior, params, x):
    """One sweep for each of many parameters with data of their own."""

    @jax.jit
    def all_of_them(keys, params, x, prior):
        def one(key, params, x):
            rows = observed(x)
            features = mixture.family.sufficient_statistics(rows) if natural else None
            return sweep(mixture, key, params, GibbsData(features, None if natural else rows), prior)

        return jax.vmap(one)(keys, params, x)

    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"):
        keys = jax.random.split(jax.random.key(8), REPLICATES)
        arguments = jax.tree.map(jnp.asarray, (params, x, prior))
        return jax.tree.map(np.asarray, all_of_them(keys, *arguments))


@pytest.mark.parametrize("natural", [True, False])
def test_a_sweep_keeps_the_joint_distribution_of_normals_and_data(natural: bool):
    # Parameters of the prior, data of these parameters, one sweep: the parameters must be of the prior again. Three
    # data for two components: one of these is often empty.
    rng = np.random.default_rng(11)
    mixture = emjax.Mixture(emjax.Normal(), 2)
    scatter, centre = np.array([[2.0, 0.7], [0.7, 1.0]]), np.array([1.0, -2.0])
    prior = normal_prior([2.0, 2.0], centre, precision=0.4, degrees_of_freedom=6.0, scatter=scatter)
    weights = rng.dirichlet([2.0, 2.0], REPLICATES)
    covariance = scipy.stats.invwishart(6.0, scatter).rvs(2 * REPLICATES, random_state=rng).reshape(-1, 2, 2, 2)
    roots = np.linalg.cholesky(covariance)
    mean = centre + (roots @ rng.normal(size=(REPLICATES, 2, 2, 1)))[..., 0] / np.sqrt(0.4)
    labels = (rng.random((REPLICATES, 3)) > weights[:, :1]).astype(int)
    rows = np.arange(REPLICATES)[:, None]
    x = mean[rows, labels] + (roots[rows, labels] @ rng.normal(size=(REPLICATES, 3, 2, 1)))[..., 0]
    params = mixture.assembled(weights, {"mean": mean, "covariance": covariance})
    drawn = replicate(mixture, natural, prior, params, x)
    assert kstest(drawn.weights[:, 0], scipy.stats.beta(2, 2).cdf).pvalue > 1e-3
    for feature in range(2):
        # Inverse Wishart: a variance is inverse gamma with nu - d + 1 degrees of freedom, its mean a Student t.
        rate = scatter[feature, feature]
        variance = scipy.stats.invgamma(2.5, scale=rate / 2)
        location = scipy.stats.t(5.0, centre[feature], np.sqrt(rate / 0.4 / 5.0))
        for k in range(2):
            assert kstest(drawn.covariance[:, k, feature, feature], variance.cdf).pvalue > 1e-3
            assert kstest(drawn.mean[:, k, feature], location.cdf).pvalue > 1e-3
    correlations = drawn.covariance[:, :, 0, 1] / np.sqrt(drawn.covariance[:, :, 0, 0] * drawn.covariance[:, :, 1, 1])
    before = covariance[:, :, 0, 1] / np.sqrt(covariance[:, :, 0, 0] * covariance[:, :, 1, 1])
    assert kstest(correlations.ravel(), before.ravel()).pvalue > 1e-3
    # Components are independent of each other and of the weights, and the sweep did look at the data.
    within = np.corrcoef([drawn.mean[:, 0, 0], drawn.mean[:, 1, 0], drawn.weights[:, 0]])
    assert np.abs(within - np.eye(3)).max() < 4.5 / np.sqrt(REPLICATES)
    assert np.corrcoef(drawn.mean[:, 0, 0], mean[:, 0, 0])[0, 1] > 0.3


def test_a_sweep_keeps_the_joint_distribution_of_poissons_and_data():
    rng = np.random.default_rng(12)
    prior = poisson_prior([0.7, 0.7], shape=1.3, rate=[0.4])
    weights = rng.dirichlet([0.7, 0.7], REPLICATES)
    rate = rng.gamma(1.3, 1 / 0.4, size=(REPLICATES, 2, 1))
    labels = (rng.random((REPLICATES, 3)) > weights[:, :1]).astype(int)
    x = rng.poisson(rate[np.arange(REPLICATES)[:, None], labels]).astype(float)
    drawn = replicate(POISSON, True, prior, POISSON.assembled(weights, {"rate": rate}), x)
    assert kstest(drawn.weights[:, 0], scipy.stats.beta(0.7, 0.7).cdf).pvalue > 1e-3
    for k in range(2):
        assert kstest(drawn.rate[:, k, 0], scipy.stats.gamma(1.3, scale=1 / 0.4).cdf).pvalue > 1e-3
    within = np.corrcoef([*drawn.rate[..., 0].T, drawn.weights[:, 0]])
    assert np.abs(within - np.eye(3)).max() < 4.5 / np.sqrt(REPLICATES)
    assert np.corrcoef(drawn.rate[:, 0, 0], rate[:, 0, 0])[0, 1] > 0.3


# --- the driver


def test_draws_are_arrays_of_chains_and_draws(poisson):
    assert poisson.weights.shape == (CHAINS, DRAWS, 2)
    assert poisson.rate.shape == (CHAINS, DRAWS, 2, 1)
    for leaf in jax.tree.leaves(poisson):
        assert isinstance(leaf, np.ndarray)
        assert leaf.dtype == np.float64
        assert np.isfinite(leaf).all()
    assert len(np.unique(poisson.rate)) == poisson.rate.size


def test_draws_have_the_precision_of_the_data(poisson):
    drawn = run(x=COUNTS.astype(np.float32), draws=400)
    assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {np.dtype(np.float32)}
    rate, expected = ((r.weights * r.rate[..., 0]).sum(-1) for r in (drawn, poisson))
    spread = np.hypot(array_stats.mcse(rate.astype(float), method="mean"), array_stats.mcse(expected, method="mean"))
    assert abs(rate.mean() - expected.mean()) < 4 * spread


def test_same_key_same_draws_and_nothing_compiled_anew(poisson):
    # The fixture had a callback, this run has none.
    with stopwatch() as clock:
        again = run()
    assert clock.compile_seconds == 0
    for one, other in zip(jax.tree.leaves(poisson), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.all(run(seed=1, draws=3).weights != poisson.weights[:, :3])


def test_data_and_prior_are_arguments_of_the_compiled_program(poisson):
    prior = poisson_prior([3.0, 3.0], shape=9.0, rate=[0.1])
    with stopwatch() as clock:
        other = run(x=COUNTS + 60.0, prior=prior, draws=100)
    assert clock.compile_seconds == 0
    mean = (other.weights * other.rate[..., 0]).sum(-1)
    assert abs(mean.mean() - COUNTS.mean() - 60.0) < 2.0


@pytest.mark.usefixtures("poisson")
def test_progress_of_each_chain_grows_to_its_total(progress):
    assert {call[4] for call in progress} == {threading.get_ident()}
    for chain in range(CHAINS):
        for phase, total in (("warmup", WARMUP), ("draws", DRAWS)):
            calls = [call for call in progress if call[3].chain == chain and call[0] == phase]
            done = [call[1] for call in calls]
            assert {call[2] for call in calls} == {total}
            assert len(done) > 1
            assert done == sorted(set(done))
            assert done[-1] == total
    assert progress[0][3].divergences == (0,) * CHAINS
    assert np.isnan(progress[0][3].step_size).all()


def test_an_interruption_passes_through():
    calls = []

    def on_progress(phase, done, total, info):
        calls.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(on_progress=on_progress)
    assert len(calls) == 1


class Plain(emjax.Poisson):
    """A Poisson family that does not know its conjugate law."""

    conjugate: ClassVar = {}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mixture": emjax.Mixture(Plain(), 2)}, "poisson has no conjugate prior; .* or 'nuts'"),
        ({"prior": poisson_prior(np.ones(3), shape=2.0, rate=[0.5])}, r"has shape \(3,\), but the mixture has 2"),
        ({"starts": STARTS.replace(weights=np.ones((3, 2)))}, "one chain axis of equal length"),
        ({"draws": 0}, "draws = 0 is not allowed"),
        ({"warmup": -1}, "warmup = -1 is not allowed"),
    ],
)
def test_settings_that_cannot_work(changed, message: str):
    with pytest.raises(ConfigError, match=message):
        run(**changed)


def test_labels_stay_where_rows_of_known_components_tell_them_apart():
    # They were shuffled, as if nothing were known: half of the draws had the components of the other half.
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.poisson(2.0, 15), rng.poisson(12.0, 14)]).astype(float)[:, None]
    labels = np.zeros((29, 2))
    labels[[0, 1, 2], 0] = labels[[15, 16, 17], 1] = -np.inf
    starts = jax.tree.map(lambda leaf: np.repeat(leaf[1:2], CHAINS, axis=0), STARTS)
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"):
        rows = Rows(x, identity_frame(1), x.dtype, labels=labels)
        drawn = run_gibbs(POISSON, rows, PRIOR, key=jax.random.key(0), starts=starts, warmup=50, draws=100)
    assert PRIOR.exchangeable
    assert drawn.rate[..., 0, 0].min() > 6.0
    assert drawn.rate[..., 1, 0].max() < 5.0


@pytest.mark.slow
def test_a_posterior_keeps_the_labels_of_rows_of_known_components():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.poisson(2.0, 100), rng.poisson(12.0, 100)]).astype(float)
    known = np.full(200, -1)
    known[[0, 1, 2, 100, 101, 102]] = [1, 1, 1, 0, 0, 0]
    posterior = emjax.sample(
        emjax.Mixture(emjax.Poisson(), 2, prior="default"), x, labels=known, key=0, method="gibbs", warmup=50, draws=100
    )
    rate = np.asarray(posterior.sampled["posterior"]["rate"])[..., 0]
    assert rate[..., 0].min() > 9.0
    assert rate[..., 1].max() < 5.0
