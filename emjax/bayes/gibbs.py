r"""Gibbs sampling by data augmentation, for every family that can draw its components given the labels.

One iteration draws, in this order, each from its full conditional:

.. math::

    z_n \mid w, \theta, x &\sim \mathrm{Categorical}(w_k \, p(x_n \mid \theta_k)), \\
    w \mid z &\sim \mathrm{Dirichlet}(\alpha + N), \qquad N_k = \#\{n : z_n = k\}, \\
    \theta \mid z, x &\sim p(\theta \mid z, x) \quad \text{(conjugate, see `Family.draw_components`)}.

The labels are thrown away; what is kept is a draw of the marginal posterior that NUTS samples too.

All chains are one batched program on one core. Measured in CPU seconds of one core that others used too, float64,
4 chains x (1000 + 1000), compiled; the effective sample size is the least of bulk and tail of any parameter, with
components ordered by their first mean:

=====================================  ================  ====================  =================  =============
problem                                first run, s      us per sweep of all   least ESS of 4000  ESS a second
=====================================  ================  ====================  =================  =============
faithful eruptions, d=1, K=2           2.5               25                    1723               34,000
faithful, d=2, K=2, full               3.0               34                    3069               45,000
faithful, d=2, K=2, tied               2.7               26                    3515               67,000
500 counts, two Poissons               1.8               30                    1156               19,000
20,000 points, d=2, K=3, full          3.8               780                   330 (of 800)       1,400
=====================================  ================  ====================  =================  =============

Nearly all of the first run is compilation, and of that most belongs to the random number generator. What helped, in
seconds of 3.2: gammas without the nested loops of ``jax.random.loggamma`` (0.7, at 5 us a sweep), the permutations of
labels drawn on the host (0.3), no normals below the diagonal of a matrix of one feature (0.1). A cumulated sum as a
matrix product or as a Python loop, and other generators than JAX's own (Philox: 6.5 us for the uniforms of a sweep;
Threefry through ``rng_bit_generator``: 3.0; ``jax.random.uniform``: 2.3), brought nothing. On 20,000 points the two
matrix products take 30 %, the shares' exponentials 40 %, and the uniforms and labels 30 % of a sweep.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.bayes.progress import ChainProgress, OnProgress, Phase, check_settings
from emjax.em.rows import Rows
from emjax.em.step import natural_form
from emjax.errors import ConfigError
from emjax.families.draws import log_gamma
from emjax.families.linalg import product
from emjax.families.observations import Observations, observed
from emjax.keys import numpy_generator
from emjax.mixture import Mixture, MixtureParams, Prior

_CHUNK_WORK = 1e8  # numbers that a chunk computes, less than a tenth of a second
_LONGEST_CHUNK = 250
_TRUSTED_ROUNDING = {"float64": 1e-6, "float32": 5e-5}  # of a log density: as far as EM trusts the natural form


def run_gibbs(
    mixture: Mixture,
    z: Rows,
    prior: Prior,
    *,
    key: Array,
    starts: MixtureParams,
    warmup: int = 1000,
    draws: int = 1000,
    on_progress: OnProgress | None = None,
) -> MixtureParams:
    """Sample the posterior of a mixture by data augmentation.

    The precision is that of ``z``, float64 inside `emjax.scope.computing` only.

    Parameters
    ----------
    mixture
        The declaration without a prior (`Mixture.likelihood`).
    z
        Data in the frame in which to sample, each row of weight one. Cells that were not observed are drawn beside the
        labels where the family has no natural form for them; labels that are known are kept.
    prior
        The prior in the same frame.
    key
        Random key. Same key, same draws on the same machine, whether progress is watched or not.
    starts
        Parameters in the frame, all leaves with a leading chain axis.
    warmup, draws
        Iterations per chain that are thrown away and kept; 1000 each by default.
    on_progress
        Called between chunks, in the caller's thread, for each chain; see `emjax.bayes.progress.OnProgress`. There are
        no divergences, and the step size is NaN.

    Returns
    -------
    MixtureParams
        The draws as NumPy arrays that lead with ``(chain, draw)``. Where the prior treats all labels alike, those of
        each draw are in random order, so that the draws are of the whole posterior and not of one of its ``K!``
        mirror images.

    Raises
    ------
    ConfigError
        If the family cannot draw its components, the prior does not fit, a setting is out of its range, or the starts
        have no common chain axis.

    References
    ----------
    Diebolt and Robert, Journal of the Royal Statistical Society B 56, 1994 (data augmentation); Frühwirth-Schnatter,
    Journal of the American Statistical Association 96, 2001 (random permutations).
    """
    n_chains = _check(mixture, prior, starts, warmup, draws)
    capacity = _capacity(n_chains, mixture.n_components, *z.shape)
    natural = mixture.family.natural_with_holes if z.has_holes else mixture.family.natural
    plan = _Plan(mixture=mixture, natural=natural, capacity=capacity)
    orders = _orders(prior.n_components, key, (n_chains, capacity), prior.exchangeable and z.labels is None)
    keys, dtype = _chain_keys(n_chains, key), z.dtype
    rows = observed(z[:])
    rows = rows if z.labels is None else dataclasses.replace(rows, labels=z.labels.T)
    data, prior, params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (rows, prior, starts))
    # No iterations yet: this call compiles, and says whether the starts lie where the natural form can be trusted.
    _, _, rounding = _advance(plan, keys, params, 0, 0, next(orders), data, prior)
    kept = []
    for phase, begin, n_iterations in _chunks(warmup, draws, capacity):
        if not rounding <= _TRUSTED_ROUNDING[dtype.name]:
            plan = dataclasses.replace(plan, natural=False)
        params, record, rounding = _advance(plan, keys, params, begin, n_iterations, next(orders), data, prior)
        rounding.block_until_ready()
        if phase == "draws":
            kept.append(jax.tree.map(lambda leaf, n=n_iterations: np.asarray(leaf)[:, :n], record))
        _report(on_progress, phase, begin + n_iterations, warmup, draws, n_chains)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *kept)


def _check(mixture: Mixture, prior: Prior, starts: MixtureParams, warmup: int, draws: int) -> int:
    """Validate what was given; the number of chains."""
    why = mixture.family.refuses_gibbs(prior.components)
    if why:
        raise ConfigError(f"{why}; sample it with method='hmc' or 'nuts'")
    if np.shape(prior.concentration) != (mixture.n_components,):
        raise ConfigError(
            f"the prior's concentration has shape {np.shape(prior.concentration)}, "
            f"but the mixture has {mixture.n_components} components"
        )
    lengths = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(starts)}
    if len(lengths) != 1 or lengths & {(), (0,)}:
        raise ConfigError(f"all leaves of starts must lead with one chain axis of equal length; found {lengths}")
    (length,) = lengths
    check_settings(warmup, draws, None, length[0])
    return length[0]


def _orders(n_components: int, key: Array, shape: tuple[int, int], exchangeable: bool) -> Iterator[np.ndarray | None]:
    """For each chunk an order of labels per chain and draw; None where the prior or known labels tell them apart.

    A sweep treats all labels alike, so that shuffling the draws afterwards is shuffling between sweeps. On the host it
    costs nothing, where in the program another generator would take 0.3 s to compile.
    """
    random = numpy_generator(key)
    while True:
        yield np.argsort(random.random((*shape, n_components)), axis=-1) if exchangeable else None


def _capacity(n_chains: int, n_components: int, n_samples: int, n_features: int) -> int:
    """Iterations of a chunk. They depend on sizes alone, never on a clock, so that a run can be repeated exactly."""
    work = n_chains * n_samples * (n_components * (n_features + 3) + 4)
    return min(max(int(_CHUNK_WORK / work), 1), _LONGEST_CHUNK)


def _chunks(warmup: int, draws: int, capacity: int) -> list[tuple[Phase, int, int]]:
    """Phase, first iteration (counted from the start of the run) and length of every chunk."""
    phases: tuple[tuple[Phase, int, int], ...] = (("warmup", 0, warmup), ("draws", warmup, warmup + draws))
    return [
        (phase, begin, min(capacity, end - begin))
        for phase, first, end in phases
        for begin in range(first, end, capacity)
    ]


def _report(on_progress: OnProgress | None, phase: Phase, done: int, warmup: int, draws: int, n_chains: int) -> None:
    if on_progress is None:
        return
    done, total = (done, warmup) if phase == "warmup" else (done - warmup, draws)
    for chain in range(n_chains):
        on_progress(phase, done, total, ChainProgress(chain, (0,) * n_chains, (math.nan,) * n_chains))


# --- programs -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Plan:
    """The static part of the program."""

    mixture: Mixture
    natural: bool
    capacity: int


@jax.jit(static_argnums=0)
def _chain_keys(n_chains: int, key: Array) -> Array:
    return jax.vmap(lambda chain: jax.random.fold_in(key, chain))(jnp.arange(n_chains))


@jax.jit(static_argnums=0)
def _advance(
    plan: _Plan,
    keys: Array,
    params: MixtureParams,
    begin: Any,
    n_iterations: Any,
    orders: Any,
    rows: Observations,
    prior: Prior,
) -> tuple[MixtureParams, MixtureParams, Array]:
    """Move all chains by ``n_iterations`` (traced, at most the capacity), beginning with iteration ``begin``.

    The new parameters, the draws in buffers ``(chain, capacity, ...)``, and the rounding to expect of a log density
    at the new parameters.
    """
    family = plan.mixture.family
    features = family.sufficient_statistics(rows) if plan.natural else None
    others = None if plan.natural else rows
    data = GibbsData(features=features, rows=others, labels=rows.labels, holes=rows.seen is not None)

    def one(key: Array, params: MixtureParams) -> tuple[MixtureParams, MixtureParams]:
        buffers = jax.tree.map(lambda leaf: jnp.zeros((plan.capacity, *leaf.shape), leaf.dtype), params)

        def body(i: Any, carry: tuple[MixtureParams, MixtureParams]) -> tuple[MixtureParams, MixtureParams]:
            params, buffers = carry
            params = sweep(plan.mixture, jax.random.fold_in(key, begin + i), params, data, prior)
            return params, jax.tree.map(lambda buffer, leaf: buffer.at[i].set(leaf), buffers, params)

        return jax.lax.fori_loop(0, n_iterations, body, (params, buffers))

    params, record = jax.vmap(one)(keys, params)
    if orders is not None:
        record = jax.vmap(jax.vmap(plan.mixture.permute))(record, orders)
    rounding = jnp.finfo(rows.y.dtype).eps * jnp.max(jax.vmap(family.cancellation)(params))
    return params, record, rounding


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GibbsData:
    """What a sweep reads: the sufficient statistics ``(p, n)`` in the natural form, else the rows; known labels.

    ``holes``: whether the statistics are those of rows with missing cells.
    """

    features: Any = None
    rows: Observations | None = None
    labels: Any = None
    holes: bool = dataclasses.field(default=False, metadata={"static": True})


def sweep(mixture: Mixture, key: Array, params: MixtureParams, data: GibbsData, prior: Prior) -> MixtureParams:
    """One iteration of one chain: labels, cells that were not observed, weights, components."""
    family, rows = mixture.family, data.rows
    label_key, weight_key, component_key = jax.random.split(key, 3)
    if rows is None:
        natural = natural_form(mixture, params, holes=data.holes)
        moments = draw_moments(label_key, natural, data)
        counts, statistics = moments[:, 0], family.from_moments(params, moments)
    else:
        joint = jnp.log(params.weights)[:, None] + family.log_kernel(params, rows)
        members = draw_members(label_key, _known(joint, data.labels))
        counts = jnp.sum(members, axis=1)
        if rows.seen is not None:
            fill_key = jax.random.fold_in(label_key, 1)
            rows = family.filled(params, fill_key, jnp.argmax(members, axis=0), rows)
            rows = dataclasses.replace(rows, seen=None)
        statistics = family.statistics(params, rows, members)
    return draw_params(mixture, (weight_key, component_key), counts, statistics, params, prior)


def draw_moments(key: Array, natural: Float[Array, "K p"], data: GibbsData) -> Float[Array, "K p"]:
    """Sums of the sufficient statistics over the data of each component, whose labels are drawn."""
    members = draw_members(key, _known(product(natural, data.features), data.labels))
    return product(members, data.features.T)


def _known(joint: Float[Array, "K n"], labels: Any) -> Float[Array, "K n"]:
    return joint if labels is None else joint + labels


def draw_params(
    mixture: Mixture,
    keys: tuple[Array, Array],
    counts: Float[Array, " K"],
    statistics: Any,
    reference: Any,
    prior: Prior,
) -> MixtureParams:
    """Weights and components given the labels, by their counts and the statistics taken relative to ``reference``."""
    weights = jax.nn.softmax(log_gamma(keys[0], prior.concentration + counts))
    return mixture.assembled(
        # With a concentration far below one a weight may underflow: its log must stay finite.
        jnp.maximum(weights, jnp.finfo(weights.dtype).tiny),
        mixture.family.draw_components(keys[1], statistics, counts, reference, prior.components),
    )


def draw_members(key: Array, joint: Float[Array, "K n"]) -> Float[Array, "K n"]:
    """Ones at drawn labels and zeros elsewhere: one uniform number per datum, by inversion of the cumulated shares.

    ``joint`` is the joint log density of data and labels.
    """
    shares = jnp.exp(joint - jnp.max(joint, axis=0)[None, :])
    cumulated = jnp.cumsum(shares, axis=0)
    level = jax.random.uniform(key, joint.shape[1:], joint.dtype) * cumulated[-1]
    label = jnp.sum(cumulated[:-1] <= level[None, :], axis=0)
    return (label[None, :] == jnp.arange(joint.shape[0])[:, None]).astype(joint.dtype)
