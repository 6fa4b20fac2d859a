"""One estimate beside a posterior, in numbers: parameter by parameter, and in what labels do not touch."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from emjax.bayes.posterior import Posterior
from emjax.bayes.tree import stored_draws
from emjax.metrics.parameter import difference_in_sd, equal_tailed, mass_inside, width_ratio
from emjax.metrics.partition import (
    PairDifference,
    co_clustering,
    co_clustering_difference,
    mean_co_clustering,
    subset_rows,
)
from emjax.metrics.predictive import log_score, total_variation
from emjax.mixture import Mixture, MixtureParams
from emjax.naming import scalar_parameters
from emjax.programs import filled_up
from emjax.result import Fit
from emjax.shown import Shown
from emjax.uncertainty.information import Intervals

INTEGRATION_POINTS = 6000
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
    for parameter, interval in zip(scalar_parameters(named, fit.feature_names), em.rows, strict=True):
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


def invariants_of(fit: Fit, posterior: Posterior, values: np.ndarray, key: jax.Array, apart: float) -> dict[str, Any]:
    """What labels do not touch; ``apart`` is the mean difference from which on a row is said to change company."""
    points = _points(fit, posterior, key)
    # One call for points and data: every further shape is a program to build.
    predictive = posterior.log_predictive(np.concatenate([points, values]), PREDICTIVE_DRAWS)
    distance = total_variation(fit.score_samples(points), predictive[: len(points)])
    pairs, n_rows_apart = _co_clustering(fit, posterior, values, apart)
    em_score, posterior_score = log_score(fit.score_samples(values)), log_score(predictive[len(points) :])
    return {
        "total_variation": {"value": distance.value, "standard_error": distance.standard_error},
        "co_clustering": {
            "mean_difference": pairs.mean,
            "largest_difference": pairs.maximum,
            "n_rows": pairs.n_rows,
            "n_rows_apart": n_rows_apart,
        },
        "log_score": {
            "em": em_score.value,
            "posterior_predictive": posterior_score.value,
            "difference": em_score.value - posterior_score.value,
        },
        "bic": fit.bic(values),
    }


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


def _co_clustering(fit: Fit, posterior: Posterior, values: np.ndarray, apart: float) -> tuple[PairDifference, int]:
    """The difference of both over pairs, and how many rows have one above ``apart`` on average."""
    rows = subset_rows(len(values))
    draws = posterior.thinned(PARTITION_DRAWS)
    shares = responsibilities(posterior.mixture.likelihood, draws, values[rows])
    ours, theirs = co_clustering(fit.predict_proba(values[rows])), mean_co_clustering(shares)
    of_rows = np.abs(ours - theirs).sum(axis=1) / max(len(rows) - 1, 1)
    return co_clustering_difference(ours, theirs), int((of_rows > apart).sum())


def responsibilities(mixture: Mixture, draws: MixtureParams, x: np.ndarray) -> np.ndarray:
    """The responsibilities ``(m, n, K)`` of the rows under each of ``m`` stacked draws."""
    return np.asarray(_responsibilities(mixture, draws, filled_up(x)))[:, : len(x)]


@jax.jit(static_argnums=0)
def _responsibilities(mixture: Mixture, draws: MixtureParams, x: jax.Array) -> jax.Array:
    return jax.lax.map(lambda params: mixture.responsibilities(params, x), draws)
