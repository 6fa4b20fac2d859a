r"""The EM-test of one component against two: a p value from a limit that is known, without a simulation.

From each of a few shares :math:`\alpha_j` of the first component the penalised log-likelihood is maximised with the
share held fixed, and then takes a few iterations of EM that move the share too; the statistic is twice the largest gain
over the fit of a single component. The penalties keep the share from 0 and 1 and variances from 0, which gives the
statistic a simple limit where the likelihood ratio has none. `emjax.families.homogeneity` has penalties, limits and the
sources.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from emjax.bounds import one_of
from emjax.catalogue import DEFAULT_FAMILY
from emjax.errors import ConfigError, DataError
from emjax.families import FAMILIES
from emjax.families.base import Family
from emjax.families.homogeneity import SHARES, Kernel, kernel_of
from emjax.mixture import Mixture
from emjax.shown import Shown

ITERATIONS = 3
"""The statistic is taken after so many values of the penalised likelihood, the first of them before any iteration."""

_SHORT, _LONG = 30, 2000
"""Iterations of all starts, and then of the best of them, with the share held fixed."""

_DRAWN, _KEPT = 6, 3
"""Starts that are random beside those by the order of the data; how many of all go on."""

_STILL = 1e-7
"""Penalised log-likelihoods rest where an iteration gains no more."""


_MANY = 50
"""Rows below which the limit is far: of 10 and of 20 from one normal 5% are 1%, of 5 none of 300 samples."""


@dataclasses.dataclass(frozen=True, repr=False)
class EMTest(Shown):
    """The EM-test of homogeneity.

    Attributes
    ----------
    family
        Of the components.
    statistic
        Twice the largest gain in penalised log-likelihood.
    p_value
        By the limit.
    limit
        The limit in words.
    share
        Of the first component, where the statistic was reached.
    n_samples
        The number of data.
    """

    family: Family
    statistic: float
    p_value: float
    limit: str
    share: float
    n_samples: float

    def __str__(self) -> str:
        few = f", of many rows: take bootstrap_test for {self.n_samples:g}" if self.n_samples < _MANY else ""
        return f"one component against two: EM-test {self.statistic:.2f}, p = {self.p_value:.3g} ({self.limit}{few})"

    def _shown(self) -> Iterator[tuple[str, Any]]:
        for name in ("family", "statistic", "p_value", "limit", "share", "n_samples"):
            yield name, getattr(self, name)


def em_test(x: Any, family: Any = DEFAULT_FAMILY) -> EMTest:
    """Test whether data of one feature come from one component rather than two.

    Parameters
    ----------
    x
        Data of one feature, each counted once and none missing.
    family
        ``"normal"`` (unequal variances; ``emjax.Normal("tied")`` has one), ``"poisson"`` or ``"exponential"``, by name
        or as an object.

    Raises
    ------
    ConfigError
        If the limit is not known for the family.
    DataError
        If the data have several features, weights, labels or missing cells, or the family refuses them.
    """
    chosen = family if isinstance(family, Family) else FAMILIES[one_of("family", family, FAMILIES)]()
    kernel = kernel_of(chosen)
    if kernel is None:
        raise ConfigError(f"family = {chosen.name!r} has no EM-test with a known limit: use bootstrap_test")
    samples = Mixture(chosen, 2).samples(x)
    if samples.n_features != 1:
        raise DataError(f"x has {samples.n_features} features, and the EM-test is for one: use bootstrap_test")
    if samples.weights is not None or samples.labels is not None or samples.has_holes:
        raise DataError("x has weights, labels or missing cells, and the EM-test knows none of these")
    chosen.check(samples)
    statistic, share = statistics(kernel, samples.values.T)
    return EMTest(
        family=chosen,
        statistic=float(statistic[0]),
        p_value=float(kernel.tail(statistic[0])),
        limit=kernel.limit,
        share=float(share[0]),
        n_samples=samples.n_samples,
    )


def statistics(kernel: Kernel, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The statistics of many data sets ``x (m, n)``, and the shares at which they were reached ``(m,)``."""
    variance = x.var(axis=-1)
    whole = np.ones((len(x), 2, x.shape[-1]))
    alone = kernel.estimates(x, whole, variance)
    # A single component is two equal ones; its own variance is that of the data, which no penalty moves.
    null = kernel.log_density(x, alone)[:, 0].sum(axis=-1) + kernel.penalties(alone, variance)
    best, at = np.full(len(x), -np.inf), np.zeros(len(x))
    for share in SHARES:
        value, reached = _from_share(kernel, x, variance, share)
        better = value > best
        best, at = np.where(better, value, best), np.where(better, reached, at)
    return np.maximum(2.0 * (best - null), 0.0), at


