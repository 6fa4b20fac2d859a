"""What a sweep is over: numbers of components, families and their covariance structures, as mixtures to fit."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from emjax.bounds import one_of, whole, written
from emjax.errors import ConfigError
from emjax.families import FAMILIES
from emjax.families.base import Family
from emjax.mixture import Mixture
from emjax.samples import Samples

ALL = "all"

_VALUES = 2
"""So many values of the data there have to be for each parameter of a model without a prior."""

_KNOWN = ("full", "tied")
"""What structures that are the same of one feature are called, where these are among them."""


@dataclasses.dataclass(frozen=True)
class Group:
    """A family with one structure, and the numbers of components of it: what may share a compiled program.

    ``samples`` are the data as the family reads them; ``name`` is what tables call it.
    """

    family: Family
    name: str
    n_components: tuple[int, ...]
    samples: Samples
    prior: Any

    def mixture(self, n_components: int) -> Mixture:
        """The mixture of so many components."""
        return Mixture(self.family, n_components, self.prior)

    def refuses(self, n_components: int) -> str:
        """Why so many components are not fitted, or nothing: criteria of so few values for each parameter mislead.

        BIC's best mixture of ten draws from one normal is nine with a standard deviation in common. A prior keeps
        parameters from following the values, and one component is what others are compared with.
        """
        if self.prior is not None or n_components == 1:
            return ""
        n_parameters = self.mixture(n_components).n_parameters(self.samples.n_features)
        if n_parameters * _VALUES <= self.n_values:
            return ""
        return (
            f"the data have {self.n_values:.9g} values, fewer than {_VALUES} for each parameter: ask for fewer "
            "components, a structure with fewer parameters, or the default prior"
        )

    @functools.cached_property
    def n_values(self) -> float:
        """The cells that were seen, each as often as its row counts; of weights below one each once."""
        counted = self.samples.counted
        seen = np.isfinite(counted.values).sum(axis=1)
        return float(seen.sum() if counted.weights is None else max(seen.sum(), seen @ counted.weights))


def groups_of(
    x: Any, *, family: Any, n_components: Any, covariance: Any, weights: Any, labels: Any, prior: Any
) -> tuple[Group, ...]:
    """What there is to fit, the data checked for each family.

    Raises
    ------
    ConfigError
        If a name is unknown, a number is out of range, nothing is left to fit, or families of whole numbers and of
        real ones, whose densities are of different kinds, are to be compared.
    DataError
        If the data cannot be used at all.
    """
    numbers = numbers_of(n_components)
    if prior not in (None, "default"):
        raise ConfigError(f"prior = {written(prior)} is not allowed; give None or 'default', which suit every model")
    families = [each for one in _several(family) for each in _structures(_family(one), one, covariance)]
    if not families:
        raise ConfigError("family is empty; give at least one")
    if len({each.discrete for each in families}) > 1:
        raise ConfigError(
            "family has distributions of whole numbers and of real ones: their densities are of different kinds, and "
            "no criterion compares them"
        )
    made = {}
    for each in families:
        if each.name not in made:
            made[each.name] = Mixture(each, 1).samples(x, weights=weights, labels=labels)
    kept = list(_distinct(families, made))
    several = len({each.name for each in kept}) > 1
    return tuple(
        Group(each.resolved(made[each.name]), _name(each, several), numbers, made[each.name], prior) for each in kept
    )


def numbers_of(value: Any) -> tuple[int, ...]:
    """The numbers of components that somebody gave, as one, a range or a sequence: in order, each once."""
    given = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not given:
        raise ConfigError("n_components is empty; give at least one number")
    return tuple(sorted({whole("n_components", each) for each in given}))


def _several(value: Any) -> list[Any]:
    if isinstance(value, str | Family) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def _family(given: Any) -> Family:
    if isinstance(given, Family):
        return given
    return FAMILIES[one_of("family", given, FAMILIES)]()


def _structures(family: Family, given: Any, covariance: Any) -> Iterator[Family]:
    """The family with each of its structures that is wanted: of one that was given as an object, its own by default."""
    if family.structured is None or (covariance is None and isinstance(given, Family)):
        yield family
        return
    known = family.structures
    usual = dict.fromkeys(each.structured for each in family.variants())
    wanted = list(usual) if covariance is None else list(known) if covariance == ALL else _several(covariance)
    if not wanted:
        raise ConfigError("covariance is empty; give at least one structure")
    for name in wanted:
        structured: Any = family
        yield dataclasses.replace(structured, covariance=one_of("covariance", name, [*known, ALL]))


def _distinct(families: list[Family], samples: dict[str, Samples]) -> Iterator[Family]:
    """Each model once: of one feature a structure is nothing but whether components share their dispersion."""
    seen = set()
    for each in families:
        alike: Any = each
        if each.structured is not None and samples[each.name].n_features == 1:
            alike = each.name, _n_numbers(each)
            # By the name that people know it by, where that is among them.
            same = [one for one in families if one.name == each.name and _n_numbers(one) == _n_numbers(each)]
            each = min(same, key=lambda one: _KNOWN.index(one.structured) if one.structured in _KNOWN else len(_KNOWN))
        if alike not in seen:
            seen.add(alike)
            yield each


def _n_numbers(family: Family) -> int:
    """How many numbers two components of one feature have: one dispersion, or two."""
    return Mixture(family, 2).n_parameters(1)


def _name(family: Family, several: bool) -> str:
    if family.structured is None:
        return family.name
    return f"{family.name} {family.structured}" if several else family.structured
