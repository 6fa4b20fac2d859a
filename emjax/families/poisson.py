r"""The Poisson family, for counts; several features are independent given the component.

.. math::

    \log p(x \mid k) = \sum_j x_j \log \lambda_{kj} - \lambda_{kj} - \log x_j!

and minus infinity where an :math:`x_j` is no count. The terms of this natural form cancel where counts are large, so
that densities are evaluated in saddle-point form (`emjax.families.deviance`); EM takes the natural form while that is
exact enough.

The prior is conjugate, :math:`\lambda_{kj} \sim \mathrm{Gamma}(a_0, b_{0j})`. By default :math:`a_0 = 2` and
:math:`b_{0j} = a_0 / \bar x_j`: mean at the data's mean, worth one observed event, and zero at a rate of zero, so
that the MAP lies inside (Frühwirth-Schnatter, "Finite Mixture and Markov Switching Models", 2006, section 9.2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, xlogy
from jaxtyping import Array, Float

from emjax.families import moments
from emjax.families.arrays import AnyArray, as_floats
from emjax.families.base import Family
from emjax.families.deviance import deviance, log_peak
from emjax.families.draws import log_gamma
from emjax.samples import Samples, check_counts
from emjax.shown import Shown

_LARGE = 1e3
"""From this rate on JAX's own sampler, which works in float32, accepts by rounding errors."""

_PROPOSALS = 10

_HARMLESS = 0.1
"""Counts that are rounded move a rate a little; there is no variance that the rounding could be mistaken for."""

_SMALLEST_RATE = 1e-12  # a rate of exactly zero would give -inf, and then NaN, to any datum that is not zero


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class PoissonParams(Shown):
    """Rates (events per observation) of all components, shape ``(n_components, n_features)``."""

    rate: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class PoissonPrior(Shown):
    """``rate ~ Gamma(shape, inverse_scale)``: a scalar ``shape`` and ``inverse_scale`` of shape ``(n_features,)``."""

    shape: Any
    inverse_scale: Any


