r"""posteriordb's ``low_dim_gauss_mix`` as a plain NumPyro program; it needs NumPyro and nothing else.

.. math::

    \mu_1 < \mu_2, \quad \mu_j \sim N(0, 2), \qquad \sigma_j \sim N^+(0, 2), \qquad \theta \sim \mathrm{Beta}(5, 5), \\
    y_i \sim \theta \, N(\mu_1, \sigma_1) + (1 - \theta) \, N(\mu_2, \sigma_2),

the second argument of :math:`N` being a standard deviation. As in the Stan program, the prior of the means is that of
two independent normals on the ordered half of the plane. Source: https://github.com/stan-dev/posteriordb (BSD-3),
model ``low_dim_gauss_mix``.

    mcmc = MCMC(NUTS(model), num_warmup=1000, num_samples=1000)
    mcmc.run(jax.random.key(0), y)
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model(y):
    """The program; ``y`` has shape ``(n,)``. Its sites are ``mu (2,)``, ``sigma (2,)`` and ``theta``."""
    # The flat density on ordered vectors carries the Jacobian of their transform; the factor adds the normal prior.
    mu = numpyro.sample("mu", dist.ImproperUniform(dist.constraints.ordered_vector, (), event_shape=(2,)))
    numpyro.factor("mu_prior", dist.Normal(0.0, 2.0).log_prob(mu).sum())
    sigma = numpyro.sample("sigma", dist.HalfNormal(2.0).expand([2]).to_event(1))
    theta = numpyro.sample("theta", dist.Beta(5.0, 5.0))

    weights = dist.Categorical(probs=jnp.stack([theta, 1.0 - theta]))
    with numpyro.plate("datum", len(y)):
        numpyro.sample("y", dist.MixtureSameFamily(weights, dist.Normal(mu, sigma)), obs=y)
