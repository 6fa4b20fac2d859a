"""posteriordb's mixtures: the posteriors that are known are reached, and EM says the same.

The reference of low_dim_gauss_mix lies in tests/reference/posteriordb (10,000 draws of Stan). FIELD's figures of EM are
those of the project's brief: the model case of "EM is enough". The posterior of normal_2 is known exactly.
"""

import json
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arviz_stats.base import array_stats
from numpyro.contrib.funsor import config_enumerate, enum, log_density
from numpyro.infer import MCMC, NUTS, init_to_value
from numpyro.infer.util import potential_energy
from scipy import stats
from scipy.special import logsumexp

import emjax
from emjax import Mixture, Normal

# A study by name: posteriors that are known are also in test_reference_posteriors and test_exact_deaths.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "tests" / "reference" / "posteriordb"

# EM's maximum-likelihood estimates and standard errors as published; the weight is that of the left component.
PUBLISHED_EM = {
    "mean[0, x]": (-2.7344, 0.0420),
    "mean[1, x]": (2.8720, 0.0539),
    "scale[0, x]": (1.0259, 0.0312),
    "scale[1, x]": (1.0186, 0.0400),
    "weights[0]": (0.6226, 0.0154),
}
OUR_NAMES = {
    "mu[1]": "mean[0, x]",
    "mu[2]": "mean[1, x]",
    "sigma[1]": "scale[0, x]",
    "sigma[2]": "scale[1, x]",
    "theta": "weights[0]",
}


@pytest.fixture(scope="module")
def y():
    return np.loadtxt(REFERENCE / "low_dim_gauss_mix.csv", skiprows=1)


@pytest.fixture(scope="module")
def reference():
    return json.loads((REFERENCE / "low_dim_gauss_mix.json").read_text())["parameters"]


def plain_nuts(name, y, guess):
    """Draws ``(chain, draw, ...)`` of NumPyro's own NUTS, which sums z out, on a file of models/."""
    model = runpy.run_path(str(ROOT / "models" / f"{name}.py"))["model"]

    @jax.jit
    def run(key):
        kernel = NUTS(model, init_strategy=init_to_value(values={k: jnp.array(v) for k, v in guess.items()}))
        mcmc = MCMC(
            kernel, num_warmup=400, num_samples=1000, num_chains=4, chain_method="vectorized", progress_bar=False
        )
        mcmc.run(key, y)
        return mcmc.get_samples(group_by_chain=True), mcmc.get_extra_fields()["diverging"]

    with jax.enable_x64(True):
        draws, diverging = run(jax.random.key(1))
    assert not diverging.any()
    return {site: np.asarray(value) for site, value in draws.items()}


@pytest.fixture(scope="module")
def plain_draws(y):
    """Draws of the plain program, by posteriordb's names, ``(chain, draw)``."""
    guess = {"mu": [-1.0, 1.0], "sigma": [1.5, 1.5], "theta": 0.5}
    draws = plain_nuts("low_dim_gauss_mix", y, guess)
    return {
        "mu[1]": draws["mu"][..., 0],
        "mu[2]": draws["mu"][..., 1],
        "sigma[1]": draws["sigma"][..., 0],
        "sigma[2]": draws["sigma"][..., 1],
        "theta": draws["theta"],
    }


@pytest.fixture(scope="module")
def fit(y):
    return emjax.fit(Mixture(Normal("full"), 2), y, key=jax.random.key(0))


@pytest.fixture(scope="module")
def posterior(y, fit):
    return emjax.sample(Mixture(Normal("full"), 2), y, key=jax.random.key(1), init=fit, warmup=400, draws=500)


@pytest.mark.parametrize("name", list(OUR_NAMES))
def test_plain_program_reaches_the_reference_posterior(name, plain_draws, reference):
    draws, expected = plain_draws[name], reference[name]
    assert draws.dtype == np.float64
    assert array_stats.ess(draws, method="bulk") > 400
    assert array_stats.ess(draws, method="tail", prob=(0.05, 0.95)) > 400
    assert array_stats.rhat(draws, method="rank") < 1.01
    # Both sides are Monte Carlo, so their errors add in squares.
    mean_error = np.hypot(array_stats.mcse(draws, method="mean"), expected["mcse_mean"])
    sd_error = np.hypot(array_stats.mcse(draws, method="sd"), expected["mcse_sd"])
    assert abs(draws.mean() - expected["mean"]) < 4 * mean_error
    assert abs(draws.std(ddof=1) - expected["sd"]) < 4 * sd_error
    # The band can fail: it is narrower than a tenth of the posterior.
    assert 4 * mean_error < 0.1 * expected["sd"]


