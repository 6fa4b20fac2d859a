r"""Short runs of EM, of which the one with the highest likelihood becomes a start: emEM.

Biernacki, Celeux and Govaert, "Choosing starting values for the EM algorithm for getting the highest likelihood in
multivariate Gaussian mixture models", Computational Statistics and Data Analysis 41, 2003.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array

from emjax.em.blocks import Blocks
from emjax.em.step import expectation, maximization
from emjax.mixture import Mixture, MixtureParams

CANDIDATES = 5
"""Short runs per start."""

_ITERATIONS = 10
"""EM iterations of a short run. (The paper stops a run at 1% of its gain so far, which takes about as many.)"""

_Carry = tuple[MixtureParams, MixtureParams, Array]


@functools.partial(jax.jit, static_argnums=(0, 3))
def best_of_short_runs(mixture: Mixture, begin: MixtureParams, data: Blocks, n_features: int) -> MixtureParams:
    """The end of the best of several short runs, for every start; the first of their beginnings if none is regular.

    ``begin`` leads with ``(n_starts, n_runs)``. A run that collapses on a point would always win, so only regular ones
    count: finite, no component degenerate, or narrow on few points. One run follows the other, so that memory does not
    grow with their number. A prior is not looked at, unless it is part of the family.
    """
    prior = mixture.family.own_prior()

    def run(first: MixtureParams) -> tuple[Array, MixtureParams]:
        def iterate(carry: _Carry, _: None) -> tuple[_Carry, None]:
            params = carry[0]
            statistics = expectation(mixture, params, data)
            spurious = mixture.family.without_bound(params, params.weights, statistics.counts, n_features, jnp)
            regular = ~mixture.family.degenerate(params) & ~jnp.any(spurious)
            value = jnp.where(regular, statistics.log_likelihood, -jnp.inf)
            return (maximization(mixture, params, statistics, prior), params, value), None

        # The likelihood of an iterate is known one round later, so the last of these rounds only looks.
        (_, params, value), _ = jax.lax.scan(
            iterate, (first, first, jnp.zeros((), data.weights.dtype)), length=_ITERATIONS + 1
        )
        return value, params

    def one(begin: MixtureParams) -> MixtureParams:
        values, ends = jax.lax.map(run, begin)
        values = jnp.where(jnp.isfinite(values), values, -jnp.inf)
        best, any_regular = jnp.argmax(values), jnp.any(values > -jnp.inf)
        return jax.tree.map(lambda ends, first: jnp.where(any_regular, ends[best], first[0]), ends, begin)

    return jax.lax.map(one, begin)
