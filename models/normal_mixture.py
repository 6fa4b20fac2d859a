r"""A mixture of normals as a plain NumPyro program; it needs NumPyro and nothing else.

With :math:`n` data of :math:`d` features, mean :math:`\bar x` and covariance :math:`S` (divided by :math:`n`),

.. math::

    w &\sim \mathrm{Dirichlet}(1, \dots, 1) \\
    \Sigma_k &\sim \mathrm{InverseWishart}(d + 2, \; S / K^{2/d}) \\
    \mu_k \mid \Sigma_k &\sim N(\bar x, \; \Sigma_k / 0.01) \\
    x_i &\sim \textstyle\sum_k w_k \, N(\mu_k, \Sigma_k) .

The prior is weakly informative and scaled by the data: the K components share out the data's volume, and their means
may lie anywhere near the data (Fraley and Raftery, Journal of Classification 24, 2007). The labels are summed out, so
that NUTS can sample it; in double precision (``numpyro.enable_x64()``) it is the density that
``emjax.Mixture(emjax.Normal("full"), n_components, prior="default")`` declares.

    import jax, numpyro
    from numpyro.infer import MCMC, NUTS

    numpyro.enable_x64()
    mcmc = MCMC(NUTS(model), num_warmup=1000, num_samples=1000)
    mcmc.run(jax.random.key(0), x, n_components=2)
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model(x, n_components=2, prior_precision=0.01, degrees_of_freedom=None, observed=True):
    """The program.

    ``x`` has shape ``(n, d)``; ``(n,)`` means one feature. ``prior_precision`` says how many data the prior of a mean
    is worth; ``degrees_of_freedom`` are those of the inverse Wishart, ``d + 2`` unless given. With ``observed=False``
    the data only scale the prior, and as many new ones are drawn.
    """
    x = jnp.reshape(x, (len(x), -1))
    n, d = x.shape
    center = jnp.mean(x, axis=0)
    covariance_of_x = (x - center).T @ (x - center) / n
    if degrees_of_freedom is None:
        degrees_of_freedom = d + 2

    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(n_components)))
    with numpyro.plate("component", n_components):
        covariance = numpyro.sample(
            "covariance",
            dist.InverseWishart(degrees_of_freedom, scale_matrix=covariance_of_x / n_components ** (2 / d)),
        )
        mean = numpyro.sample("mean", dist.MultivariateNormal(center, covariance / prior_precision))

    mixture = dist.MixtureSameFamily(dist.Categorical(probs=weights), dist.MultivariateNormal(mean, covariance))
    with numpyro.plate("datum", n):
        return numpyro.sample("x", mixture, obs=x if observed else None)
