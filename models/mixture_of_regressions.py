r"""A mixture of regressions: two ways of hearing an octave.

**Story.** A musician hears a tone whose overtones are stretched by a factor x, and tunes a second one an octave above.
Some tunings follow the stretched overtones, y = x; others stay at the true octave, y = 2, whatever is heard. The
numbers here are simulated after that experiment.
**Question.** What are the two lines, how often is each rule used, and how sure is that where the lines cross?

.. math::

    w \sim \mathrm{Dirichlet}(2, \dots, 2), \quad a_k \sim N(0, 2^2), \quad b_k \sim N(0, 2^2), \quad
    \log \sigma_k \sim N(-2, 1), \\
    z_i \sim \mathrm{Categorical}(w), \qquad y_i \mid z_i = k \sim N(a_k + b_k x_i, \; \sigma_k^2) .

The log-normal law keeps the scales from zero, where a line through two points would have a likelihood without bound.
The experiment: Cohen, dissertation, University of Illinois (1980); as a mixture of regressions: De Veaux, Computational
Statistics & Data Analysis 8 (1989).
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


def model(y, x, n_components=2):
    """The program; ``y`` and ``x`` are ``(n,)``. Sites ``(K,)``: ``weights``, ``intercept``, ``slope``, ``scale``."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.full(n_components, 2.0)))
    with numpyro.plate("component", n_components):
        intercept = numpyro.sample("intercept", dist.Normal(0.0, 2.0))
        slope = numpyro.sample("slope", dist.Normal(0.0, 2.0))
        scale = numpyro.sample("scale", dist.LogNormal(-2.0, 1.0))

    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(intercept[z] + slope[z] * x, scale[z]), obs=y)


def data(seed=0):
    """200 tunings, seven in ten at the octave: intercepts 2 and 0, slopes 0 and 1, scales 0.05 and 0.15."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(1.35, 3.0, 200)
    follows = rng.random(200) < 0.3
    y = np.where(follows, x, 2.0) + np.where(follows, 0.15, 0.05) * rng.normal(size=200)
    return {"y": y, "x": x}
