"""`emjax.sample` over the families: the tree, exact posteriors, aligned labels, statuses, keys and errors."""

import dataclasses

import arviz_stats
import jax
import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from scipy import stats
from scipy.special import logsumexp

import emjax
from emjax import ConfigError, DataError, Mixture, Normal, Poisson, align
from emjax.bayes import methods as methods_module
from emjax.bayes.tree import stored_draws
from emjax.mixture import Prior
from tests.priors import poisson_prior

CHAINS, WARMUP, DRAWS = 4, 400, 1000
SETTINGS = {"chains": CHAINS, "warmup": WARMUP, "draws": DRAWS}
N_SAMPLES = 120
WEIGHTS = np.array([0.4, 0.6])
MEANS = np.array([[-4.0, 10.0], [4.0, 14.0]])
RATES = np.array([[1.0], [12.0]])

COVARIANCES = {
    "full": np.array([[[1.0, 0.6], [0.6, 2.0]], [[2.0, -0.5], [-0.5, 1.0]]]),
    "tied": np.array([[[1.0, 0.6], [0.6, 2.0]]] * 2),
    "diag": np.array([np.diag([1.0, 2.0]), np.diag([2.0, 0.5])]),
    "spherical": np.array([np.eye(2), 2.0 * np.eye(2)]),
}
CASES = ["full", "tied", "diag", "spherical", "line", "counts"]


# The others are sampled by name: what is theirs alone is in the densities, which the contracts hold to.
SLOW_CASES = ("tied", "diag", "spherical", "line")
every_case = pytest.mark.parametrize(
    "name", [pytest.param(case, marks=[pytest.mark.slow] * (case in SLOW_CASES)) for case in CASES]
)


def labels(rng):
    return np.sort(rng.choice(2, size=N_SAMPLES, p=WEIGHTS))


def make_case(name):
    """The mixture, the data as a user would hold them, and the true values by variable."""
    rng = np.random.default_rng(CASES.index(name))
    z = labels(rng)
    if name == "counts":
        return Mixture(Poisson(), 2), rng.poisson(RATES[z]).astype(float), {"weights": WEIGHTS, "rate": RATES}
    if name == "line":
        x = rng.normal(MEANS[z, 0], 1.0)
        return Mixture(Normal(), 2), x, {"weights": WEIGHTS, "mean": MEANS[:, :1], "scale": np.ones((2, 1))}
    covariance = COVARIANCES[name]
    noise = np.einsum("nij,nj->ni", np.linalg.cholesky(covariance)[z], rng.normal(size=(N_SAMPLES, 2)))
    x = pd.DataFrame(MEANS[z] + noise, columns=["length", "width"])
    scale = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    return Mixture(Normal(name), 2, prior="default"), x, {"weights": WEIGHTS, "mean": MEANS, "scale": scale}


@pytest.fixture(scope="module")
def sampled():
    """Posteriors by the name of the case, each sampled once, when it is first asked for."""
    found = {}

    def get(name):
        if name not in found:
            mixture, x, truth = make_case(name)
            found[name] = emjax.sample(mixture, x, key=jax.random.key(5), **SETTINGS), np.asarray(x), truth
        return found[name]

    return get


def flat(variable):
    """Draws of a variable of the tree as ``(chain * draw, ...)``."""
    return variable.values.reshape(-1, *variable.shape[2:])


# --- every family -------------------------------------------------------------------------------------------


