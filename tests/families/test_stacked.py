"""Parameters that are stacked, such as the draws of a posterior, give their derived arrays draw by draw."""

import jax
import numpy as np
import pytest

import emjax

_RNG = np.random.default_rng(0)
MEAN = _RNG.normal(size=(3, 2))
ROOTS = _RNG.normal(size=(3, 2, 2)) + 2.0 * np.eye(2)
MATRICES = ROOTS @ np.swapaxes(ROOTS, -1, -2)
COVARIANCES = {
    "full": MATRICES,
    "tied": MATRICES[0],
    "diag": _RNG.gamma(3.0, size=(3, 2)),
    "spherical": _RNG.gamma(3.0, size=3),
}


@pytest.mark.parametrize("axes", [(5,), (4, 5)])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_normal(covariance: str, axes: tuple[int, ...]):
    mixture = emjax.Mixture(emjax.Normal(covariance), 3)
    one = mixture.params(mean=MEAN, covariance=COVARIANCES[covariance])
    factors = 1.0 + np.arange(np.prod(axes)).reshape(axes)
    stacked = jax.tree.map(lambda leaf: np.multiply.outer(factors, leaf), one)
    expected = one.covariance
    assert stacked.covariance.shape == (*axes, 3, 2, 2)
    np.testing.assert_allclose(stacked.covariance, np.multiply.outer(factors, expected), rtol=1e-14)
    scale = np.multiply.outer(factors**0.5, np.diagonal(expected, axis1=1, axis2=2) ** 0.5)
    np.testing.assert_allclose(stacked.scale, scale, rtol=1e-14)
    named, single = mixture.named_parameters(stacked), mixture.named_parameters(one)
    assert set(named) == set(single)
    np.testing.assert_allclose(named["scale"], scale, rtol=1e-14)
    if "correlation" in named:
        np.testing.assert_allclose(named["correlation"], np.broadcast_to(single["correlation"], (*axes, 3, 2, 2)))
    assert all(isinstance(value, np.ndarray) for value in named.values())


def test_poisson():
    mixture = emjax.Mixture(emjax.Poisson(), 2)
    stacked = jax.tree.map(lambda leaf: np.stack([leaf] * 4), mixture.params(rate=[[1.0], [2.0]]))
    assert mixture.named_parameters(stacked)["rate"].shape == (4, 2, 1)
