r"""Intervals from EM's estimates on many replicates of the data: three bootstraps and the jackknife.

| method | replicate | interval |
|---|---|---|
| ``bootstrap`` | rows drawn with replacement | percentiles |
| ``weighted`` | rows weighted by a Dirichlet(:math:`\alpha, \ldots, \alpha`) times their number | centred percentiles |
| ``parametric`` | as many rows drawn from the fit, with cells missing where the data's are | percentiles |
| ``jackknife`` | a row left out, or one of `n_replicates` groups of rows | :math:`\pm z` standard errors |

Percentiles are those of the kept replicates; centred ones are :math:`2 \hat\theta - q` of the opposite tail, cut at the
border of the number's range. With :math:`\alpha = 1` the weighted one is Newton and Raftery's; the default .8137
is Scrucca's, whose weights are as skewed as the counts of the bootstrap. The jackknife's variance is :math:`\frac{g -
1}{g} \sum_j (\hat\theta_{(j)} - \bar\theta)^2` for g replicates of equal size.

Each replicate starts from the fit's optima (`emjax.em.refits`), and its components are numbered so that its parameters
are nearest to the estimate's. Those that failed are counted, and more than `_MOST_LEFT_OUT` of them (or of ambiguous
ones) make the intervals ``rough``: what was left out is not left out at random.

References: Efron, Annals of Statistics 7, 1979; Newton and Raftery, Journal of the Royal Statistical Society B 56,
1994; O'Hagan, Murphy, Scrucca and Gormley, Computational Statistics 34, 2019; Scrucca, arXiv 2405.17265; Singh and Xie,
International Encyclopedia of Education, 2010, for centred percentiles.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Array
from scipy.special import ndtri

from emjax import align
from emjax.em.refits import Refits, refit
from emjax.em.state import DEGENERATE
from emjax.errors import DataError
from emjax.keys import KeyLike, numpy_generator
from emjax.mixture import Mixture, MixtureParams
from emjax.progress import Line
from emjax.result import Fit
from emjax.samples import Samples
from emjax.scope import computing
from emjax.uncertainty.links import LINKS, symmetric
from emjax.uncertainty.numbering import told_apart
from emjax.uncertainty.quantities import Reading, reading_of, values_of
from emjax.uncertainty.replicates import Replicates
from emjax.uncertainty.results import IntervalRow, Intervals, IntervalStatus

SCHEMES = ("bootstrap", "weighted", "parametric", "jackknife")

ALPHA = 0.8137
"""Of the Dirichlet weights: at this their skewness is that of the bootstrap's counts."""

_MOST_LEFT_OUT = 0.05
_FEWEST_KEPT = 20
_DRAWN_AT_ONCE = 1 << 17
"""Numbers of simulated data that are drawn together."""

_PASSES = 2
"""Times that replicates are numbered anew in the units that the last numbering gives."""

_BORDER = 0.5
"""Two components of an ambiguous replicate are not this share as far apart as the estimate's are."""


def by_resampling(
    fit: Fit,
    level: float,
    scheme: str,
    of: Any = None,
    *,
    n_replicates: int = 1000,
    key: KeyLike = 0,
    alpha: float = ALPHA,
    line: Line | None = None,
) -> Intervals:
    """Intervals of a fit by one of `SCHEMES`; see `emjax.uncertainty.intervals`."""
    with computing():  # before the replicates, so that a function that does not work costs none
        reading = reading_of(fit, of)
        estimates = values_of(fit, reading, jax.tree.map(lambda leaf: np.asarray(leaf)[None], fit.params))[0]
    rng = numpy_generator(key)
    samples = fit.samples.counted
    groups: np.ndarray | None = None
    if scheme == "jackknife":
        groups = _groups(samples, n_replicates, rng)
        n_replicates = len(np.unique(groups))
    replicates = _replicates(fit, samples, scheme, n_replicates, rng, alpha, groups)
    found = refit(
        fit,
        replicates,
        weights=scheme != "parametric",
        on_progress=None if line is None else lambda done: line(f"{done:,} of {n_replicates:,} replicates"),
    )
    aligned, ambiguous = _aligned(fit, found)
    with computing():
        values = values_of(fit, reading, aligned)
    kept = Replicates(
        n_replicates=n_replicates,
        failed=int(((found.code != DEGENERATE) & ~found.regular & ~found.spurious).sum()),
        degenerate=int((found.code == DEGENERATE).sum()),
        spurious=int((found.spurious & (found.code != DEGENERATE)).sum()),
        ambiguous=ambiguous,
        params=aligned,
        values=values,
        mixture=fit.mixture.likelihood,
        feature_names=fit.feature_names,
    )
    counts = None if groups is None else _units(samples, groups)[found.regular]
    return _intervals(level, scheme, reading, estimates, kept, counts)


