"""as_samples: what is accepted, and how everything else is refused."""

import subprocess
import sys
from decimal import Decimal

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr

from emjax import datasets
from emjax.errors import DataError, DataWarning
from emjax.samples import Samples, as_samples, check_against_components, check_not_constant


@pytest.mark.parametrize(
    "x",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3], dtype=np.int16),
        np.array([1, 2, 3], dtype=np.float32),
        np.array([1, 2, 3], dtype=np.float16),
        np.array([Decimal(1), Decimal(2), Decimal(3)], dtype=object),
        np.ma.masked_array([1, 2, 3], mask=False),
        jnp.array([1.0, 2.0, 3.0]),
        jnp.array([1.0, 2.0, 3.0], dtype=jnp.bfloat16),
        np.array([[1.0], [2.0], [3.0]]),
        [[1], [2], [3]],
    ],
    ids=lambda x: f"{type(x).__name__}-{getattr(x, 'dtype', '')}",
)
def test_numbers_of_every_kind_become_one_float64_column(x):
    samples = as_samples(x)
    assert samples.values.dtype == np.float64
    assert samples.values.flags.c_contiguous
    assert samples.values.tolist() == [[1.0], [2.0], [3.0]]
    assert samples.feature_names == ("x",)
    assert (samples.n_samples, samples.n_features) == (3, 1)


def test_two_columns_get_numbered_names_and_rows_in_memory_order():
    samples = as_samples(np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]))
    assert samples.feature_names == ("x0", "x1")
    assert samples.values.flags.c_contiguous
    assert samples.values.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_float64_arrays_are_not_copied():
    x = np.zeros((4, 2)) + np.arange(4.0)[:, np.newaxis]
    assert np.shares_memory(as_samples(x).values, x)


def test_samples_pass_through():
    samples = as_samples([1.0, 2.0])
    assert as_samples(samples) is samples


def test_a_dataset_keeps_its_names():
    samples = as_samples(datasets.load("faithful"))
    assert samples.feature_names == ("eruptions", "waiting")
    assert samples.values.shape == (272, 2)


def test_pandas_frames_keep_names_and_convert_each_column():
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": [1, 0], 7: pd.array([3, 4], dtype="Int64")})
    samples = as_samples(frame)
    assert samples.feature_names == ("a", "b", "c", "7")
    assert samples.values.tolist() == [[1.0, 0.5, 1.0, 3.0], [2.0, 1.5, 0.0, 4.0]]


FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})


@pytest.mark.parametrize(
    "x",
    [
        pa.Table.from_pandas(FRAME),
        pa.RecordBatch.from_pandas(FRAME),
        FRAME.to_xarray(),
        xr.DataArray(FRAME.values, dims=("sample", "feature"), coords={"feature": ["a", "b"]}),
        xr.DataArray(FRAME, dims=("sample", "feature")),
    ],
    ids=["table", "batch", "data-set", "array", "array-of-a-frame"],
)
def test_tables_of_pyarrow_and_arrays_of_xarray_keep_their_names(x):
    samples = as_samples(x)
    assert samples.feature_names == ("a", "b")
    assert samples.values.tolist() == [[1.0, 3.0], [2.0, 4.0]]


def test_an_xarray_array_without_labels_gets_numbered_names():
    assert as_samples(xr.DataArray(FRAME.values)).feature_names == ("x0", "x1")
    assert as_samples(xr.DataArray([1.0, 2.0], name="waiting")).feature_names == ("waiting",)


def test_a_pandas_series_keeps_its_name():
    assert as_samples(pd.Series([1.0, 2.0], name="waiting")).feature_names == ("waiting",)
    assert as_samples(pd.Series([1.0, 2.0])).feature_names == ("x",)


