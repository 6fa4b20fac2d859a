r"""Proposals that know nothing of where a chain is: how chains get from one mode of a posterior to another.

`NormalJumps` come from a normal mixture over the modes. `LabellingJumps` come from conjugate posteriors: given labels
:math:`z` of the data, parameters have a posterior in closed form, with the tails that they really have, and a mixture
of these over labellings :math:`z_s` drawn from the posterior,

.. math::

    q(\theta) = \sum_s \pi_s\, p(\theta \mid z_s, x)^{(\tau_s)} \propto p(\theta) \sum_s \frac{\pi_s}{Z_s}
    \exp\Big(\tau_s \sum_k \eta_k(\theta) \cdot M_{sk}\Big),

is the posterior itself up to the choice of labellings: it is what Gibbs sampling averages over. :math:`M_{sk}` are
the sums of the sufficient statistics over the data that labelling :math:`s` gives to component :math:`k`,
:math:`\eta_k` the natural form with the logarithm of the weight, and :math:`Z_s` the evidence of the labelled data.
Some have a :math:`\tau_s` below one, which makes them wider, and one has none of the data, the prior, so that every
posterior is covered. Its density at one point is one product of a matrix with a vector.

Where components are told apart, `exchanged` proposes another order of them: no labelling may know of it.

References: Gelfand and Smith, Journal of the American Statistical Association 85, 1990 (the mixture over conditionals
as a density estimate); Chib, ibid. 90, 1995; Tierney, Annals of Statistics 22, 1994 (independence proposals).
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, logsumexp
from jaxtyping import Array, Float

from emjax.bayes.gibbs import GibbsData, draw_moments, draw_params, sweep
from emjax.bayes.modes import LaplaceMixture
from emjax.bayes.target import Target, TargetData
from emjax.em.rows import Rows
from emjax.em.step import natural_form
from emjax.families.observations import Observations
from emjax.mixture import MixtureParams, Prior
from emjax.programs import padded_rows

POWERS_AND_SHARES = ((1.0, 0.7), (0.5, 0.29))

MOST_LABELLINGS = 1000
"""More labellings know more places, and each costs a row of the density's matrix."""

_FEWEST_LABELLINGS = 50
_ENTRIES = 1 << 28
"""Labels are drawn for so many data in components at most, some seconds' worth, but for the fewest labellings."""

_SWEEPS = 4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NormalJumps:
    """The Laplace mixture as arrays: see `LaplaceMixture`."""

    log_weights: Any
    centers: Any
    roots: Any
    inverse_roots: Any
    log_normalizers: Any

    @staticmethod
    def make(modes: LaplaceMixture, dtype: Any) -> NormalJumps:
        """The jumps of a Laplace mixture."""
        arrays = (np.log(modes.weights), modes.centers, modes.roots, modes.inverse_roots, modes.log_normalizers)
        return NormalJumps(*(np.asarray(array, dtype) for array in arrays))

    def propose(self, target: Target, data: TargetData, key: Array) -> Float[Array, " p"]:
        """A point."""
        mode_key, noise_key = jax.random.split(key)
        which = jax.random.categorical(mode_key, self.log_weights)
        return self.centers[which] + self.roots[which] @ jax.random.normal(
            noise_key, self.centers.shape[1:], self.centers.dtype
        )

    def log_density(self, target: Target, data: TargetData, flat: Float[Array, " p"]) -> Float[Array, ""]:
        """The log density of `propose` at a point of the unconstrained space."""
        whitened = jnp.einsum("mij,mj->mi", self.inverse_roots, flat[None, :] - self.centers)
        return logsumexp(self.log_normalizers - 0.5 * jnp.sum(whitened**2, axis=1))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LabellingJumps:
    """The mixture of conjugate posteriors: ``moments (S, K, p)``, taken to their powers, and log shares ``(S,)``.

    ``log_shares`` contain minus the evidences of the labelled data; ``log_choice`` do not. ``reference`` are components
    that statistics are taken relative to, ``features (p, n)`` the sufficient statistics of all data, filled up by
    zeros: a datum without any adds nothing to the component that it is drawn into. ``labels (K, n)`` are known ones.
    """

    moments: Any
    log_choice: Any
    log_shares: Any
    reference: Any
    features: Any
    labels: Any = None

    def sweep(self, target: Target, data: TargetData, key: Array, flat: Float[Array, " p"]) -> Float[Array, " p"]:
        """A point after some sweeps of Gibbs sampling, which leave narrow places that no proposal knows of."""

        def one(i: Any, params: MixtureParams) -> MixtureParams:
            known = GibbsData(features=self.features, labels=self.labels, holes=data.blocks.has_holes)
            return sweep(target.likelihood, jax.random.fold_in(key, i), params, known, data.prior)

        return target.flat(jax.lax.fori_loop(0, _SWEEPS, one, target.params(flat)))

    def propose(self, target: Target, data: TargetData, key: Array) -> Float[Array, " p"]:
        """A point."""
        choice_key, weight_key, component_key = jax.random.split(key, 3)
        # By inversion of the cumulated shares: `jax.random.categorical` would draw a number for each of them.
        cumulated = jnp.cumsum(jnp.exp(self.log_choice))
        level = jax.random.uniform(choice_key, (), cumulated.dtype) * cumulated[-1]
        moments = self.moments[jnp.sum(cumulated[:-1] <= level)]
        statistics = target.family.from_moments(self.reference, moments)
        keys = weight_key, component_key
        return target.flat(draw_params(target.likelihood, keys, moments[:, 0], statistics, self.reference, data.prior))

    def log_density(self, target: Target, data: TargetData, flat: Float[Array, " p"]) -> Float[Array, ""]:
        """The log density of `propose` at a point of the unconstrained space."""
        params = target.params(flat)
        natural = natural_form(target.likelihood, params, holes=data.blocks.has_holes)
        kernels = jnp.reshape(self.moments, (len(self.moments), -1)) @ jnp.ravel(natural)
        return logsumexp(self.log_shares + kernels) + target.log_prior(params, data.prior)


