"""posteriordb's low_dim_gauss_mix: the reference posterior is reached, and EM says the same.

The reference lies in tests/reference/posteriordb (10,000 draws of Stan). FIELD's figures of EM are those of the
project's brief: the model case of "EM is enough".
"""

import json
import runpy
from pathlib import Path

import jax
import numpy as np
import pytest
from arviz_stats.base import array_stats
from numpyro.infer.util import log_density, potential_energy
from scipy import stats
from scipy.special import logsumexp

import emjax
from emjax import Mixture, Normal
from emjax.bayes.flat_model import unconstrain
from emjax.bayes.nuts import run_nuts

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


@pytest.fixture(scope="module")
def plain_draws(y):
    """Draws of the plain program, by posteriordb's names, ``(chain, draw)``."""
    model = runpy.run_path(str(ROOT / "models" / "low_dim_gauss_mix.py"))["model"]
    guess = {"mu": np.array([-1.0, 1.0]), "sigma": np.array([1.5, 1.5]), "theta": np.array(0.5)}
    with jax.enable_x64(True):
        near = unconstrain(model, (y,), {}, guess)
        rng = np.random.default_rng(0)
        starts = {name: value + 0.2 * rng.standard_normal((4, *value.shape)) for name, value in near.items()}
        run = run_nuts(model, (y,), key=jax.random.key(1), starts=starts, warmup=400, draws=1000)
    draws = run.samples
    assert not run.sample_stats["diverging"].any()
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
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        density = jax.jit(lambda values: log_density(model, (y,), {}, values)[0])
        potential = jax.jit(lambda values: potential_energy(model, (y,), {}, values))
        for _ in range(20):
            mu, sigma, theta = np.sort(rng.normal(0, 2, 2)), np.abs(rng.normal(1, 1, 2)), rng.beta(2, 2)
            parts = np.log([theta, 1 - theta]) + stats.norm.logpdf(y[:, None], mu, sigma)
            expected = logsumexp(parts, axis=1).sum() + stats.norm.logpdf(mu, 0, 2).sum()
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
    row = fit.intervals()[name]
    assert row.estimate == pytest.approx(estimate, abs=6e-5)
    assert row.se == pytest.approx(se, abs=6e-5)


def test_the_verdict_is_that_em_is_enough(y, fit, posterior):
    assert posterior.status == "converged"
    comparison = emjax.compare(fit, posterior, y)
    assert comparison.verdict == "em_sufficient", comparison.reasons
    assert all(abs(row.difference_in_sd) < 0.2 for row in comparison.rows)
    assert all(0.9 < row.width_ratio < 1.1 for row in comparison.rows)
    assert comparison.invariants["total_variation"]["value"] < 0.01
