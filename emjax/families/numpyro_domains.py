"""NumPyro's view of domains that it does not have: their constraint, the way there from free coordinates, and draws.

It imports NumPyro, which takes a second, and so is itself imported where a NumPyro program is made.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import ParameterFreeTransform, biject_to

from emjax.families.domains import Domain
from emjax.families.rotations import ROTATIONS, draw_rotations, log_volume_of_rotations

_OF_SUPPORT = {
    "real": constraints.real,
    "positive": constraints.positive,
    "nonnegative": constraints.nonnegative,
    "count": constraints.nonnegative_integer,
    "level": constraints.nonnegative_integer,
    "binary": constraints.boolean,
}


def constraint_of(support: str) -> Any:
    """The constraint of one datum ``(n_features,)`` whose features lie in a ``support`` of families."""
    return constraints.independent(_OF_SUPPORT[support], 1)


class InDomain(constraints.Constraint):
    """That a value lies in one of our domains."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.event_dim = domain.n_axes

    def __call__(self, x: Any) -> Any:
        back = self.domain.from_free(self.domain.to_free(x))
        return jnp.all(jnp.abs(back - x) < 1e-4 * (1.0 + jnp.abs(x)), axis=tuple(range(-self.event_dim, 0)))

    def feasible_like(self, prototype: Any) -> Any:
        shape = jnp.shape(prototype)
        return self.domain.from_free(jnp.zeros(self.domain.free_shape(shape)))

    def tree_flatten(self) -> tuple[tuple[()], tuple[tuple[()], dict[str, Any]]]:
        return (), ((), {"domain": self.domain, "event_dim": self.event_dim})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InDomain) and self.domain is other.domain

    def __hash__(self) -> int:
        return hash(type(self.domain))


class FromFree(ParameterFreeTransform):
    """From free coordinates, in a vector, to values of a domain."""

    def __init__(self, domain: Domain) -> None:
        self.domain_of_values = domain

    @property
    def domain(self) -> Any:
        return constraints.real_vector

    @property
    def codomain(self) -> Any:
        return InDomain(self.domain_of_values)

    def __call__(self, x: Any) -> Any:
        return self.domain_of_values.from_free(x)

    def _inverse(self, y: Any) -> Any:
        return self.domain_of_values.to_free(y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return self.domain_of_values.log_volume(y)

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        own = jnp.shape(self.domain_of_values.from_free(jnp.zeros(shape[-1:])))
        return (*shape[:-1], *own)

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.domain_of_values.free_shape(shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FromFree) and self.domain_of_values is other.domain_of_values

    def __hash__(self) -> int:
        return hash(type(self.domain_of_values))


class HaarRotations(dist.Distribution):
    """Uniform rotations of so many features."""

    support = InDomain(ROTATIONS)
    pytree_aux_fields = ("n_features",)

    def __init__(self, n_features: int, *, validate_args: bool | None = None) -> None:
        self.n_features = n_features
        super().__init__((), (n_features, n_features), validate_args=validate_args)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        return draw_rotations(key, tuple(sample_shape), self.n_features)

    def log_prob(self, value: Any) -> Any:
        return jnp.full(jnp.shape(value)[:-2], -log_volume_of_rotations(self.n_features))


@biject_to.register(InDomain)
def _from_free(constraint: InDomain) -> FromFree:
    return FromFree(constraint.domain)
