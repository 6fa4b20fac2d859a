"""emjax answers one question: is EM good enough for my mixture, or do I need MCMC?

One declaration of a model is fitted by a jitted EM and sampled by NumPyro on the same data; both are compared.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emjax import datasets as datasets
    from emjax import plots as plots
    from emjax import selection as selection
    from emjax.align import Alignment as Alignment
    from emjax.bayes.bridge import to_numpyro as to_numpyro
    from emjax.bayes.posterior import Posterior as Posterior
    from emjax.bayes.sample import sample as sample
    from emjax.comparison import Comparison as Comparison
    from emjax.comparison import compare as compare
    from emjax.compilation_cache import enable_compilation_cache as enable_compilation_cache
    from emjax.em.fit import fit as fit
    from emjax.errors import ConfigError as ConfigError
    from emjax.errors import DataError as DataError
    from emjax.errors import EmjaxError as EmjaxError
    from emjax.errors import FitError as FitError
    from emjax.experiments.results import open_run as open_run
    from emjax.families import laws as laws
    from emjax.families.base import Family as Family
    from emjax.families.bernoulli import Bernoulli as Bernoulli
    from emjax.families.categorical import Categorical as Categorical
    from emjax.families.exponential import Exponential as Exponential
    from emjax.families.gamma import Gamma as Gamma
    from emjax.families.normal import Normal as Normal
    from emjax.families.poisson import Poisson as Poisson
    from emjax.families.student import StudentT as StudentT
    from emjax.mixture import Mixture as Mixture
    from emjax.mixture import MixtureParams as MixtureParams
    from emjax.mixture import Prior as Prior
    from emjax.probabilistic.program import program as program
    from emjax.result import Fit as Fit
    from emjax.result import Optimum as Optimum
    from emjax.result import Status as Status
    from emjax.selection.select import select as select
    from emjax.selection.selection import Selection as Selection
    from emjax.storage import load as load

__version__ = "0.1.0"

# Names are looked up when they are first used (PEP 562), so that `import emjax` costs what `import jax` costs and
# NumPyro, ArviZ and matplotlib load only where they are needed.
_HOMES = {
    "Alignment": "emjax.align",
    "Bernoulli": "emjax.families.bernoulli",
    "Categorical": "emjax.families.categorical",
    "Comparison": "emjax.comparison",
    "ConfigError": "emjax.errors",
    "DataError": "emjax.errors",
    "EmjaxError": "emjax.errors",
    "Exponential": "emjax.families.exponential",
    "Family": "emjax.families.base",
    "Fit": "emjax.result",
    "FitError": "emjax.errors",
    "Gamma": "emjax.families.gamma",
    "Mixture": "emjax.mixture",
    "MixtureParams": "emjax.mixture",
    "Normal": "emjax.families.normal",
    "Optimum": "emjax.result",
    "Poisson": "emjax.families.poisson",
    "Posterior": "emjax.bayes.posterior",
    "Prior": "emjax.mixture",
    "Selection": "emjax.selection.selection",
    "Status": "emjax.result",
    "StudentT": "emjax.families.student",
    "compare": "emjax.comparison",
    "datasets": "",
    "enable_compilation_cache": "emjax.compilation_cache",
    "fit": "emjax.em.fit",
    "load": "emjax.storage",
    "laws": "emjax.families",
    "open_run": "emjax.experiments.results",
    "plots": "",
    "program": "emjax.probabilistic.program",
    "sample": "emjax.bayes.sample",
    "selection": "",
    "select": "emjax.selection.select",
    "to_numpyro": "emjax.bayes.bridge",
}

__all__ = [
    "Alignment",
    "Bernoulli",
    "Categorical",
    "Comparison",
    "ConfigError",
    "DataError",
    "EmjaxError",
    "Exponential",
    "Family",
    "Fit",
    "FitError",
    "Gamma",
    "Mixture",
    "MixtureParams",
    "Normal",
    "Optimum",
    "Poisson",
    "Posterior",
    "Prior",
    "Selection",
    "Status",
    "StudentT",
    "compare",
    "datasets",
    "enable_compilation_cache",
    "fit",
    "laws",
    "load",
    "open_run",
    "plots",
    "program",
    "sample",
    "select",
    "selection",
    "to_numpyro",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'emjax' has no attribute {name!r}")
    home = _HOMES[name]
    value = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"emjax.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
