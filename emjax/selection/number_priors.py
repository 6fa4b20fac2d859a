r"""Priors of the number of components and of their weights.

The number :math:`K`: `uniform`, `beta_negative_binomial`, `geometric`, `fixed`, or any probabilities. The weights
given :math:`K`:

==================  ==============================================================  ===================================
prior               weights                                                         known as
==================  ==============================================================  ===================================
`StaticWeights`     :math:`\mathrm{Dirichlet}(\gamma, \dots, \gamma)`               mixture of finite mixtures; with
                                                                                    :math:`K` fixed and a small
                                                                                    :math:`\gamma` a sparse one
`DynamicWeights`    :math:`\mathrm{Dirichlet}(\alpha / K, \dots, \alpha / K)`       dynamic mixture of finite mixtures
`StickBreaking`     :math:`w_k = v_k \prod_{l < k} (1 - v_l)`,                      Dirichlet process
                    :math:`v_k \sim \mathrm{Beta}(1, \alpha)`
==================  ==============================================================  ===================================

Each says which partitions of the data it expects: with :math:`N_1, \dots, N_{K_+}` data in the :math:`K_+` components
that hold any, and :math:`\gamma_K` equal to :math:`\gamma` or :math:`\alpha / K`,

.. math::

    p(C \mid K) = \frac{K!}{(K - K_+)!} \frac{\Gamma(K \gamma_K)}{\Gamma(n + K \gamma_K)}
    \prod_{k=1}^{K_+} \frac{\Gamma(N_k + \gamma_K)}{\Gamma(\gamma_K)}, \qquad
    p_{DP}(C) = \frac{\alpha^{K_+} \Gamma(\alpha)}{\Gamma(n + \alpha)} \prod_{k=1}^{K_+} \Gamma(N_k) .

References: Richardson and Green, Journal of the Royal Statistical Society B 59, 1997 (uniform); Frühwirth-Schnatter,
Malsiner-Walli and Grün, "Generalized mixtures of finite mixtures and telescoping sampling", Bayesian Analysis 16, 2021
(beta-negative-binomial, static and dynamic); Malsiner-Walli, Frühwirth-Schnatter and Grün, Statistics and Computing 26,
2016 (sparse); Ishwaran and James, Journal of the American Statistical Association 96, 2001 (sticks); Greve, Grün,
Malsiner-Walli and Frühwirth-Schnatter, Australian and New Zealand Journal of Statistics 64, 2022 (the prior of
:math:`K_+`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import betaln, gammaln, logsumexp

from emjax.bounds import LARGEST, share, whole, written
from emjax.errors import ConfigError
from emjax.families import laws
from emjax.shown import Shown

MOST_COMPONENTS = 50
"""Priors without an end are cut off after so many components."""

_MOST_WORK = 1e9
_ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class NumberPrior(Shown):
    """The prior of the number of components.

    Attributes
    ----------
    name
        What it is, in words.
    log_probabilities
        Of 1, 2, ... components, adding up to one, ``(K_max,)``.
    beyond
        How much of the prior was cut off: it has more components.
    """

    name: str
    log_probabilities: np.ndarray
    beyond: float = 0.0

    def __post_init__(self) -> None:
        given = np.asarray(self.log_probabilities, float)
        if given.ndim != 1 or given.size == 0 or np.isnan(given).any() or not np.isfinite(given).any():
            raise ConfigError(
                f"the probabilities of numbers of components must be a row of numbers, not {written(given)}"
            )
        total = logsumexp(given)
        # What adds up to one already stays as it is, to the last bit.
        object.__setattr__(self, "log_probabilities", given - total if abs(total) > _ROUNDING else given)

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "", self.name

    @property
    def most(self) -> int:
        """The largest number of components."""
        return int(self.log_probabilities.size)

    @property
    def probabilities(self) -> np.ndarray:
        """Of 1, 2, ... components."""
        return np.exp(self.log_probabilities)


def uniform(most: int = 30) -> NumberPrior:
    """Equal probabilities of 1 to ``most`` components; 30 is Richardson and Green's choice."""
    most = whole("n_components", most, shown="most")
    return NumberPrior(f"uniform on 1 to {most}", np.zeros(most))


def fixed(n_components: int) -> NumberPrior:
    """So many components; how many of them hold data is still unknown."""
    most = whole("n_components", n_components)
    return NumberPrior(f"fixed at {most}", np.where(np.arange(1, most + 1) == most, 0.0, -np.inf))


def geometric(probability: float, most: int = MOST_COMPONENTS) -> NumberPrior:
    """``p (1 - p)^(K - 1)``, cut off after ``most``."""
    p, most = share("the probability", probability), whole("n_components", most, shown="most")
    return NumberPrior(f"geometric({p:g})", np.arange(most) * np.log1p(-p), float((1.0 - p) ** most))


def beta_negative_binomial(
    size: float = 1.0, a: float = 4.0, b: float = 3.0, most: int = MOST_COMPONENTS
) -> NumberPrior:
    r"""``K - 1`` is beta-negative-binomial, ``BNB(1, 4, 3)`` by default, cut off after ``most`` components.

    .. math:: p(K) = \frac{\Gamma(s + K - 1)}{(K - 1)! \, \Gamma(s)} \frac{B(a + s, b + K - 1)}{B(a, b)}
    """
    for name, value in (("size", size), ("a", a), ("b", b)):
        _positive(name, value)
    most = whole("n_components", most, shown="most")
    k = np.arange(most, dtype=float)
    logs = gammaln(size + k) - gammaln(k + 1.0) - gammaln(size) + betaln(a + size, b + k) - betaln(a, b)
    return NumberPrior(f"BNB({size:g}, {a:g}, {b:g})", logs, max(0.0, float(1.0 - np.exp(logs).sum())))


