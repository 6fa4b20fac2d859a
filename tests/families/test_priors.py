"""Priors as a user writes them: which laws can be given where, and what is said of those that cannot."""

import jax
import numpy as np
import pytest

import emjax
from emjax import laws
from emjax.em.many import fit_many

X = np.random.default_rng(0).normal(size=(60, 2)) + np.repeat([[0.0, 0.0], [4.0, 1.0]], 30, axis=0)


def test_the_laws_of_the_default_prior_can_be_given():
    family = emjax.Normal()
    default = emjax.Mixture(family, 2).default_prior(X)
    given = emjax.Mixture(family, 2, dict(default.items())).resolved_prior(X)
    assert given.keys() == default.keys()
    for found, expected in zip(jax.tree.leaves(given), jax.tree.leaves(default), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_numbers_of_a_conjugate_prior_are_those_of_map_em():
    chosen = {"mean": laws.NormalGiven([1.0, -1.0], 40.0), "covariance": laws.InverseWishart(9.0, np.eye(2))}
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 1, chosen), X, key=0)
    n, average = len(X), X.mean(axis=0)
    center = np.array([1.0, -1.0])
    np.testing.assert_allclose(fit.params.mean[0], (40.0 * center + n * average) / (40.0 + n), rtol=1e-9)
    scatter = (X - average).T @ (X - average) + 40.0 * n / (40.0 + n) * np.outer(average - center, average - center)
    np.testing.assert_allclose(fit.params.covariance[0], (np.eye(2) + scatter) / (n + 9.0 + 4.0), rtol=1e-8)


@pytest.mark.parametrize(
    ("family", "given", "message"),
    [
        (emjax.Normal(), {"mean": laws.InverseWishart(4.0, np.eye(2))}, "no law of what mean is made of"),
        (emjax.Poisson(), {"rate": laws.NormalGiven([0.0], 1.0)}, "no law of what rate is made of"),
        (emjax.Normal(), {"scale": laws.Dirichlet([1.0, 1.0])}, "no law of what scale is made of"),
        (emjax.Normal(), {"rate": laws.Gamma(1.0, 1.0)}, "'rate' is no parameter of normal; there are weights, "),
    ],
)
def test_a_law_that_cannot_be_one_of_its_parameter_is_refused(family, given, message: str):
    with pytest.raises(ValueError, match=message):
        emjax.Mixture(family, 2, given)


def test_numbers_may_be_lists_and_are_one_for_each_feature():
    mixture = emjax.Mixture(emjax.Normal(), 2, {"mean": laws.Normal([0.0, 5.0, 7.0], 10.0)})
    with pytest.raises(ValueError, match=r"numbers of shape \(3,\), which do not fit mean of shape \(2, 2\)"):
        mixture.resolved_prior(X)
    found = emjax.Mixture(emjax.Normal(), 2, {"mean": laws.Normal([0.0, 5.0], 10.0)}).resolved_prior(X)["mean"]
    np.testing.assert_array_equal(found.mean, [0.0, 5.0])


def test_a_matrix_for_another_number_of_features_is_refused():
    mixture = emjax.Mixture(emjax.Normal(), 2, {"covariance": laws.InverseWishart(4.0, [[1.0]])})
    with pytest.raises(ValueError, match=r"shape \(1, 1\), which do not fit covariance of shape \(2, 2, 2\)"):
        mixture.resolved_prior(X)


def test_a_mixture_reads_like_its_declaration():
    mixture = emjax.Mixture(emjax.Normal("diag"), 2, {"mean": emjax.laws.Normal(0, 10)})
    assert repr(mixture) == (
        "Mixture(Normal(covariance='diag'), n_components=2, prior={'mean': Normal(mean=0, scale=10)})"
    )


def test_what_a_row_without_weight_holds_is_nobodys_business():
    x = np.array([[0.0], [1.0], [1.0], [7.0]])
    fit = emjax.fit(emjax.Mixture(emjax.Bernoulli(), 1), x, weights=[1, 1, 1, 0], key=0)
    np.testing.assert_allclose(fit.params.probability, [[2 / 3]])
    with pytest.raises(emjax.DataError, match=r"row 3 \(counting from 0\)"):
        emjax.fit(emjax.Mixture(emjax.Bernoulli(), 1), x, weights=[0, 1, 1, 1], key=0)


@pytest.mark.slow
@pytest.mark.runs_numpyro
def test_data_sets_with_laws_of_different_kinds_are_fitted_beside_each_other():
    import numpyro.distributions as dist

    x, mixture = np.random.default_rng(0).normal(size=(60, 1)), emjax.Mixture(emjax.Normal("diag"), 1)
    priors = [{"mean": dist.StudentT(3.0, 0.0, 0.01)}, {"mean": dist.Laplace(0.0, 0.01)}, "default"]
    fits = fit_many(mixture, [x] * 3, keys=0, priors=priors, n_init=1)
    assert [type(fit) for fit in fits] == [emjax.Fit] * 3
    alone = [emjax.fit(emjax.Mixture(emjax.Normal("diag"), 1, prior), x, key=0, n_init=1) for prior in priors]
    for ours, theirs in zip(fits, alone, strict=True):
        np.testing.assert_allclose(ours.params.mean, theirs.params.mean, rtol=1e-6, atol=1e-9)
