"""Cross-validation, the bootstrap of a choice, and the bootstrap likelihood-ratio test."""

import dataclasses
import functools
import math

import numpy as np
import pytest
from scipy.stats import beta, ks_2samp, norm

import emjax
from emjax.result import Status
from emjax.samples import as_samples
from emjax.selection import bootstrap_picks, bootstrap_test, cross_validate
from emjax.selection.likelihood_ratio import clopper_pearson, splits
from emjax.selection.resampling import _drawn, near_the_top
from emjax.selection.selection import Selection

X = np.random.default_rng(5).normal(size=60) + 5.0 * np.repeat([0.0, 1.0], 30)


@functools.cache
def swept() -> Selection:
    return emjax.select(X, family=emjax.Normal("tied"), n_components=[1, 2], key=0, n_init=2)


@functools.cache
def validated():
    return cross_validate(swept(), n_folds=3, key=4, n_init=1)


def test_each_row_is_predicted_by_the_others():
    found = validated()
    assert np.bincount(found.folds).tolist() == [20, 20, 20]
    for fold in range(3):
        train, test = X[found.folds != fold], X[found.folds == fold]
        expected = norm.logpdf(test, train.mean(), train.std())
        np.testing.assert_allclose(found.pointwise[0][found.folds == fold], expected, rtol=1e-6)
    # Two components against one: the sum of differences and its error, by hand.
    apart = found.pointwise[1] - found.pointwise[0]
    difference, error = found.difference(1, 0)
    assert difference == pytest.approx(apart.sum())
    assert error == pytest.approx(math.sqrt(60) * apart.std(ddof=1))
    assert found.scores[1] > found.scores[0]


def test_the_table_of_scores():
    found = validated()
    frame = found.to_frame()
    assert list(frame["n_components"]) == [2, 1]
    assert frame["difference"][1] == pytest.approx(found.difference(0, 1)[0])
    assert "higher the better" in str(found)
    failed = dataclasses.replace(found, pointwise=np.stack([found.pointwise[0], np.full(60, np.nan)]), n_failed=[0, 3])
    assert list(failed.order) == [0]
    assert "3 folds without a fit" in str(failed)
    assert list(failed.to_frame()["n_components"]) == [1, 2]


def test_rows_that_count_several_times_are_drawn_as_often():
    samples = as_samples(np.array([1.0, 2.0, 3.0]), weights=[50, 30, 20])
    drawn = _drawn(samples, np.random.default_rng(0))
    assert drawn.n_samples == 100
    # A hundred rows, half of them the first: a standard error of 5.
    assert abs((drawn.values == 1.0).sum() - 50) < 20
    fractions = as_samples(np.array([1.0, 2.0, 3.0]), weights=[0.5, 0.3, 0.2])
    assert _drawn(fractions, np.random.default_rng(0)).n_samples == 3


def test_picks_over_bootstrap_samples():
    found = bootstrap_picks(swept(), n_replicates=12, near=1000.0, key=3, n_init=1)
    assert found.n_failed.sum() == 0
    for name in ("bic", "icl", "aic", "aicc"):
        assert found.shares(name).sum() == pytest.approx(1.0)
    # Two groups so far apart are two to every criterion.
    assert found.shares("bic")[1] >= 0.9
    assert "Of 12 bootstrap samples; 0 models far from the top left out." in str(found)
    assert list(found.to_frame()["n_components"]) == [1, 2]
    again = bootstrap_picks(swept(), n_replicates=12, near=1000.0, key=3, n_init=1)
    np.testing.assert_array_equal(found.picked["icl"], again.picked["icl"])


def test_models_far_from_the_top_are_left_out():
    assert [each.n_components for each in near_the_top(swept(), 1.0)] == [2]
    assert [each.n_components for each in near_the_top(swept(), 1e4)] == [1, 2]
    fit = dataclasses.replace(swept().candidates[0].fit, status=Status.DEGENERATE)
    bad = Selection((dataclasses.replace(swept().candidates[0], fit=fit),), "bic", key=0)
    with pytest.raises(emjax.ConfigError, match="nothing to refit"):
        bootstrap_picks(bad)
    with pytest.raises(emjax.ConfigError, match="nothing to cross-validate"):
        cross_validate(bad)
    with pytest.raises(emjax.ConfigError, match="n_folds = 61"):
        cross_validate(swept(), n_folds=61)


