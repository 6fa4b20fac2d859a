r"""Counts with more zeros than a Poisson law has: a lamb before its birth.

**Story.** By ultrasound the movements of a fetal lamb were counted in 240 intervals of five seconds. Three quarters of
them have none: sometimes the lamb is awake and happens not to move, sometimes it rests.
**Question.** In what share of the intervals was it awake, and how often does it move then?

.. math::

    \pi \sim \mathrm{Uniform}(0, 1), \quad \lambda \sim \mathrm{Gamma}(2, 1), \quad z_i \sim \mathrm{Bernoulli}(\pi),
    \quad y_i \mid z_i = 1 \sim \mathrm{Poisson}(\lambda), \quad y_i \mid z_i = 0 \equiv 0 .

Zero inflation: Lambert, Technometrics 34 (1992). Data: Leroux and Puterman, Maximum-penalized-likelihood estimation for
independent and Markov-dependent mixture models, Biometrics 48 (1992); the order of the intervals plays no part here.
"""

import numpy as np
import numpyro
import numpyro.distributions as dist


def model(y):
    """The program; ``y`` are counts ``(n,)``. Sites: ``awake``, the probability of z = 1, and ``rate``."""
    awake = numpyro.sample("awake", dist.Uniform(0.0, 1.0))
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))

    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Bernoulli(awake), infer={"enumerate": "parallel"})
        # Poisson(rate * z) has the same values, but at a rate of zero its gradient is NaN.
        numpyro.sample("y", dist.ZeroInflatedPoisson(1.0 - z, rate), obs=y)


def data(seed=0):
    """The number of movements in each interval, sorted; the same for every seed."""
    return {"y": np.repeat([0, 1, 2, 3, 4, 7], [182, 41, 12, 2, 2, 1])}