@dataclasses.dataclass(frozen=True)
class Poisson(Family):
    """Poisson components for counts; features are independent given the component."""

    name: ClassVar[str] = "poisson"
    params_type: ClassVar[type] = PoissonParams
    links: ClassVar[dict[str, str]] = {"rate": "log"}

    def check(self, samples: Samples) -> None:
        check_counts(samples)

    def default_prior(self, x: np.ndarray, n_components: int) -> PoissonPrior:
        return PoissonPrior(shape=np.asarray(2.0), inverse_scale=2.0 / moments.mean(x))

    def pooled(self, x: Any, n_components: int) -> PoissonParams:
        return PoissonParams(rate=np.tile(moments.mean(x), (n_components, 1)))

    def params(self, *, rate: Any) -> PoissonParams:  # type: ignore[override]
        """Checked parameters from rates of shape ``(n_components, n_features)``; ``(K,)`` means one feature."""
        rate = as_floats(rate, "rate")
        rate = rate[:, None] if rate.ndim == 1 else rate
        if rate.ndim != 2 or not (np.isfinite(rate) & (rate > 0)).all():
            raise ValueError("rate must be positive, finite and of shape (n_components, n_features)")
        return PoissonParams(rate=rate)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

    def space(self, n_features: int) -> str:
        return "(weights, rate)"

    def sufficient_statistics(self, x: Float[Array, "d n"]) -> Float[Array, "p n"]:
        return jnp.concatenate([jnp.ones_like(x[:1]), x])

    def natural_parameters(self, params: PoissonParams) -> Float[Array, "K p"]:
        return jnp.concatenate([-jnp.sum(params.rate, axis=1)[:, None], jnp.log(params.rate)], axis=1)

    def natural_excess(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return (x * np.log(np.where(x > 0, x, 1.0)) - x).sum(axis=1)

    def cancellation(self, params: PoissonParams) -> Float[Array, ""]:
        return 1.0 + jnp.max(jnp.sum(params.rate * (1.0 + jnp.abs(jnp.log(params.rate))), axis=1))

    def distance(self, params: PoissonParams) -> Float[Array, ""]:
        return _HARMLESS * jnp.sqrt(jnp.max(jnp.sum(params.rate, axis=1)))

    def log_kernel(self, params: PoissonParams, x: Float[AnyArray, "n d"]) -> Float[Array, "K n"]:
        dtype = jnp.result_type(x, params.rate)
        x, rate = jnp.maximum(jnp.asarray(x, dtype), 0.0), jnp.asarray(params.rate, dtype)
        return -jnp.sum(_deviance(x[None, :, :], rate[:, None, :]), axis=2)

    def log_base_measure(self, x: Float[AnyArray, "n d"]) -> Float[Array, " n"]:
        return jnp.sum(log_peak(jnp.asarray(x), jnp), axis=1)

    def maximize(
        self, statistics: Float[Array, "K p"], counts: Float[Array, " K"], params: PoissonParams, prior: Any
    ) -> PoissonParams:
        events, exposure = statistics[:, 1:], jnp.maximum(counts, jnp.finfo(counts.dtype).tiny)[:, None]
        if prior is not None:
            events = events + (prior.shape - 1.0)
            exposure = exposure + prior.inverse_scale[None, :]
        return PoissonParams(rate=jnp.maximum(events / exposure, _SMALLEST_RATE))

    def draw_components(self, key: Array, statistics: Any, counts: Array, params: Any, prior: Any) -> PoissonParams:
        shape, exposure = statistics[:, 1:] + prior.shape, counts[:, None] + prior.inverse_scale[None, :]
        return PoissonParams(rate=jnp.maximum(jnp.exp(log_gamma(key, shape)) / exposure, _SMALLEST_RATE))

    def log_evidence(self, statistics: Array, counts: Array, params: Any, prior: Any) -> Float[Array, ""]:
        shape, exposure = statistics[:, 1:] + prior.shape, counts[:, None] + prior.inverse_scale[None, :]
        before = prior.shape * jnp.log(prior.inverse_scale)[None, :] - gammaln(prior.shape)
        return jnp.sum(before - shape * jnp.log(exposure) + gammaln(shape))

    def place(self, x: np.ndarray) -> np.ndarray:
        return np.sqrt(x)  # there the variance of a count is a quarter, whatever its rate

    def at_means(self, params: PoissonParams, means: Float[AnyArray, "K d"]) -> PoissonParams:
        # A start at a count of zero could never leave it, so it is moved a tenth of the way to the overall mean.
        return PoissonParams(rate=jnp.where(means > 0, means, 0.1 * params.rate))

    def log_prior(self, params: PoissonParams, prior: PoissonPrior) -> Float[Array, ""]:
        shape, inverse_scale = prior.shape, prior.inverse_scale[None, :]
        constant = shape * jnp.log(inverse_scale) - gammaln(shape)
        return jnp.sum(constant + xlogy(shape - 1.0, params.rate) - inverse_scale * params.rate)

    def unconstrain(self, params: PoissonParams) -> Float[Array, "K d"]:
        return jnp.log(params.rate)

    def constrain(self, unconstrained: Float[AnyArray, "K d"]) -> PoissonParams:
        return PoissonParams(rate=jnp.exp(unconstrained))

    def log_volume(self, params: PoissonParams) -> Float[Array, ""]:
        return jnp.sum(jnp.log(params.rate))

    def sample(self, params: PoissonParams, key: Array, labels: Array) -> Float[Array, "n d"]:
        rate = jnp.asarray(params.rate)[labels]
        large = rate >= _LARGE
        small = jax.random.poisson(key, jnp.where(large, 1.0, rate)).astype(rate.dtype)
        return jnp.where(large, _draw_large(key, jnp.where(large, rate, _LARGE)), small)

    def numpyro_support(self) -> Any:
        from numpyro.distributions import constraints

        return constraints.independent(constraints.nonnegative_integer, 1)

    def prior_sites(self, prior: PoissonPrior, n_components: int) -> dict[str, Callable[[Mapping[str, AnyArray]], Any]]:
        import numpyro.distributions as dist

        shape = (n_components, prior.inverse_scale.shape[0])
        inverse_scale = jnp.broadcast_to(prior.inverse_scale[None, :], shape)
        return {"rate": lambda values: dist.Gamma(prior.shape, inverse_scale).to_event(2)}


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
