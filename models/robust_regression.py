r"""A regression with outliers: telephone calls from Belgium.

**Story.** The yearly number of international calls from Belgium grows steadily from 1950 to 1973, but for some years
their minutes were written down in place of their number: six or seven values have nothing to do with the rest.
**Question.** How fast did the number of calls grow, and which years were written down wrongly?

.. math::

    \pi \sim \mathrm{Beta}(2, 5), \quad a \sim N(0, 10^2), \quad b \sim N(0, 2^2), \quad
    \log \sigma \sim N(0, 1), \quad \log \tau \sim N(4, 1), \\
    z_i \sim \mathrm{Bernoulli}(\pi), \qquad
    y_i \mid z_i = 0 \sim N(a + b x_i, \sigma^2), \qquad y_i \mid z_i = 1 \sim N(a + b x_i, \tau^2) .

An outlier scatters about the same line, but widely: Tukey's contaminated normal; its posterior is in Box and Tiao,
A Bayesian approach to some outlier problems, Biometrika 55 (1968).
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


def model(y, x):
    """The program; ``y`` and ``x`` have shape ``(n,)``.

    Sites, all numbers: ``outlying`` (the probability of z = 1), ``intercept``, ``slope``, ``scale``, ``outlier_scale``.
    """
    outlying = numpyro.sample("outlying", dist.Beta(2.0, 5.0))
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 10.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 2.0))
    scale = numpyro.sample("scale", dist.LogNormal(0.0, 1.0))
    outlier_scale = numpyro.sample("outlier_scale", dist.LogNormal(4.0, 1.0))

    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Bernoulli(outlying), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(intercept + slope * x, jnp.where(z == 1, outlier_scale, scale)), obs=y)


def data(seed=0):
    """Calls and years since 1950, ``(24,)`` each; the same for every seed.

    Rousseeuw and Leroy, Robust Regression and Outlier Detection, Wiley (1987), page 26, table 2.
    """
    calls = "4.4 4.7 4.7 5.9 6.6 7.3 8.1 8.8 10.6 12.0 13.5 14.9 16.1 21.2 119 124 142 159 182 212 43 24 27 29"
    return {"y": np.array(calls.split(), float), "x": np.arange(24.0)}
