"""The flat view of a NumPyro program."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from emjax.bayes.flat_model import FlatModel, unconstrain, unconstrain_all, value_and_gradient

COVARIANCE = np.array([[2.0, 0.6], [0.6, 0.5]])
CENTER = np.array([1.0, -3.0])


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def gaussian(mean, covariance):
    numpyro.sample("position", dist.MultivariateNormal(mean, covariance))


def simplex_and_scale(y):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(3)))
    scale = numpyro.sample("scale", dist.HalfNormal(jnp.array([1.0, 2.0])).to_event(1))
    numpyro.deterministic("product", weights[0] * scale)
    numpyro.sample("y", dist.Normal(weights.sum(), scale[0]), obs=y)


def test_unconstrain_and_constrain_are_inverse():
    values = {"weights": np.array([0.2, 0.5, 0.3]), "scale": np.array([0.7, 3.0])}
    args = (np.array([0.1, 0.4]),)
    position = unconstrain(simplex_and_scale, args, None, values)
    assert list(position) == ["scale", "weights"]
    np.testing.assert_allclose(position["scale"], np.log(values["scale"]), rtol=1e-14)
    flat_model, arrays = FlatModel.build(simplex_and_scale, args, None, position)
    assert flat_model.n_parameters == 4
    back = flat_model.constrain(flat_model.ravel(position), arrays)
    for name, value in values.items():
        np.testing.assert_allclose(back[name], value, rtol=1e-12)
    np.testing.assert_allclose(back["product"], 0.2 * values["scale"], rtol=1e-12)


def test_ravel_and_unravel_keep_leading_axes():
    position = {"b": np.arange(12.0).reshape(2, 3, 2), "a": np.arange(2.0)}
    flat_model, _ = FlatModel.build(gaussian, (), None, {"a": 0.0, "b": np.zeros((3, 2))})
    flat = flat_model.ravel(position)
    assert flat.shape == (2, 7)
    np.testing.assert_array_equal(flat[:, 0], position["a"])
    for name, value in flat_model.unravel(flat).items():
        np.testing.assert_array_equal(value, position[name])


def test_value_and_gradient_of_a_gaussian_are_exact():
    precision = np.linalg.inv(COVARIANCE)
    flat_model, arrays = FlatModel.build(gaussian, (CENTER, COVARIANCE), None, {"position": CENTER})
    point = np.array([0.5, -2.0])
    value, gradient = value_and_gradient(flat_model, point, arrays)
    assert float(value) == pytest.approx(-stats.multivariate_normal(CENTER, COVARIANCE).logpdf(point), rel=1e-12)
    np.testing.assert_allclose(gradient, precision @ (point - CENTER), rtol=1e-11)


def test_many_values_are_unconstrained_as_each_of_them():
    rng = np.random.default_rng(0)
    values = {"weights": rng.dirichlet(np.ones(3), size=5), "scale": rng.gamma(2.0, size=(5, 2))}
    args = (np.array([0.1, 0.4]),)
    together = unconstrain_all(simplex_and_scale, args, None, values)
    assert together["weights"].shape == (5, 2)
    for i in range(5):
        alone = unconstrain(simplex_and_scale, args, None, {name: value[i] for name, value in values.items()})
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][i], value, rtol=1e-13)
