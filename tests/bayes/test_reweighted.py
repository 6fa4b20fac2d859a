"""The weighted likelihood bootstrap: exact where EM's answer to weights is a formula, and named as what it is."""

import numpy as np
import pytest

import emjax
from emjax.bayes.diagnostics import PosteriorStatus
from emjax.bayes.reweighted import reweighted_draws
from tests.priors import poisson_prior

RNG = np.random.default_rng(6)
COUNTS = RNG.poisson(4.0, 60).astype(float)
SHAPE, RATE = 30.0, 20.0


@pytest.fixture(scope="module")
def posterior():
    mixture = emjax.Mixture(emjax.Poisson(), 1, prior=poisson_prior([1.0], shape=SHAPE, rate=[RATE]))
    return emjax.sample(mixture, COUNTS, method="bootstrap", key=1, chains=2, draws=1000)


def test_one_rate_has_the_moments_of_weighted_sums(posterior):
    """The MAP under weights is linear in them, and the Bayesian bootstrap's mean has variance s^2 / (n + 1)."""
    n, drawn = len(COUNTS), posterior.params.rate[:, 0]
    mean = (SHAPE - 1 + COUNTS.sum()) / (RATE + n)
    sd = n / (RATE + n) * COUNTS.std() / np.sqrt(n + 1)
    # 2000 draws know a mean to 2% of an sd, and an sd to 1.6%.
    assert drawn.mean() == pytest.approx(mean, abs=4 * 0.022 * sd)
    assert drawn.std() == pytest.approx(sd, rel=4 * 0.016)


def test_it_says_what_it_is(posterior):
    assert posterior.status is PosteriorStatus.approximate
    assert posterior.usable
    assert not posterior.converged
    assert "0 of 2,000 weightings left out" in posterior.starts_note
    assert "no nearer with more draws" in posterior.message
    fit = emjax.fit(posterior.mixture, COUNTS, key=0)
    compared = emjax.compare(fit, posterior, COUNTS, loo=False)
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

    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), np.r_[RNG.normal(0, 1, 40), 30.0, 30.1, 30.2, 30.4], key=0)
    with pytest.raises(emjax.FitError, match="use a prior or fewer components"):
        # Four rows are spurious by the rule for a fit, under any weights.
        reweighted_draws(fit, 20, np.random.default_rng(0))
