"""The E-step of many starts on several data sets: lanes in equal groups, one group to a data set.

`emjax.em.many` iterates starts of different data sets in one program. Everything but the E-step is a matter of one lane
and its numbers, whatever data it belongs to; only here lanes and their data meet. A `Blocks` of several data sets has
``x (n_sets, n_blocks, d, block)`` and ``weights (n_sets, n_blocks, block)``; ``total_weight`` is one number, since all
data sets have the same shape. Lanes lead with ``n_sets * lanes_per_set``, those of a data set side by side.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax.em.blocks import Blocks
from emjax.em.step import Statistics, expectation
from emjax.families.arrays import AnyArray
from emjax.mixture import Mixture, MixtureParams, Prior


def are_several(data: Blocks) -> bool:
    """Whether the blocks are those of several data sets."""
    return bool(np.ndim(data.x) == 4)


def one_of(data: Blocks) -> Blocks:
    """The first data set, from which lanes may read what all have in common: shapes, precision, form, total weight."""
    return _own(data, *jax.tree.map(lambda leaf: leaf[0], rows_of(data))) if are_several(data) else data


def rows_of(data: Blocks) -> tuple[Any, Any, Any]:
    """What of the blocks differs from data set to data set."""
    return data.rows, data.weights, data.excess


def _own(data: Blocks, rows: Any, weights: Any, excess: Any) -> Blocks:
    return dataclasses.replace(data, rows=rows, weights=weights, excess=excess)


def lane_prior(prior: Prior | None, data: Blocks, n_lanes: int) -> tuple[Prior | None, int | None]:
    """The prior as `jax.vmap` over lanes takes it, with its axis: one a data set where there are several."""
    if prior is None or not are_several(data):
        return prior, None
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, n_lanes // data.x.shape[0], axis=0), prior), 0


def expectations(mixture: Mixture, params: MixtureParams, data: Blocks, runs: AnyArray) -> Statistics:
    """The E-step of a batch of lanes; ``runs`` tells those whose result is wanted.

    Of several data sets, one follows the other: its rows and the densities of its lanes stay in the cache, and where
    none of its lanes runs it costs nothing. An accelerator takes all of them at once.
    """
    if not are_several(data):
        return jax.vmap(functools.partial(expectation, mixture, data=data))(params)
    n_sets = data.x.shape[0]

    def grouped(leaf: Any) -> Any:
        return leaf.reshape(n_sets, -1, *leaf.shape[1:])

    def of_set(given: tuple[MixtureParams, Any, tuple[Any, Any, Any]]) -> Statistics:
        params, runs, rows = given
        taken = jax.vmap(functools.partial(expectation, mixture, data=_own(data, *rows)))
        shapes = jax.eval_shape(taken, params)
        return jax.lax.cond(
            jnp.any(runs), taken, lambda _: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes), params
        )

    together = jax.tree.map(grouped, params), grouped(runs), rows_of(data)
    on_cpu = jax.default_backend() == "cpu"
    statistics = jax.lax.map(of_set, together) if on_cpu else jax.vmap(of_set)(together)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), statistics)
