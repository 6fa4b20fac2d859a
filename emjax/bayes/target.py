r"""The density that samplers move on: the log posterior with labels summed out, of one flat unconstrained vector.

.. math::

    \log p(u \mid x) = \sum_i c_i \log \sum_k w_k\, p(x_i \mid \theta_k) + \log p(\theta)
    + \log \left| \partial \theta / \partial u \right| - \mathrm{const}, \qquad \theta = \theta(u),

with :math:`u` the `Coordinates` in the standard frame, :math:`\theta` the parameters in the
space that `Mixture.space` names, and :math:`c_i` how often row :math:`i` occurs: equal rows are stored once.

Value and gradient are one pass over the data, the E-step of EM: with the natural form :math:`\eta_k(\theta)` of the
components, :math:`\partial \log L / \partial \eta_k` are the expected sufficient statistics :math:`\sum_i c_i r_{ik}
T(x_i)`, and only the chain rule from :math:`\eta` to :math:`u` is left, whose cost does not depend on the data. A
family without a natural form is differentiated automatically.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax import align
from emjax.em.blocks import Blocks, make_blocks
from emjax.em.rows import Rows
from emjax.em.step import log_likelihood, natural_expectation, natural_form
from emjax.families.arrays import AnyArray
from emjax.families.coordinates import Coordinates
from emjax.families.observations import observed_rows
from emjax.mixture import Mixture, MixtureParams, Prior
from emjax.programs import padded_rows
from emjax.scope import computing

_STEP = 1e-3
"""The step of central differences, in columns of the square root they are taken along."""

_LONGEST, _LOOKS = 0.1, 5
"""Steps longer than so many deviations are taken anew, at most so often."""

_ROWS_LOOKED_AT = 2000
"""Equal rows are looked for where so many rows hold some: sorting a large data set may cost more than it saves."""

_WORTH_COLLAPSING = 0.8
"""The share of distinct rows up to which equal rows are stored once."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TargetData:
    """What a `Target` is evaluated with: traced, so that equal shapes share their programs.

    Attributes
    ----------
    blocks
        The distinct rows in the frame, with their counts.
    prior
        The prior in the frame.
    base_measure
        The log base measure of all data, ``()``: the part of the log-likelihood that no parameter touches, left out of
        the target's values.
    """

    blocks: Blocks
    prior: Prior
    base_measure: Any


@dataclasses.dataclass(frozen=True)
class Target(Coordinates):
    """The log posterior of a mixture on its coordinates; hashable, a static argument of jitted functions.

    Attributes
    ----------
    exchangeable
        Whether it is the same for all orders of the components: neither the prior nor labels of rows tell them apart.
    """

    exchangeable: bool = True

    @property
    def n_alike(self) -> int:
        """How many components may change their places: all, or where something tells them apart, one."""
        return self.n_components if self.exchangeable else 1

    @functools.cached_property
    def likelihood(self) -> Mixture:
        """The mixture, without its prior."""
        return Mixture(self.family, self.n_components)

    def permute_to(
        self, points: Float[np.ndarray, "m p"], centers: Float[np.ndarray, "c p"]
    ) -> Float[np.ndarray, "m c p"]:
        """Each point with its components nearest to those of each of the centers, if they may be permuted."""
        moved = np.empty((len(points), *centers.shape))
        if self.n_alike == 1:
            moved[:] = points[:, None]
            return moved
        mine, theirs = points[:, self.component_places], centers[:, self.component_places]
        for c in range(len(centers)):
            orders = align.pivot(mine, theirs[c], scale=np.ones(mine.shape[2]))
            for order in np.unique(orders, axis=0):
                chosen = (orders == order).all(axis=1)
                moved[chosen, c] = self.permute(points[chosen], order)
        return moved

    # -- density

    def value_and_gradient(
        self, flat: Float[Array, " p"], data: TargetData
    ) -> tuple[Float[Array, ""], Float[Array, " p"]]:
        """The log posterior density at one point, up to the base measure, and its gradient; one pass over the data."""
        if not data.blocks.natural:
            return jax.value_and_grad(self._log_density)(flat, data)

        def from_coordinates(flat: Array) -> tuple[Array, Array]:
            params = self.params(flat)
            return natural_form(self.likelihood, params, holes=data.blocks.has_holes), self.log_prior(
                params, data.prior
            )

        (natural, log_prior), pull_back = jax.vjp(from_coordinates, flat)
        value, moments = natural_expectation(self.likelihood, natural, data.blocks)
        (gradient,) = pull_back((moments, jnp.ones_like(log_prior)))
        return value + log_prior, gradient

    def _log_density(self, flat: Float[Array, " p"], data: TargetData) -> Float[Array, ""]:
        params = self.params(flat)
        value = log_likelihood(self.likelihood, params, data.blocks) - data.base_measure
        return value + self.log_prior(params, data.prior)

    def log_prior(self, params: MixtureParams, prior: Prior) -> Float[Array, ""]:
        """The prior's log density on the unconstrained space."""
        return prior.log_prob(params) + self.likelihood.log_volume(params, prior)