@pytest.mark.parametrize(
    ("x", "parts"),
    [
        pytest.param([[1.0, 2.0], [np.nan, 1.0]], ("NaN", "row 1 ", "'x0'", "remove"), id="nan"),
        pytest.param([[1.0, 2.0], [3.0, np.inf]], ("infinite", "row 1 ", "'x1'", "remove"), id="inf"),
        pytest.param([1.0, 2.0, 3.0, -np.inf], ("infinite", "row 3 (counting from 0)", "'x'"), id="minus-inf"),
        pytest.param([[np.nan, 1.0]] * 3, ("row 0 ", "3 rows are affected"), id="several-nan"),
        pytest.param(np.ma.masked_equal([1, 2, 3], 2), ("NaN", "row 1 ", "remove"), id="masked"),
        pytest.param([[1, "a"], [2, "b"]], ("'x1'", "not numeric", "row 0", "'a'", "leave this"), id="text"),
        pytest.param(["1", "2"], ("'x'", "not numeric", "'1'", "convert"), id="numbers-as-text"),
        pytest.param([1.0, None], ("row 1", "'None'", "not numeric"), id="none"),
        pytest.param(np.array(["2020-01-01"], dtype="datetime64[D]"), ("'x'", "2020-01-01"), id="dates"),
        pytest.param([1 + 2j], ("complex", "x.real"), id="complex"),
        pytest.param([True, False], ("true and false", "x.astype(float)"), id="booleans"),
        pytest.param(pd.Series([True, False], dtype="boolean"), ("true and false",), id="a-series-of-booleans"),
        pytest.param([], ("empty", "no rows"), id="no-rows"),
        pytest.param(np.zeros((3, 0)), ("empty", "no columns"), id="no-columns"),
        pytest.param(np.zeros((2, 3, 4)), ("3 dimensions", "(2, 3, 4)", "reshape"), id="3-d"),
        pytest.param(5.0, ("single float", "array of shape"), id="scalar"),
        pytest.param("faithful.csv", ("single str", "emjax.datasets.load"), id="path"),
        pytest.param({"a": [1.0]}, ("single dict", "array of shape"), id="dict"),
        pytest.param([[1.0, 2.0], [3.0]], ("rectangular", "same number"), id="ragged"),
        pytest.param(np.zeros(2, dtype=[("a", float), ("b", float)]), ("not numeric",), id="structured"),
    ],
)
def test_bad_arrays_are_refused_with_place_and_remedy(refusal, x, parts):
    message = refusal(as_samples, x)
    assert message.startswith("x")
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("frame", "parts"),
    [
        pytest.param(
            pd.DataFrame({"n": [1, 2], "species": ["setosa", "virginica"]}),
            ("'species'", "row 0", "'setosa'", "leave this column out"),
            id="text",
        ),
        pytest.param(pd.DataFrame({"n": [1.5], "c": [True]}), ("'c' holds true and false", "leave"), id="booleans"),
        pytest.param(pa.table({"n": [1.0, None]}), ("NaN", "row 1 ", "'n'"), id="missing-in-pyarrow"),
        pytest.param(pa.table([[1.0], [2.0]], names=["a", "a"]), ("two columns", "'a'"), id="same-name-in-pyarrow"),
        pytest.param(
            xr.Dataset({"a": ("t", [1.0]), "b": (("t", "u"), [[2.0]])}), ("dimensions 't', 'u'",), id="two-dimensions"
        ),
        pytest.param(pd.DataFrame({"n": [1.0, None], "m": [1, 2]}), ("NaN", "row 1 ", "'n'"), id="missing"),
        pytest.param(
            pd.DataFrame({"n": pd.array([1, None], dtype="Int64")}),
            ("'n'", "row 1", "(counting from 0)"),
            id="missing-integer",
        ),
        pytest.param(pd.DataFrame({"n": []}), ("empty", "no rows"), id="no-rows"),
        pytest.param(pd.DataFrame([[1, 2]], columns=["a", "a"]), ("two columns", "'a'", "rename"), id="same-name"),
        pytest.param(pd.DataFrame({"a\nb<script>": ["x"]}), (r"'a\nb<script>'", "not numeric"), id="newline"),
        pytest.param(pd.DataFrame({"c": pd.Categorical(["u", "v"])}), ("'c'", "'u'"), id="category"),
    ],
)
def test_bad_frames_are_refused_by_column_name(refusal, frame, parts):
    message = refusal(as_samples, frame)
    for part in parts:
        assert part in message


def test_messages_use_the_name_given(refusal):
    assert refusal(as_samples, [np.nan], name="means").startswith("means: NaN in row 0")


def test_fewer_rows_than_components(refusal):
    samples = as_samples([1.0, 2.0, 3.0])
    message = refusal(check_against_components, samples, 5)
    for part in ("3 rows", "5 components", "at most 3"):
        assert part in message
    check_against_components(samples, 3)


def test_a_constant_column_is_named(refusal):
    samples = Samples(np.array([[1.0, 2.5], [2.0, 2.5]]), ("a", "depth"))
    message = refusal(check_not_constant, samples)
    for part in ("'depth'", "constant", "2.5", "leave this column out"):
        assert part in message
    check_not_constant(Samples(samples.values[:, :1], ("a",)))


def test_one_row_has_no_variance(refusal):
    assert "1 row" in refusal(check_not_constant, as_samples([[1.0, 2.0]]))


def test_pandas_and_pyarrow_are_not_imported_for_arrays_and_bundled_data():
    code = (
        "import sys, emjax.samples, emjax.datasets\n"
        "emjax.samples.as_samples(emjax.datasets.load('faithful'))\n"
        "assert not {'pandas', 'pyarrow', 'numpyro', 'arviz', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("content", ["a,b\n1,2\n,4\n", "a\n1\n\n3\n"])
def test_pandas_is_not_imported_for_files(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    code = (
        "import sys, emjax.datasets\n"
        f"data = emjax.datasets.load({str(tmp_path / 'a.csv')!r}, missing='keep')\n"
        "assert data.values[0, 0] == 1 and data.values.sum() != data.values.sum()\n"
        "assert not {'pandas', 'numpyro', 'arviz', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_row_numbers_that_a_table_brings_along_are_refused_or_told_of():
    numbers, x = np.arange(12), np.linspace(0.0, 1.0, 12) ** 2
    with pytest.raises(DataError, match=r"x: column 'Unnamed: 0' has no name .* leave it out, or rename it"):
        as_samples(pd.DataFrame({"Unnamed: 0": numbers, "x": x}))
    for first in (0, 1):
        table = pd.DataFrame({"id": numbers + first, "x": x})
        with pytest.warns(DataWarning, match="x: column 'id' numbers the rows, and is read as a feature"):
            assert as_samples(table).feature_names == ("id", "x")
    # Alone, in another order, of few rows or in an array without names they may be measurements.
    others = [table[["id"]], table[::-1], table[:9], table.to_numpy()]
    for other in others:
        assert as_samples(other).n_samples == len(other)
