"""The host's side of the loop: batches that shrink, exact arithmetic where it is needed, chunks that fit the clock."""

import contextlib
import functools
import types

import jax
import numpy as np
import pytest

import emjax
from emjax.em import accelerate, lanes, state
from emjax.em.lanes import Batch, Runner
from emjax.em.loop import CHUNK
from emjax.result import Status

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def galaxies() -> emjax.datasets.Dataset:
    return emjax.datasets.load("galaxies")


def ask_often(monkeypatch, n_steps: int) -> None:
    """Whether a smaller batch pays is asked after every ``n_steps`` E-steps."""
    monkeypatch.setattr(lanes, "_FIRST_STEPS", n_steps)
    monkeypatch.setattr(lanes, "_FEWEST_STEPS", n_steps)
    monkeypatch.setattr(lanes, "_ASKED_SECONDS", 1e-9)


@pytest.mark.parametrize("method", [pytest.param("none", marks=pytest.mark.slow), "anderson"])
def test_shrinking_batches_change_nothing(galaxies, monkeypatch, method: str):
    mixture = emjax.Mixture(emjax.Normal(), 3)
    sizes, fits = [], []
    gather = Runner._gather
    monkeypatch.setattr(Runner, "_gather", lambda self, places: sizes.append(len(places)) or gather(self, places))
    ask_often(monkeypatch, 1)
    for pays in (False, True):
        monkeypatch.setattr(Runner, "_pays", lambda self, batch, size, pays=pays: pays and 2 * size <= len(batch.lanes))
        fits.append(emjax.fit(mixture, galaxies, key=KEY, n_init=6, accelerate=method))
    whole, shrunk = fits
    assert len(sizes) >= 2
    assert sizes == sorted(sizes, reverse=True)
    assert [o.count for o in shrunk.optima] == [o.count for o in whole.optima]
    assert [o.status for o in shrunk.optima] == [o.status for o in whole.optima]
    assert (shrunk.n_iter, shrunk.n_evaluations) == (whole.n_iter, whole.n_evaluations)
    # Matrix products of another size may add up in another order: a few units in the last place.
    np.testing.assert_allclose(shrunk.trace, whole.trace, rtol=1e-13)
    for a, b in zip(jax.tree.leaves(shrunk.params), jax.tree.leaves(whole.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    np.testing.assert_allclose(
        [o.log_likelihood for o in shrunk.optima], [o.log_likelihood for o in whole.optima], rtol=1e-12
    )


def test_a_smaller_batch_must_save_its_compilation(galaxies, monkeypatch):
    runners = []
    begin = Runner.run
    monkeypatch.setattr(Runner, "run", lambda self, **options: runners.append(self) or begin(self, **options))
    emjax.fit(emjax.Mixture(emjax.Normal(), 3), galaxies, key=KEY, n_init=6)
    (runner,) = runners

    def batch(seconds: float) -> Batch:
        return Batch(state=None, lanes=np.arange(16), n_steps=round(seconds / runner._nominal_seconds(16)))

    assert not runner._pays(batch(seconds=100.0), 16)
    assert not runner._pays(batch(seconds=1.3), 4)  # a batch a quarter as large would have saved 0.98 s
    assert runner._pays(batch(seconds=1.4), 4)


def test_no_clock_decides_on_the_bits(galaxies, monkeypatch):
    """A slow machine and a fast one, and one that has compiled all programs before, gather the same starts."""
    gathered, gather = [], Runner._gather
    monkeypatch.setattr(Runner, "_gather", lambda self, places: gathered[-1].append(places) or gather(self, places))
    monkeypatch.setattr(lanes, "_COMPILE_SECONDS", 1e-3)  # so that small data do
    ask_often(monkeypatch, 8)
    clock, ends = lanes.stopwatch, []

    @contextlib.contextmanager
    def other_clock(seconds: float):
        with clock():
            yield types.SimpleNamespace(run_seconds=seconds, compile_seconds=1.0)

    for seconds in (30.0, 1e-7, 1.0):
        monkeypatch.setattr(lanes, "stopwatch", functools.partial(other_clock, seconds))
        gathered.append([])
        ends.append(emjax.fit(emjax.Mixture(emjax.Normal(), 4), galaxies, key=KEY, n_init=12))
    assert len(gathered[0]) >= 2
    for other, end in zip(gathered[1:], ends[1:], strict=True):
        assert [places.tolist() for places in other] == [places.tolist() for places in gathered[0]]
        for one, another in zip(jax.tree.leaves(ends[0].params), jax.tree.leaves(end.params), strict=True):
            np.testing.assert_array_equal(one, another)
        np.testing.assert_array_equal(end.trace, ends[0].trace)


def test_chunks_are_what_half_a_second_allows(monkeypatch):
    x = emjax.datasets.load("faithful")
    limits = []
    advance = lanes.Plain.advance
    monkeypatch.setattr(
        lanes.Plain, "advance", lambda self, s, until, limit: limits.append(limit) or advance(self, s, until, limit)
    )
    mixture = emjax.Mixture(emjax.Normal(), 2)
    emjax.fit(mixture, x, key=KEY, n_init=2, tol=0.0, max_iter=40)
    assert 1 <= limits[0] <= 32
    assert all(1 <= limit <= CHUNK for limit in limits)
    assert len(limits) < 10
    monkeypatch.setattr(lanes, "_SECONDS", 1e-9)
    del limits[:]
    emjax.fit(mixture, x, key=KEY, n_init=2, tol=0.0, max_iter=40)
    assert limits == [1] * 40


@pytest.mark.slow
def test_a_batch_that_shrinks_keeps_the_starts_that_wait_for_exact_arithmetic(monkeypatch):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=300), 2.0 + 1e-6 * rng.normal(size=60)])
    mixture = emjax.Mixture(emjax.Normal(), 2)

    def ends() -> list[tuple[str, int]]:
        fit = emjax.fit(mixture, x, key=jax.random.key(1))
        return [(optimum.status.value, optimum.count) for optimum in fit.optima]

    untouched = ends()
    assert {status for status, _ in untouched} == {"degenerate"}
    # Shrinks whenever it can, and looks often.
    monkeypatch.setattr(lanes.Runner, "_pays", lambda self, batch, size: 0 < 2 * size <= len(batch.lanes))
    ask_often(monkeypatch, 4)
    assert ends() == untouched