def as_number_prior(value: Any) -> NumberPrior:
    """A prior, a whole number (fixed), or probabilities of 1, 2, ... components."""
    if isinstance(value, NumberPrior):
        return value
    if np.ndim(value) == 1:
        given = np.asarray(value, float)
        if not ((given >= 0.0).all() and np.isfinite(given).all() and given.sum() > 0):
            raise ConfigError(f"probabilities of numbers of components must not be negative, as {written(value)}")
        with np.errstate(divide="ignore"):
            return NumberPrior("as given", np.log(given))
    return fixed(value)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class FLaw(Shown):
    """The F law with so many degrees of freedom, of a concentration: F(6, 3) is the telescoping sampler's choice."""

    numerator: Any = 6.0
    denominator: Any = 3.0

    def log_prob(self, value: Any) -> Any:
        """The log density at positive numbers, up to its constant."""
        half = 0.5 * self.numerator
        ratio = self.numerator / self.denominator
        return (half - 1.0) * jnp.log(value) - 0.5 * (self.numerator + self.denominator) * jnp.log1p(ratio * value)


@dataclasses.dataclass(frozen=True, repr=False)
class WeightPrior(Shown):
    """The prior of the weights: a positive number, or its law (`emjax.laws.Gamma` or `FLaw`)."""

    concentration: Any = 1.0

    def __post_init__(self) -> None:
        value = self.concentration
        if isinstance(value, FLaw):
            numbers: tuple[Any, ...] = (value.numerator, value.denominator)
        else:
            numbers = (value.shape, value.rate) if isinstance(value, laws.Gamma) else (value,)
        for each in numbers:
            _positive("concentration", each)
        if isinstance(value, laws.Gamma):
            object.__setattr__(self, "concentration", laws.Gamma(float(value.shape), float(value.rate)))

    @property
    def random(self) -> bool:
        """Whether the concentration has a law."""
        return isinstance(self.concentration, laws.Gamma | FLaw)

    @property
    def first(self) -> float:
        """The concentration, or where chains begin."""
        if isinstance(self.concentration, laws.Gamma):
            return float(self.concentration.shape / self.concentration.rate)
        return 1.0 if isinstance(self.concentration, FLaw) else float(self.concentration)


class StaticWeights(WeightPrior):
    """Dirichlet with the concentration for each component, whatever their number."""


class DynamicWeights(WeightPrior):
    """Dirichlet with the concentration over the number of components for each."""


class StickBreaking(WeightPrior):
    """A Dirichlet process with the concentration; it has no number of components, only one of those with data."""


def prior_of_clusters(number: NumberPrior, weights: WeightPrior, n_samples: int) -> np.ndarray | None:
    r"""The prior probabilities that 1, 2, ... components hold data, ``(K_max,)``.

    By sums over all sizes of the products of :math:`\Gamma(N_k + \gamma) / (\Gamma(\gamma) N_k!)` (Greve et al. 2022);
    for a Dirichlet process by the recursion of its tables, where the last entry holds all beyond. None where a
    concentration is random, or the data are so many that the sums would take seconds.
    """
    most, concentration = number.most, weights.first
    if weights.random:
        return None
    if isinstance(weights, StickBreaking):
        return _tables(concentration, n_samples, most)
    numbers = np.flatnonzero(number.probabilities > 1e-12) + 1
    dynamic = isinstance(weights, DynamicWeights)
    if n_samples**2 * most * (len(numbers) if dynamic else 1) > _MOST_WORK:
        return None
    found = np.zeros(most)
    log_sums = _log_sums(concentration, n_samples, most)
    for k in numbers:
        gamma = concentration / k if dynamic else concentration
        own = _log_sums(gamma, n_samples, int(k)) if dynamic else log_sums
        held = np.arange(1, min(int(k), n_samples) + 1)
        log_ways = gammaln(k + 1.0) - gammaln(k - held + 1.0) - gammaln(held + 1.0)
        log_total = gammaln(k * gamma) - gammaln(n_samples + k * gamma) + gammaln(n_samples + 1.0)
        found[: len(held)] += number.probabilities[k - 1] * np.exp(log_ways + log_total + own[: len(held)])
    return found


def _log_sums(gamma: float, n: int, most: int) -> np.ndarray:
    """Over all sizes of 1, 2, ... components that add up to ``n``, the log sum of the products of their terms."""
    sizes = np.arange(1, n + 1)
    log_terms = gammaln(sizes + gamma) - gammaln(gamma) - gammaln(sizes + 1.0)
    one = np.concatenate([[0.0], np.exp(log_terms)])
    sums, level, found = one, 0.0, []
    for _ in range(min(most, n)):
        with np.errstate(divide="ignore"):
            found.append(np.log(sums[n]) + level)
        sums = np.convolve(sums, one)[: n + 1]
        highest = max(sums.max(), np.finfo(float).tiny)
        level += np.log(highest)
        sums = sums / highest
    return np.array(found)


def _tables(alpha: float, n: int, most: int) -> np.ndarray:
    """The number of tables of a Chinese restaurant process."""
    found = np.zeros(most + 1)
    found[0] = 1.0
    for i in range(n):
        new = alpha / (alpha + i)
        moved = np.concatenate([[0.0], found[:-1]]) * new
        stay = found * (1.0 - new)
        stay[-1] += found[-1] * new
        found = moved + stay
    return found[1:]


def _positive(name: str, value: Any) -> None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not 0.0 < number <= LARGEST:
        raise ConfigError(f"{name} = {written(value)} is not allowed; give a positive number or a law of one")
