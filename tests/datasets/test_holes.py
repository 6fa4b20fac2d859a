"""Cells that were not seen: what says so, and that they decide nothing."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr

import emjax
from emjax.datasets import Dataset
from emjax.em.many import fit_many
from emjax.samples import (
    as_samples,
    as_samples_like,
    check_against_components,
    check_counts,
    check_not_constant,
    check_squares,
)

NAN = np.nan


class Column:
    """A column of a frame of polars, which is not installed here: an array of what is there and NaN for a null."""

    def __init__(self, values: list[float | None]) -> None:
        self.values = values

    def __array__(self, dtype: None = None, copy: bool | None = None) -> np.ndarray:
        return np.array([np.nan if value is None else value for value in self.values])


class Frame:
    """What `as_samples` knows a frame of polars by."""

    columns = ("a", "b")

    def to_numpy(self) -> np.ndarray:
        raise AssertionError("columns are read one by one")

    def __getitem__(self, name: str) -> Column:
        return Column([1, None, 3] if name == "a" else [4.0, 5.0, None])


EXPECTED = [[1.0, 4.0], [NAN, 5.0], [3.0, NAN]]


@pytest.mark.parametrize(
    "x",
    [
        EXPECTED,
        [[1, 4], [None, 5], [3, None]],
        np.array(EXPECTED, dtype=np.float32),
        np.array(EXPECTED, dtype=np.longdouble),
        np.ma.masked_equal([[1, 4], [-9, 5], [3, -9]], -9),
        np.ma.masked_invalid([[1.0, 4.0], [np.inf, 5.0], [3.0, NAN]]),
        pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64"), "b": pd.array([4, 5, None], dtype="Float64")}),
        pd.DataFrame({"a": [1, None, 3], "b": np.array([4, 5, pd.NA], dtype=object)}),
        pa.table({"a": pa.array([1, None, 3]), "b": pa.array([4.0, 5.0, None])}),
        xr.DataArray(EXPECTED, dims=("row", "column")),
        Frame(),
    ],
    ids=lambda x: f"{type(x).__name__}-{getattr(x, 'dtype', '')}",
)
def test_gaps_of_every_kind_are_cells_not_seen(x):
    samples = as_samples(x, missing=True)
    np.testing.assert_array_equal(samples.values, EXPECTED)
    assert samples.values.flags.c_contiguous
    assert samples.has_holes
    assert samples.n_unseen_rows == 0
    assert samples.summary.mean.tolist() == [2.0, 4.5]
    assert samples.summary.observed.tolist() == [2.0, 2.0]


def test_data_without_gaps_have_none():
    samples = as_samples([[1.0, 2.0], [3.0, 4.0]], missing=True)
    assert not samples.has_holes
    assert samples.n_unseen_rows == 0


def test_rows_of_which_nothing_was_seen_are_kept_and_counted(refusal):
    samples = as_samples([[1.0, 2.0], [NAN, NAN], [NAN, 4.0], [NAN, NAN]], missing=True)
    assert (samples.n_samples, samples.n_unseen_rows) == (4, 2)
    assert "2 rows that count" in refusal(check_against_components, samples, 3)
    check_against_components(samples, 2)


@pytest.mark.parametrize(
    ("x", "weights", "parts"),
    [
        pytest.param(
            [[1.0, NAN], [2.0, NAN]], None, ("'x1'", "no value in any row", "leave this column out"), id="all"
        ),
        pytest.param([[1.0, NAN], [2.0, 5.0]], [1, 0], ("'x1'", "any row with a weight above 0"), id="weightless"),
        pytest.param([[NAN], [NAN]], None, ("'x'", "no value"), id="nothing"),
        pytest.param(pa.table({"n": [1.0, 2.0], "gone": pa.nulls(2)}), None, ("'gone'", "no value"), id="nulls"),
        pytest.param(pd.DataFrame({"n": [1.0], "gone": [pd.NA]}), None, ("'gone'", "no value"), id="pandas-na"),
        pytest.param([[1.0, np.inf], [NAN, 2.0]], None, ("infinite", "row 0", "'x1'"), id="infinite"),
        pytest.param([[1.0, "a"], [None, 2.0]], None, ("'x1'", "row 0", "'a'"), id="text"),
        pytest.param([[1.0, ""], [2.0, "2"]], None, ("not numeric", "''"), id="empty-text"),
        pytest.param(pd.DataFrame({"n": [pd.NaT, pd.NaT]}), None, ("'n'", "not numeric"), id="not-a-time"),
        pytest.param(pd.DataFrame({"n": pd.array([None, True], dtype="boolean")}), None, ("true and",), id="booleans"),
        pytest.param([], None, ("no rows",), id="no-rows"),
    ],
)
def test_what_is_refused_although_cells_may_be_missing(refusal, x, weights, parts):
    message = refusal(as_samples, x, weights=weights, missing=True)
    for part in parts:
        assert part in message


def test_gaps_do_not_hide_that_numbers_are_too_much_alike_for_float64(refusal):
    near = 2**60
    for x in (
        np.array([[near], [None], [near + 1], [near + 3]], dtype=object),
        np.array([[np.longdouble(near)], [np.nan], [np.longdouble(near) + 1]]),
    ):
        assert "within" in refusal(as_samples, x, missing=True)


def test_checks_look_at_what_was_seen(refusal):
    for check in (check_squares, check_not_constant, check_counts):
        check(as_samples([[1.0, NAN], [NAN, 3.0], [2.0, 4.0]], missing=True))
    assert "'x1' is constant (every value is 3)" in refusal(
        check_not_constant, as_samples([[1.0, NAN], [NAN, 3.0], [2.0, 3.0]], missing=True)
    )
    assert "is -1;" in refusal(check_counts, as_samples([[1.0, NAN], [NAN, -1.0]], missing=True))
    assert "'x1' holds only zeros" in refusal(check_counts, as_samples([[1.0, NAN], [NAN, 0.0]], missing=True))
    assert "row 1 (counting" in refusal(check_squares, as_samples([[1.0, NAN], [NAN, 1e200]], missing=True))


def test_samples_with_holes_are_refused_where_they_are_not_expected(refusal):
    samples = as_samples([1.0, NAN], missing=True)
    assert as_samples(samples, missing=True) is samples
    assert "NaN in row 1" in refusal(as_samples, samples)


@pytest.mark.parametrize("door", ["fit", "sample", "fit_many"])
def test_estimators_refuse_a_column_that_nobody_saw(refusal, door):
    mixture = emjax.Mixture(emjax.Normal(), n_components=2)
    estimator = {"fit": emjax.fit, "sample": emjax.sample, "fit_many": first_of_many}[door]
    assert "'x' has no value" in refusal(estimator, mixture, np.full(20, NAN))


def first_of_many(mixture, x):
    (found,) = fit_many(mixture, [x])
    raise found


@pytest.mark.parametrize("door", [emjax.fit, emjax.sample])
def test_estimators_take_weights_and_labels_through_the_same_door(refusal, door):
    mixture, x = emjax.Mixture(emjax.Normal(), n_components=2), np.arange(20.0)
    assert "weights has 2 values and x has 20 rows" in refusal(door, mixture, x, weights=[1, 2])
    assert "3 names" in refusal(door, mixture, x, labels=["a", "b", "c", "a"] * 5)


def test_a_data_set_carries_its_weights_and_labels_to_em():
    mixture, x = emjax.Mixture(emjax.Normal("diag"), n_components=1), np.arange(20.0)
    carrying = Dataset(x[:, None], ("x",), weights=x, partial_labels=np.zeros(20, int))
    fit = emjax.fit(mixture, carrying, key=0)
    np.testing.assert_allclose(fit.params.mean, [[x @ x / x.sum()]], rtol=1e-12)
    assert fit.samples.labels is None or fit.samples.labels.shape == (20, 1)


def test_priors_and_later_data_know_weights_and_gaps():
    mixture = emjax.Mixture(emjax.Poisson(), n_components=2)
    weighted = Dataset(np.array([[1.0], [2.0], [6.0]]), ("x",), weights=np.array([0.0, 1.0, 3.0]))
    np.testing.assert_allclose(mixture.default_prior(weighted)["rate"].rate, [2.0 / 5.0])
    np.testing.assert_allclose(mixture.default_prior([NAN, 1.0, 3.0])["rate"].rate, [1.0])
    assert as_samples_like(weighted, ("x",), of="the fit").weights.tolist() == [0.0, 1.0, 3.0]
    assert as_samples_like([1.0, NAN], ("x",), of="the fit").has_holes
