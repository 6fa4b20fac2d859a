"""The laws of simulated data: densities that SciPy knows, declared moments, and samples that follow them."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from emjax.datasets.laws import LocationScaleLaw, normal_law, poisson_law
from emjax.datasets.shapes import NORMAL, SkewNormal, StudentT, Uniform

SHAPES = [NORMAL, StudentT(5.0), StudentT(2.5), SkewNormal(0.9), SkewNormal(-0.99), Uniform()]
COVARIANCE = np.array([[[2.0, -1.2], [-1.2, 1.0]], [[0.5, 0.3], [0.3, 3.0]]])
MEAN = np.array([[0.0, 5.0], [3.0, -1.0]])


def test_student_t_with_very_many_degrees_of_freedom_is_normal():
    z = np.array([[0.0, 0.0], [1.0, -2.0]])
    assert np.allclose(StudentT(1e14).log_density(z), NORMAL.log_density(z), rtol=0, atol=1e-10)


def two_features(shape):
    return normal_law(weights=[0.3, 0.7], mean=MEAN, covariance=COVARIANCE, shape=shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_feature_integrates_to_one_with_the_declared_moments(shape):
    law = LocationScaleLaw(np.ones(1), np.array([[1.5]]), np.array([[[4.0]]]), shape)

    def moment(power):
        edges = np.array([-np.inf, 1.5 - 2 * np.sqrt(3), 1.5, 1.5 + 2 * np.sqrt(3), np.inf])
        return sum(
            integrate.quad(lambda x: (x - 1.5) ** power * np.exp(law.log_density([[x]])[0]), low, high, limit=500)[0]
            for low, high in pairwise(edges)
        )

    assert moment(0) == pytest.approx(1.0, abs=1e-7)
    assert moment(1) == pytest.approx(0.0, abs=1e-6)
    assert moment(2) == pytest.approx(4.0, rel=2e-3 if shape == StudentT(2.5) else 1e-6)


def test_densities_are_those_of_scipy():
    x = np.linspace(-4.0, 4.0, 9)
    rows = np.random.default_rng(0).normal(size=(7, 2)) * 3
    nu, delta = 5.0, 0.9
    scale = np.sqrt((nu - 2) / nu)
    alpha = delta / np.sqrt(1 - delta**2)
    skewed = stats.skewnorm(alpha)
    assert np.allclose(StudentT(nu).log_density(x[:, None]), stats.t(nu, scale=scale).logpdf(x), rtol=0, atol=1e-12)
    standard = skewed.logpdf(skewed.mean() + skewed.std() * x) + np.log(skewed.std())
    assert np.allclose(SkewNormal(delta).log_density(x[:, None]), standard, rtol=0, atol=1e-10)
    shifted = stats.multivariate_t(MEAN[0], COVARIANCE[0] * (nu - 2) / nu, df=nu).logpdf(rows)
    assert np.allclose(two_features(StudentT(nu)).log_components(rows)[:, 0], shifted, rtol=0, atol=1e-10)
    reference = np.log(
        sum(w * stats.multivariate_normal(m, c).pdf(rows) for w, m, c in zip((0.3, 0.7), MEAN, COVARIANCE, strict=True))
    )
    assert np.allclose(two_features(NORMAL).log_density(rows), reference, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_samples_have_the_declared_means_and_covariances(shape):
    n_samples = 40_000
    values, labels = two_features(shape).sample(n_samples, np.random.default_rng(1))
    for component in range(2):
        members = values[labels == component] - MEAN[component]
        share = (0.3, 0.7)[component]
        assert abs(len(members) / n_samples - share) < 4 * np.sqrt(share * (1 - share) / n_samples)
        for power in (members, members[:, :, None] * members[:, None, :]):
            if power.ndim == 3 and shape == StudentT(2.5):
                continue  # no fourth moment, no standard error
            truth = 0.0 if power.ndim == 2 else COVARIANCE[component]
            error = power.std(axis=0) / np.sqrt(len(members))
            assert (np.abs(power.mean(axis=0) - truth) < 4.5 * error).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_random_and_evenly_spread_uniforms_follow_the_density(shape):
    # P(x <= 0.3) of the first coordinate, by samples and by integration of the density
    draws = shape.sample(20_000, 1, np.random.default_rng(2))[:, 0]
    exact = integrate.quad(lambda z: np.exp(shape.log_density(np.array([z]))), -np.sqrt(3), 0.3)[0]
    inside = draws[draws > -np.sqrt(3)]
    assert abs((inside <= 0.3).mean() * len(inside) / 20_000 - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000)


def test_responsibilities_are_bayes_rule_also_where_nothing_has_density():
    law = LocationScaleLaw(np.array([0.2, 0.8]), np.array([[0.0], [1.0]]), np.ones((2, 1, 1)), Uniform())
    shares = law.responsibilities(np.array([[-1.0], [0.5], [2.0], [50.0]]))
    assert np.allclose(shares, [[1.0, 0.0], [0.2, 0.8], [0.0, 1.0], [0.2, 0.8]], rtol=0, atol=1e-12)
    assert law.log_density(np.array([[50.0]]))[0] == -np.inf


def test_poisson_law_is_that_of_scipy_and_gives_no_density_to_what_is_no_count():
    law = poisson_law(weights=[0.25, 0.75], rate=[[1.0, 20.0], [6.0, 0.5]])
    counts = np.array([[0.0, 0.0], [3.0, 18.0], [7.0, 1.0]])
    each = [stats.poisson(rate).pmf(counts).prod(axis=1) for rate in ([1.0, 20.0], [6.0, 0.5])]
    assert np.allclose(law.log_density(counts), np.log(0.25 * each[0] + 0.75 * each[1]), rtol=0, atol=1e-12)
    assert (law.log_density(np.array([[1.5, 0.0], [-1.0, 2.0]])) == -np.inf).all()
    assert set(law.parameters) == {"weights", "rate"}


def test_parameters_are_named_as_those_of_a_mixture():
    named = two_features(NORMAL).parameters
    assert list(named) == ["weights", "mean", "scale", "covariance", "correlation"]
    assert np.allclose(named["correlation"][:, 0, 1], [-1.2 / np.sqrt(2.0), 0.3 / np.sqrt(1.5)])
    one = normal_law(weights=[1.0], mean=[0.0], scale=[2.0]).parameters
    assert "correlation" not in one
    assert one["scale"].tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("shape", "setting", "words"),
    [(StudentT, 2.0, "above 2"), (StudentT, np.inf, "finite"), (SkewNormal, 1.0, "between -1 and 1")],
)
def test_shapes_without_the_declared_moments_are_refused(refusal, shape, setting, words):
    assert words in refusal(shape, setting)
