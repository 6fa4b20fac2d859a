r"""Starts for EM, as a batch: drawn ones of seven kinds, and every form of a given one.

======================  ==========================================================================================
``starts=``             one start
======================  ==========================================================================================
``"kmeans++"``          means: k-means++ and three k-means iterations, in turn on standardised and on sphered
                        data; equal weights, the data's own covariance
``"random"``            means: different points of the data; equal weights, the data's own covariance
``"mixed"``             the default: some of each of the two above, and three in ten the M-step of hard clusters (of
                        k-means, on unscaled data too, of a tree, and about random points)
``"responsibilities"``  the M-step of random responsibilities, uniform on the simplex
``"hierarchical"``      means: the clusters of a Ward tree on sphered data; equal weights, the data's own
                        covariance
``"short_em"``          emEM: the best of five short EM runs from random points
``"prior_draws"``       parameters drawn from the prior
======================  ==========================================================================================

Everything works in the standard frame, and on a subsample where the data are many.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.bounds import LARGEST, written
from emjax.catalogue import DEFAULT_START, FROM_PRIOR, STARTS
from emjax.em import seeding
from emjax.em.blocks import make_blocks
from emjax.em.labelled import matched
from emjax.em.rows import Rows
from emjax.em.short_em import CANDIDATES, best_of_short_runs
from emjax.em.step import Statistics, maximization
from emjax.errors import ConfigError
from emjax.families.frame import Frame
from emjax.families.observations import Observations, observed
from emjax.families.proper import check_proper
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.moments import Summary
from emjax.naming import of_pairs
from emjax.nearest import nearest
from emjax.programs import filled_up, padded_rows

_ROWS = 10_000
"""Starts are made from at most this many rows: more do not make a start better."""

_ELEMENTS = 1 << 22
"""... and from fewer where they would need more numbers than this, ``rows * n_components * n_features`` (32 MiB)."""

_FEWEST_ROWS = 1_000

_NARROW = 0.3
"""The share of the mixed starts that are the M-step of hard clusters."""

_SMALL_TREE = 100
"""The tree among them is grown on at most this many rows, or five for each component."""


def drawn_starts(
    mixture: Mixture,
    z: np.ndarray | Rows,
    *,
    key: Array,
    n_init: int,
    starts: str = DEFAULT_START,
    batch: int = 0,
    prior: Prior | None = None,
) -> MixtureParams:
    """``n_init`` starts of the kind that ``starts`` names, stacked, different from each other; the key decides them.

    Where components of rows are known, those of a start are in the order that suits them best (`emjax.em.labelled`).

    Parameters
    ----------
    mixture
        The declaration; its prior is not looked at.
    z
        Data ``(n, d)`` in the standard frame.
    starts
        One of `emjax.catalogue.STARTS`.
    batch
        The number of the batch: the same key draws other starts for each.
    prior
        In the frame; only ``"prior_draws"`` look at it.

    Raises
    ------
    ConfigError
        If starts are to be drawn from a prior that is none, or improper.
    """
    rng = seeding.generator(key, batch)
    if starts == FROM_PRIOR:
        drawn = _prior_draws(rng, mixture, z, prior, n_init, jax.random.fold_in(key, batch))
    else:
        drawn = _drawn(mixture, z, rng, n_init, starts)
    return matched(mixture, drawn, z)


def _prior_draws(
    rng: np.random.Generator, mixture: Mixture, z: np.ndarray | Rows, prior: Prior | None, n_init: int, key: Array
) -> MixtureParams:
    """Draws of the prior; where one is degenerate, or a weight is zero, random points take its place."""
    if prior is None:
        raise ConfigError(f"starts = {FROM_PRIOR!r} needs a prior, and the model has none: give one, or other starts")
    try:
        check_proper(prior)
    except ConfigError as error:
        raise ConfigError(f"starts = {FROM_PRIOR!r} cannot be drawn: {error}") from None
    drawn = jax.tree.map(lambda leaf: np.array(leaf, z.dtype), prior.draws(key, n_init))
    # NumPyro's Dirichlet has the smallest number in place of zero.
    good = (drawn.weights > np.finfo(z.dtype).tiny).all(axis=1) & ~np.asarray(_degenerate(mixture, drawn))
    for leaf in jax.tree.leaves(drawn):
        good &= np.isfinite(leaf).reshape(n_init, -1).all(axis=1)
    if not good.all():
        spare = _drawn(mixture, z, rng, int((~good).sum()), "random")
        for leaf, other in zip(jax.tree.leaves(drawn), jax.tree.leaves(spare), strict=True):
            leaf[~good] = other
    return drawn


@functools.partial(jax.jit, static_argnums=0)
def _degenerate(mixture: Mixture, params: MixtureParams) -> Array:
    return jax.vmap(mixture.family.degenerate)(params)


def _drawn(mixture: Mixture, z: np.ndarray | Rows, rng: np.random.Generator, n_init: int, starts: str) -> MixtureParams:
    k = mixture.n_components
    scale = z.frame.scale / z.frame.scale.max() if isinstance(z, Rows) else np.ones(z.shape[1])
    z = seeding.filled(seeding.subsample(rng, z, _most_rows(mixture, z)))
    base = pooled_start(mixture, z)
    if starts == "short_em":
        begin = _at_means(mixture, base, _random_means(rng, z, k, n_init * CANDIDATES))
        begin = jax.tree.map(lambda leaf: leaf.reshape(n_init, CANDIDATES, *leaf.shape[1:]), begin)
        return best_of_short_runs(mixture, begin, make_blocks(z, mixture), z.shape[1])
    if starts == "responsibilities":
        return _random_responsibilities(rng, mixture, base, z, n_init)
    if starts == "hierarchical":
        return _at_means(mixture, base, _tree_means(rng, mixture, z, n_init))
    correlated = any(map(of_pairs, mixture.family.reported(z.shape[1])))
    n_narrow = int(_NARROW * n_init) if starts == "mixed" else 0
    n_kmeans = {"kmeans++": n_init, "random": 0, "mixed": -(-(n_init - n_narrow) // 2)}[starts]
    kmeans = _kmeans_means(rng, mixture, z, n_kmeans, correlated=correlated)
    means = np.concatenate([kmeans, _random_means(rng, z, k, n_init - n_narrow - n_kmeans)])
    wide = _at_means(mixture, base, means)
    return _stacked([*_narrow(rng, mixture, base, z, scale, n_narrow), wide]) if n_narrow else wide


def _most_rows(mixture: Mixture, z: np.ndarray | Rows) -> int:
    return max(_FEWEST_ROWS, min(_ROWS, _ELEMENTS // (mixture.n_components * z.shape[1])))


def _kmeans_means(
    rng: np.random.Generator, mixture: Mixture, z: np.ndarray, n_starts: int, *, correlated: bool
) -> np.ndarray:
    # Sphering finds elongated clusters, and hides clusters that make the covariance of the data themselves: neither is
    # safe alone (docs/starts.md). A model without correlations is not closed under rotations, and takes features as
    # they are.
    ways = [seeding.coordinates(mixture.family, z, sphered=sphered) for sphered in (False, correlated)]
    k = mixture.n_components
    centres = [seeding.kmeans_centres(rng, z, ways[i % 2], k) for i in range(n_starts)]
    return np.reshape(centres, (n_starts, k, z.shape[1]))


def _narrow(
    rng: np.random.Generator, mixture: Mixture, base: MixtureParams, z: np.ndarray, scale: np.ndarray, n_starts: int
) -> list[MixtureParams]:
    """The M-step of hard clusters, ``n_starts`` times: of k-means, of a tree, and around random points.

    The first two are of unscaled data and of a tree, which see clusters that the scales of features hide.
    """
    y, k = seeding.coordinates(mixture.family, z, sphered=False), mixture.n_components
    unscaled = np.asarray(z, dtype=float) * scale

    def around(points: np.ndarray) -> np.ndarray:
        return seeding.nearest(y, points)

    ways = [
        lambda: seeding.kmeans(rng, unscaled, k, seeding.LLOYD_STEPS)[0],
        lambda: seeding.tree_labels(rng, y, k, max(_SMALL_TREE, 5 * k)),
        lambda: seeding.kmeans(rng, y, k, seeding.LLOYD_STEPS)[0],
        lambda: around(seeding.different_rows(rng, y, k)),
    ]
    order = [0, 1, 2, 3, 2, 3]
    return [_of_clusters(mixture, base, z, ways[order[i % len(order)]]()) for i in range(n_starts)]


def _of_clusters(mixture: Mixture, base: MixtureParams, z: np.ndarray, labels: np.ndarray) -> MixtureParams:
    """One start, stacked: the shares and the estimates of clusters ``(m,)``; what is empty is at the data's mean."""
    k, y = mixture.n_components, np.asarray(z, dtype=float)
    means = seeding.cluster_means(y, labels, np.tile(y.mean(axis=0), (k, 1)))
    components = mixture.family.at_clusters(base, y, labels, means)
    weights = (np.bincount(labels, minlength=k) + 1.0) / (len(y) + k)
    params = mixture.assembled(weights, components)
    return jax.tree.map(lambda leaf: np.asarray(leaf, base.weights.dtype)[None], params)


