"""Simulated mixtures: the right law, the truth kept beside the data, and errors in the arguments."""

import numpy as np
import pytest

from emjax import datasets
from emjax.datasets.simulate import normal_mixture, poisson_mixture

TEXTBOOK = {"weights": [0.3, 0.7], "mean": [-1.0, 2.0], "scale": [0.5, 1.5], "n_samples": 20_000}


def within(estimate, truth, standard_error):
    """Within four and a half standard errors, entry by entry (about 1 in 150,000 for each)."""
    return (np.abs(estimate - truth) < 4.5 * np.asarray(standard_error)).all()


def test_textbook_case_has_the_law_asked_for():
    data = normal_mixture(**TEXTBOOK, seed=1)
    assert isinstance(data, datasets.Dataset)
    assert (data.shape, data.feature_names, data.name) == ((20_000, 1), ("x",), "simulated")
    assert "seed 1" in data.source
    assert data.labels.shape == (20_000,)
    for component, (weight, mean, scale) in enumerate(zip([0.3, 0.7], [-1.0, 2.0], [0.5, 1.5], strict=True)):
        members = data.values[data.labels == component, 0]
        n = members.size
        assert within(n / 20_000, weight, np.sqrt(weight * (1 - weight) / 20_000))
        assert within(members.mean(), mean, scale / np.sqrt(n))
        assert within(members.std(), scale, scale / np.sqrt(2 * n))


def test_truth_is_kept_in_full_shapes():
    truth = normal_mixture(**TEXTBOOK, seed=1).truth
    assert truth["weights"].tolist() == [0.3, 0.7]
    assert truth["mean"].tolist() == [[-1.0], [2.0]]
    assert truth["scale"].tolist() == [[0.5], [1.5]]
    assert truth["covariance"].tolist() == [[[0.25]], [[2.25]]]


def test_same_seed_same_data_and_another_seed_other_data():
    first, second = normal_mixture(**TEXTBOOK, seed=1), normal_mixture(**TEXTBOOK, seed=1)
    assert np.array_equal(first.values, second.values)
    assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.values, normal_mixture(**TEXTBOOK, seed=2).values)


def test_full_covariances():
    covariance = np.array([[[2.0, -1.2], [-1.2, 1.0]], [[0.5, 0.3], [0.3, 3.0]]])
    data = normal_mixture(
        weights=[0.5, 0.5], mean=[[0.0, 5.0], [3.0, -1.0]], covariance=covariance, n_samples=40_000, seed=3
    )
    assert data.feature_names == ("x0", "x1")
    assert np.allclose(data.truth["scale"], np.sqrt([[2.0, 1.0], [0.5, 3.0]]))
    for component in range(2):
        members = data.values[data.labels == component]
        truth = covariance[component]
        # Var of a sample covariance entry: (S_ii S_jj + S_ij^2) / n
        error = np.sqrt((np.outer(np.diag(truth), np.diag(truth)) + truth**2) / len(members))
        assert within(np.cov(members, rowvar=False), truth, error)
        assert within(members.mean(axis=0), data.truth["mean"][component], np.sqrt(np.diag(truth) / len(members)))


def test_scale_and_diagonal_covariance_give_the_same_data():
    arguments = {"weights": [0.4, 0.6], "mean": [[0.0, 1.0], [2.0, 3.0]], "n_samples": 100, "seed": 4}
    scale = np.array([[1.0, 2.0], [0.5, 3.0]])
    by_scale = normal_mixture(**arguments, scale=scale)
    by_covariance = normal_mixture(**arguments, covariance=[np.diag(row**2) for row in scale])
    assert np.allclose(by_scale.values, by_covariance.values, rtol=0, atol=1e-12)


def test_poisson_mixture_has_the_law_asked_for():
    data = poisson_mixture(weights=[0.25, 0.75], rate=[[1.0, 20.0], [6.0, 0.5]], n_samples=20_000, seed=5)
    assert data.values.dtype == np.float64
    assert np.array_equal(data.values, np.round(data.values))
    for component, (weight, rate) in enumerate(zip([0.25, 0.75], [[1.0, 20.0], [6.0, 0.5]], strict=True)):
        members = data.values[data.labels == component]
        assert within(len(members) / 20_000, weight, np.sqrt(weight * (1 - weight) / 20_000))
        assert within(members.mean(axis=0), rate, np.sqrt(np.array(rate) / len(members)))
        # Var of a Poisson sample variance is close to (rate + 2 rate^2) / n
        variance_error = np.sqrt((np.array(rate) + 2 * np.array(rate) ** 2) / len(members))
        assert within(members.var(axis=0), rate, variance_error)
    assert data.truth["rate"].tolist() == [[1.0, 20.0], [6.0, 0.5]]


def test_one_feature_poisson():
    data = poisson_mixture(weights=[1.0], rate=[2.0], n_samples=3, seed=0)
    assert (data.shape, data.feature_names) == ((3, 1), ("x",))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"weights": [0.3, 0.6]}, ("weights sum to 0.9", "divide")),
        ({"weights": [-0.3, 1.3]}, ("weights has a negative",)),
        ({"weights": [[0.3, 0.7]]}, ("weights has shape (1, 2)", "(n_components,)")),
        ({"weights": []}, ("weights has shape (0,)",)),
        ({"weights": [np.nan, 1.0]}, ("weights has NaN", "finite")),
        ({"weights": ["a", "b"]}, ("weights is not", "real numbers")),
        ({"mean": [1.0, 2.0, 3.0]}, ("mean has shape (3,)", "2 weights", "(2, n_features)")),
        ({"mean": 1.0}, ("mean has shape ()",)),
        ({"scale": [[1.0, 1.0], [1.0, 1.0]]}, ("scale has shape (2, 2)", "shape of mean, (2, 1)")),
        ({"scale": [1.0, 0.0]}, ("scale has a value that is not positive", "above 0")),
        ({"scale": None}, ("exactly one of scale and covariance",)),
        ({"covariance": [[[1.0]], [[1.0]]]}, ("exactly one of scale and covariance",)),
        ({"scale": None, "covariance": [1.0, 1.0]}, ("covariance has shape (2,)", "(2, 1, 1)")),
        ({"scale": None, "covariance": [[[1.0]], [[0.0]]]}, ("covariance[1] is not positive definite",)),
        (
            {
                "mean": [[0.0, 0.0], [1.0, 1.0]],
                "scale": None,
                "covariance": [[[1.0, 0.5], [0.1, 1.0]], [[1.0, 0.0], [0.0, 1.0]]],
            },
            ("covariance[0] is not symmetric",),
        ),
        ({"n_samples": 0}, ("n_samples = 0", "from 1 to 1,000,000,000")),
        ({"n_samples": 10.5}, ("n_samples = 10.5", "whole number")),
    ],
)
def test_bad_arguments(refusal, changes, parts):
    message = refusal(normal_mixture, **(TEXTBOOK | {"seed": 0} | changes))
    for part in parts:
        assert part in message


def test_bad_rates(refusal):
    assert "rate has a value that is not positive" in refusal(
        poisson_mixture, weights=[0.5, 0.5], rate=[1.0, 0.0], n_samples=5, seed=0
    )
    assert "rate has shape (1,)" in refusal(poisson_mixture, weights=[0.5, 0.5], rate=[1.0], n_samples=5, seed=0)