@every_case
def test_the_tree_has_named_dimensions_and_double_precision(name, sampled):
    posterior, x, _ = sampled(name)
    tree = posterior.sampled
    assert set(tree.children) == {"posterior", "sample_stats", "log_likelihood", "observed_data"}
    features = {"line": ["x"], "counts": ["x"]}.get(name, ["length", "width"])
    d = len(features)
    shapes = {"weights": (2,)}
    if name == "counts":
        shapes["rate"] = (2, d)
    else:
        shapes |= {"mean": (2, d), "scale": (2, d)}
    if name in ("full", "tied", "line"):
        shapes["covariance"] = (2, d, d)
    if name in ("full", "tied"):
        shapes["correlation"] = (2, 1)
    drawn = tree["posterior"]
    assert set(drawn.data_vars) == set(shapes)
    for variable, shape in shapes.items():
        inside = ("pair",) if variable == "correlation" else ("feature", "feature_bis")
        assert drawn[variable].dims == ("chain", "draw", "mixture_component", *inside)[: 2 + len(shape)]
        assert drawn[variable].shape == (CHAINS, DRAWS, *shape)
        assert drawn[variable].dtype == np.float64
    assert list(drawn["mixture_component"].values) == [0, 1]
    feature_dims = [dim for dim in ("feature", "feature_bis") if dim in drawn.dims]
    assert all(list(drawn[dim].values) == features for dim in feature_dims)
    assert tree["log_likelihood"]["x"].shape == (CHAINS, DRAWS, N_SAMPLES)
    np.testing.assert_array_equal(tree["observed_data"]["x"].values, np.squeeze(x))
    assert {"lp", "energy", "diverging", "n_steps", "acceptance_rate"} <= set(tree["sample_stats"].data_vars)
    assert tree.attrs["sampler"] == posterior.method == "hmc"
    assert tree.attrs["status"] == posterior.status


@every_case
def test_draws_lie_in_the_space_of_parameters(name, sampled):
    posterior, _, _ = sampled(name)
    drawn = posterior.sampled["posterior"]
    assert all(np.isfinite(drawn[variable].values).all() for variable in drawn.data_vars)
    np.testing.assert_allclose(drawn["weights"].values.sum(axis=-1), 1.0, rtol=1e-12)
    assert (drawn["weights"].values > 0).all()
    assert (drawn["rate" if name == "counts" else "scale"].values > 0).all()
    if "covariance" in drawn:
        variances = np.diagonal(drawn["covariance"].values, axis1=-2, axis2=-1)
        np.testing.assert_allclose(np.sqrt(variances), drawn["scale"].values, rtol=1e-12)
    if "correlation" in drawn:
        scale = drawn["scale"].values
        rebuilt = stored_draws(drawn)["correlation"] * scale[..., :, None] * scale[..., None, :]
        np.testing.assert_allclose(rebuilt, drawn["covariance"].values, rtol=1e-9)
    if name == "spherical":
        np.testing.assert_array_equal(drawn["scale"].values[..., 0], drawn["scale"].values[..., 1])
    if name == "tied":
        np.testing.assert_array_equal(drawn["scale"].values[:, :, 0], drawn["scale"].values[:, :, 1])


@every_case
def test_easy_data_converge_and_labels_can_be_trusted(name, sampled):
    posterior, _, _ = sampled(name)
    assert posterior.status == "converged", posterior.message
    assert posterior.converged
    assert posterior.alignment.trust > 0.9
    assert posterior.diagnostics.max_rhat < 1.01
    assert posterior.n_draws == CHAINS * DRAWS
    assert posterior.map_fit.converged
    assert posterior.map_fit.log_prior != 0.0


@every_case
def test_truth_lies_within_four_posterior_sds(name, sampled):
    posterior, _, truth = sampled(name)
    drawn = posterior.sampled["posterior"]
    for variable, expected in truth.items():
        draws = flat(drawn[variable])
        # The truth is listed with the left component first, the aligned posterior in the order of the MAP.
        order = np.argsort(flat(drawn["rate" if name == "counts" else "mean"])[..., 0].mean(axis=0))
        distance = np.abs(draws.mean(axis=0)[order] - expected) / draws.std(axis=0)[order]
        assert (distance < 4).all(), (variable, distance)
        assert (draws.std(axis=0)[order] < 0.5 * np.maximum(np.abs(expected), 1)).all(), variable


