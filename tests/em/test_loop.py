"""The loop: exact numbers of iterations, chunks, blocks, progress, precision, reproducible keys."""

import jax
import numpy as np
import pytest

import emjax
from emjax.em.loop import CHUNK

KEY = jax.random.key(0)
POISSON = emjax.Mixture(emjax.Poisson(), 2)


@pytest.fixture(scope="module")
def deaths() -> emjax.datasets.Dataset:
    return emjax.datasets.load("deaths")


@pytest.fixture(scope="module")
def faithful() -> emjax.datasets.Dataset:
    return emjax.datasets.load("faithful")


def run(x, n_iter: int, **options) -> emjax.Fit:
    return emjax.fit(POISSON, x, key=KEY, init=POISSON.params(rate=[1.0, 3.0]), max_iter=n_iter, tol=0.0, **options)


@pytest.fixture(scope="module")
def long_run(deaths) -> emjax.Fit:
    return run(deaths, CHUNK + 100)


@pytest.mark.parametrize("n_iter", [1, 31, 32, 33, CHUNK - 1, CHUNK, CHUNK + 1])
def test_exactly_so_many_iterations(deaths, long_run, n_iter: int):
    fit = run(deaths, n_iter)
    assert fit.n_iter == n_iter
    assert fit.trace.shape == (n_iter + 1,)
    assert np.isfinite(fit.trace).all()
    assert fit.trace[-1] == fit.objective
    # Where a chunk ends makes no difference: the same program makes the same steps.
    np.testing.assert_array_equal(fit.trace, long_run.trace[: n_iter + 1])


def test_a_run_can_be_continued(deaths, long_run):
    second = emjax.fit(POISSON, deaths, key=KEY, init=run(deaths, 300), max_iter=CHUNK - 200, tol=0.0)
    # The statistics at the start come from another program than those inside the loop: rounding, nothing more.
    np.testing.assert_allclose(second.trace, long_run.trace[300:], rtol=1e-14)
    np.testing.assert_allclose(second.params.rate, long_run.params.rate, rtol=1e-12)


@pytest.mark.parametrize(
    "log_every", [*(pytest.param(number, marks=pytest.mark.slow) for number in (1, 100, 300)), 7, 256, 1000]
)
def test_progress_at_exact_multiples(deaths, long_run, log_every: int):
    seen = []
    fit = run(deaths, 600, log_every=log_every, on_progress=seen.append)
    expected = list(range(log_every, 601, log_every))
    if 600 % log_every:
        expected.append(600)  # the end is told as well
    assert [progress.n_iter for progress in seen] == expected
    np.testing.assert_array_equal(fit.trace, long_run.trace[:601])
    for progress in seen:
        assert (progress.max_iter, progress.n_init) == (600, 1)
        np.testing.assert_allclose(progress.objective, fit.trace[progress.n_iter], rtol=1e-15)
    np.testing.assert_array_equal(seen[-1].params.rate, fit.params.rate)


def test_progress_without_log_every_comes_between_chunks(deaths, long_run):
    seen = []
    fit = run(deaths, CHUNK + 100, on_progress=seen.append)
    done = [progress.n_iter for progress in seen]
    # How long a chunk is depends on the clock; that it is neither longer than CHUNK nor seen in the result does not.
    assert done == sorted(set(done))
    assert done[0] <= 32
    assert max(np.diff(done)) <= CHUNK
    assert done[-1] == CHUNK + 100
    np.testing.assert_array_equal(fit.trace, long_run.trace)


def test_progress_counts_the_starts_that_still_run(faithful):
    seen = []
    mixture = emjax.Mixture(emjax.Normal(covariance="diag"), 2)
    fit = emjax.fit(mixture, faithful, key=KEY, n_init=6, log_every=2, on_progress=seen.append)
    assert fit.converged
    assert {progress.n_init for progress in seen} == {6}
    running = [progress.n_running for progress in seen]
    assert running == sorted(running, reverse=True)
    assert (running[0], running[-1]) == (6, 0)
    objectives = [progress.objective for progress in seen]
    assert objectives == sorted(objectives)
    np.testing.assert_allclose(objectives[-1], fit.objective, rtol=1e-12)
    np.testing.assert_allclose(np.sort(seen[-1].params.mean, axis=0), fit.params.mean, rtol=1e-9)


def test_the_same_key_gives_the_same_numbers(faithful):
    mixture = emjax.Mixture(emjax.Normal(covariance="diag"), 2)
    one, two, other = (emjax.fit(mixture, faithful, key=jax.random.key(seed), n_init=6) for seed in (5, 5, 6))
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.trace, two.trace)
    assert [o.count for o in one.optima] == [o.count for o in two.optima]
    assert not np.array_equal(one.trace[:1], other.trace[:1])


def test_draws_repeat_with_their_key(faithful):
    fit = emjax.fit(emjax.Mixture(emjax.Normal(covariance="diag"), 2), faithful, key=KEY, n_init=6)
    x = fit.sample(jax.random.key(1), 50)
    assert (x.shape, x.dtype) == ((50, 2), np.float64)
    np.testing.assert_array_equal(fit.sample(jax.random.key(1), 50), x)
    assert not np.array_equal(fit.sample(jax.random.key(2), 50), x)


def test_float32_agrees_with_float64(faithful):
    mixture = emjax.Mixture(emjax.Normal(), 2)
    double = emjax.fit(mixture, faithful, key=KEY, n_init=20)
    single = emjax.fit(mixture, faithful, key=KEY, n_init=20, dtype="float32")
    assert single.converged
    assert abs(single.log_likelihood - double.log_likelihood) / 272 < 1e-4
    assert abs(single.score_samples(faithful).sum() - double.log_likelihood) / 272 < 1e-4
    np.testing.assert_allclose(single.params.weights, double.params.weights, atol=1e-4)
    # It was computed in float32: the last digits differ.
    assert not np.array_equal(single.params.mean, double.params.mean)


@pytest.mark.parametrize("x64", [False, True])
def test_no_setting_of_jax_changes_and_results_are_float64(faithful, x64: bool):
    mixture = emjax.Mixture(emjax.Normal(covariance="diag"), 2)
    with jax.enable_x64(x64):
        before = dict(jax.config.values)
        fit = emjax.fit(mixture, faithful, key=KEY, n_init=6)
        fit.score_samples(faithful), fit.predict_proba(faithful), fit.sample(KEY, 3), fit.bic(faithful)
        assert dict(jax.config.values) == before
        assert jax.config.jax_enable_x64 == x64
    for leaf in jax.tree.leaves((fit.params, [optimum.params for optimum in fit.optima])):
        assert type(leaf) is np.ndarray
        assert leaf.dtype == np.float64
    for value in (fit.trace, fit.score_samples(faithful), fit.predict_proba(faithful)):
        assert type(value) is np.ndarray
        assert value.dtype == np.float64
    assert type(fit.log_likelihood) is float
    assert fit.compile_seconds >= 0
    assert fit.run_seconds > 0
    assert (fit.feature_names, fit.n_samples) == (("eruptions", "waiting"), 272)
