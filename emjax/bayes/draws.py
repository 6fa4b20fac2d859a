"""From raw draws to what a posterior holds: aligned parameters, invariant quantities, pointwise log-likelihood."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax import align
from emjax.align import Alignment
from emjax.families.observations import Observations, observed, observed_rows
from emjax.metrics.partition import subset_rows
from emjax.mixture import Mixture, MixtureParams
from emjax.programs import padded_rows
from emjax.result import Fit
from emjax.samples import Samples

_POINTWISE_ENTRIES = 20_000_000
"""The most numbers of the pointwise log-likelihood that are kept (160 MB); beyond, draws are thinned evenly."""

ALL_ROWS = 20_000
"""Up to so many data the pointwise log-likelihood is that of every datum."""

SOME_ROWS = 2_000
"""Of more data it is that of so many, drawn at random, and of the anchors: PSIS-LOO needs many draws of a datum more
than it needs every datum."""

_ALIGNMENT_ROWS = 1000
"""Labels are aligned by the responsibilities of at most this many data."""

_RELABELLING_ROWS = 500
"""Methods of relabelling that need the responsibilities of every draw see those of so many data."""

_ANCHORS = 5
"""The log density is followed at this many data, spread over their ranks: quantities that labels do not touch."""

_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Described:
    """Draws with aligned labels, and what follows from them.

    Attributes
    ----------
    flat_params
        Aligned draws that lead with ``chain * draw``.
    stored
        The family's stored parameters by name, ``(chain, draw, ...)``.
    invariants
        Quantities that labels do not touch, ``(chain, draw)`` or ``(chain, draw, anchor)``.
    log_likelihood, kept_draws, kept_rows
        Log density ``(chain, n_kept, n_rows)`` of each datum or of some, and which draws of each chain and which rows
        of the data it holds.
    alignment
        The permutations that were applied, and their trust.
    """

    flat_params: MixtureParams
    stored: dict[str, np.ndarray]
    invariants: dict[str, np.ndarray]
    log_likelihood: np.ndarray
    kept_draws: np.ndarray
    kept_rows: np.ndarray
    alignment: Alignment


def describe_draws(
    mixture: Mixture, params: MixtureParams, map_fit: Fit, samples: Samples, *, exchangeable: bool = True
) -> Described:
    """Align raw draws ``(chain, draw, ...)`` in data units to EM's MAP and evaluate them.

    Where nothing is ``exchangeable``, labels mean something already: they stay as they are.
    """
    values = samples.values
    likelihood = mixture.likelihood
    n_chains, n_draws = np.shape(params.weights)[:2]
    flat = jax.tree.map(lambda leaf: leaf.reshape(n_chains * n_draws, *leaf.shape[2:]), params)
    overlap, anchored = overlap_with_reference(likelihood, flat, map_fit, samples)
    alignment = align.align(
        np.asarray(_component_vectors(likelihood, flat)),
        np.asarray(_component_vectors(likelihood, _one(map_fit.params)))[0],
        overlap,
    )
    if not exchangeable:
        alignment = alignment.unmoved
    aligned, stored = _permuted(likelihood, flat, alignment.permutations)
    kept_rows = pointwise_rows(values)
    kept = _kept_draws(n_chains, n_draws, len(kept_rows))
    thinned = jax.tree.map(lambda leaf: leaf[:, kept].reshape(n_chains * len(kept), *leaf.shape[2:]), params)
    looked_at = samples.take(kept_rows)
    pointwise = _pointwise(likelihood, thinned, observed_rows(looked_at.values, looked_at.labels))
    pointwise = np.asarray(pointwise)[:, : len(kept_rows)]
    unflatten = lambda leaf: np.asarray(leaf).reshape(n_chains, n_draws, *leaf.shape[1:])  # noqa: E731
    return Described(
        flat_params=jax.tree.map(np.asarray, aligned),
        stored={name: unflatten(value) for name, value in stored.items()},
        invariants={"log_density": unflatten(anchored), **invariants_of_weights(np.asarray(params.weights))},
        log_likelihood=pointwise.reshape(n_chains, len(kept), len(kept_rows)),
        kept_draws=kept,
        kept_rows=kept_rows,
        alignment=alignment,
    )


def overlap_with_reference(
    mixture: Mixture, params: MixtureParams, map_fit: Fit, samples: Samples
) -> tuple[np.ndarray, np.ndarray]:
    """How much the components of draws ``(S, ...)`` share of the data with those of EM's MAP, by which labels are
    aligned, ``(S, K, K)``, and the log density of the anchors ``(S, anchor)``."""
    rows = subset_rows(samples.n_samples, _ALIGNMENT_ROWS)
    chosen = samples.take(rows)
    reference = map_fit.predict_proba(chosen).T
    if chosen.weights is not None:
        reference = reference * chosen.weights[None, :]
    # Rows that only fill up are nobody's.
    reference = np.pad(reference, ((0, 0), (0, padded_rows(len(rows)) - len(rows))))
    known = observed_rows(chosen.values, chosen.labels)
    anchors = observed(samples.values[anchor_rows(samples.values)])
    overlap, anchored = _compare_to_reference(mixture, params, reference, known, anchors)
    return np.asarray(overlap), np.asarray(anchored)


def labelled_draws(mixture: Mixture, params: MixtureParams, map_fit: Fit) -> align.LabelledDraws:
    """Stacked draws and EM's MAP with all that relabelling methods ask for, at most `_RELABELLING_ROWS` of the data."""
    likelihood = mixture.likelihood
    rows = map_fit.samples.take(subset_rows(map_fit.n_samples, _RELABELLING_ROWS))
    x = rows.values
    return align.LabelledDraws(
        parameters=np.asarray(_component_vectors(likelihood, params)),
        reference_parameters=np.asarray(_component_vectors(likelihood, _one(map_fit.params)))[0],
        responsibilities=np.asarray(_all_responsibilities(likelihood, params, observed_rows(x, rows.labels)))[
            ..., : len(x)
        ],
        reference_responsibilities=map_fit.predict_proba(rows).T,
        data=x,
    )