def moved_starts(
    mixture: Mixture,
    z: np.ndarray | Rows,
    near: Sequence[tuple[MixtureParams, int]],
    *,
    key: Array,
    batch: int,
    log_joint: Callable[[Mixture, MixtureParams, np.ndarray], Any] | None = None,
) -> MixtureParams:
    """Of each of ``near`` as many starts as it says, each with one component elsewhere; see `drawn_starts`.

    ``log_joint`` is what evaluates rows ``(n, d)`` as ``(n, K)``, where it is not the compiled program of the mixture.
    """
    rng, given = seeding.generator(key, batch, 1), z
    z = seeding.filled(seeding.subsample(rng, z, _most_rows(mixture, z)))
    base, y = pooled_start(mixture, z), seeding.coordinates(mixture.family, z, sphered=False)
    starts = []
    for params, n_starts in near:
        values = np.asarray((log_joint or log_joint_of)(mixture, params, filled_up(z)), dtype=float)[: len(z)]
        labels = [seeding.moved_labels(rng, y, values) for _ in range(n_starts)]
        starts += [_of_clusters(mixture, base, z, each) for each in labels]
    return matched(mixture, _stacked(starts), given)


@functools.partial(jax.jit, static_argnums=0)
def log_joint_of(mixture: Mixture, params: MixtureParams, z: Float[Array, "n d"]) -> Float[Array, "n K"]:
    """The joint log densities of rows in the frame, but for what all components share."""
    # Without what all components share: a filled cell may lie where no datum can, such as between two levels.
    return (mixture.log_weights(params)[:, None] + mixture.family.log_kernel(params, observed(z))).T


