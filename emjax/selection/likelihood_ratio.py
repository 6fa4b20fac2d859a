r"""The bootstrap likelihood-ratio test of K components against more.

Twice the gain in log-likelihood has no chi-square limit, since under K components the parameters of one more are not
identified. Its distribution is simulated instead: data sets are drawn from the fit with K components, and both mixtures
are fitted to each (McLachlan, Applied Statistics 36, 1987; Feng and McCulloch, Journal of the Royal Statistical Society
B 58, 1996). The p value is

.. math:: p = \frac{1 + \#\{b : T_b \ge T\}}{1 + B}

over B replicates, with the interval of Clopper and Pearson (Biometrika 26, 1934) for what infinitely many would give.

A test is only as good as its maxima. The fit of more components starts from the clusters of the fit of K with the
largest of them cut in two, and from drawn starts; where it is still below that of K, which it contains, the maximum was
missed: such replicates count as a ratio of zero and are told (`n_missed`).
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from scipy.special import betaincinv

from emjax.bounds import whole
from emjax.em.fit import fit_in_sweep
from emjax.errors import ConfigError, EmjaxError, FitError
from emjax.families.priors import WEIGHTS
from emjax.keys import KeyLike, as_key, kept_key
from emjax.mixture import Mixture, MixtureParams
from emjax.moments import Summary
from emjax.progress import both, progress_line
from emjax.result import Fit
from emjax.samples import Samples
from emjax.selection.measures import widened_fit
from emjax.selection.side_by_side import Counted, side_by_side
from emjax.shown import Shown
from emjax.threads import usable_cores

_SPLITS = 3
"""So many components are split for starts, the largest."""

_MISSED = 1e-6
"""A fit of more components that is this much below that of fewer, per datum, has missed its maximum."""

LEVEL = 0.95
"""Of the interval for the p value."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LikelihoodRatioTest(Shown):
    """The bootstrap test of a number of components against a larger one.

    Attributes
    ----------
    null, alternative
        The numbers of components.
    statistic
        Twice the gain in log-likelihood on the data.
    p_value
        The share of replicates, and the data, whose gain is as large.
    lower, upper
        The 95% interval of what infinitely many replicates would give.
    null_statistics
        The statistics of the replicates that have both fits.
    n_failed
        Replicates without them: a fit did not converge, or was spurious. They are left out, so that many of them make
        the p value one of the others.
    n_missed
        Replicates in which more components fitted less well than fewer, so that their maximum was missed.
    fits
        The fits to the data.
    key
        The random key.
    """

    null: int
    alternative: int
    statistic: float
    p_value: float
    lower: float
    upper: float
    null_statistics: np.ndarray
    n_failed: int
    n_missed: int
    fits: tuple[Fit, Fit] = dataclasses.field(repr=False)
    key: Any = None

    def __str__(self) -> str:
        kept = len(self.null_statistics)
        lines = [
            f"{self.null} against {self.alternative} components: 2 log ratio {self.statistic:.2f}, "
            f"p = {self.p_value:.3g} ({self.lower:.3g} to {self.upper:.3g})",
            f"{kept} replicates of {kept + self.n_failed}; {self.n_failed} failed, {self.n_missed} missed the maximum",
        ]
        return "\n".join(lines)

    def _shown(self) -> Iterator[tuple[str, Any]]:
        for name in ("null", "alternative", "statistic", "p_value", "lower", "upper", "n_failed", "n_missed"):
            yield name, getattr(self, name)
        yield "n_replicates", len(self.null_statistics)


