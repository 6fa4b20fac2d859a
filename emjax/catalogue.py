"""What a user may name: families, covariance structures, laws of priors, starts of EM, and samplers.

A config is checked without JAX, whose import takes a second, so nothing is imported here. Families, structures and laws
repeat what `emjax.families` declares, and a test holds both together; what is said of starts and samplers stands here.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

FamilyName = Literal["normal", "student_t", "poisson", "exponential", "gamma", "bernoulli", "categorical"]
"""The names of the families."""


@dataclasses.dataclass(frozen=True)
class FamilyEntry:
    """What a config may say of a family.

    Attributes
    ----------
    data
        What its data are, in a few words.
    sites
        What a prior may have a law for, beside the weights.
    factors
        The numbers by which a config may change the default prior, beside the concentration of the weights.
    structured
        Whether it has a covariance structure.
    reported_as
        What its components are called in the middle of a sentence.
    of_levels
        Whether columns of data may be texts.
    has_peer
        Whether scikit-learn has mixtures of it.
    """

    data: str
    sites: tuple[str, ...]
    factors: tuple[str, ...] = ()
    structured: bool = False
    reported_as: str = ""
    of_levels: bool = False
    has_peer: bool = False


_OF_MATRICES = ("mean", "covariance", "variance", "scale", "correlation", "volume", "shape", "orientation")
_FACTORS_OF_MATRICES = ("mean_precision", "degrees_of_freedom", "scatter")

FAMILY_ENTRIES: dict[str, FamilyEntry] = {
    "normal": FamilyEntry("real numbers", _OF_MATRICES, _FACTORS_OF_MATRICES, True, "normal", has_peer=True),
    "student_t": FamilyEntry(
        "real numbers with outliers", (*_OF_MATRICES, "df"), _FACTORS_OF_MATRICES, True, "Student t"
    ),
    "poisson": FamilyEntry("counts", ("rate",), ("shape", "rate"), reported_as="Poisson"),
    "exponential": FamilyEntry("positive numbers", ("rate",), ("shape", "rate"), reported_as="exponential"),
    "gamma": FamilyEntry("positive numbers", ("shape", "rate"), reported_as="gamma"),
    "bernoulli": FamilyEntry("zeros and ones", ("probability",), reported_as="Bernoulli"),
    "categorical": FamilyEntry(
        "levels: texts or 0, 1, 2, ...", ("probability",), reported_as="categorical", of_levels=True
    ),
}
"""The families by name."""

SITES = tuple(dict.fromkeys(site for entry in FAMILY_ENTRIES.values() for site in entry.sites))
"""The parameters of all of them."""

DEFAULT_FAMILY: FamilyName = "normal"
"""The family where none is asked for."""

StructureName = Literal[
    "full", "tied", "diag", "spherical",
    "EII", "EEI", "VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV",
]  # fmt: skip
"""The names of the covariance structures; those of three letters are by volume, shape and orientation."""

WISHART: tuple[StructureName, ...] = ("full", "tied")
"""Those whose default prior is inverse Wishart, of as many degrees of freedom as there are features at least."""

OF_MATRICES: tuple[StructureName, ...] = (*WISHART, "VEE", "EVE", "VVE", "EEV", "VEV", "EVV")
"""Those of matrices; the others are of variances."""

CALLED_HERE = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}
"""mclust's names of structures that have others here."""

DEFAULT_STRUCTURE: StructureName = "full"
"""The covariance structure where a family has one and none is asked for."""

LawName = Literal[
    "normal", "log_normal", "half_normal", "gamma", "inverse_gamma", "beta", "dirichlet", "inverse_wishart", "wishart",
    "normal_given", "lkj", "log_ratios", "uniform_rotations",
]  # fmt: skip
"""The names of the laws that a config may give to a parameter: those of `emjax.laws`, in words."""