def _stacked(starts: list[MixtureParams]) -> MixtureParams:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *starts)


def _random_means(rng: np.random.Generator, z: np.ndarray, k: int, n_starts: int) -> np.ndarray:
    # Equal means, which counts and rounded data would often give, are a saddle that EM never leaves.
    return np.reshape([seeding.different_rows(rng, z, k) for _ in range(n_starts)], (n_starts, k, z.shape[1]))


def _tree_means(rng: np.random.Generator, mixture: Mixture, z: np.ndarray, n_starts: int) -> np.ndarray:
    y, k = seeding.coordinates(mixture.family, z, sphered=True), mixture.n_components
    labels = [seeding.tree_labels(rng, y, k, seeding.tree_rows(len(y), k, first=i == 0)) for i in range(n_starts)]
    return np.stack([seeding.cluster_means(z, each, seeding.different_rows(rng, z, k)) for each in labels])


def _random_responsibilities(
    rng: np.random.Generator, mixture: Mixture, base: MixtureParams, z: np.ndarray, n_starts: int
) -> MixtureParams:
    lanes, spare = [], _at_means(mixture, base, _random_means(rng, z, mixture.n_components, n_starts))
    for i in range(n_starts):
        # One start at a time, so that no more than one set of responsibilities is ever held.
        shares = rng.dirichlet(np.ones(mixture.n_components), len(z)).T
        lane = _m_step(mixture, base, z, np.ascontiguousarray(shares, z.dtype), None)
        # Of fewer points than features, or of features that determine each other, there is no covariance to start from.
        lanes.append(_unless_degenerate(mixture, lane, jax.tree.map(operator.itemgetter(i), spare)))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *lanes)


