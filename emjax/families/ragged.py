"""Dirichlet vectors of unequal lengths as a NumPyro distribution: rows of one array, with zeros beyond their ends.

NumPyro is imported when such a distribution is first made.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp

from emjax.families.domains import Simplexes


def ragged_dirichlet(law: Any, concentration: Any) -> Any:
    """The law (`emjax.families.laws.Dirichlet`, of ``law.lengths``) of arrays ``(..., d, most)`` as a distribution."""
    return _distribution()(dataclasses.replace(law, concentration=concentration))


@functools.cache
def _constraint() -> Any:
    from numpyro.distributions import constraints

    class Ragged(constraints.Constraint):
        """Rows that are simplexes of these lengths."""

        event_dim = 2

        def __init__(self, lengths: tuple[int, ...]) -> None:
            self.domain = Simplexes(lengths)

        def __call__(self, x: Any) -> Any:
            inside = self.domain.inside[(None,) * (x.ndim - 2)]
            return ((x >= 0) & (inside | (x == 0))).all(axis=(-1, -2)) & (abs(x.sum(axis=-1) - 1) < 1e-6).all(axis=-1)

        def feasible_like(self, prototype: Any) -> Any:
            shares = self.domain.inside / self.domain.inside.sum(axis=1, keepdims=True)
            return 0.0 * prototype + shares[(None,) * (prototype.ndim - 2)]

        def tree_flatten(self) -> Any:
            return (), ((), {"domain": self.domain})

        def eq(self, other: object, static: bool = False) -> Any:
            return isinstance(other, Ragged) and self.domain == other.domain

    return Ragged


@functools.cache
def _transform() -> Any:
    from numpyro.distributions import constraints, transforms

    class ToRagged(transforms.Transform):
        """From the log-ratios of all rows, side by side."""

        domain = constraints.real_vector

        def __init__(self, simplexes: Simplexes) -> None:
            self.simplexes = simplexes

        @property
        def codomain(self) -> Any:
            return _constraint()(self.simplexes.sizes)

        def __call__(self, x: Any) -> Any:
            return self.simplexes.from_free(x)

        def _inverse(self, y: Any) -> Any:
            return self.simplexes.to_free(y)

        def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
            return self.simplexes.log_volume(y)

        def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
            return (*shape[:-1], *self.simplexes.inside.shape)

        def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
            return (*shape[:-2], sum(self.simplexes.sizes) - len(self.simplexes.sizes))

        def tree_flatten(self) -> Any:
            return (), ((), {"simplexes": self.simplexes})

        def eq(self, other: object, static: bool = False) -> Any:
            return isinstance(other, ToRagged) and self.simplexes == other.simplexes

    return ToRagged


@functools.cache
def _distribution() -> Any:
    from numpyro.distributions import Distribution, biject_to

    class RaggedDirichlet(Distribution):
        """The law of all rows."""

        pytree_data_fields = ("law",)

        def __init__(self, law: Any, *, validate_args: bool | None = None) -> None:
            self.law, shape = law, law.concentration.shape
            super().__init__(shape[:-2], shape[-2:], validate_args=validate_args)

        @property
        def support(self) -> Any:
            return _constraint()(self.law.lengths)

        def log_prob(self, value: Any) -> Any:
            return self.law.log_prob(value).sum(axis=-1)

        def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
            alpha = jnp.broadcast_to(self.law.concentration, (*sample_shape, *self.law.concentration.shape))
            return dataclasses.replace(self.law, concentration=alpha).draw(key)

    @biject_to.register(_constraint())
    def _(constraint: Any) -> Any:
        return _transform()(constraint.domain)

    return RaggedDirichlet
