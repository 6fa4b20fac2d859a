"""Contracts of the unconstrained space: volumes, exchanged labels, and the density that samplers move on."""

import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest
from table import ROWS, Row, is_alike, walk

from emjax.bayes.target import make_target, values_and_gradients
from tests.contracts.oracles.base import flat as as_vector

pytestmark = pytest.mark.usefixtures("x64")

# Two features are enough to tell the structures apart.
SOME = tuple(row for row in ROWS if row.n_features == 2)


def free_coordinates(row: Row, params):
    """The parameters in the space that `Mixture.space` names, each number once."""
    return as_vector(params.weights, row.oracle.free(row.values(params), row.n_features))


@functools.partial(jax.jit, static_argnums=(0, 1))
def describe(row, target, points, prior):
    """At each point: the parameters, their Jacobian by automatic differentiation, `log_volume` and `log_prior`."""

    def one(flat):
        params = target.params(flat)
        return {
            "params": params,
            "jacobian": jax.jacfwd(lambda at: free_coordinates(row, target.params(at)))(flat),
            "log_volume": row.mixture().log_volume(params),
            "log_prior": row.mixture().log_prior(params, prior),
        }

    return jax.vmap(one)(points)


@functools.partial(jax.jit, static_argnums=0)
def flats(target, params):
    return jax.vmap(target.flat)(params)


def points_of(row: Row, target, order=None) -> np.ndarray:
    """The points of the row's parameters, three of them, with their components in another order where one is given."""
    params = [row.params(seed) for seed in range(3)]
    if order is not None:
        params = [row.mixture().permute(each, np.array(order)) for each in params]
    return np.asarray(flats(target, jax.tree.map(lambda *leaves: np.stack(leaves), *params)))


# A shared matrix is one matrix, a variance for all features one variance, and a rate alone is what the shape and the
# rate of a gamma law are together.
BY_NAME = ("normal-tied-2d", "normal-spherical-2d", "poisson-2d", "exponential-2d")


@walk(SOME, by_name=lambda row: is_alike(row) or row.name in BY_NAME)
def test_the_samplers_density_is_likelihood_prior_and_volume(row: Row):
    x, prior = row.data(1), row.prior(1)
    target, data = make_target(row.mixture(), x, prior)
    points = points_of(row, target)
    assert target.n_parameters == points.shape[1] == row.mixture().n_parameters(row.n_features)
    step = 1e-5
    steps = step * np.concatenate([np.eye(target.n_parameters), -np.eye(target.n_parameters)])
    around = np.concatenate([points, *(point + steps for point in points)])
    values, gradients = map(np.asarray, values_and_gradients(target, around, data))

    found = jax.tree.map(np.asarray, describe(row, target, points, prior))
    volume = np.linalg.slogdet(found["jacobian"])[1]
    np.testing.assert_allclose(found["log_volume"], volume, rtol=1e-10)
    for i in range(len(points)):
        params = jax.tree.map(lambda leaf, row=i: leaf[row], found["params"])
        joint = np.log(params.weights)[:, None] + row.log_densities(params, x)
        expected = np.logaddexp.reduce(joint, axis=0).sum() + found["log_prior"][i] + volume[i]
        np.testing.assert_allclose(values[i] + data.base_measure, expected, rtol=1e-11)
    # The gradient comes from another pass than the value: it has to be the slope of the value, in every direction.
    ahead, behind = np.swapaxes(values[len(points) :].reshape(len(points), 2, -1), 0, 1)
    np.testing.assert_allclose(gradients[: len(points)], (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-6)
    assert np.abs(gradients[: len(points)]).max() > 1.0


@walk(SOME)
def test_exchanged_labels_are_an_exact_map_of_the_unconstrained_space(row: Row):
    told_apart, _ = make_target(row.mixture(), row.data(1), row.prior(1))
    target = dataclasses.replace(told_apart, exchangeable=True)
    points = points_of(row, target)
    for order in itertools.permutations(range(row.n_components)):
        moved = target.permute(points, order)
        np.testing.assert_allclose(moved, points_of(row, target, order), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(target.permute(moved, np.argsort(order)), points, rtol=1e-13, atol=1e-14)
        back = target.permute_to(moved, points)
        for i in range(len(points)):
            np.testing.assert_allclose(back[i, i], points[i], rtol=1e-12, atol=1e-13)