def pooled_start(mixture: Mixture, z: np.ndarray | Rows) -> MixtureParams:
    """Equal weights, and every component at the estimate of all the data ``z``, in the frame."""
    k = mixture.n_components
    pooled = mixture.family.pooled(Summary(z, z.weights if isinstance(z, Rows) else None), k)
    return mixture.assembled(
        np.full(k, 1.0 / k, z.dtype), {name: each.astype(z.dtype) for name, each in pooled.items()}
    )


def _at_means(mixture: Mixture, base: MixtureParams, means: np.ndarray) -> MixtureParams:
    """``base`` with its components moved to each of the means ``(n_starts, K, d)``; too little work to compile."""
    moved = [mixture.family.at_means(base, each) for each in means.astype(base.weights.dtype)]
    stacked = {name: np.stack([np.asarray(each[name]) for each in moved]) for name in moved[0]}
    return mixture.assembled(np.tile(base.weights, (len(means), 1)), stacked)


@functools.partial(jax.jit, static_argnums=0)
def _unless_degenerate(mixture: Mixture, params: MixtureParams, otherwise: MixtureParams) -> MixtureParams:
    degenerate = mixture.family.degenerate(params)
    return jax.tree.map(lambda new, old: jnp.where(degenerate, old, new), params, otherwise)


def _m_step(
    mixture: Mixture, reference: MixtureParams, z: np.ndarray | Rows, shares: np.ndarray, prior: Prior | None
) -> MixtureParams:
    """The M-step of responsibilities ``(K, n)``; ``reference`` is any valid parameter.

    Statistics are additive, so that of many data no more than some rows at a time leave the host.
    """
    n_rows = padded_rows(min(len(z), _most_rows(mixture, z)))
    total = None
    for begin in range(0, len(z), n_rows):
        rows, part = z[begin : begin + n_rows], shares[:, begin : begin + n_rows]
        if isinstance(z, Rows) and z.weights is not None:
            part = part * z.weights[None, begin : begin + n_rows].astype(part.dtype)
        padding = n_rows - len(rows)
        if padding:
            rows, part = np.pad(rows, ((0, padding), (0, 0))), np.pad(part, ((0, 0), (0, padding)))
        added = jax.tree.map(np.asarray, _statistics(mixture, reference, observed(rows), part))
        total = added if total is None else jax.tree.map(np.add, total, added)
    return _maximized(mixture, reference, total, prior)


@functools.partial(jax.jit, static_argnums=0)
def _statistics(
    mixture: Mixture, reference: MixtureParams, rows: Observations, shares: Float[Array, "K n"]
) -> Statistics:
    return Statistics(
        log_likelihood=jnp.zeros((), shares.dtype),
        counts=jnp.sum(shares, axis=1),
        components=mixture.family.statistics(reference, rows, shares),
    )


_maximized = jax.jit(maximization, static_argnums=0)


def given_starts(mixture: Mixture, z: np.ndarray | Rows, init: Any, frame: Frame, prior: Prior | None) -> MixtureParams:
    """The starts of ``init``, stacked: one, or as many as a list of them holds."""
    lanes = [_given_start(mixture, z, each, frame, prior) for each in as_list(init)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *lanes)


