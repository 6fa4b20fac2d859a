r"""Shapes of a component: standardised densities of a vector :math:`z` with mean 0 and the identity as covariance.

A component with mean :math:`\mu` and covariance :math:`\Sigma = L L^\top` (:math:`L` lower triangular) draws
:math:`x = \mu + L z`, so that every shape has exactly the moments that were declared. `Normal` is what normal mixtures
assume; the others are for studies of what happens where that is wrong.

Every shape is a function of independent uniforms (`Shape.from_uniforms`): random ones make a sample, evenly spread
ones the points of an integral.
"""

from __future__ import annotations

import abc
import dataclasses
import math

import numpy as np

from emjax.errors import DataError

_LOG_TWO_PI = math.log(2.0 * math.pi)


class Shape(abc.ABC):
    """A density on :math:`R^d` with mean 0 and covariance I."""

    @abc.abstractmethod
    def n_uniforms(self, n_features: int) -> int:
        """How many uniforms make one vector."""

    @abc.abstractmethod
    def from_uniforms(self, uniforms: np.ndarray, n_features: int) -> np.ndarray:
        """Vectors ``(n, n_features)`` from numbers ``(n, n_uniforms)`` between 0 and 1, both exclusive."""

    @abc.abstractmethod
    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Natural-log density ``(...)`` of vectors ``(..., n_features)``."""

    def sample(self, n_samples: int, n_features: int, rng: np.random.Generator) -> np.ndarray:
        """Independent draws ``(n_samples, n_features)``."""
        uniforms = rng.random((n_samples, self.n_uniforms(n_features)))
        # 0 itself is drawn once in 2^53, and is infinitely far away.
        return self.from_uniforms(np.maximum(uniforms, 2.0**-54), n_features)


@dataclasses.dataclass(frozen=True)
class Normal(Shape):
    """The standard normal."""

    def n_uniforms(self, n_features: int) -> int:
        return n_features

    def from_uniforms(self, uniforms: np.ndarray, n_features: int) -> np.ndarray:
        from scipy import special

        return np.asarray(special.ndtri(uniforms))

    def sample(self, n_samples: int, n_features: int, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal((n_samples, n_features))

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return -0.5 * ((z**2).sum(axis=-1) + z.shape[-1] * _LOG_TWO_PI)


@dataclasses.dataclass(frozen=True)
class StudentT(Shape):
    r"""Multivariate Student t with :math:`\nu` degrees of freedom, scaled to unit covariance.

    :math:`z = \sqrt{(\nu - 2) / c}\; y` with :math:`y` standard normal and :math:`c` an independent
    :math:`\chi^2_\nu`; its tails are heavier the closer :math:`\nu` is to 2.

    Attributes
    ----------
    degrees_of_freedom
        :math:`\nu`, above 2, without which there is no covariance.
    """

    degrees_of_freedom: float = 5.0

    def __post_init__(self) -> None:
        if not 2.0 < self.degrees_of_freedom < math.inf:
            raise DataError(f"degrees_of_freedom is {self.degrees_of_freedom!r}: give a finite number above 2")

    def n_uniforms(self, n_features: int) -> int:
        return n_features + 1

    def from_uniforms(self, uniforms: np.ndarray, n_features: int) -> np.ndarray:
        from scipy import special

        chi2 = 2.0 * special.gammaincinv(0.5 * self.degrees_of_freedom, uniforms[:, n_features])
        radius = np.sqrt((self.degrees_of_freedom - 2.0) / chi2)
        return special.ndtri(uniforms[:, :n_features]) * radius[:, np.newaxis]

    def log_density(self, z: np.ndarray) -> np.ndarray:
        from scipy import special

        nu, n_features = self.degrees_of_freedom, z.shape[-1]
        # log Gamma((nu + d) / 2) - log Gamma(nu / 2), whose two terms cancel for large nu.
        ratio = math.lgamma(0.5 * n_features) - float(special.betaln(0.5 * nu, 0.5 * n_features))
        constant = ratio - 0.5 * n_features * math.log(math.pi * (nu - 2.0))
        return constant - 0.5 * (nu + n_features) * np.log1p((z**2).sum(axis=-1) / (nu - 2.0))


@dataclasses.dataclass(frozen=True)
class SkewNormal(Shape):
    r"""Independent skew-normal coordinates (Azzalini 1985, *Scand. J. Stat.* 12, 171-178), standardised.

    Each coordinate is :math:`(y - m) / s` with :math:`y = \delta |u| + \sqrt{1 - \delta^2}\, v`, :math:`u, v` standard
    normal, :math:`m = \delta \sqrt{2/\pi}` and :math:`s^2 = 1 - m^2`.

    Attributes
    ----------
    skewness
        :math:`\delta`, between -1 and 1, both exclusive; 0 is the normal.
    """

    skewness: float = 0.9

    def __post_init__(self) -> None:
        if not -1.0 < self.skewness < 1.0:
            raise DataError(f"skewness is {self.skewness!r}: give delta, a number between -1 and 1")

    @property
    def _moments(self) -> tuple[float, float]:
        mean = self.skewness * math.sqrt(2.0 / math.pi)
        return mean, math.sqrt(1.0 - mean**2)

    def n_uniforms(self, n_features: int) -> int:
        return 2 * n_features

    def from_uniforms(self, uniforms: np.ndarray, n_features: int) -> np.ndarray:
        from scipy import special

        mean, scale = self._moments
        normal = special.ndtri(uniforms)
        y = self.skewness * np.abs(normal[:, :n_features])
        y += math.sqrt(1.0 - self.skewness**2) * normal[:, n_features:]
        return (y - mean) / scale

    def log_density(self, z: np.ndarray) -> np.ndarray:
        from scipy import special

        mean, scale = self._moments
        y = mean + scale * z
        slope = self.skewness / math.sqrt(1.0 - self.skewness**2)
        one = math.log(2.0 * scale) - 0.5 * (y**2 + _LOG_TWO_PI) + special.log_ndtr(slope * y)
        return np.asarray(one.sum(axis=-1))


@dataclasses.dataclass(frozen=True)
class Uniform(Shape):
    r"""Independent coordinates that are uniform between :math:`-\sqrt 3` and :math:`\sqrt 3`."""

    def n_uniforms(self, n_features: int) -> int:
        return n_features

    def from_uniforms(self, uniforms: np.ndarray, n_features: int) -> np.ndarray:
        return math.sqrt(3.0) * (2.0 * uniforms - 1.0)

    def log_density(self, z: np.ndarray) -> np.ndarray:
        # A draw that was moved by its mean and back must not fall off the edge by rounding.
        inside = (np.abs(z) <= math.sqrt(3.0) * (1.0 + 1e-9)).all(axis=-1)
        return np.where(inside, -0.5 * z.shape[-1] * math.log(12.0), -math.inf)


NORMAL = Normal()