LAW_FIELDS: dict[str, tuple[str, ...]] = {
    "normal": ("mean", "scale"),
    "log_normal": ("mean", "scale"),
    "half_normal": ("scale",),
    "gamma": ("shape", "rate"),
    "inverse_gamma": ("shape", "scale"),
    "beta": ("ones", "zeros"),
    "dirichlet": ("concentration",),
    "inverse_wishart": ("degrees_of_freedom", "scatter"),
    "wishart": ("degrees_of_freedom", "rate"),
    "normal_given": ("mean", "precision"),
    "lkj": ("concentration",),
    "log_ratios": ("scale",),
    "uniform_rotations": (),
}
"""The numbers of each law."""

StartName = Literal["mixed", "kmeans++", "random", "responsibilities", "hierarchical", "short_em", "prior_draws"]
"""The kinds of drawn starts, which `emjax.em.init` describes."""

STARTS: tuple[StartName, ...] = get_args(StartName)
"""The same, to go through."""

DEFAULT_START: StartName = "mixed"
"""The kind of starts where none is asked for."""

FROM_PRIOR: StartName = "prior_draws"
"""The kind that needs a prior ..."""

STARTS_OF_DATA = tuple(kind for kind in STARTS if kind != FROM_PRIOR)
"""... and those that look at the data alone."""

IntervalName = Literal["auto", "information", "sandwich", "profile", "bootstrap", "weighted", "parametric", "jackknife"]
"""How EM's intervals can be made, which `emjax.uncertainty.intervals` describes; ``auto`` chooses one of the others."""

INTERVALS: tuple[IntervalName, ...] = get_args(IntervalName)
"""The same, to go through."""

DEFAULT_INTERVALS: IntervalName = "auto"
"""How they are made where no method is asked for."""

OF_COMPARISONS: IntervalName = "information"
"""How those are made that a verdict is about: its thresholds are for these, and they take no time to speak of."""

SamplerName = Literal["auto", "hmc", "nuts", "gibbs", "laplace", "bootstrap"]
"""The names of the samplers, and ``auto``, which chooses one of the others."""


@dataclasses.dataclass(frozen=True)
class SamplerEntry:
    """What is known of a sampler before it runs.

    Attributes
    ----------
    what
        What it does, in a few words.
    in_tables, in_full
        What tables and sentences call it.
    chains, warmup, draws
        How many chains there are by default, and iterations of each that are thrown away and kept; of ``auto`` those of
        the sampler that it mostly begins with.
    cost
        Its place among the samplers by the seconds they take: the costliest has the largest number.
    target_accept_prob
        The acceptance probability that steps are tuned to; 0 where no steps are tuned.
    safer
        Which samplers ``auto`` tries, in this order, where the check of this one fails.
    library
        The package that it is from.
    float32
        Whether it works in that precision.
    weighted
        Whether its draws are resampled by importance weights.
    approximate
        Whether its draws are no posterior, however many there are.
    conjugate
        Whether it needs a conjugate prior.
    compiled_ahead
        Whether its programs are compiled while EM runs.
    """

    what: str
    in_tables: str
    in_full: str
    chains: int
    warmup: int
    draws: int
    cost: int
    target_accept_prob: float = 0.0
    safer: tuple[SamplerName, ...] = ()
    library: str = "emjax"
    float32: bool = False
    weighted: bool = False
    approximate: bool = False
    conjugate: bool = False
    compiled_ahead: bool = False

    @property
    def independent(self) -> bool:
        """Whether its draws are independent, so that nothing is warmed up."""
        return self.weighted or self.approximate


