"""Many data sets in one program: what `fit` gives for each of them, whoever else is in the batch."""

import functools

import jax
import numpy as np
import pytest

import emjax
from emjax.em import state
from emjax.em.many import fit_many
from emjax.result import Status
from emjax.uncertainty.many import intervals_many

NORMAL = emjax.Mixture(emjax.Normal(), 2)


def draws(seed: int, apart: float = 3.0, n_samples: int = 120) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 100.0 + 7.0 * (rng.normal(size=(n_samples, 1)) + apart * rng.integers(2, size=(n_samples, 1)))


def keys(number: int) -> list[jax.Array]:
    return [jax.random.key(i) for i in range(number)]


def assert_same(one: emjax.Fit, other: emjax.Fit, rtol: float = 1e-9) -> None:
    """Two fits of which the same start was kept."""
    assert (one.status, one.n_iter, one.n_evaluations) == (other.status, other.n_iter, other.n_evaluations)
    assert [o.count for o in one.optima] == [o.count for o in other.optima]
    assert [o.kind for o in one.optima] == [o.kind for o in other.optima]
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)
    assert one.trace.shape == (one.n_iter + 1,)
    np.testing.assert_allclose(one.trace, other.trace, rtol=1e-11)
    np.testing.assert_allclose(one.objective, other.objective, rtol=1e-12)
    np.testing.assert_allclose(one.rate, other.rate, rtol=1e-3)
    np.testing.assert_array_equal(one.data, other.data)
    assert (one.space, one.feature_names, one.n_samples) == (other.space, other.feature_names, other.n_samples)
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(one.params))


