"""The E-step of a batch of starts: in groups, of which one where all starts have ended costs nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import emjax
from emjax.em import sets
from emjax.em.blocks import Blocks, make_blocks
from emjax.em.sets import expectations
from emjax.em.step import expectation

MIXTURE = emjax.Mixture(emjax.Normal(), 6)
N_ROWS = 400


def starts(n: int) -> emjax.MixtureParams:
    rng = np.random.default_rng(1)
    one = MIXTURE.params(mean=rng.normal(size=(6, 2)), covariance=np.eye(2)[None].repeat(6, axis=0))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[None] * rng.uniform(0.9, 1.1, (n, *[1] * leaf.ndim))), one)


def rows(n: int = N_ROWS) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 2))


def blocks(n_starts: int) -> Blocks:
    return jax.tree.map(jnp.asarray, make_blocks(rows(), MIXTURE, n_starts=n_starts))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("n_starts", [20, pytest.param(10, marks=pytest.mark.slow), 7])
def test_starts_in_groups_have_the_statistics_of_each_alone(n_starts: int):
    data, params = blocks(n_starts), starts(n_starts)
    runs = np.arange(n_starts) % 2 == 0  # some of every group
    found = jax.jit(lambda params: expectations(MIXTURE, params, data, runs))(params)
    of_one = jax.jit(expectation, static_argnums=0)
    for start in range(n_starts):
        alone = of_one(MIXTURE, jax.tree.map(lambda leaf, at=start: leaf[at], params), data)
        own = jax.tree.map(lambda leaf, at=start: leaf[at], found)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-9), own, alone)


@pytest.mark.usefixtures("x64")
def test_a_group_of_which_no_start_runs_is_left_out():
    data = blocks(20)
    runs = np.arange(20) >= 5
    found = np.asarray(expectations(MIXTURE, starts(20), data, runs).log_likelihood)
    assert ((found == 0.0) == (np.arange(20) < 5)).all()


def test_groups_are_made_where_they_pay():
    few, some, many = (make_blocks(rows(n), MIXTURE, n_starts=20) for n in (40, N_ROWS, 100_000))
    assert sets._n_groups(MIXTURE, some, 20) == 4
    assert sets._n_groups(MIXTURE, some, 12) == 3
    assert sets._n_groups(MIXTURE, some, 7) == 1  # of one start each, all would be overhead
    assert sets._n_groups(MIXTURE, few, 20) == 1
    assert sets._n_groups(MIXTURE, many, 20) == 1
    wide = make_blocks(np.random.default_rng(0).normal(size=(N_ROWS, 10)), MIXTURE, n_starts=20)
    assert sets._n_groups(MIXTURE, wide, 20) == 1
