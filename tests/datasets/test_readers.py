"""Reading files: every format, and one line for everything that can be wrong with a file."""

import io
import math
import os
import zipfile
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from emjax import datasets
from emjax.errors import DataWarning

TWO_COLUMNS = [[1.5, 2.0], [-3.0, 4e-3]]


def tail(message, path):
    """What a message says after the path it must begin with."""
    assert message.startswith(path), message
    return message.removeprefix(path)


# --- CSV: what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "feature_names"),
    [
        pytest.param("a.csv", "a,b\n1.5,2\n-3,4e-3\n", ("a", "b"), id="header"),
        pytest.param("a.csv", "1.5,2\n-3,4e-3\n", ("x0", "x1"), id="no-header"),
        pytest.param("a.csv", "a,b\n1.5,2\n-3,4e-3", ("a", "b"), id="no-last-newline"),
        pytest.param("a.csv", "a,b\r\n1.5,2\r\n-3,4e-3\r\n", ("a", "b"), id="crlf"),
        pytest.param("a.csv", "a,b\r1.5,2\r-3,4e-3\r", ("a", "b"), id="cr"),
        pytest.param("a.csv", b"\xef\xbb\xbfa,b\n1.5,2\n-3,4e-3\n", ("a", "b"), id="byte-order-mark"),
        pytest.param("a.csv", b"\xef\xbb\xbf1.5,2\n-3,4e-3\n", ("x0", "x1"), id="byte-order-mark-no-header"),
        pytest.param("a.csv", "a;b\n1.5;2\n-3;4e-3\n", ("a", "b"), id="semicolon"),
        pytest.param("a.tsv", "a\tb\n1.5\t2\n-3\t4e-3\n", ("a", "b"), id="tab"),
        pytest.param("a.txt", "1.5\t2\n-3\t4e-3\n", ("x0", "x1"), id="tab-no-header"),
        pytest.param("A.CSV", "a,b\n1.5,2\n-3,4e-3\n", ("a", "b"), id="suffix-in-capitals"),
        pytest.param("a.csv", "a, b\n1.5, 2\n-3, 4e-3\n", ("a", "b"), id="spaces"),
        pytest.param("a.csv", '"a","b"\n"1.5","2"\n"-3","4e-3"\n', ("a", "b"), id="quotes"),
        pytest.param("a.csv", '"a;1","b, c"\n1.5,2\n-3,4e-3\n', ("a;1", "b, c"), id="separator-in-quotes"),
        pytest.param(
            "a.csv", '"a\nof two lines",b\n1.5,2\n-3,4e-3\n', ("a\nof two lines", "b"), id="name-of-two-lines"
        ),
        pytest.param("a.csv", "\n\na,b\n\n1.5,2\n-3,4e-3\n\n", ("a", "b"), id="empty-lines"),
        pytest.param("a.csv", "größe,<script>\n1.5,2\n-3,4e-3\n", ("größe", "<script>"), id="odd-names"),
    ],
)
@pytest.mark.parametrize("comment", [b"", b"\n# read cell by cell"], ids=["as-it-is", "examined"])
def test_csv_files_that_hold_the_same_numbers(write, name, content, feature_names, comment):
    content = content if isinstance(content, bytes) else content.encode()
    data = datasets.load(write(name, content + comment))
    assert data.feature_names == feature_names
    assert data.values.tolist() == TWO_COLUMNS
    assert data.values.flags.c_contiguous


def test_one_column_and_file_facts(write):
    path = write("heights.csv", "height\n1\n2\n3\n\n")
    data = datasets.load(path)
    assert (data.name, data.source, data.license, data.labels) == ("heights", path, "", None)
    assert (data.feature_names, data.values.tolist()) == (("height",), [[1.0], [2.0], [3.0]])
    assert datasets.load(write("b.csv", "1\n2\n")).feature_names == ("x",)


def test_integers_are_numbers_and_booleans_where_they_are_asked_for(write):
    data = datasets.load(write("a.csv", "n,flag\n1,true\n2,False\n"), columns="n,flag")
    assert data.values.tolist() == [[1.0, 1.0], [2.0, 0.0]]


def test_three_decimals_after_a_zero_are_no_thousands(write):
    assert datasets.load(write("a.csv", "a;b\n0,123;1,200\n-0,456;2,300\n")).values.tolist() == [
        [0.123, 1.2],
        [-0.456, 2.3],
    ]


