r"""Latent classes whose sizes depend on covariates: who trusts institutions?

**Story.** 400 people say of each of five institutions whether they trust it. Behind the answers stand two kinds of
people, and it depends on age and on where somebody lives which kind is likelier. The numbers are simulated.
**Question.** How does the share of the trusting change with age, and with living in a town?

.. math::

    \beta_{kq} \sim N(0, 1.5^2), \quad p_{kj} \sim \mathrm{Beta}(2, 2), \quad
    z_i \sim \mathrm{Categorical}(\mathrm{softmax}_k(\beta_k^\top u_i)), \quad
    y_{ij} \mid z_i = k \sim \mathrm{Bernoulli}(p_{kj}) .

Only differences between rows of :math:`\beta` act on the data; the prior settles the rest, and treats classes alike.
Latent classes with concomitant variables: Dayton and Macready, Journal of the American Statistical Association 83
(1988); Bandeen-Roche, Miglioretti, Zeger and Rathouz, the same journal 92 (1997).
"""

import numpy as np
import numpyro
import numpyro.distributions as dist


def model(y, design, n_components=2):
    """The program; ``y`` is 0 or 1, ``(n, J)``, and ``design`` ``(n, Q)`` with a first column of ones.

    Sites: ``coefficients (K, Q)`` and ``probability (K, J)`` of a 1.
    """
    shape = [n_components, design.shape[1]]
    coefficients = numpyro.sample("coefficients", dist.Normal(0.0, 1.5).expand(shape).to_event(2))
    probability = numpyro.sample("probability", dist.Beta(2.0, 2.0).expand([n_components, y.shape[1]]).to_event(2))

    with numpyro.plate("datum", len(y)):
        classes = dist.Categorical(logits=design @ coefficients.T)
        z = numpyro.sample("z", classes, infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Bernoulli(probability[z]).to_event(1), obs=y)


def data(seed=0):
    """400 people; the columns of ``design`` are 1, age in standard units, and 1 for those who live in a town.

    The trusting say yes with probabilities 0.9, 0.8, 0.85, 0.7, 0.75, the others with 0.3, 0.2, 0.4, 0.15, 0.25; the
    log odds of being trusting are 0.5 + 0.8 age - 1.0 town.
    """
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(400), rng.normal(size=400), rng.random(400) < 0.5])
    trusting = rng.random(400) < 1 / (1 + np.exp(-design @ [0.5, 0.8, -1.0]))
    yes = np.where(trusting[:, None], [0.9, 0.8, 0.85, 0.7, 0.75], [0.3, 0.2, 0.4, 0.15, 0.25])
    return {"y": (rng.random((400, 5)) < yes).astype(int), "design": design}
