r"""A mixture of Poissons: death notices in The Times.

**Story.** On each of 1096 days of 1910 to 1912 somebody counted the notices of women who had died at 80 or older. More
days have none, and more have many, than one Poisson law allows: perhaps winters differ from summers.
**Question.** Two rates explain the counts, but they lie close together: how well are they and the shares known?

.. math::

    w \sim \mathrm{Dirichlet}(2, \dots, 2), \quad \lambda_k \sim \mathrm{Gamma}(2, 1), \quad
    z_i \sim \mathrm{Categorical}(w), \quad y_i \mid z_i = k \sim \mathrm{Poisson}(\lambda_k) .

Source of the data: Hasselblad, Journal of the American Statistical Association 64 (1969), who fits them by what was
later called EM; it is slow here, because the components overlap.
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


def model(y, n_components=2):
    """The program; ``y`` are counts ``(n,)``. Sites: ``weights (K,)`` and ``rate (K,)``."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.full(n_components, 2.0)))
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0).expand([n_components]).to_event(1))

    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Poisson(rate[z]), obs=y)


def data(seed=0):
    """The published table, a row for each day (their order was not published); the same for every seed."""
    return {"y": np.repeat(np.arange(10), [162, 267, 271, 185, 111, 61, 27, 8, 3, 1])}