def test_text_columns_are_left_out_by_choosing_the_others(write):
    path = write("a.csv", "species,a,b\nsetosa,1,2\n,3,4\n")
    assert datasets.load(path, columns=["b", "a"]).values.tolist() == [[2.0, 1.0], [4.0, 3.0]]
    assert datasets.load(path, columns="1").feature_names == ("a",)


def test_a_name_that_holds_a_comma_or_is_a_number_can_be_chosen(write):
    path = write("a.csv", '"a,b",0,c\n1,2,3\n4,5,6\n')
    assert datasets.load(path, columns="a,b").values.tolist() == [[1.0], [4.0]]
    assert datasets.load(path, columns='"a,b",c').values.tolist() == [[1.0, 3.0], [4.0, 6.0]]
    assert datasets.load(path, columns=["0"]).values.tolist() == [[2.0], [5.0]]
    assert datasets.load(path, columns=[0]).values.tolist() == [[1.0], [4.0]]


@pytest.mark.parametrize("header", ["a,b,c\n", ""])
def test_large_csv_is_read_to_the_last_digit(tmp_path, header):
    values = np.random.default_rng(5).normal(size=(200_000, 3)) * [1.0, 1e-8, 1e12]
    path = tmp_path / "large.csv"
    path.write_text(header + "".join(f"{a!r},{b!r},{c!r}\n" for a, b, c in values.tolist()))
    data = datasets.load(path, columns=[0, 2])
    assert np.array_equal(data.values, values[:, [0, 2]])


def test_an_error_late_in_a_large_csv_names_its_line(tmp_path, refusal):
    lines = ["a,b"] + ["1.25,2.5"] * 200_000
    lines[150_000] = "1.25,oops"
    path = tmp_path / "large.csv"
    path.write_text("\n".join(lines) + "\n")
    message = tail(refusal(datasets.load, path), str(path))
    assert message.startswith(": line 150001, column 'b': 'oops' is not a number: correct it")
    assert message.endswith("--columns a")


