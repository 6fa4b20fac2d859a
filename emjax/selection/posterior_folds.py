r"""The cross-validated log score of posteriors: PSIS-LOO's remedy where importance weights fail.

Rows are dealt into folds. The posterior given all folds but one is sampled anew, and the log predictive densities
:math:`\log \frac1S \sum_s p(x_n \mid \theta_s)` of the rows of that one are added up: nothing is reweighted, so that no
Pareto k can be too high, and every fold has the diagnostics of its own chains. With fewer rows than the whole data each
prediction is a little worse than leave-one-out; more folds are nearer to it.

Reference: Vehtari, Gelman and Gabry, Statistics and Computing 27, 2017, section 2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from emjax.bayes.posterior import Posterior
from emjax.bayes.sample import sample
from emjax.bounds import written
from emjax.errors import ConfigError, EmjaxError
from emjax.keys import KeyLike, as_key, kept_key
from emjax.progress import both, progress_line
from emjax.samples import Samples
from emjax.selection.cross_validation import CrossValidation, Sampled, dealt

_DRAWS = 4000


def cross_validate_posteriors(
    posteriors: Posterior | Mapping[str, Posterior],
    *,
    n_folds: int = 10,
    key: KeyLike = None,
    progress: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> CrossValidation:
    """The cross-validated log score of a posterior, or of several of the same data, by sampling each fold's own.

    Parameters
    ----------
    posteriors
        What `emjax.sample` returned, or several by name, ``{"two": posterior, "three": other}``. Each keeps its prior,
        that for all the data where it was scaled by these, and its method with the default lengths of chains.
    n_folds
        The number of folds, 10 by default; each posterior is sampled as often. Rows that count several times are left
        out together.
    key
        A whole number or JAX random key that deals the rows and starts the chains; the first posterior's by default.
    progress, on_progress
        A line; a function of the number of posteriors sampled and their number.

    Returns
    -------
    CrossValidation
        Of every row its log predictive density without its fold; labels that are known are not scored. A fold whose
        posterior may not be used counts as failed.

    Raises
    ------
    ConfigError
        If there is nothing to sample, the data differ, are of a program, or are fewer than the folds.
    """
    named = posteriors if isinstance(posteriors, Mapping) else {"posterior": posteriors}
    if not named or not all(isinstance(each, Posterior) for each in named.values()):
        raise ConfigError(
            f"posteriors = {written(posteriors)} is not allowed; give what emjax.sample returns, or several by name"
        )
    first, *others = (each.map_fit.samples.counted for each in named.values())
    if any(each.mixture.family.own_program() is not None for each in named.values()):
        raise ConfigError("rows of a program are not dealt into folds: declare the mixture with a family")
    if not all(_alike(first, other) for other in others):
        raise ConfigError("the posteriors are of different data, so that their log scores cannot be compared")
    key = kept_key("cross_validate_posteriors", next(iter(named.values())).key if key is None else key)
    folds = dealt(first, n_folds, key)
    pointwise, failed = np.full((len(named), first.n_samples), np.nan), np.zeros(len(named), int)
    keys = iter(jax.random.split(as_key(key), len(named) * n_folds))
    with progress_line(progress, "cross-validation") as line:
        tell = both(line, on_progress, lambda done, total: f"{done} of {total} posteriors", "posteriors")
        for place, posterior in enumerate(named.values()):
            rows = posterior.map_fit.samples.counted
            for fold in range(n_folds):
                found = _without(posterior, rows.take(folds != fold), next(keys))
                if found is None:
                    failed[place] += 1
                else:
                    left_out = rows.take(folds == fold).values
                    pointwise[place, folds == fold] = found.log_predictive(left_out, _DRAWS)
                if tell is not None:
                    tell(place * n_folds + fold + 1, len(named) * n_folds)
    models = tuple(Sampled(name, each.mixture.n_components) for name, each in named.items())
    return CrossValidation(models, pointwise, folds, first.weights, failed, key)


def _alike(one: Samples, other: Samples) -> bool:
    """Whether rows, and how often they count, are the same."""
    first, second = (np.ones(each.n_samples) if each.weights is None else each.weights for each in (one, other))
    return np.array_equal(one.values, other.values, equal_nan=True) and np.array_equal(first, second)


def _without(posterior: Posterior, rows: Samples, key: Any) -> Posterior | None:
    """The posterior given some of the rows, under the same prior; None where it may not be used."""
    method: Any = posterior.method
    try:
        found = sample(posterior.map_fit.mixture, rows, key=key, method=method)
    except EmjaxError:
        return None
    return found if found.usable else None
