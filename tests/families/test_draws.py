"""Draws of the components given the labels, against the closed forms of SciPy; keys are fixed, so results are too."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.stats import kstest

import emjax
from emjax.families import Family
from emjax.families.draws import log_gamma
from emjax.families.laws import NormalGiven
from emjax.families.observations import observed
from emjax.moments import Summary

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
    laws = mixture.default_prior(x).components
    params = mixture.assembled(np.full(N_COMPONENTS, 1 / N_COMPONENTS), family.pooled(Summary(x), N_COMPONENTS))
    means = rng.uniform(1.0, 2.0, (N_COMPONENTS, n_features))
    params = mixture.assembled(params.weights, family.at_means(params, means))
    if isinstance(family, emjax.Normal):
        site, law = next((site, law) for site, law in laws.items() if site != "mean")
        field, more = ("degrees_of_freedom", 2.5) if site == "covariance" else ("shape", 1.25)
        law = dataclasses.replace(law, **{field: getattr(law, field) + more})
        laws = {site: law, "mean": NormalGiven(rng.normal(size=n_features), np.asarray(1.7))}
    return x, jax.tree.map(jnp.asarray, params), laws


def draw(family: emjax.Family, x, params, laws):
    """``N_DRAWS`` draws of the components for the labels, from the family's own statistics."""
    members = (LABELS[None, :] == np.arange(N_COMPONENTS)[:, None]).astype(float)

    @jax.jit
    def run(keys, x, members, params, laws):
        statistics, counts = family.statistics(params, observed(x), members), members.sum(1)
        return jax.vmap(lambda key: family.draw_components(key, statistics, counts, params, laws))(keys)

    return run(KEYS, jnp.asarray(x), jnp.asarray(members), params, jax.tree.map(jnp.asarray, laws))


def normal_posteriors(x, law):
    """Mean, precision, data's scatter with the prior mean's, and count of each component, written out anew."""
    found = []
    for k in range(N_COMPONENTS):
        mine = x[k == LABELS]
        n, centre = len(mine), mine.mean(0) if len(mine) else np.zeros(x.shape[1])
        precision = law.precision + n
        offset = centre - law.mean
        scatter = (mine - centre).T @ (mine - centre) + law.precision * n / precision * np.outer(offset, offset)
        found.append(((law.precision * law.mean + n * centre) / precision, precision, scatter, n))
    return found


def degrees_and_scatter(laws):
    """An inverse gamma is an inverse Wishart of one number, of half the numbers."""
    if "covariance" in laws:
        return laws["covariance"].degrees_of_freedom, laws["covariance"].scatter
    return 2.0 * laws["variance"].shape, 2.0 * laws["variance"].scale


def marginal(covariance: str, laws, posteriors, k: int, feature: int):
    """The posterior distribution of one component's variance of one feature, an inverse gamma in all structures."""
    (nu, psi), d = degrees_and_scatter(laws), len(laws["mean"].mean)
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
    x, params, laws = problem(family, n_features)
    drawn = draw(family, x, params, laws)
    posteriors = normal_posteriors(x, laws["mean"])
    for k, (centre, precision, _, _) in enumerate(posteriors):
        dispersion = np.asarray(drawn["covariance" if "covariance" in drawn else "variance"])
        matrices = dispersion if covariance == "tied" else dispersion[:, k]
        if covariance in ("diag", "spherical"):
            matrices = matrices.reshape(N_DRAWS, -1, 1) * np.eye(n_features)
        for feature in range(n_features):
            exact = marginal(covariance, laws, posteriors, k, feature)
            assert kstest(matrices[:, feature, feature], exact.cdf).pvalue > SMALLEST_P
        # Given its covariance a mean is normal: what is left of it is independent of the covariance.
        centred = np.asarray(drawn["mean"])[:, k] - centre
        whitened = np.sqrt(precision) * np.linalg.solve(np.linalg.cholesky(matrices), centred[..., None])[..., 0]
        assert kstest((whitened**2).sum(1), scipy.stats.chi2(n_features).cdf).pvalue > SMALLEST_P
        assert np.all(np.abs(whitened.mean(0)) < 4 / np.sqrt(N_DRAWS))
        variances = matrices[:, 0, 0]
        assert abs(np.corrcoef(np.log(variances), (whitened**2).sum(1))[0, 1]) < 4 / np.sqrt(N_DRAWS)

    if covariance == "full":
        _, _, scatter, n = posteriors[-1]
        nu, psi = degrees_and_scatter(laws)
        exact = scipy.stats.invwishart(float(nu + n), psi + scatter)
        matrices = np.asarray(drawn["covariance"])[:, -1]
        assert np.all(np.abs(matrices.mean(0) - exact.mean()) < 4 * np.sqrt(exact.var() / N_DRAWS))
        squares = (matrices - exact.mean()) ** 2
        assert np.all(np.abs(squares.mean(0) - exact.var()) < 4 * squares.std(0) / np.sqrt(N_DRAWS))


@pytest.mark.usefixtures("x64")
def test_poisson_rates_follow_their_conjugate_posterior():
    family = emjax.Poisson()
    x, params, laws = problem(family, 2)
    rate, law = np.asarray(draw(family, x, params, laws)["rate"]), laws["rate"]
    for k in range(N_COMPONENTS):
        mine = x[k == LABELS]
        for feature in range(2):
            exact = scipy.stats.gamma(law.shape + mine[:, feature].sum(), scale=1 / (law.rate[feature] + len(mine)))
            assert kstest(rate[:, k, feature], exact.cdf).pvalue > SMALLEST_P
    correlation = np.corrcoef(rate.reshape(N_DRAWS, -1).T)
    assert np.abs(correlation - np.eye(len(correlation))).max() < 4.5 / np.sqrt(N_DRAWS)


def test_a_family_without_a_conjugate_draw_says_so():
    class Plain(emjax.Poisson):
        draw_components = Family.draw_components
        conjugate: ClassVar = {}

    for family in (emjax.Normal(), emjax.Poisson()):
        assert family.refuses_gibbs(problem(family, 1)[2]) is None
    _, params, laws = problem(emjax.Poisson(), 1)
    assert Plain().refuses_gibbs(laws) == "poisson has no conjugate prior"
    chosen = emjax.Mixture(emjax.Poisson(), 2, {"rate": emjax.laws.LogNormal(0.0, 1.0)}).resolved_prior([1.0, 2.0, 3.0])
    assert emjax.Poisson().refuses_gibbs(chosen.components) == (
        "the law of rate is LogNormal, and Gamma would be conjugate"
    )
    with pytest.raises(TypeError, match="poisson has no conjugate draw of its components"):
        Plain().draw_components(KEYS[0], None, jnp.ones(2), params, laws)
