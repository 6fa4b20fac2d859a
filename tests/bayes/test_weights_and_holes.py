"""Weighted and missing data in every sampler: they agree with one another, and with copies of rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from posteriors import check_agreement

import emjax
from emjax.bayes.loo import psis_loo
from emjax.bayes.problem import prepare
from emjax.samples import as_samples


def counts(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(np.where(rng.random((120, 1)) < 0.5, [[2.0, 9.0]], [[8.0, 3.0]])).astype(float)


@pytest.mark.parametrize(
    "methods", [("hmc", "gibbs"), pytest.param(("hmc", "nuts", "gibbs"), marks=pytest.mark.slow)], ids="-".join
)
@pytest.mark.parametrize("problem", [pytest.param("weighted", marks=pytest.mark.slow), "missing"])
def test_samplers_agree(problem: str, methods: tuple[str, ...]):
    x, given = counts(), {}
    if problem == "weighted":
        given = {"weights": np.random.default_rng(1).integers(0, 4, len(x))}
    else:
        x[np.random.default_rng(1).random(x.shape) < 0.25] = np.nan
    mixture = emjax.Mixture(emjax.Poisson(), 2, "default")
    check_agreement({m: emjax.sample(mixture, x, method=m, key=2, draws=500, warmup=300, **given) for m in methods})


@pytest.mark.slow
def test_they_agree_on_a_normal_mixture_with_holes():
    x = np.asarray(emjax.datasets.load("faithful"), float).copy()
    x[np.random.default_rng(1).random(x.shape) < 0.25] = np.nan
    mixture = emjax.Mixture(emjax.Normal(), 2, "default")
    check_agreement({m: emjax.sample(mixture, x, method=m, key=2) for m in ("hmc", "nuts", "gibbs")})


@pytest.mark.parametrize(
    "family", [pytest.param(emjax.Normal(), marks=pytest.mark.slow), emjax.Poisson()], ids=["normal", "poisson"]
)
def test_the_target_of_weights_is_that_of_copies(family: emjax.Family):
    x, weights = counts(), np.random.default_rng(1).integers(0, 4, 120)
    mixture = emjax.Mixture(family, 2, "default")
    values = []
    with jax.enable_x64(True):
        for samples in (as_samples(x, weights=weights), as_samples(np.repeat(x, weights, axis=0))):
            problem = prepare(mixture, samples)
            target, data = problem.target(1)
            point = jnp.linspace(-0.3, 0.3, target.n_parameters)
            value, gradient = jax.jit(target.value_and_gradient)(point, data)
            values.append((float(value) + float(data.base_measure), np.asarray(gradient)))
    np.testing.assert_allclose(values[0][0], values[1][0], rtol=1e-11)
    np.testing.assert_allclose(values[0][1], values[1][1], rtol=1e-9, atol=1e-9)


def test_gibbs_wants_whole_weights():
    with pytest.raises(emjax.ConfigError, match="weights have to be whole; use hmc or nuts"):
        emjax.sample(emjax.Mixture(emjax.Poisson(), 2), counts(), weights=np.full(120, 0.5), method="gibbs", key=0)


def test_leave_one_out_of_weights_is_that_of_copies():
    x, weights = counts(), np.random.default_rng(1).integers(0, 3, 120)
    mixture = emjax.Mixture(emjax.Poisson(), 1, "default")
    posterior = emjax.sample(mixture, x, weights=weights, method="laplace", key=3)
    # By hand: each row that counts, as often as it does, from the draws that the estimate had.
    pointwise = posterior.sampled["log_likelihood"]["x"].values.reshape(-1, 120)
    predictive = np.logaddexp.reduce(pointwise, axis=0) - np.log(len(pointwise))
    elpd = psis_loo(posterior)
    np.testing.assert_allclose(elpd["value"] + elpd["effective_parameters"], weights @ predictive, rtol=1e-9)
    assert 1.0 < elpd["effective_parameters"] < 12.0


@pytest.mark.slow
def test_scores_of_a_comparison_count_rows_as_often_as_they_weigh():
    x, weights = counts(), np.random.default_rng(1).integers(0, 3, 120)
    posterior = emjax.sample(emjax.Mixture(emjax.Poisson(), 2, "default"), x, weights=weights, method="gibbs", key=3)
    fit = posterior.map_fit
    found = emjax.compare(fit, posterior, x, key=0).invariants
    elpd = psis_loo(posterior)
    assert (found["elpd_loo"]["value"], found["elpd_loo"]["standard_error"]) == (elpd["value"], elpd["standard_error"])
    np.testing.assert_allclose(found["log_score"]["em"], (weights @ fit.score_samples()) / weights.sum(), rtol=1e-12)


@pytest.mark.slow
def test_a_fit_under_laws_of_its_own_is_compared_with_the_default_posterior():
    x = np.asarray(emjax.datasets.load("faithful"))[:, 0]
    laws = {"mean": emjax.laws.Normal(0, 10), "scale": emjax.laws.HalfNormal(3.0)}
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2, laws), x, key=0)
    assert fit.space == "(weights, mean, scale)"
    posterior = emjax.sample(emjax.Mixture(emjax.Normal(), 2), x, key=1, method="gibbs", draws=300, warmup=200)
    comparison = emjax.compare(fit, posterior, x, key=2, loo=False)
    assert set(comparison.judgements) == {"em", "map"}
    assert not np.allclose(comparison.given.params.mean, posterior.map_fit.params.mean, rtol=1e-9)
