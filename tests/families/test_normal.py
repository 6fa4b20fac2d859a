"""The normal family: its checked parameters, its covariance structures, its matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import emjax
from emjax.errors import DataError
from emjax.families.covariance import STRUCTURES
from emjax.families.frame import Frame, identity_frame, standardizing_frame
from emjax.families.linalg import cholesky, diagonal, inverse_lower
from emjax.moments import Summary
from emjax.samples import as_samples

MEAN = np.array([[0.0, 1.0], [2.0, 3.0]])
MATRIX = np.array([[2.0, 0.5], [0.5, 1.0]])


@pytest.mark.parametrize(
    ("covariance", "value", "matrices"),
    [
        ("full", [MATRIX, np.eye(2)], [MATRIX, np.eye(2)]),
        ("tied", MATRIX, [MATRIX, MATRIX]),
        ("tied", [MATRIX, MATRIX], [MATRIX, MATRIX]),
        ("diag", [[1.0, 2.0], [3.0, 4.0]], [np.diag([1.0, 2.0]), np.diag([3.0, 4.0])]),
        ("diag", [np.diag([1.0, 2.0]), np.diag([3.0, 4.0])], [np.diag([1.0, 2.0]), np.diag([3.0, 4.0])]),
        ("spherical", [2.0, 3.0], [2.0 * np.eye(2), 3.0 * np.eye(2)]),
        ("spherical", [2.0 * np.eye(2), 3.0 * np.eye(2)], [2.0 * np.eye(2), 3.0 * np.eye(2)]),
    ],
)
def test_a_covariance_in_its_own_shape_or_as_matrices(covariance: str, value, matrices):
    params = emjax.Mixture(emjax.Normal(covariance=covariance), 2).params(mean=MEAN, covariance=value)
    assert params[STRUCTURES[covariance].site].shape == STRUCTURES[covariance].shape(2, 2)
    np.testing.assert_allclose(params.covariance, matrices)
    np.testing.assert_allclose(params.scale, [np.sqrt(np.diag(matrix)) for matrix in matrices])


def test_scales_in_place_of_a_covariance():
    params = emjax.Mixture(emjax.Normal(), 2).params(mean=MEAN, scale=[[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_allclose(params.covariance, [np.diag([1.0, 4.0]), np.diag([9.0, 16.0])])
    flat = emjax.Mixture(emjax.Normal(), 2).params(mean=[0.0, 1.0], scale=[1.0, 2.0])
    np.testing.assert_allclose(flat.covariance, [[[1.0]], [[4.0]]])


@pytest.mark.parametrize(
    ("covariance", "values", "message"),
    [
        ("full", {"covariance": [MATRIX, -np.eye(2)]}, "positive definite"),
        ("full", {"covariance": np.eye(2)}, r"covariance of shape \(2, 2\) does not fit 'full': expected \(2, 2, 2\)"),
        ("full", {}, "either covariance or scale"),
        ("full", {"covariance": [MATRIX, MATRIX], "scale": np.ones((2, 2))}, "either covariance or scale"),
        ("tied", {"covariance": [MATRIX, np.eye(2)]}, "these covariance matrices are not tied"),
        ("diag", {"covariance": [MATRIX, MATRIX]}, "these covariance matrices are not diag"),
        ("spherical", {"scale": [[1.0, 2.0], [1.0, 2.0]]}, "these covariance matrices are not spherical"),
        ("diag", {"covariance": [[1.0, 0.0], [1.0, np.nan]]}, "positive definite|finite"),
    ],
)
def test_wrong_parameters(covariance: str, values, message: str):
    with pytest.raises(ValueError, match=message):
        emjax.Normal(covariance=covariance).params(mean=MEAN, **values)


def test_wrong_means_and_settings():
    with pytest.raises(ValueError, match="mean must be finite"):
        emjax.Normal().params(mean=[[np.inf]], scale=[[1.0]])
    family = emjax.Normal()
    object.__setattr__(family, "covariance", "banana")  # the type checker of the tests stands before the constructor
    with pytest.raises(ValueError, match="covariance='banana' is not one of 'full', 'tied', 'diag', 'spherical'"):
        family.__post_init__()
    with pytest.raises(DataError, match="constant"):
        emjax.Normal().check(as_samples(np.ones((5, 1))))


def test_mixtures_check_their_parts():
    with pytest.raises(ValueError, match="n_components = 0 is not allowed"):
        emjax.Mixture(emjax.Normal(), 0)
    mixture = emjax.Mixture(emjax.Normal(), 2)
    with pytest.raises(ValueError, match="weights must be 2 non-negative numbers"):
        mixture.params(weights=[0.6, 0.6], mean=MEAN, scale=np.ones((2, 2)))
    with pytest.raises(ValueError, match="parameters for 3 components were given to a mixture of 2"):
        mixture.params(mean=np.zeros((3, 2)), scale=np.ones((3, 2)))
    prior = emjax.Mixture(emjax.Normal(), 3).default_prior(np.arange(6.0))
    with pytest.raises(ValueError, match=r"the prior is one of 3 components .* the mixture has 2"):
        emjax.Mixture(emjax.Normal(), 2, prior)


def test_mixtures_are_static_and_params_are_pytrees():
    mixture = emjax.Mixture(emjax.Normal(covariance="diag"), 2)
    assert hash(mixture) == hash(emjax.Mixture(emjax.Normal(covariance="diag"), 2))
    params = mixture.params(mean=MEAN, scale=np.ones((2, 2)))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), params, params, params)
    assert stacked.mean.shape == (3, 2, 2)
    values = jax.vmap(mixture.log_prob, in_axes=(0, None))(stacked, jnp.zeros((4, 2)))
    assert values.shape == (3, 4)
    with pytest.raises(AttributeError, match=r"use params\.replace\(weights=\.\.\.\)"):
        params.weights = None


def test_a_wishart_default_prior_stays_proper_for_collinear_features():
    x = np.arange(10.0)[:, None] * [1.0, 2.0]
    laws = emjax.Normal().default_prior(Summary(x), 2)
    assert np.linalg.eigvalsh(laws["covariance"].scatter).min() > 0


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_matrices_of_every_size_against_numpy(size: int):
    factor = np.random.default_rng(size).normal(size=(4, size, size))
    matrix = factor @ np.swapaxes(factor, 1, 2) + 0.1 * np.eye(size)
    root = cholesky(matrix)
    np.testing.assert_allclose(root, np.linalg.cholesky(matrix), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(inverse_lower(root), np.linalg.inv(np.linalg.cholesky(matrix)), rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(diagonal(matrix), np.diagonal(matrix, axis1=1, axis2=2))
    assert np.isnan(cholesky(-matrix)).any(axis=(1, 2)).all()


def test_a_component_collapses_where_a_conditional_variance_vanishes():
    mixture = emjax.Mixture(emjax.Normal(), 2)
    narrow, line = (np.array([[1.0, 1.0 - e], [1.0 - e, 1.0]]) for e in (1e-13, 1e-16))
    # What is narrow has not collapsed: only rounding is left where it has.
    cases = ((np.eye(2), False), (narrow, False), (line, True), (1e-20 * np.eye(2), False), (1e-32 * np.eye(2), True))
    for covariance, expected in cases:
        params = mixture.assembled(
            np.full(2, 0.5), {"mean": np.zeros((2, 2)), "covariance": np.array([np.eye(2), covariance])}
        )
        with jax.enable_x64(True):
            assert bool(mixture.family.degenerate(params)) is expected


def test_frames():
    x = np.array([[1.0, 10.0], [3.0, 10.0], [5.0, 40.0]])
    frame = standardizing_frame(Summary(x), common_scale=False)
    z = frame.apply(x)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-15)
    np.testing.assert_allclose(z.std(axis=0), 1.0)
    np.testing.assert_allclose(frame.shift + frame.scale * z, x)
    common = standardizing_frame(Summary(x), common_scale=True)
    assert common.scale[0] == common.scale[1] == pytest.approx(np.sqrt(x.var(axis=0).mean()))
    # A constant column keeps its units; a scale of zero would make it NaN.
    assert standardizing_frame(Summary(np.ones((3, 1))), common_scale=False).scale[0] == 1.0
    plain = identity_frame(2)
    assert isinstance(plain, Frame)
    np.testing.assert_array_equal(plain.apply(x), x)


@pytest.mark.parametrize("variance", [0.0, np.inf, np.nan])
def test_a_component_without_a_variance_has_no_correlation_and_no_warning(variance: float):
    for family in (emjax.Normal(), emjax.Normal("spherical")):
        value = (
            np.array([np.eye(2), np.full((2, 2), variance)])
            if family.covariance == "full"
            else np.array([1.0, variance])
        )
        given = {"mean": np.zeros((2, 2)), family.structure.site: value}
        params = emjax.Mixture(family, 2).assembled(np.full(2, 0.5), given)
        np.testing.assert_array_equal(params.correlation[0], np.eye(2))
        assert np.isnan(params.correlation[1]).any()