def make_target(
    mixture: Mixture,
    z: np.ndarray | Rows,
    prior: Prior,
    *,
    n_chains: int = 1,
    dtype: Any = np.float64,
    exact: bool = False,
) -> tuple[Target, TargetData]:
    """The target of a mixture for data ``z (n, d)`` and a prior, both in the standard frame.

    ``n_chains`` is how many points are evaluated side by side: blocks are so large that all of them fit the cache.
    ``exact`` takes the family's own density, slower and with less rounding than its natural form.
    """
    given: np.ndarray | Rows = z
    if isinstance(z, Rows) and not z.plain:
        counts, known = z.weights, z.observations
    else:
        rows, counts = filled_distinct_rows(z[:])
        given, known = z if counts is None else rows, observed_rows(rows)
    blocks = make_blocks(given.astype(dtype), mixture.likelihood, n_starts=n_chains, exact=exact, row_weights=counts)
    prior = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), prior)
    # In float64 whatever the chains' precision: the rows are, and JAX warns where it has to cut them.
    with computing():
        base_measures = np.asarray(mixture.family.log_base_measure(known), float)[: len(given)]
    base = base_measures @ (np.ones(len(given)) if counts is None else counts)
    exchangeable = prior.exchangeable and known.labels is None
    # On the device once, or every call would copy them again.
    data = jax.device_put(TargetData(blocks, prior, base.astype(dtype)))
    return Target(mixture.family, mixture.n_components, z.shape[1], exchangeable=exchangeable), data


class Evaluator:
    """Values and gradients of a target for any number of points, by one compiled program.

    Points go through it ``lanes`` at a time. Newton's method, its Hessians (central differences of the gradient), line
    searches, chains' starts and importance weights all use it, so that they compile nothing of their own: a Hessian by
    automatic differentiation would take 0.8 to 2.4 s to compile, and is no more exact than the sampler needs.
    """

    def __init__(self, target: Target, data: TargetData, lanes: int) -> None:
        self.target, self.data, self.lanes = target, data, lanes

    def __call__(self, points: Float[AnyArray, "m p"]) -> tuple[np.ndarray, np.ndarray]:
        """Log densities ``(m,)`` and gradients ``(m, p)`` at ``points (m, p)``, on the host."""
        n_points = len(points)
        n_calls = -(-n_points // self.lanes)
        padded = np.concatenate([points, np.repeat(points[-1:], n_calls * self.lanes - n_points, axis=0)])
        batches = padded.astype(jnp.result_type(float)).reshape(n_calls, self.lanes, -1)
        found = [values_and_gradients(self.target, batch, self.data) for batch in batches]
        values = np.concatenate([np.asarray(value) for value, _ in found])
        gradients = np.concatenate([np.asarray(gradient) for _, gradient in found])
        return values[:n_points], gradients[:n_points]

    def hessian(self, point: Float[AnyArray, " p"], root: Float[AnyArray, "p p"]) -> np.ndarray:
        """``root' H root`` with the Hessian ``H`` of the log density, by central differences along the columns of root.

        With a ``root`` of the posterior's covariance, steps of a thousandth of a standard deviation have a relative
        error of about 1e-6 from truncation and 1e-9 from rounding. Along a column that turns out to be so much longer
        than a deviation that the step would leave the mode, a shorter step is taken.
        """
        sizes = np.full(len(point), _STEP)
        for _ in range(_LOOKS):
            steps = sizes[:, None] * root.T
            values, gradients = self(np.concatenate([point + steps, point - steps, point[None]]))
            ahead, behind = np.split(gradients[:-1], 2)
            scaled = (ahead - behind) / (2.0 * sizes[:, None]) @ root
            # Twice the fall of the density is the square of the step in deviations, and so is what the curvature says;
            # where components change their places on the way, only the fall tells.
            falls = 2.0 * (values[-1] - np.minimum(*np.split(values[:-1], 2)))
            lengths = np.sqrt(np.maximum(np.abs(np.diagonal(scaled)) * sizes**2, falls))
            long = lengths > _LONGEST
            if not long.any():
                break
            sizes = np.where(long, sizes * _STEP / np.where(long, lengths, 1.0), sizes)
        return (scaled + scaled.T) / 2.0


@jax.jit(static_argnums=0)
def values_and_gradients(target: Target, points: Float[Array, "m p"], data: TargetData) -> tuple[Array, Array]:
    """Log densities ``(m,)`` and gradients ``(m, p)`` at several points."""
    return jax.vmap(target.value_and_gradient, in_axes=(0, None))(points, data)


def distinct_rows(z: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The distinct rows and how often each occurs, or all rows and ``None`` where few are equal."""
    looked_at = z[:: max(1, len(z) // _ROWS_LOOKED_AT)]
    if len(np.unique(looked_at, axis=0)) == len(looked_at):
        return z, None
    rows, counts = np.unique(z, axis=0, return_counts=True)
    return (rows, counts) if len(rows) <= _WORTH_COLLAPSING * len(z) else (z, None)


def filled_distinct_rows(z: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """`distinct_rows`, filled up to a power of two with copies that occur zero times; all rows where that is more.

    Counts of one process have a few distinct values more or less from data set to data set, and every number of rows
    would compile its own programs.
    """
    rows, counts = distinct_rows(z)
    missing = padded_rows(len(rows), 1) - len(rows)
    if counts is None or len(rows) + missing > len(z):
        return z, None
    return np.concatenate([rows, np.repeat(rows[:1], missing, axis=0)]), np.pad(counts, (0, missing))
