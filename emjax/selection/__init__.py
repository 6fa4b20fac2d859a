"""The number of components: criteria, evidence, and the posterior of it."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emjax.selection.choice import choose as choose
    from emjax.selection.cross_validation import cross_validate as cross_validate
    from emjax.selection.evidence import log_evidence as log_evidence
    from emjax.selection.homogeneity import em_test as em_test
    from emjax.selection.likelihood_ratio import bootstrap_test as bootstrap_test
    from emjax.selection.number_priors import DynamicWeights as DynamicWeights
    from emjax.selection.number_priors import FLaw as FLaw
    from emjax.selection.number_priors import StaticWeights as StaticWeights
    from emjax.selection.number_priors import StickBreaking as StickBreaking
    from emjax.selection.number_priors import beta_negative_binomial as beta_negative_binomial
    from emjax.selection.number_priors import fixed as fixed
    from emjax.selection.number_priors import geometric as geometric
    from emjax.selection.number_priors import uniform as uniform
    from emjax.selection.posterior_folds import cross_validate_posteriors as cross_validate_posteriors
    from emjax.selection.resampling import bootstrap_picks as bootstrap_picks
    from emjax.selection.singular import singular_bic as singular_bic
    from emjax.selection.telescoping import telescope as telescope

_PRIORS = "emjax.selection.number_priors"
# Looked up when first used: criteria of fits need nothing of samplers.
_HOMES = {
    "bootstrap_picks": "emjax.selection.resampling",
    "bootstrap_test": "emjax.selection.likelihood_ratio",
    "cross_validate": "emjax.selection.cross_validation",
    "cross_validate_posteriors": "emjax.selection.posterior_folds",
    "em_test": "emjax.selection.homogeneity",
    "singular_bic": "emjax.selection.singular",
    "DynamicWeights": _PRIORS,
    "FLaw": _PRIORS,
    "StaticWeights": _PRIORS,
    "StickBreaking": _PRIORS,
    "beta_negative_binomial": _PRIORS,
    "choose": "emjax.selection.choice",
    "fixed": _PRIORS,
    "geometric": _PRIORS,
    "log_evidence": "emjax.selection.evidence",
    "telescope": "emjax.selection.telescoping",
    "uniform": _PRIORS,
}

__all__ = [
    "DynamicWeights",
    "FLaw",
    "StaticWeights",
    "StickBreaking",
    "beta_negative_binomial",
    "bootstrap_picks",
    "bootstrap_test",
    "choose",
    "cross_validate",
    "cross_validate_posteriors",
    "em_test",
    "fixed",
    "geometric",
    "log_evidence",
    "singular_bic",
    "telescope",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'emjax.selection' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
