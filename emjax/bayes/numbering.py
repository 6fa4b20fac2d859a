r"""One numbering of the components out of K!: which one a point of the posterior is told in.

Where the prior treats all components alike, the posterior :math:`\pi` is the same at the K! points
:math:`P_\sigma u` that hold the components of :math:`u` in another order. A metric is not: it is learned around modes
:math:`u_m` whose components stand in one order, and steps that fit there may be far too long elsewhere. So each point
is judged in every order by

.. math::

    h(u) = \max_m \log \pi_m - \sum_{k, i} \left( \log s_{mki} + \delta \sqrt{\delta^2 + z_{mki}^2} \right), \qquad
    z_{mki} = \frac{y_{ki}(u) - y_{ki}(u_m)}{s_{mki}},

with :math:`y_k` what of :math:`u` belongs to component :math:`k` and the logarithm of its weight less their mean, and
:math:`s_{mk}` their standard deviations around the mode: a normal around the mode with tails (of a hyperbolic
distribution) that let no single number decide. It is a sum over components, so that K x K numbers serve all orders.
The points that no other order makes higher,

.. math:: D = \{ u : h(u) \ge h(P_\sigma u) \text{ for all } \sigma \},

hold one of the K! copies of each point (but for ties, which have no mass): :math:`D` is a fundamental domain.

**Chains in D are exact.** What labels do not touch has the same distribution under :math:`\pi` and under
:math:`\pi_D = K! \, \pi \, 1_D`, so :math:`\pi_D` may be the target. Moves of `emjax.bayes.hmc` leave it invariant:

- A trajectory or an independence proposal that ends outside of D is refused. That is the rule of Metropolis and
  Hastings for the target :math:`\pi 1_D`, which is zero there; neither has to know that D has copies. In particular the
  density of a jump is that of the point as proposed: it would be the sum over all orders only if proposals from outside
  were brought back.
- Sweeps of Gibbs sampling are brought back into D by :math:`P_\sigma`. They treat all components alike: from
  :math:`P_\sigma u` they lead to :math:`P_\sigma A` as likely as from :math:`u` to :math:`A`. So the distribution of
  the point that is brought back does not depend on the order of the one before. From a draw of :math:`\pi_D` in random
  order, which is a draw of :math:`\pi`, sweeps lead to a draw of :math:`\pi`, and bringing it back to one of
  :math:`\pi_D`. A trajectory must not be brought back so: its metric does not treat all components alike.

Where the prior or labels of rows tell components apart nothing may be permuted, and there is no numbering. Neither is
there one for more than `MOST_ENUMERATED` components: chains then move in all orders, which is exact, too.

References: Frühwirth-Schnatter, Journal of the American Statistical Association 96, 2001 (permutations and constrained
sampling); Celeux, Hurn and Robert, ibid. 95, 2000 (relabelling while sampling); Stephens, Journal of the Royal
Statistical Society B 62, 2000 (numberings that suit a reference).
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from emjax.bayes.target import Target

MOST_ENUMERATED = 6
"""Up to this many components all orders are enumerated."""

_DELTA = 2.0
"""From so many standard deviations on, distance counts by its amount and no longer by its square."""

_ROWS = 1000
"""Points are judged so many at a time on the host, so that memory stays small."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Numbering:
    """The numbering of some modes; see the module.

    Attributes
    ----------
    log_weights
        ``(n_modes,)``.
    centers, scales
        What belongs to each component at each mode, and its standard deviation, ``(n_modes, K, r)``.
    orders
        All orders of the components, the one that they have first, ``(K!, K)``.
    """

    log_weights: Any
    centers: Any
    scales: Any
    orders: Any

    @staticmethod
    def make(target: Target, weights: np.ndarray, centers: np.ndarray, roots: np.ndarray) -> Numbering:
        """The numbering of modes with ``weights (m,)``, ``centers (m, p)`` and covariances ``roots roots'``."""
        own = _own(np, target, centers)
        # The coordinates are linear, so a root's columns have them, too.
        spread = np.stack([_own(np, target, root.T) for root in roots])
        scales = np.sqrt(np.sum(spread**2, axis=1))
        orders = np.array(list(itertools.permutations(range(target.n_components))))
        return Numbering(np.log(weights), own, scales, orders)

    def as_dtype(self, dtype: Any) -> Numbering:
        """The same in another precision."""
        log_weights, centers, scales = (np.asarray(a, dtype) for a in (self.log_weights, self.centers, self.scales))
        return Numbering(log_weights, centers, scales, self.orders)

    def holds(self, target: Target, flat: Float[Array, " p"]) -> Bool[Array, ""]:
        """Whether no other order suits the point better; traceable."""
        heights = self._heights(jnp, _own(jnp, target, flat))
        return heights[0] >= jnp.max(heights)

    def relabelled(self, target: Target, flat: Float[Array, " p"]) -> Float[Array, " p"]:
        """The point in the order that suits it best; traceable."""
        return target.permute(flat, jnp.asarray(self.orders)[jnp.argmax(self._heights(jnp, _own(jnp, target, flat)))])

    def order_of(self, target: Target, points: Float[np.ndarray, "n p"]) -> np.ndarray:
        """Which of the orders suits each point best, ``(n,)``, on the host."""
        parts = [self._heights(np, _own(np, target, points[i : i + _ROWS])) for i in range(0, len(points), _ROWS)]
        return np.concatenate(parts).argmax(axis=-1)

    def _heights(self, xp: Any, own: Any) -> Any:
        """``h`` of the points in all orders, ``(..., K!)``, from what belongs to their components, ``(..., K, r)``."""
        z = (own[..., None, :, None, :] - self.centers[:, None]) / self.scales[:, None]
        lost = xp.sum(xp.log(self.scales)[:, None] + _DELTA * xp.sqrt(_DELTA**2 + z**2), axis=-1)
        in_order = xp.sum(lost[..., self.orders, np.arange(self.orders.shape[1])], axis=-1)
        return xp.max(self.log_weights[:, None] - in_order, axis=-2)


def _own(xp: Any, target: Target, flat: Any) -> Any:
    """What of points ``(..., p)`` belongs to each component, and its log weight less their mean: ``(..., K, r)``."""
    if not target.family.weighted:
        return flat[..., target.component_places]
    logits = target.logits(flat)
    centred = logits - xp.mean(logits, axis=-1, keepdims=True)
    return xp.concatenate([flat[..., target.component_places], centred[..., None]], axis=-1)
