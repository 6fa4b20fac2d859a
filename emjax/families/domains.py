r"""Where a parameter may lie, and the way from there to unbounded coordinates and back.

A domain knows its map :math:`u(\theta)` to free coordinates, the inverse, the volume
:math:`\log |\partial \theta / \partial u|`, and on which scale an estimate is nearest to normal. Everything here works
on stacks: other axes may lead.

=================  =======================  ==============================================  ==========
domain             numbers                  free coordinates                                link
=================  =======================  ==============================================  ==========
`REAL`             any                      the number                                      identity
`POSITIVE`         above zero               its logarithm                                   log
`POSITIVE_SQUARE`  above zero, a square     the logarithm of its root                       log
`UNIT`             between zero and one     its logit                                       logit
`COVARIANCE`       positive definite        its Cholesky factor, with logs on the diagonal  log
`CORRELATION`      between -1 and 1         (never free: what is read, not what is kept)    atanh
`Simplexes`        several simplexes        log-ratios to the last number of each           logit
`PROPORTIONS`      above zero, product one  orthonormal log-ratios (`emjax.families.rotations`) log
`ROTATIONS`        orthogonal, turned       Cayley's skew matrix (`emjax.families.rotations`)   identity
=================  =======================  ==============================================  ==========
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from emjax.families.linalg import cholesky, diagonal, product


class Domain(abc.ABC):
    """A set of numbers, or of arrays of them."""

    link: ClassVar[str]
    """The scale on which an estimate is nearest to normal: identity, log, logit or atanh."""

    demands: ClassVar[str] = "finite"
    """What is asked of a value, in words that follow 'must be'."""

    n_axes: ClassVar[int] = 0
    """How many of a value's last axes belong together: none for single numbers, two for matrices."""

    laws: ClassVar[tuple[str, ...]] = ()
    """The names of the only laws that values may have; empty where any of as many axes will do."""

    ends: ClassVar[tuple[float, float] | None] = None
    """Between which numbers values lie, where a law of numbers must lie too; ``None`` where nothing is known of it."""

    @abc.abstractmethod
    def to_free(self, value: Any) -> Any:
        """The free coordinates of values."""

    @abc.abstractmethod
    def from_free(self, free: Any) -> Any:
        """The inverse of `to_free`."""

    @abc.abstractmethod
    def log_volume(self, value: Any) -> Any:
        """``log |d value / d free|``, of each number or (``n_axes``) of each array of numbers that belong together."""

    def free_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the free coordinates of values of a shape."""
        return tuple(shape)

    def holds(self, value: np.ndarray) -> bool:
        """Whether all values lie in the domain, on the host."""
        return bool(np.isfinite(value).all())


class _Real(Domain):
    link = "identity"
    ends = (-math.inf, math.inf)

    def to_free(self, value: Any) -> Any:
        return jnp.asarray(value)

    def from_free(self, free: Any) -> Any:
        return jnp.asarray(free)

    def log_volume(self, value: Any) -> Any:
        return jnp.zeros_like(value)


@dataclasses.dataclass(frozen=True)
class _Positive(Domain):
    power: float
    link: ClassVar[str] = "log"
    demands: ClassVar[str] = "positive and finite"
    ends: ClassVar[tuple[float, float] | None] = (0.0, math.inf)

    def to_free(self, value: Any) -> Any:
        return jnp.log(value) if self.power == 1.0 else jnp.log(value) / self.power

    def from_free(self, free: Any) -> Any:
        return jnp.exp(free) if self.power == 1.0 else jnp.exp(self.power * free)

    def log_volume(self, value: Any) -> Any:
        return jnp.log(self.power * value)

    def holds(self, value: np.ndarray) -> bool:
        return bool((np.isfinite(value) & (value > 0)).all())


class _Unit(Domain):
    link = "logit"
    demands = "between 0 and 1, without these"
    ends = (0.0, 1.0)

    def to_free(self, value: Any) -> Any:
        return jnp.log(value) - jnp.log1p(-value)

    def from_free(self, free: Any) -> Any:
        return jax.nn.sigmoid(free)

    def log_volume(self, value: Any) -> Any:
        return jnp.log(value) + jnp.log1p(-value)

    def holds(self, value: np.ndarray) -> bool:
        return bool(((value > 0) & (value < 1)).all())


class _Covariance(Domain):
    link = "log"
    demands = "positive definite"
    n_axes = 2

    def to_free(self, value: Any) -> Any:
        root = cholesky(value)
        rows, columns = np.tril_indices(value.shape[-1])
        entries = root[..., rows, columns]
        return jnp.where(rows == columns, jnp.log(jnp.where(rows == columns, entries, 1.0)), entries)

    def from_free(self, free: Any) -> Any:
        size = (math.isqrt(8 * free.shape[-1] + 1) - 1) // 2
        rows, columns = np.tril_indices(size)
        entries = jnp.where(rows == columns, jnp.exp(jnp.where(rows == columns, free, 0.0)), free)
        root = jnp.zeros((*free.shape[:-1], size, size), free.dtype).at[..., rows, columns].set(entries)
        return product(root, jnp.swapaxes(root, -1, -2))

    def log_volume(self, value: Any) -> Any:
        # From covariance to Cholesky factor, 2^d prod L_ii^(d - i) with i from 0; and L_ii once more for its logarithm.
        log_roots = jnp.log(diagonal(cholesky(value)))
        d = value.shape[-1]
        powers = np.arange(d + 1, 1, -1).astype(log_roots.dtype)
        return product(log_roots, powers) + d * np.log(2.0)

    def free_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return *shape[:-2], shape[-1] * (shape[-1] + 1) // 2

    def holds(self, value: np.ndarray) -> bool:
        try:
            return bool(np.isfinite(value).all() and (diagonal(np.linalg.cholesky(value)) > 0).all())
        except np.linalg.LinAlgError:
            return False


class _Correlation(_Real):
    link = "atanh"
    demands = "between -1 and 1"
    n_axes = 2


@dataclasses.dataclass(frozen=True)
class Simplexes(Domain):
    """Arrays ``(..., d, most)``, one simplex a row: of ``sizes[j]`` numbers in row ``j``, and zeros beyond."""

    sizes: tuple[int, ...]
    link: ClassVar[str] = "logit"
    demands: ClassVar[str] = "non-negative and add up to 1 in every row"
    n_axes: ClassVar[int] = 2

    @property
    def inside(self) -> np.ndarray:
        """Which entries belong to the simplexes, ``(d, most)``."""
        return np.arange(max(self.sizes))[None, :] < np.asarray(self.sizes)[:, None]

    def _places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row and column of the entries that are free, and the last column of these rows."""
        sizes = np.asarray(self.sizes)
        rows = np.repeat(np.arange(len(sizes)), sizes - 1)
        columns = np.concatenate([np.arange(size - 1) for size in self.sizes])
        return rows, columns, sizes[rows] - 1

    def to_free(self, value: Any) -> Any:
        rows, columns, last = self._places()
        logs = jnp.log(jnp.where(_led(self.inside, value), value, 1.0))
        return logs[..., rows, columns] - logs[..., rows, last]

    def from_free(self, free: Any) -> Any:
        rows, columns, _ = self._places()
        logits = jnp.zeros((*free.shape[:-1], *self.inside.shape), free.dtype).at[..., rows, columns].set(free)
        return jax.nn.softmax(jnp.where(_led(self.inside, logits), logits, -jnp.inf), axis=-1)

    def log_volume(self, value: Any) -> Any:
        return jnp.sum(jnp.log(jnp.where(_led(self.inside, value), value, 1.0)), axis=(-1, -2))

    def free_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return *shape[:-2], sum(size - 1 for size in self.sizes)

    def holds(self, value: np.ndarray) -> bool:
        outside = np.broadcast_to(~self.inside, value.shape)
        return bool((value >= 0).all() and (np.abs(value.sum(axis=-1) - 1.0) < 1e-8).all() and not value[outside].any())


def _led(mask: np.ndarray, value: Any) -> np.ndarray:
    return mask[(None,) * (value.ndim - mask.ndim)]


REAL = _Real()
POSITIVE = _Positive(1.0)
POSITIVE_SQUARE = _Positive(2.0)
UNIT = _Unit()
COVARIANCE = _Covariance()
CORRELATION = _Correlation()
