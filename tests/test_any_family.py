"""What the code around families may not take for granted: each of these families breaks a habit of those there are."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
from imitation import imitated
from scipy import stats

import emjax
from emjax.bayes.bridge import MarginalMixture
from emjax.em import seeding
from emjax.families.domains import POSITIVE, REAL
from emjax.families.parameters import Parameter, Unit


@dataclasses.dataclass(frozen=True)
class SizeFirst(emjax.Normal):
    """Its first named parameter is one number per component, not one per feature."""

    name: ClassVar[str] = "size first"

    derived: ClassVar[tuple[str, ...]] = ("size", *emjax.Normal.derived)

    def reported(self, n_features):
        return ("size", *super().reported(n_features))

    def reading(self, name):
        return Parameter(POSITIVE, ()) if name == "size" else super().reading(name)

    def derive(self, name, params):
        return params.scale.prod(axis=-1) if name == "size" else super().derive(name, params)


@dataclasses.dataclass(frozen=True)
class LogLinked(emjax.Normal):
    """Estimates of its first parameter are nearest to normal on a log scale, and its data are no counts."""

    name: ClassVar[str] = "log linked"

    @property
    def parameters(self):
        return {**super().parameters, "mean": Parameter(POSITIVE, ("feature",), Unit.LOCATION)}


@dataclasses.dataclass(frozen=True)
class IdentityLinked(emjax.Poisson):
    """Counts whose rates are told on their own scale."""

    name: ClassVar[str] = "identity linked"
    parameters: ClassVar = {"rate": Parameter(REAL)}


def test_the_first_parameter_need_not_have_a_number_per_feature():
    mixture = emjax.Mixture(SizeFirst(), 3)
    params = mixture.params(mean=[[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]], scale=np.ones((3, 2)))
    x = np.array([[0.5, 0.1], [3.0, -1.0]])
    expected = [stats.norm.logpdf(x, mean).sum(axis=1) - np.log(3.0) for mean in params.mean]
    np.testing.assert_allclose(mixture.log_joint(params, x), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"expected \(n_samples, 2\)"):
        mixture.log_joint(params, x[:, :1])
    assert MarginalMixture(mixture, params).event_shape == (2,)


def test_labels_are_aligned_by_all_numbers_of_a_component():
    # Two crossing clouds: weights, means and scales are the same, and only correlations tell them apart.
    rng = np.random.default_rng(0)
    up = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.95], [0.95, 1.0]], 150)
    x = np.concatenate([up, -up, up * [1.0, -1.0], up * [-1.0, 1.0]])
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2, "default"), x, key=0, n_init=4, accelerate="none")
    params = fit.params
    np.testing.assert_allclose(params.mean[0], params.mean[1], atol=1e-3)
    np.testing.assert_allclose(params.scale[0], params.scale[1], rtol=1e-3)
    alignment = imitated(fit).alignment
    assert alignment.agreement == 1.0
    assert alignment.trust > 0.9


def test_numbers_per_component_are_aligned_too():
    x = emjax.datasets.load("faithful")
    fit = emjax.fit(emjax.Mixture(SizeFirst(), 2, "default"), x, key=0, n_init=2, accelerate="none")
    assert imitated(fit).alignment.trust > 0.9


def test_the_family_says_where_distances_mean_something():
    rng = np.random.default_rng(0)
    positive, counts = rng.gamma(3.0, size=(50, 2)), rng.poisson(9.0, size=(50, 2)).astype(float)
    np.testing.assert_array_equal(seeding.coordinates(LogLinked(), positive, sphered=False), positive)
    for sphered in (False, True):
        np.testing.assert_array_equal(seeding.coordinates(IdentityLinked(), counts, sphered=sphered), np.sqrt(counts))
    sphered = seeding.coordinates(LogLinked(), positive, sphered=True)
    np.testing.assert_allclose(np.cov(sphered, rowvar=False, bias=True), np.eye(2), atol=1e-9)


def test_two_counts_far_off_are_a_component():
    rng = np.random.default_rng(0)
    x = np.r_[rng.poisson(2, 200), rng.poisson(15, 200), 60, 60]
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 3), x, key=0)
    assert fit.optima[0].effective_counts.min() == pytest.approx(2.0, abs=0.1)
    assert fit.optima[0].kind == "regular"
    assert not fit.spurious


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
def test_how_many_points_are_few_follows_from_what_a_component_has_to_be_estimated(covariance: str):
    # Of ten features: eight points are fewer than a covariance matrix needs, and four times those of a variance.
    narrow = {
        "full": np.array([1e-6 * np.eye(10), np.eye(10)]),
        "diag": np.array([[1e-6] * 10, [1.0] * 10]),
        "spherical": np.array([1e-6, 1.0]),
    }
    mixture = emjax.Mixture(emjax.Normal(covariance=covariance), 2)
    params = mixture.params(mean=[[0.0] * 10, [5.0] * 10], covariance=narrow[covariance])
    weights = np.array([0.01, 0.99])
    for count, few in ((8.0, covariance == "full"), (6.0, True)):
        found = mixture.family.without_bound(params, weights, np.array([count, 800.0 - count]), 10)
        assert found.tolist() == [few, False]