def density_by_scipy(name, drawn, chain, draw, x):
    total = []
    for k in range(2):
        one = drawn.isel(chain=chain, draw=draw, mixture_component=k)
        if name == "counts":
            part = stats.poisson(one["rate"].values).logpmf(x.reshape(N_SAMPLES, 1)).sum(axis=1)
        elif "covariance" in drawn:
            part = stats.multivariate_normal(one["mean"].values, one["covariance"].values).logpdf(x)
        else:
            part = stats.norm(one["mean"].values, one["scale"].values).logpdf(x).sum(axis=1)
        total.append(np.log(one["weights"].values) + part)
    return logsumexp(total, axis=0)


@every_case
def test_pointwise_log_likelihood_is_the_mixture_s_density(name, sampled):
    posterior, x, _ = sampled(name)
    drawn, pointwise = posterior.sampled["posterior"], posterior.sampled["log_likelihood"]["x"].values
    log_prob = jax.jit(posterior.mixture.log_prob)
    for chain, draw in [(0, 0), (2, 17), (CHAINS - 1, DRAWS - 1)]:
        expected = density_by_scipy(name, drawn.to_dataset(), chain, draw, x)
        np.testing.assert_allclose(pointwise[chain, draw], expected, rtol=1e-9, atol=1e-9)
        flat_params = jax.tree.map(lambda leaf, row=chain * DRAWS + draw: leaf[row], posterior.params)
        with jax.enable_x64(True):
            ours = log_prob(flat_params, x.reshape(N_SAMPLES, -1))
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-9)


# --- one family is enough -----------------------------------------------------------------------------------


def test_posterior_predictive_density_is_the_mean_over_draws(sampled):
    posterior, x, _ = sampled("counts")
    pointwise = posterior.sampled["log_likelihood"]["x"].values.reshape(-1, N_SAMPLES)
    expected = logsumexp(pointwise, axis=0) - np.log(len(pointwise))
    np.testing.assert_allclose(posterior.log_predictive(x, n_draws=10**6), expected, rtol=1e-10)
    assert posterior.thinned(7).weights.shape == (7, 2)
    # A mean over 300 draws, far apart in their chains: five standard errors of it.
    density = np.exp(pointwise)
    error = density.std(axis=0) / density.mean(axis=0) / np.sqrt(300)
    assert (np.abs(posterior.log_predictive(x, n_draws=300) - expected) < 5 * error).all()
    assert error.max() < 0.1


def test_arviz_reads_the_tree(sampled):
    posterior, x, _ = sampled("full")
    summary = arviz_stats.summary(posterior.sampled)
    assert "mean[0, length]" in summary.index
    assert len(summary) == 2 + 4 + 4 + 8 + 2
    assert "correlation[0, length, width]" in summary.index
    assert np.isfinite(summary.select_dtypes("number")).all(axis=None)
    loo = arviz_stats.loo(posterior.sampled)
    assert loo.n_data_points == N_SAMPLES
    # Leaving one out costs about one nat per parameter: 11 of them.
    in_sample = posterior.log_predictive(x).sum()
    assert 3 < in_sample - loo.elpd < 30


def test_no_prior_means_the_default_one_and_says_so(sampled):
    posterior, x, _ = sampled("counts")
    assert "no prior" in posterior.prior_note
    assert "default" in posterior.prior_note
    assert isinstance(posterior.mixture.prior, Prior)
    law = posterior.mixture.prior["rate"]
    assert law.shape / law.rate == pytest.approx(x.mean())


def test_a_prior_that_was_asked_for_is_not_called_missing(sampled):
    assert "no prior" not in sampled("full")[0].prior_note
    assert "default" in sampled("full")[0].prior_note


