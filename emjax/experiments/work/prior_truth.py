"""A truth that is drawn from the prior of the study's model, and the data by which that prior is scaled."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import numpyro

from emjax.bayes.bridge import MixtureProgram
from emjax.catalogue import DEFAULT_FAMILY
from emjax.datasets.dataset import Dataset
from emjax.datasets.laws import MixtureLaw, normal_law
from emjax.errors import DataError
from emjax.experiments.config.mixtures import mixture_for
from emjax.experiments.work.family_law import FamilyLaw
from emjax.families.proper import check_proper
from emjax.jsonable import canonical
from emjax.matrix import default_feature_names
from emjax.mixture import Mixture, MixtureParams
from emjax.scope import computing

_ROWS = 1000


def law_of_prior(data: Mapping[str, Any], rng: np.random.Generator) -> MixtureLaw:
    """A law with parameters drawn from the prior of ``data["model"]``; DataError where they cannot be drawn from.

    Of normal components it is the one that shares no code with what is measured against it.
    """
    mixture, draw = _mixture(canonical(data["model"]), canonical(_scaling(data)))
    with computing():
        params = draw(jax.random.key(int(rng.integers(2**32))))
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
            raise DataError("data: the prior has drawn parameters that are no numbers: give a narrower one")
        if mixture.family.name == DEFAULT_FAMILY:
            weights = np.asarray(params.weights)
            mean, covariance = np.asarray(params.mean), np.asarray(params.covariance)
            return normal_law(weights=weights / weights.sum(), mean=mean, covariance=covariance)
    return FamilyLaw(mixture.likelihood, params)


def scaled_by(data: Mapping[str, Any]) -> Dataset:
    """The data that default priors are scaled by, the same for all replicates: bundled, or with mean 0 and sd 1."""
    if data.get("scaled_by") is not None:
        from emjax import datasets

        return datasets.load(data["scaled_by"])
    n_features = data["n_features"]
    drawn = np.random.default_rng(0).standard_normal((_ROWS, n_features))
    drawn -= drawn.mean(axis=0)
    whitened = np.linalg.solve(
        np.linalg.cholesky(np.cov(drawn.T, bias=True).reshape(n_features, n_features)), drawn.T
    ).T
    return Dataset(values=whitened, feature_names=default_feature_names(n_features))


def _scaling(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in ("scaled_by", "n_features") if name in data}


@functools.lru_cache(maxsize=8)
def _mixture(model: str, scaling: str) -> tuple[Mixture, Callable[[jax.Array], MixtureParams]]:
    """The mixture, and a compiled program that draws from its prior."""
    scale = scaled_by(json.loads(scaling))
    mixture = mixture_for(json.loads(model), scale, with_prior=True)
    program, prior = MixtureProgram(mixture.likelihood), mixture.resolved_prior(scale)
    assert prior is not None
    check_proper(prior)

    @jax.jit
    def draw(key: jax.Array) -> MixtureParams:
        drawn: MixtureParams = numpyro.handlers.seed(program.sites, key)(prior)
        return drawn

    return mixture, draw
