"""Where the likelihood has no bound, ends are spurious or collapsed; where it has one, none is thrown away."""

import math
from fractions import Fraction

import jax
import numpy as np
import pytest
from scipy import stats

import emjax
from emjax.result import Status

KEY = jax.random.key(0)


def apart(*log_likelihoods: float, sizes: list[int]) -> float:
    """The log-likelihood of a mixture of components that share no row, each at its own maximum."""
    sizes = np.asarray(sizes)
    return float(np.sum(log_likelihoods) + np.sum(sizes * np.log(sizes / sizes.sum())))


def normal_maximum(x: np.ndarray) -> float:
    return float(stats.norm.logpdf(x, x.mean(), x.std()).sum())


def test_one_row_is_a_component_of_counts():
    rng = np.random.default_rng(0)
    x = np.r_[rng.poisson(20, 300), rng.poisson(60, 300), 8000]
    expected = apart(
        stats.poisson.logpmf(x[:-1], x[:-1].mean()).sum(), stats.poisson.logpmf(8000, 8000), sizes=[600, 1]
    )
    for seed in range(3):
        fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), x, key=jax.random.key(seed))
        assert fit.converged
        assert not fit.optima[0].spurious
        assert fit.log_likelihood >= expected - 1e-6
        assert fit.log_likelihood == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_tied_covariances_have_no_spurious_optima():
    x = emjax.datasets.load("galaxies")
    for seed in range(3):
        fit = emjax.fit(emjax.Mixture(emjax.Normal(covariance="tied"), 5), x, key=jax.random.key(seed))
        # Published: a component on 2.02 points.
        assert fit.log_likelihood == pytest.approx(-204.6054, abs=1e-4)
        assert not any(optimum.spurious for optimum in fit.optima)


@pytest.mark.slow
@pytest.mark.parametrize("covariance", ["spherical", "diag"])
def test_a_small_cluster_of_many_features_is_kept(covariance):
    rng = np.random.default_rng(1)
    centres = 3.0 * rng.normal(size=(3, 50))
    parts = [rng.normal(c, s, (n, 50)) for c, s, n in zip(centres, (1.0, 1.0, 0.2), (300, 300, 40), strict=True)]
    if covariance == "spherical":
        maxima = [stats.norm.logpdf(p - p.mean(axis=0), 0.0, (p - p.mean(axis=0)).std()).sum() for p in parts]
    else:
        maxima = [stats.norm.logpdf(p, p.mean(axis=0), p.std(axis=0)).sum() for p in parts]
    fit = emjax.fit(emjax.Mixture(emjax.Normal(covariance=covariance), 3), np.concatenate(parts), key=KEY)
    assert fit.log_likelihood == pytest.approx(apart(*maxima, sizes=[300, 300, 40]), rel=1e-9)
    assert not fit.optima[0].spurious


@pytest.mark.slow
def test_a_few_rows_close_together_are_spurious():
    x = np.sort(np.asarray(emjax.datasets.load("galaxies"))[:, 0])
    triple = int(np.argmin(x[2:] - x[:-2]))
    mixture = emjax.Mixture(emjax.Normal(), 6)
    start = mixture.params(
        weights=np.array([7, 28, 24, 3, 17, 3]) / 82,
        mean=[9.7, 19.9, 22.9, x[triple : triple + 3].mean(), 24.0, 33.0],
        scale=[0.4, 0.7, 1.0, 0.03, 3.0, 1.0],
    )
    fit = emjax.fit(mixture, x, key=KEY, init=start)
    smallest = fit.params.scale.min() ** 2 / x.var()
    assert fit.converged
    assert smallest < 1e-4
    assert 2.5 < fit.optima[0].effective_counts.min() < 4.0
    assert fit.optima[0].spurious
    assert "few points" in fit.message


def test_near_singular_components_are_never_kept_before_regular_ones():
    x = emjax.datasets.load("galaxies")
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 6), x, key=KEY, n_init=40)
    assert fit.optima[0].kind == "regular"
    assert fit.params.scale.min() ** 2 > 1e-3 * np.asarray(x).var()
    assert "nats higher, but with a nearly singular component on few points" in fit.message


