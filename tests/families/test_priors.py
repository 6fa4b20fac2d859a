"""Priors as a user writes them: which laws can be given where, and what is said of those that cannot."""

import jax
import numpy as np
import pytest

import emjax
from emjax import laws
from emjax.em.many import fit_many
from emjax.families.proper import check_proper

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


def test_degrees_of_freedom_of_each_component_tell_them_apart():
    x = np.random.default_rng(0).normal(size=(30, 2))
    for degrees, alike in (([5.0, 50.0], False), ([5.0, 5.0], True), (5.0, True)):
        prior = {"covariance": emjax.laws.InverseWishart(degrees, np.eye(2))}
        assert emjax.Mixture(emjax.Normal(), 2, prior=prior).resolved_prior(x).exchangeable is alike
    for law in (emjax.laws.InverseWishart([5.0, 5.0, 5.0], np.eye(2)), emjax.laws.InverseWishart([[5.0]], np.eye(2))):
        with pytest.raises(ValueError, match="which do not fit covariance"):
            emjax.Mixture(emjax.Normal(), 2, prior={"covariance": law}).resolved_prior(x)


@pytest.mark.parametrize("precision", [[1.0, 50.0], [[1.0], [50.0]]])
def test_a_mean_given_its_covariance_has_one_precision(precision):
    prior = {"mean": emjax.laws.NormalGiven(0.0, precision)}
    with pytest.raises(ValueError, match="which do not fit mean"):
        emjax.Mixture(emjax.Normal(), 2, prior=prior).resolved_prior(np.eye(5)[:, :2])


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


def _by_hand(params):
    """What NumPyro has for the sites of the priors below, at parameters of two normals of two features."""
    import numpyro.distributions as dist

    covariance = np.asarray(params.covariance)
    scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    correlation = covariance / (scale[:, :, None] * scale[:, None, :])
    given = dist.MultivariateNormal(np.ones(2), scale_tril=np.linalg.cholesky(covariance / 0.5))
    return jax.jit(
        lambda: {
            "weights": dist.Dirichlet(np.array([2.0, 3.0])).log_prob(params.weights),
            "covariance": dist.InverseWishart(5.0, scale_tril=2.0 * np.eye(2)).log_prob(covariance).sum(),
            "mean given": given.log_prob(params.mean).sum(),
            "scale": dist.HalfNormal(3.0).log_prob(scale).sum(),
            "correlation": dist.LKJ(2, 1.5).log_prob(correlation).sum(),
            "mean": dist.Normal(np.array([0.0, 5.0]), 10.0).log_prob(params.mean).sum(),
        }
    )()


@pytest.mark.runs_numpyro
@pytest.mark.parametrize(
    ("given", "mean"),
    [
        (
            {"covariance": laws.InverseWishart(5.0, 4.0 * np.eye(2)), "mean": laws.NormalGiven(np.ones(2), 0.5)},
            " given",
        ),
        ({"scale": laws.HalfNormal(3.0), "correlation": laws.LKJ(1.5), "mean": laws.Normal([0.0, 5.0], 10.0)}, ""),
    ],
)
def test_the_log_density_of_each_site_is_that_of_its_distribution(x64, given, mean: str):
    mixture = emjax.Mixture(emjax.Normal(), 2, {"weights": laws.Dirichlet([2.0, 3.0]), **given})
    prior = mixture.resolved_prior(X)
    params = mixture.params(
        weights=[0.3, 0.7],
        mean=[[0.5, -1.0], [2.0, 4.0]],
        covariance=[[[1.0, 0.3], [0.3, 2.0]], [[3.0, -1.0], [-1.0, 1.0]]],
    )
    found, whole = jax.jit(lambda prior, params: (prior.log_probs(params), prior.log_prob(params)))(prior, params)
    assert set(found) == {"weights", *given}
    expected = _by_hand(params)
    for site, value in found.items():
        np.testing.assert_allclose(value, expected[site + (mean if site == "mean" else "")], rtol=1e-9, err_msg=site)
    np.testing.assert_allclose(whole, sum(map(float, found.values())), rtol=1e-12)


def test_maximum_likelihood_is_the_mode_under_flat_laws_of_scales():
    family, flat = emjax.Normal("diag"), {"scale": laws.Flat(), "mean": laws.Flat()}
    fit = emjax.fit(emjax.Mixture(family, 1, flat), X[:, :1], key=0, n_init=1)
    np.testing.assert_allclose(fit.params.scale[0], X[:, :1].std(axis=0), rtol=1e-8)


def test_a_law_of_rotations_takes_the_precision_that_there_is():
    # NumPy's double precision, where JAX has single, had been asked for with a warning.
    assert laws.UniformRotations().log_prob(np.eye(3)[None]).dtype == np.float32


