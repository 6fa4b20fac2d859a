"""The M-step where it has no closed form: damped Newton on expected statistics, without a pass over the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from emjax.families.linalg import PRECISION

_STEPS = 30
_FLOOR = 1e-8
"""The least curvature, in units of the diagonal's: where it is less, a step would leave all that is known."""

_LARGEST = 2.0
"""No coordinate moves by more in one step: exp(2) for what is free on a log scale."""

_ROUNDINGS = 64.0
"""The rounding of an objective, whose terms may cancel, in units of that of its value."""

_FIRST_DAMPING, _LESS, _MORE, _MOST_DAMPING = 1e-3, 0.1, 10.0, 1e8


def newton(
    objective: Callable[[Float[Array, "b q"]], Float[Array, " b"]], start: Float[Array, "b q"], *, steps: int = _STEPS
) -> Float[Array, "b q"]:
    r"""The maximiser of ``b`` functions of ``q`` coordinates each, the rows of one objective.

    .. math:: u \leftarrow u + (D - \nabla^2 f + \lambda\, \mathrm{diag} |\nabla^2 f|)^{-1} \nabla f

    with the damping :math:`\lambda` raised tenfold where a step fell and lowered tenfold where it rose, and :math:`D`
    zero unless the Hessian is not negative definite. Each row goes on until what a step gains is rounding, and never
    ends below where it began. (Marquardt, Journal of the Society for Industrial and Applied Mathematics 11, 1963.)

    Hessians are taken by ``q`` forward derivatives of one gradient, for all rows at once: rows do not touch each other.
    Value, gradient and Hessian come together, also where a step is not taken: one program to compile, not three.
    """
    dtype, (n_rows, q) = start.dtype, start.shape
    eps = jnp.finfo(dtype).eps
    eye = jnp.eye(q, dtype=dtype)

    def with_gradient(u: Array) -> tuple[Array, Array]:
        value, pull_back = jax.vjp(objective, u)
        return value, pull_back(jnp.ones_like(value))[0]

    def with_hessian(u: Array) -> tuple[Array, Array, Array]:
        def column(direction: Array) -> tuple[tuple[Array, Array], Array]:
            along = jnp.broadcast_to(direction[None, :], u.shape)
            found, (_, slope) = jax.jvp(with_gradient, (u,), (along,))
            return found, slope

        (value, gradient), columns = jax.vmap(column, out_axes=((None, None), 0))(eye)
        return value, gradient, jnp.moveaxis(columns, 0, -1)

    def go_on(carry: Any) -> Array:
        *_, running, i = carry
        return (i <= steps) & jnp.any(running)

    def step(carry: Any) -> Any:
        (u, value, gradient, curvature), new, small, damping, running, i = carry
        new_value, new_gradient, hessian = with_hessian(new)
        finite = jnp.isfinite(new_gradient).all(axis=1) & jnp.isfinite(new_value)
        taken = running & finite & (small | (new_value >= value))
        u, gradient = (jnp.where(taken[:, None], a, b) for a, b in ((new, u), (new_gradient, gradient)))
        value = jnp.where(taken, new_value, value)
        curvature = jnp.where(taken[:, None, None], jnp.where(jnp.isfinite(hessian), -hessian, 0.0), curvature)
        last = small & (damping == 0.0)
        running = running & ~last & (damping < _MOST_DAMPING) & (taken | (i > 0))
        damping = jnp.where(taken, jnp.where(small, 0.0, damping * _LESS), jnp.maximum(damping, _FIRST_DAMPING) * _MORE)
        scale = jnp.maximum(jnp.abs(jnp.diagonal(curvature, axis1=-2, axis2=-1)), jnp.finfo(dtype).tiny ** 0.5)
        move = _solve(curvature, damping, scale, gradient)
        length = jnp.max(jnp.abs(move), axis=1)
        move = move * jnp.minimum(1.0, _LARGEST / jnp.maximum(length, _LARGEST))[:, None]
        # What such a step gains is less than the rounding of the objective, which can no longer judge it. The last one
        # is not damped, so that it is as exact as Newton's method is.
        small = 0.5 * jnp.sum(gradient * move, axis=1) <= _ROUNDINGS * eps * (1.0 + jnp.abs(value))
        return (u, value, gradient, curvature), u + move, small, damping, running, i + 1

    # The first trip evaluates the start: a program of its own for that would take as long to compile as the loop's.
    nothing, no = jnp.zeros(n_rows, dtype), jnp.zeros(n_rows, bool)
    begin = (start, nothing - jnp.inf, jnp.zeros_like(start), jnp.zeros((n_rows, q, q), dtype)), start, no
    return jax.lax.while_loop(go_on, step, (*begin, nothing, ~no, jnp.zeros((), jnp.int32)))[0][0]


def _solve(curvature: Array, damping: Array, scale: Array, gradient: Array) -> Array:
    """``(C + damping diag(scale))^-1 g`` with the eigenvalues of C, in units of its diagonal, made positive."""
    root = jnp.sqrt(scale)
    unit = curvature / (root[:, :, None] * root[:, None, :])
    inside = gradient / root
    if curvature.shape[-1] == 1:
        return inside / ((jnp.abs(unit[:, :, 0]) + damping[:, None]) * root)
    if curvature.shape[-1] == 2:  # LAPACK takes longer to be called than this takes
        a, b, c = unit[:, 0, 0], unit[:, 0, 1], unit[:, 1, 1]
        smallest = 0.5 * (a + c) - jnp.sqrt((0.5 * (a - c)) ** 2 + b * b)
        lifted = damping + jnp.maximum(0.0, _FLOOR - smallest)
        a, c = a + lifted, c + lifted
        along = jnp.stack([c * inside[:, 0] - b * inside[:, 1], a * inside[:, 1] - b * inside[:, 0]], axis=1)
        return along / (a * c - b * b)[:, None] / root
    values, vectors = jnp.linalg.eigh(unit)
    values = jnp.maximum(jnp.abs(values), _FLOOR) + damping[:, None]
    along = jnp.einsum("bij,bi->bj", vectors, inside, precision=PRECISION) / values
    return jnp.einsum("bij,bj->bi", vectors, along, precision=PRECISION) / root
