"""The E-step of many starts on several data sets, or on several weightings of one: lanes in equal groups, one to each.

`emjax.em.many` iterates starts of different data sets in one program. Everything but the E-step is a matter of one lane
and its numbers, whatever data it belongs to; only here lanes and their data meet. A `Blocks` of several data sets has
``x (n_sets, n_blocks, d, block)`` and ``weights (n_sets, n_blocks, block)``; ``total_weight`` is one number, since all
data sets have the same shape. Lanes lead with ``n_sets * lanes_per_set``, those of a data set side by side. Where data
sets differ in weights alone (replicates of a bootstrap), ``x (n_blocks, d, block)`` is there once, and so are the
sufficient statistics of its rows. The starts of one data set are grouped too where that pays.
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

_LANES = 5
"""Starts of one data set fall into groups of so many at most: where all of a group have ended it costs nothing. Of 20
starts of Old Faithful half of the trips have five or fewer left."""

_LEAST, _MOST = 1 << 13, 1 << 20
"""Densities of a group: fewer cost less than what leads from group to group, and where there are more
`emjax.em.lanes` gathers the starts that run into a smaller program."""


def are_several(data: Blocks) -> bool:
    """Whether the blocks are those of several data sets, or of several weightings of one."""
    return bool(np.ndim(data.weights) == 3)


def one_of(data: Blocks) -> Blocks:
    """The first data set, from which lanes may read what all have in common: shapes, precision, form, total weight."""
    if not are_several(data):
        return data
    own = own_of(data, share_rows=np.ndim(data.x) == 3)
    return dataclasses.replace(data, **jax.tree.map(lambda leaf: leaf[0], own))


def own_of(data: Blocks, *, share_rows: bool) -> dict[str, Any]:
    """What of the blocks differs from data set to data set, by name."""
    weights = {"weights": data.weights}
    return weights if share_rows else {"rows": data.rows, "excess": data.excess, **weights}


def lane_prior(prior: Prior | None, data: Blocks, n_lanes: int) -> tuple[Prior | None, int | None]:
    """The prior as `jax.vmap` over lanes takes it, with its axis: one a data set where there are several."""
    if prior is None or not are_several(data):
        return prior, None
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, n_lanes // data.weights.shape[0], axis=0), prior), 0


def expectations(mixture: Mixture, params: MixtureParams, data: Blocks, runs: AnyArray) -> Statistics:
    """The E-step of a batch of lanes; ``runs`` tells those whose result is wanted.

    Of several data sets, or of groups of the lanes of one, one follows the other: its rows and the densities of its
    lanes stay in the cache, and where none of its lanes runs it costs nothing. An accelerator takes all of them at
    once.
    """
    several, on_cpu = are_several(data), jax.default_backend() == "cpu"
    share_rows = several and np.ndim(data.x) == 3
    own = own_of(data, share_rows=share_rows) if several else {}
    n_groups = data.weights.shape[0] if several else _n_groups(mixture, data, len(runs))

    def grouped(leaf: Any) -> Any:
        return leaf.reshape(n_groups, -1, *leaf.shape[1:])

    def taken(params: MixtureParams, own: dict[str, Any]) -> Statistics:
        return jax.vmap(functools.partial(expectation, mixture, data=dataclasses.replace(data, **own)))(params)

    def of_group(given: tuple[MixtureParams, Any, dict[str, Any]]) -> Statistics:
        params, runs, own = given
        shapes = jax.eval_shape(taken, params, own)
        nothing = lambda *_: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)  # noqa: E731
        return jax.lax.cond(jnp.any(runs), taken, nothing, params, own)

    if n_groups == 1 and not several:
        return taken(params, own)
    together = jax.tree.map(grouped, params), grouped(runs), own
    if share_rows:
        # One matrix product with the statistics of the rows for all of them.
        statistics = jax.vmap(taken)(together[0], own)
    else:
        statistics = jax.lax.map(of_group, together) if on_cpu else jax.vmap(of_group)(together)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), statistics)


def _n_groups(mixture: Mixture, data: Blocks, n_lanes: int) -> int:
    """Into how many equal groups the lanes of one data set fall.

    Each group takes the sufficient statistics of the rows anew. Where they are more than its components, in ten
    dimensions, that cost up to a sixth more than it saved.
    """
    size = max(each for each in range(1, _LANES + 1) if n_lanes % each == 0)
    n_components, n_products = size * mixture.n_components, (1 + data.x.shape[1]) ** 2 // 2
    pays = size >= _LANES - 1 and _LEAST <= n_components * data.weights.size <= _MOST and n_products <= n_components
    return n_lanes // size if pays and data.mesh is None and jax.default_backend() == "cpu" else 1
