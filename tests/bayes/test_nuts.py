"""NUTS against posteriors known in closed form, and its driver: keys, callbacks, caches, errors."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from arviz_stats.base import array_stats
from numpyro.infer.util import potential_energy

import emjax
from emjax.bayes.nuts import nuts_runs
from emjax.clock import stopwatch
from emjax.errors import ConfigError

NOISE = np.array([[1.0, 0.8], [0.8, 2.0]])
WARMUP, DRAWS, CHAINS = 400, 750, 4


def conjugate(y, noise, counts):
    """A normal mean with known noise and a Poisson rate: both posteriors are known exactly."""
    mean = numpyro.sample("mean", dist.MultivariateNormal(jnp.zeros(2), 100.0 * jnp.eye(2)))
    rate = numpyro.sample("rate", dist.Gamma(2.0, 0.5))
    numpyro.deterministic("log_rate", jnp.log(rate))
    with numpyro.plate("data", y.shape[0]):
        numpyro.sample("y", dist.MultivariateNormal(mean, noise), obs=y)
        numpyro.sample("counts", dist.Poisson(rate), obs=counts)


def first_run(*program, **settings):
    return next(nuts_runs(*program, **settings))


def make_data(seed):
    generator = np.random.default_rng(seed)
    y = generator.multivariate_normal([3.0, -1.0], NOISE, size=40)
    return y, NOISE, generator.poisson(3.5, size=40)


def exact_posterior(data):
    y, noise, counts = data
    precision = np.eye(2) / 100.0 + len(y) * np.linalg.inv(noise)
    covariance = np.linalg.inv(precision)
    mean = covariance @ np.linalg.inv(noise) @ y.sum(axis=0)
    shape, rate = 2.0 + counts.sum(), 0.5 + len(counts)
    return {
        "mean": (mean, np.sqrt(np.diag(covariance))),
        "rate": (shape / rate, np.sqrt(shape) / rate),
    }


def run(data, *, seed=0, chain_method="auto", **settings):
    generator = np.random.default_rng(100 + seed)
    starts = {"mean": generator.normal(size=(CHAINS, 2)), "rate": generator.normal(1.0, 0.3, size=CHAINS)}
    options = {"warmup": WARMUP, "draws": DRAWS, "chain_method": chain_method, **settings}
    with jax.enable_x64(True):
        return first_run(conjugate, data, key=jax.random.key(seed), starts=starts, **options)


@pytest.fixture(scope="module")
def data():
    return make_data(0)


@pytest.fixture(scope="module")
def progress():
    """The calls of the callback during the run of the fixture ``parallel``."""
    return []


@pytest.fixture(scope="module")
def parallel(data, progress):
    def on_progress(phase, done, total, info):
        progress.append((phase, done, total, info, threading.get_ident()))

    return run(data, on_progress=on_progress)


@pytest.fixture(scope="module")
def vectorized(data):
    return run(data, chain_method="vectorized")


@pytest.mark.parametrize("which", ["parallel", "vectorized"])
def test_exact_posterior_within_four_standard_errors(which, data, request):
    samples = request.getfixturevalue(which).samples
    for name, (mean, sd) in exact_posterior(data).items():
        draws = np.moveaxis(samples[name], (0, 1), (-2, -1))
        assert np.all(array_stats.ess(draws) > 400), name
        assert np.all(np.abs(draws.mean((-2, -1)) - mean) < 4 * array_stats.mcse(draws, method="mean")), name
        assert np.all(np.abs(draws.std((-2, -1)) - sd) < 4 * array_stats.mcse(draws, method="sd")), name
    np.testing.assert_allclose(samples["log_rate"], np.log(samples["rate"]), rtol=1e-12)


def test_shapes_dtypes_and_statistics(parallel, data):
    shape = (CHAINS, DRAWS)
    assert parallel.samples["mean"].shape == (*shape, 2)
    assert parallel.samples["rate"].shape == shape
    assert set(parallel.unconstrained) == {"mean", "rate"}
    np.testing.assert_allclose(parallel.unconstrained["rate"], np.log(parallel.samples["rate"]), rtol=1e-12)
    stats = parallel.sample_stats
    assert {value.shape for value in stats.values()} == {shape}
    assert all(isinstance(value, np.ndarray) for value in stats.values())
    assert parallel.samples["mean"].dtype == stats["lp"].dtype == np.float64
    assert stats["diverging"].dtype == bool
    np.testing.assert_array_equal(2 ** (stats["tree_depth"] - 1) <= stats["n_steps"], True)
    np.testing.assert_array_equal(stats["n_steps"] < 2 ** stats["tree_depth"], True)
    # The step size is frozen after the warm-up.
    np.testing.assert_array_equal(stats["step_size"], np.broadcast_to(parallel.step_size[:, None], shape))
    assert parallel.inverse_mass_matrix.shape == (CHAINS, 3, 3)
    assert parallel.n_gradients > stats["n_steps"].sum()
    assert 0.7 < stats["acceptance_rate"].mean() < 0.98


def test_lp_is_the_log_joint_density_in_the_unconstrained_space(parallel, data):
    with jax.enable_x64(True):
        for chain, draw in [(0, 0), (3, DRAWS - 1)]:
            position = {name: value[chain, draw] for name, value in parallel.unconstrained.items()}
            expected = -potential_energy(conjugate, data, {}, position)
            assert parallel.sample_stats["lp"][chain, draw] == pytest.approx(float(expected), rel=1e-12)


def test_same_key_same_draws_and_another_key_others(parallel, data):
    # The fixture had a callback, this run has none: chunks and threads do not matter.
    again = run(data)
    for name, value in parallel.samples.items():
        np.testing.assert_array_equal(value, again.samples[name])
    other = run(data, seed=1)
    assert np.all(other.samples["rate"] != parallel.samples["rate"])


def test_further_runs_go_on_where_the_chains_are(data):
    starts = {"mean": np.zeros((2, 2)), "rate": np.ones(2)}
    settings = {"key": jax.random.key(3), "starts": starts, "warmup": 50}
    with jax.enable_x64(True):
        first, second = nuts_runs(conjugate, data, draws=30, thinning=(1, 2), **settings)
        whole = first_run(conjugate, data, draws=90, **settings)
    for name, value in whole.unconstrained.items():
        np.testing.assert_array_equal(first.unconstrained[name], value[:, :30])
        np.testing.assert_array_equal(second.unconstrained[name], value[:, 31::2])
    assert second.n_gradients == whole.n_gradients


def test_equal_shapes_compile_once_and_data_are_arguments(parallel, data):
    other = make_data(1)
    with stopwatch() as clock:
        result = run(other, seed=0)
    assert clock.compile_seconds == 0
    mean, _ = exact_posterior(other)["mean"]
    draws = np.moveaxis(result.samples["mean"], 2, 0)
    assert np.all(np.abs(draws.mean((1, 2)) - mean) < 4 * array_stats.mcse(draws, method="mean"))
    # The first means of the two data sets lie far apart, so data baked into the program would show.
    assert abs(result.samples["mean"][..., 0].mean() - parallel.samples["mean"][..., 0].mean()) > 0.2


@pytest.mark.usefixtures("parallel")
def test_progress_of_each_chain_grows_to_its_total(progress):
    assert {call[4] for call in progress} == {threading.get_ident()}
    for chain in range(CHAINS):
        calls = [call for call in progress if call[3].chain == chain]
        for phase, total in (("warmup", WARMUP), ("draws", DRAWS)):
            done = [call[1] for call in calls if call[0] == phase]
            assert {call[2] for call in calls if call[0] == phase} == {total}
            assert len(done) > 3
            assert np.all(np.diff(done) > 0)
            assert done[-1] == total
        info = calls[-1][3]
        assert len(info.divergences) == CHAINS
        assert info.step_size[chain] > 0


@pytest.mark.parametrize("chain_method", ["parallel", "vectorized"])
@pytest.mark.usefixtures("parallel", "vectorized")
def test_an_interrupt_passes_through_and_leaves_no_thread(data, chain_method):
    calls = []

    def on_progress(phase, done, total, info):
        calls.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, chain_method=chain_method, on_progress=on_progress)
    assert len(calls) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("emjax-nuts")]


def scalar_normal():
    numpyro.sample("x", dist.Normal(1.0, 2.0))


def test_single_precision_diagonal_mass_and_no_warmup():
    result = first_run(
        scalar_normal,
        key=jax.random.key(0),
        starts={"x": np.zeros(2)},
        inverse_mass_matrix=np.array([[4.0]]),
        step_size=1.0,
        warmup=0,
        draws=333,
        dense_mass=False,
    )
    draws = result.samples["x"]
    assert draws.shape == (2, 333)
    assert draws.dtype == np.float32
    np.testing.assert_array_equal(result.inverse_mass_matrix, np.full((2, 1), 4.0))
    np.testing.assert_array_equal(result.step_size, 1.0)
    assert array_stats.ess(draws) > 100
    assert abs(draws.mean() - 1.0) < 4 * array_stats.mcse(draws.astype(float), method="mean")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draws": 0}, "draws"),
        ({"warmup": -1}, "warmup"),
        ({"target_accept_prob": 1.0}, "target_accept_prob"),
        ({"max_tree_depth": 0}, "max_tree_depth"),
        ({"chain_method": "both"}, "chain_method"),
        ({"starts": {"x": 0.0}}, "chain axis"),
        ({"starts": {}}, "chain axis"),
        ({"starts": {"x": np.array([0.0, np.inf])}}, "chain 1 starts where"),
    ],
)
def test_errors_name_the_setting_in_one_line(settings, message):
    options = {"starts": {"x": np.zeros(2)}, "warmup": 10, "draws": 10, **settings}
    with pytest.raises(ConfigError, match=message) as caught:
        first_run(scalar_normal, key=jax.random.key(0), **options)
    assert "\n" not in str(caught.value)


# No one of 30 under a uniform law: at zero, EM's mode, the Laplace approximation reaches beyond all numbers.
ON_A_BORDER = np.column_stack([np.zeros(30), np.arange(30) % 2])
UNIFORM = emjax.Mixture(emjax.Bernoulli(), 1, {"probability": emjax.laws.Beta(1.0, 1.0)})


def test_a_mode_on_a_border_has_no_metric(monkeypatch):
    given = []

    def listen(*_, inverse_mass_matrix, starts, **settings):
        given.append((inverse_mass_matrix, starts))
        raise KeyboardInterrupt

    monkeypatch.setattr("emjax.bayes.nuts.nuts_runs", listen)
    with pytest.raises(KeyboardInterrupt):
        emjax.sample(UNIFORM, ON_A_BORDER, key=0, method="nuts", chains=2, warmup=300, draws=400)
    ((metric, starts),) = given
    assert metric is None
    assert all(np.isfinite(value).all() for value in starts.values())


@pytest.mark.slow
def test_a_mode_on_a_border_has_chains_all_the_same():
    found = emjax.sample(UNIFORM, ON_A_BORDER, key=0, method="nuts", chains=2, warmup=300, draws=400)
    expected = scipy.stats.beta([1.0, 16.0], [31.0, 16.0])
    np.testing.assert_allclose(found.params.probability[:, 0].mean(axis=0), expected.mean(), rtol=0.2)
    np.testing.assert_allclose(found.params.probability[:, 0].std(axis=0), expected.std(), rtol=0.25)