def test_the_interval_of_a_p_value():
    # Clopper and Pearson's is the beta distribution's.
    lower, upper = clopper_pearson(3, 40, 0.95)
    assert (lower, upper) == pytest.approx((beta.ppf(0.025, 3, 38), beta.ppf(0.975, 4, 37)))
    assert clopper_pearson(0, 40, 0.95)[0] == 0.0
    assert clopper_pearson(40, 40, 0.95)[1] == 1.0


def test_splits_are_starts_of_more_components():
    fit = swept().candidates[1].fit
    starts = splits(fit, 4)
    assert len({tuple(np.asarray(start["mean"]).ravel()) for start in starts}) > 1
    for start in starts:
        assert start["mean"].shape == (4, 1)
        assert start.weights.sum() == pytest.approx(1.0)
        assert np.isfinite(start["covariance"]).all()


def test_what_cannot_be_tested():
    fit = swept().candidates[1].fit
    with pytest.raises(emjax.ConfigError, match="more than the fit's 2"):
        bootstrap_test(fit, n_components=2)
    with pytest.raises(emjax.ConfigError, match="has a prior"):
        bootstrap_test(dataclasses.replace(fit, mixture=dataclasses.replace(fit.mixture, prior="default")))
    with pytest.raises(emjax.FitError, match="no maximum to be trusted"):
        bootstrap_test(dataclasses.replace(fit, status=Status.MAX_ITER))


def test_one_component_against_two():
    one, two = (each.fit for each in swept().candidates)
    # As many starts as the fits to the data have, so that one program serves all.
    found = bootstrap_test(one, n_replicates=5, key=1, n_init=20)
    assert (found.null, found.alternative, found.n_failed) == (1, 2, 0)
    assert found.statistic == pytest.approx(2.0 * (two.log_likelihood - one.log_likelihood), abs=1e-6)
    # Groups so far apart: no replicate of a single component comes near.
    assert found.p_value == pytest.approx(1 / 6)
    assert (found.lower, found.upper) == clopper_pearson(0, 5, 0.95)
    assert ((found.null_statistics >= 0) & (found.null_statistics < 20)).all()
    assert "5 replicates of 5; 0 failed" in str(found)


def independent_statistic(counts: np.ndarray) -> float:
    """Twice the largest gain of two Poissons over one, by plain EM in NumPy from a grid of starts."""
    mean = counts.mean()
    null = (counts * np.log(mean) - mean).sum()
    share = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 6)
    low = mean * np.tile([0.3, 0.5, 0.7, 0.8, 0.9, 0.95], 5)
    rates = np.stack([low, mean * 2.0 - low], axis=1)
    for _ in range(600):
        joint = counts * np.log(rates)[..., None] - rates[..., None]
        joint += np.log(np.stack([share, 1.0 - share], axis=1))[..., None]
        total = np.logaddexp(joint[:, 0], joint[:, 1])
        shares = np.exp(joint - total[:, None])
        mass = shares.sum(axis=2)
        share, rates = mass[:, 0] / len(counts), (shares * counts).sum(axis=2) / mass
    return max(2.0 * float(total.sum(axis=1).max() - null), 0.0)


@pytest.mark.slow
def test_the_null_distribution_is_that_of_a_simulation():
    rng = np.random.default_rng(11)
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 1), rng.poisson(5.0, 150), key=0, n_init=1)
    found = bootstrap_test(fit, n_replicates=250, key=1)
    drawn = rng.poisson(float(fit.params.rate[0, 0]), (400, 150))
    simulated = np.array([independent_statistic(one.astype(float)) for one in drawn])
    assert found.n_failed == 0
    # Half of them are zero, each optimiser's to its own rounding.
    assert ks_2samp(found.null_statistics.round(2), simulated.round(2)).pvalue > 0.01
    # Half of the replicates have their maximum at one component.
    assert abs((found.null_statistics < 1e-4).mean() - 0.5) < 3 * 0.032 + 0.03


@pytest.mark.slow
def test_old_faithful_has_more_than_two_tied_components():
    fit = emjax.fit(emjax.Mixture(emjax.Normal("tied"), 2), emjax.datasets.load("faithful"), key=0)
    found = bootstrap_test(fit, n_replicates=99, key=1)
    assert found.statistic == pytest.approx(27.74, abs=0.01)
    assert found.p_value <= 0.03
    assert found.n_missed == 0
