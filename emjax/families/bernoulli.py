r"""The Bernoulli family: columns of zeros and ones, independent given the component.

.. math:: \log p(x \mid k) = \sum_j \bigl( x_j \log p_{kj} + (1 - x_j) \log (1 - p_{kj}) \bigr)

A mixture of these is a latent class model (Lazarsfeld and Henry, "Latent Structure Analysis", 1968). The prior of a
probability is a beta law, which is conjugate: by default

.. math:: p_{kj} \sim \mathrm{Beta}(1 + m_j / K,\; 1 + (1 - m_j) / K), \qquad m_j = (s_j + 1) / (n_j + 2)

with :math:`s_j` ones among the :math:`n_j` values of a column. All components together are worth one more observation
of every column, with the shares of all the data: the posterior mode stays off zero and one, where latent classes often
end (Galindo Garre and Vermunt, "Avoiding boundary estimates in latent class analysis by Bayesian posterior mode
estimation", Behaviormetrika 33, 2006).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families import laws
from emjax.families.arrays import AnyArray
from emjax.families.domains import UNIT
from emjax.families.laws import Law
from emjax.families.parameters import MixtureParams, Parameter, Values
from emjax.families.scalar import Cells, ScalarFamily
from emjax.moments import Summary

_WIDE = 0.25
"""How far of the way to all the data a start's probability is from zero and one: there it could never leave again."""


@dataclasses.dataclass(frozen=True)
class Bernoulli(ScalarFamily):
    """Bernoulli components for columns of 0 and 1; features are independent given the component.

    The parameter is ``probability`` ``(n_components, n_features)``, that of a 1.
    """

    name: ClassVar[str] = "bernoulli"
    support: ClassVar[str] = "binary"
    parameters: ClassVar[Mapping[str, Parameter]] = {"probability": Parameter(UNIT)}
    conjugate: ClassVar[dict[str, Any]] = {"probability": laws.Beta}
    inside: ClassVar[float] = 0.0

    def default_prior(self, summary: Summary, n_components: int) -> dict[str, Law]:
        share = _share(summary) / n_components
        return {"probability": laws.Beta(1.0 + share, 1.0 + 1.0 / n_components - share)}

    def pooled(self, summary: Summary, n_components: int) -> Values:
        return {"probability": np.tile(_share(summary), (n_components, 1))}

    def at_means(self, params: MixtureParams, means: Float[AnyArray, "K d"]) -> Values:
        low = _WIDE * params.probability
        return {"probability": means.clip(low, low + (1.0 - _WIDE))}

    def at_clusters(self, params: MixtureParams, x: np.ndarray, labels: np.ndarray, means: np.ndarray) -> Values:
        sizes = np.bincount(labels, minlength=len(means))[:, None]
        return {"probability": (sizes * means + params.probability) / (sizes + 1.0)}

    def statistics_of(self, y: Any) -> tuple[Any, ...]:
        return (y,)

    def natural_of(self, cells: Cells) -> tuple[Any, ...]:
        return (jnp.log(cells["probability"]) - jnp.log1p(-cells["probability"]),)

    def log_partition(self, cells: Cells) -> Any:
        return -jnp.log1p(-cells["probability"])

    def mean_of(self, cells: Cells) -> Any:
        return cells["probability"]

    def variance_of(self, cells: Cells) -> Any:
        return cells["probability"] * (1.0 - cells["probability"])

    def updated(self, laws: Mapping[str, Any], exposure: Array, sums: tuple[Array, ...]) -> dict[str, Law]:
        # Sums may exceed what they are shares of by their rounding.
        return {"probability": laws["probability"].updated(sums[0], jnp.maximum(exposure - sums[0], 0.0))}

    def sample(self, params: MixtureParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        probability = jnp.asarray(params.probability)[labels]
        drawn = jax.random.uniform(key, probability.shape, probability.dtype) < probability
        return drawn.astype(probability.dtype)


def _share(summary: Summary) -> np.ndarray:
    """The share of ones of each column, one more of either kind added."""
    return (summary.observed * summary.mean + 1.0) / (summary.observed + 2.0)