@pytest.mark.slow
@pytest.mark.parametrize("sd", [60.0, 0.01])
def test_two_bursts_of_unix_times(sd):
    rng = np.random.default_rng(2)
    bursts = [t + sd * rng.normal(size=400) for t in (1.6e9, 1.7e9)]
    expected = apart(*map(normal_maximum, bursts), sizes=[400, 400])
    for seed in range(2):
        fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), np.concatenate(bursts), key=jax.random.key(seed))
        assert fit.converged
        assert fit.log_likelihood == pytest.approx(expected, rel=1e-7)
        np.testing.assert_allclose(fit.params.scale.ravel(), [b.std() for b in bursts], rtol=1e-4)
        # Both components at the middle are a point of rest, and no maximum.
        assert {optimum.status for optimum in fit.optima[1:]} <= {Status.SADDLE}
        assert len(fit.optima) == 2


@pytest.mark.parametrize("covariance", ["full", pytest.param("tied", marks=pytest.mark.slow)])
def test_a_correlation_near_one_is_no_collapse(covariance):
    rng = np.random.default_rng(3)
    first, correlation = rng.normal(size=500), 1.0 - 5e-13
    x = np.c_[first, correlation * first + math.sqrt(1.0 - correlation**2) * rng.normal(size=500)]
    centred = [[Fraction(value) - sum(map(Fraction, column)) / 500 for value in column] for column in x.T]
    (a, b), (_, c) = ([sum(map(Fraction.__mul__, u, v)) / 500 for v in centred] for u in centred)
    exact = -500.0 * (math.log(2.0 * math.pi) + 0.5 * math.log(a * c - b * b) + 1.0)
    fit = emjax.fit(emjax.Mixture(emjax.Normal(covariance=covariance), 1), x, key=KEY, n_init=1)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(exact, abs=1e-3)


def test_a_part_of_a_group_is_spurious_where_its_rows_hardly_outnumber_the_features():
    rng = np.random.default_rng(6)
    means = rng.normal(size=(3, 50))
    labels = np.repeat(np.arange(3), 150)
    x = means[labels] + rng.normal(size=(450, 50))
    mixture = emjax.Mixture(emjax.Normal(), 3)

    def kind(partition: np.ndarray) -> str:
        fit = emjax.fit(mixture, x, key=KEY, init=np.eye(3)[partition], max_iter=200)
        assert fit.converged
        np.testing.assert_allclose(fit.optima[0].effective_counts, np.bincount(partition), atol=1.0)
        return fit.optima[0].kind

    assert kind(labels) == "regular"
    # 65 rows of one group have next to no variance in some of 50 directions, whatever groups there are.
    assert kind(np.repeat([0, 1, 2], [65, 85, 300])) == "spurious"


def test_clusters_far_apart_are_regular_however_narrow_they_are_beside_the_data():
    rng = np.random.default_rng(4)
    parts = [1e4 * k + rng.normal(size=4) for k in range(3)]
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 3), np.concatenate(parts), key=KEY)
    assert fit.optima[0].kind == "regular"
    assert fit.log_likelihood == pytest.approx(apart(*map(normal_maximum, parts), sizes=[4, 4, 4]), abs=1e-6)


@pytest.mark.slow
def test_a_prior_bounds_the_objective():
    x = emjax.datasets.load("galaxies")
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 5, prior="default"), x, key=KEY)
    assert fit.converged
    assert not any(optimum.spurious for optimum in fit.optima if (optimum.effective_counts > 0.1).all())


def test_equal_rows_are_a_collapse_and_a_few_rounded_values_are_none():
    rng = np.random.default_rng(5)
    rest = rng.normal(8.0, 1.0, 90)
    mixture = emjax.Mixture(emjax.Normal(), 2)
    assert emjax.fit(mixture, np.r_[np.full(30, 1.0), rest], key=KEY, init=[1.0, 8.0]).status is Status.DEGENERATE
    close = np.r_[np.tile([1.0, 1.0 + 1e-7, 1.0 + 3e-7], 10), rest]
    fit = emjax.fit(mixture, close, key=KEY, init=[1.0, 8.0])
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(apart(normal_maximum(close[:30]), normal_maximum(rest), sizes=[30, 90]))
