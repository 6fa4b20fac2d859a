"""Starts whose components are those that labels speak of.

Where the components of some rows are known, a component is no longer as good as any other: a start is drawn without
looking at labels, and then its components are put in the order in which they suit the labels best. EM could go there by
itself only past the optima where two components have changed places.
"""

from __future__ import annotations

import functools

import jax
import numpy as np

from emjax import align
from emjax.em.rows import Rows
from emjax.families.observations import Observations, observed_rows
from emjax.mixture import Mixture, MixtureParams

_MOST_ROWS = 2_000


def matched(mixture: Mixture, params: MixtureParams, z: np.ndarray | Rows) -> MixtureParams:
    """Stacked starts with their components in the order that suits the labels of the rows best."""
    if not isinstance(z, Rows) or z.labels is None or mixture.n_components == 1:
        return params
    labels = z.labels
    # Where nothing is known all components are as likely: such rows say nothing of the order.
    known = np.flatnonzero(np.ptp(np.exp(labels), axis=1) > 0)
    if not len(known):
        return params
    known = known[:: -(-len(known) // _MOST_ROWS)]
    shares = np.exp(labels[known])
    chosen = z.take(known)
    weights = np.ones(len(known)) if chosen.weights is None else chosen.weights
    rows = observed_rows(chosen[:])
    found = np.asarray(_log_shares(mixture, jax.tree.map(np.asarray, params), rows), dtype=float)[:, :, : len(known)]
    gains = np.einsum("skn,nj,n->sjk", np.exp(found), shares / shares.sum(axis=1, keepdims=True), weights)
    orders = align.permutations_from_cost(-gains)
    moved = [
        mixture.permute(jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], params), order)
        for i, order in enumerate(orders)
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *moved)


@functools.partial(jax.jit, static_argnums=0)
def _log_shares(mixture: Mixture, params: MixtureParams, rows: Observations) -> jax.Array:
    return jax.vmap(lambda one: jax.nn.log_softmax(mixture.log_joint(one, rows), axis=0))(params)
