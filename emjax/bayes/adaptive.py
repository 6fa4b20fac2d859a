r"""An importance sample where normals do not do: from modes and from conjugate posteriors of labellings, learned.

Where a component may be empty, or holds a datum or two, no normal has the shape of the posterior. A mixture of
conjugate posteriors over labellings has (`emjax.bayes.jumps`), and one whose component holds nothing is as good as any.
Half of the points come from it and half from the Laplace mixture, which does better where components hold many data.

Labellings are first drawn at points of the modes and of the ridges, and then, round after round, at the weighted points
of the round before (population Monte Carlo). Both halves are of the whole posterior: where components are alike, a
labelling stands for all :math:`K!` numberings, so that its density is a permanent,

.. math::

    \sum_\sigma \exp \sum_k M_k \cdot \eta_{\sigma(k)}(\theta) = \mathrm{per} \big( e^{M_k \cdot \eta_l(\theta)}
    \big)_{kl} ,

which the subsets of components give in :math:`2^K K` products, all positive.

References: Cappé, Guillin, Marin and Robert, Journal of Computational and Graphical Statistics 13, 2004 (population
Monte Carlo); Frühwirth-Schnatter, Econometrics Journal 7, 2004 (labels and permutations in the evidence of mixtures);
Lee and Robert, Bayesian Analysis 11, 2016 (importance sampling over labellings).
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.bayes.jumps import LabellingJumps, labelling_jumps
from emjax.bayes.laplace import ImportanceSample, smoothed_weights
from emjax.bayes.modes import LaplaceMixture
from emjax.bayes.target import Evaluator, Target, TargetData
from emjax.em.rows import Rows
from emjax.em.step import natural_form

_ROUNDS = 6
_WIDER = ((1.0, 0.6), (0.5, 0.25), (0.2, 0.12))
"""Wider than jumps are, as rare labellings may be missing; see `POWERS_AND_SHARES`."""

_LABELLINGS = 400
_LEARNING_POINTS = 500

_ENOUGH = 0.3
"""Labellings are learned no further once the points are worth this share of as many draws."""

_KEPT = 4
"""Every so-manieth labelling is of the modes and ridges, in every round: what was missed once can be found again."""

_ENTRIES = 1 << 16
"""So many entries of matrices are held at a time, for each pair of components: they fit the cache."""


def adapted_sample(
    evaluate: Evaluator,
    mixture: LaplaceMixture,
    rows: Rows,
    first: Float[np.ndarray, "m p"],
    rng: np.random.Generator,
    n_points: int,
) -> ImportanceSample:
    """Weighted points of the posterior, from a proposal that is learned beginning with ``first`` points of it.

    Half of ``first`` should be of the modes and half of the ridges.
    """
    target, data = evaluate.target, evaluate.data
    key = jax.random.key(int(rng.integers(2**31)))
    first = rng.permutation(first)
    points = first
    for i in range(_ROUNDS):
        labelled = points[rng.choice(len(points), _LABELLINGS, replace=len(points) < _LABELLINGS)]
        jumps = labelling_jumps(target, data, rows, labelled, jax.random.fold_in(key, 2 * i), _LABELLINGS, _WIDER)
        drawn, values, log_weights = _weighed(
            evaluate, mixture, jumps, jax.random.fold_in(key, 2 * i + 1), rng, _LEARNING_POINTS
        )
        weights, _ = smoothed_weights(log_weights)
        if weights @ weights * len(drawn) * _ENOUGH < 1.0:
            break
        learned = drawn[rng.choice(len(drawn), _LABELLINGS, p=weights)]
        n_first = _LABELLINGS // _KEPT
        points = np.concatenate([first[rng.choice(len(first), n_first)], learned[n_first:]])
    drawn, values, log_weights = _weighed(evaluate, mixture, jumps, jax.random.fold_in(key, 2 * _ROUNDS), rng, n_points)
    weights, shape = smoothed_weights(log_weights)
    log_mean = np.logaddexp.reduce(log_weights) - math.log(n_points)
    log_copies = math.lgamma(target.n_alike + 1)
    nearest = mixture.log_terms(drawn).argmax(axis=1)
    return ImportanceSample(
        mixture, drawn, nearest, values, weights, shape, float(log_mean + log_copies), labelled=True
    )


def _weighed(
    evaluate: Evaluator,
    mixture: LaplaceMixture,
    jumps: LabellingJumps,
    key: Array,
    rng: np.random.Generator,
    n_points: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of both halves of the proposal with their values and log weights."""
    drawn = _drawn(evaluate, mixture, jumps, key, rng, n_points)
    values, _ = evaluate(drawn)
    halves = mixture.log_prob(drawn), log_density(evaluate.target, evaluate.data, jumps, drawn)
    log_proposal = np.logaddexp(*halves) - math.log(2.0)
    usable = np.isfinite(values) & np.isfinite(log_proposal)
    return drawn, values, np.where(usable, values, -np.inf) - np.where(usable, log_proposal, 0.0)