COUNTS = np.random.default_rng(1).poisson(3.0, (40, 1)).astype(float)

_EMPTY = "of a component that holds no data the posterior is the prior"


@pytest.mark.parametrize(
    ("mixture", "x", "message"),
    [
        (
            emjax.Mixture(emjax.Normal(), 2, {"mean": laws.Flat()}),
            X,
            rf"'mean'\] is Flat\(\), .*{_EMPTY}.*Normal\(0, 10\)",
        ),
        (
            emjax.Mixture(emjax.Normal(), 2, {"scale": laws.Flat()}),
            X,
            rf"'scale'\] .* integrate .*{_EMPTY}; give a proper",
        ),
        (
            emjax.Mixture(emjax.Normal("tied"), 2, {"covariance": laws.Flat()}),
            X,
            "'covariance'.* evidence and draws from",
        ),
        (
            emjax.Mixture(emjax.Normal(), 1, {"mean": laws.Flat()}),
            X,
            "'mean'.* the evidence and draws from the prior do",
        ),
        (emjax.Mixture(emjax.StudentT(), 2, {"df": laws.Flat()}), X, r"'df'\] is Flat.*leave 'df' out for its default"),
        (
            emjax.Mixture(emjax.Normal(), 2, {"mean": laws.Normal(0.0, np.inf)}),
            X,
            "no law: scale must be positive and fin",
        ),
        (emjax.Mixture(emjax.Normal(), 2, {"mean": laws.Normal(np.nan, 1.0)}), X, "no law: mean must be finite"),
        (
            emjax.Mixture(emjax.Normal(), 2, {"mean": laws.NormalGiven([0.0, 0.0], 0.0)}),
            X,
            "no law: precision must be po",
        ),
        (
            emjax.Mixture(emjax.Normal(), 2, {"covariance": laws.InverseWishart(1.0, np.eye(2))}),
            X,
            "freedom must be above 1",
        ),
        (
            emjax.Mixture(emjax.Normal(), 2, {"covariance": laws.InverseWishart(4.0, np.ones((2, 2)))}),
            X,
            "scatter must be positive definite",
        ),
        (emjax.Mixture(emjax.Normal("diag"), 2, {"variance": laws.InverseGamma(0.0, 1.0)}), X, "no law: shape must be"),
        (emjax.Mixture(emjax.Poisson(), 2, {"rate": laws.Gamma(0.0, 0.0)}), COUNTS, "no law: shape must be positive"),
        (emjax.Mixture(emjax.Poisson(), 2, {"rate": laws.Gamma(1.0, [0.0])}), COUNTS, "no law: rate must be positive"),
        (
            emjax.Mixture(emjax.Bernoulli(), 2, {"probability": laws.Flat()}),
            (COUNTS > 2).astype(float),
            r"the uniform .*Beta\(1, 1\)",
        ),
        (
            emjax.Mixture(emjax.Bernoulli(), 2, {"probability": laws.Beta(1.0, 0.0)}),
            (COUNTS > 2).astype(float),
            "no law: zeros must be",
        ),
        (
            emjax.Mixture(emjax.Poisson(), 2, {"weights": laws.Dirichlet([1.0, np.inf])}),
            COUNTS,
            "concentration must be",
        ),
    ],
)
def test_a_law_that_does_not_integrate_has_no_posterior(mixture, x, message: str):
    with pytest.raises(emjax.ConfigError, match=message):
        emjax.sample(mixture, x, key=0)


def test_a_fit_under_a_law_that_is_none_says_which():
    mixture = emjax.Mixture(emjax.Poisson(), 1, {"rate": laws.Gamma(0.0, 0.0)})
    fit = emjax.fit(mixture, COUNTS, key=0, n_init=1)
    assert fit.status.value == "nonfinite"
    assert fit.message == "Prior['rate'] is a Gamma, which is no law: shape must be positive and finite."


@pytest.mark.runs_numpyro
def test_a_distribution_of_numpyro_that_does_not_integrate_has_no_posterior():
    import numpyro.distributions as dist

    improper = {
        "ImproperUniform, which does not integrate ": dist.ImproperUniform(dist.constraints.real, (), ()),
        "does not integrate where it is masked": dist.Normal(0.0, 1.0).mask(False),
        "Uniform, which is no law: none of its draws is finite": dist.Uniform(-np.inf, np.inf),
    }
    for message, distribution in improper.items():
        mixture = emjax.Mixture(emjax.Normal(), 2, {"mean": distribution})
        with pytest.raises(emjax.ConfigError, match=message):
            emjax.sample(mixture, X, key=0)
    for site, distribution in (
        ("scale", dist.TruncatedNormal(0.0, 1.0, low=0.0, high=np.inf)),
        ("mean", dist.Normal(0.0, 1.0).mask(True)),
    ):
        check_proper(emjax.Mixture(emjax.Normal(), 2, {site: distribution}).resolved_prior(X))


