r"""Latent classes: what one owes to a friend.

**Story.** 216 students were told of four situations in which a duty to a friend stands against a duty to everybody,
such as being a witness against him, and chose. Answers to the four agree more than chance allows.
**Question.** Are there two kinds of respondents within which the four answers are independent, and how large are they?

.. math::

    w \sim \mathrm{Dirichlet}(2, \dots, 2), \quad p_{kj} \sim \mathrm{Beta}(2, 2), \quad
    z_i \sim \mathrm{Categorical}(w), \quad y_{ij} \mid z_i = k \sim \mathrm{Bernoulli}(p_{kj}) .

Data: Stouffer and Toby, Role conflict and personality, American Journal of Sociology 56 (1951). Two classes: Goodman,
Exploratory latent structure analysis, Biometrika 61 (1974), by maximum likelihood; 2 log of the likelihood ratio
against the saturated table is 2.72 with 6 degrees of freedom, and the classes are 28% and 72%.
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


def model(y, n_components=2):
    """The program; ``y`` is 0 or 1, ``(n, J)``. Sites: ``weights (K,)`` and ``probability (K, J)`` of a 1."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.full(n_components, 2.0)))
    probability = numpyro.sample("probability", dist.Beta(2.0, 2.0).expand([n_components, y.shape[1]]).to_event(2))

    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Bernoulli(probability[z]).to_event(1), obs=y)


def data(seed=0):
    """The answers, 1 for the friend, ``(216, 4)``; the same for every seed.

    The counts are those of the sixteen patterns 0000, 0001, 0010, ..., 1111.
    """
    patterns = np.array([[int(digit) for digit in f"{number:04b}"] for number in range(16)])
    return {"y": np.repeat(patterns, [42, 23, 6, 25, 6, 24, 7, 38, 1, 4, 1, 6, 2, 9, 2, 20], axis=0)}
