"""Partial labels: numbers, names and probabilities as log probabilities of components."""

from decimal import Decimal

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from emjax.samples import as_samples

X = [1.0, 2.0, 3.0, 4.0]
NO = -np.inf
KNOWN = [[NO, 0.0], [0.0, 0.0], [0.0, NO], [NO, 0.0]]


@pytest.mark.parametrize(
    "labels",
    [
        [1, -1, 0, 1],
        [1, None, 0, 1],
        [1.0, np.nan, 0.0, 1.0],
        np.array([1, -1, 0, 1], dtype=np.int8),
        np.ma.masked_equal([1, 7, 0, 1], 7),
        pd.Series([1, None, 0, 1]),
        pd.array([1, None, 0, 1], dtype="Int64"),
        pa.chunked_array([[1, None, 0, 1]]),
        jnp.array([1, -1, 0, 1]),
        [Decimal(1), -1, 0, np.int64(1)],
    ],
    ids=lambda labels: f"{type(labels).__name__}-{getattr(labels, 'dtype', '')}",
)
def test_whole_numbers_with_gaps(labels):
    samples = as_samples(X, labels=labels, n_components=2)
    assert samples.labels.tolist() == KNOWN
    assert samples.label_names is None


@pytest.mark.parametrize(
    "labels",
    [
        ["pro", None, "con", "pro"],
        ["pro", "", "con", "pro"],
        ["pro", np.nan, "con", "pro"],
        np.array(["pro", " ", "con", "pro"]),
        pd.Series(["pro", None, "con", "pro"], dtype="string"),
        pd.Categorical(["pro", None, "con", "pro"], categories=["pro", "con"]),
        pa.chunked_array([["pro", None, "con", "pro"]]),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_names_in_alphabetical_order_are_the_components(labels):
    samples = as_samples(X, labels=labels, n_components=2)
    assert samples.labels.tolist() == KNOWN
    assert samples.label_names == ("con", "pro")


def test_fewer_names_or_numbers_than_components():
    samples = as_samples(X, labels=["b", None, "a", "a"], n_components=3)
    assert samples.labels.tolist() == [[NO, 0, NO], [0, 0, 0], [0, NO, NO], [0, NO, NO]]
    assert samples.label_names == ("a", "b")
    assert as_samples(X, labels=[2, -1, -1, -1], n_components=4).labels[0].tolist() == [NO, NO, 0, NO]


def test_probabilities_become_their_logs():
    share = np.array([[0.25, 0.75], [np.nan, np.nan], [1.0, 0.0], [0.5, 0.5]])
    samples = as_samples(X, labels=share, n_components=2)
    expected = [[np.log(0.25), np.log(0.75)], [0.0, 0.0], [0.0, NO], [np.log(0.5), np.log(0.5)]]
    np.testing.assert_allclose(samples.labels, expected, rtol=1e-15)
    frame = pd.DataFrame({"a": [0.25, None, 1.0, 0.5], "b": pd.array([0.75, None, 0.0, 0.5], dtype="Float64")})
    np.testing.assert_array_equal(as_samples(X, labels=frame).labels, samples.labels)
    single = share.astype(np.float32) / 3 * 3
    np.testing.assert_allclose(as_samples(X, labels=single).labels, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "labels", [[-1] * 4, [None] * 4, [np.nan] * 4, [""] * 4, np.full((4, 2), np.nan)], ids=lambda x: str(x)[:12]
)
def test_labels_that_say_nothing_are_none(labels):
    samples = as_samples(X, labels=labels, n_components=2)
    assert samples.labels is None
    assert samples.label_names is None


@pytest.mark.parametrize(
    ("labels", "parts"),
    [
        pytest.param(["a", "b", "c", "d"], ("4 names ('a', 'b', 'c', 'd')", "3 components"), id="too-many-names"),
        pytest.param([0, 1, 2, 3], ("row 3", "labelled 3", "0 to 2", "names"), id="out-of-range"),
        pytest.param([0, 1, -2, 0], ("row 2", "labelled -2", "-1 or NaN"), id="negative"),
        pytest.param([0.0, 1.0, 0.5, 0.0], ("row 2", "labelled 0.5", "whole numbers"), id="fractions"),
        pytest.param([0.0, 1.0, np.inf, 0.0], ("row 2", "inf"), id="infinite"),
        pytest.param([0, 10**400, 1, None], ("row 1", "inf"), id="huge"),
        pytest.param([True, False, True, True], ("true and false", "astype(int)"), id="booleans"),
        pytest.param([None, 0, True, 1], ("row 2", "'True'"), id="a-boolean-among-numbers"),
        pytest.param([0, "a", None, 1], ("row 1", "'a' among numbers"), id="mixed"),
        pytest.param(np.array(["2020-01-01"] * 4, "datetime64[D]"), ("row 0", "2020-01-01"), id="dates"),
        pytest.param([b"a"] * 4, ("row 0", "whole numbers from 0, or names"), id="bytes"),
        pytest.param("species", ("text 'species'", "command line"), id="the-name-of-a-column"),
        pytest.param([0, 1, 0], ("3 rows", "x has 4"), id="too-few"),
        pytest.param(1, ("shape ()",), id="a-number"),
        pytest.param(np.ones((4, 1)), ("shape (4, 1)", "3 components", "probability"), id="too-few-columns"),
        pytest.param(np.full((4, 4), 0.25), ("shape (4, 4)", "3 components"), id="too-many-columns"),
        pytest.param(np.full((4, 3), 0.25), ("row 0", "sums to 0.75", "sum to 1"), id="sums"),
        pytest.param(np.zeros((4, 3)), ("row 0", "sums to 0"), id="every-component-excluded"),
        pytest.param([[1, 0, 0], [2, -1, 0]] * 2, ("row 1", "negative probability"), id="negative-probability"),
        pytest.param([[1, 0, 0], [1, 0, np.nan]] * 2, ("row 1", "lacks others"), id="half-a-row"),
        pytest.param([[1, 0, 0], [np.inf, 0, 0]] * 2, ("row 1", "sums to inf"), id="infinite-probability"),
        pytest.param([["a", "b", "c"]] * 4, ("not numeric", "'a'"), id="a-matrix-of-texts"),
        pytest.param(np.ones((4, 3), bool), ("true and false",), id="a-matrix-of-booleans"),
        pytest.param(np.zeros((4, 0)), ("shape (4, 0)",), id="no-columns"),
        pytest.param(np.zeros((4, 1, 1)), ("shape (4, 1, 1)",), id="three-dimensions"),
        pytest.param([[0], [1, 2], [0], [1]], ("row 0", "'[0]'"), id="ragged"),
    ],
)
def test_bad_labels_are_refused(refusal, labels, parts):
    message = refusal(as_samples, X, labels=labels, n_components=3)
    for part in parts:
        assert part in message


def test_a_column_of_identifiers_does_not_fill_the_memory(refusal):
    names = [f"row {number}" for number in range(100_000)]
    message = refusal(as_samples, np.arange(100_000.0), labels=names)
    assert "100,000 rows are of 100,000 components" in message
    assert "labelled 2000000000" in refusal(as_samples, X, labels=[0, 1, 2_000_000_000, -1], n_components=3)
    assert "too much memory" in refusal(as_samples, X, labels=[0, 1, 2_000_000_000, -1])


def test_a_name_that_only_rows_without_weight_have_numbers_nothing():
    samples = as_samples(X, labels=["a", "b", "c", None], weights=[0, 1, 1, 1], n_components=2)
    assert samples.label_names == ("b", "c")
    assert samples.labels.tolist() == [[0, 0], [0, NO], [NO, 0], [0, 0]]


def test_samples_with_labels_of_other_components_are_refused(refusal):
    samples = as_samples(X, labels=[0, 1, 0, 1])
    assert as_samples(samples, n_components=2) is samples
    assert "labels of 2 components, and 3 are asked for" in refusal(as_samples, samples, n_components=3)
