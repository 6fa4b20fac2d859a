r"""posteriordb's ``low_dim_gauss_mix``: two normals in one dimension, their means in order.

**Story.** The mixture by which Stan's developers compare samplers: two overlapping normals, a reference posterior, and
means that are kept in order so that the components have names.
**Question.** Is the reference posterior reached, and is it any different from what EM and its standard errors say?

.. math::

    \mu_1 < \mu_2, \quad \mu_k \sim N(0, 2^2), \quad \sigma_k \sim N^+(0, 2^2), \quad
    \theta \sim \mathrm{Beta}(5, 5), \\
    z_i \sim \mathrm{Categorical}(\theta, 1 - \theta), \qquad y_i \mid z_i = k \sim N(\mu_k, \sigma_k^2) .

As in the Stan program, the prior of the means is that of two independent normals on the ordered half of the plane (here
with its constant, a factor of two). Source: https://github.com/stan-dev/posteriordb (BSD-3), posterior
``low_dim_gauss_mix-low_dim_gauss_mix``.
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


class OrderedNormals(dist.Distribution):
    """Two independent normals with mean zero, sorted."""

    support = dist.constraints.ordered_vector

    def __init__(self, scale):
        self.scale = scale
        super().__init__(batch_shape=(), event_shape=(2,))

    def sample(self, key, sample_shape=()):
        """Draws ``(*sample_shape, 2)``, increasing along the last axis."""
        return jnp.sort(dist.Normal(0.0, self.scale).expand([2]).sample(key, sample_shape))

    def log_prob(self, value):
        """Twice the density of the unsorted ones: each pair comes about in two ways."""
        return jnp.log(2.0) + dist.Normal(0.0, self.scale).log_prob(value).sum(-1)


def model(y):
    """The program; ``y`` has shape ``(n,)``. Sites: ``mu (2,)``, ``sigma (2,)`` and ``theta``."""
    mu = numpyro.sample("mu", OrderedNormals(2.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(2.0).expand([2]).to_event(1))
    theta = numpyro.sample("theta", dist.Beta(5.0, 5.0))

    with numpyro.plate("datum", len(y)):
        weights = dist.Categorical(probs=jnp.stack([theta, 1.0 - theta]))
        z = numpyro.sample("z", weights, infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(mu[z], sigma[z]), obs=y)


def data(seed=0):
    """500 numbers: theta 0.6, means -2.75 and 2.75, scales 1, as posteriordb's own 1000 look."""
    rng = np.random.default_rng(seed)
    return {"y": np.where(rng.random(500) < 0.6, -2.75, 2.75) + rng.normal(size=500)}
