r"""The normal law of what was not observed given what was, for the E-step and for draws.

With the features split into those observed, :math:`o`, and those missing, :math:`m`,

.. math::

    E[x_m \mid x_o, k] = \mu_m + \Sigma_{mo} \Sigma_{oo}^{-1} (x_o - \mu_o), \qquad
    V[x_m \mid x_o, k] = \Sigma_{mm} - \Sigma_{mo} \Sigma_{oo}^{-1} \Sigma_{om} .

(Ghahramani and Jordan, "Supervised learning from incomplete data via an EM approach", Advances in Neural Information
Processing Systems 6, 1994; Little and Rubin, "Statistical Analysis with Missing Data", 3rd edition, 2019, section
11.2.) The matrices are the same for all rows of which the same was observed, and are made once for so many neighbours
as `Observations.n_alike` says.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray
from emjax.families.linalg import cholesky, diagonal, inverse_lower, product
from emjax.families.structure import CovarianceStructure


class Conditional(NamedTuple):
    """Of every component and row, relative to the component's mean.

    ``filled (K, n, d)`` are the observed values and the expected missing ones; ``spread (K, g, d, d)`` is the
    covariance of the missing ones, zero elsewhere (``(K, g, d)`` variances where features are independent), of each of
    ``g`` groups of neighbouring rows; ``distance (K, n)`` is the squared Mahalanobis distance of what was observed,
    ``half_log_det (K, n)`` half the log determinant of its covariance.
    """

    filled: Array
    spread: Array
    distance: Array
    half_log_det: Array

    @property
    def log_density(self) -> Array:
        """That of what was observed ``(K, n)``, but for :math:`2\\pi`."""
        return -0.5 * self.distance - self.half_log_det

    def summed_spread(self, structure: CovarianceStructure, weights: Float[Array, "K n"]) -> Array:
        """``sum_n w V_n`` in the structure's own shape."""
        k, n_groups = self.spread.shape[:2]
        return structure.summed(jnp.sum(weights.reshape(k, n_groups, -1), axis=-1), self.spread)


def with_matrices(
    covariance: Float[AnyArray, "K d d"],
    mean: Float[AnyArray, "K d"],
    x: Float[AnyArray, "n d"],
    seen: Float[AnyArray, "n d"],
    n_alike: int = 1,
) -> Conditional:
    """The conditional law under covariance matrices."""
    there = (seen[::n_alike] > 0)[None]
    both = there[..., :, None] & there[..., None, :]
    cov = covariance[:, None]
    # The unit matrix where nothing is observed: it has no part in any sum.
    root = cholesky(jnp.where(both, cov, jnp.eye(x.shape[1], dtype=cov.dtype)[None, None]))
    whitening = jnp.where(both, inverse_lower(root), 0.0)
    shared = product(whitening, cov)
    missing = ~there[..., :, None] & ~there[..., None, :]
    spread = jnp.where(missing, cov - product(jnp.swapaxes(shared, -1, -2), shared), 0.0)
    grouped = (len(mean), there.shape[1], n_alike, x.shape[1])
    centred = jnp.where(there[:, :, None, :], (x[None] - mean[:, None, :]).reshape(grouped), 0.0)
    whitened = product(centred, jnp.swapaxes(whitening, -1, -2))
    filled = jnp.where(there[:, :, None, :], centred, product(whitened, shared))
    log_det = jnp.sum(jnp.log(diagonal(root)), axis=-1)
    rows = (len(mean), len(x))
    return Conditional(
        filled=filled.reshape(*rows, -1),
        spread=spread,
        distance=jnp.sum(whitened**2, axis=-1).reshape(rows),
        half_log_det=jnp.repeat(log_det, n_alike, axis=1),
    )


def with_variances(
    variances: Float[AnyArray, "K d"],
    mean: Float[AnyArray, "K d"],
    x: Float[AnyArray, "n d"],
    seen: Float[AnyArray, "n d"],
) -> Conditional:
    """The same where features are independent given the component: what is missing keeps its mean and variance."""
    there = (seen > 0)[None]
    centred = jnp.where(there, x[None] - mean[:, None, :], 0.0)
    own: Any = variances[:, None, :]
    distance = jnp.sum(centred**2 / own, axis=-1)
    half_log_det = jnp.sum(jnp.where(there, 0.5 * jnp.log(own), 0.0), axis=-1)
    return Conditional(centred, jnp.where(there, 0.0, own), distance, half_log_det)
