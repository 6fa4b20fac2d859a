"""Data drawn from a known mixture, with the true labels and parameters kept beside them.

Pure NumPy, and written independently of emjax's own densities, so that a test which recovers these
parameters does not check the library against itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emjax.bounds import whole
from emjax.datasets.dataset import Dataset
from emjax.datasets.laws import MixtureLaw, normal_law, poisson_law
from emjax.datasets.overlap import misassignment, separated
from emjax.errors import DataError
from emjax.matrix import default_feature_names

__all__ = ["misassignment", "normal_mixture", "poisson_mixture", "separated"]


def normal_mixture(
    *,
    weights: Any,
    mean: Any,
    scale: Any = None,
    covariance: Any = None,
    n_samples: int,
    seed: int | None = None,
) -> Dataset:
    r"""Draw from :math:`p(x) = \sum_k w_k \, \mathcal N(x \mid \mu_k, \Sigma_k)`.

    Args:
        weights: shape ``(n_components,)``, non-negative, summing to 1.
        mean: shape ``(n_components, n_features)``, or ``(n_components,)`` for one feature.
        scale: standard deviations (not variances) of uncorrelated features, same shape as ``mean``.
        covariance: shape ``(n_components, n_features, n_features)``, symmetric positive definite.  Exactly
            one of ``scale`` and ``covariance`` is given.
        n_samples: the number of rows to draw, at most a billion.
        seed: seed of ``numpy.random.default_rng``, from 0 to 2**32 - 1; the same seed gives the same data.  Left
            out, it is drawn, and ``Dataset.source`` names it.

    Returns:
        A data set with ``labels`` (the component of each row, integers from 0) and ``truth``: ``weights``
        ``(n_components,)``, ``mean`` and ``scale`` ``(n_components, n_features)``, ``covariance``
        ``(n_components, n_features, n_features)``.

    Raises:
        DataError: if shapes do not fit, or a value is not allowed.
    """
    law = normal_law(weights=weights, mean=mean, scale=scale, covariance=covariance)
    truth = {name: law.parameters[name] for name in ("weights", "mean", "scale", "covariance")}
    return drawn(law, truth, "normal", n_samples, seed)


def poisson_mixture(*, weights: Any, rate: Any, n_samples: int, seed: int | None = None) -> Dataset:
    r"""Draw from :math:`p(x) = \sum_k w_k \prod_j \mathrm{Poisson}(x_j \mid \lambda_{kj})`.

    Args:
        weights: shape ``(n_components,)``, non-negative, summing to 1.
        rate: expected counts, positive, shape ``(n_components, n_features)`` or ``(n_components,)``.
        n_samples: the number of rows to draw, at most a billion.
        seed: seed of ``numpy.random.default_rng``, from 0 to 2**32 - 1; the same seed gives the same data.  Left
            out, it is drawn, and ``Dataset.source`` names it.

    Returns:
        A data set with ``labels`` and ``truth`` (``weights`` and ``rate``), as :func:`normal_mixture`.

    Raises:
        DataError: if shapes do not fit, or a value is not allowed.
    """
    law = poisson_law(weights=weights, rate=rate)
    return drawn(law, law.parameters, "Poisson", n_samples, seed)


def drawn(law: MixtureLaw, truth: dict[str, np.ndarray], kind: str, n_samples: int, seed: int | None) -> Dataset:
    """``n_samples`` draws of any law as a data set; ``truth`` are its parameters, ``kind`` names it in a sentence."""
    size = whole("n_samples", n_samples, error=DataError)
    if seed is None:
        from emjax.keys import drawn_seed  # imports JAX, which readers and peers do without

        seed = drawn_seed()
    seed = whole("seed", seed, error=DataError)
    values, labels = law.sample(size, np.random.default_rng(seed))
    return Dataset(
        values=values,
        feature_names=default_feature_names(values.shape[1]),
        name="simulated",
        source=f"drawn by emjax.datasets.simulate with seed {seed}",
        license="none needed (simulated)",
        description=f"{values.shape[0]} draws from a mixture of {law.weights.size} {kind} components.",
        labels=labels,
        truth=truth,
    )
