r"""Normals whose scales learn from each other: the acidity of lakes.

**Story.** The index log(acid-neutralising capacity + 50) of 155 lakes in Wisconsin falls into groups that overlap. A
component on few lakes says little about its own variance, and likelihood alone would let it shrink onto a single one.
**Question.** What are the groups' variances once each is judged in the light of the others?

With :math:`m` the middle of the data and :math:`R` their range,

.. math::

    w \sim \mathrm{Dirichlet}(1, \dots, 1), \quad \mu_k \sim N(m, R^2), \quad
    \sigma_k^2 \mid \beta \sim \mathrm{InverseGamma}(2, \beta), \quad \beta \sim \mathrm{Gamma}(0.2, \; 10 / R^2), \\
    z_i \sim \mathrm{Categorical}(w), \qquad y_i \mid z_i = k \sim N(\mu_k, \sigma_k^2) ,

gammas by shape and rate. The common :math:`\beta` is the hierarchy. This is the prior of Richardson and Green, Journal
of the Royal Statistical Society B 59 (1997), with their constants; they analyse these data with a random K.
"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


def model(y, n_components=3):
    """The program; ``y`` is ``(n,)``. Sites: ``weights``, ``mean`` and ``variance``, all ``(K,)``, and ``beta``."""
    middle, extent = (jnp.max(y) + jnp.min(y)) / 2, jnp.max(y) - jnp.min(y)
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(n_components)))
    beta = numpyro.sample("beta", dist.Gamma(0.2, 10.0 / extent**2))
    with numpyro.plate("component", n_components):
        mean = numpyro.sample("mean", dist.Normal(middle, extent))
        variance = numpyro.sample("variance", dist.InverseGamma(2.0, beta))

    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(mean[z], jnp.sqrt(variance[z])), obs=y)


def data(seed=0):
    """The acidity index of 155 lakes; the same for every seed.

    Crawford, DeGroot, Kadane and Small, Modeling lake-chemistry distributions, Technometrics 34 (1992).
    """
    return {"y": np.array(ACIDITY.split(), float)}


ACIDITY = """
    2.928524 3.910021 3.732896 3.688879 3.822098 3.735286 4.143135 4.276666 3.931826 4.077537 4.779123 4.234107
    4.276666 4.543295 6.467388 4.127134 3.977811 4.264087 4.007333 3.921973 5.384495 4.912655 4.046554 4.043051
    4.406719 4.505350 3.931826 6.752270 6.928538 5.994460 4.248495 4.060443 4.727388 6.047372 4.082609 4.244200
    4.890349 4.416428 5.743003 4.127134 5.489764 4.778283 5.249652 4.855929 4.128746 4.442651 4.025352 4.290459
    4.593098 4.652054 4.178992 4.382027 5.569489 5.049856 4.188138 6.629363 4.647271 4.784989 4.348987 5.361292
    4.574711 4.442651 6.120297 4.060443 4.143135 4.510860 6.049733 4.510860 4.406719 6.343880 4.430817 5.929589
    5.973301 4.481872 4.301359 6.452680 4.204693 4.143135 6.603944 4.644391 5.863631 4.025352 5.717028 5.308268
    6.267201 4.060443 5.017280 4.510860 5.834811 4.330733 4.007333 6.806829 5.257495 4.624973 4.781641 4.099332
    7.044382 3.914021 4.330733 4.016383 5.572154 4.043051 4.843399 4.110874 4.454347 4.356709 6.154858 6.284321
    6.978214 4.301359 5.929855 4.465908 6.035481 6.726473 7.105130 6.014937 4.882802 7.032095 4.518522 6.476665
    6.125558 4.189655 5.323498 4.938065 6.313548 5.853925 6.278146 7.020191 5.023881 4.262680 6.725634 6.489205
    5.743003 6.739337 6.466145 6.855409 5.120983 5.913773 6.516932 4.058717 6.213608 6.554218 6.155707 4.314818
    6.662494 6.749931 6.100319 4.112512 6.946014 4.131961 6.234411 6.595781 6.683861 6.957973 4.497585
"""
