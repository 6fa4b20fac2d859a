"""What a family reads of the data: one shape, whatever was observed of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from emjax.programs import filled_up


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Observations:
    """Data with the datum on the last axis; a role that is absent is ``None``, which is no leaf and costs nothing.

    Attributes
    ----------
    y
        The features ``(d, n)``; any number of the support stands where a cell was not observed.
    seen
        1 where a cell was observed and 0 where not, ``(d, n)``; ``None`` where all were.
    labels
        The logarithm of what is known of each datum's component ``(K, n)``; ``None`` where nothing is.
    n_alike
        So many neighbours, a divisor of ``n``, have the same cells observed (see `emjax.families.patterns`).
    """

    y: Any
    seen: Any = None
    labels: Any = None
    n_alike: int = dataclasses.field(default=1, metadata={"static": True})

    @property
    def x(self) -> Any:
        """The features with the datum first, ``(n, d)``."""
        return self.y.T

    def of_each(self, of_groups: Any) -> Any:
        """What each group of neighbours has ``(K, g)``, for each datum."""
        return jnp.repeat(of_groups, self.n_alike, axis=1)


def observed(x: Any) -> Observations:
    """Rows ``(n, d)`` as observations; on the host NaN was not observed, under a transformation every cell was."""
    if isinstance(x, Observations):
        return x
    if isinstance(x, np.ndarray):
        if np.isnan(np.sum(x)):
            holes = np.isnan(x)
            return Observations(y=np.where(holes, 0.0, x).T, seen=(~holes).astype(x.dtype).T)
        return Observations(y=x.T)
    return Observations(y=jnp.asarray(x).T)


def observed_rows(x: np.ndarray, labels: np.ndarray | None = None) -> Observations:
    """Rows on the host with what is known of their components ``(n, K)``, filled up so that programs are shared.

    See `emjax.programs.filled_up`: the first rows are the ones that were given.
    """
    rows = observed(filled_up(x))
    return rows if labels is None else dataclasses.replace(rows, labels=filled_up(labels).T)