# -- the replicates


def _replicates(
    fit: Fit,
    samples: Samples,
    scheme: str,
    n_replicates: int,
    rng: np.random.Generator,
    alpha: float,
    groups: np.ndarray | None,
) -> Iterator[np.ndarray]:
    n, weights = samples.n_samples, samples.weights
    own = np.ones(n) if weights is None else weights
    counted = bool((own == np.round(own)).all())
    if scheme == "parametric":
        yield from simulated(fit, samples, n_replicates, rng)
        return
    for number in range(n_replicates):
        if groups is not None:
            left_out = np.where(groups == number, 1.0 if counted and _each_alone(groups) else own, 0.0)
            yield own - left_out
        elif scheme == "bootstrap":
            if weights is None:
                yield np.bincount(rng.integers(0, n, n), minlength=n).astype(float)
            elif counted:
                yield rng.multinomial(round(own.sum()), own / own.sum()).astype(float)
            else:
                # What is drawn is a row with its weight.
                yield own * rng.multinomial(n, np.full(n, 1.0 / n))
        else:
            # Of a row that stands for several, the sum of their weights.
            drawn = rng.gamma(alpha * own) if counted else own * rng.gamma(alpha, size=n)
            yield drawn * (own.sum() / drawn.sum())


def simulated(fit: Fit, samples: Samples, n_replicates: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Data from the fit, missing where the data are; each row as often as it counts."""
    own = np.ones(samples.n_samples) if samples.weights is None else samples.weights
    counted = bool((own == np.round(own)).all())
    if not counted or samples.labels is not None:
        what = "whose weights are no counts" if not counted else "with known labels"
        raise DataError(f"a parametric bootstrap of rows {what} has no law to draw from; use the 'bootstrap' of rows")
    rows = np.repeat(np.arange(samples.n_samples), own.astype(int))
    holes = np.isnan(samples.values[rows]) if samples.has_holes else None
    at_once = max(min(_DRAWN_AT_ONCE // (len(rows) * samples.n_features), n_replicates), 1)
    for begin in range(0, n_replicates, at_once):
        with computing():
            drawn = drawn_data(fit.mixture.likelihood, fit.params, at_once, len(rows), rng)
        if holes is not None:
            drawn[:, holes] = np.nan
        yield from drawn[: n_replicates - begin]


def drawn_data(
    mixture: Mixture, params: MixtureParams, n_sets: int, n_rows: int, rng: np.random.Generator
) -> np.ndarray:
    """Data from a mixture ``(n_sets, n_rows, n_features)``."""
    keys = jax.random.split(jax.random.key(int(rng.integers(1 << 32))), n_sets)
    return np.array(_drawn(mixture, params, keys, n_rows), float)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _drawn(mixture: Mixture, params: MixtureParams, keys: Array, n: int) -> Array:
    return jax.vmap(lambda key: mixture.sample(params, key, n)[0])(keys)


def _groups(samples: Samples, most: int, rng: np.random.Generator) -> np.ndarray:
    """Which group each row is left out with ``(n,)``, each row one of its own where there are no more than ``most``."""
    n = samples.n_samples
    return np.arange(n) if n <= most else rng.permutation(np.arange(n) % most)


def _each_alone(groups: np.ndarray) -> bool:
    return int(groups.max()) + 1 == len(groups)


def _units(samples: Samples, groups: np.ndarray) -> np.ndarray:
    """How many replicates each group stands for: a row that counts several times could be left out as often."""
    own = np.ones(len(groups)) if samples.weights is None else samples.weights
    counted = bool((own == np.round(own)).all())
    return own if counted and _each_alone(groups) else np.ones(int(groups.max()) + 1)


# -- from replicates to intervals


def _aligned(fit: Fit, found: Refits) -> tuple[MixtureParams, int]:
    """The regular replicates with the estimate's numbering, and how many of them are ambiguous."""
    mixture, regular = fit.mixture.likelihood, found.regular
    kept = jax.tree.map(lambda leaf: leaf[regular], found.params)
    if mixture.n_components == 1 or told_apart(fit) or not regular.any():
        return kept, 0
    estimate = jax.tree.map(lambda leaf: np.asarray(leaf)[None], fit.params)
    vectors, reference = (
        np.concatenate([np.asarray(each.weights)[..., None], np.asarray(mixture.places(each), float)], axis=-1)
        for each in (kept, estimate)
    )
    units = _positive(vectors.std(axis=(0, 1)))
    permutations = align.pivot(vectors, reference[0], units)
    for _ in range(_PASSES):
        # In units of the spread within labels a number counts by how sharply it tells the components apart: of two
        # halves far apart weights and scales say nothing of the order, and would be heard as loudly as the means.
        units = _positive(align.apply(permutations, vectors, axis=1).std(axis=0).mean(axis=0))
        permutations = align.pivot(vectors, reference[0], units)
    with computing():
        kept = jax.tree.map(np.asarray, jax.vmap(mixture.permute)(kept, permutations))
    apart = _share_apart(align.apply(permutations, vectors, axis=1) / units, reference[0] / units)
    return kept, int((~(apart >= _BORDER)).sum())


def _positive(scale: np.ndarray) -> np.ndarray:
    return np.where(scale > 0, scale, 1.0)


def _share_apart(vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """How far apart the components of replicates are along the line between the estimate's, beside those, ``(n,)``.

    Of the pair where this share is the least. At zero it would cost nothing to exchange the two.
    """
    first, second = np.triu_indices(len(reference), 1)
    line = reference[first] - reference[second]
    along = np.einsum("npq,pq->np", vectors[:, first] - vectors[:, second], line)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (along / (line**2).sum(axis=1)).min(axis=1)


def _intervals(
    level: float, scheme: str, reading: Reading, estimates: np.ndarray, kept: Replicates, counts: np.ndarray | None
) -> Intervals:
    status, detail = _status(kept)
    parameters = reading.parameters
    n_rows = len(parameters)
    covariance = np.full((n_rows, n_rows), np.nan)
    if not status.withheld:
        covariance = _covariance(kept.values, counts)
    rows = []
    for i, (parameter, link) in enumerate(zip(parameters, reading.links, strict=True)):
        estimate, se = float(estimates[i]), float(np.sqrt(covariance[i, i]))
        lower, upper, note = float("nan"), float("nan"), ""
        if not status.withheld:
            # The weight of a single component is one in all replicates.
            link = "identity" if se == 0 else link
            lower, upper, note = ends_of(scheme, level, estimate, kept.values[:, i], se, link)
        rows.append(IntervalRow(parameter.name, estimate, se, lower, upper, link, note))
    return Intervals(
        level=level,
        method=scheme,
        space="the numbers themselves, over replicates",
        status=status,
        rows=tuple(rows),
        covariance=covariance,
        detail=detail,
        parameters=parameters,
        replicates=kept,
    )


def _status(kept: Replicates) -> tuple[IntervalStatus, str]:
    if kept.n_kept < _FEWEST_KEPT:
        return IntervalStatus.FAILED, f"{IntervalStatus.FAILED.message} ({kept.words})."
    unsound = kept.n_replicates - kept.n_kept + kept.ambiguous
    if unsound > _MOST_LEFT_OUT * kept.n_replicates:
        return IntervalStatus.ROUGH, (
            f"The intervals leave out what many replicates say: {kept.words}. Use the posterior's intervals, more rows "
            "or fewer components."
        )
    return IntervalStatus.OK, f"EM's estimates from {kept.words}."


def _covariance(values: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    """Of replicates; of the jackknife with what each of them stands for ``counts (n_kept,)``."""
    if counts is None:
        return np.atleast_2d(np.cov(values, rowvar=False))
    total = counts.sum()
    away = values - counts @ values / total
    return (total - 1.0) / total * (away * counts[:, None]).T @ away


def ends_of(
    scheme: str, level: float, estimate: float, values: np.ndarray, se: float, link: str
) -> tuple[float, float, str]:
    """Both ends of one number's interval, and what is to be known of them; ``values`` are those of the replicates."""
    if scheme == "jackknife":
        return *symmetric(link, estimate, float(ndtri(0.5 + level / 2)) * se), ""
    tails = [0.5 - level / 2, 0.5 + level / 2]
    lower, upper = (float(each) for each in np.quantile(values, tails))
    if scheme != "weighted" or se == 0:
        return lower, upper, ""
    # What a reflection leads out of the number's range stands at its border.
    back = LINKS[link][1]
    low, high = 2 * estimate - upper, 2 * estimate - lower
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        least, most = float(back(-np.inf)), float(back(np.inf))
    note = "" if least < low and high < most else "reflected beyond the border of its range, which stands there"
    return max(low, least), min(high, most), note
