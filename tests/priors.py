"""Conjugate priors of chosen numbers, written without data to scale them by."""

from typing import Any

import numpy as np

import emjax
from emjax import laws


def poisson_prior(alpha: Any, shape: float, rate: Any) -> emjax.Prior:
    """Rates from a gamma law of one ``shape`` and a ``rate`` per feature; ``alpha (K,)`` is of the weights."""
    alpha, rate = np.asarray(alpha, float), np.asarray(rate, float)
    own = {"weights": laws.Dirichlet(alpha), "rate": laws.Gamma(np.asarray(shape, float), rate)}
    return emjax.Prior(emjax.Poisson(), len(alpha), len(rate), own)


def normal_prior(alpha: Any, mean: Any, precision: float, degrees_of_freedom: float, scatter: Any) -> emjax.Prior:
    """Normals with full covariances of an inverse Wishart law; means ``(d,)`` worth ``precision`` observations."""
    alpha, mean = np.asarray(alpha, float), np.asarray(mean, float)
    own = {
        "weights": laws.Dirichlet(alpha),
        "covariance": laws.InverseWishart(np.asarray(degrees_of_freedom, float), np.asarray(scatter, float)),
        "mean": laws.NormalGiven(mean, np.asarray(precision, float)),
    }
    return emjax.Prior(emjax.Normal(), len(alpha), len(mean), own)
