"""Ctrl-C ends a fit with the best so far, wherever it comes."""

import os
import signal
import threading

import jax
import numpy as np
import pytest

import emjax
from emjax.result import Status

KEY = jax.random.key(0)
POISSON = emjax.Mixture(emjax.Poisson(), 2)
START = POISSON.params(rate=[1.0, 3.0])


@pytest.fixture(scope="module")
def deaths() -> emjax.datasets.Dataset:
    return emjax.datasets.load("deaths")


def interrupt_after(n_calls: int):
    """A progress function that presses Ctrl-C in its ``n_calls``-th call."""
    calls = []

    def on_progress(progress: emjax.em.Progress) -> None:
        calls.append(progress)
        if len(calls) == n_calls:
            raise KeyboardInterrupt

    return on_progress


@pytest.mark.parametrize("method", ["none", "anderson"])
def test_the_best_so_far_is_returned(deaths, method: str):
    fit = emjax.fit(
        POISSON, deaths, key=KEY, init=START, accelerate=method, log_every=4, on_progress=interrupt_after(3)
    )
    assert fit.status is Status.INTERRUPTED
    assert not fit.converged
    assert (fit.n_iter, len(fit.trace)) == (12, 13)
    assert "init=<this fit>" in fit.message
    assert fit.trace[-1] == fit.objective
    np.testing.assert_allclose(fit.log_likelihood, fit.score_samples(deaths).sum(), rtol=1e-12)
    uninterrupted = emjax.fit(POISSON, deaths, key=KEY, init=START, accelerate=method)
    np.testing.assert_allclose(fit.trace, uninterrupted.trace[:13], rtol=1e-13)
    # And it says how to go on.
    rest = emjax.fit(POISSON, deaths, key=KEY, init=fit, accelerate=method)
    assert rest.converged
    np.testing.assert_allclose(rest.log_likelihood, uninterrupted.log_likelihood, rtol=1e-12)


def test_starts_that_were_cut_short_are_said_to_be(deaths):
    fit = emjax.fit(POISSON, deaths, key=KEY, n_init=4, log_every=2, on_progress=interrupt_after(2))
    assert fit.status is Status.INTERRUPTED
    assert sum(optimum.count for optimum in fit.optima) == 4
    assert {optimum.status for optimum in fit.optima} == {Status.INTERRUPTED}
    assert fit.objective == max(optimum.objective for optimum in fit.optima)


def test_one_unfinished_start_is_enough():
    """A start that has converged may not be the best: the others had not been given their time."""
    x = emjax.datasets.load("galaxies")
    mixture = emjax.Mixture(emjax.Normal(), 4)

    def on_progress(progress: emjax.em.Progress) -> None:
        if progress.n_running < progress.n_init:
            raise KeyboardInterrupt

    fit = emjax.fit(mixture, x, key=KEY, n_init=20, log_every=1, on_progress=on_progress)
    assert fit.status is Status.INTERRUPTED
    statuses = {optimum.status for optimum in fit.optima}
    assert Status.INTERRUPTED in statuses
    assert len(statuses) > 1


def test_an_interruption_after_the_end_changes_nothing(deaths):
    def on_progress(progress: emjax.em.Progress) -> None:
        if progress.n_running == 0:
            raise KeyboardInterrupt

    fit = emjax.fit(POISSON, deaths, key=KEY, init=START, on_progress=on_progress)
    assert fit.converged


def test_throw_raises(deaths):
    with pytest.raises(emjax.FitError, match="status interrupted"):
        emjax.fit(POISSON, deaths, key=KEY, init=START, throw=True, log_every=1, on_progress=interrupt_after(1))


def test_other_errors_are_not_swallowed(deaths):
    def on_progress(progress: emjax.em.Progress) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        emjax.fit(POISSON, deaths, key=KEY, init=START, log_every=1, on_progress=on_progress)


@pytest.mark.parametrize("method", ["none", "anderson"])
def test_a_signal_between_two_looks_of_the_host(deaths, method: str):
    """The real thing: SIGINT comes while JAX computes; a run of this many iterations would take hours."""
    timers = []

    def on_progress(progress: emjax.em.Progress) -> None:
        if not timers:
            timers.append(threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)))
            timers[0].start()

    # A run that was started in the background ignores the signal, and this test would never end.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        fit = emjax.fit(
            POISSON,
            deaths,
            key=KEY,
            init=START,
            tol=0.0,
            max_iter=10**9,
            log_every=100,
            accelerate=method,
            on_progress=on_progress,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    timers[0].join()
    assert fit.status is Status.INTERRUPTED
    assert 100 <= fit.n_iter < 10**9
    assert len(fit.trace) == fit.n_iter + 1
    assert np.isfinite(fit.trace).all()
    assert fit.trace[-1] == fit.objective
