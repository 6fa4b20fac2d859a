"""The criteria of fits, from their log-likelihoods and responsibilities."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from emjax import criteria
from emjax.em.filled import widened
from emjax.errors import DataError
from emjax.families.priors import WEIGHTS
from emjax.mixture import Mixture
from emjax.result import Fit
from emjax.selection.selection import Candidate


def with_criteria(candidate: Candidate, filled: int = 0) -> Candidate:
    """The candidate with its criteria, NEC left out; ``filled`` is the number of components that programs are for."""
    fit = candidate.fit
    if fit is None or not math.isfinite(fit.log_likelihood):
        return candidate
    counted = fit.samples.counted
    n, p, log_likelihood = counted.total_weight, fit.n_parameters, fit.log_likelihood
    values = {
        "bic": criteria.bic(log_likelihood, p, n),
        "aic": criteria.aic(log_likelihood, p),
        "aicc": criteria.aicc(log_likelihood, p, n),
    }
    shares = shares_of(fit, filled)
    if shares is not None:
        values["icl"] = criteria.icl(values["bic"], shares, counted.weights)
        values["entropy"] = criteria.entropy(shares, counted.weights)
    return dataclasses.replace(candidate, values=values)


def with_nec(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates of one family and structure, with NEC where a single component is among them."""
    ones = [each.fit.log_likelihood for each in candidates if each.fit is not None and each.n_components == 1]
    return [_with_nec(each, ones[0]) if ones else each for each in candidates]


def _with_nec(candidate: Candidate, log_likelihood_of_one: float) -> Candidate:
    if candidate.fit is None or "entropy" not in candidate.values:
        return candidate
    gain = candidate.fit.log_likelihood - log_likelihood_of_one
    nec = criteria.nec(candidate.values["entropy"], gain, candidate.n_components)
    return dataclasses.replace(candidate, values={**candidate.values, "nec": nec})


def shares_of(fit: Fit, filled: int = 0) -> np.ndarray | None:
    """The responsibilities of rows that count; None where a datum has no density.

    One program serves all numbers of components up to ``filled``: the others have a weight of zero.
    """
    k, counted = fit.mixture.n_components, fit.samples.counted
    if filled > k and fit.mixture.prior is None and counted.labels is None:
        spare = {name: value[0] for name, value in fit.params.items() if name != WEIGHTS}
        stacked = type(fit.params)(fit.params.family, {name: value[None] for name, value in fit.params.items()})
        wide = widened(stacked, filled, spare)
        params = type(wide)(wide.family, {name: value[0] for name, value in wide.items()})
        fit = dataclasses.replace(fit, mixture=Mixture(fit.mixture.family, filled), params=params)
    try:
        return fit.predict_proba(counted)[:, :k]
    except DataError:
        return None
