"""The criteria of fits, from their log-likelihoods and responsibilities."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from emjax import criteria
from emjax.em.filled import widened
from emjax.errors import DataError
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
    """The responsibilities of rows that count; None where a datum has no density."""
    try:
        shares = widened_fit(fit, filled).predict_proba(fit.samples.counted)
    except DataError:
        return None
    return shares[:, : fit.mixture.n_components]


def widened_fit(fit: Fit, filled: int) -> Fit:
    """The fit with components of weight zero behind its own, up to ``filled``: one program evaluates all numbers.

    A fit that knows of single components, by a prior or by labels, is handed back.
    """
    if filled <= fit.mixture.n_components or fit.mixture.prior is not None or fit.samples.labels is not None:
        return fit
    kind, family = type(fit.params), fit.params.family
    spare = {name: fit.params[name][0] for name, parameter in fit.params.family.declared if not parameter.shared}
    stacked = kind(family, {name: value[None] for name, value in fit.params.items()})
    wide = {name: value[0] for name, value in widened(stacked, filled, spare).items()}
    return dataclasses.replace(fit, mixture=Mixture(fit.mixture.family, filled), params=kind(family, wide))
