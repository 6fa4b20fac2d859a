"""Laws of the axes of a covariance: of their proportions, whose product is one, and of where they point."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax.numpy as jnp

from emjax.families.law import Law, law, led
from emjax.families.rotations import PROPORTIONS, ROTATIONS, log_volume_of_rotations


@law
class LogRatios(Law):
    r"""A law of numbers of product one, whose orthonormal log-ratios are normal around zero with ``scale``.

    With :math:`d` numbers, each logarithm has the standard deviation :math:`s \sqrt{1 - 1 / d}`. The density is one of
    the log-ratios.
    """

    scale: Any
    n_axes: ClassVar[int] = 1

    def fits(self, parameter: Any) -> bool:
        return parameter.domain is PROPORTIONS

    def log_prob(self, value: Any, given: Any = None) -> Any:
        free = PROPORTIONS.to_free(value)
        (scale,) = led(value[..., 0], self.scale)
        constant = free.shape[-1] * (0.5 * math.log(2.0 * math.pi) + jnp.log(scale))
        return -0.5 * jnp.sum(free * free, axis=-1) / scale**2 - constant

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        from emjax.families.numpyro_domains import FromFree

        size = (*shape[:-1], shape[-1] - 1)
        scale = jnp.broadcast_to(jnp.asarray(self.scale)[..., None], size)
        moved = dist.TransformedDistribution(dist.Normal(jnp.zeros(size), scale).to_event(1), FromFree(PROPORTIONS))
        return moved.to_event(len(shape) - 1)

    def rescaled(self, shift: Any, scale: Any) -> LogRatios:
        return self


@law
class UniformRotations(Law):
    """The uniform law of rotations (Haar's measure)."""

    n_axes: ClassVar[int] = 2

    def fits(self, parameter: Any) -> bool:
        return parameter.domain is ROTATIONS

    def log_prob(self, value: Any, given: Any = None) -> Any:
        # In the precision that JAX has there, whatever that of an array of NumPy's is.
        return jnp.full(value.shape[:-2], -log_volume_of_rotations(value.shape[-1]), jnp.result_type(float))

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        from emjax.families.numpyro_domains import HaarRotations

        return HaarRotations(shape[-1]).expand(shape[:-2]).to_event(len(shape) - 2)

    def rescaled(self, shift: Any, scale: Any) -> UniformRotations:
        return self