def as_list(init: Any) -> list[Any]:
    """The starts of ``init``: a list of parameters or fits is several, anything else (also nested numbers) is one.

    Raises
    ------
    ValueError
        If the list is empty.
    """
    if isinstance(init, list | tuple) and all(isinstance(getattr(one, "params", one), MixtureParams) for one in init):
        if not init:
            raise ValueError("init is an empty list; give at least one start, or leave it out")
        return list(init)
    return [init]


def _given_start(mixture: Mixture, z: np.ndarray | Rows, init: Any, frame: Frame, prior: Prior | None) -> MixtureParams:
    """One start from parameters, a fit, means ``(K, d)`` or responsibilities ``(n, K)``.

    Raises
    ------
    ValueError
        If ``init`` is none of these, with the shapes that would have done.
    """
    params = getattr(init, "params", init)
    if isinstance(params, MixtureParams):
        lane = jax.tree.map(lambda leaf: np.asarray(leaf, float), params)
        if lane.family.declared_as == mixture.family.declared_as:  # levels may have been named elsewhere
            lane = MixtureParams(mixture.family, dict(lane.items()))
        _check_components(mixture, z, lane)
        for leaf in jax.tree.leaves(lane):
            _check_squares(leaf)
        lane = mixture.to_frame(lane, frame)
    else:
        given = _numbers(init)
        _check_squares(given)
        lane = _from_array(mixture, z, given, frame, prior)
    return jax.tree.map(lambda leaf: np.asarray(leaf, z.dtype), lane)


def _numbers(init: Any) -> np.ndarray:
    if isinstance(init, str):
        close = nearest(init, STARTS)
        kinds = f"starts={close!r}" if close else f"starts= ({', '.join(map(repr, STARTS))})"
        raise ConfigError(f"init = {written(init)} is no start; drawn ones have their kind from {kinds}")
    try:
        return np.asarray(init, dtype=float)
    except (TypeError, ValueError):
        raise ConfigError(
            f"init = {written(init)} is no start; give parameters, a fit, means, responsibilities or a list of starts"
        ) from None


def _check_squares(given: np.ndarray) -> None:
    largest = np.abs(given).max(initial=0.0)
    if np.isfinite(largest) and largest > LARGEST:
        raise ValueError(f"init holds {largest:g}, whose square float64 cannot hold: are these the data's units?")


def _check_components(mixture: Mixture, z: np.ndarray | Rows, lane: MixtureParams) -> None:
    k, lengths = mixture.n_components, mixture.family.lengths(z.shape[1])
    expected = {"weights": (k,), **{name: one.shape(k, lengths) for name, one in mixture.family.parameters.items()}}
    if lane.family != mixture.family or {name: np.shape(value) for name, value in lane.items()} != expected:
        raise ValueError(
            f"init holds parameters of another mixture: expected {mixture.n_components} {mixture.family.name} "
            f"components of {z.shape[1]} features"
        )


def _from_array(
    mixture: Mixture, z: np.ndarray | Rows, init: np.ndarray, frame: Frame, prior: Prior | None
) -> MixtureParams:
    k, (n_samples, n_features) = mixture.n_components, z.shape
    if init.ndim == 1 and n_features == 1:
        init = init[:, None]
    if not np.isfinite(init).all():
        raise ValueError("init holds NaN or infinity")
    if init.shape == (k, n_features):
        means = np.asarray(frame.apply(init))[None]
        return jax.tree.map(lambda leaf: leaf[0], _at_means(mixture, pooled_start(mixture, z), means))
    if init.shape == (n_samples, k):
        if (init < 0).any() or not np.allclose(init.sum(axis=1), 1.0, atol=1e-6):
            raise ValueError("init responsibilities must be non-negative and add up to 1 in every row")
        return _m_step(mixture, pooled_start(mixture, z), z, init.T.astype(z.dtype), prior)
    raise ValueError(
        f"init of shape {init.shape} is neither means {(k, n_features)} nor responsibilities {(n_samples, k)}; "
        "parameters come from mixture.params(...)"
    )
