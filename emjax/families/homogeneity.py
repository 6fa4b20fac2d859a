r"""What the EM-test needs of a family of one number: weighted estimates, log densities, penalties, and the limit.

Arrays lead with any number of axes, here ``...``; the data are on the last one. A component's dispersion is penalised
by

.. math:: p_n(\sigma) = -a_n \Bigl( \frac{s_n^2}{\sigma^2} + \log \frac{\sigma^2}{s_n^2} - 1 \Bigr)

with the variance :math:`s_n^2` of all the data, so that the likelihood has a bound; the share of a component by
:math:`C \log(1 - |1 - 2 \alpha|)`. Under a single component twice the gain has the limits

- normal, unequal variances (:math:`a_n = 1/4, C = 1`): :math:`\chi^2_2`;
- normal, one variance (:math:`a_n = 1, C = 1`): the distribution function :math:`F(x - \Delta)(1 + F(x)) / 2` with that
  of :math:`\chi^2_1` as :math:`F` and :math:`\Delta = 2 \log 0.6`, for shares of 0.1, 0.3 and 0.5;
- one parameter: half zero and half :math:`\chi^2_1`; with :math:`C = 0.54` for Poissons, and for exponentials with C
  the logistic function of :math:`0.74 + 82 / n`, which R's MixtureInf recommends.

References: Chen and Li, Annals of Statistics 37, 2009, for normals; Li, Chen and Marriott, Biometrika 96, 2009, for
families of one parameter.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, ClassVar

import numpy as np
from scipy.special import chdtrc, gammaln

from emjax.families.base import Family
from emjax.families.coordinates import Coordinates

SHARES = (0.1, 0.3, 0.5)
"""The shares that the test begins with."""


def chi_square_tail(value: Any, degrees: int) -> Any:
    """The probability of a larger chi-square."""
    return chdtrc(degrees, np.maximum(value, 0.0))


class Kernel(abc.ABC):
    """One family; parameters are ``(..., 2, q)``, of two components."""

    limit: ClassVar[str] = "half zero, half chi-square of 1"
    """The limit in words."""

    @abc.abstractmethod
    def estimates(self, x: np.ndarray, shares: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Those that maximise the penalised log density of ``x (..., n)`` weighted by ``shares (..., 2, n)``."""

    @abc.abstractmethod
    def log_density(self, x: np.ndarray, params: np.ndarray) -> np.ndarray:
        """``(..., 2, n)``."""

    def strength(self, n_samples: int) -> float:
        """``C``, how strongly the share is penalised."""
        return 0.54

    def penalties(self, params: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """What the parameters are penalised with ``(...,)``; by default nothing."""
        return np.zeros(params.shape[:-2])

    def tail(self, statistic: Any) -> Any:
        """The p value of the limit."""
        return np.where(np.asarray(statistic) > 0, 0.5 * chi_square_tail(statistic, 1), 1.0)


def _means(x: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mass = np.maximum(shares.sum(axis=-1), 1e-300)
    return mass, (shares * x[..., None, :]).sum(axis=-1) / mass


@dataclasses.dataclass(frozen=True)
class _Gaussian(Kernel):
    """Means and standard deviations, ``shared`` by both components or not."""

    shared: bool

    @property
    def limit(self) -> str:  # type: ignore[override]
        return "a function of chi-squares of 1" if self.shared else "chi-square of 2"

    @property
    def _of_variances(self) -> float:
        return 1.0 if self.shared else 0.25

    def strength(self, n_samples: int) -> float:
        return 1.0

    def estimates(self, x: np.ndarray, shares: np.ndarray, variance: np.ndarray) -> np.ndarray:
        mass, mean = _means(x, shares)
        scatter = (shares * (x[..., None, :] - mean[..., None]) ** 2).sum(axis=-1)
        if self.shared:
            mass, scatter = (np.repeat(each.sum(axis=-1, keepdims=True), 2, axis=-1) for each in (mass, scatter))
        prior = 2.0 * self._of_variances
        spread = (scatter + prior * variance[..., None]) / (mass + prior)
        return np.stack([mean, np.sqrt(spread)], axis=-1)

    def log_density(self, x: np.ndarray, params: np.ndarray) -> np.ndarray:
        mean, scale = params[..., 0, None], params[..., 1, None]
        return -0.5 * ((x[..., None, :] - mean) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2.0 * math.pi)

    def penalties(self, params: np.ndarray, variance: np.ndarray) -> np.ndarray:
        ratio = variance[..., None] / params[..., 1] ** 2
        each = -self._of_variances * (ratio - np.log(ratio) - 1.0)
        return each[..., 0] if self.shared else each.sum(axis=-1)

    def tail(self, statistic: Any) -> Any:
        if not self.shared:
            return chi_square_tail(statistic, 2)
        shift = 2.0 * max(math.log(1.0 - abs(1.0 - 2.0 * share)) for share in SHARES if share != 0.5)
        one = chi_square_tail(np.asarray(statistic) - shift, 1)
        other = 0.5 * chi_square_tail(statistic, 1)
        # One less the product of the distribution functions, with all digits of a small one.
        return np.where(np.asarray(statistic) > 0, one + other - one * other, 1.0)


class _Counts(Kernel):
    def estimates(self, x: np.ndarray, shares: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return np.maximum(_means(x, shares)[1], 1e-12)[..., None]

    def log_density(self, x: np.ndarray, params: np.ndarray) -> np.ndarray:
        x = x[..., None, :]
        return x * np.log(params) - params - gammaln(x + 1.0)


class _Waiting(Kernel):
    def strength(self, n_samples: int) -> float:
        return 1.0 / (1.0 + math.exp(-0.74 - 82.0 / n_samples))

    def estimates(self, x: np.ndarray, shares: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return np.maximum(_means(x, shares)[1], 1e-12)[..., None]

    def log_density(self, x: np.ndarray, params: np.ndarray) -> np.ndarray:
        return -np.log(params) - x[..., None, :] / params


def kernel_of(family: Family) -> Kernel | None:
    """What the test needs of a family of one feature; None where its limit is not known."""
    if family.name == "normal":
        # Two means and one variance, or two.
        return _Gaussian(shared=Coordinates(family, 2, 1, weights=None).n_parameters == 3)
    known: dict[str, Kernel] = {"poisson": _Counts(), "exponential": _Waiting()}
    return known.get(family.name)
