"""Mixtures whose components are filled up: what their own program gives, whatever else is in the program."""

import dataclasses

import jax
import numpy as np
import pytest

import emjax
from emjax.catalogue import DEFAULT_START
from emjax.em.filled import engine_of, may_fill
from emjax.em.fit import Settings, fit_in_sweep
from emjax.em.init import pooled_start
from emjax.em.problem import prepare
from emjax.em.saddle import _rises
from emjax.em.state import Program, coordinates
from emjax.scope import computing

FAITHFUL = emjax.datasets.load("faithful")


def filled(mixture, x, *, to, n_init=4, most=0):
    samples = mixture.samples(x)
    assert may_fill(mixture.resolved(samples), samples, to, 20)
    return fit_in_sweep(mixture, samples, key=0, n_init=n_init, max_iter=10_000, tol=1e-6, filled=to, most=most)


def assert_alike(one, other):
    assert one.status is other.status
    assert [(o.kind, o.count) for o in one.optima] == [(o.kind, o.count) for o in other.optima]
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-12)
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_shared_parameters_are_those_of_the_components_that_there_are():
    mixture = emjax.Mixture(emjax.Normal("tied"), 2)
    assert_alike(filled(mixture, FAITHFUL, to=4), emjax.fit(mixture, FAITHFUL, key=0, n_init=4))


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
def test_structures(structure):
    mixture = emjax.Mixture(emjax.Normal(structure), 3)
    assert_alike(filled(mixture, FAITHFUL, to=7), emjax.fit(mixture, FAITHFUL, key=0, n_init=4))


@pytest.mark.slow
def test_collapses_end_as_they_do_alone():
    # Two values: every component of two shrinks to a point, in exact arithmetic at last.
    x = np.repeat([[1.0], [2.0]], 60, axis=0)
    mixture = emjax.Mixture(emjax.Normal(), 2)
    one, other = filled(mixture, x, to=4), emjax.fit(mixture, x, key=0, n_init=4)
    assert one.status is other.status is emjax.Status.DEGENERATE


@pytest.mark.slow
@pytest.mark.parametrize("family", ["poisson", "exponential", "bernoulli", "categorical"])
def test_families(family):
    rng = np.random.default_rng(1)
    group = np.repeat([0, 1], 80)
    x = {
        "poisson": lambda: rng.poisson(np.array([2.0, 9.0])[group][:, None], (160, 2)),
        "exponential": lambda: rng.exponential(np.array([1.0, 9.0])[group][:, None], (160, 2)),
        "bernoulli": lambda: rng.random((160, 6)) < np.array([0.2, 0.8])[group][:, None],
        "categorical": lambda: np.stack([rng.choice(3, 160, p=[0.6, 0.3, 0.1]) for _ in range(5)], axis=1),
    }[family]().astype(float)
    mixture = emjax.Mixture(emjax.families.FAMILIES[family](), 2)
    assert_alike(filled(mixture, x, to=5), emjax.fit(mixture, x, key=0, n_init=4))


def test_nothing_is_filled_up_where_that_would_cost_or_mislead():
    mixture = emjax.Mixture(emjax.Normal(), 2)
    few = mixture.samples(FAITHFUL)
    assert may_fill(mixture, few, 9, 20)
    assert not may_fill(mixture, few, 1, 20)  # fewer than there are
    assert not may_fill(dataclasses.replace(mixture, prior="default"), few, 9, 20)
    assert not may_fill(emjax.Mixture(emjax.StudentT(), 2), few, 9, 20)  # no natural form
    known = mixture.samples(FAITHFUL, labels=np.where(np.arange(272) < 9, 0, -1), n_components=1)
    assert not may_fill(mixture, known, 9, 20)
    many = mixture.samples(np.random.default_rng(0).normal(size=(20_000, 2)))
    assert not may_fill(mixture, many, 9, 20)


def filled_engine(mixture):
    """The engine of two components with room for four, the problem, and a maximum in its frame."""
    settings = Settings(8, 10_000, 1e-6, "parameters", 0.0, "auto", DEFAULT_START, "float64", 0)
    problem = prepare(mixture, mixture.samples(FAITHFUL), "float64", drawn=True, n_starts=8, filled=4)
    options = settings.options(problem.frame)
    program = Program(problem.likelihood, problem.blocks, problem.frame_prior, options, settings.method)
    maximum = mixture.to_frame(emjax.fit(mixture, FAITHFUL, key=0).params, problem.frame)
    return engine_of(problem)(program), problem, maximum


def eight(params):
    return jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * 8), params)


@pytest.mark.slow
def test_starts_are_displaced_in_coordinates_of_the_components_that_there_are():
    mixture = emjax.Mixture(emjax.Normal("EVI"), 2)
    with computing(True):
        engine, problem, maximum = filled_engine(mixture)
        own = coordinates(problem.likelihood, maximum)
        flat = np.asarray(own.flat(maximum))
        begun = engine.begin(eight(maximum))
        np.testing.assert_allclose(engine.coordinates(begun)[0], flat, atol=1e-10)
        away = 0.01 * np.random.default_rng(0).normal(size=(8, len(flat)))
        displaced = engine.ended(engine.displaced(begun, away)).params
        for i in (0, 7):
            expected = jax.tree.leaves(own.params(jax.numpy.asarray(flat + away[i])))
            for found, leaf in zip(jax.tree.leaves(displaced), expected, strict=True):
                np.testing.assert_allclose(found[i], leaf, atol=1e-10)


@pytest.mark.slow
def test_saddles_are_told_by_the_program_that_iterates():
    # Equal components rest on a saddle. Every number of components looks at such ends: none may compile for that.
    compiled: list[str] = []
    with computing(True):
        engine, problem, maximum = filled_engine(emjax.Mixture(emjax.Normal("EVI"), 2))
        engine.begin(eight(pooled_start(problem.likelihood, problem.z)))
        jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compiled.append(event))
        told = [_rises(engine, 8, params) for params in (pooled_start(problem.likelihood, problem.z), maximum)]
    assert told == [True, False]
    assert "/jax/core/compile/backend_compile_duration" not in compiled
