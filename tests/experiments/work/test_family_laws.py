"""Data of every family from declared parameters: drawn from the textbook's density, and measured against it."""

import numpy as np
import pytest
from scipy import stats

from emjax import datasets
from emjax.catalogue import FAMILY_ENTRIES
from emjax.errors import DataError
from emjax.experiments.config.data import SimulatedData
from emjax.experiments.work.family_law import family_law
from emjax.experiments.work.loading import load_data
from emjax.experiments.work.measures import measure
from emjax.experiments.work.outcome import Outcome, ParameterEstimate, Replicate, Truth
from emjax.experiments.work.truth import law_of

WEIGHTS = [0.4, 0.6]
MEAN, COVARIANCE = [[0.0, 1.0], [5.0, 4.0]], [[[1.0, 0.3], [0.3, 2.0]], [[2.0, 0.0], [0.0, 1.0]]]
PARAMETERS = {
    "gamma": {"shape": [9.0, 20.0], "rate": [9.0, 2.0]},
    "exponential": {"rate": [[1.0, 3.0], [20.0, 2.0]]},
    "student_t": {"mean": MEAN, "covariance": COVARIANCE, "df": [5.0, 8.0]},
    "bernoulli": {"probability": [[0.9, 0.8, 0.1], [0.1, 0.3, 0.7]]},
    "categorical": {"probability": [[[0.8, 0.2], [0.7, 0.2, 0.1]], [[0.3, 0.7], [0.1, 0.3, 0.6]]]},
}
TEXTBOOK = {
    "gamma": lambda x, k, shape, rate: stats.gamma.logpdf(x[:, 0], shape[k], scale=1 / rate[k]),
    "exponential": lambda x, k, rate: stats.expon.logpdf(x, scale=1 / np.array(rate[k])).sum(axis=1),
    "student_t": lambda x, k, mean, covariance, df: stats.multivariate_t.logpdf(x, mean[k], covariance[k], df[k]),
    "bernoulli": lambda x, k, probability: stats.bernoulli.logpmf(x, probability[k]).sum(axis=1),
    "categorical": lambda x, k, probability: sum(
        np.log(np.array(row)[x[:, j].astype(int)]) for j, row in enumerate(probability[k])
    ),
}


def declared(family, **changes):
    return SimulatedData(**{"kind": "simulate", "family": family, "weights": WEIGHTS, **PARAMETERS[family], **changes})


def test_every_family_is_drawn_from():
    assert set(PARAMETERS) == set(FAMILY_ENTRIES) - {"normal", "poisson"}, "which have laws of their own"


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[pytest.mark.slow] * (name == "gamma")) for name in PARAMETERS]
)
def test_data_of_a_family_follow_the_textbook_s_density(family):
    data = declared(family, n_samples=2048, seed=3)
    drawn, law = load_data(data), law_of(data.model_dump(mode="json", exclude_none=True))
    assert drawn.values.shape == (2048, data.n_features) == (2048, law.n_features)
    expected = np.stack([TEXTBOOK[family](drawn.values, k, **PARAMETERS[family]) for k in range(2)], axis=1)
    np.testing.assert_allclose(law.log_components(drawn.values), expected, rtol=1e-9, atol=1e-9)
    shares = WEIGHTS * np.exp(expected)
    np.testing.assert_allclose(law.responsibilities(drawn.values), shares / shares.sum(axis=1, keepdims=True))
    for k, mean in enumerate(law.moments[0]):
        own = drawn.values[drawn.labels == k]
        assert (np.abs(own.mean(axis=0) - mean) < 5 * own.std(axis=0) / np.sqrt(len(own))).all()
    wider = law.wider().log_density(drawn.values)
    assert (wider > law.log_density(drawn.values) - np.log(2.0) - 1e-9).all()


@pytest.mark.parametrize(("family", "known"), [("gamma", True), ("exponential", False)])
def test_parameters_are_measured_against_those_of_their_own_family(family, known):
    law = law_of(declared("gamma").model_dump(mode="json", exclude_none=True))
    values, labels = law.sample(2048, np.random.default_rng(0))
    data = datasets.Dataset(values=values, feature_names=("x",), labels=labels)
    named = {"weights": law.weights, "rate": law.parameters["rate"] + 0.5}
    outcome = Outcome(
        "converged", named=named, family=family, log_density=law.log_density, responsibilities=law.responsibilities,
        parameters=(ParameterEstimate("weights[0]", 0.4), ParameterEstimate("rate[1, x]", 2.5)),
    )  # fmt: skip
    found = measure(Replicate(0, data, None, Truth.of(law)), outcome, 0.9)
    rows = {(quantity, name): value for quantity, name, value in found}
    assert rows["error", "weights[0]"] == 0.0
    assert rows.get(("error", "rate[1, x]")) == (0.5 if known else None)
    assert abs(rows["total_variation", ""]) < 1e-9


def test_nothing_lies_outside_the_support():
    outside = {"gamma": -1.0, "exponential": -5.0, "bernoulli": 0.5, "categorical": -1.0}
    for family, value in outside.items():
        law = law_of(declared(family).model_dump(mode="json", exclude_none=True))
        assert (law.log_density(np.full((1, law.n_features), value)) == -np.inf).all()
    # Half the integral of |p - q|, of two exponential laws that cross at log 4 / 3.
    law = family_law("exponential", [1.0], {"rate": [[4.0]]})
    data = datasets.Dataset(values=law.sample(64, np.random.default_rng(0))[0], feature_names=("x",))
    outcome = Outcome("converged", named={}, family="exponential", log_density=lambda x: stats.expon.logpdf(x[:, 0]))
    rows = {quantity: value for quantity, _, value in measure(Replicate(0, data, None, Truth.of(law)), outcome, 0.9)}
    cross = np.log(4.0) / 3.0
    assert rows["total_variation"] == pytest.approx(np.exp(-cross) - np.exp(-4.0 * cross), abs=1e-3)


def test_parameters_that_make_no_law_are_refused():
    with pytest.raises(DataError, match=r"^data: probability must be non-negative, add up to 1"):
        load_data(declared("categorical", probability=[[0.5, 0.6], [0.5, 0.5]]))
    with pytest.raises(DataError, match=r"^data: covariance must be positive definite"):
        load_data(declared("student_t", covariance=[[[1.0, 2.0], [2.0, 1.0]]] * 2))


def test_one_feature_of_levels_needs_no_axis():
    one = declared("categorical", probability=[[0.2, 0.5, 0.3], [0.6, 0.2, 0.2]], n_samples=50)
    assert load_data(one).values.shape == (50, 1)
    assert one.n_features == 1