def test_same_key_same_draws_and_another_key_others(sampled):
    posterior, x, _ = sampled("counts")
    again, other = (emjax.sample(posterior.mixture, x, key=key, **SETTINGS) for key in (5, None))
    assert jax.random.key_data(posterior.key).tolist() == [0, again.key]
    assert isinstance(other.key, int)
    rates = [one.sampled["posterior"]["rate"].values for one in (posterior, again, other)]
    np.testing.assert_array_equal(rates[0], rates[1])
    assert not np.any(rates[0] == rates[2])
    assert "no prior" not in again.prior_note
    assert again.prior_note != sampled("counts")[0].prior_note


def rhat_of(draws):
    return array_stats.rhat(draws, method="rank")


def test_chains_in_permuted_modes_are_brought_to_the_same_labels(sampled, monkeypatch):
    """Chains 1 and 3 start with the components exchanged: the same posterior, other labels."""
    original = methods_module.overdispersed_starts

    def permuted(handoff, *args):
        found = original(handoff, *args)
        starts = found.flat.copy()
        starts[[1, 3]] = handoff.target.permute(starts[[1, 3]], (1, 0))
        return dataclasses.replace(found, flat=starts)

    monkeypatch.setattr(methods_module, "overdispersed_starts", permuted)
    _, x, _ = sampled("counts")
    posterior = emjax.sample(make_case("counts")[0], x, key=jax.random.key(5), method="nuts", **SETTINGS)
    assert posterior.decision == ()
    assert posterior.sampled.attrs["sampler"] == "nuts"
    order = posterior.alignment.permutations.reshape(CHAINS, DRAWS, 2)
    assert (order[[0, 2]] == [0, 1]).all()
    assert (order[[1, 3]] == [1, 0]).all()
    aligned = posterior.sampled["posterior"]["rate"].values[..., 0]
    raw = np.take_along_axis(aligned, np.argsort(order, axis=-1), axis=-1)
    assert rhat_of(raw[..., 0]) > 1.5
    assert rhat_of(aligned[..., 0]) < 1.01
    assert np.ptp(aligned[..., 0].mean(axis=1)) < 0.1
    assert posterior.status == "converged"
    # Everything of a component moves together, and nothing else than its label changes.
    reference = sampled("counts")[0].tree["posterior"]
    for variable in ("weights", "rate"):
        ours, theirs = flat(posterior.sampled["posterior"][variable]), flat(reference[variable])
        assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 0.3 * theirs.std(axis=0)).all(), variable
    likelihood = density_by_scipy("counts", posterior.sampled["posterior"].to_dataset(), 1, 3, x)
    np.testing.assert_allclose(posterior.sampled["log_likelihood"]["x"].values[1, 3], likelihood, rtol=1e-9)


def test_other_methods_of_relabelling_take_a_posterior_as_it_is(sampled):
    posterior, _, _ = sampled("full")
    draws = posterior.labelled_draws()
    assert draws.responsibilities.shape == (CHAINS * DRAWS, 2, N_SAMPLES)
    np.testing.assert_allclose(draws.responsibilities.sum(axis=1), 1.0, rtol=1e-12)
    found = align.compare_methods(draws)
    assert {one.method for one in found} >= {"classification", "stephens", "ecr", "pra", "data-based"}
    for one in found:
        # The posterior's labels are aligned already, and these components lie far apart.
        assert (one.permutations == [0, 1]).all(), one.method


