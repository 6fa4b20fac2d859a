r"""The law of simulated data: a mixture that can be drawn from and whose density is known exactly.

Pure NumPy and SciPy, written independently of emjax's own densities, so that a study which measures estimates against
a law does not check the library against itself.
"""

from __future__ import annotations

import abc
import dataclasses
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from emjax.datasets.arguments import checked_components, checked_rate, checked_weights
from emjax.datasets.shapes import NORMAL, Shape, StudentT


class MixtureLaw(abc.ABC):
    r"""A mixture :math:`p(x) = \sum_k w_k \, p_k(x)`."""

    weights: np.ndarray

    discrete: ClassVar[bool] = False
    """Whether rows are whole numbers, so that densities are probabilities."""

    family: ClassVar[str] = ""
    """The only family whose parameters mean the same; empty where names say enough."""

    @property
    @abc.abstractmethod
    def n_features(self) -> int:
        """The number of columns of a row."""

    @property
    @abc.abstractmethod
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Means ``(n_components, n_features)`` and covariance matrices of the components."""

    @abc.abstractmethod
    def wider(self) -> MixtureLaw:
        """A law whose density is nowhere far below this one's, and that reaches beyond it."""

    @property
    @abc.abstractmethod
    def parameters(self) -> dict[str, np.ndarray]:
        """The parameters by name, each leading with the components."""

    @abc.abstractmethod
    def log_components(self, rows: np.ndarray) -> np.ndarray:
        r"""Log densities :math:`\log p_k(x_n)` ``(n, n_components)`` of rows ``(n, n_features)``."""

    @abc.abstractmethod
    def draw(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One row ``(n, n_features)`` from each of the components ``labels`` ``(n,)``."""

    def log_joint(self, rows: np.ndarray) -> np.ndarray:
        r""":math:`\log w_k + \log p_k(x_n)`, ``(n, n_components)``."""
        with np.errstate(divide="ignore"):  # a component of weight 0 has density 0
            return np.log(self.weights) + self.log_components(np.asarray(rows, np.float64))

    def log_density(self, rows: np.ndarray) -> np.ndarray:
        """Natural-log density ``(n,)`` of rows ``(n, n_features)``; -inf outside the support."""
        return _log_sum_exp(self.log_joint(rows))

    def responsibilities(self, rows: np.ndarray) -> np.ndarray:
        """Assignment probabilities ``(n, n_components)`` of the Bayes rule; the weights where the density is 0."""
        joint = self.log_joint(rows)
        total = _log_sum_exp(joint)[:, np.newaxis]
        inside = np.isfinite(total)
        shares = np.exp(joint - np.where(inside, total, 0.0))
        return np.where(inside, shares, self.weights)

    def sample(self, n_samples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows ``(n_samples, n_features)`` and their components ``(n_samples,)``."""
        labels = rng.choice(self.weights.size, size=n_samples, p=self.weights)
        return self.draw(labels, rng), labels


@dataclasses.dataclass(frozen=True, eq=False)
class LocationScaleLaw(MixtureLaw):
    r"""Components :math:`x = \mu_k + L_k z`, with :math:`\Sigma_k = L_k L_k^\top` and :math:`z` of one `Shape`.

    Attributes
    ----------
    weights
        ``(n_components,)``, summing to 1.
    mean
        ``(n_components, n_features)``.
    covariance
        ``(n_components, n_features, n_features)``, positive definite; the covariance for every shape.
    shape
        Of all components; normal by default.
    """

    weights: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    shape: Shape = NORMAL

    @cached_property
    def root(self) -> np.ndarray:
        """The lower triangular Cholesky factors of the covariances."""
        return np.linalg.cholesky(self.covariance)

    @cached_property
    def _inverse_root(self) -> np.ndarray:
        return np.linalg.inv(self.root)

    @property
    def n_features(self) -> int:
        return int(self.mean.shape[1])

    @property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        return self.mean, self.covariance

    def wider(self) -> MixtureLaw:
        """Heavy-tailed components of twice the widths, and one that is twice as wide as all data together."""
        centre = self.weights @ self.mean
        gaps = self.mean - centre
        between = gaps[:, :, np.newaxis] * gaps[:, np.newaxis, :]
        whole = np.einsum("k,kde->de", self.weights, self.covariance + between)
        return LocationScaleLaw(
            np.append(0.5 * self.weights, 0.5),
            np.concatenate([self.mean, centre[np.newaxis]]),
            4.0 * np.concatenate([self.covariance, whole[np.newaxis]]),
            StudentT(5.0),
        )

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """``weights``, ``mean``, ``scale``, ``covariance``, and ``correlation`` from two features on."""
        scale = np.sqrt(np.einsum("kdd->kd", self.covariance))
        named = {"weights": self.weights, "mean": self.mean, "scale": scale, "covariance": self.covariance}
        if self.n_features > 1:
            named["correlation"] = self.covariance / (scale[:, :, np.newaxis] * scale[:, np.newaxis, :])
        return named

    def log_components(self, rows: np.ndarray) -> np.ndarray:
        logs = np.empty((len(rows), self.weights.size))
        for k, inverse in enumerate(self._inverse_root):
            z = (rows - self.mean[k]) @ inverse.T
            logs[:, k] = self.shape.log_density(z) + np.log(np.diag(inverse)).sum()
        return logs

    def draw(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        rows = self.shape.sample(len(labels), self.n_features, rng)
        for k, root in enumerate(self.root):
            members = labels == k
            rows[members] = self.mean[k] + rows[members] @ root.T
        return rows


@dataclasses.dataclass(frozen=True, eq=False)
class PoissonLaw(MixtureLaw):
    r"""Components :math:`\prod_j \mathrm{Poisson}(x_j \mid \lambda_{kj})`.

    Attributes
    ----------
    weights
        ``(n_components,)``, summing to 1.
    rate
        ``(n_components, n_features)``, positive.
    """

    weights: np.ndarray
    rate: np.ndarray
    discrete: ClassVar[bool] = True

    @property
    def n_features(self) -> int:
        return int(self.rate.shape[1])

    @property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        return self.rate, self.rate[:, :, np.newaxis] * np.eye(self.n_features)

    def wider(self) -> MixtureLaw:
        """The components at half, once and twice their rates."""
        return PoissonLaw(np.tile(self.weights, 3) / 3.0, np.concatenate([0.5 * self.rate, self.rate, 2.0 * self.rate]))

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """``weights`` and ``rate``."""
        return {"weights": self.weights, "rate": self.rate}

    def log_components(self, rows: np.ndarray) -> np.ndarray:
        counts = (rows >= 0) & (rows == np.floor(rows))
        whole = np.where(counts, rows, 0.0)
        # The density at rate x, and what another rate takes off: x log(rate) - rate - log x! would cancel.
        logs = np.stack([-_deviance(whole, rate[np.newaxis]).sum(axis=1) for rate in self.rate], axis=1)
        logs += _log_highest(whole).sum(axis=1)[:, np.newaxis]
        return np.where(counts.all(axis=1)[:, np.newaxis], logs, -np.inf)

    def draw(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.poisson(self.rate[labels]).astype(np.float64)


def normal_law(
    *, weights: Any, mean: Any, scale: Any = None, covariance: Any = None, shape: Shape = NORMAL
) -> LocationScaleLaw:
    """A checked `LocationScaleLaw`; arguments and errors as `emjax.datasets.simulate.normal_mixture`."""
    weights = checked_weights(weights)
    mean, covariance = checked_components(mean, scale, covariance, weights.size)
    return LocationScaleLaw(weights, mean, covariance, shape)


def poisson_law(*, weights: Any, rate: Any) -> PoissonLaw:
    """A checked `PoissonLaw`; arguments and errors as `emjax.datasets.simulate.poisson_mixture`."""
    weights = checked_weights(weights)
    return PoissonLaw(weights, checked_rate(rate, weights.size))


def _log_highest(x: np.ndarray) -> np.ndarray:
    """``log Poisson(x | rate = x)`` of counts; by Stirling's series where the factorial would cancel."""
    from scipy import special

    large = np.maximum(x, 1e3)
    by_series = -0.5 * np.log(2.0 * np.pi * large) - 1.0 / (12.0 * large) + 1.0 / (360.0 * large**3)
    return np.where(x < 1e3, special.xlogy(x, x) - x - special.gammaln(x + 1.0), by_series)


def _deviance(x: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """``x log(x / rate) + rate - x``."""
    from scipy import special

    apart = (rate - x) / np.maximum(x, 1.0)
    near = (np.abs(apart) < 0.5) & (x > 0)
    by_difference = x * (apart - np.log1p(np.where(near, apart, 0.0)))
    return np.where(near, by_difference, special.xlogy(x, x / rate) + rate - x)


def _log_sum_exp(logs: np.ndarray) -> np.ndarray:
    peak = logs.max(axis=1)
    shift = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):  # every density 0
        return shift + np.log(np.exp(logs - shift[:, np.newaxis]).sum(axis=1))
