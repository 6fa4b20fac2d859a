r"""Capture and recapture, every animal alike (model M0): how many were never seen?

**Story.** On three occasions animals of a closed population are caught, marked and let go; 87 were caught once or more.
To these are added 150 rows of zeros, animals that may or may not exist: z says which of the rows are animals.
**Question.** How many animals are there? (The population that was simulated has 100, caught with probability 0.5.)

.. math::

    \omega \sim \mathrm{Uniform}(0, 1), \quad p \sim \mathrm{Uniform}(0, 1), \quad
    z_i \sim \mathrm{Bernoulli}(\omega), \quad y_{it} \mid z_i \sim \mathrm{Bernoulli}(z_i \, p) .

The population is the number of rows with z = 1. Given the parameters a row of zeros is an animal with probability
:math:`\omega (1 - p)^T / (\omega (1 - p)^T + 1 - \omega)`, which is what responsibilities say.

Kery and Schaub, Bayesian Population Analysis using WinBUGS, Academic Press (2012), section 6.2.1; data and priors as in
posteriordb's ``M0_data-M0_model`` (https://github.com/stan-dev/posteriordb, BSD-3).
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logit

NEVER = -1000.0
"""The log odds of a row that is no animal. Of a probability of zero, z * p, the second derivatives are NaN."""


def model(y):
    """The program; ``y`` is 1 where row i was caught on occasion t, ``(n, T)``. Sites: ``omega`` and ``p``."""
    omega = numpyro.sample("omega", dist.Uniform(0.0, 1.0))
    p = numpyro.sample("p", dist.Uniform(0.0, 1.0))

    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Bernoulli(omega), infer={"enumerate": "parallel"})
        caught = jnp.where(z[..., None] == 1, jnp.full(y.shape[1], logit(p)), NEVER)
        numpyro.sample("y", dist.Bernoulli(logits=caught).to_event(1), obs=y)


def data(seed=0):
    """Histories of the 87 animals that were caught, and 150 rows of zeros, ``(237, 3)``; the same for every seed."""
    counts = {"000": 150, "001": 12, "010": 15, "011": 15, "100": 10, "101": 13, "110": 10, "111": 12}
    histories = np.array([list(map(int, history)) for history in counts])
    return {"y": np.repeat(histories, list(counts.values()), axis=0)}
