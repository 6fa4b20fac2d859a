"""Which component of another estimate is which of a fit's."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from emjax import align
from emjax.mixture import MixtureParams
from emjax.result import Fit


def told_apart(fit: Fit) -> bool:
    """Whether labels mean something already: by rows whose component is known, or by the prior."""
    prior = fit.mixture.resolved_prior(fit.samples)
    return fit.samples.labels is not None or (prior is not None and not prior.exchangeable)


def numbered_as(fit: Fit, params: MixtureParams) -> MixtureParams:
    """Other parameters of a fit's mixture, with the components in the order that divides its rows most alike."""
    other = dataclasses.replace(fit, params=params)
    order = align.classification(other.predict_proba().T[None], fit.predict_proba().T)[0]
    return jax.tree.map(np.asarray, fit.mixture.permute(params, order))