# --- CSV: what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        pytest.param("a,b\n1,2\n3,x\n", ("line 3, column 'b'", "'x' is not a number", "--columns a"), id="text"),
        pytest.param(
            "a,s,b\n1,u,2\n3,v,4\n",
            ("line 2, column 's'", "'u' is not a number", "--columns a,b"),
            id="text-column",
        ),
        pytest.param("s\nu\nv\n", ("line 2, column 's'", "no other column is numeric"), id="text-only"),
        pytest.param("a,b\n1,2\n3,\n", ("line 3, column 'b'", "the cell is empty", "fill in"), id="empty-cell"),
        pytest.param("a,b\n1,NaN\n3,4\nnan,1\n", ("line 2, column 'b'", "'NaN' is not a finite"), id="nan"),
        pytest.param("a,b\n1,2\n3,-inf\n", ("line 3, column 'b'", "'-inf' is not a finite", "remove"), id="inf"),
        pytest.param("a,b\n1,2\n3,1e999\n", ("line 3, column 'b'", "'1e999'"), id="too-large"),
        pytest.param("a,b\n1,NA\nNA,2\nNA,3\n", ("line 2, column 'b'", "'NA'"), id="na-first-line-first"),
        pytest.param("a,b\nNA,1\nNA,2\n", ("line 2, column 'a'", "(1 more in this column)"), id="na-count"),
        pytest.param("1,2\n3,\n", ("line 2, column 'x1'", "empty"), id="no-header-empty-cell"),
        pytest.param("a\n1\n\n3\n", ("line 3, column 'a'", "the cell is empty"), id="one-column-empty-line"),
        pytest.param("a,b\n1,2\n3,1_000\n", ("line 3", "'1_000' is not a number"), id="underscore"),
        pytest.param("a,b\n1,2\n3,٣\n", ("line 3", "is not a number"), id="other-digits"),
        pytest.param("a;b\n1,5;2\n2,5;3.5\n", ("line 3, column 'b'", "'3.5' is not"), id="two-decimal-signs"),
        pytest.param("a;b\n1.5;2\n2,5;3\n", ("line 3, column 'a'", "'2,5'", "point (1.5)"), id="point-then-comma"),
        pytest.param(
            "a;b\n1,500;2\n2,250;3\n", ("'1,500'", "without thousands separators"), id="thousands-or-decimals"
        ),
        pytest.param('a,b\n"1,234.5",2\n', ("'1,234.5'", "thousands separators"), id="thousands"),
        pytest.param("a;b\n1.234,5;2\n2,5;3\n", ("'1.234,5'", "thousands separators"), id="thousands-points"),
        pytest.param("a,b\n1 234,2\n", ("'1 234'", "thousands separators"), id="thousands-spaces"),
        pytest.param(
            "n,flag\n1,true\n", ("'flag' holds true and false", "--columns n; --columns n,flag"), id="booleans"
        ),
        pytest.param(
            "s,flag,a\nu,true,1\n", ("'u' is not a number", "numeric columns, --columns a"), id="text-and-truth"
        ),
        pytest.param("# a,b\n# 1,2\n", ("comments and no rows",), id="only-comments"),
        pytest.param(
            "a,b\n1,2\n#N/A,3\n", ("line 3, column 'a'", "'#N/A' is not a number"), id="cell-of-a-spreadsheet"
        ),
        pytest.param("a b\n1 2\n3 4\n", ("line 2, column 'a b'", "'1 2'", "not by spaces"), id="spaces"),
        pytest.param("a,b\n1,2\n3,4,5\n", ("line 3 has 3 fields where line 1 has 2", "commas"), id="long-row"),
        pytest.param("a;b\n1;2\n3\n", ("line 3 has 1 field where line 1 has 2", "semicolons"), id="short-row"),
        pytest.param('a,b\n1,"2\n"\n3\n', ("line 4 has 1 field",), id="line-after-cell-of-two-lines"),
        pytest.param("", (" is empty (0 bytes)", "at least one row"), id="no-bytes"),
        pytest.param(" \n\n", (" is empty", "at least one row"), id="blank"),
        pytest.param(b"\xef\xbb\xbf\n", (" is empty",), id="only-byte-order-mark"),
        pytest.param("a,b\n", ("column names (a, b) and no rows",), id="header-only"),
        pytest.param("a,b\n\n\n", ("no rows",), id="header-and-empty-lines"),
        pytest.param("a,b,a\n1,2,3\n", ("columns 0 and 2", "both called 'a'", "rename"), id="same-name"),
        pytest.param(",a,b\n1,2,3\n", ("column 0 ", "has no name", "--columns a,b"), id="row-numbers"),
        pytest.param(
            "Unnamed: 0,a,b\n1,2,3\n", ("column 0 ", "has no name", "--columns a,b"), id="row-numbers-of-pandas"
        ),
        pytest.param("a,b,\n1,2,\n", ("column 2 ", "has no name"), id="comma-at-the-end"),
        pytest.param('a,b\n1,"2\n3,4\n', ("line 2",), id="open-quote"),
        pytest.param(f'a,b\n1,"{"2" * 200_000}"\n', ("line 2", "cannot be split", "quote"), id="huge-cell"),
        pytest.param(b"a,b\n1,2\n\xe9,3\n", ("line 3", "not UTF-8 (0xe9)", "save the file as UTF-8"), id="latin-1"),
        pytest.param(b"a\n1\n2\xc3", ("line 3", "half a UTF-8 character"), id="cut-character"),
        pytest.param(b"a,b\n1,2\n3,\x004\n", ("not a text file", "save it as CSV"), id="nul-bytes"),
        pytest.param("a\n1\n".encode("utf-16"), ("UTF-16", "save"), id="utf-16"),
        pytest.param("<!DOCTYPE html>\n<html></html>", ("web page", "download the raw file"), id="web-page"),
    ],
)
def test_bad_csv_files(write, refusal, content, parts):
    path = write("bad.csv", content)
    message = tail(refusal(datasets.load, path), path)
    for part in parts:
        assert part in message


def test_unknown_column_of_a_csv(write, refusal):
    path = write("a.csv", "eruptions,waiting\n1,2\n")
    message = refusal(datasets.load, path, columns=["waitng"])
    assert (
        tail(message, path)
        == ": there is no column 'waitng'; did you mean 'waiting'? The columns are: eruptions, waiting"
    )


def test_a_long_list_of_columns_is_cut(write, refusal):
    path = write("a.csv", ",".join(f"column_{i}" for i in range(500)) + "\n" + ",".join(["1"] * 500) + "\n")
    assert "and 488 more" in refusal(datasets.load, path, columns=["zzz"])