def _drawn(
    evaluate: Evaluator,
    mixture: LaplaceMixture,
    jumps: LabellingJumps,
    key: Array,
    rng: np.random.Generator,
    n_points: int,
) -> np.ndarray:
    """Points of the proposal, from the normals and from the labellings; the latter by one program of fixed size."""
    n_labelled = n_points // 2
    normal, _ = mixture.sample(rng, n_points - n_labelled)
    return np.concatenate([normal, labelled_points(evaluate, jumps, key, n_labelled)])


def labelled_points(evaluate: Evaluator, jumps: LabellingJumps, key: Array, n_points: int) -> np.ndarray:
    """So many points of the labellings' conjugate posteriors, by one program of fixed size; `log_density` is theirs."""
    size = _LEARNING_POINTS // 2
    parts = [
        np.asarray(_proposed(evaluate.target, evaluate.data, jumps, jax.random.split(jax.random.fold_in(key, i), size)))
        for i in range(-(-n_points // size))
    ]
    return np.concatenate(parts)[:n_points]


def log_density(
    target: Target, data: TargetData, jumps: LabellingJumps, points: Float[np.ndarray, "n p"]
) -> Float[np.ndarray, " n"]:
    """The log density of the labellings' proposals at points, summed over all numberings where components are alike."""
    size = _LEARNING_POINTS
    n_calls = -(-len(points) // size)
    padded = np.concatenate([points, np.repeat(points[-1:], n_calls * size - len(points), axis=0)])
    calls = [_natural(target, data, batch) for batch in padded.reshape(n_calls, size, -1)]
    natural = np.concatenate([np.asarray(each) for each, _ in calls])[: len(points)]
    log_prior = np.concatenate([np.asarray(each) for _, each in calls])[: len(points)]
    moments, log_shares = np.asarray(jumps.moments), np.asarray(jumps.log_shares)
    rows = max(1, _ENTRIES // len(moments))
    log_mean = _log_mean_permanent if target.exchangeable else _log_mean
    summed = [log_mean(moments, log_shares, natural[i : i + rows]) for i in range(0, len(points), rows)]
    return np.asarray(np.concatenate(summed) + log_prior)


def _log_mean(
    moments: Float[np.ndarray, "S K p"], log_shares: Float[np.ndarray, " S"], natural: Float[np.ndarray, "n K p"]
) -> Float[np.ndarray, " n"]:
    """``log sum_s share_s exp(sum_k M_sk . eta_k)``."""
    flat = [array.reshape(len(array), -1) for array in (natural, moments)]
    return np.asarray(np.logaddexp.reduce(flat[0] @ flat[1].T + log_shares, axis=1))


def _log_mean_permanent(
    moments: Float[np.ndarray, "S K p"], log_shares: Float[np.ndarray, " S"], natural: Float[np.ndarray, "n K p"]
) -> Float[np.ndarray, " n"]:
    """``log sum_s share_s per(exp(M_s . eta))``, by sums over the sets of columns that the first rows may take."""
    k = moments.shape[1]
    log_entries = np.array([[natural[:, column] @ moments[:, row].T for column in range(k)] for row in range(k)])
    highest = log_entries.max(axis=1)
    entries = np.exp(log_entries - highest[:, None])
    sums: dict[int, np.ndarray] = {0: np.ones(log_entries.shape[2:])}
    for row in range(k):
        following: dict[int, np.ndarray] = {}
        for taken, total in sums.items():
            for column in range(k):
                if not taken >> column & 1:
                    term = total * entries[row, column]
                    following[taken | 1 << column] = following.get(taken | 1 << column, 0.0) + term
        sums = following
    log_scales = highest.sum(axis=0) + log_shares
    # A labelling whose best numbering underflows has no share to speak of: the prior's, all equal entries, has one.
    log_scales = np.where(sums[2**k - 1] > 0, log_scales, -np.inf)
    level = log_scales.max(axis=1)
    # Where all underflow the density is zero, and no difference of infinities.
    finite = np.where(np.isfinite(level), level, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(finite + np.log((sums[2**k - 1] * np.exp(log_scales - finite[:, None])).sum(axis=1)))


@partial(jax.jit, static_argnums=0)
def _proposed(target: Target, data: TargetData, jumps: LabellingJumps, keys: Array) -> Float[Array, "n p"]:
    return jax.vmap(partial(jumps.propose, target, data))(keys)


@partial(jax.jit, static_argnums=0)
def _natural(target: Target, data: TargetData, points: Array) -> tuple[Float[Array, "n K p"], Float[Array, " n"]]:
    """The natural form of the components with their weights, and the log prior in the unconstrained space."""

    def one(flat: Array) -> tuple[Array, Array]:
        params = target.params(flat)
        natural = natural_form(target.likelihood, params, holes=data.blocks.has_holes)
        return natural, target.log_prior(params, data.prior)

    natural, log_prior = jax.vmap(one)(points)
    finite = jnp.isfinite(log_prior) & jnp.all(jnp.isfinite(natural), axis=(1, 2))
    return jnp.where(finite[:, None, None], natural, 0.0), jnp.where(finite, log_prior, -jnp.inf)
