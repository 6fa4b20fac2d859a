"""Weights of rows: what is accepted, how everything else is refused, and that a weight of 2 is two copies."""

from decimal import Decimal

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from emjax.errors import DataError
from emjax.samples import (
    Samples,
    as_samples,
    check_against_components,
    check_counts,
    check_not_constant,
    check_squares,
)

CHECKS = (check_squares, check_not_constant, check_counts)


@pytest.mark.parametrize(
    "weights",
    [
        [2, 0, 1.5],
        np.array([2, 0, 1.5], dtype=np.float32),
        pd.Series([2.0, 0.0, 1.5], index=["a", "b", "c"]),
        pd.array([2.0, 0.0, 1.5], dtype="Float64"),
        pa.chunked_array([[2.0, 0.0], [1.5]]),
        jnp.array([2.0, 0.0, 1.5]),
        [Decimal("2"), 0, 1.5],
    ],
    ids=lambda weights: type(weights).__name__,
)
def test_weights_of_every_kind_become_float64(weights):
    samples = as_samples([1.0, 2.0, 3.0], weights=weights)
    assert samples.weights.dtype == np.float64
    assert samples.weights.tolist() == [2.0, 0.0, 1.5]
    assert samples.total_weight == 3.5
    assert samples.n_samples == 3


def test_rows_that_count_once_have_no_weights():
    assert as_samples([1.0, 2.0], weights=[1, 1]).weights is None
    assert as_samples([1.0, 2.0]).total_weight == 2.0


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        pytest.param(["a", "b", "c"], ("weights", "not numeric", "row 0", "'a'"), id="texts"),
        pytest.param("count", ("text 'count'", "command line"), id="the-name-of-a-column"),
        pytest.param([1.0, -1.0, -2.0], ("row 1", "-1,", "negative", "2 rows"), id="negative"),
        pytest.param([1.0, np.nan, 2.0], ("row 1", "not there", "0"), id="nan"),
        pytest.param([1.0, None, 2.0], ("row 1", "not there"), id="none"),
        pytest.param(pd.array([1, None, 2], dtype="Int64"), ("row 1", "not there"), id="pandas-na"),
        pytest.param(np.ma.masked_equal([1, 5, 2], 5), ("row 1", "not there"), id="masked"),
        pytest.param([1.0, 2.0, np.inf], ("row 2", "inf", "1e+140"), id="infinite"),
        pytest.param([1.0, 2.0, 1e300], ("row 2", "1e+300"), id="huge"),
        pytest.param([1e-200, 0.0, 0.0], ("sum to 1e-200", "power of ten"), id="tiny"),
        pytest.param([0, 0, 0], ("0 in every row",), id="all-zero"),
        pytest.param([True, False, True], ("true and false", "astype(float)"), id="booleans"),
        pytest.param(pd.array([None, True, False], dtype="boolean"), ("true and false",), id="nullable-booleans"),
        pytest.param([1.0, 2.0], ("2 values", "x has 3 rows"), id="too-few"),
        pytest.param([[1.0], [2.0], [3.0]], ("shape (3, 1)", "(3,)"), id="a-matrix"),
        pytest.param(2.0, ("shape ()",), id="a-number"),
        pytest.param([[1.0], [2.0, 3.0]], ("rectangular",), id="ragged"),
        pytest.param([1j, 2, 3], ("complex",), id="complex"),
    ],
)
def test_bad_weights_are_refused(refusal, weights, parts):
    message = refusal(as_samples, [1.0, 2.0, 3.0], weights=weights)
    for part in parts:
        assert part in message


def copies(samples: Samples) -> Samples:
    """The same data with each row as often as its weight says."""
    return Samples(np.repeat(samples.values, samples.weights.astype(int), axis=0), samples.feature_names)


@pytest.mark.parametrize(
    ("x", "weights"),
    [
        ([[1.0, 2.0], [3.0, 5.0], [9.0, 9.0]], [2, 1, 0]),
        ([[1.0, 2.0], [3.0, 2.0], [9.0, 9.0]], [2, 1, 0]),  # constant but for the last row
        ([[0.0, 2.0], [0.0, 3.0], [9.0, 9.0]], [2, 1, 0]),  # zeros but for the last row
        ([[0.0, 2.0], [1.0, 3.0], [-1.0, 0.5]], [2, 1, 0]),  # counts but for the last row
        ([[0.0, 2.0], [1.0, 1e200], [-1.0, 0.5]], [2, 1, 0]),
        ([[0.0, 2.0], [1.0, 3.0], [1e200, 0.5]], [2, 1, 0]),
        ([[0.0, 0.0], [1e-200, 3.0], [1.0, 0.5]], [2, 1, 0]),
        ([[3.0, 4.0], [3.0, 4.0], [1.0, 0.5]], [2, 1, 0]),
        ([[3.0, np.nan], [2.0, 4.0], [np.nan, 0.5]], [2, 1, 0]),
    ],
)
@pytest.mark.parametrize("check", CHECKS)
def test_a_weight_of_2_is_two_copies_and_of_0_none(check, x, weights):
    def refused(samples: Samples) -> bool:
        try:
            check(samples)
        except DataError:
            return True
        return False

    samples = as_samples(x, weights=weights, missing=True)
    assert refused(samples) == refused(copies(samples))
    ours, theirs = samples.summary, copies(samples).summary
    for name in ("total_weight", "observed", "mean", "variance", "minimum", "maximum"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-13)


def test_rows_in_messages_are_those_of_all_data(refusal):
    samples = as_samples([[0.5], [1.0], [-3.0]], weights=[0, 1, 1])
    assert "row 2 (counting from 0)" in refusal(check_counts, samples)
    assert "row 2 (counting from 0)" in refusal(check_squares, as_samples([9.0, 1.0, 1e200], weights=[0, 1, 1]))


def test_rows_that_do_not_count_are_none(refusal):
    samples = as_samples([1.0, 2.0, 3.0, 4.0], weights=[1, 0, 1, 0])
    assert "2 rows that count, fewer than the 3" in refusal(check_against_components, samples, 3)
    check_against_components(samples, 2)
    check_against_components(as_samples([1.0, 2.0], weights=[1, 3]), 4)  # four copies
    check_against_components(as_samples([1.0, 2.0, 3.0], weights=[0.2, 0.2, 0.2]), 3)  # shares
    assert "1 row that counts" in refusal(check_not_constant, as_samples([1.0, 2.0], weights=[0, 1]))


def test_samples_take_weights_and_lose_nothing_else():
    first = as_samples(pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}), labels=[0, None])
    second = as_samples(first, weights=[2, 3])
    assert second.weights.tolist() == [2.0, 3.0]
    assert second.feature_names == ("a", "b")
    assert second.labels is first.labels
    assert second.summary.mean.tolist() == [1.6, 3.6]


def test_a_frame_with_a_column_called_weights_has_none():
    samples = as_samples(pd.DataFrame({"weights": [1.0, 2.0], "partial_labels": [3.0, 4.0]}))
    assert samples.weights is None
    assert samples.labels is None
    assert samples.feature_names == ("weights", "partial_labels")


def test_the_rows_that_count_keep_what_belongs_to_them():
    samples = as_samples([1.0, 2.0, 3.0], weights=[1, 0, 2], labels=["b", "a", "c"])
    counted = samples.counted
    assert counted.values[:, 0].tolist() == [1.0, 3.0]
    assert counted.weights.tolist() == [1.0, 2.0]
    assert counted.labels.tolist() == [[0.0, -np.inf], [-np.inf, 0.0]]
    assert as_samples([1.0], weights=[2]).counted.total_weight == 2.0
