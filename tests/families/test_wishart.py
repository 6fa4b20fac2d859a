"""The Wishart law: against SciPy, NumPyro, its moments, and as a prior of covariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import emjax
from emjax.families.given_laws import as_law

DEGREES, RATE = 4.5, np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.2], [0.0, -0.2, 3.0]])
MATRIX = np.array([[1.5, 0.4, -0.1], [0.4, 2.0, 0.3], [-0.1, 0.3, 0.7]])


@pytest.mark.runs_numpyro
@pytest.mark.usefixtures("x64")
def test_its_density_is_scipys_and_numpyros():
    law = emjax.laws.Wishart(DEGREES, RATE)
    expected = scipy.stats.wishart(DEGREES, np.linalg.inv(RATE))
    assert law.log_prob(MATRIX) == pytest.approx(expected.logpdf(MATRIX), rel=1e-10)
    twin = law.numpyro((2, 3, 3))
    both = np.stack([MATRIX, 2.0 * MATRIX])
    assert twin.log_prob(both) == pytest.approx(expected.logpdf(np.moveaxis(both, 0, 2)).sum(), rel=1e-10)
    np.testing.assert_allclose(law.log_prob(both), expected.logpdf(np.moveaxis(both, 0, 2)), rtol=1e-10)
    given = as_law("covariance", twin.base_dist)
    np.testing.assert_allclose(given.rate, RATE, atol=1e-12)
    assert given.degrees_of_freedom == DEGREES


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_its_draws_have_its_moments_and_other_units_change_its_volume():
    law = emjax.laws.Wishart(DEGREES, jnp.asarray(RATE))
    found = np.asarray(jax.vmap(law.draw)(jax.random.split(jax.random.key(1), 20_000)))
    expected = scipy.stats.wishart(DEGREES, np.linalg.inv(RATE))
    np.testing.assert_allclose(law.mean, expected.mean(), rtol=1e-10)
    assert (np.abs(found.mean(axis=0) - expected.mean()) < 4.0 * np.sqrt(expected.var() / len(found))).all()
    np.testing.assert_allclose(found.var(axis=0), expected.var(), rtol=0.06)
    # Six free numbers of a symmetric matrix: each unit's square counts d + 1 times by halves.
    units = np.array([10.0, 0.5, 2.0])
    scale = np.outer(units, units)
    moved = law.rescaled(0.0, scale).log_prob(MATRIX / scale) - 4.0 * np.log(units).sum()
    assert moved == pytest.approx(float(law.log_prob(MATRIX)), rel=1e-10)


def test_it_keeps_the_covariances_of_map_away_from_zero_and_from_infinity():
    """W(d + 2, next to no rate) multiplies the density by the root of ``|V|`` (Chung, Gelman and others 2015)."""
    x = np.random.default_rng(0).normal(size=(40, 2)) @ [[1.0, 0.5], [0.0, 2.0]]
    prior = {
        "covariance": emjax.laws.Wishart(4.0, 1e-6 * np.eye(2)),
        "mean": emjax.laws.Flat(),
    }
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 1, prior), x, key=0, n_init=1, tol=1e-10)
    # -n/2 log|V| - tr(S V^-1)/2 + log|V|/2 is largest at S / (n - 1).
    np.testing.assert_allclose(fit.params.covariance[0], np.cov(x, rowvar=False), rtol=1e-4)
