"""The standard frame: data are shifted and scaled once, estimated there, and mapped back.

Working on ``z = (x - shift) / scale`` keeps every sum of squares near one, whatever the units or the offset of the
data, so that variances never come from the difference of two large numbers.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from emjax.families.arrays import AnyArray
from emjax.moments import Summary


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Frame:
    """An affine change of units, one shift and one scale per feature, both of shape ``(n_features,)``."""

    shift: Any
    scale: Any

    def apply(self, x: Float[AnyArray, "n d"]) -> Float[AnyArray, "n d"]:
        """The data in the frame's units, ``(x - shift) / scale``."""
        return (x - self.shift[None, :]) / self.scale[None, :]

    def log_scale(self) -> Float[Array, ""]:
        """What one log density loses in the way back: ``log p(x) = log p(z) - sum(log scale)``."""
        return jnp.sum(jnp.log(self.scale))


def identity_frame(n_features: int) -> Frame:
    """The frame of families, such as counts, whose units must not be changed."""
    return Frame(shift=np.zeros(n_features), scale=np.ones(n_features))


def standardizing_frame(summary: Summary, *, common_scale: bool) -> Frame:
    """The frame in which the data have mean zero and standard deviation one.

    ``common_scale`` uses one scale for all features, for models such as spherical covariances that are not closed
    under a change of the features' relative units.
    """
    scale = np.sqrt(summary.variance)
    if common_scale:
        scale = np.full_like(scale, np.sqrt(np.mean(scale**2)))
    return Frame(shift=summary.mean, scale=np.where(scale > 0, scale, 1.0))


def scaling_frame(summary: Summary) -> Frame:
    """The frame of positive data in which every feature has mean one: zero stays zero."""
    return Frame(shift=np.zeros(summary.n_features), scale=np.where(summary.mean > 0, summary.mean, 1.0))