def test_a_fit_as_start_decides_the_order_of_the_labels_and_a_short_run_is_never_converged(sampled):
    _, x, _ = sampled("counts")
    mixture = make_case("counts")[0]
    calls = []
    fit = emjax.fit(mixture, x, key=jax.random.key(0))
    assert (np.diff(fit.params.rate[:, 0]) > 0).all()
    turned = dataclasses.replace(fit, params=mixture.permute(fit.params, np.array([1, 0])))
    posterior = emjax.sample(
        mixture,
        x,
        key=jax.random.key(1),
        init=turned,
        chains=CHAINS,
        warmup=WARMUP,
        draws=20,
        on_progress=lambda *call: calls.append(call),
    )
    assert sum(optimum.count for optimum in posterior.map_fit.optima) == 20
    rates = flat(posterior.sampled["posterior"]["rate"])[..., 0]
    assert (rates[:, 0] > rates[:, 1]).all()
    assert (posterior.map_fit.params.rate[0] > posterior.map_fit.params.rate[1]).all()
    assert posterior.status in ("too_few_draws", "not_converged")
    assert not posterior.converged
    assert "effective sample size" in posterior.message
    assert posterior.sampled.attrs["status"] == posterior.status
    assert {call[0] for call in calls} == {"warmup", "draws"}
    assert {call[3].chain for call in calls} == set(range(CHAINS))
    assert calls[-1][2] == 20


@pytest.mark.slow
def test_chains_without_warm_up_do_not_agree(sampled):
    _, x, _ = sampled("counts")
    posterior = emjax.sample(
        make_case("counts")[0],
        x,
        key=jax.random.key(1),
        method="nuts",
        chains=CHAINS,
        warmup=0,
        draws=6,
        target_accept_prob=0.8,
    )
    assert posterior.status == "not_converged", posterior.message
    assert "R-hat" in posterior.message
    assert not posterior.converged


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"chains": 0}, "chains"),
        ({"chains": -2}, "chains"),
        ({"draws": 0}, "draws"),
        ({"warmup": -1}, "warmup"),
        ({"target_accept_prob": 1.0}, "target_accept_prob"),
        ({"target_accept_prob": 0.0}, "target_accept_prob"),
        ({"dtype": "float16"}, "dtype"),
        ({"dtype": "float32", "method": "nuts"}, "float64 only"),
    ],
)
def test_a_setting_out_of_range_is_named_in_one_line(settings, word):
    mixture, x, _ = make_case("counts")
    with pytest.raises(ConfigError, match=word) as caught:
        emjax.sample(mixture, x, key=jax.random.key(0), **{**SETTINGS, **settings})
    assert "\n" not in str(caught.value)


def test_data_and_methods_that_cannot_be_used_are_refused_before_any_work():
    mixture, x, _ = make_case("counts")
    with pytest.raises(ValueError, match="'nuts'"):
        emjax.sample(mixture, x, key=jax.random.key(0), method="gibs")
    broken = x.copy()
    broken[3, 0] = np.inf
    for data, word in [(broken, "row 3"), (x[:1], "fewer"), (x + 0.5, "counts")]:
        with pytest.raises(DataError, match=word) as caught:
            emjax.sample(mixture, data, key=jax.random.key(0), **SETTINGS)
        assert "\n" not in str(caught.value)


# --- one component: the posterior is known exactly ----------------------------------------------------------


def assert_moments(draws, mean, sd):
    """Mean and sd of draws ``(chain, draw)`` within four Monte Carlo standard errors of the exact ones."""
    assert array_stats.ess(draws, method="bulk") > 400
    assert abs(draws.mean() - mean) < 4 * array_stats.mcse(draws, method="mean")
    assert abs(draws.std(ddof=1) - sd) < 4 * array_stats.mcse(draws, method="sd")


