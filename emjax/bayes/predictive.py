"""What ArviZ's checks ask for besides draws: the prior's density, and draws of the prior and of both predictives.

They are computed when somebody looks at `Posterior.tree`, and never hold more than `MOST_ENTRIES` numbers each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr

from emjax.bayes.tree import data_dataset, posterior_dataset
from emjax.families.proper import check_proper
from emjax.metrics.partition import subset_rows
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.programs import padded_rows
from emjax.samples import Samples

MOST_ENTRIES = 20_000_000
"""The most numbers of a predictive group (160 MB): beyond, draws are thinned evenly, then rows are left out."""

PRIOR_DRAWS = 1000

_FEWEST_DRAWS = 25
"""Draws of a chain that are kept before rows are left out."""

_BATCH = 50
"""Draws of which one program makes data: the same for the posterior and the prior, and for any number of draws."""


def further_groups(
    sampled: xr.DataTree, mixture: Mixture, params: MixtureParams, data: Samples, key: jax.Array
) -> Mapping[str, xr.Dataset]:
    """The groups ``log_prior``, ``posterior_predictive``, ``prior`` and ``prior_predictive`` of a posterior.

    ``log_prior`` has a variable for each site of the prior, whose sum is the prior's log density. Data that are drawn
    have as many rows as the data, each of which counts once, whatever its weight; no cell of them is missing, and what
    is known of the labels of rows is passed over: each row is one of a new datum. Where there are weights or labels
    ``constant_data`` has them, since they are given and not modelled.

    Parameters
    ----------
    sampled
        The groups that sampling gave; those of the predictive have its draws, rows and names.
    mixture
        The declaration, with the prior.
    params
        Draws that lead with ``chain * draw``.
    data
        What was observed.
    key
        Decides the draws.
    """
    values, features = data.values, list(data.feature_names)
    likelihood, prior = mixture.likelihood, mixture.resolved_prior(data)
    assert prior is not None
    draws = np.asarray(sampled["log_likelihood/draw"])
    posterior_key, prior_key, rows_key = jax.random.split(key, 3)
    n_chains, n_draws = (sampled["posterior"].sizes[dim] for dim in ("chain", "draw"))
    densities = _log_priors(params, prior)
    # Compiled code gives them back by the alphabet.
    in_order = sorted(densities, key=lambda site: list(prior).index(site) if site in prior else len(densities))
    kept, rows = _kept(n_chains, draws, *values.shape)
    places = (np.arange(n_chains)[:, None] * n_draws + kept[None, :]).ravel()
    drawn = _predictive(likelihood, jax.tree.map(lambda leaf: leaf[places], params), len(rows), posterior_key)
    prior_params = prior.draws(prior_key, PRIOR_DRAWS)
    n_rows = min(len(rows), max(MOST_ENTRIES // (PRIOR_DRAWS * values.shape[1]), 1))
    prior_drawn = _predictive(likelihood, prior_params, len(rows), rows_key)[:, :n_rows]
    stored = jax.vmap(likelihood.stored_parameters)(prior_params)
    return {
        **_constant_data(data),
        "log_prior": xr.Dataset(
            {site: (("chain", "draw"), np.asarray(densities[site]).reshape(n_chains, n_draws)) for site in in_order},
            coords={"chain": range(n_chains), "draw": range(n_draws)},
        ),
        "posterior_predictive": data_dataset(
            drawn.reshape(n_chains, len(kept), *drawn.shape[1:]), features, rows, kept
        ),
        "prior": posterior_dataset(
            {name: np.asarray(value)[None] for name, value in stored.items()},
            features,
            mixture.family.levels,
            mixture.family.own_axes,
        ),
        "prior_predictive": data_dataset(prior_drawn[None], features, rows[:n_rows], np.arange(PRIOR_DRAWS)),
    }


def _constant_data(data: Samples) -> dict[str, xr.Dataset]:
    """How often each row counts, and what is known of its component as probabilities (NaN: nothing), where given."""
    found: dict[str, Any] = {}
    if data.weights is not None:
        found["weights"] = ("row",), data.weights
    if data.labels is not None:
        known = (data.labels != 0).any(axis=1, keepdims=True)
        found["labels"] = ("row", "mixture_component"), np.where(known, np.exp(data.labels), np.nan)
    return {"constant_data": xr.Dataset(found, coords={"row": np.arange(data.n_samples)})} if found else {}


def prior_data(mixture: Mixture, prior: Prior, n_rows: int, n_draws: int, key: jax.Array) -> np.ndarray:
    """Data sets ``(n_draws, n_rows, n_features)``, each of parameters drawn from the prior.

    Each has as many rows as were asked for, or as fit into `MOST_ENTRIES`, and no cell is missing.

    Raises
    ------
    ConfigError
        If a law of the prior is improper, so that nothing can be drawn from it.
    """
    check_proper(prior)
    params_key, rows_key = jax.random.split(key)
    likelihood = mixture.likelihood
    params = prior.draws(params_key, n_draws)
    n_rows = min(n_rows, max(MOST_ENTRIES // (n_draws * prior.n_features), 2))
    return _predictive(likelihood, params, padded_rows(n_rows), rows_key)[:, :n_rows]


def _kept(n_chains: int, draws: np.ndarray, n_samples: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """The draws of each chain and the rows that a predictive group holds."""
    most = MOST_ENTRIES // (n_chains * n_samples * n_features)
    n_kept = int(np.clip(most, min(len(draws), _FEWEST_DRAWS), len(draws)))
    kept = draws[:: -(-len(draws) // n_kept)]
    most_rows = max(MOST_ENTRIES // (n_chains * len(kept) * n_features), 2)
    return kept, subset_rows(n_samples, most_rows)


@jax.jit
def _log_priors(params: MixtureParams, prior: Prior) -> dict[str, Any]:
    return jax.vmap(prior.log_probs)(params)


def _predictive(mixture: Mixture, params: MixtureParams, n_rows: int, key: jax.Array) -> np.ndarray:
    """Data ``(n_draws, n_rows, n_features)``, a set for each draw, by one program for any number of draws."""
    n_draws = len(params.weights)
    drawn = []
    for begin in range(0, n_draws, _BATCH):
        places = np.minimum(np.arange(begin, begin + _BATCH), n_draws - 1)
        batch = jax.tree.map(lambda leaf, places=places: leaf[places], params)
        drawn.append(np.asarray(_one_batch(mixture, n_rows, batch, jax.random.fold_in(key, begin))))
    return np.concatenate(drawn)[:n_draws]


@jax.jit(static_argnums=(0, 1))
def _one_batch(mixture: Mixture, n_rows: int, params: MixtureParams, key: Any) -> Any:
    def one(given: tuple[MixtureParams, Any]) -> Any:
        return mixture.sample(given[0], given[1], n_rows)[0]

    return jax.lax.map(one, (params, jax.random.split(key, _BATCH)))