@pytest.mark.slow
@pytest.mark.parametrize("method", ["none", "anderson"])
def test_starts_that_become_imprecise_go_on_in_exact_arithmetic(monkeypatch, method: str):
    x = np.asarray(emjax.datasets.load("faithful"))[:261]  # a size of its own: programs are traced with the patch
    mixture = emjax.Mixture(emjax.Normal(), 2)
    untouched = emjax.fit(mixture, x, key=KEY, n_init=4, accelerate=method)
    assert untouched.converged
    jax.clear_caches()
    trusted = state.trusted
    with monkeypatch.context() as patched:
        # As if the natural form were good for nothing once a component is narrower than the data.
        patched.setattr(
            state,
            "trusted",
            lambda mixture, params, data: (
                trusted(mixture, params, data)
                if not data.natural
                else jax.numpy.min(params["covariance"][:, 0, 0]) > 0.2
            ),
        )
        fit = emjax.fit(mixture, x, key=KEY, n_init=4, accelerate=method)
    jax.clear_caches()
    assert fit.converged
    assert [o.count for o in fit.optima] == [o.count for o in untouched.optima]
    np.testing.assert_allclose(fit.log_likelihood, untouched.log_likelihood, rtol=1e-10)
    assert len(fit.trace) == fit.n_iter + 1
    assert fit.trace[-1] == fit.objective
    assert np.diff(fit.trace).min() > -1e-9


@pytest.mark.slow
def test_a_few_starts_in_exact_arithmetic_are_not_worth_much_compiling(monkeypatch):
    # A component of four starts in twenty shrinks to twelve equal numbers.
    drawn = np.random.default_rng(0).normal(size=716)[630:]
    x = np.concatenate([drawn[:56], drawn[56:] + 6.0, [0.5] * 12])
    mixture = emjax.Mixture(emjax.Normal(), 3)
    calls, brief = [], accelerate._trips_in_brief

    def counted(*given):
        calls.append(given[3].natural)
        return brief(*given)

    monkeypatch.setattr(accelerate, "_trips_in_brief", counted)
    fit = emjax.fit(mixture, x, key=KEY, n_init=20)
    assert fit.converged
    assert Status.DEGENERATE in {optimum.status for optimum in fit.optima}
    assert calls
    assert not any(calls)
    # What runs longer than that goes on in a program that is worth its compilation.
    calls.clear()
    monkeypatch.setattr(accelerate, "_BRIEF", 1)
    again = emjax.fit(mixture, x, key=KEY, n_init=20)
    assert len(calls) == 1
    assert [(o.status, o.count) for o in again.optima] == [(o.status, o.count) for o in fit.optima]


@pytest.mark.slow
def test_what_exact_arithmetic_does_not_help_is_said(monkeypatch):
    x = np.asarray(emjax.datasets.load("faithful"))[:262]
    mixture = emjax.Mixture(emjax.Normal(), 2)
    with monkeypatch.context() as patched:
        patched.setattr(
            state,
            "trusted",
            lambda mixture, params, data: jax.numpy.min(params["covariance"][:, 0, 0]) > 0.2,
        )
        fit = emjax.fit(mixture, x, key=KEY, n_init=4)
    jax.clear_caches()
    assert fit.status is Status.PRECISION
    assert not fit.converged
    assert "use float64" in fit.message
    assert np.isfinite(fit.objective)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit.params))
