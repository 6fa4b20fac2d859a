r"""posteriordb's ``normal_2``: two normals of known scale, far apart.

**Story.** The textbook's first mixture: each number comes from one of two normals with scale 1, and their means are so
far apart that no number is in doubt.
**Question.** Does whoever analyses it get the posterior that conjugate laws give to data whose labels are known?

.. math::

    (\theta, 1 - \theta) \sim \mathrm{Dirichlet}(1, 1), \quad \mu_k \sim N(0, 10^2), \quad
    z_i \sim \mathrm{Categorical}(\theta, 1 - \theta), \quad y_i \mid z_i = k \sim N(\mu_k, 1) .

With :math:`n_k` numbers of sum :math:`s_k` in component k, the posterior is
:math:`\theta \sim \mathrm{Beta}(1 + n_1, 1 + n_2)` and :math:`\mu_k \sim N(s_k / (n_k + 0.01), 1 / (n_k + 0.01))`, or
the same with the components exchanged. Source: https://github.com/stan-dev/posteriordb (BSD-3), posterior
``normal_2-normal_mixture``; its theta is the first of ``weights`` here.
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


def model(y):
    """The program; ``y`` has shape ``(n,)``. Sites: ``weights (2,)`` and ``mu (2,)``."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0).expand([2]).to_event(1))

    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(mu[z], 1.0), obs=y)


def data(seed=0):
    """500 numbers by posteriordb's law: theta 0.3, means -10 and 10."""
    rng = np.random.default_rng(seed)
    return {"y": np.where(rng.random(500) < 0.3, -10.0, 10.0) + rng.normal(size=500)}
