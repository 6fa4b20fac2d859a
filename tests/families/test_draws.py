"""Draws of the components given the labels, against the closed forms of SciPy; keys are fixed, so results are too."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.stats import kstest

import emjax
from emjax.families import Family
from emjax.families.draws import log_gamma

N_DRAWS = 4000
SMALLEST_P = 1e-3
KEYS = jax.random.split(jax.random.key(20), N_DRAWS)
LABELS = np.repeat([0, 1, 3], [5, 12, 30])  # nobody is in component 2
N_COMPONENTS = 4


@pytest.mark.usefixtures("x64")
def test_log_gammas_of_all_sizes_of_shape():
    shapes = np.array([1e-5, 0.02, 0.5, 0.999, 1.0, 1.5, 20.0, 5e3])
    draws = np.asarray(jax.jit(jax.vmap(lambda key: log_gamma(key, jnp.asarray(shapes))))(KEYS))
    for shape, logs in zip(shapes, draws.T, strict=True):
        assert kstest(logs, scipy.stats.loggamma(shape).cdf).pvalue > SMALLEST_P
    assert np.median(draws[:, 0]) < np.log(np.finfo(float).tiny)
    # One independent number per shape, and not the same one for all.
    correlation = np.corrcoef(draws.T)
    assert np.abs(correlation - np.eye(len(shapes))).max() < 4.5 / np.sqrt(N_DRAWS)


def test_log_gammas_of_large_shapes_in_float32_keep_their_spread():
    shape = np.float32(2e7)
    logs = np.asarray(jax.jit(lambda key: log_gamma(key, jnp.full(N_DRAWS, shape)))(KEYS[0]), dtype=float)
    spread = np.sqrt(shape) * (logs - np.log(shape))
    # The float32 numbers nearest to log(2e7) lie 0.009 deviations apart.
    assert abs(spread.std() - 1) < 4 / np.sqrt(2 * N_DRAWS) + 0.005


def problem(family: emjax.Family, n_features: int):
    """Data with labels, statistics taken at parameters that fit badly, and a prior of which every number matters."""
    rng = np.random.default_rng(n_features)
    mixture = emjax.Mixture(family, N_COMPONENTS)
    x = rng.normal(size=(len(LABELS), n_features)) @ rng.normal(size=(n_features, n_features)) + LABELS[:, None]
    if isinstance(family, emjax.Poisson):
        x = rng.poisson(2.0 + 3.0 * LABELS[:, None], size=x.shape).astype(float)
    prior = mixture.default_prior(x).components
    params = family.at_means(family.pooled(x, N_COMPONENTS), rng.uniform(1.0, 2.0, (N_COMPONENTS, n_features)))
    if isinstance(family, emjax.Normal):
        prior = dataclasses.replace(
            prior,
            mean=rng.normal(size=n_features),
            precision=np.asarray(1.7),
            degrees_of_freedom=prior.degrees_of_freedom + 2.5,
        )
    return x, jax.tree.map(jnp.asarray, params), prior


def draw(family: emjax.Family, x, params, prior):
    """``N_DRAWS`` draws of the components for the labels, from the family's own statistics."""
    members = (LABELS[None, :] == np.arange(N_COMPONENTS)[:, None]).astype(float)

    @jax.jit
    def run(keys, x, members, params, prior):
        statistics, counts = family.statistics(params, x, members), members.sum(1)
        return jax.vmap(lambda key: family.draw_components(key, statistics, counts, params, prior))(keys)

    return run(KEYS, jnp.asarray(x), jnp.asarray(members), params, jax.tree.map(jnp.asarray, prior))


def normal_posteriors(x, prior):
    """Mean, precision, data's scatter with the prior mean's, and count of each component, written out anew."""
    found = []
    for k in range(N_COMPONENTS):
        mine = x[k == LABELS]
        n, centre = len(mine), mine.mean(0) if len(mine) else np.zeros(x.shape[1])
        precision = prior.precision + n
        offset = centre - prior.mean
        scatter = (mine - centre).T @ (mine - centre) + prior.precision * n / precision * np.outer(offset, offset)
        found.append(((prior.precision * prior.mean + n * centre) / precision, precision, scatter, n))
    return found


