"""The flat view of a NumPyro program, and overdispersed starts on targets whose Hessian is known."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from emjax.bayes.starts import FlatModel, overdispersed_starts, unconstrain, value_gradient_curvature
from emjax.errors import ConfigError

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


def hilltop():
    """A density that grows away from zero: its Hessian there is -1 in one direction and 1 in the other."""
    x = numpyro.sample("x", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    numpyro.factor("hill", x[0] ** 2)


def wall():
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.factor("wall", jnp.where(x > 0.3, -jnp.inf, 0.0))


def flat_density():
    numpyro.sample("x", dist.ImproperUniform(dist.constraints.real, (), ()))


def many(n):
    numpyro.sample("x", dist.Normal(jnp.zeros(n), 1.0).to_event(1))


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


def test_derivatives_of_a_gaussian_are_exact():
    precision = np.linalg.inv(COVARIANCE)
    flat_model, arrays = FlatModel.build(gaussian, (CENTER, COVARIANCE), None, {"position": CENTER})
    point, direction = np.array([0.5, -2.0]), np.array([1.0, 2.0])
    value, gradient, curvature = value_gradient_curvature(flat_model, point, direction, arrays)
    assert float(value) == pytest.approx(-stats.multivariate_normal(CENTER, COVARIANCE).logpdf(point), rel=1e-12)
    np.testing.assert_allclose(gradient, precision @ (point - CENTER), rtol=1e-11)
    np.testing.assert_allclose(curvature, precision @ direction, rtol=1e-11)


def test_starts_have_twice_the_spread_of_the_posterior():
    n_chains = 400
    starts, covariance, note = overdispersed_starts(
        gaussian, (CENTER, COVARIANCE), None, {"position": CENTER}, key=jax.random.key(0), chains=n_chains
    )
    np.testing.assert_allclose(covariance, COVARIANCE, rtol=1e-10)
    assert "Laplace" in note
    assert starts["position"].shape == (n_chains, 2)
    whitened = np.linalg.solve(np.linalg.cholesky(COVARIANCE), (starts["position"] - CENTER).T) / 2.0
    # The sum of squares of 800 standard normals, within four standard deviations of a chi-squared.
    assert abs((whitened**2).sum() - 800) < 4 * np.sqrt(2 * 800)
    assert np.all(np.abs(whitened.mean(axis=1)) < 4 / np.sqrt(n_chains))


def test_the_key_decides():
    def draw(seed):
        return overdispersed_starts(
            gaussian, (CENTER, COVARIANCE), None, {"position": CENTER}, key=jax.random.key(seed), chains=4
        ).starts["position"]

    np.testing.assert_array_equal(draw(1), draw(1))
    assert np.all(draw(1) != draw(2))


def test_an_indefinite_hessian_is_mended():
    starts, covariance, note = overdispersed_starts(
        hilltop, (), None, {"x": np.zeros(2)}, key=jax.random.key(0), chains=4
    )
    assert "1 of 2 eigenvalues mended" in note
    np.testing.assert_allclose(covariance, np.eye(2), atol=1e-12)
    assert np.all(np.isfinite(starts["x"]))


def test_starts_in_forbidden_places_are_drawn_again():
    starts, _, note = overdispersed_starts(wall, (), None, {"x": np.array(0.0)}, key=jax.random.key(0), chains=40)
    assert starts["x"].shape == (40,)
    assert np.all(starts["x"] <= 0.3)
    assert "drawn again" in note


@pytest.mark.parametrize(
    ("model", "args", "size", "reason"),
    [(many, (201,), 201, "201 parameters"), (flat_density, (), None, "is zero")],
)
def test_without_a_usable_hessian_starts_are_jittered(model, args, size, reason):
    mode = {"x": np.zeros(() if size is None else size)}
    starts, covariance, note = overdispersed_starts(model, args, None, mode, key=jax.random.key(0), chains=3)
    assert covariance is None
    assert reason in note
    assert np.all(np.isfinite(starts["x"]))
    assert np.ptp(starts["x"], axis=0).min() > 0
    assert np.abs(starts["x"]).max() < 0.1 * 2 * 6


def test_errors_are_one_line():
    args, mode = (CENTER, COVARIANCE), {"position": CENTER}
    key = jax.random.key(0)
    with pytest.raises(ConfigError, match="at least one chain"):
        overdispersed_starts(gaussian, args, None, mode, key=key, chains=0)
    with pytest.raises(ConfigError, match="inflation"):
        overdispersed_starts(gaussian, args, None, mode, key=key, chains=2, inflation=0.0)
    with pytest.raises(ConfigError, match="not finite") as caught:
        overdispersed_starts(gaussian, args, None, {"position": CENTER * np.nan}, key=key, chains=2)
    assert "\n" not in str(caught.value)
