"""NUTS against the exact posterior of two Poisson components on the daily deaths, by quadrature in plain NumPy."""

import jax
import numpy as np
import pytest

import emjax

pytestmark = [pytest.mark.slow, pytest.mark.runs_numpyro]


def exact_sds(counts, shape, inverse_scale):
    """Standard deviations of the weight and the rates with the rates in order, under a flat prior of the weight."""
    weight = np.linspace(0.0005, 0.9995, 300)[:, None, None]
    low = np.linspace(np.log(0.2), np.log(3.2), 220)[None, :, None]
    high = np.linspace(np.log(1.9), np.log(8.0), 220)[None, None, :]
    # Gamma priors of the rates on the log scale, constants left out.
    log_density = sum(shape * t - inverse_scale * np.exp(t) for t in (low, high))
    for value, count in enumerate(np.bincount(counts)):
        terms = (np.log(share) + value * t - np.exp(t) for share, t in ((weight, low), (1 - weight, high)))
        log_density = log_density + count * np.logaddexp(*terms)
    mass = np.exp(log_density - log_density.max()) * (low < high)
    mass /= mass.sum()
    assert max(mass[:, 0].sum(), mass[:, :, -1].sum(), mass[:, :, 0].sum(), mass[:, -1].sum()) < 1e-4
    means = [(mass * v).sum() for v in (weight, np.exp(low), np.exp(high))]
    pairs = zip((weight, np.exp(low), np.exp(high)), means, strict=True)
    return np.array([np.sqrt((mass * (v - mean) ** 2).sum()) for v, mean in pairs])


@pytest.mark.parametrize("seed", [0, 2])
def test_standard_deviations_are_exact(seed):
    x = emjax.datasets.load("deaths")
    posterior = emjax.sample(emjax.Mixture(emjax.Poisson(), 2), x, key=jax.random.key(seed), method="nuts")
    prior = posterior.mixture.prior["rate"]
    exact = exact_sds(np.asarray(x.values).ravel().astype(int), float(prior.shape), float(np.ravel(prior.rate)[0]))
    weights, rates = np.asarray(posterior.params.weights), np.asarray(posterior.params.rate)[..., 0]
    order = np.argsort(rates, axis=1)
    sampled = [np.take_along_axis(weights, order, 1)[:, 0], *np.sort(rates, axis=1).T]
    assert posterior.converged
    assert posterior.diagnostics.suffices(2000.0)
    # Of the weight and the lower rate 1.4% is a standard error, of the higher rate, whose tail is heavy, 2.5%.
    np.testing.assert_array_less(np.abs(np.std(sampled, axis=1) / exact - 1), [0.045, 0.045, 0.075])
