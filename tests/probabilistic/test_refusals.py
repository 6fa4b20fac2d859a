"""What is no mixture for EM is refused before anything is fitted: one line with site, reason and remedy."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan

import emjax

Y = np.concatenate([np.linspace(-3, -1, 10), np.linspace(1, 3, 10)])

pytestmark = pytest.mark.runs_numpyro


def weights() -> Any:
    return numpyro.sample("w", dist.Dirichlet(jnp.ones(2)))


def means() -> Any:
    return numpyro.sample("mu", dist.Normal(0, 5).expand([2]).to_event(1))


def plain(y):
    mu, w = means(), weights()
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)


def without_latent(y):
    law = dist.MixtureSameFamily(dist.Categorical(weights()), dist.Normal(means(), 1.0))
    with numpyro.plate("datum", len(y)):
        numpyro.sample("y", law, obs=y)


def change_point(y):
    mu, at = means(), numpyro.sample("at", dist.DiscreteUniform(0, len(y) - 1))
    with numpyro.plate("datum", len(y)) as place:
        numpyro.sample("y", dist.Normal(jnp.where(place < at, mu[0], mu[1]), 1.0), obs=y)


def two_latents(y):
    mu, w = means(), weights()
    with numpyro.plate("datum", len(y)):
        z, u = numpyro.sample("z", dist.Categorical(w)), numpyro.sample("u", dist.Bernoulli(0.5))
        numpyro.sample("y", dist.Normal(mu[z] + u, 1.0), obs=y)


def continuous_latent(y):
    mu, w = means(), weights()
    with numpyro.plate("datum", len(y)):
        z, e = numpyro.sample("z", dist.Categorical(w)), numpyro.sample("e", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(mu[z] + e, 1.0), obs=y)


def imputed(y):
    mu, w = means(), weights()
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y, obs_mask=y > 0)


def branches_on_a_site(y):
    a, mu, w = numpyro.sample("a", dist.Normal(0, 1)), means(), weights()
    scale = 1.0 if mu[0] > 0 else 2.0
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z] + a, scale), obs=y)


def branches_on_the_label(y):
    mu, w = means(), weights()
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[np.asarray(z)], 1.0), obs=y)


def discrete_global(y):
    mu, w, c = means(), weights(), numpyro.sample("c", dist.Bernoulli(0.3))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z] + c, 1.0), obs=y)


def without_bound(y):
    m = numpyro.sample("m", dist.Normal(0, 1))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Poisson(3.0))
        numpyro.sample("y", dist.Normal(m * z, 1.0), obs=y)


def minibatch(y):
    mu, w = means(), weights()
    with numpyro.plate("datum", len(y), subsample_size=5) as rows:
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y[rows])


def size_of_its_own(y):
    mu, w = means(), weights()
    with numpyro.plate("datum", 20):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=jnp.resize(y, 20))


def data_that_depend(y):
    mu, w = means(), weights()
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y - y.mean())


def moving_support(y):
    w, top = weights(), numpyro.sample("top", dist.HalfNormal(1.0))
    mu = numpyro.sample("mu", dist.Uniform(0, top).expand([2]).to_event(1))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)


def nothing_observed(y):
    w = weights()
    with numpyro.plate("datum", len(y)):
        numpyro.sample("z", dist.Categorical(w))


def without_prior(y):
    mu, w = numpyro.param("mu", jnp.zeros(2)), weights()
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)


def several_labels_each(y):
    mu, w = means(), weights()
    with numpyro.plate("rater", 3, dim=-2), numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=jnp.stack([y] * 3))


def vector_label(y):
    mu, w = means(), weights()
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Multinomial(1, w))
        numpyro.sample("y", dist.Normal(z @ mu, 1.0), obs=y)


def chain_over_data(y):
    mu, w = means(), weights()

    def step(before, one):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=one)
        return z, None

    scan(step, 0, y)


def observed_outside(y):
    mu = means()
    plain_with(mu, y)
    numpyro.sample("total", dist.Normal(mu.sum(), 1.0), obs=jnp.zeros(()))


def plain_with(mu, y):
    w = weights()
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)


def outside_its_support(y):
    mu, w = means(), weights()
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Exponential(jnp.exp(mu[z])), obs=y)


def prior_of_a_prior(y):
    w, tau = weights(), numpyro.sample("tau", dist.HalfNormal(1.0))
    plain_mu = numpyro.sample("mu", dist.Normal(0, tau).expand([2]).to_event(1))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(plain_mu[z], 1.0), obs=y)


UNFIT: dict[Callable[..., Any], str] = {
    without_latent: "no discrete latent site",
    change_point: "'at' is one latent over all data",
    two_latents: "'z' and 'u' are two discrete latents",
    continuous_latent: "'e' is a continuous latent of each datum",
    imputed: "'y_unobserved' is a continuous latent of each datum.*leave out obs_mask",
    branches_on_a_site: "branches on the value of 'mu'",
    branches_on_the_label: "branches on the value of 'z'",
    discrete_global: "'c' is a discrete site outside the plate",
    without_bound: r"'z' has no finite list of values \(Poisson\)",
    minibatch: "plate 'datum' takes 5 of 20 data",
    size_of_its_own: "plate 'datum' has size 20 whatever the data",
    data_that_depend: "density of a datum changes with the other data",
    moving_support: "support of 'mu' depends on another site",
    nothing_observed: "nothing in plate 'datum' is observed",
    without_prior: "'mu' is a numpyro.param",
    several_labels_each: "'z' stands in the plates",
    vector_label: "'z' is a vector for each datum",
    chain_over_data: "the program scans over data|one latent over all data",
    observed_outside: "'total' is observed outside plate 'datum'",
    outside_its_support: "datum 0 .* has density zero whatever 'z' is.*'y'",
}


@pytest.mark.parametrize("model", UNFIT, ids=lambda model: model.__name__)
def test_an_unfit_program_is_refused_in_one_line(model: Callable[..., Any]):
    with pytest.raises(emjax.EmjaxError, match=UNFIT[model]) as refused:
        emjax.fit(emjax.program(model), Y, key=0)
    assert "\n" not in str(refused.value)


def test_messages_differ():
    assert len(set(UNFIT.values())) == len(UNFIT) >= 12


def test_maximum_likelihood_has_no_parameters_of_priors():
    with pytest.raises(emjax.ConfigError, match="'tau' has no part in the likelihood"):
        emjax.fit(emjax.program(prior_of_a_prior, prior=None), Y, key=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent": "q"}, "latent='q' is no latent site; the program has mu, w, z"),
        ({"latent": "mu"}, "latent='mu' is continuous"),
        ({"plate": "p"}, "plate='p' does not hold the latent 'z'"),
        ({"component_axis": {"q": 0}}, "component_axis names 'q'"),
        ({"component_axis": {"mu": 1}}, "component_axis says 1 of 'mu'"),
    ],
)
def test_names_that_are_none(arguments: dict[str, Any], message: str):
    with pytest.raises(emjax.ConfigError, match=message):
        emjax.program(plain, **arguments).declared(Y)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.where(np.arange(20) == 5, np.nan, Y), r"'y' is NaN at \[5\], and the program does not mask it"),
        ((Y, Y), "the data are 2 arguments, and the program takes y"),
        ({"x": Y}, "no argument 'x'; it takes y"),
        ({}, "argument 'y' is missing"),
        (Y[:, None], r"'y' is observed with values of shape \(20, 1\)"),
        ("text", "no array of numbers"),
    ],
)
def test_data_that_do_not_go_with_it(data: Any, message: str):
    with pytest.raises(emjax.EmjaxError, match=message):
        emjax.fit(emjax.program(plain), data, key=0)


def test_arguments_out_of_range():
    for arguments, message in (
        ({"model": 3}, "is no program"),
        ({"model": plain, "prior": "flat"}, "prior = 'flat' is not allowed"),
        ({"model": plain, "latent": 3}, "latent = 3 is not allowed"),
        ({"model": plain, "component_axis": 0}, "component_axis = 0 is not allowed"),
    ):
        with pytest.raises(emjax.ConfigError, match=message):
            emjax.program(**arguments)


def without_integral(y):
    mu = numpyro.sample("mu", dist.ImproperUniform(dist.constraints.real, (), (2,)))
    w = weights()
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(w))
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)


def test_an_improper_posterior_is_refused_and_fitted():
    program = emjax.program(without_integral)
    assert emjax.fit(program, Y, key=0, n_init=2, accelerate="none").converged
    with pytest.raises(emjax.ConfigError, match="'mu' of the program has a law that does not integrate"):
        emjax.sample(program, Y, key=0)
