r"""Laws of parameters: densities that EM adds to the likelihood, samplers draw under, and NumPyro has as sites.

A prior is a mapping from sites to laws. Each law is written once, with its log density, its twin in NumPyro, its
change of units and, where a family is conjugate to it, its mode and draws. A law of single numbers belongs to every
number of a parameter: its arguments are broadcast to it, features last, so that ``laws.Normal([0, 5], 10)`` has one
mean for each of two features and ``laws.Normal([[0], [5]], 10)`` one for each of two components.

==================  ============================================================================  =====================
law                 log density at :math:`v`, without its constant                                support
==================  ============================================================================  =====================
`Normal`            :math:`-(v - m)^2 / 2 s^2`                                                    real
`LogNormal`         :math:`-(\log v - m)^2 / 2 s^2 - \log v`                                      positive
`HalfNormal`        :math:`-v^2 / 2 s^2`                                                          positive
`Gamma`             :math:`(a - 1) \log v - b v`                                                  positive
`InverseGamma`      :math:`-(a + 1) \log v - b / v`                                               positive
`Beta`              :math:`(a - 1) \log v + (b - 1) \log (1 - v)`                                 between 0 and 1
`Dirichlet`         :math:`\sum_k (\alpha_k - 1) \log v_k`                                        simplex
`InverseWishart`    :math:`-\tfrac12 (\nu + d + 1) \log |V| - \tfrac12 \mathrm{tr}(\Psi V^{-1})`  positive definite
`Wishart`           :math:`\tfrac12 (\nu - d - 1) \log |V| - \tfrac12 \mathrm{tr}(B V)`            positive definite
`NormalGiven`       :math:`-\tfrac12 \kappa (v - m)' \Sigma_k^{-1} (v - m) - \log |R_k|`          real
`LKJ`               :math:`(\eta - 1) \log |V|`                                                   correlations
`LogRatios`         :math:`-\lVert \log v \rVert^2 / 2 s^2`                                         product one
`UniformRotations`  zero                                                                          rotations
`Flat`              zero (improper: maximum likelihood)                                           any
==================  ============================================================================  =====================

In `NormalGiven`, :math:`\Sigma_k = R_k R_k'` is the component's covariance. Definitions: Gelman et al., "Bayesian Data
Analysis", 3rd edition, 2013, appendix A; `LKJ`: Lewandowski, Kurowicka and Joe, Journal of Multivariate Analysis 100,
2009.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betaln, gammaln, multigammaln, xlog1py, xlogy

from emjax.families.axis_laws import LogRatios as LogRatios
from emjax.families.axis_laws import UniformRotations as UniformRotations
from emjax.families.draws import inverse_wishart_root, log_gamma
from emjax.families.law import Flat as Flat
from emjax.families.law import Law, elementwise, law, led
from emjax.families.linalg import cholesky, diagonal, inverse_lower, product
from emjax.families.ragged import ragged_dirichlet

_LOG_TWO_PI = math.log(2.0 * math.pi)


@law
class Normal(Law):
    """A normal law with ``mean`` and standard deviation ``scale``."""

    mean: Any
    scale: Any

    def log_prob(self, value: Any, given: Any = None) -> Any:
        mean, scale = led(value, self.mean, self.scale)
        return -0.5 * ((value - mean) / scale) ** 2 - jnp.log(scale) - 0.5 * _LOG_TWO_PI

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        return elementwise(dist.Normal(self.mean, self.scale), shape)

    def rescaled(self, shift: Any, scale: Any) -> Normal:
        return Normal((self.mean - shift) / scale, self.scale / scale)


@law
class LogNormal(Law):
    """The law of a number whose logarithm is normal with ``mean`` and standard deviation ``scale``."""

    mean: Any
    scale: Any

    def log_prob(self, value: Any, given: Any = None) -> Any:
        return Normal(self.mean, self.scale).log_prob(jnp.log(value)) - jnp.log(value)

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        return elementwise(dist.LogNormal(self.mean, self.scale), shape)

    def rescaled(self, shift: Any, scale: Any) -> LogNormal:
        return LogNormal(self.mean - np.log(scale), self.scale)


@law
class HalfNormal(Law):
    """The law of the absolute value of a normal number with mean zero and standard deviation ``scale``."""

    scale: Any

    def log_prob(self, value: Any, given: Any = None) -> Any:
        return Normal(0.0 * self.scale, self.scale).log_prob(value) + math.log(2.0)

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        return elementwise(dist.HalfNormal(self.scale), shape)

    def rescaled(self, shift: Any, scale: Any) -> HalfNormal:
        return HalfNormal(self.scale / scale)


@law
class Gamma(Law):
    """A gamma law with ``shape`` and ``rate``: mean ``shape / rate``."""

    shape: Any
    rate: Any

    def log_prob(self, value: Any, given: Any = None) -> Any:
        shape, rate = led(value, self.shape, self.rate)
        return self._log_normalizer(shape, rate) + xlogy(shape - 1.0, value) - rate * value

    @staticmethod
    def _log_normalizer(shape: Any, rate: Any) -> Any:
        return shape * jnp.log(rate) - gammaln(shape)

    @property
    def log_normalizer(self) -> Any:
        """The logarithm of what the kernel is multiplied with."""
        return self._log_normalizer(*jnp.broadcast_arrays(self.shape, self.rate))

    @property
    def mode(self) -> Any:
        """Where the density is largest; zero for a shape below one."""
        return jnp.maximum(self.shape - 1.0, 0.0) / jnp.maximum(self.rate, jnp.finfo(jnp.result_type(self.rate)).tiny)

    @property
    def mean(self) -> Any:
        """The mean of each number."""
        return self.shape / self.rate

    def draw(self, key: jax.Array) -> Any:
        """A draw of each number."""
        return jnp.exp(log_gamma(key, jnp.asarray(self.shape))) / self.rate

    @staticmethod
    def flat() -> Gamma:
        """The kernel that is one everywhere, which is improper."""
        return Gamma(np.ones(()), np.zeros(()))

    def updated(self, shape: Any, rate: Any) -> Gamma:
        """The law with these added to its shape and rate."""
        prior_shape, prior_rate = led(shape, self.shape, self.rate)
        return Gamma(shape + prior_shape, rate + prior_rate)

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        return elementwise(dist.Gamma(self.shape, self.rate), shape)

    def rescaled(self, shift: Any, scale: Any) -> Gamma:
        return Gamma(self.shape, self.rate * scale)


@law
class InverseGamma(Law):
    """The law of one over a gamma number: ``shape`` and ``scale``, mean ``scale / (shape - 1)``."""

    shape: Any
    scale: Any

    def log_prob(self, value: Any, given: Any = None) -> Any:
        shape, scale = led(value, self.shape, self.scale)
        return self._log_normalizer(shape, scale) - (shape + 1.0) * jnp.log(value) - scale / value

    @staticmethod
    def _log_normalizer(shape: Any, scale: Any) -> Any:
        return shape * jnp.log(scale) - gammaln(shape)

    @property
    def log_normalizer(self) -> Any:
        """The logarithm of what the kernel is multiplied with."""
        return self._log_normalizer(*jnp.broadcast_arrays(self.shape, self.scale))

    def updated(self, degrees: Any, scatter: Any) -> InverseGamma:
        """The law given a sum of squares of so many degrees of freedom."""
        shape, scale = led(scatter, self.shape, self.scale)
        return InverseGamma(jnp.broadcast_to(shape + 0.5 * degrees, scatter.shape), scale + 0.5 * scatter)

    def mode(self, n_means: int = 0) -> Any:
        """Where the density is largest, jointly with that of so many means that a variance scales."""
        return self.scale / (self.shape + (1.0 + 0.5 * n_means))

    def draw(self, key: jax.Array) -> Any:
        """A draw of each number."""
        return self.scale * jnp.exp(-log_gamma(key, self.shape))

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        return elementwise(dist.InverseGamma(self.shape, self.scale), shape)

    def rescaled(self, shift: Any, scale: Any) -> InverseGamma:
        return InverseGamma(self.shape, self.scale / scale)


@law
class Beta(Law):
    """A beta law with exponents ``ones - 1`` and ``zeros - 1``: worth so many observations of each kind."""

    ones: Any
    zeros: Any

    def log_prob(self, value: Any, given: Any = None) -> Any:
        ones, zeros = led(value, self.ones, self.zeros)
        return xlogy(ones - 1.0, value) + xlog1py(zeros - 1.0, -value) - betaln(ones, zeros)

    @property
    def log_normalizer(self) -> Any:
        """The logarithm of what the kernel is multiplied with."""
        return -betaln(*jnp.broadcast_arrays(self.ones, self.zeros))

    @property
    def mode(self) -> Any:
        """Where the density is largest."""
        ones, zeros = jnp.maximum(self.ones - 1.0, 0.0), jnp.maximum(self.zeros - 1.0, 0.0)
        total = ones + zeros
        return jnp.where(total > 0, ones / jnp.where(total > 0, total, 1.0), 0.5)

    def draw(self, key: jax.Array) -> Any:
        """A draw of each number."""
        logs = log_gamma(key, jnp.stack(jnp.broadcast_arrays(self.ones, self.zeros)))
        return jax.nn.sigmoid(logs[0] - logs[1])

    @staticmethod
    def flat() -> Beta:
        """The uniform law."""
        return Beta(np.ones(()), np.ones(()))

    def updated(self, ones: Any, zeros: Any) -> Beta:
        """The law with so many further observations of each kind."""
        prior_ones, prior_zeros = led(ones, self.ones, self.zeros)
        return Beta(ones + prior_ones, zeros + prior_zeros)

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        return elementwise(dist.Beta(self.ones, self.zeros), shape)

    def rescaled(self, shift: Any, scale: Any) -> Beta:
        return self


@law
class Dirichlet(Law):
    """A Dirichlet law of vectors (the last axis) with ``concentration``.

    Vectors may be of unequal ``lengths``, one for each place along the last axis but one: what stands beyond is zero.
    """

    concentration: Any
    lengths: tuple[int, ...] | None = dataclasses.field(default=None, repr=False, metadata={"static": True})
    n_axes: ClassVar[int] = 1

    def _within(self, value: Any, otherwise: float) -> Any:
        """Numbers of vectors, with another number beyond their ends."""
        if self.lengths is None:
            return jnp.asarray(value)
        inside = np.arange(np.shape(value)[-1])[None, :] < np.asarray(self.lengths)[:, None]
        return jnp.where(inside[(None,) * (np.ndim(value) - 2)], value, otherwise)

    def log_prob(self, value: Any, given: Any = None) -> Any:
        (alpha,) = led(value, self._within(self.concentration, 1.0))
        normalizer = Dirichlet(alpha, self.lengths).log_normalizer
        return normalizer + jnp.sum(xlogy(alpha - 1.0, self._within(value, 1.0)), axis=-1)

    @property
    def log_normalizer(self) -> Any:
        """The logarithm of what the kernel is multiplied with, of each vector."""
        total = jnp.sum(self._within(self.concentration, 0.0), axis=-1)
        return gammaln(total) - jnp.sum(gammaln(self._within(self.concentration, 1.0)), axis=-1)

    @property
    def mode(self) -> Any:
        """Where the density is largest; equal shares where no concentration is above one."""
        above = self._within(jnp.maximum(self.concentration - 1.0, 0.0), 0.0)
        total = jnp.sum(above, axis=-1, keepdims=True)
        ones = self._within(jnp.ones_like(above), 0.0)
        return jnp.where(total > 0, above / jnp.where(total > 0, total, 1.0), ones / jnp.sum(ones, -1, keepdims=True))

    def draw(self, key: jax.Array) -> Any:
        """A draw of each vector."""
        return jax.nn.softmax(self._within(log_gamma(key, self._within(self.concentration, 1.0)), -jnp.inf), axis=-1)

    def updated(self, counts: Any) -> Dirichlet:
        """The law with so many further observations of each entry."""
        (alpha,) = led(counts, self.concentration)
        return Dirichlet(self._within(alpha + counts, 0.0), self.lengths)

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        alpha = jnp.broadcast_to(jnp.asarray(self.concentration), shape)
        if self.lengths is None or len(set(self.lengths)) == 1:
            return dist.Dirichlet(alpha).to_event(len(shape) - 1)
        return ragged_dirichlet(self, self._within(alpha, 1.0)).to_event(len(shape) - 2)

    def rescaled(self, shift: Any, scale: Any) -> Dirichlet:
        return self


@law
class InverseWishart(Law):
    """An inverse Wishart law of matrices with ``degrees_of_freedom`` and ``scatter`` ``(d, d)``."""

    degrees_of_freedom: Any
    scatter: Any
    n_axes: ClassVar[int] = 2

    def log_prob(self, value: Any, given: Any = None) -> Any:
        d, root = value.shape[-1], cholesky(value)
        log_det = jnp.sum(jnp.log(diagonal(root)), axis=-1)
        trace = jnp.sum(product(inverse_lower(root), cholesky(self.scatter)) ** 2, axis=(-1, -2))
        degrees = led(log_det, self.degrees_of_freedom)[0]
        return self.log_normalizer - (degrees + d + 1.0) * log_det - 0.5 * trace

    @property
    def log_normalizer(self) -> Any:
        """The logarithm of what the kernel is multiplied with."""
        d, half = self.scatter.shape[-1], 0.5 * jnp.asarray(self.degrees_of_freedom)
        log_det = jnp.sum(jnp.log(diagonal(cholesky(self.scatter))), axis=-1)
        return 2.0 * half * log_det - half * d * jnp.log(2.0) - multigammaln(half, d)

    def updated(self, degrees: Any, scatter: Any) -> InverseWishart:
        """The law given sums of squares and products of so many degrees of freedom."""
        degrees = jnp.reshape(degrees, scatter.shape[:-2])
        (prior_degrees,), (prior_scatter,) = led(degrees, self.degrees_of_freedom), led(scatter, self.scatter)
        return InverseWishart(degrees + prior_degrees, scatter + prior_scatter)

    def mode(self, n_means: int = 0) -> Any:
        """Where the density is largest, jointly with that of so many means that a matrix scales."""
        degrees = jnp.asarray(self.degrees_of_freedom) + (self.scatter.shape[-1] + 1.0 + n_means)
        return self.scatter / degrees[..., None, None]

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        law = dist.InverseWishart(self.degrees_of_freedom, scale_tril=cholesky(jnp.asarray(self.scatter)))
        return law.expand(shape[:-2]).to_event(len(shape) - 2)

    def rescaled(self, shift: Any, scale: Any) -> InverseWishart:
        return InverseWishart(self.degrees_of_freedom, self.scatter / scale)


@law
class Wishart(Law):
    """A Wishart law of matrices with ``degrees_of_freedom`` and ``rate`` ``(d, d)``; ``mean`` is their quotient."""

    degrees_of_freedom: Any
    rate: Any
    n_axes: ClassVar[int] = 2

    def log_prob(self, value: Any, given: Any = None) -> Any:
        d, half = value.shape[-1], 0.5 * jnp.asarray(self.degrees_of_freedom)
        log_det, log_rate = (jnp.sum(jnp.log(diagonal(cholesky(each))), axis=-1) for each in (value, self.rate))
        trace = jnp.sum(led(value, self.rate)[0] * value, axis=(-1, -2))
        log_normalizer = 2.0 * half * log_rate - half * d * math.log(2.0) - multigammaln(half, d)
        return log_normalizer + (2.0 * half - d - 1.0) * log_det - 0.5 * trace

    @property
    def mean(self) -> Any:
        """The mean, ``(d, d)``."""
        half = inverse_lower(cholesky(self.rate))
        return self.degrees_of_freedom * product(jnp.swapaxes(half, -1, -2), half)

    def updated(self, degrees: Any, rate: Any) -> Wishart:
        """The law with these added to its degrees of freedom and its rate."""
        return Wishart(self.degrees_of_freedom + degrees, self.rate + rate)

    def draw(self, key: jax.Array) -> Any:
        """A draw of the matrix: the inverse of one of the inverse Wishart law."""
        root = inverse_wishart_root(key, jnp.asarray(self.degrees_of_freedom), jnp.asarray(self.rate))
        return jnp.linalg.inv(product(root, jnp.swapaxes(root, -1, -2)))

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        law = dist.Wishart(self.degrees_of_freedom, rate_matrix=jnp.asarray(self.rate))
        return law.expand(shape[:-2]).to_event(len(shape) - 2)

    def rescaled(self, shift: Any, scale: Any) -> Wishart:
        return Wishart(self.degrees_of_freedom, self.rate * scale)


@law
class LKJ(Law):
    """A law of correlation matrices with ``concentration``; 1 is uniform."""

    concentration: Any
    n_axes: ClassVar[int] = 2

    def log_prob(self, value: Any, given: Any = None) -> Any:
        d = value.shape[-1]
        eta = jnp.asarray(self.concentration)
        log_det = 2.0 * jnp.sum(jnp.log(diagonal(cholesky(value))), axis=-1)
        k = np.arange(1, d)
        # Lewandowski, Kurowicka and Joe, equation 16: the product of beta functions over the vines' levels.
        powers = 2.0 * eta - 2.0 + d - k
        half = eta + 0.5 * (d - k - 1)
        log_constant = -jnp.sum((powers * math.log(2.0) + betaln(half, half)) * (d - k))
        return log_constant + (led(log_det, eta)[0] - 1.0) * log_det

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        return dist.LKJ(shape[-1], self.concentration).expand(shape[:-2]).to_event(len(shape) - 2)

    def rescaled(self, shift: Any, scale: Any) -> LKJ:
        return self


@law
class NormalGiven(Law):
    r"""The law of a mean given its covariance, :math:`N(m, \Sigma_k / \kappa)`: ``mean`` and ``precision``.

    The precision says how many observations the mean is worth.
    """

    mean: Any
    precision: Any
    n_axes: ClassVar[int] = 1

    def fits(self, parameter: Any) -> bool:
        return parameter.axes == ("feature",) and parameter.unit.value == "location"

    def log_prob(self, value: Any, given: Any = None) -> Any:
        structure, (k, d) = given.family.structure, value.shape
        root = structure.root(structure.of(given))
        (center,) = led(value, self.mean)
        y = structure.whiten(root, jnp.asarray(value - center)[:, None, :])[:, 0, :]
        constant = 0.5 * d * (jnp.log(self.precision) - _LOG_TWO_PI)
        return constant - 0.5 * self.precision * jnp.sum(y * y, axis=-1) - structure.log_determinant(root, k, d)

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        structure = given.family.structure
        values = {**dict(given.items()), "mean": jnp.zeros(shape)}  # a dispersion that all share is one for each mean
        covariance = structure.covariance(structure.of(values), *shape)
        center = jnp.broadcast_to(jnp.asarray(self.mean), shape)
        if structure.has_correlation:
            tril = cholesky(covariance) / jnp.sqrt(self.precision)
            return dist.MultivariateNormal(center, scale_tril=tril).to_event(1)
        return dist.Normal(center, jnp.sqrt(diagonal(covariance) / self.precision)).to_event(2)

    def rescaled(self, shift: Any, scale: Any) -> NormalGiven:
        return NormalGiven((self.mean - shift) / scale, self.precision)


@law
class FromNumPyro(Law):
    """Any NumPyro distribution of single numbers, in units that are ``scale`` and ``shift`` away from its own."""

    distribution: Any
    shift: Any
    scale: Any

    def log_prob(self, value: Any, given: Any = None) -> Any:
        shift, scale = led(value, self.shift, self.scale)
        return self.distribution.log_prob(shift + scale * value) + jnp.log(scale)

    def numpyro(self, shape: tuple[int, ...], given: Any = None) -> Any:
        import numpyro.distributions as dist

        moved = dist.transforms.AffineTransform(
            -self.shift / self.scale, 1.0 / self.scale, domain=self.distribution.support
        )
        return dist.TransformedDistribution(self.distribution.expand(shape), moved).to_event(len(shape))

    def rescaled(self, shift: Any, scale: Any) -> FromNumPyro:
        return FromNumPyro(self.distribution, self.shift + self.scale * shift, self.scale * scale)
