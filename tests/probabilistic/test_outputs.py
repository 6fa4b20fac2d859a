"""Deterministic sites of a program that are functions of its parameters are read with them, by EM and of posteriors."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.reparam import LocScaleReparam

import emjax
from emjax.mixture import declared

pytestmark = pytest.mark.runs_numpyro

RNG = np.random.default_rng(2)
Y = np.r_[RNG.normal(-3.0, 1.0, 50), RNG.normal(4.0, 1.0, 30)]


def normals(y):
    w = numpyro.sample("w", dist.Dirichlet(jnp.full(2, 2.0)))
    centre = numpyro.sample("centre", dist.Normal(0.0, 5.0))
    with numpyro.plate("components", 2):
        mu = numpyro.sample("mu", dist.Normal(centre, 3.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(2.0))
    numpyro.deterministic("gap", mu[1] - mu[0])
    numpyro.deterministic("share", w / w.sum() * jnp.array([[1.0], [2.0], [3.0]]))
    numpyro.deterministic("constant", jnp.ones(3))
    numpyro.deterministic("whole", jnp.arange(2))
    numpyro.deterministic("of_data", jnp.mean(y) * sigma)
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
        numpyro.deterministic("mean_of_datum", mu[z])
        numpyro.sample("y", dist.Normal(mu[z], sigma), obs=y)


@pytest.fixture(scope="module")
def fit() -> emjax.Fit:
    program = emjax.program(numpyro.handlers.reparam(normals, config={"mu": LocScaleReparam(0.0)}))
    return emjax.fit(program, Y, key=0, n_init=4, accelerate="none")


def test_what_a_program_computes_from_its_parameters_is_read_with_them(fit: emjax.Fit):
    params, family = fit.params, fit.mixture.family
    # Not what is constant, whole, of the data, or of a label.
    assert family.reported(1) == ("centre", "mu_decentered", "sigma", "mu", "gap", "share")
    mu = params["centre"] + 3.0 * params["mu_decentered"]
    np.testing.assert_allclose(params.mu, mu, rtol=1e-12)
    np.testing.assert_allclose(params.gap, mu[1] - mu[0], rtol=1e-12)
    # An axis as long as there are components that changes places with them leads; one of three does not.
    np.testing.assert_allclose(params.share, params.weights[:, None] * np.array([1.0, 2.0, 3.0]), rtol=1e-12)
    assert {name: family.own_axes[name] for name in ("mu", "gap", "share")} == {
        "mu": False,
        "gap": True,
        "share": False,
    }
    swapped = fit.mixture.permute(params, np.array([1, 0]))
    np.testing.assert_allclose(swapped.mu, mu[::-1], rtol=1e-12)
    np.testing.assert_allclose(swapped.gap, mu[0] - mu[1], rtol=1e-12)


def test_their_standard_errors_are_those_of_the_delta_method(fit: emjax.Fit):
    table = fit.intervals(method="information").to_frame()
    errors = dict(zip(table["parameter"], table["standard_error"], strict=True))
    # One normal's mean of n rows, and the difference of two that hardly overlap.
    sigma, n = float(fit.params.sigma), fit.optima[0].effective_counts
    assert errors["mu[0]"] == pytest.approx(sigma / np.sqrt(n[0]), rel=0.05)
    assert errors["gap"] == pytest.approx(sigma * np.sqrt(np.sum(1.0 / n)), rel=0.05)


def test_many_draws_are_read_at_once(fit: emjax.Fit):
    draws = jax.tree.map(lambda leaf: np.stack([[leaf, leaf + 0.1, leaf]] * 2), fit.params)
    found = fit.mixture.stored_parameters(draws)
    assert {name: np.shape(found[name]) for name in ("mu", "gap", "share")} == {
        "mu": (2, 3, 2),
        "gap": (2, 3),
        "share": (2, 3, 2, 3),
    }
    np.testing.assert_allclose(found["mu"], found["centre"][..., None] + 3.0 * found["mu_decentered"], rtol=1e-12)


@pytest.mark.slow
def test_a_posterior_keeps_them(fit: emjax.Fit):
    posterior = emjax.sample(fit.mixture, Y, key=1, method="laplace", chains=2, draws=50)
    drawn = posterior.tree["posterior"]
    assert drawn["mu"].dims == ("chain", "draw", "mixture_component")
    np.testing.assert_allclose(drawn["mu"], drawn["centre"] + 3.0 * drawn["mu_decentered"], rtol=1e-10)
    np.testing.assert_allclose(
        drawn["gap"], drawn["mu"].sel(mixture_component=1) - drawn["mu"].sel(mixture_component=0), rtol=1e-10
    )


def test_of_one_component_they_are_read_as_well():
    def one(y):
        w = numpyro.sample("w", dist.Dirichlet(jnp.ones(1)))
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0).expand([1]).to_event(1))
        numpyro.deterministic("double", 2.0 * mu)
        with numpyro.plate("datum", len(y)):
            z = numpyro.sample("z", dist.Categorical(w))
            numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)

    params = declared(emjax.program(one), Y).params(mu=[1.5])
    np.testing.assert_allclose(params.double, 2.0 * params.mu, rtol=1e-12)