def invariants_of_weights(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Entropy and extremes of the weights ``(chain, draw, K)``: where components come and go, these move slowest."""
    if weights.shape[-1] == 1:
        return {}
    logs = np.log(np.maximum(weights, np.finfo(weights.dtype).tiny))
    return {
        "weight_entropy": -(weights * logs).sum(axis=-1),
        "largest_weight": weights.max(axis=-1),
        "smallest_weight": weights.min(axis=-1),
    }


def anchor_rows(values: np.ndarray) -> np.ndarray:
    """The rows at which the log density is followed: the quantiles of the first feature, where it was observed."""
    n_observed = int((~np.isnan(values[:, 0])).sum())
    return np.argsort(values[:, 0], kind="stable")[np.linspace(0, n_observed - 1, _ANCHORS).astype(int)]


def drawn_rows(n_samples: int) -> np.ndarray:
    """The rows that PSIS-LOO looks at: all, or a random sample of them."""
    return subset_rows(n_samples, SOME_ROWS) if n_samples > ALL_ROWS else np.arange(n_samples)


def pointwise_rows(values: np.ndarray) -> np.ndarray:
    """The rows whose pointwise log-likelihood is kept, in order: `drawn_rows` and `anchor_rows`."""
    return np.union1d(drawn_rows(len(values)), anchor_rows(values))


def _one(params: MixtureParams) -> MixtureParams:
    return jax.tree.map(lambda leaf: leaf[None], params)


def _kept_draws(n_chains: int, n_draws: int, n_samples: int) -> np.ndarray:
    n_kept = int(np.clip(_POINTWISE_ENTRIES // (n_chains * n_samples), min(n_draws, 25), n_draws))
    return np.arange(0, n_draws, -(-n_draws // n_kept))


@jax.jit(static_argnums=0)
def _compare_to_reference(
    mixture: Mixture, draws: MixtureParams, reference: Float[Array, "K n"], x: Observations, anchors: Observations
) -> tuple[Array, Array]:
    def one(params: MixtureParams) -> tuple[Array, Array]:
        return reference @ mixture.responsibilities(params, x), mixture.log_prob(params, anchors)

    return jax.lax.map(one, draws, batch_size=_BATCH)


@jax.jit(static_argnums=0)
def _permuted(mixture: Mixture, draws: MixtureParams, permutations: Array) -> tuple[MixtureParams, dict[str, Array]]:
    aligned = jax.vmap(mixture.permute)(draws, permutations)
    return aligned, jax.vmap(mixture.stored_parameters)(aligned)


@jax.jit(static_argnums=0)
def _all_responsibilities(mixture: Mixture, draws: MixtureParams, x: Observations) -> Float[Array, "S K n"]:
    return jax.lax.map(lambda params: mixture.responsibilities(params, x).T, draws, batch_size=_BATCH)


@jax.jit(static_argnums=0)
def _pointwise(mixture: Mixture, draws: MixtureParams, x: Observations) -> Array:
    return jax.lax.map(lambda params: mixture.log_prob(params, x), draws, batch_size=_BATCH)


@jax.jit(static_argnums=0)
def _component_vectors(mixture: Mixture, draws: MixtureParams) -> Array:
    """Each component as one vector: its weight and all the numbers of its named parameters, ``(n_draws, K, p)``."""
    weights = jax.vmap(lambda one: one.weights)(draws)
    return jnp.concatenate([weights[..., None], jax.vmap(mixture.places)(draws)], axis=-1)


def drawn_labels(mixture: Mixture, params: MixtureParams, samples: Samples, key: Array) -> np.ndarray:
    """A label of each datum for each of stacked draws, ``(n_draws, n_samples)``: drawn by the responsibilities."""
    rows = observed_rows(samples.values, samples.labels)
    return np.asarray(_drawn_labels(mixture.likelihood, params, rows, key))[:, : samples.n_samples]


@jax.jit(static_argnums=0)
def _drawn_labels(mixture: Mixture, draws: MixtureParams, x: Observations, key: Array) -> Array:
    def one(given: tuple[MixtureParams, Array]) -> Array:
        params, key = given
        return jax.random.categorical(key, mixture.log_joint(params, x), axis=0)

    return jax.lax.map(one, (draws, jax.random.split(key, len(draws.weights))), batch_size=_BATCH)
