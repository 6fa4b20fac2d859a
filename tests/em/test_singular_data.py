"""Data of which no covariance can be estimated: the message says what is to blame, by name."""

import jax
import numpy as np
import pandas as pd
import pytest

import emjax
from emjax.families.singular import explain_dependence
from emjax.result import Status
from emjax.samples import as_samples

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
BASE = pd.DataFrame(RNG.normal(size=(120, 3)), columns=["a", "b", "c"])
SHARES = np.exp(BASE.to_numpy()) / np.exp(BASE.to_numpy()).sum(axis=1, keepdims=True)
LEVELS = np.eye(3)[RNG.integers(0, 3, 120)]
DEPENDENT = {
    "sum": (BASE.assign(total=BASE.a + BASE.b), ["'total'", "'a'", "'b'"]),
    "duplicate": (BASE.assign(again=BASE.b), ["'again' repeats 'b'"]),
    "other units": (BASE.assign(inches=BASE.c / 2.54 + 7.0), ["'inches' is proportional to 'c'"]),
    "composition": (pd.DataFrame(SHARES, columns=["sand", "silt", "clay"]), ["'clay'", "'sand'", "'silt'"]),
    "one-hot": (pd.DataFrame(LEVELS, columns=["r", "g", "b"]).assign(height=BASE.a), ["'b'", "'r'", "'g'"]),
}


@pytest.mark.parametrize("case", DEPENDENT)
def test_columns_that_determine_each_other_are_named(case):
    x, words = DEPENDENT[case]
    said = explain_dependence(as_samples(x))
    assert said is not None
    assert all(word in said for word in words), said
    assert "\n" not in said


def test_columns_that_are_apart_are_not_blamed():
    assert explain_dependence(as_samples(BASE)) is None


@pytest.mark.parametrize("covariance", ["full", pytest.param("tied", marks=pytest.mark.slow)])
def test_a_fit_says_which_columns_they_are(covariance):
    x, words = DEPENDENT["other units"]
    fit = emjax.fit(emjax.Mixture(emjax.Normal(covariance=covariance), 2), x[["c", "inches"]], key=KEY, n_init=4)
    assert fit.status is Status.DEGENERATE
    assert all(word in fit.message for word in words), fit.message
    assert "few points" not in fit.message


@pytest.mark.parametrize(("covariance", "n_components"), [("full", 1), pytest.param("tied", 2, marks=pytest.mark.slow)])
def test_fewer_rows_than_features(covariance, n_components):
    x = RNG.normal(size=(12, 20))
    fit = emjax.fit(emjax.Mixture(emjax.Normal(covariance=covariance), n_components), x, key=KEY, n_init=2)
    assert fit.status is Status.DEGENERATE
    assert "12 rows of 20 features" in fit.message
    assert "float32" not in fit.message


@pytest.mark.parametrize("n_features", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_equal_rows_are_counted(n_features):
    x = np.concatenate([np.full((60, n_features), 3.3), RNG.normal(size=(60, n_features))])
    means = np.array([[3.3] * n_features, [0.0] * n_features])
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, key=KEY, init=means)
    assert fit.status is Status.DEGENERATE
    assert "60 equal rows (the first is row 0" in fit.message


def test_a_column_with_one_value_in_a_component_is_named():
    x = pd.DataFrame({"height": BASE.a, "owner": np.repeat([0.0, 1.0], 60)})
    x.loc[x.owner == 1, "height"] += 9
    means = np.array([[0.0, 0.0], [9.0, 1.0]])
    fit = emjax.fit(emjax.Mixture(emjax.Normal(covariance="diag"), 2), x, key=KEY, init=means)
    assert fit.status is Status.DEGENERATE
    assert "column 'owner' takes one value" in fit.message


def test_an_empty_component_is_said_to_be_empty():
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), RNG.poisson(3.0, 200), key=KEY, init=[3.0, 5000.0])
    assert fit.status is Status.DEGENERATE
    assert "lost all its points" in fit.message
