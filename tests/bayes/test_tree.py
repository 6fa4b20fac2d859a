"""The groups of `Posterior.tree` that ArviZ's checks need, and ArviZ's checks on them."""

from types import SimpleNamespace

import arviz_plots
import arviz_stats
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import emjax
from emjax import Mixture, Poisson
from emjax.bayes import predictive
from emjax.bayes.tree import to_tree
from emjax.samples import as_samples

N_SAMPLES = 120


@pytest.fixture(scope="module")
def posterior():
    """What a posterior has for its tree, of two rates so far apart that labels are known: the draws are exact."""
    rng = np.random.default_rng(5)
    labels = rng.choice(2, N_SAMPLES, p=[0.4, 0.6])
    x = rng.poisson(np.array([1.0, 40.0])[labels]).astype(float)[:, None]
    prior = Mixture(Poisson(), 2).default_prior(x)
    shape, inverse_scale = np.asarray(prior["rate"].shape), np.asarray(prior["rate"].rate)
    counts, sums = np.bincount(labels), np.bincount(labels, weights=x[:, 0])
    rate = rng.gamma(shape + sums, 1.0 / (inverse_scale + counts), size=(4, 250, 2))
    weights = rng.dirichlet(1.0 + counts, size=(4, 250))
    density = stats.poisson.logpmf(x, rate[..., None, :]) + np.log(weights[..., None, :])
    sampled = to_tree(
        {"weights": weights, "rate": rate[..., None]}, {}, logsumexp(density, axis=-1), x, ["x"]
    )  # fmt: skip
    return SimpleNamespace(
        sampled=sampled,
        mixture=Mixture(Poisson(), 2, prior=prior),
        params=Mixture(Poisson(), 2).assembled(weights.reshape(-1, 2), {"rate": rate.reshape(-1, 2, 1)}),
        map_fit=SimpleNamespace(data=x, samples=as_samples(x), feature_names=("x",)),
        key=None,
    )


@pytest.fixture(scope="module")
def whole_tree(posterior):
    return emjax.Posterior.tree.func(posterior)


def test_arviz_s_checks_find_what_they_need(whole_tree):
    for plot in (arviz_plots.plot_ppc_dist, arviz_plots.plot_loo_pit, arviz_plots.plot_prior_posterior):
        plot(whole_tree, backend="none")
    arviz_plots.plot_ppc_dist(whole_tree, group="prior_predictive", backend="none")
    table = arviz_stats.psense_summary(whole_tree)
    assert list(table.index) == ["weights[0]", "weights[1]", "rate[0, x]", "rate[1, x]"]
    # 120 counts say more than the default prior does.
    assert (table["likelihood"] > table["prior"]).all()


def test_the_groups_for_arviz_hold_the_prior_and_data_of_both_predictives(whole_tree, posterior):
    x = posterior.map_fit.data
    prior = posterior.mixture.prior
    shape, rate = np.asarray(prior["rate"].shape), np.asarray(prior["rate"].rate)
    drawn = {name: posterior.sampled["posterior"][name].values for name in ("weights", "rate")}
    expected = stats.gamma.logpdf(drawn["rate"], shape, scale=1.0 / rate).sum(axis=(2, 3))
    of_sites = whole_tree["log_prior"].to_dataset()
    assert list(of_sites.data_vars) == ["weights", "rate"]
    np.testing.assert_allclose(of_sites["rate"].values, expected, rtol=1e-9)
    # The weights' prior is uniform on the simplex of two: its density is 1.
    np.testing.assert_allclose(of_sites["weights"].values, 0.0, atol=1e-12)
    of_prior = whole_tree["prior"]["rate"].values
    assert of_prior.shape == (1, 1000, 2, 1)
    assert stats.kstest(of_prior.ravel(), stats.gamma(shape, scale=1.0 / rate).cdf).pvalue > 1e-3
    new = whole_tree["posterior_predictive"]["x"]
    assert new.dims == ("chain", "draw", "row") == whole_tree["log_likelihood"]["x"].dims
    means = new.values.mean(axis=2) - (drawn["weights"] * drawn["rate"][..., 0]).sum(axis=2)
    assert abs(means.mean()) < 5 * means.std() / np.sqrt(means.size)
    assert 0.5 < new.values.std(axis=2).mean() / x.std() < 2.0
    assert whole_tree["prior_predictive"]["x"].shape == (1, 1000, N_SAMPLES)
    assert set(posterior.sampled.children) == {"posterior", "sample_stats", "log_likelihood", "observed_data"}


def test_sensitivity_to_the_prior_of_one_site_is_asked_for_by_its_name(whole_tree):
    """The weights' prior is flat, so that whatever sensitivity to the prior there is, is one to that of the rates."""
    whole = arviz_stats.psense(whole_tree)
    of_rates = arviz_stats.psense(whole_tree, group_var_names=["rate"])
    for name in ("weights", "rate"):
        np.testing.assert_allclose(of_rates[name].values, whole[name].values, rtol=1e-6, atol=1e-9)
    assert (whole["rate"].values > 0).all()


def test_what_is_given_with_the_rows_is_in_the_tree(posterior):
    x, labels = posterior.map_fit.data, np.full((N_SAMPLES, 2), np.nan)
    labels[0], labels[1] = [1.0, 0.0], [0.25, 0.75]
    weights = np.arange(N_SAMPLES) % 3.0
    known = as_samples(x, weights=weights, labels=labels, n_components=2)
    given = predictive._constant_data(known)["constant_data"]
    np.testing.assert_array_equal(given["weights"], weights)
    np.testing.assert_allclose(given["labels"], labels)
    assert predictive._constant_data(as_samples(x)) == {}


def test_predictive_groups_stay_bounded_whatever_the_data():
    for n_chains, n_draws, n_samples, n_features in ((8, 500, 272, 2), (8, 500, 10**6, 16), (64, 25, 10**7, 1)):
        kept, rows = predictive._kept(n_chains, np.arange(n_draws), n_samples, n_features)
        assert len(kept) >= 25
        assert n_chains * len(kept) * len(rows) * n_features <= predictive.MOST_ENTRIES
    kept, rows = predictive._kept(8, np.arange(500), 272, 2)
    assert (len(kept), len(rows)) == (500, 272)
