"""The telescoping sampler against figures that others have published."""

import numpy as np
import pytest
import scipy.optimize

import emjax
from emjax import metrics
from emjax.selection import DynamicWeights, FLaw, beta_negative_binomial, telescope, uniform

GALAXIES_RICHARDSON_GREEN = np.array([0.060, 0.134, 0.185, 0.194, 0.158, 0.109, 0.068, 0.041])
"""``p(K)`` of 3 to 10 components by Richardson and Green, Journal of the Royal Statistical Society B 59, 1997."""

GALAXIES_TELESCOPE = np.array([0.05, 0.15, 0.21, 0.20, 0.16, 0.11, 0.06, 0.03])
"""The same by the vignette of the R package telescope, to two digits, from one chain of 10,000 sweeps."""


@pytest.mark.slow
def test_galaxies_have_the_published_number_of_components():
    x = np.array(emjax.datasets.load("galaxies").values).reshape(-1)
    x[77] = 26.960  # the copy of the data that both have used
    found = telescope(emjax.Normal("diag"), x[:, None], n_components=uniform(30), key=0)
    assert found.converged, found.message
    own, error = found.p_components[2:10], found.p_components_error[2:10]
    assert (np.abs(own - GALAXIES_RICHARDSON_GREEN) < 0.01 + 3.0 * error).all()
    # One chain of 10,000 sweeps has a larger error than eight of many more.
    theirs = error * np.sqrt(8.0 * found.n_sweeps / 10_000.0)
    assert (np.abs(own - GALAXIES_TELESCOPE) < 0.01 + 3.0 * np.hypot(error, theirs)).all()


EYES = np.repeat(
    [34, 24, 22, 17, 15, 14, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    [1, 1, 1, 2, 2, 1, 2, 2, 2, 2, 1, 3, 3, 3, 2, 4, 9, 14, 46],
)
"""Counts of eye movements of 101 infants: Escobar and West, in Practical Nonparametric and Semiparametric Bayesian
Statistics, 1998, as the R package telescope has them."""


@pytest.mark.slow
def test_eye_tracking_has_the_published_numbers():
    """Modes 5 (with data) and 6, a mean of 9.5 components, by telescope's vignette: BNB(1, 4, 3), alpha ~ Ga(1, 2)."""
    found = telescope(
        emjax.Poisson(),
        EYES[:, None].astype(float),
        n_components=beta_negative_binomial(),
        weights=DynamicWeights(emjax.laws.Gamma(1.0, 2.0)),
        thin=30,  # 5 and 6 are nearly as probable
        key=3,
    )
    assert found.converged, found.message
    assert found.likeliest_clusters == 5
    assert found.likeliest == 6
    assert found.p_components @ np.arange(1, 51) == pytest.approx(9.52, abs=0.5)


FEAR = [5, 15, 3, 2, 4, 4, 3, 1, 1, 2, 4, 2, 0, 2, 0, 0, 1, 3, 2, 1, 2, 1, 3, 3, 2, 4, 1, 0, 0, 4, 1, 3, 2, 2, 7, 3]
"""How many of 93 infants had each pattern of motor activity (four levels, fastest), crying (three) and fear (three):
Stern, Arcus, Kagan, Rubin and Snidman, Behaviormetrika 21, 1994, as the R package telescope has them."""


@pytest.mark.slow
def test_latent_classes_of_fear_are_the_published_ones():
    """Two classes of weights .538 and .462, by telescope's vignette: BNB(1, 4, 3), alpha ~ F(6, 3), Dirichlet(1)."""
    patterns = np.stack([np.tile(np.repeat(range(3), 4), 3), np.repeat(range(3), 12), np.tile(range(4), 9)], axis=1)
    found = telescope(
        emjax.Categorical([3, 3, 4]),
        np.repeat(patterns, FEAR, axis=0).astype(float),
        prior={"probability": emjax.laws.Dirichlet(np.ones(4))},
        n_components=beta_negative_binomial(),
        weights=DynamicWeights(FLaw(6.0, 3.0)),
        thin=40,
        key=0,
    )
    assert found.converged, found.message
    assert found.likeliest_clusters == 2
    two = found.n_clusters == 2
    held = np.argsort(found.counts[two] == 0, axis=1, kind="stable")[:, :2]
    weights = np.take_along_axis(found.params.weights[two], held, axis=1)
    # The classes are told apart by the lowest level of the first column.
    lowest = np.take_along_axis(found.params.probability[two][:, :, 0, 0], held, axis=1)
    shares = np.take_along_axis(weights / weights.sum(axis=1, keepdims=True), np.argsort(-lowest, axis=1), axis=1)
    np.testing.assert_allclose(shares.mean(axis=0), [0.538, 0.462], atol=0.02)


@pytest.mark.slow
def test_thyroid_has_the_published_clusters():
    """Three, 8 of 215 amiss, adjusted Rand index .878, by telescope's vignette: BNB(1, 4, 3), alpha ~ F(6, 3)."""
    data = emjax.datasets.load("thyroid")
    found = telescope(
        emjax.Normal(),
        data.values,
        n_components=beta_negative_binomial(),
        weights=DynamicWeights(FLaw(6.0, 3.0)),
        chains=4,
        warmup=1000,
        thin=10,
        key=0,
    )
    assert found.p_clusters.argmax() + 1 == 3
    labels = found.partition().labels
    of_diagnoses = np.unique(data.labels, return_inverse=True)[1]
    table = np.array([[((labels == k) & (of_diagnoses == g)).sum() for k in range(3)] for g in range(3)])
    rows, columns = scipy.optimize.linear_sum_assignment(-table)
    assert len(labels) - table[rows, columns].sum() <= 9
    assert metrics.adjusted_rand(labels, of_diagnoses) == pytest.approx(0.878, abs=0.02)
    weights = np.sort(table.sum(axis=0) / len(labels))
    np.testing.assert_allclose(weights, [0.131, 0.170, 0.699], atol=0.02)
