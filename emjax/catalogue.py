"""What a config may name: families, and laws of priors. It repeats what `emjax.families` declares.

A config is checked without JAX, whose import takes a second, so nothing is imported here; a test holds both together.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

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
    """

    data: str
    sites: tuple[str, ...]
    factors: tuple[str, ...] = ()
    structured: bool = False
    reported_as: str = ""
    of_levels: bool = False


_OF_MATRICES = ("mean", "covariance", "variance", "scale", "correlation")
_FACTORS_OF_MATRICES = ("mean_precision", "degrees_of_freedom", "scatter")

FAMILY_ENTRIES: dict[str, FamilyEntry] = {
    "normal": FamilyEntry("real numbers", _OF_MATRICES, _FACTORS_OF_MATRICES, True, "normal"),
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

DEFAULT_FAMILY: FamilyName = "normal"
"""The family where none is asked for."""

DEFAULT_STRUCTURE = "full"
"""The covariance structure where a family has one and none is asked for."""

LawName = Literal[
    "normal", "log_normal", "half_normal", "gamma", "inverse_gamma", "beta", "dirichlet", "inverse_wishart",
    "normal_given", "lkj",
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
    "normal_given": ("mean", "precision"),
    "lkj": ("concentration",),
}
"""The numbers of each law."""


def is_structured(family: str) -> bool:
    """Whether a family has a covariance structure."""
    return family in FAMILY_ENTRIES and FAMILY_ENTRIES[family].structured


def in_words(family: str) -> str:
    """What the components of a family are called: ``Poisson``, or its name where it is not of the catalogue."""
    return FAMILY_ENTRIES[family].reported_as if family in FAMILY_ENTRIES else family


def family_list() -> str:
    """The families and what their data are, in one sentence."""
    return "; ".join(f"{name}: {entry.data}" for name, entry in FAMILY_ENTRIES.items())
