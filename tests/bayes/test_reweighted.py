"""The weighted likelihood bootstrap: exact where EM's answer to weights is a formula, and named as what it is."""

import jax
import numpy as np
import pytest
from scipy.stats import norm

import emjax
from emjax.bayes.diagnostics import PosteriorStatus
from emjax.bayes.reweighted import reweighted_draws, with_pseudo_rows
from emjax.em.refits import refit
from tests.priors import poisson_prior

RNG = np.random.default_rng(6)
COUNTS = RNG.poisson(4.0, 60).astype(float)
SHAPE, RATE = 30.0, 20.0


@pytest.fixture(scope="module")
def posterior():
    mixture = emjax.Mixture(emjax.Poisson(), 1, prior=poisson_prior([1.0], shape=SHAPE, rate=[RATE]))
    return emjax.sample(mixture, COUNTS, method="bootstrap", key=1, chains=2, draws=300)


def test_one_rate_has_the_moments_of_weighted_sums(posterior):
    """The MAP under weights is linear in them, and the Bayesian bootstrap's mean has variance s^2 / (n + 1)."""
    n, drawn = len(COUNTS), posterior.params.rate[:, 0]
    mean = (SHAPE - 1 + COUNTS.sum()) / (RATE + n)
    sd = n / (RATE + n) * COUNTS.std() / np.sqrt(n + 1)
    # 600 draws know a mean to 4.1% of an sd, and an sd to 2.9%.
    assert drawn.mean() == pytest.approx(mean, abs=4 * 0.041 * sd)
    assert drawn.std() == pytest.approx(sd, rel=4 * 0.029)


def test_it_says_what_it_is(posterior):
    assert posterior.status is PosteriorStatus.approximate
    assert posterior.usable
    assert not posterior.converged
    assert "0 of 600 weightings left out" in posterior.starts_note
    assert "no nearer with more draws" in posterior.message
    compared = emjax.compare(posterior.map_fit, posterior, COUNTS, loo=False)
    assert compared.verdict.value == "inconclusive"


@pytest.mark.slow
def test_counted_rows_are_as_repeated_ones():
    x, counts = np.arange(1.0, 9.0), np.array([3, 9, 14, 12, 8, 5, 2, 1])
    sds = []
    for data, weights in ((x, counts), (np.repeat(x, counts), None)):
        fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 1), data, weights=weights, key=0)
        drawn, _ = reweighted_draws(fit, 2000, np.random.default_rng(5))
        sds.append(drawn.rate.std())
    assert sds[0] == pytest.approx(sds[1], rel=6 * 0.016)


def test_components_that_are_lost_too_often_are_an_error_with_a_remedy():
    x = np.r_[norm.ppf((np.arange(40) + 0.5) / 40), 30.0, 30.1, 30.2, 30.4]
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, key=0)
    with pytest.raises(emjax.FitError, match="use a prior or fewer components"):
        # Four rows are spurious by the rule for a fit, under any weights.
        reweighted_draws(fit, 20, np.random.default_rng(0))


# -- rows from the prior


TWO = np.r_[RNG.normal(0.0, 1.0, 25), RNG.normal(5.0, 1.0, 15)]
KNOWN = np.r_[0, 0, np.full(36, np.nan), 1, 1]


@pytest.fixture(scope="module")
def two():
    mixture = emjax.Mixture(emjax.Normal(), 2, prior="default")
    return emjax.fit(mixture, TWO, weights=np.r_[np.ones(39), 3], labels=KNOWN, key=0)


def test_rows_from_the_prior_weigh_what_they_should(two):
    n, c = 42.0, 6.0
    drawn = list(with_pseudo_rows(two, 300, np.random.default_rng(3), c))
    shares = np.array([each.weights[40:].sum() / each.weights.sum() for each in drawn])
    np.testing.assert_allclose([each.weights.sum() for each in drawn], n + c)
    np.testing.assert_array_equal(drawn[0].values[:40, 0], TWO)
    # Their share is Beta(c, n).
    spread = np.sqrt(c * n / (n + c) ** 2 / (n + c + 1))
    assert shares.mean() == pytest.approx(c / (n + c), abs=4 * spread / np.sqrt(300))
    assert shares.std() == pytest.approx(spread, rel=4 / np.sqrt(600))
    last = np.mean([each.weights[39] for each in drawn])
    assert last == pytest.approx(3.0, abs=4 * np.sqrt(3.0 / 300))