def exchanged(target: Target, key: Array, flat: Float[Array, " p"]) -> Float[Array, " p"]:
    """The point with two of its components exchanged: as likely as the way back, whichever they are."""
    pair = jax.random.choice(key, target.n_components, (2,), replace=False)
    order = jnp.arange(target.n_components).at[pair].set(pair[::-1])
    return target.permute(flat, order)


def labelling_jumps(
    target: Target,
    data: TargetData,
    rows: Rows,
    points: Float[np.ndarray, "m p"],
    key: Array,
    most: int = MOST_LABELLINGS,
    powers_and_shares: tuple[tuple[float, float], ...] = POWERS_AND_SHARES,
) -> LabellingJumps:
    """Jumps over labellings of the data ``rows``, drawn at some of the points, themselves draws of the posterior.

    ``powers_and_shares`` are the powers that each labelling's likelihood is taken to, and their shares; the rest is the
    prior's.
    """
    n_filled = padded_rows(len(rows))
    most = int(np.clip(_ENTRIES // (n_filled * target.n_components), _FEWEST_LABELLINGS, most))
    # As many however few the points are, which then get several labellings each: one shape, so one program.
    kept = np.linspace(0, len(points) - 1, most).round().astype(int)
    dtype = data.blocks.x.dtype
    known = rows.astype(dtype).observations
    features = np.array(_features(target, known))
    features[:, len(rows) :] = 0.0
    labels = None if known.labels is None else known.labels.astype(dtype)
    gibbs = GibbsData(features=features, labels=labels, holes=data.blocks.has_holes)
    moments = np.asarray(_drawn_moments(target, points[kept].astype(dtype), gibbs, key))
    powers = np.concatenate([power * moments for power, _ in powers_and_shares] + [np.zeros_like(moments[:1])])
    n_each = np.array([len(kept)] * len(powers_and_shares) + [1])
    each = [share for _, share in powers_and_shares]
    shares = np.repeat(np.array([*each, 1.0 - sum(each)]) / n_each, n_each)
    reference = jax.tree.map(np.asarray, _components(target, points[0].astype(dtype)))
    evidence = np.asarray(_log_evidence(target, powers, reference, data.prior))
    log_choice = np.log(shares).astype(dtype)
    return LabellingJumps(powers, log_choice, (log_choice - evidence).astype(dtype), reference, features, labels)


@partial(jax.jit, static_argnums=0)
def _features(target: Target, rows: Observations) -> Float[Array, "p n"]:
    return target.family.sufficient_statistics(rows)


@partial(jax.jit, static_argnums=0)
def _components(target: Target, point: Array) -> Any:
    return target.params(point)


@partial(jax.jit, static_argnums=0)
def _drawn_moments(target: Target, points: Array, data: GibbsData, key: Array) -> Float[Array, "S K p"]:
    """Sums of sufficient statistics over the data of each component, for one drawn labelling at each point."""

    def one(given: tuple[Array, Array]) -> Array:
        point, index = given
        natural = natural_form(target.likelihood, target.params(point), holes=data.holes)
        return draw_moments(jax.random.fold_in(key, index), natural, data)

    return jax.lax.map(one, (points, jnp.arange(len(points))))


@partial(jax.jit, static_argnums=0)
def _log_evidence(target: Target, moments: Array, reference: Any, prior: Prior) -> Float[Array, " S"]:
    """``log p(x, z)`` of each labelling with weights and components integrated out, the base measure left out."""
    family, alpha = target.family, prior.concentration

    def one(moments: Float[Array, "K p"]) -> Array:
        counts = moments[:, 0]
        weights = (
            gammaln(jnp.sum(alpha))
            - gammaln(jnp.sum(alpha + counts))
            + jnp.sum(gammaln(alpha + counts) - gammaln(alpha))
        )
        statistics = family.from_moments(reference, moments)
        return weights + family.log_evidence(statistics, counts, reference, prior.components)

    return jax.vmap(one)(moments)
