"""Normal components that lie on top of one another: a prior that holds them together, for `[model] file`.

Components with the same centre, one narrow and one wide, are what the default prior finds hardest to tell from a
single one: it lets every component be as wide as the data. Here a scatter well below the data's own, worth several
observations, says that each component is narrower than all of them together, and weights near zero are unlikely.

    [model]
    file = "models/overlapping.py"
    arguments = { n_components = 2, width = 0.5 }
"""

import emjax
from emjax import laws


def build(n_components=2, center=0.0, width=0.5, weight=5.0):
    """The mixture, of one feature in standard units.

    ``center`` is where means are expected, ``width`` the standard deviation of a component (1 / variance is expected to
    be 1 / width^2), ``weight`` how many observations that expectation is worth; the mixing weights have a Dirichlet
    prior with concentration 2.
    """
    prior = {
        "weights": laws.Dirichlet([2.0] * n_components),
        "covariance": laws.InverseWishart(weight, [[weight * width**2]]),
        "mean": laws.NormalGiven([center], 0.01),
    }
    return emjax.Mixture(emjax.Normal("full"), n_components, prior=prior)
