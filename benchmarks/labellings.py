r"""Exact posteriors of small mixtures, by the sum over all labellings of the data; plain NumPy, none of emjax's code.

With conjugate priors everything but the labels :math:`z` integrates out,

.. math::

    p(x, z) = \frac{\Gamma(\sum_k \alpha_k)}{\Gamma(\sum_k \alpha_k + n)}
    \prod_k \frac{\Gamma(\alpha_k + n_k)}{\Gamma(\alpha_k)} \, m(\{x_i : z_i = k\}),

with :math:`m` the marginal likelihood of one component's data. A dozen data have :math:`2^{12}` subsets, so that many
values of :math:`m`, and :math:`3^{12}` labellings by three components.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import gammaln, multigammaln

MOST_LABELLINGS = 1_000_000


@dataclasses.dataclass(frozen=True)
class ExactPosterior:
    """``log p(x)`` in nats, ``p(z_i = z_j | x)`` as ``(n, n)``, and the probability of each number of empty ones."""

    log_evidence: float
    together: np.ndarray
    empty: np.ndarray


def enumerate_labellings(x: np.ndarray, concentration: np.ndarray, laws: Mapping[str, Any]) -> ExactPosterior:
    """The exact posterior of data ``x (n, d)`` under a Dirichlet prior and emjax's conjugate laws of a component."""
    n, k = len(x), len(concentration)
    if k**n > MOST_LABELLINGS:
        raise ValueError(f"{k}**{n} labellings are too many to list")
    masks = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    marginals = (_poisson if "rate" in laws else _normal)(x, masks.astype(bool), laws)
    labels = (np.arange(k**n)[:, None] // k ** np.arange(n)) % k
    log_joint = np.full(k**n, gammaln(concentration.sum()) - gammaln(concentration.sum() + n))
    n_empty = np.zeros(k**n, int)
    for j, alpha in enumerate(concentration):
        members = labels == j
        counts = members.sum(axis=1)
        n_empty += counts == 0
        log_joint += gammaln(alpha + counts) - gammaln(alpha) + marginals[members @ (1 << np.arange(n))]
    log_evidence = np.logaddexp.reduce(log_joint)
    shares = np.exp(log_joint - log_evidence)
    together = sum((labels == j).T.astype(float) @ ((labels == j) * shares[:, None]) for j in range(k))
    return ExactPosterior(float(log_evidence), together, np.bincount(n_empty, shares, minlength=k))


def _poisson(x: np.ndarray, masks: np.ndarray, laws: Mapping[str, Any]) -> np.ndarray:
    """Counts whose rates have gamma priors."""
    a, b = float(laws["rate"].shape), np.asarray(laws["rate"].rate, float)
    n, sums = masks.sum(axis=1)[:, None], masks @ x
    terms = a * np.log(b) - gammaln(a) + gammaln(a + sums) - (a + sums) * np.log(b + n)
    return terms.sum(axis=1) - masks @ gammaln(x + 1.0).sum(axis=1)


def _normal(x: np.ndarray, masks: np.ndarray, laws: Mapping[str, Any]) -> np.ndarray:
    """Normals with full covariances: the normal-inverse-Wishart prior (Murphy, "Machine Learning", 2012, 5.3.2.3)."""
    d = x.shape[1]
    mean, law = laws["mean"], laws["covariance"]
    nu, kappa, center = float(law.degrees_of_freedom), float(mean.precision), np.asarray(mean.mean, float)
    scatter = np.asarray(law.scatter, float).reshape(d, d)
    n = masks.sum(axis=1)
    y = x - center
    # About the prior's mean, which is that of the data: nothing cancels.
    sums = masks @ y
    second = np.einsum("mn,ni,nj->mij", masks.astype(float), y, y)
    after = scatter + second - np.einsum("mi,mj->mij", sums, sums) / (kappa + n)[:, None, None]
    return (
        -0.5 * n * d * np.log(np.pi)
        + 0.5 * d * np.log(kappa / (kappa + n))
        + multigammaln(0.5 * (nu + n), d)
        - multigammaln(0.5 * nu, d)
        + 0.5 * nu * np.linalg.slogdet(scatter)[1]
        - 0.5 * (nu + n) * np.linalg.slogdet(after)[1]
    )
