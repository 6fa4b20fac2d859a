"""The log score of posteriors over folds: against closed forms, and what it tells apart."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import nbinom, norm

import emjax
from emjax.selection import cross_validate_posteriors, posterior_folds

X = np.random.default_rng(3).poisson(4.0, 24).astype(float)
SHAPE, RATE = 2.0, 0.5


@pytest.fixture(scope="module")
def posterior():
    mixture = emjax.Mixture(emjax.Poisson(), 1, prior={"rate": emjax.laws.Gamma(SHAPE, RATE)})
    return emjax.sample(mixture, X, key=0, method="gibbs", chains=8, draws=500)


def test_counts_of_one_law_have_the_score_of_the_negative_binomial(posterior):
    calls = []
    found = cross_validate_posteriors(posterior, n_folds=3, key=4, on_progress=lambda *call: calls.append(call))
    assert np.bincount(found.folds).tolist() == [8, 8, 8]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    for fold in range(3):
        train, test = X[found.folds != fold], X[found.folds == fold]
        shape, rate = SHAPE + train.sum(), RATE + len(train)
        expected = nbinom.logpmf(test, shape, rate / (rate + 1.0))
        # By 4000 draws: a density's relative error is its spread over draws by the root of their number.
        np.testing.assert_allclose(found.pointwise[0][found.folds == fold], expected, atol=0.02)
    assert found.scores[0] == pytest.approx(found.pointwise[0].sum())
    assert found.standard_errors[0] == pytest.approx(np.sqrt(24) * found.pointwise[0].std(ddof=1))
    assert "posterior" in str(found)


def test_a_fold_that_may_not_be_used_is_told(posterior, monkeypatch):
    left = iter([None, posterior])
    monkeypatch.setattr(posterior_folds, "_without", lambda *given: next(left))
    found = cross_validate_posteriors({"two": posterior}, n_folds=2, key=0)
    assert list(found.n_failed) == [1]
    assert np.isnan(found.pointwise[0]).sum() == 12
    assert "1 fold without a posterior that may be used" in str(found)


@pytest.mark.slow
def test_the_better_of_two_numbers_of_components_is_told():
    x = np.random.default_rng(5).normal(size=60) + 5.0 * np.repeat([0.0, 1.0], 30)
    named = {f"{k}": emjax.sample(emjax.Mixture(emjax.Normal("tied"), k, prior="default"), x, key=k) for k in (1, 2)}
    found = cross_validate_posteriors(named, n_folds=5, key=1)
    assert list(found.order) == [1, 0]
    truth = norm.logpdf(x[:, None], [0.0, 5.0], 1.0)
    best = np.log(0.5 * np.exp(truth).sum(axis=1)).sum()
    assert best - 8.0 < found.scores[1] < best + 3.0
    difference, error = found.difference(1, 0)
    assert difference > 2.0 * error


def test_what_cannot_be_compared_is_refused_in_one_line(posterior):
    with pytest.raises(emjax.ConfigError, match="give what emjax"):
        cross_validate_posteriors(posterior.map_fit)
    with pytest.raises(emjax.ConfigError, match="n_folds = 25 is not allowed"):
        cross_validate_posteriors(posterior, n_folds=25)
    other = dataclasses.replace(posterior.map_fit, samples=posterior.map_fit.samples.take(np.arange(20)))
    with pytest.raises(emjax.ConfigError, match="different data"):
        cross_validate_posteriors({"one": posterior, "other": dataclasses.replace(posterior, map_fit=other)})