@pytest.mark.parametrize("first", [0, 1])
def test_a_column_that_numbers_the_rows_is_told_of(write, first):
    rows = [f"{first + i},{i * i},{i % 3}\n" for i in range(12)]
    path = write("a.csv", "".join(["id,x,y\n", *rows]))
    told = r"a\.csv: column 'id' numbers the rows, and is read as a feature; --columns x,y leaves it out"
    with pytest.warns(DataWarning, match=told):
        assert datasets.load(path).feature_names == ("id", "x", "y")
    for columns in (["id", "x"], ["x", "y"]):  # who asks for it knows of it
        assert datasets.load(path, columns=columns).feature_names == tuple(columns)
    alone = write("b.csv", "".join(["id\n", *(f"{first + i}\n" for i in range(12))]))
    few = write("c.csv", "".join(["id,x,y\n", *rows[:9]]))
    for other in (alone, few):
        assert datasets.load(other).feature_names[0] == "id"


def test_a_column_without_a_name_can_be_chosen_by_position(write, refusal):
    path = write("a.csv", ",a\n1,2\n2,x\n")
    assert datasets.load(path, columns=[0]).values.tolist() == [[1.0], [2.0]]
    bad = write("b.csv", ",a\n1,2\nx,3\n")
    assert "line 3, column 0 (counting from 0, it has no name)" in refusal(datasets.load, bad, columns=[0, 1])


# --- Parquet ---------------------------------------------------------------------------------------------


def test_parquet_numbers_of_every_kind(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {
        "i": pa.array([1, 2], pa.int8()),
        "f": pa.array([0.5, 1.5], pa.float32()),
        "b": pa.array([True, False]),
        "d": pa.array([Decimal("1.25"), Decimal("2.50")]),
    }
    parquet.write_table(pa.table(columns), path)
    data = datasets.load(path, columns="i,f,b,d")
    assert data.feature_names == ("i", "f", "b", "d")
    assert data.values.tolist() == [[1.0, 0.5, 1.0, 1.25], [2.0, 1.5, 0.0, 2.5]]
    assert datasets.load(path, columns="d,i").values.tolist() == [[1.25, 1.0], [2.5, 2.0]]


def test_parquet_names_with_dots(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"a.b": [1.0, 2.0], "a": [3.0, 4.0]}), path)
    assert datasets.load(path, columns=["a", "a.b"]).values.tolist() == [[3.0, 1.0], [4.0, 2.0]]


def test_parquet_written_by_pandas_leaves_its_row_labels_out(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": [1.0, 2.0]}, index=[7, 9]).to_parquet(path)
    assert datasets.load(path).feature_names == ("a",)
    assert datasets.load(path, columns=["__index_level_0__"]).values.tolist() == [[7.0], [9.0]]


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_a_named_index_of_pandas_is_no_feature_and_that_is_said(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=pd.Index([7, 9], name="id"))
    table = pa.Table.from_pandas(frame)
    parquet.write_table(table, path) if suffix == "parquet" else feather.write_feather(table, path)
    with pytest.warns(DataWarning, match=r"index of pandas \(id\) was left out; --columns id,a,b takes it in"):
        data = datasets.load(path)
    assert (data.feature_names, data.values.tolist()) == (("a", "b"), [[1.0, 3.0], [2.0, 4.0]])
    assert datasets.load(path, columns="id,b").values.tolist() == [[7.0, 3.0], [9.0, 4.0]]


@pytest.mark.parametrize("words", [b"{", b"[" * 100_000, b"7", b'{"index_columns": 7}', b'{"index_columns": [[], 1]}'])
def test_damaged_words_of_pandas_do_no_harm(tmp_path, words):
    table = pa.table({"a": [1.0, 2.0]}).replace_schema_metadata({b"pandas": words})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert datasets.load(tmp_path / "a.parquet").shape == (2, 1)


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        pytest.param({"a": [1.0], "s": ["u"]}, ("'s'", "not numeric but string", "'u'", "--columns a"), id="text"),
        pytest.param({"a": [1.0], "s": [True]}, ("'s' holds true and false", "--columns a; "), id="booleans"),
        pytest.param({"s": ["u"]}, ("'s'", "no other column is numeric"), id="text-only"),
        pytest.param({"a": [[1.0], [2.0]]}, ("'a'", "not numeric but list"), id="nested"),
        pytest.param({"a": [1.0, None, None]}, ("row 1 (counting from 0)", "'a'", "missing (2 in"), id="null"),
        pytest.param({"a": [1, None]}, ("row 1 ", "missing", "remove"), id="null-integer"),
        pytest.param({"a": [1.0, math.nan]}, ("NaN in row 1 ", "'a'", "remove"), id="nan"),
        pytest.param({"a": [1.0, math.inf]}, ("infinite value in row 1 ", "'a'"), id="inf"),
        pytest.param({"a": pa.array([], pa.float64())}, ("is empty", "no rows"), id="no-rows"),
    ],
)
def test_bad_parquet_tables(tmp_path, refusal, table, parts):
    path = tmp_path / "bad.parquet"
    parquet.write_table(pa.table(table), path)
    message = tail(refusal(datasets.load, path), str(path))
    for part in parts:
        assert part in message