def bootstrap_test(
    fit: Fit,
    *,
    n_components: int | None = None,
    n_replicates: int = 199,
    key: KeyLike = None,
    n_init: int = 5,
    progress: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> LikelihoodRatioTest:
    """Test the number of components of a fit against a larger one, by the parametric bootstrap.

    Parameters
    ----------
    fit
        A fit by maximum likelihood, the null hypothesis: the best of `emjax.select`, or of `emjax.fit`.
    n_components
        The alternative; by default one component more.
    n_replicates
        Simulated data sets, 199 by default; with 999 the interval of a p value of .05 is .04 to .07.
    key
        A whole number or JAX random key; left out, a number is drawn and kept.
    n_init
        Drawn starts of each fit, 5 by default. The parameters that the data were drawn from are one more, and for the
        alternative these with a component split in two. Both fits to the data themselves have twenty drawn starts.
    progress, on_progress
        A line; a function of the number of replicates done and their number.

    Raises
    ------
    ConfigError
        If the fit has a prior, labels or missing cells, or the alternative is no larger number.
    FitError
        If a fit to the data did not converge or is spurious, or every replicate failed.
    """
    _check(fit)
    whole("n_init", n_init)
    whole("replicates", n_replicates, shown="n_replicates")
    k = fit.mixture.n_components
    more = k + 1 if n_components is None else whole("n_components", n_components)
    if more <= k:
        raise ConfigError(f"n_components = {more} is not allowed; the alternative needs more than the fit's {k}")
    key = kept_key("bootstrap_test", key)
    pair = _Pair(fit, more, n_init)
    observed = pair.fitted(fit.samples.counted, key, 20)
    if observed is None:
        raise FitError(f"the fit of {more} components to the data did not converge, or is spurious: see emjax.fit")
    statistics = np.full(n_replicates, np.nan)
    with progress_line(progress, "bootstrap") as line:
        tell = both(line, on_progress, lambda done, total: f"{done} of {total} replicates", "replicates")
        _simulate(pair, statistics, as_key(key), tell)
    known = statistics[~np.isnan(statistics)]
    if not len(known):
        raise FitError("no replicate has both fits: they did not converge, or are spurious")
    statistic = _ratio(observed)
    missed = known < -2.0 * _MISSED * fit.samples.total_weight
    known = np.maximum(known, 0.0)
    exceeding = int((known >= statistic).sum())
    lower, upper = clopper_pearson(exceeding, len(known), LEVEL)
    return LikelihoodRatioTest(
        null=k,
        alternative=more,
        statistic=statistic,
        p_value=(1 + exceeding) / (1 + len(known)),
        lower=lower,
        upper=upper,
        null_statistics=known,
        n_failed=n_replicates - len(known),
        n_missed=int(missed.sum()),
        fits=observed,
        key=key,
    )


def _check(fit: Fit) -> None:
    if not isinstance(fit, Fit):
        raise ConfigError("fit is not allowed; give the Fit of the null hypothesis, as selection.best()")
    if fit.mixture.prior is not None:
        raise ConfigError("the fit has a prior, and a likelihood ratio is one of maximum likelihood: fit without it")
    if fit.samples.counted.labels is not None or fit.samples.has_holes:
        raise ConfigError("the fit has labels or missing cells, which replicates would not have")
    if fit.samples.weights is not None and not (fit.samples.weights == np.round(fit.samples.weights)).all():
        raise ConfigError("the rows have weights that are no counts, so that no data set can be drawn like theirs")
    if not fit.converged or fit.spurious:
        raise FitError(f"the fit is no maximum to be trusted: {fit.message}")


def _ratio(fits: tuple[Fit, Fit]) -> float:
    return 2.0 * (fits[1].log_likelihood - fits[0].log_likelihood)


@dataclasses.dataclass(frozen=True)
class _Pair:
    """Both mixtures, and where they start from."""

    fit: Fit
    more: int
    n_init: int

    def fitted(self, samples: Samples, key: Any, n_init: int) -> tuple[Fit, Fit] | None:
        """Both fits to a data set, or None where one cannot be trusted."""
        family = self.fit.mixture.family
        options: dict[str, Any] = {"key": key, "n_init": n_init, "max_iter": 10_000, "tol": 1e-6, "filled": self.more}
        try:
            fewer = fit_in_sweep(self.fit.mixture, samples, beside=[self.fit.params] * _SPLITS, **options)
            # As many starts as the other has, so that one program serves both.
            starts = splits(fewer, self.more)
            more = fit_in_sweep(Mixture(family, self.more), samples, beside=starts, **options)
        except EmjaxError:
            return None
        trusted = all(each.converged and not each.spurious for each in (fewer, more))
        return (fewer, more) if trusted else None


def splits(fit: Fit, n_components: int) -> list[MixtureParams]:
    """Starts of more components: the clusters of a fit with its largest ones cut in two, another first in each."""
    x, family = fit.samples.values, fit.mixture.family
    labels = widened_fit(fit, n_components).predict()
    found = []
    for turn in range(_SPLITS):
        own = labels.copy()
        for new in range(fit.mixture.n_components, n_components):
            _cut(x, own, new, turn)
        means = np.stack(
            [x[own == k].mean(axis=0) if (own == k).any() else x.mean(axis=0) for k in range(n_components)]
        )
        pooled = MixtureParams(family, family.pooled(Summary(x, None), n_components))
        weights = (np.bincount(own, minlength=n_components) + 1.0) / (len(x) + n_components)
        values = family.at_clusters(pooled, x, own, means)
        found.append(MixtureParams(family, {WEIGHTS: weights, **{name: np.asarray(values[name]) for name in values}}))
    return found


def _cut(x: np.ndarray, labels: np.ndarray, new: int, turn: int) -> None:
    """Give half of a cluster to a new one: of the largest (the next one in each turn), at its mean along a feature."""
    order = np.argsort(-np.bincount(labels))
    rows = np.flatnonzero(labels == order[turn % len(order)])
    along = x[rows, turn % x.shape[1]]
    half = along > along.mean()
    # Where a feature says nothing, any half will do.
    labels[rows[half if half.any() else np.arange(len(rows)) % 2 == 1]] = new


def _simulate(pair: _Pair, statistics: np.ndarray, key: jax.Array, tell: Callable[..., None] | None) -> None:
    """The statistics of as many replicates as there is room for, the key of each its own."""
    n_rows, counted = round(pair.fit.samples.total_weight), Counted(tell, len(statistics))
    keys = jax.random.split(jax.random.fold_in(key, 1), len(statistics))
    names = pair.fit.samples.feature_names
    n_threads = usable_cores()

    def work(first: int, stop: threading.Event) -> None:
        for place in range(first, len(statistics), n_threads):
            if stop.is_set():
                return
            drawn = Samples(np.ascontiguousarray(pair.fit.sample(keys[place], n_rows), float), names)
            fits = pair.fitted(drawn, jax.random.fold_in(keys[place], 1), pair.n_init)
            statistics[place] = np.nan if fits is None else _ratio(fits)
            counted.one_more()

    if side_by_side([functools.partial(work, first) for first in range(n_threads)]):
        raise KeyboardInterrupt


def clopper_pearson(successes: int, trials: int, level: float) -> tuple[float, float]:
    """The interval of a probability after so many successes."""
    tail = (1.0 - level) / 2.0
    lower = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    upper = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1.0 - tail))
    return lower, upper
