r"""The gamma family: positive features, independent given the component.

.. math::

    \log p(x \mid k) = \sum_j \bigl( a_{kj} \log b_{kj} - \log \Gamma(a_{kj}) + (a_{kj} - 1) \log x_j - b_{kj} x_j
    \bigr)

with shape :math:`a` and rate :math:`b`, so that a feature has mean :math:`a / b` and variance :math:`a / b^2`. The
M-step is Newton's method on the sums of :math:`x` and :math:`\log x`.

The default prior is log-normal: :math:`\log a_{kj} \sim N(\log a_0, 2^2)` and :math:`\log b_{kj} \sim N(\log b_0, 2^2)`
about the estimates of all the data by moments, :math:`a_0 = \bar x_j^2 / s_j^2` and :math:`b_0 = \bar x_j / s_j^2`. A
standard deviation is a factor of 7 up or down, whatever the units; and since the tail falls faster than any power, no
component collapses onto single points, as it does under maximum likelihood (log-normal laws of positive parameters:
Gelman et al., "Bayesian Data Analysis", 3rd edition, 2013, section 5.7; moments: Johnson, Kotz and Balakrishnan,
"Continuous Univariate Distributions", volume 1, 1994, chapter 17).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from emjax.families import laws
from emjax.families.arrays import AnyArray
from emjax.families.domains import POSITIVE
from emjax.families.draws import log_gamma
from emjax.families.frame import Frame, scaling_frame
from emjax.families.laws import Law
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams, Parameter, Unit, Values
from emjax.families.scalar import Cells, ScalarFamily
from emjax.moments import Summary
from emjax.samples import Samples, check_not_constant

_SPREAD = 2.0
"""The standard deviation of the logarithm of a parameter under the default prior."""

_NARROW = 2e-3
"""A component is narrow if its squared coefficient of variation is less than this share of that within components."""

_LEAST = 1e-12
"""The least squared coefficient of variation of a start."""

_SHARE = 1e-3
"""What is added of the squared coefficient of variation of all the data to that within clusters."""

_COLLAPSED = 1e-2
"""In units of one over the rounding of a number: from this shape on, sums do not tell a variance from rounding."""


@dataclasses.dataclass(frozen=True)
class Gamma(ScalarFamily):
    """Gamma components for positive numbers; features are independent given the component.

    The parameters are ``shape`` and ``rate``, ``(n_components, n_features)`` each; a feature has mean ``shape / rate``.
    """

    name: ClassVar[str] = "gamma"
    support: ClassVar[str] = "positive"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "shape": Parameter(POSITIVE),
        "rate": Parameter(POSITIVE, unit=Unit.RATE),
    }

    def check(self, samples: Samples) -> None:
        super().check(samples)
        check_not_constant(samples)

    def default_prior(self, summary: Summary, n_components: int) -> dict[str, Law]:
        shape = summary.mean**2 / summary.variance
        rate = summary.mean / summary.variance
        return {
            "shape": laws.LogNormal(np.log(shape), np.asarray(_SPREAD)),
            "rate": laws.LogNormal(np.log(rate), np.asarray(_SPREAD)),
        }

    def frame(self, summary: Summary) -> Frame:
        return scaling_frame(summary)

    def pooled(self, summary: Summary, n_components: int) -> Values:
        shape = 1.0 / np.maximum(summary.variance / summary.mean**2, _LEAST)
        return {name: np.tile(row, (n_components, 1)) for name, row in _moments(shape, summary.mean).items()}

    def at_means(self, params: MixtureParams, means: Float[AnyArray, "K d"]) -> Values:
        return _moments(params.shape, means)

    def at_clusters(self, params: MixtureParams, x: np.ndarray, labels: np.ndarray, means: np.ndarray) -> Values:
        # Each squared coefficient of variation is drawn towards the average with the weight of one row per parameter.
        sizes = np.bincount(labels, minlength=len(means))[:, None]
        squares = np.stack([np.bincount(labels, weights=column, minlength=len(means)) for column in (x**2).T], axis=1)
        own = np.maximum(squares / np.maximum(sizes, 1) / means**2 - 1.0, 0.0)
        within = (sizes * own).sum(axis=0) / len(x) + _SHARE / params.shape[0]
        return _moments((sizes + 2.0) / np.maximum(sizes * own + 2.0 * within, _LEAST), means)

    def place(self, x: np.ndarray) -> np.ndarray:
        return np.log(x)  # stabilises the variance: a standard deviation is in proportion to its mean

    def statistics_of(self, y: Any) -> tuple[Any, ...]:
        return y, jnp.log(y)

    def natural_of(self, cells: Cells) -> tuple[Any, ...]:
        return -cells["rate"], cells["shape"]

    def log_partition(self, cells: Cells) -> Any:
        return gammaln(cells["shape"]) - cells["shape"] * jnp.log(cells["rate"])

    def log_base_of(self, y: Any) -> Any:
        return -jnp.log(y)

    def mean_of(self, cells: Cells) -> Any:
        return cells["shape"] / cells["rate"]

    def variance_of(self, cells: Cells) -> Any:
        return cells["shape"] / cells["rate"] ** 2

    def log_kernel(self, params: MixtureParams, rows: Observations) -> Float[Array, "K n"]:
        # About the mean, where nothing of the size of a log a is left to cancel.
        dtype = jnp.result_type(rows.y, params.shape)
        a, b = (jnp.asarray(params[name], dtype)[:, :, None] for name in ("shape", "rate"))
        log_ratio = jnp.log(jnp.asarray(self._filled(rows), dtype))[None] - jnp.log(a / b)
        peak = a * (jnp.log(a) - 1.0) - gammaln(a)
        terms = peak - a * (jnp.expm1(log_ratio) - log_ratio)
        return jnp.sum(terms if rows.seen is None else jnp.where(rows.seen[None] > 0, terms, 0.0), axis=1)

    def cancellation(self, params: MixtureParams) -> Float[Array, ""]:
        a, b = jnp.asarray(params.shape), jnp.asarray(params.rate)
        return 1.0 + jnp.max(jnp.sum(a * (1.0 + jnp.abs(jnp.log(a)) + jnp.abs(jnp.log(b))), axis=1))

    def distance(self, params: MixtureParams) -> Float[Array, ""]:
        return jnp.sqrt(jnp.max(jnp.sum(params.shape, axis=1)))

    def sample(self, params: MixtureParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        shape, rate = jnp.asarray(params.shape)[labels], jnp.asarray(params.rate)[labels]
        # So small a shape has draws that no number is small enough for.
        return jnp.maximum(jnp.exp(log_gamma(key, shape) - jnp.log(rate)), jnp.finfo(rate.dtype).tiny)

    # -- as for a normal variance, the likelihood of a component on one point has no bound

    def degenerate(self, params: MixtureParams) -> Array:
        shape = jnp.asarray(params.shape)
        return ~jnp.all(shape < _COLLAPSED / jnp.finfo(shape.dtype).eps)

    def points_without_bound(self, n_features: int) -> int:
        return 1

    def narrow(self, params: MixtureParams, weights: AnyArray, xp: Any = np) -> AnyArray:
        variation = 1.0 / xp.asarray(params.shape)
        within = (weights[:, None] * variation).sum(axis=0)
        return (variation < _NARROW * within[None, :]).any(axis=1)


def _moments(shape: Any, mean: Any) -> Values:
    return {"shape": shape, "rate": shape / mean}
