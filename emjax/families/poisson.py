r"""The Poisson family, for counts; several features are independent given the component.

.. math::

    \log p(x \mid k) = \sum_j x_j \log \lambda_{kj} - \lambda_{kj} - \log x_j!

and minus infinity where an :math:`x_j` is no count. The terms of this natural form cancel where counts are large, so
that densities are evaluated in saddle-point form (`emjax.families.deviance`); EM takes the natural form while that is
exact enough.

The default prior is conjugate, :math:`\lambda_{kj} \sim \mathrm{Gamma}(a_0, b_{0j})` with :math:`a_0 = 2` and
:math:`b_{0j} = a_0 / \bar x_j`: mean at the data's mean, worth one observed event, and zero at a rate of zero, so
that the MAP lies inside (Frühwirth-Schnatter, "Finite Mixture and Markov Switching Models", 2006, section 9.2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray
from emjax.families.deviance import deviance, log_peak
from emjax.families.domains import POSITIVE
from emjax.families.laws import Gamma, Law
from emjax.families.observations import Observations
from emjax.families.parameters import MixtureParams, Parameter, Values
from emjax.families.scalar import Cells, ScalarFamily
from emjax.moments import Summary

_LARGE = 1e3
"""From this rate on JAX's own sampler, which works in float32, accepts by rounding errors."""

_PROPOSALS = 10

_HARMLESS = 0.1
"""Counts that are rounded move a rate a little; there is no variance that the rounding could be mistaken for."""


@dataclasses.dataclass(frozen=True)
class Poisson(ScalarFamily):
    """Poisson components for counts; features are independent given the component.

    The parameter is ``rate`` ``(n_components, n_features)``, events per observation.
    """

    name: ClassVar[str] = "poisson"
    support: ClassVar[str] = "count"
    parameters: ClassVar[Mapping[str, Parameter]] = {"rate": Parameter(POSITIVE)}
    conjugate: ClassVar[dict[str, Any]] = {"rate": Gamma}

    def default_prior(self, summary: Summary, n_components: int) -> dict[str, Law]:
        return {"rate": Gamma(np.asarray(2.0), 2.0 / summary.mean)}

    def pooled(self, summary: Summary, n_components: int) -> Values:
        return {"rate": np.tile(summary.mean, (n_components, 1))}

    def at_means(self, params: MixtureParams, means: Float[AnyArray, "K d"]) -> Values:
        # A start at a count of zero could never leave it, so it is moved a tenth of the way to the overall mean.
        xp = np if isinstance(means, np.ndarray) else jnp
        return {"rate": xp.where(means > 0, means, 0.1 * params.rate)}

    def place(self, x: np.ndarray) -> np.ndarray:
        return np.sqrt(x)  # stabilises the variance

    def statistics_of(self, y: Any) -> tuple[Any, ...]:
        return (y,)

    def natural_of(self, cells: Cells) -> tuple[Any, ...]:
        return (jnp.log(cells["rate"]),)

    def log_partition(self, cells: Cells) -> Any:
        return cells["rate"]

    def mean_of(self, cells: Cells) -> Any:
        return cells["rate"]

    def variance_of(self, cells: Cells) -> Any:
        return cells["rate"]

    def log_base_of(self, y: Any) -> Any:
        return log_peak(y, jnp)

    def updated(self, laws: Mapping[str, Any], exposure: Array, sums: tuple[Array, ...]) -> dict[str, Law]:
        return {"rate": laws["rate"].updated(sums[0], exposure)}

    def natural_excess(self, x: np.ndarray) -> np.ndarray:
        x = np.nan_to_num(np.asarray(x, dtype=float), nan=0.0)
        return (x * np.log(np.where(x > 0, x, 1.0)) - x).sum(axis=1)

    def cancellation(self, params: MixtureParams) -> Float[Array, ""]:
        return 1.0 + jnp.max(jnp.sum(params.rate * (1.0 + jnp.abs(jnp.log(params.rate))), axis=1))

    def distance(self, params: MixtureParams) -> Float[Array, ""]:
        return _HARMLESS * jnp.sqrt(jnp.max(jnp.sum(params.rate, axis=1)))

    def log_kernel(self, params: MixtureParams, rows: Observations) -> Float[Array, "K n"]:
        x = rows.x
        dtype = jnp.result_type(x, params.rate)
        x, rate = jnp.maximum(jnp.asarray(x, dtype), 0.0), jnp.asarray(params.rate, dtype)
        terms = _deviance(x[None, :, :], rate[:, None, :])
        return -jnp.sum(terms if rows.seen is None else jnp.where(rows.seen.T[None] > 0, terms, 0.0), axis=2)

    def sample(self, params: MixtureParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        rate = jnp.asarray(params.rate)[labels]
        large = rate >= _LARGE
        small = jax.random.poisson(key, jnp.where(large, 1.0, rate)).astype(rate.dtype)
        return jnp.where(large, _draw_large(key, jnp.where(large, rate, _LARGE)), small)


@jax.custom_jvp
def _deviance(x: Array, rate: Array) -> Array:
    return deviance(x, rate, jnp)


# The derivative of either branch would do; this one is exact, and needs none of them.
_deviance.defjvps(None, lambda tangent, value, x, rate: tangent * (1.0 - x / rate))


def _draw_large(key: Array, rate: Array) -> Array:
    """Poisson draws of rates of 10 and more, by transformed rejection with the density in saddle-point form.

    More than 0.86 of the proposals are accepted, and ten are made for each draw, without a loop: less than 3e-9 of the
    draws have none accepted, and take the mode.

    References
    ----------
    Hörmann, The transformed rejection method for generating Poisson random variables, Insurance: Mathematics and
    Economics 12, 1993 (PTRS).
    """
    b = 0.931 + 2.53 * jnp.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    counts = jnp.floor(rate)
    for proposal in range(_PROPOSALS):
        u, level = jax.random.uniform(jax.random.fold_in(key, proposal), (2, *rate.shape), rate.dtype)
        u = u - 0.5
        room = jnp.maximum(0.5 - jnp.abs(u), jnp.finfo(rate.dtype).tiny)
        proposed = jnp.floor((2.0 * a / room + b) * u + rate + 0.43)
        inside = jnp.maximum(proposed, 0.0)
        height = log_peak(inside, jnp) - deviance(inside, rate, jnp)
        taken = (proposed >= 0) & (jnp.log(level * inverse_alpha / (a / (room * room) + b)) <= height)
        counts = jnp.where(taken, inside, counts)
    return counts