def test_each_is_a_law_of_its_own(two):
    """No two of a draw share parameters, so that rows of one draw are as far apart as those of two."""
    drawn = [each.values[40:, 0] for each in with_pseudo_rows(two, 100, np.random.default_rng(4), 1.0)]
    ranks = np.argsort(np.argsort(np.concatenate(drawn))).reshape(100, -1) / (100 * len(drawn[0]))
    # Ranks of independent rows are uniform, and the means of a hundred of them as far apart as such are.
    assert ranks.mean(axis=1).std() == pytest.approx(np.sqrt(1 / 12 / 100), rel=4 / np.sqrt(200))


def test_a_draw_is_the_fit_of_data_and_rows_from_the_prior(two):
    replicates = list(with_pseudo_rows(two, 3, np.random.default_rng(5), 4.0))
    found = refit(two, replicates, weights=False, tol=1e-8)
    assert found.regular.all()
    prior = two.mixture.resolved_prior(two.samples)
    for number, rows in enumerate(replicates):
        known = np.r_[KNOWN, np.full(len(rows) - 40, np.nan)]
        mixture = emjax.Mixture(emjax.Normal(), 2, prior=prior)
        at = jax.tree.map(lambda leaf, number=number: leaf[number], found.params)
        fit = emjax.fit(mixture, rows.values, weights=rows.weights, labels=known, key=0, init=at, tol=1e-8)
        np.testing.assert_allclose(found.params.mean[number], fit.params.mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.params.covariance[number], fit.params.covariance, rtol=1e-4)
        np.testing.assert_allclose(found.params.weights[number], fit.params.weights, rtol=1e-4)


@pytest.mark.slow
def test_rows_that_weigh_nothing_change_nothing(two):
    (rows,) = with_pseudo_rows(two, 1, np.random.default_rng(6), 1e-9)
    stacked = refit(two, [rows], weights=False, tol=1e-8).params
    plain = refit(two, [rows.weights[:40]], weights=True, tol=1e-8).params
    np.testing.assert_allclose(stacked.mean, plain.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stacked.covariance, plain.covariance, rtol=1e-5)


def test_one_key_gives_the_same_draws(two):
    one, again, other = (
        reweighted_draws(two, 10, np.random.default_rng(seed), pseudo_rows=4.0)[0].mean for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).all()


@pytest.mark.slow
def test_one_rate_has_the_moments_of_sums_over_data_and_prior():
    """Linear in the weights; their moments are those of a Dirichlet law at rows of which some are random."""
    c, n_drawn, n = 20.0, 200, len(COUNTS)
    mixture = emjax.Mixture(emjax.Poisson(), 1, prior=poisson_prior([1.0], shape=SHAPE, rate=[RATE]))
    found = emjax.sample(mixture, COUNTS, key=1, method="bootstrap", chains=2, draws=300, pseudo_rows=c)
    assert "of rows from the prior that weigh 20, 0 of 600" in found.starts_note
    mu, variance, total = SHAPE / RATE, SHAPE / RATE + SHAPE / RATE**2, n + c
    mean = (COUNTS.sum() + c * mu) / total
    of_values = c**2 * variance / n_drawn / total**2
    second = ((COUNTS**2).sum() + c * (variance + mu**2)) / total
    sd = total / (RATE + total) * np.sqrt((second - mean**2 - of_values) / (total + 1) + of_values)
    rates = found.params.rate[:, 0]
    # 600 draws know a mean to 4.1% of an sd, and an sd to 2.9%.
    assert rates.mean() == pytest.approx((SHAPE - 1 + total * mean) / (RATE + total), abs=4 * 0.041 * sd)
    assert rates.std() == pytest.approx(sd, rel=4 * 0.029)


@pytest.mark.parametrize(
    ("method", "value", "expected"),
    [
        ("bootstrap", -1.0, "pseudo_rows = -1.0 is not allowed"),
        ("bootstrap", float("nan"), "pseudo_rows = nan is not allowed"),
        ("bootstrap", "many", "pseudo_rows = 'many' is not allowed"),
        ("bootstrap", 61, "give no more than the data have, 60.0"),
        ("hmc", 1.0, "pseudo_rows is for bootstrap; hmc takes no rows from the prior"),
        ("auto", 1.0, "pseudo_rows is for bootstrap"),
    ],
)
def test_what_rows_of_the_prior_cannot_weigh(method, value, expected):
    with pytest.raises(emjax.ConfigError, match=expected):
        emjax.sample(emjax.Mixture(emjax.Poisson(), 1), COUNTS, method=method, pseudo_rows=value)
