"""Leave-one-out predictive accuracy of a posterior, by ArviZ."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr

from emjax.bayes.draws import drawn_rows
from emjax.bayes.posterior import Posterior


def psis_loo(posterior: Posterior) -> dict[str, Any]:
    """PSIS-LOO of the mixture with labels summed out (Vehtari, Gelman and Gabry, Statistics and Computing 27, 2017).

    Of many data (`emjax.bayes.draws.ALL_ROWS`) it is estimated from some, drawn at random: the log density at the
    posterior's mode is known of all, and what leaving out a datum takes from it is that of the sample (the difference
    estimator of Magnusson et al., ICML 2019).

    Returns
    -------
    dict
        ``value`` and ``standard_error``, ``effective_parameters``, ``largest_pareto_k``, ``n_pareto_k_high``; and
        ``n_rows`` and ``subsampling_error`` (the part of the standard error that the sample makes), None for all data.
    """
    import arviz_stats

    data, efficiency = posterior.map_fit.data, min(1.0, posterior.diagnostics.min_ess_bulk / posterior.n_draws)
    rows = drawn_rows(len(data))
    pointwise = posterior.sampled["log_likelihood"].to_dataset().sel(row=rows)
    with warnings.catch_warnings():
        # The warning about high Pareto k is said in numbers instead.
        warnings.simplefilter("ignore", UserWarning)
        loo = arviz_stats.loo(
            xr.DataTree.from_dict(
                {"posterior": posterior.sampled["posterior"].to_dataset(), "log_likelihood": pointwise}
            ),
            pointwise=True,
            reff=efficiency if efficiency > 0 else 1.0,
        )
    shapes = np.asarray(loo.pareto_k)
    found = {
        "value": float(loo.elpd),
        "standard_error": float(loo.se),
        "effective_parameters": float(loo.p),
        "largest_pareto_k": float(shapes.max()),
        "n_pareto_k_high": int((shapes > loo.good_k).sum()),
        "n_rows": None,
        "subsampling_error": None,
    }
    return found if len(rows) == len(data) else {**found, **_of_all(posterior, loo, rows)}


def _of_all(posterior: Posterior, loo: Any, rows: np.ndarray) -> dict[str, Any]:
    """What the sample says of all data."""
    from arviz_stats.base import array_stats

    known = posterior.map_fit.score_samples()
    value, by_sample, error = array_stats.diff_srs_estimator(np.asarray(loo.elpd_i), known[rows], known, len(known))
    return {
        "value": float(value),
        "standard_error": float(error),
        "effective_parameters": float(loo.p) * len(known) / len(rows),
        "n_rows": len(rows),
        "subsampling_error": float(by_sample),
    }
