r"""Raters who err: seven pathologists and 118 slides.

**Story.** Seven pathologists each said of the same 118 slides whether they show carcinoma of the uterine cervix. They
disagree on more than half of them, and nobody knows the truth.
**Question.** How often does each see carcinoma where there is none, and miss it where it is? Which slides have it?

.. math::

    w \sim \mathrm{Dirichlet}(2, \dots, 2), \quad \pi_{kr} \sim \mathrm{Dirichlet}(1 + 2 e_k), \quad
    z_i \sim \mathrm{Categorical}(w), \quad y_{ir} \mid z_i = k \sim \mathrm{Categorical}(\pi_{kr}) ,

:math:`e_k` being 1 at category k: a rater is expected to be right more often than not, which also says which class is
which. Dawid and Skene, Maximum likelihood estimation of observer error-rates using the EM algorithm, Applied Statistics
28 (1979), without such a prior.

Data: Landis and Koch, Biometrics 33 (1977), from Holmquist, McMahan and Williams (1967); two categories as in Agresti,
Categorical Data Analysis, 2nd edition, Wiley (2002), table 13.1, who needs a third class for slides that are in doubt.
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


def model(y, n_categories=2):
    """The program; ``y`` are categories 0, 1, ..., ``(n, R)``, one column a rater.

    Sites: ``weights (K,)`` and ``confusion (K, R, K)``, the probability that a rater calls k what the last axis says.
    """
    expected = 1.0 + 2.0 * jnp.eye(n_categories)
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.full(n_categories, 2.0)))
    rater = dist.Dirichlet(expected[:, None, :]).expand([n_categories, y.shape[1]])
    confusion = numpyro.sample("confusion", rater.to_event(2))

    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Categorical(confusion[z]).to_event(1), obs=y)


def data(seed=0):
    """What the pathologists A to G said, 1 for carcinoma, ``(118, 7)``; the same for every seed."""
    patterns = (
        "0000000 0000100 0100000 0100001 0100100 0100101 1000000 1010101 1100000 1100001 "
        "1100100 1100101 1100111 1101001 1101101 1101111 1110101 1110111 1111101 1111111"
    )
    counts = [34, 2, 6, 1, 4, 5, 2, 1, 2, 1, 2, 7, 1, 1, 2, 3, 13, 5, 10, 16]
    rows = np.array([list(map(int, pattern)) for pattern in patterns.split()])
    return {"y": np.repeat(rows, counts, axis=0)}