def _from_share(kernel: Kernel, x: np.ndarray, variance: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The penalised log-likelihood after the iterations from one share, and the share then."""
    begin = _starts(x, share)
    m, n_starts = begin.shape[:2]
    wide = np.repeat(x[:, None], n_starts, axis=1), np.repeat(variance[:, None], n_starts, axis=1)
    fixed = np.full((m, n_starts), share)
    params = kernel.estimates(wide[0], begin, wide[1])
    params, value = _held(kernel, *wide, params, fixed, _SHORT)
    chosen = np.argsort(-value, axis=1)[:, :_KEPT]
    params = np.take_along_axis(params, chosen[:, :, None, None], axis=1)
    few = tuple(each[:, :_KEPT] for each in wide)
    params, value = _held(kernel, few[0], few[1], params, fixed[:, :_KEPT], _LONG)
    first = value.argmax(axis=1)[:, None]
    params = np.take_along_axis(params, first[:, :, None, None], axis=1)[:, 0]
    shares = np.full(m, share)
    for _ in range(ITERATIONS - 1):
        responsibilities, _value = _expected(kernel, x, variance, params, shares)
        shares = _moved(responsibilities.sum(axis=-1), kernel.strength(x.shape[-1]))
        params = kernel.estimates(x, responsibilities, variance)
    return _expected(kernel, x, variance, params, shares)[1], shares


def _held(
    kernel: Kernel, x: np.ndarray, variance: np.ndarray, params: np.ndarray, shares: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """EM with shares held fixed ``(m, s)``, until nothing is gained; data sets that rest are left alone."""
    params, value = params.copy(), np.full(shares.shape, -np.inf)
    runs = np.arange(len(x))
    for _ in range(most):
        part = params[runs]
        responsibilities, reached = _expected(kernel, x[runs], variance[runs], part, shares[runs])
        gained = (reached - value[runs] > _STILL).any(axis=1)
        value[runs] = reached
        params[runs] = kernel.estimates(x[runs], responsibilities, variance[runs])
        runs = runs[gained]
        if not len(runs):
            break
    return params, _expected(kernel, x, variance, params, shares)[1]


def _expected(
    kernel: Kernel, x: np.ndarray, variance: np.ndarray, params: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Responsibilities ``(..., 2, n)`` and the penalised log-likelihood ``(...,)``."""
    joint = kernel.log_density(x, params)
    joint[..., 0, :] += np.log(shares)[..., None]
    joint[..., 1, :] += np.log1p(-shares)[..., None]
    top = joint.max(axis=-2, keepdims=True)
    parts = np.exp(joint - top)
    total = parts.sum(axis=-2, keepdims=True)
    value = (top + np.log(total)).sum(axis=(-1, -2)) + kernel.penalties(params, variance)
    return parts / total, value + kernel.strength(x.shape[-1]) * np.log1p(-np.abs(1.0 - 2.0 * shares))


def _moved(mass: np.ndarray, penalty: float) -> np.ndarray:
    """The share that maximises the penalised complete log-likelihood, of the mass of both components ``(..., 2)``."""
    n = mass.sum(axis=-1)
    low = np.minimum((mass[..., 0] + penalty) / (n + penalty), 0.5)
    high = np.maximum(mass[..., 0] / (n + penalty), 0.5)
    return np.where(mass[..., 0] <= 0.5 * n, low, high)


def _starts(x: np.ndarray, share: float) -> np.ndarray:
    """Responsibilities to begin with ``(m, s, 2, n)``: the first component's are the lowest data, the highest, those in
    the middle, those outside, and random ones."""
    m, n = x.shape
    first = max(round(share * n), 1)
    order = np.argsort(np.argsort(x, axis=1), axis=1)
    far = np.argsort(np.argsort(np.abs(x - np.median(x, axis=1, keepdims=True)), axis=1), axis=1)
    by_order = [order < first, order >= n - first, far < first, far >= n - first]
    rng = np.random.default_rng(0)
    drawn = [np.broadcast_to(rng.permutation(n) < first, (m, n)) for _ in range(_DRAWN)]
    taken = np.stack([*by_order, *drawn], axis=1).astype(float)
    # Not all of a datum, or a component of one datum would never let it go.
    taken = 0.1 * share + 0.9 * taken
    return np.stack([taken, 1.0 - taken], axis=2)