def test_plain_program_has_the_density_of_the_stan_program(y):
    """Against SciPy at random parameters: what moves the posterior less than Monte Carlo error shows here."""
    model = runpy.run_path(str(ROOT / "models" / "low_dim_gauss_mix.py"))["model"]
    summed_out = enum(config_enumerate(model), first_available_dim=-2)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        density = jax.jit(lambda values: log_density(summed_out, (y,), {}, values)[0])
        potential = jax.jit(lambda values: potential_energy(summed_out, (y,), {}, values, enum=True))
        for _ in range(20):
            mu, sigma, theta = np.sort(rng.normal(0, 2, 2)), np.abs(rng.normal(1, 1, 2)), rng.beta(2, 2)
            parts = np.log([theta, 1 - theta]) + stats.norm.logpdf(y[:, None], mu, sigma)
            # Stan leaves out log 2, the constant of two normals in order.
            expected = logsumexp(parts, axis=1).sum() + stats.norm.logpdf(mu, 0, 2).sum() + np.log(2)
            expected += stats.halfnorm.logpdf(sigma, scale=2).sum() + stats.beta.logpdf(theta, 5, 5)
            assert float(density({"mu": mu, "sigma": sigma, "theta": theta})) == pytest.approx(expected, rel=1e-12)
            # Where the sampler moves: mu[1] and log(mu[2] - mu[1]), log sigma, logit theta, and their Jacobians.
            moved = {
                "mu": np.array([mu[0], np.log(mu[1] - mu[0])]),
                "sigma": np.log(sigma),
                "theta": np.log(theta / (1 - theta)),
            }
            jacobian = np.log(mu[1] - mu[0]) + np.log(sigma).sum() + np.log(theta * (1 - theta))
            assert -float(potential(moved)) == pytest.approx(expected + jacobian, rel=1e-12)


def test_normal_2_is_reached_where_the_labels_are_as_good_as_known():
    """Its components are 20 scales apart: theta has a beta law and each mean a normal one, exactly."""
    y = np.loadtxt(REFERENCE / "normal_2.csv", skiprows=1)
    left = y < 0
    assert (len(y), left.sum()) == (1000, 291)
    draws = plain_nuts("normal_2", y, {"mu": [-5.0, 5.0]})
    laws = [(draws["weights"][..., 0], stats.beta(1 + left.sum(), 1 + (~left).sum()))]
    for k, mine in enumerate((left, ~left)):
        precision = mine.sum() + 0.01
        laws.append((draws["mu"][..., k], stats.norm(y[mine].sum() / precision, precision**-0.5)))
    for values, law in laws:
        assert array_stats.ess(values, method="tail", prob=(0.05, 0.95)) > 400
        assert abs(values.mean() - law.mean()) < 4 * array_stats.mcse(values, method="mean")
        assert abs(values.std(ddof=1) - law.std()) < 4 * array_stats.mcse(values, method="sd")
        for level in (0.05, 0.5, 0.95):
            error = array_stats.mcse(values, method="quantile", prob=level)
            assert abs(np.quantile(values, level) - law.ppf(level)) < 4 * error
            assert 4 * error < 0.5 * law.std()


def test_plain_program_keeps_the_means_in_order(plain_draws):
    assert (plain_draws["mu[1]"] < plain_draws["mu[2]"]).all()


@pytest.mark.parametrize("name", list(OUR_NAMES))
def test_default_prior_gives_nearly_the_same_posterior(name, posterior, reference):
    """Another prior (theta ~ U, inverse-gamma variances): with 1000 data it may move the posterior by a fraction of
    its width, not more. Measured with 32,000 draws: 0.10 sd for sigma[2],
    the farthest, and sds 1% apart; allowed, beside Monte Carlo error, are 0.15 sd and 5%."""
    tree, ours = posterior.sampled["posterior"], OUR_NAMES[name]
    variable, component = ours.split("[")[0], int(ours.split("[")[1][0])
    draws = tree[variable].sel(mixture_component=component).values.squeeze()
    expected = reference[name]
    mean_error, sd_error = (4 * array_stats.mcse(draws, method=kind) for kind in ("mean", "sd"))
    assert array_stats.ess(draws) > 400
    assert abs(draws.mean() - expected["mean"]) < 0.15 * expected["sd"] + mean_error
    assert abs(draws.std(ddof=1) - expected["sd"]) < 0.05 * expected["sd"] + sd_error


@pytest.mark.parametrize("name", list(PUBLISHED_EM))
def test_em_reaches_the_published_estimates_and_standard_errors(name, fit):
    estimate, se = PUBLISHED_EM[name]
    row = fit.intervals(method="information")[name]
    assert row.estimate == pytest.approx(estimate, abs=6e-5)
    assert row.se == pytest.approx(se, abs=6e-5)


def test_the_verdict_is_that_em_is_enough(y, fit, posterior):
    assert posterior.status == "converged"
    comparison = emjax.compare(fit, posterior, y)
    assert comparison.verdict == "em_sufficient", comparison.reasons
    assert all(abs(row.difference_in_sd) < 0.2 for row in comparison.rows)
    assert all(0.9 < row.width_ratio < 1.1 for row in comparison.rows)
    assert comparison.invariants["total_variation"]["value"] < 0.01
