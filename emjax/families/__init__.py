"""Component families: one file each, the only place that knows a density."""

from emjax.families import laws
from emjax.families.base import Family
from emjax.families.bernoulli import Bernoulli
from emjax.families.categorical import Categorical
from emjax.families.exponential import Exponential
from emjax.families.gamma import Gamma
from emjax.families.normal import Normal
from emjax.families.poisson import Poisson
from emjax.families.student import StudentT

FAMILIES: dict[str, type[Family]] = {
    family.name: family for family in (Normal, Poisson, Exponential, Gamma, Bernoulli, Categorical, StudentT)
}
"""The families by the name that the command line and config files take."""

__all__ = [
    "FAMILIES",
    "Bernoulli",
    "Categorical",
    "Exponential",
    "Family",
    "Gamma",
    "Normal",
    "Poisson",
    "StudentT",
    "laws",
]