def marginal(covariance: str, prior, posteriors, k: int, feature: int):
    """The posterior distribution of one component's variance of one feature, an inverse gamma in all structures."""
    nu, psi, d = prior.degrees_of_freedom, prior.scatter, len(prior.mean)
    _, _, scatter, n = posteriors[k]
    if covariance == "full":
        shape, rate = nu + n - d + 1, (psi + scatter)[feature, feature]
    elif covariance == "tied":
        shape, rate = nu + len(LABELS) - d + 1, (psi + sum(s for _, _, s, _ in posteriors))[feature, feature]
    elif covariance == "diag":
        shape, rate = nu + n, psi[feature] + scatter[feature, feature]
    else:
        shape, rate = nu + n * d, psi + np.trace(scatter)
    return scipy.stats.invgamma(shape / 2, scale=rate / 2)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("covariance", "n_features"), [("full", 3), ("tied", 2), ("diag", 2), ("spherical", 2)])
def test_normal_components_follow_their_conjugate_posterior(covariance: str, n_features: int):
    family = emjax.Normal(covariance=covariance)
    x, params, prior = problem(family, n_features)
    drawn = draw(family, x, params, prior)
    posteriors = normal_posteriors(x, prior)
    for k, (centre, precision, _, _) in enumerate(posteriors):
        dispersion = np.asarray(drawn.dispersion)
        matrices = dispersion if covariance == "tied" else dispersion[:, k]
        if covariance in ("diag", "spherical"):
            matrices = matrices.reshape(N_DRAWS, -1, 1) * np.eye(n_features)
        for feature in range(n_features):
            exact = marginal(covariance, prior, posteriors, k, feature)
            assert kstest(matrices[:, feature, feature], exact.cdf).pvalue > SMALLEST_P
        # Given its covariance a mean is normal: what is left of it is independent of the covariance.
        centred = np.asarray(drawn.mean)[:, k] - centre
        whitened = np.sqrt(precision) * np.linalg.solve(np.linalg.cholesky(matrices), centred[..., None])[..., 0]
        assert kstest((whitened**2).sum(1), scipy.stats.chi2(n_features).cdf).pvalue > SMALLEST_P
        assert np.all(np.abs(whitened.mean(0)) < 4 / np.sqrt(N_DRAWS))
        variances = matrices[:, 0, 0]
        assert abs(np.corrcoef(np.log(variances), (whitened**2).sum(1))[0, 1]) < 4 / np.sqrt(N_DRAWS)

    if covariance == "full":
        _, _, scatter, n = posteriors[-1]
        exact = scipy.stats.invwishart(float(prior.degrees_of_freedom + n), prior.scatter + scatter)
        matrices = np.asarray(drawn.dispersion)[:, -1]
        assert np.all(np.abs(matrices.mean(0) - exact.mean()) < 4 * np.sqrt(exact.var() / N_DRAWS))
        squares = (matrices - exact.mean()) ** 2
        assert np.all(np.abs(squares.mean(0) - exact.var()) < 4 * squares.std(0) / np.sqrt(N_DRAWS))


@pytest.mark.usefixtures("x64")
def test_poisson_rates_follow_their_conjugate_posterior():
    family = emjax.Poisson()
    x, params, prior = problem(family, 2)
    rate = np.asarray(draw(family, x, params, prior).rate)
    for k in range(N_COMPONENTS):
        mine = x[k == LABELS]
        for feature in range(2):
            exact = scipy.stats.gamma(
                prior.shape + mine[:, feature].sum(), scale=1 / (prior.inverse_scale[feature] + len(mine))
            )
            assert kstest(rate[:, k, feature], exact.cdf).pvalue > SMALLEST_P
    correlation = np.corrcoef(rate.reshape(N_DRAWS, -1).T)
    assert np.abs(correlation - np.eye(len(correlation))).max() < 4.5 / np.sqrt(N_DRAWS)


def test_a_family_without_a_conjugate_draw_says_so():
    class Plain(emjax.Poisson):
        draw_components = Family.draw_components

    assert emjax.Normal().conjugate
    assert emjax.Poisson().conjugate
    assert not Plain().conjugate
    with pytest.raises(TypeError, match="poisson has no conjugate draw of its components"):
        Plain().draw_components(KEYS[0], None, jnp.ones(2), None, None)