def test_parquet_with_the_same_name_twice(tmp_path, refusal):
    path = tmp_path / "bad.parquet"
    parquet.write_table(pa.table([pa.array([1.0]), pa.array([2.0])], names=["a", "a"]), path)
    assert "both called 'a'" in refusal(datasets.load, path)


def test_unknown_column_of_a_parquet_file(tmp_path, refusal):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"waiting": [1.0]}), path)
    assert "did you mean 'waiting'" in refusal(datasets.load, path, columns=["wating"])


def test_a_parquet_file_cut_off(tmp_path, refusal):
    path = tmp_path / "cut.parquet"
    parquet.write_table(pa.table({"a": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[:-200])
    assert "is not a whole Parquet file" in refusal(datasets.load, path)


# --- .npy and .npz -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, np.uint8])
def test_npy_of_one_and_two_dimensions(tmp_path, dtype):
    path = tmp_path / "a.npy"
    np.save(path, np.array([1, 0, 1], dtype=dtype))
    assert datasets.load(path).values.tolist() == [[1.0], [0.0], [1.0]]
    np.save(path, np.asfortranarray(np.array([[1, 0], [0, 1], [1, 1]], dtype=dtype)))
    data = datasets.load(path)
    assert (data.feature_names, data.values.tolist()) == (("x0", "x1"), [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert datasets.load(path, columns=["x1"]).values.tolist() == datasets.load(path, columns=1).values.tolist()


def test_npz_takes_its_only_array_or_the_one_called_x(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, heights=[1.0, 2.0])
    assert datasets.load(path).values.tolist() == [[1.0], [2.0]]
    np.savez_compressed(path, labels=[0, 1], x=[[3.0, 4.0], [5.0, 6.0]])
    assert datasets.load(path).values.tolist() == [[3.0, 4.0], [5.0, 6.0]]


@pytest.mark.parametrize(
    ("array", "parts"),
    [
        pytest.param(np.array([1.0, np.nan]), ("NaN in row 1 (counting from 0)", "'x'", "remove"), id="nan"),
        pytest.param(np.array([[1.0, np.inf]]), ("infinite value in row 0", "'x1'"), id="inf"),
        pytest.param(np.array([[1, "a"]]), ("column 'x1' is not numeric", "'a'", "leave this column out"), id="text"),
        pytest.param(np.array([1j]), ("complex",), id="complex"),
        pytest.param(np.array([True, False]), ("'x' holds true and false", "--columns x reads"), id="booleans"),
        pytest.param(np.zeros((2, 2, 2)), ("3 dimensions", "(2, 2, 2)"), id="3-d"),
        pytest.param(np.array(1.0), ("0 dimensions",), id="0-d"),
        pytest.param(np.zeros((0, 2)), ("is empty", "no rows"), id="no-rows"),
        pytest.param(np.zeros(2, dtype=[("a", "f8")]), ("structured", "fields a", "plain array"), id="structured"),
        pytest.param(np.array([1, None], dtype=object), ("never unpickles", "numpy.save"), id="objects"),
    ],
)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_bad_numpy_arrays(tmp_path, refusal, array, parts, suffix):
    path = tmp_path / f"bad.{suffix}"
    if suffix == "npy":
        np.save(path, array, allow_pickle=True)
    else:
        np.savez(path, array)
    message = tail(refusal(datasets.load, path), str(path))
    for part in parts:
        assert part in message


class Bomb:
    """An object whose unpickling leaves a trace."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_files_are_never_unpickled(tmp_path, refusal, suffix):
    trace, path = tmp_path / "trace", tmp_path / f"bomb.{suffix}"
    bomb = np.array([Bomb(trace)], dtype=object)
    if suffix == "npy":
        np.save(path, bomb, allow_pickle=True)
    else:
        np.savez(path, x=bomb)
    assert "never unpickles" in refusal(datasets.load, path)
    assert not trace.exists()


def test_npz_with_several_arrays_or_none(tmp_path, refusal):
    path = tmp_path / "a.npz"
    np.savez(path, heights=[1.0], weights=[2.0])
    message = refusal(datasets.load, path)
    for part in ("2 arrays (heights, weights)", "call the one to use 'x'", "save it alone"):
        assert part in message
    np.savez(path)
    assert "holds no array" in refusal(datasets.load, path)


def test_npz_that_holds_something_else(tmp_path, refusal):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert "'notes.txt' is not a NumPy array" in refusal(datasets.load, path)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("kept", [0.5, 0.05])
def test_numpy_files_cut_off(tmp_path, refusal, suffix, kept):
    path = tmp_path / f"cut.{suffix}"
    values = np.random.default_rng(1).normal(size=500)
    np.save(path, values) if suffix == "npy" else np.savez(path, values)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "is not a whole NumPy file" in refusal(datasets.load, path)


# --- files that are not what their names say ----------------------------------------------------------

CSV = b"a,b\n1,2\n3,4\n"
PARQUET = b"PAR1\x15\x04\x15"
NPY = b"\x93NUMPY\x01\x00v\x00"
ZIP = b"PK\x03\x04\x14\x00\x00\x00"


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.parquet", CSV, ("not what its name says", "rename it to .csv")),
        ("a.npy", CSV, ("not what its name says", "rename it to .csv")),
        ("a.npz", CSV, ("not what its name says", "rename it to .csv")),
        ("a.csv", PARQUET, ("not what its name says", "a Parquet file", "rename it to .parquet")),
        ("a.csv", NPY, ("a NumPy array", "rename it to .npy")),
        ("a.csv", ZIP, ("a zip archive", "xlsx", "rename it to .npz")),
        ("a.npy", ZIP, ("a zip archive", "rename it to .npz")),
        ("a.npz", NPY, ("a NumPy array", "rename it to .npy")),
        ("a.parquet", NPY, ("a NumPy array", "rename it to .npy")),
        ("a.csv", b"\x1f\x8b\x08\x00", ("packed by gzip", "rename it to .csv.gz")),
        ("a.csv", b"\x89HDF\r\n\x1a\n", ("HDF5", "converted")),
        ("a.npy", b"\x80\x04\x95\x00", ("not what its name says", "write or fetch it again")),
        ("a.csv", b"\x01\x02\x00\x03", ("not a text file",)),
        ("a.npy", b"", ("is empty (0 bytes)",)),
        ("a.npz", b"", ("is empty (0 bytes)",)),
        ("a.parquet", b"", ("is empty (0 bytes)",)),
        ("a.parquet", b"PAR1", ("not a whole Parquet file",)),
        ("a.xlsx", ZIP, ("'.xlsx' are not read", ".parquet, .feather, .arrow, .npy or .npz")),
        ("a.csv.gz", b"\x1f\x8b\x08\x00", ("not a whole packed file",)),
        ("a.csv.gz", CSV, ("not what its name says (packed by gzip)", "rename it to .csv")),
        ("a.npy.gz", b"\x1f\x8b\x08\x00", ("of packed files those ending in .csv.gz",)),
        ("a.feather", PARQUET, ("a Parquet file", "rename it to .parquet")),
        ("a.feather", b"FEA1\0\0\0\0", ("Feather file of version 1",)),
        ("a.arrow", b"ARROW1\0\0", ("not a whole Arrow file",)),
        ("data", CSV, ("has no suffix", ".parquet")),
    ],
)
def test_files_that_are_not_what_their_names_say(write, refusal, name, content, parts):
    path = write(name, content)
    message = tail(refusal(datasets.load, path), path)
    for part in parts:
        assert part in message


def test_a_folder(tmp_path, refusal):
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    message = tail(refusal(datasets.load, folder), str(folder))
    assert "is a folder: give one file in it" in message


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path, refusal):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    assert "not a regular file" in refusal(datasets.load, pipe)


def test_text_comes_from_standard_input(refusal, monkeypatch):
    def pipe(content):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    pipe(CSV)
    data = datasets.load("-", columns="b")
    assert (data.name, data.source, data.values.tolist()) == ("stdin", "-", [[2.0], [4.0]])
    for content, part in ((b"", "is empty"), (PARQUET, "a Parquet file"), (b"a,b\n1,x\n", "line 2, column 'b'")):
        pipe(content)
        message = refusal(datasets.load, "-")
        assert message.startswith("standard input")
        assert part in message


def test_a_file_that_may_not_be_read(write, refusal, monkeypatch):
    path = write("a.csv", CSV)

    def denied(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)
    assert "cannot be read (Permission denied)" in refusal(datasets.load, path)
