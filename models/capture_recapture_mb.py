r"""Capture and recapture, animals that remember (model Mb): how many were never seen?

**Story.** As in model M0, but an animal that was caught on the last occasion may have learned to avoid the trap, or to
like it: it is caught with another probability. 168 animals were caught on five occasions; 150 rows of zeros are added.
**Question.** How many animals are there, and do they remember? (Simulated are 200; 0.3 at first, 0.4 after a capture.)

.. math::

    \omega, p, c \sim \mathrm{Uniform}(0, 1), \quad z_i \sim \mathrm{Bernoulli}(\omega), \quad
    y_{it} \mid z_i \sim \mathrm{Bernoulli}\bigl(z_i \, (c \text{ if } y_{i, t-1} = 1 \text{ else } p)\bigr) .

Memory is known by those who were caught twice, the population by those who were caught once: c - p is the memory, the
number of rows with z = 1 the population.

Kery and Schaub, Bayesian Population Analysis using WinBUGS, Academic Press (2012), section 6.2.3; data and priors as in
posteriordb's ``Mb_data-Mb_model`` (https://github.com/stan-dev/posteriordb, BSD-3).
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logit

NEVER = -1000.0
"""The log odds of a row that is no animal. Of a probability of zero, z * p, the second derivatives are NaN."""


def model(y):
    """The program; ``y`` is 1 where row i was caught on occasion t, ``(n, T)``. Sites: ``omega``, ``p`` and ``c``."""
    omega = numpyro.sample("omega", dist.Uniform(0.0, 1.0))
    p = numpyro.sample("p", dist.Uniform(0.0, 1.0))
    c = numpyro.sample("c", dist.Uniform(0.0, 1.0))

    before = jnp.pad(y[:, :-1], ((0, 0), (1, 0)))  # nobody was caught before the first occasion
    catching = logit(jnp.where(before == 1, c, p))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Bernoulli(omega), infer={"enumerate": "parallel"})
        caught = jnp.where(z[..., None] == 1, catching, NEVER)
        numpyro.sample("y", dist.Bernoulli(logits=caught).to_event(1), obs=y)


def data(seed=0):
    """Histories of the 168 animals that were caught, and 150 rows of zeros, ``(318, 5)``; the same for every seed.

    The counts are those of the 32 histories 00000, 00001, 00010, ..., 11111.
    """
    counts = [150, 17, 11, 4, 18, 4, 14, 6, 10, 5, 4, 1, 6, 5, 6, 2, 9, 5, 4, 5, 4, 1, 2, 1, 7, 1, 6, 3, 5, 0, 1, 1]
    histories = np.array([[int(digit) for digit in f"{number:05b}"] for number in range(32)])
    return {"y": np.repeat(histories, counts, axis=0)}
