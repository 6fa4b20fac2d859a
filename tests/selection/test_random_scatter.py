"""A scatter that is itself random: its law given the components, in any units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import emjax
from emjax.families.hierarchy import common_numbers, fixed_laws, hierarchical_prior
from emjax.selection import telescope

DETERMINED = np.random.default_rng(0).normal(size=(30, 1)) @ [[1.0, 2.0]]


def test_features_that_determine_each_other_have_no_random_scatter():
    assert hierarchical_prior(emjax.Normal(), DETERMINED) is None
    assert hierarchical_prior(emjax.Normal(), DETERMINED[:, :1])["covariance"].degrees_of_freedom == 5.0


@pytest.mark.slow
def test_features_that_determine_each_other_have_the_familys_own_prior():
    found = telescope(emjax.Normal(), DETERMINED, n_components=3, chains=2, warmup=50, draws=50, thin=2, key=0)
    assert "the family's own" in found.prior_note
    assert np.isfinite(found.params.covariance).all()


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_a_random_scatter_follows_the_covariances_of_components_with_data(structure):
    """``C | Sigma ~ W(g + n a, H + sum of inverses)``, in the data's units, whatever those of the covariances are."""
    degrees, own, rate, units = 6.0, 3.0, np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([10.0, 0.1])
    covariances = np.array([[[4.0, 0.3], [0.3, 0.03]], [[9.0, -0.2], [-0.2, 0.05]], [[1.0, 0.0], [0.0, 1.0]]])
    given = {"covariance": emjax.laws.InverseWishart(degrees, emjax.laws.Wishart(own, rate))}
    framed = {site: law.rescaled(0.0, np.outer(units, units)) for site, law in fixed_laws(given).items()}
    (common,) = common_numbers(given, framed)
    held = np.array([True, True, False])
    used = covariances if structure == "full" else covariances[0]
    mixture = emjax.Mixture(emjax.Normal(structure), 3)
    params = mixture.params(mean=np.zeros((3, 2)), covariance=used / np.outer(units, units))
    with jax.enable_x64(True):
        np.testing.assert_allclose(common.first, own * np.linalg.inv(rate))
        np.testing.assert_allclose(common.applied(common.first).scatter, framed["covariance"].scatter)
        draw = jax.jit(jax.vmap(lambda key: common.draw(key, jax.tree.map(jnp.asarray, params), jnp.asarray(held))))
        found = np.asarray(draw(jax.random.split(jax.random.key(0), 20_000)))
    told = np.linalg.inv(covariances[:2] if structure == "full" else covariances[:1])
    law = scipy.stats.wishart(own + len(told) * degrees, np.linalg.inv(rate + told.sum(axis=0)))
    errors = np.sqrt(law.var() / len(found))
    assert (np.abs(found.mean(axis=0) - law.mean()) < 4.0 * errors).all()
    np.testing.assert_allclose(found.var(axis=0), law.var(), rtol=0.06)
