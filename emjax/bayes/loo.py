"""Leave-one-out predictive accuracy of a posterior, by ArviZ."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from emjax.bayes.posterior import Posterior


def psis_loo(posterior: Posterior) -> dict[str, Any]:
    """PSIS-LOO of the mixture with labels summed out (Vehtari, Gelman and Gabry, Statistics and Computing 27, 2017)."""
    import arviz_stats

    efficiency = min(1.0, posterior.diagnostics.min_ess_bulk / posterior.n_draws)
    with warnings.catch_warnings():
        # The warning about high Pareto k is said in numbers instead.
        warnings.simplefilter("ignore", UserWarning)
        loo = arviz_stats.loo(posterior.sampled, pointwise=True, reff=efficiency if efficiency > 0 else 1.0)
    shapes = np.asarray(loo.pareto_k)
    return {
        "value": float(loo.elpd),
        "standard_error": float(loo.se),
        "effective_parameters": float(loo.p),
        "largest_pareto_k": float(shapes.max()),
        "n_pareto_k_high": int((shapes > loo.good_k).sum()),
    }
