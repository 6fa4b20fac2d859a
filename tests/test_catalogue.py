"""The catalogue repeats what families and laws declare, without JAX: both say the same."""

import dataclasses
from typing import get_args

import numpy as np
import pytest

from emjax import catalogue
from emjax.families import FAMILIES, laws
from emjax.families.covariance import STRUCTURES

_SUMMARY_DATA = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [1.0, 2.0]])


def variants(name):
    """A family in each of its structures, with levels where it needs some."""
    kind = FAMILIES[name]
    if catalogue.is_structured(name):
        return [kind(structure) for structure in get_args(catalogue.StructureName)]
    return [kind(levels=[3, 3])] if name == "categorical" else [kind()]


def test_the_families_are_those_there_are():
    assert set(catalogue.FAMILY_ENTRIES) == set(FAMILIES) == set(get_args(catalogue.FamilyName))


@pytest.mark.parametrize("name", FAMILIES)
def test_an_entry_says_what_the_family_declares(name):
    entry, found = catalogue.FAMILY_ENTRIES[name], variants(name)
    assert set(entry.sites) == {site for family in found for site in family.sites}
    assert entry.structured == (found[0].structured is not None)
    if entry.structured:
        assert FAMILIES[name]().structured == catalogue.DEFAULT_STRUCTURE


def test_the_structures_are_those_there_are():
    assert tuple(STRUCTURES) == get_args(catalogue.StructureName)
    assert {name for name, own in STRUCTURES.items() if own.site == "covariance"} == set(catalogue.OF_MATRICES)


def test_each_sampler_has_an_entry_and_a_function():
    from emjax.bayes.methods import _RUNNERS

    assert tuple(catalogue.SAMPLERS) == get_args(catalogue.SamplerName)
    assert set(catalogue.NAMED_SAMPLERS) == set(_RUNNERS)
    for name, entry in catalogue.SAMPLERS.items():
        assert set(entry.safer) <= set(_RUNNERS) - {name}
        assert entry.independent == (entry.warmup == 0)
    assert len({entry.cost for entry in catalogue.SAMPLERS.values()}) == len(catalogue.SAMPLERS)


def test_the_laws_are_those_there_are():
    kinds = {
        kind.__name__: tuple(field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING)
        for kind in vars(laws).values()
        if isinstance(kind, type) and issubclass(kind, laws.Law) and dataclasses.is_dataclass(kind)
    }
    # Nothing can be drawn under no law at all, and a distribution of NumPyro cannot be written in a config.
    del kinds["Flat"], kinds["FromNumPyro"]
    assert {name.replace("_", ""): fields for name, fields in catalogue.LAW_FIELDS.items()} == {
        name.lower(): fields for name, fields in kinds.items()
    }
    assert set(catalogue.LAW_FIELDS) == set(get_args(catalogue.LawName))


@pytest.mark.parametrize("name", FAMILIES)
def test_each_factor_changes_the_default_prior(name):
    from emjax.experiments.config.mixtures import mixture_of, prior_of

    structures = ("full", "diag") if catalogue.is_structured(name) else (None,)
    x = _SUMMARY_DATA if FAMILIES[name].support != "binary" else np.minimum(_SUMMARY_DATA, 1.0)
    x = x + 0.5 if FAMILIES[name].support == "positive" else x
    for factor in ("concentration", *catalogue.FAMILY_ENTRIES[name].factors):
        for structure in structures:
            model = {"family": name, "n_components": 2, "prior": {factor: 3.7}}
            model |= {"covariance": structure} if structure else {}
            mixture = mixture_of(model, with_prior=True)
            changed, default = prior_of(model, mixture, x), mixture.default_prior(x)
            assert any(
                not np.array_equal(getattr(changed[site], field.name), getattr(default[site], field.name))
                for site in default
                for field in dataclasses.fields(default[site])
            ), (factor, structure)
