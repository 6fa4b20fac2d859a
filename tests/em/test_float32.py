"""float32 finds the log-likelihood of float64 to 1e-5 per datum, or says that it does not."""

import jax
import numpy as np
import pytest

import emjax
from emjax.result import Status

KEY = jax.random.key(0)


def simulate(n: int, d: int, k: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """``n`` rows around ``k`` centres, and centres to start from, a third of a deviation off."""
    rng = np.random.default_rng(4)
    centres = 2.0 * rng.normal(size=(k, d))
    return centres[rng.integers(k, size=n)] + scale * rng.normal(size=(n, d)), centres + 0.3 * scale


def both(x: np.ndarray, means: np.ndarray, covariance: str, scale: float, n_iter: int) -> tuple[emjax.Fit, emjax.Fit]:
    mixture = emjax.Mixture(emjax.Normal(covariance=covariance), len(means))
    init = mixture.params(mean=means, covariance=np.array([1.5 * scale**2 * np.eye(x.shape[1])] * len(means)))
    double, single = (
        emjax.fit(mixture, x, key=KEY, init=init, max_iter=n_iter, tol=0.0, dtype=dtype)
        for dtype in ("float64", "float32")
    )
    return double, single


@pytest.mark.parametrize("scale", [*(pytest.param(scale, marks=pytest.mark.slow) for scale in (1.0, 0.05, 1e-2)), 1e-3])
def test_separated_and_ever_narrower_components(scale: float):
    x, means = simulate(5000, 2, 4, scale)
    double, single = both(x, means, "full", scale, 15)
    assert single.status is Status.MAX_ITER
    assert abs(single.log_likelihood - double.log_likelihood) / len(x) < 1e-5
    # What is reported is the log-likelihood of the parameters that are reported, not float32's idea of it.
    assert single.log_likelihood == pytest.approx(single.score_samples(x).sum(), rel=1e-12)
    assert single.trace[-1] == single.objective


def test_components_too_narrow_for_float32_are_not_fitted_in_silence():
    x, means = simulate(5000, 2, 4, 1e-4)
    double, single = both(x, means, "full", 1e-4, 15)
    assert double.status is Status.MAX_ITER
    assert single.status is Status.PRECISION
    assert "float64" in single.message
    assert np.isfinite(single.log_likelihood)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "d", "k", "covariance"),
    [
        (20_000, 1, 2, "full"),
        (100_000, 2, 3, "full"),
        (100_000, 16, 16, "full"),
        (100_000, 16, 16, "diag"),
        (1_000_000, 8, 32, "diag"),
        (10_000, 64, 32, "full"),
        (5_000, 2, 5, "full"),
    ],
    ids=["W1", "W2", "W3-full", "W3-diag", "W4", "W5", "W6"],
)
@pytest.mark.parametrize("scale", [1.0, 0.1, 0.01])
def test_the_workloads_of_the_benchmark(n: int, d: int, k: int, covariance: str, scale: float):
    x, means = simulate(n, d, k, scale)
    double, single = both(x, means, covariance, scale, 10)
    gap = abs(single.log_likelihood - double.log_likelihood) / n
    assert gap < 1e-5 or single.status is Status.PRECISION


@pytest.mark.slow
def test_data_without_a_covariance_warn_nobody():
    x = np.random.default_rng(0).normal(size=(4, 5))  # fewer points than features: starts take the unit matrix
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 1, "default"), x, key=KEY, n_init=2, max_iter=5, dtype="float32")
    assert np.isfinite(fit.log_likelihood)
