r"""A change point: one latent for all data, which emjax refuses.

**Story.** From 1851 to 1962 there were 191 explosions in British coal mines that killed ten people or more. They became
rarer at some time around 1890, when the mines became safer.
**Question.** In which year did the rate change, and by how much?

.. math::

    \lambda_1, \lambda_2 \sim \mathrm{Gamma}(2, 1), \quad z \sim \mathrm{Uniform}\{0, \dots, n - 1\}, \quad
    y_t \sim \mathrm{Poisson}(\lambda_1 \text{ if } t < z \text{ else } \lambda_2) .

Here z is no property of a datum: all the counts depend on the one z, so there is no matrix of one row per component and
one column per datum, and EM has no responsibilities to work with. NumPyro's enumeration takes it, with n terms.

Data: Jarrett, Biometrika 66 (1979), by year as in Carlin, Gelfand and Smith, Hierarchical Bayesian analysis of
changepoint problems, Applied Statistics 41 (1992), whose model this is but for the constants of the prior.
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


def model(y):
    """The program; ``y`` are counts ``(n,)`` in order. Sites: ``early`` and ``late``, the rates before z and after."""
    early = numpyro.sample("early", dist.Gamma(2.0, 1.0))
    late = numpyro.sample("late", dist.Gamma(2.0, 1.0))
    z = numpyro.sample("z", dist.Categorical(logits=jnp.zeros(len(y))), infer={"enumerate": "parallel"})

    with numpyro.plate("datum", len(y)):
        numpyro.sample("y", dist.Poisson(jnp.where(jnp.arange(len(y)) < z, early, late)), obs=y)


def data(seed=0):
    """The number of disasters in each year from 1851 on, ``(112,)``; the same for every seed."""
    counts = (
        "4541043406334026335453144155342522342132211113001011003103220111010100021000110"
        "233112111124200014000100000100101"
    )
    return {"y": np.array([int(count) for count in counts])}
