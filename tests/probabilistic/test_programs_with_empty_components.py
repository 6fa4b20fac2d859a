"""Where a component of a program may hold no data, its posterior is looked for there, too."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.stats import multivariate_normal

import emjax
from emjax.bayes import handoff

pytestmark = pytest.mark.runs_numpyro

RNG = np.random.default_rng(1)
Y = np.r_[RNG.normal(-1.0, 1.0, 12), RNG.normal(1.5, 1.0, 8)]


def known_scale(y):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0).expand([2]).to_event(1))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)


def test_the_mass_where_a_component_is_empty_is_that_of_one_normal(monkeypatch: pytest.MonkeyPatch):
    samples = []

    def kept(*arguments):
        samples.append(weighted(*arguments))
        return samples[-1]

    weighted = handoff._weighted
    monkeypatch.setattr(handoff, "_weighted", kept)
    posterior = emjax.sample(emjax.program(known_scale), Y, key=3, method="laplace", chains=1, draws=20)
    n = len(Y)
    # The marginal of one normal whose mean is drawn, times the chance that all data fall to one of two components.
    one_normal = multivariate_normal.logpdf(Y, np.zeros(n), np.eye(n) + 25.0 * np.ones((n, n)))
    (ridge,) = samples[0].ridges
    assert ridge.mode.log_mass == pytest.approx(one_normal - np.log(n + 1.0), abs=1e-6)
    # A fifth of the posterior is there, which draws around the modes miss, and say so.
    assert posterior.status.value == "unreliable"


def weights_alone(y):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(jnp.array([-1.0, 1.5])[z], 1.0), obs=y)


def test_where_weights_are_all_there_is_there_is_no_ridge():
    posterior = emjax.sample(emjax.program(weights_alone), Y, key=3, method="laplace", chains=1, draws=500)
    assert posterior.map_fit.converged
    # One number, on a grid.
    own = np.stack([-0.5 * (Y - mean) ** 2 for mean in (-1.0, 1.5)])
    grid = np.linspace(0.0005, 0.9995, 1000)
    heights = np.array([np.logaddexp(np.log(w) + own[0], np.log1p(-w) + own[1]).sum() for w in grid])
    density = np.exp(heights - heights.max()) / np.exp(heights - heights.max()).sum()
    mean, sd = (grid * density).sum(), np.sqrt((grid**2 * density).sum() - (grid * density).sum() ** 2)
    drawn = posterior.tree["posterior"]["weights"].values[..., 0]
    assert abs(drawn.mean() - mean) <= 4.0 * sd / np.sqrt(posterior.diagnostics.min_ess_bulk)