def assert_same_bits(one: emjax.Fit, other: emjax.Fit) -> None:
    for a, b in zip(
        jax.tree.leaves((one.params, one.trace)), jax.tree.leaves((other.params, other.trace)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@functools.cache
def hard() -> tuple[list[np.ndarray], list[emjax.Fit]]:
    """Easy and overlapping data, and data with two values, where every component collapses."""
    datasets = [draws(0), draws(1, apart=1.0), np.repeat([[1.0], [2.0]], 60, axis=0), draws(3), draws(4, apart=0.5)]
    return datasets, fit_many(NORMAL, datasets, keys=keys(5), n_init=1)


def test_each_is_what_fit_gives():
    datasets, fits = hard()
    for x, key, fit in zip(datasets, keys(5), fits, strict=True):
        assert_same(fit, emjax.fit(NORMAL, x, key=key, n_init=1))
    assert fits[2].status is Status.DEGENERATE
    assert len({fit.run_seconds for fit in fits}) == 1
    assert fits[0].run_seconds > 0


def test_the_rest_of_the_batch_changes_nothing():
    datasets, fits = hard()
    again = fit_many(NORMAL, datasets, keys=keys(5), n_init=1)
    for one, other in zip(again, fits, strict=True):
        assert_same_bits(one, other)
    for order in ([3, 4, 0, 1, 1, 3, 2, 0, 4], [4]):
        others = fit_many(NORMAL, [datasets[i] for i in order], keys=[keys(5)[i] for i in order], n_init=1)
        for i, fit in zip(order, others, strict=True):
            assert_same_bits(fit, fits[i])
    alone, *company = (intervals_many(chosen) for chosen in ([fits[0]], [fits[1], fits[0]], fits))
    for found in (company[0][1], company[1][0]):
        np.testing.assert_array_equal(found.covariance, alone[0].covariance)
        assert found.shift == alone[0].shift


@pytest.mark.slow
def test_more_starts_than_places_and_more_data_sets_than_seats(monkeypatch):
    monkeypatch.setattr("emjax.em.many._SLOTS", 2)
    datasets = [draws(seed) for seed in range(5)]
    fits = fit_many(NORMAL, datasets, keys=keys(5), n_init=7)
    for x, key, fit in zip(datasets, keys(5), fits, strict=True):
        alone = emjax.fit(NORMAL, x, key=key, n_init=7)
        # Which of the starts that ended in one optimum is kept, rounding decides; they agree to the tolerance.
        assert [(o.count, o.kind) for o in fit.optima] == [(o.count, o.kind) for o in alone.optima]
        np.testing.assert_allclose(fit.objective, alone.objective, rtol=1e-12)
        np.testing.assert_allclose(fit.params.mean, alone.params.mean, rtol=1e-6)


def test_data_that_fit_refuses_are_refused_in_their_place():
    good = hard()[0]
    datasets = [good[0], np.ones((120, 1)), np.array([[1.0], [np.inf]]), *good[1:]]
    fits = fit_many(NORMAL, datasets, keys=jax.random.split(jax.random.key(0), 7), n_init=1)
    assert [type(fit) for fit in fits] == [emjax.Fit, emjax.DataError, emjax.DataError] + [emjax.Fit] * 4
    assert "is constant" in str(fits[1])
    assert "infinite value in row 1" in str(fits[2])
    assert fit_many(NORMAL, [], keys=[]) == []
    with pytest.raises(ValueError, match="2 data sets need as many keys, not 1"):
        fit_many(NORMAL, datasets[:2], keys=keys(1))
    with pytest.raises(ValueError, match="2 data sets need as many priors, not 1"):
        fit_many(NORMAL, datasets[:2], keys=keys(2), priors=[None])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["none", "anderson"])
def test_counts_with_a_prior_of_each(method: str):
    rng = np.random.default_rng(0)
    datasets = [rng.poisson([[2.0, 5.0]], size=(90, 2)) + 4 * rng.integers(2, size=(90, 1)) for _ in range(3)]
    mixture = emjax.Mixture(emjax.Poisson(), 2, prior="default")
    options = {"n_init": 1, "accelerate": method, "max_iter": 40}
    fits = fit_many(mixture, datasets, keys=keys(3), **options)
    strong = [emjax.Mixture(emjax.Poisson(), 2).default_prior(10 * x) for x in datasets]
    others = fit_many(mixture, datasets, keys=keys(3), priors=strong, **options)
    for x, key, prior, fit, other in zip(datasets, keys(3), strong, fits, others, strict=True):
        assert_same(fit, emjax.fit(mixture, x, key=key, **options))
        assert_same(other, emjax.fit(emjax.Mixture(emjax.Poisson(), 2, prior=prior), x, key=key, **options))
        assert fit.log_prior != other.log_prior


@pytest.mark.slow
def test_float32():
    datasets = [draws(seed) for seed in range(3)]
    for x, key, fit in zip(
        datasets, keys(3), fit_many(NORMAL, datasets, keys=keys(3), n_init=1, dtype="float32"), strict=True
    ):
        alone = emjax.fit(NORMAL, x, key=key, n_init=1, dtype="float32")
        assert fit.status is alone.status
        np.testing.assert_allclose(fit.log_likelihood, alone.log_likelihood, rtol=1e-8)
        np.testing.assert_allclose(fit.params.mean, alone.params.mean, rtol=1e-5)


@pytest.mark.slow
def test_starts_that_become_imprecise_go_on_in_exact_arithmetic(monkeypatch):
    trusted = state.trusted
    datasets = [
        draws(seed, n_samples=121) for seed in range(3)
    ]  # a size of its own: programs are traced with the patch
    untouched = fit_many(NORMAL, datasets, keys=keys(3), n_init=1)

    def wide(mixture, params, data):
        natural = jax.numpy.min(params["covariance"][:, 0, 0]) > 0.4
        return natural if data.natural else trusted(mixture, params, data)

    monkeypatch.setattr(state, "trusted", wide)
    # A number of slots of its own, so that no program is found that was traced without the patch.
    monkeypatch.setattr("emjax.em.many._SLOTS", 3)
    fits = fit_many(NORMAL, datasets, keys=keys(3), n_init=1)
    for fit, plain in zip(fits, untouched, strict=True):
        assert fit.converged
        assert fit.n_evaluations > plain.n_evaluations
        assert fit.trace.shape == (fit.n_iter + 1,)
        assert fit.trace[-1] == fit.objective
        np.testing.assert_allclose(fit.objective, plain.objective, rtol=1e-10)