@pytest.mark.runs_numpyro
def test_a_law_of_other_numbers_than_the_parameter_s_is_refused():
    import numpyro.distributions as dist

    # Nothing would hold a parameter within such bounds: the MAP of this rate was 8.6, and draws of it "converged".
    for family, prior, message in (
        (emjax.Poisson(), {"rate": dist.Uniform(0.0, 5.0)}, "a law of all numbers between 0 and 5; rate needs"),
        (emjax.Poisson(), {"rate": laws.Normal(0.0, 1.0)}, "a Normal, a law of all numbers; rate needs .* positive"),
        (emjax.Poisson(), {"rate": dist.Pareto(1.0, 2.0)}, "a Pareto, a law of all numbers above 1; rate needs"),
        (emjax.Normal(), {"mean": laws.LogNormal(0.0, 1.0)}, "all positive numbers; mean needs a law of all numbers$"),
        (emjax.Normal(), {"mean": dist.Poisson(3.0)}, "a Poisson, a law of whole numbers; mean needs"),
        (emjax.Bernoulli(), {"probability": dist.HalfNormal(1.0)}, "probability needs a law of all numbers between 0"),
    ):
        with pytest.raises(ValueError, match=message):
            emjax.Mixture(family, 2, prior)
    emjax.Mixture(emjax.Bernoulli(), 2, {"probability": dist.Uniform(0.0, 1.0)})


@pytest.mark.parametrize(
    ("site", "law", "message"),
    [
        ("mean", laws.Normal(0.0, laws.Gamma(1.0, 1.0)), r"'mean'\] is a Normal whose scale is Gamma\(.*telescope$"),
        ("variance", laws.InverseGamma(2.0, "a"), r"'variance'\] is a InverseGamma whose scale is 'a': give numbers$"),
        ("mean", laws.Normal(None, 1.0), r"'mean'\] is a Normal whose mean is None: give numbers$"),
        ("mean", laws.Normal([[1.0], [2.0, 3.0]], 1.0), "whose mean is .*: give numbers$"),
        ("weights", laws.Dirichlet(laws.Gamma(1.0, 1.0)), "whose concentration is Gamma.*telescope$"),
    ],
)
def test_what_is_no_number_of_a_law_is_named(site: str, law, message: str):
    with pytest.raises(ValueError, match=message):
        emjax.Mixture(emjax.Normal("diag"), 2, {site: law})


@pytest.mark.runs_numpyro
def test_a_distribution_of_numpyro_is_a_law_inside_compiled_programs_too(x64):
    import numpyro.distributions as dist

    prior = {"scale": dist.HalfCauchy(2.0), "mean": dist.StudentT(3.0, 0.0, 10.0)}
    prior = emjax.Mixture(emjax.Normal("diag"), 2, prior).resolved_prior(X)
    drawn = prior.draws(jax.random.key(0), 4000)
    assert (drawn.scale > 0).all()
    np.testing.assert_allclose(np.median(drawn.scale), 2.0, rtol=0.05)
    np.testing.assert_allclose(np.quantile(drawn.mean, 0.75), 10.0 * 0.76489, rtol=0.08)
    # In other units it is the same law, and its numbers stay positive.
    law = prior["scale"].rescaled(np.zeros(()), np.array([4.0, 0.5]))
    value = np.array([[0.1, 3.0], [2.0, 0.7]])
    with jax.numpy_rank_promotion("allow"):  # NumPyro relies on it
        found = jax.jit(lambda law, value: law.numpyro((2, 2)).log_prob(value))(law, value)
    in_own_units = 2.0 / (np.pi * 2.0 * (1.0 + (value * np.array([[4.0, 0.5]]) / 2.0) ** 2))
    np.testing.assert_allclose(found, np.log(in_own_units * np.array([[4.0, 0.5]])).sum(), rtol=1e-12)
    assert law.numpyro((2, 2)).support.base_constraint.lower_bound.min() == 0.0


def test_default_priors_are_proper_whatever_the_number_of_levels():
    levels = np.array([["a", "x"], ["b", "y"], ["c", "x"], ["a", "y"]], dtype=object)
    for family, x in ((emjax.Categorical(), levels), (emjax.Normal(), X), (emjax.StudentT(), X), (emjax.Gamma(), X**2)):
        check_proper(emjax.Mixture(family, 2, "default").resolved_prior(x))


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
