"""One estimate beside a posterior, in numbers: parameter by parameter, and in what labels do not touch."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from emjax.bayes.posterior import Posterior
from emjax.bayes.tree import stored_draws
from emjax.families.observations import Observations, observed_rows
from emjax.metrics.parameter import difference_in_sd, equal_tailed, mass_inside, width_ratio
from emjax.metrics.partition import (
    PairDifference,
    co_clustering,
    co_clustering_difference,
    mean_co_clustering,
    standing_rows,
    subset_rows,
)
from emjax.metrics.predictive import total_variation
from emjax.mixture import Mixture, MixtureParams
from emjax.result import Fit
from emjax.samples import Samples
from emjax.shown import Shown
from emjax.uncertainty.results import Intervals

INTEGRATION_POINTS = 6000
SCORE_ROWS = 20_000
"""Of more data, so many rows say by how much EM's log score and the posterior's differ: that hardly varies over rows,
and takes seconds where a million rows take minutes."""

PREDICTIVE_DRAWS = 1000
PARTITION_DRAWS = 400


@dataclasses.dataclass(frozen=True, repr=False)
class ParameterRow(Shown):
    """One number of the mixture as both sides see it.

    Attributes
    ----------
    name
        Such as ``mean[0, eruptions]``.
    em, se, em_lower, em_upper
        EM's estimate, standard error and interval.
    map
        EM's estimate under the sampler's prior: what separates the prior's effect from the algorithm's.
    mean, sd, lower, upper
        Posterior mean, standard deviation and equal-tailed interval.
    difference_in_sd
        ``(em - mean) / sd``.
    width_ratio
        Width of EM's interval over the posterior's.
    mass_in_em_interval
        Posterior mass inside EM's interval; ``level`` if they agree.
    """

    name: str
    em: float
    se: float
    em_lower: float
    em_upper: float
    map: float
    mean: float
    sd: float
    lower: float
    upper: float
    difference_in_sd: float
    width_ratio: float
    mass_in_em_interval: float


def rows_of(fit: Fit, posterior: Posterior, em: Intervals, level: float) -> tuple[ParameterRow, ...]:
    """Every number as both sides see it; the fit has its components in the posterior's order."""
    named = fit.mixture.named_parameters(fit.params)
    map_named = fit.mixture.named_parameters(posterior.map_fit.params)
    drawn = stored_draws(posterior.sampled["posterior"])
    rows = []
    for parameter, interval in zip(fit.mixture.scalars(named, fit.feature_names), em.rows, strict=True):
        values = drawn[parameter.variable][parameter.place].ravel()
        mean, sd = float(values.mean()), float(values.std(ddof=1))
        lower, upper = equal_tailed(values, level)
        rows.append(
            ParameterRow(
                name=parameter.name,
                em=interval.estimate,
                se=interval.se,
                em_lower=interval.lower,
                em_upper=interval.upper,
                map=float(np.asarray(map_named[parameter.variable])[parameter.index]),
                mean=mean,
                sd=sd,
                lower=float(lower),
                upper=float(upper),
                difference_in_sd=float(difference_in_sd(interval.estimate, mean, sd)),
                width_ratio=float(width_ratio(interval.lower, interval.upper, lower, upper)),
                mass_in_em_interval=float(mass_inside(values, interval.lower, interval.upper)),
            )
        )
    return tuple(rows)


def invariants_of(fit: Fit, posterior: Posterior, key: jax.Array, apart: float) -> dict[str, Any]:
    """What labels do not touch; ``apart`` is the mean difference from which on a row is said to change company."""
    points = _points(fit, posterior, key)
    counted = dataclasses.replace(fit.samples.counted, labels=None)
    rows = subset_rows(counted.n_samples, SCORE_ROWS)
    # One call for points and data: every further shape is a program to build.
    both = Samples(np.concatenate([points, counted.values[rows]]), posterior.map_fit.feature_names)
    predictive = posterior.log_predictive(both, PREDICTIVE_DRAWS)
    distance = total_variation(fit.score_samples(Samples(points, fit.feature_names)), predictive[: len(points)])
    pairs, n_rows_apart = _co_clustering(fit, posterior, apart)
    return {
        "total_variation": {"value": distance.value, "standard_error": distance.standard_error},
        "co_clustering": {
            "mean_difference": pairs.mean,
            "largest_difference": pairs.maximum,
            "n_rows": pairs.n_rows,
            "n_rows_apart": n_rows_apart,
        },
        "log_score": _scores(fit.score_samples(counted), predictive[len(points) :], rows, counted.weights),
        "bic": fit.bic(),
    }


def _scores(
    em: np.ndarray, predictive: np.ndarray, rows: np.ndarray, weights: np.ndarray | None
) -> dict[str, float | int]:
    """The mean log density of the data by EM, and by the posterior, of which only some ``rows`` may be known.

    Their difference is then that of these rows, and EM's own score, known of all, stands in for the rest: the
    difference estimator of Magnusson et al. (ICML 2019).
    """
    some = None if weights is None else weights[rows]
    ours = float(np.average(em, weights=weights))
    theirs = float(np.average(predictive, weights=some))
    if len(rows) < len(em):
        theirs += ours - float(np.average(em[rows], weights=some))
    return {"em": ours, "posterior_predictive": theirs, "difference": ours - theirs, "n_rows": len(rows)}


def _points(fit: Fit, posterior: Posterior, key: jax.Array) -> np.ndarray:
    """Points drawn from EM's density and from the predictive one in equal parts, one from each of many draws that are
    evenly spaced over the chains."""
    half = INTEGRATION_POINTS // 2
    rows = np.linspace(0, posterior.n_draws - 1, half).round().astype(int)

    def both(em: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return np.concatenate([np.broadcast_to(em, (half, *np.shape(em))), drawn[rows]])

    params = jax.tree.map(both, fit.params, posterior.params)
    keys = jax.random.split(key, INTEGRATION_POINTS)
    return np.asarray(one_point_each(posterior.mixture.likelihood, params, keys))


@jax.jit(static_argnums=0)
def one_point_each(mixture: Mixture, draws: MixtureParams, keys: jax.Array) -> jax.Array:
    """One datum ``(m, d)`` from each of ``m`` stacked draws of the parameters."""
    return jax.vmap(lambda params, key: mixture.sample(params, key, 1)[0][0])(draws, keys)


def _co_clustering(fit: Fit, posterior: Posterior, apart: float) -> tuple[PairDifference, int]:
    """The difference of both over pairs, and how many rows have one above ``apart`` on average."""
    rows = standing_rows(fit.n_samples, fit.samples.weights)
    draws, some = posterior.thinned(PARTITION_DRAWS), fit.samples.take(rows)
    shares = responsibilities(posterior.mixture.likelihood, draws, some)
    ours, theirs = co_clustering(fit.predict_proba(some)), mean_co_clustering(shares)
    of_rows = np.abs(ours - theirs).sum(axis=1) / max(len(rows) - 1, 1)
    return co_clustering_difference(ours, theirs), int((of_rows > apart).sum())


def responsibilities(mixture: Mixture, draws: MixtureParams, samples: Samples) -> np.ndarray:
    """The responsibilities ``(m, n, K)`` of the rows under each of ``m`` stacked draws."""
    rows = observed_rows(samples.values, samples.labels)
    return np.asarray(_responsibilities(mixture, draws, rows))[:, : samples.n_samples]


@jax.jit(static_argnums=0)
def _responsibilities(mixture: Mixture, draws: MixtureParams, rows: Observations) -> jax.Array:
    return jax.lax.map(lambda params: mixture.responsibilities(params, rows), draws)
