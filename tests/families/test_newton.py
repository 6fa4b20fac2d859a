"""Damped Newton steps: maxima that are known, starts that are hard, and one program for all of it."""

import jax.numpy as jnp
import numpy as np
import pytest

from emjax.families.newton import newton

pytestmark = pytest.mark.usefixtures("x64")


def test_the_maxima_of_quadratics_are_exact():
    """-(u - m)' A (u - m) / 2, another one in each row, of one to three coordinates."""
    rng = np.random.default_rng(0)
    for q in (1, 2, 3):
        factor, top = rng.normal(size=(4, q, q)), rng.normal(size=(4, q))
        curved = factor @ factor.swapaxes(1, 2) + np.eye(q)

        def objective(u, curved=curved, top=top):
            return -0.5 * jnp.einsum("bi,bij,bj->b", u - top, curved, u - top)

        np.testing.assert_allclose(newton(objective, jnp.zeros((4, q))), top, rtol=0, atol=1e-14)


def test_it_climbs_from_where_the_curvature_is_wrong():
    """log sech is concave but flat far away, and cos turns up: whole Newton steps would end at a minimum or nowhere."""

    def objective(u):
        return jnp.stack([-jnp.logaddexp(u[0, 0], -u[0, 0]), jnp.cos(u[1, 0]), -((u[2, 0] - 3.0) ** 4)])

    found = newton(objective, jnp.array([[8.0], [2.8], [0.0]]), steps=100)[:, 0]
    np.testing.assert_allclose(found[:2], 0.0, rtol=0, atol=1e-8)
    assert found[2] == pytest.approx(3.0, abs=1e-2)  # a maximum without curvature, which is reached slowly


def test_a_row_that_cannot_be_evaluated_stays_and_others_go_on():
    found = newton(lambda u: jnp.log(u[:, 0]) - u[:, 0], jnp.array([[-1.0], [0.3]]))
    assert found[0, 0] == -1.0
    assert found[1, 0] == pytest.approx(1.0, abs=1e-14)


def test_no_row_ends_below_its_start():
    def objective(u):
        return jnp.where(u[:, 0] < 1.0, u[:, 0], -jnp.inf)  # rises towards a border that no step may cross

    found = newton(objective, jnp.array([[0.5], [0.99]]))[:, 0]
    assert (found >= jnp.array([0.5, 0.99])).all()
    assert (found < 1.0).all()


def test_everything_is_one_program():
    """Value, gradient and Hessian, at the start too: each time that the objective is traced is compiled once more."""
    traced = []

    def objective(u):
        traced.append(u)
        return -jnp.sum(jnp.cosh(u), axis=1)

    newton(objective, jnp.ones((1, 2)))
    assert len(traced) == 1
