r"""The exponential family of waiting times: positive features, independent given the component.

.. math:: \log p(x \mid k) = \sum_j \bigl( \log \lambda_{kj} - \lambda_{kj} x_j \bigr)

The prior of a rate is a gamma law, which is conjugate: by default :math:`\lambda_{kj} \sim \mathrm{Gamma}(2, 2 \bar
x_j)`, worth two observations with the data's mean (Gelman et al., "Bayesian Data Analysis", 3rd edition, 2013, section
2.6). A shape of 2 keeps the mode off zero, as Chung et al., Psychometrika 78, 2013, advise for posterior modes.
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
from emjax.families.domains import POSITIVE
from emjax.families.frame import Frame, scaling_frame
from emjax.families.laws import Law
from emjax.families.parameters import MixtureParams, Parameter, Unit, Values
from emjax.families.scalar import Cells, ScalarFamily
from emjax.moments import Summary


@dataclasses.dataclass(frozen=True)
class Exponential(ScalarFamily):
    """Exponential components for waiting times; features are independent given the component.

    The parameter is ``rate`` ``(n_components, n_features)``, events per unit of a feature: one over its mean. Data must
    be above zero, since the likelihood of a component that stands on zeros alone has no bound.
    """

    name: ClassVar[str] = "exponential"
    support: ClassVar[str] = "positive"
    parameters: ClassVar[Mapping[str, Parameter]] = {"rate": Parameter(POSITIVE, unit=Unit.RATE)}
    conjugate: ClassVar[dict[str, Any]] = {"rate": laws.Gamma}

    def default_prior(self, summary: Summary, n_components: int) -> dict[str, Law]:
        return {"rate": laws.Gamma(np.asarray(2.0), 2.0 * summary.mean)}

    def frame(self, summary: Summary) -> Frame:
        return scaling_frame(summary)

    def pooled(self, summary: Summary, n_components: int) -> Values:
        return {"rate": np.tile(1.0 / summary.mean, (n_components, 1))}

    def at_means(self, params: MixtureParams, means: Float[AnyArray, "K d"]) -> Values:
        return {"rate": 1.0 / means}

    def place(self, x: np.ndarray) -> np.ndarray:
        return np.log(x)  # stabilises the variance: a standard deviation is as large as its mean

    def statistics_of(self, y: Any) -> tuple[Any, ...]:
        return (y,)

    def natural_of(self, cells: Cells) -> tuple[Any, ...]:
        return (-cells["rate"],)

    def log_partition(self, cells: Cells) -> Any:
        return -jnp.log(cells["rate"])

    def mean_of(self, cells: Cells) -> Any:
        return 1.0 / cells["rate"]

    def variance_of(self, cells: Cells) -> Any:
        return 1.0 / cells["rate"] ** 2

    def updated(self, laws: Mapping[str, Any], exposure: Array, sums: tuple[Array, ...]) -> dict[str, Law]:
        return {"rate": laws["rate"].updated(exposure, sums[0])}

    def sample(self, params: MixtureParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        rate = jnp.asarray(params.rate)[labels]
        return jnp.maximum(jax.random.exponential(key, rate.shape, rate.dtype) / rate, jnp.finfo(rate.dtype).tiny)
