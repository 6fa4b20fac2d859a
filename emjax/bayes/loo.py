"""Leave-one-out predictive accuracy of a posterior, by ArviZ."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr

from emjax.bayes.draws import drawn_rows
from emjax.bayes.posterior import Posterior
from emjax.metrics.predictive import log_mean_exp


def psis_loo(posterior: Posterior) -> dict[str, Any] | None:
    """PSIS-LOO of the mixture with labels summed out (Vehtari, Gelman and Gabry, Statistics and Computing 27, 2017).

    Of many data (`emjax.bayes.draws.ALL_ROWS`) it is estimated from some, drawn at random: the log density at the
    posterior's mode is known of all, and what leaving out a datum takes from it is that of the sample (the difference
    estimator of Magnusson et al., ICML 2019).

    Returns
    -------
    dict, or None where hardly any two draws differ (those of a poor Laplace mixture): they have no tail to smooth
        ``value`` and ``standard_error``, ``effective_parameters``, ``largest_pareto_k``, ``n_pareto_k_high``; and
        ``n_rows`` and ``subsampling_error`` (the part of the standard error that the sample makes), None for all data.
    """
    loo, pointwise, rows = _smoothed(posterior)
    if loo is None:
        return None
    data = posterior.map_fit.data
    weights = posterior.map_fit.samples.weights
    own = np.ones(len(rows)) if weights is None else weights[rows]
    shapes = np.asarray(loo.pareto_k)[own > 0]
    found = {
        **_weighted(loo, pointwise, own),
        "largest_pareto_k": float(shapes.max()),
        "n_pareto_k_high": int((shapes > loo.good_k).sum()),
        "n_rows": None,
        "subsampling_error": None,
    }
    return found if len(rows) == len(data) else {**found, **_of_all(posterior, loo, rows)}


def pointwise_loo(posterior: Posterior) -> np.ndarray | None:
    """The log predictive density of each datum given the others ``(n_samples,)``, each as often as its weight says.

    None where the data are so many that only some of them are looked at, or there is nothing to smooth: `psis_loo`.
    """
    n_samples = posterior.map_fit.n_samples
    if len(drawn_rows(n_samples)) < n_samples:
        return None
    loo, _, _ = _smoothed(posterior)
    if loo is None:
        return None
    weights = posterior.map_fit.samples.weights
    left_out = np.asarray(loo.elpd_i, float)
    return left_out if weights is None else weights * left_out


def _smoothed(posterior: Posterior) -> tuple[Any, xr.Dataset, np.ndarray]:
    """What ArviZ finds (None where hardly any two draws differ), the log densities it was given, and their rows."""
    import arviz_stats

    efficiency = min(1.0, posterior.diagnostics.min_ess_bulk / posterior.n_draws)
    rows = drawn_rows(len(posterior.map_fit.data))
    pointwise = posterior.sampled["log_likelihood"].to_dataset().sel(row=rows)
    with warnings.catch_warnings():
        # The warning about high Pareto k is said in numbers instead.
        warnings.simplefilter("ignore", UserWarning)
        tree = {"posterior": posterior.sampled["posterior"].to_dataset(), "log_likelihood": pointwise}
        try:
            loo = arviz_stats.loo(
                xr.DataTree.from_dict(tree), pointwise=True, reff=efficiency if efficiency > 0 else 1.0
            )
        except ValueError as error:
            if "tail values" not in str(error):
                raise
            return None, pointwise, rows
    return loo, pointwise, rows


def _weighted(loo: Any, pointwise: xr.Dataset, weights: np.ndarray) -> dict[str, float]:
    """The sums over rows that count as often as their weights say; each leaves one of its copies out."""
    if (weights == 1.0).all():
        return {"value": float(loo.elpd), "standard_error": float(loo.se), "effective_parameters": float(loo.p)}
    left_out, total = np.asarray(loo.elpd_i), weights.sum()
    draws = np.asarray(pointwise["x"]).reshape(-1, len(weights))
    value = float(weights @ left_out)
    spread = weights @ (left_out - value / total) ** 2 / total
    return {
        "value": value,
        "standard_error": float(np.sqrt(total * spread)),
        "effective_parameters": float(weights @ (log_mean_exp(draws) - left_out)),
    }


def _of_all(posterior: Posterior, loo: Any, rows: np.ndarray) -> dict[str, Any]:
    """What the sample says of all data."""
    from arviz_stats.base import array_stats

    known, weights = posterior.map_fit.score_samples(), posterior.map_fit.samples.weights
    if weights is not None:
        return _of_all_weighted(np.asarray(loo.elpd_i), known, rows, weights)
    value, by_sample, error = array_stats.diff_srs_estimator(np.asarray(loo.elpd_i), known[rows], known, len(known))
    return {
        "value": float(value),
        "standard_error": float(error),
        "effective_parameters": float(loo.p) * len(known) / len(rows),
        "n_rows": len(rows),
        "subsampling_error": float(by_sample),
    }


def _of_all_weighted(left_out: np.ndarray, known: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """The same estimator where rows count as often as their weights say."""
    own, n_rows = weights[rows], len(rows)
    differences = own * (left_out - known[rows])
    value = float(weights @ np.where(weights > 0, known, 0.0) + len(known) * differences.mean())
    by_sample = float(len(known) * differences.std(ddof=1) / np.sqrt(n_rows))
    spread = own @ (left_out - (own @ left_out) / own.sum()) ** 2 / own.sum()
    return {
        "value": value,
        "standard_error": float(np.sqrt(weights.sum() * spread + by_sample**2)),
        "n_rows": n_rows,
        "subsampling_error": by_sample,
    }