# By name: each sampler has an exact posterior in a file of its own, and the whole way that of counts below.
@pytest.mark.slow
@pytest.mark.parametrize("method", ["gibbs", "hmc", "nuts", "laplace"])
def test_one_normal_has_the_normal_inverse_wishart_posterior(method):
    rng = np.random.default_rng(11)
    x = rng.normal(size=(200, 2)) @ [[2.0, 1.0], [0.0, 0.5]] + [100.0, -3.0]
    posterior = emjax.sample(Mixture(Normal("full"), 1), x, key=jax.random.key(2), method=method, **SETTINGS)
    assert posterior.method == method
    assert posterior.converged, posterior.message
    n, d = x.shape
    # The default prior, written out: mean of the data, 0.01 observations, d + 2 degrees of freedom, S / K^(2/d).
    centre, kappa, nu = x.mean(axis=0), 0.01, d + 2.0
    scatter = np.cov(x.T, bias=True)
    kappa_n, nu_n = kappa + n, nu + n
    scatter_n = scatter + n * np.cov(x.T, bias=True)
    drawn = posterior.sampled["posterior"]
    np.testing.assert_array_equal(drawn["weights"].values, 1.0)
    for j in range(d):
        df = nu_n - d + 1
        mean = stats.t(df, centre[j], np.sqrt(scatter_n[j, j] / (kappa_n * df)))
        variance = stats.invgamma(df / 2, scale=scatter_n[j, j] / 2)
        assert_moments(drawn["mean"].values[:, :, 0, j], mean.mean(), mean.std())
        assert_moments(drawn["covariance"].values[:, :, 0, j, j], variance.mean(), variance.std())
    expected = scatter_n[0, 1] / (nu_n - d - 1)
    off = drawn["covariance"].values[:, :, 0, 0, 1]
    assert abs(off.mean() - expected) < 4 * array_stats.mcse(off, method="mean")


@pytest.fixture(scope="module")
def one_poisson():
    x = np.random.default_rng(12).poisson([3.0, 9.0], size=(60, 2))
    prior = poisson_prior([1.0], shape=30.0, rate=[20.0, 2.0])
    return emjax.sample(Mixture(Poisson(), 1, prior=prior), x, key=jax.random.key(3), **SETTINGS), x


def test_one_poisson_has_the_gamma_posterior_of_the_prior_that_was_given(one_poisson):
    posterior, x = one_poisson
    assert posterior.prior_note == "The mixture's prior."
    draws = posterior.sampled["posterior"]["rate"].values
    assert draws.dtype == np.float64
    for j, inverse_scale in enumerate([20.0, 2.0]):
        exact = stats.gamma(30.0 + x[:, j].sum(), scale=1 / (inverse_scale + len(x)))
        assert_moments(draws[:, :, 0, j], exact.mean(), exact.std())
        # The prior matters here: without it the mean would lie elsewhere by more than the band.
        assert abs(x[:, j].mean() - exact.mean()) > 10 * array_stats.mcse(draws[:, :, 0, j], method="mean")


@pytest.mark.slow
def test_one_component_can_be_compared(one_poisson):
    posterior, x = one_poisson
    assert posterior.status == "converged"
    assert posterior.alignment.trust == 1.0
    fit = emjax.fit(Mixture(Poisson(), 1), x, key=jax.random.key(0), n_init=1)
    comparison = emjax.compare(fit, posterior, x, loo=False)
    weight = comparison.rows[0]
    assert (weight.name, weight.em, weight.mean, weight.sd) == ("weights[0]", 1.0, 1.0, 0.0)
    assert (weight.difference_in_sd, weight.width_ratio, weight.mass_in_em_interval) == (0.0, 1.0, 1.0)
    assert comparison.invariants["co_clustering"]["mean_difference"] == 0.0
    for row in comparison.rows[1:]:
        assert row.map == pytest.approx(posterior.map_fit.params.rate[0, int(row.name[-2])])
        assert np.isfinite(row.difference_in_sd)
    # That strong a prior is seen: EM without it lies elsewhere, and it is said whose doing that is.
    assert comparison.verdict == "em_sufficient"
    assert any("the prior, not the algorithm" in reason.lower() for reason in comparison.reasons)


def test_jax_s_settings_are_left_alone(sampled):
    _, x, _ = sampled("counts")
    before = dict(jax.config.values)
    emjax.sample(make_case("counts")[0], x, key=jax.random.key(8), chains=CHAINS, warmup=WARMUP, draws=20)
    assert dict(jax.config.values) == before
    assert not jax.config.jax_enable_x64