SAMPLERS: dict[str, SamplerEntry] = {
    "auto": SamplerEntry(
        "the method that the posterior's modes speak for, checked afterwards, with safer ones to follow", "", "auto",
        chains=8, warmup=200, draws=500, target_accept_prob=0.85, cost=4, float32=True, compiled_ahead=True,
    ),
    "hmc": SamplerEntry(
        "whitened by the modes", "HMC", "Hamiltonian Monte Carlo, whitened by the Laplace mixture",
        chains=8, warmup=200, draws=500, target_accept_prob=0.85, cost=3, safer=("gibbs", "nuts"),
        float32=True, compiled_ahead=True,
    ),
    # A step for 0.8 is too long for the narrow end of a posterior where a component fades: chains stay out of it, their
    # standard deviations come out 3% short however long they run, and R-hat sees nothing (`docs/posterior.md`).
    "nuts": SamplerEntry(
        "NumPyro's, the reference", "NUTS", "NUTS",
        chains=4, warmup=1000, draws=1000, target_accept_prob=0.95, cost=6, safer=("gibbs",), library="numpyro",
    ),
    "gibbs": SamplerEntry(
        "data augmentation", "Gibbs", "Gibbs sampling",
        chains=8, warmup=500, draws=1000, cost=5, float32=True, conjugate=True,
    ),
    "laplace": SamplerEntry(
        "weighted draws around the modes", "Laplace", "Weighted draws from the Laplace mixture over the modes",
        chains=4, warmup=0, draws=1000, cost=1, safer=("hmc", "gibbs", "nuts"), weighted=True,
    ),
    "bootstrap": SamplerEntry(
        "EM under random weights, an approximation", "EM's bootstrap", "The weighted likelihood bootstrap, by EM",
        chains=4, warmup=0, draws=250, cost=2, approximate=True,
    ),
}  # fmt: skip
"""The samplers by name."""

DEFAULT_SAMPLER: SamplerName = "auto"
"""The sampler where none is asked for."""

NAMED_SAMPLERS = tuple(name for name in SAMPLERS if name != DEFAULT_SAMPLER)
"""The samplers themselves."""


USABLE = ("converged", "approximate")
"""How a posterior may have ended for its numbers to mean what its method says."""


def is_structured(family: str) -> bool:
    """Whether a family has a covariance structure."""
    return family in FAMILY_ENTRIES and FAMILY_ENTRIES[family].structured


def drawn_from(family: str) -> tuple[set[str], ...]:
    """The parameters that data of a family are simulated from, in each of the ways in which they can be given."""
    entry = FAMILY_ENTRIES[family]
    if not entry.structured:
        return (set(entry.sites),)
    others = set(entry.sites) - set(_OF_MATRICES[1:])
    return {*others, "scale"}, {*others, "covariance"}


def has_peer(family: str) -> bool:
    """Whether scikit-learn has mixtures of a family."""
    return family in FAMILY_ENTRIES and FAMILY_ENTRIES[family].has_peer


def in_words(family: str) -> str:
    """What the components of a family are called: ``Poisson``, or its name where it is not of the catalogue."""
    return FAMILY_ENTRIES[family].reported_as if family in FAMILY_ENTRIES else family


def family_list() -> str:
    """The families and what their data are, in one sentence."""
    return "; ".join(f"{name}: {entry.data}" for name, entry in FAMILY_ENTRIES.items())


def samplers_where(attribute: str, *, wanted: bool = True) -> tuple[str, ...]:
    """The samplers whose attribute holds, or does not, as is ``wanted``."""
    return tuple(name for name in NAMED_SAMPLERS if bool(getattr(SAMPLERS[name], attribute)) == wanted)


def fewest_chains(sampler: str) -> int:
    """The chains of a sampler where none are asked for; for ``auto`` the fewest that it may come to."""
    chains = {name: entry.chains for name, entry in SAMPLERS.items()}
    return min(chains.values()) if sampler == DEFAULT_SAMPLER else chains[sampler]


def sampler_defaults(attribute: str) -> str:
    """A number of each sampler: ``8 for hmc, 4 for nuts``; those without it are left out."""
    return ", ".join(f"{getattr(SAMPLERS[name], attribute)} for {name}" for name in samplers_where(attribute))
