"""NumPyro's constraints as domains of parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import biject_to, constraints

from emjax.families.domains import COVARIANCE, POSITIVE, POSITIVE_SQUARE, REAL, UNIT, Domain, Simplexes


@dataclasses.dataclass(frozen=True)
class Supported(Domain):
    """The values that satisfy a NumPyro constraint, with NumPyro's own way to unbounded coordinates."""

    constraint: Any

    link = "identity"

    @property
    def demands(self) -> str:  # type: ignore[override]
        """What is asked of a value, in NumPyro's words."""
        return f"within the support ({self.constraint})"

    @property
    def n_axes(self) -> int:  # type: ignore[override]
        """How many of a value's last axes belong together."""
        return int(self.constraint.event_dim)

    def to_free(self, value: Any) -> Any:
        return biject_to(self.constraint).inv(jnp.asarray(value))

    def from_free(self, free: Any) -> Any:
        return biject_to(self.constraint)(jnp.asarray(free))

    def log_volume(self, value: Any) -> Any:
        way = biject_to(self.constraint)
        return way.log_abs_det_jacobian(way.inv(jnp.asarray(value)), jnp.asarray(value))

    def free_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(biject_to(self.constraint).inverse_shape(tuple(shape)))

    def holds(self, value: np.ndarray) -> bool:
        return bool(np.isfinite(value).all() and np.all(self.constraint(value)))


def domain_of(constraint: Any) -> Domain:
    """The domain of a constraint: one of emjax's own where there is one."""
    single = constraint
    while hasattr(single, "base_constraint"):
        single = single.base_constraint
    if single.event_dim == 0:
        if type(single) is type(constraints.real):
            return REAL
        ends = [_end(single, name) for name in ("lower_bound", "upper_bound")]
        if ends == [0.0, None]:
            return POSITIVE
        if ends == [0.0, 1.0]:
            return UNIT
    # Its bounds as numbers of the host: what is counted outside of x64 would have JAX warn of whole ones of 64 bits.
    return Supported(jax.tree.map(lambda bound: np.asarray(bound, float), single))


def is_same(own: Domain, other: Domain) -> bool:
    """Whether the domain of a program's site has the values of that of a parameter of a family, in whatever shape."""
    if isinstance(own, Supported):
        kind = type(own.constraint)
        if kind is type(constraints.positive_definite):
            return other is COVARIANCE
        return kind is type(constraints.simplex) and isinstance(other, Simplexes)
    return own is other or (own is POSITIVE and other is POSITIVE_SQUARE)


def _end(constraint: Any, name: str) -> float | None:
    """A bound of an interval: NaN where it is none of one number, ``None`` where there is none."""
    found = getattr(constraint, name, None)
    if found is None:
        return None
    return float(np.asarray(found)) if np.ndim(found) == 0 else float("nan")
