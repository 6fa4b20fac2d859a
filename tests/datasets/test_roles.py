"""Columns of a file that hold weights and labels, and cells that are empty, in every format."""

import gzip
import io
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from emjax import datasets
from emjax.datasets import text_files
from emjax.environment import fingerprint, fingerprint_of
from emjax.errors import ConfigError
from emjax.experiments.work.loading import columns_of
from emjax.samples import as_samples

TEXT = "n,group,height,width\n2,b,1.5,10\n0,,2.5,NA\n1.5,a,,30\n"
VALUES = [[1.5, 10.0], [2.5, np.nan], [np.nan, 30.0]]
FRAME = pd.read_csv(io.StringIO(TEXT))
ROLES = {"weights": "n", "labels": "group", "missing": "keep"}


def put(tmp_path, suffix: str) -> str:
    path = tmp_path / f"data{suffix}"
    match suffix:
        case ".parquet":
            parquet.write_table(pa.Table.from_pandas(FRAME), path)
        case ".feather":
            feather.write_feather(FRAME, path, compression="uncompressed")
        case ".csv.gz":
            path.write_bytes(gzip.compress(TEXT.encode()))
        case ".tsv":
            path.write_text(TEXT.replace(",", "\t").replace(".", ","))
        case _:
            path.write_text(TEXT)
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet", ".feather"])
def test_roles_of_columns_in_every_format(tmp_path, suffix):
    dataset = datasets.load(put(tmp_path, suffix), **ROLES)
    assert dataset.feature_names == ("height", "width")
    np.testing.assert_array_equal(dataset.values, VALUES)
    assert dataset.weights.tolist() == [2.0, 0.0, 1.5]
    assert dataset.labels is None
    samples = as_samples(dataset, n_components=2, missing=True)
    assert samples.weights.tolist() == [2.0, 0.0, 1.5]
    assert samples.label_names == ("a", "b")
    assert samples.labels.tolist() == [[-np.inf, 0.0], [0.0, 0.0], [0.0, -np.inf]]
    assert fingerprint_of(dataset) == fingerprint_of(datasets.load(put(tmp_path, ".csv"), **ROLES))
    assert fingerprint_of(dataset) != fingerprint(dataset.values)
    assert as_samples(dataset, weights=[1, 1, 1], missing=True).weights is None, "what is given comes first"


def test_roles_of_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(TEXT.encode()), isatty=lambda: False))
    dataset = datasets.load("-", **ROLES)
    np.testing.assert_array_equal(dataset.values, VALUES)
    assert dataset.weights.tolist() == [2.0, 0.0, 1.5]


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_roles_of_numpy_files_go_by_position(tmp_path, suffix):
    array = np.array([[1.0, 2.0, 0.0], [np.nan, 3.0, -1.0], [5.0, 1.0, np.nan]])
    (np.save if suffix == ".npy" else np.savez)(tmp_path / f"a{suffix}", array)
    dataset = datasets.load(tmp_path / f"a{suffix}", weights=1, labels="x2", missing="keep")
    assert dataset.feature_names == ("x0",)
    np.testing.assert_array_equal(dataset.values, array[:, :1])
    assert dataset.weights.tolist() == [2.0, 3.0, 1.0]
    assert as_samples(dataset, n_components=2, missing=True).labels.tolist() == [[0, -np.inf], [0, 0], [0, 0]]


@pytest.mark.parametrize("missing", ["keep", "refuse"])
def test_text_files_are_read_alike_as_they_are_and_examined(tmp_path, monkeypatch, missing):
    rng = np.random.default_rng(0)
    cells = rng.choice(["1.25", "-3", "7e2", *(["", "NA", "NaN", "?", "nan"] if missing == "keep" else [])], (500, 2))
    ends = zip(rng.random(500), rng.choice(["u", "", "true"], 500), strict=True)
    lines = [f"{a},{b},{weight},{label}" for (a, b), (weight, label) in zip(cells, ends, strict=True)]
    (tmp_path / "plain.csv").write_text("a,b,w,g\n" + "\n".join(lines))
    (tmp_path / "commented.csv").write_text("a,b,w,g\n" + "\n# a comment, which pyarrow does not know\n".join(lines))
    asked = {"weights": "w", "labels": "g", "missing": missing}
    examined = datasets.load(tmp_path / "commented.csv", **asked)
    monkeypatch.setattr(text_files, "examined", None)
    plain = datasets.load(tmp_path / "plain.csv", **asked)
    assert np.isnan(plain.values).any() == (missing == "keep")
    assert plain.values.tobytes() == examined.values.tobytes()
    assert plain.weights.tobytes() == examined.weights.tobytes()
    assert plain.partial_labels.tolist() == examined.partial_labels.tolist()
    assert set(plain.partial_labels) == {"u", "true", None}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0", "1", "", "-1"], [0.0, 1.0, None, -1.0]),
        (["0", "1.0", "NA", "1"], [0.0, 1.0, None, 1.0]),
        (["0", "x", "", "1"], ["0", "x", None, "1"]),
        (["true", "false", "?", "true"], ["true", "false", None, "true"]),
        ([" a ", "a", "-", "b"], ["a", "a", None, "b"]),
    ],
)
def test_labels_of_text_files_are_numbers_or_names(write, cells, expected):
    path = write("labels.csv", "x,g\n" + "".join(f"{row}.5,{cell}\n" for row, cell in enumerate(cells)))
    found = datasets.load(path, labels="g").partial_labels.tolist()
    assert [None if value != value else value for value in found] == expected


def test_a_file_of_one_column_has_empty_lines_for_cells(write):
    dataset = datasets.load(write("one.csv", "x\n1\n\n3\n"), missing="keep")
    np.testing.assert_array_equal(dataset.values, [[1.0], [np.nan], [3.0]])


def test_bundled_data_give_their_groups_as_labels_where_they_are_asked_for():
    plain, told = datasets.load("iris"), datasets.load("iris", labels="species")
    assert as_samples(plain, n_components=3).labels is None
    assert plain.labels is not None
    assert told.feature_names == plain.feature_names
    samples = as_samples(told, n_components=3)
    assert samples.label_names == ("setosa", "versicolor", "virginica")
    assert (samples.labels == 0).sum(axis=0).tolist() == [50, 50, 50]
    weighted = datasets.load("iris", weights="sepal_width", columns=["petal_length"])
    assert weighted.feature_names == ("petal_length",)
    assert weighted.weights.tolist() == plain.values[:, 1].tolist()


@pytest.mark.parametrize(
    ("text", "options", "parts"),
    [
        pytest.param("x,w\n1,a\n", {"weights": "w"}, ("line 2", "'w'", "'a' is no weight", "0 or more"), id="text"),
        pytest.param("x,w\n1,2\n3,\n", {"weights": "w"}, ("line 3", "'w'", "'' is no weight"), id="empty"),
        pytest.param("x,w\n1,2\n,\n", {"weights": "w", "missing": "keep"}, ("line 3", "'w'"), id="empty-kept"),
        pytest.param("x,w\n1,2\n3,inf\n", {"weights": "w"}, ("line 3", "'inf' is no weight"), id="infinite"),
        pytest.param("x,w\n1,2\n3,-2\n", {"weights": "w"}, ("weights", "row 1", "negative"), id="negative"),
        pytest.param("x,w\n1,0\n3,0\n", {"weights": "w"}, ("weights are 0 in every row",), id="zeros"),
        pytest.param("x,w\n1,true\n", {"weights": "w"}, ("'w' holds true and false", "1 and 0"), id="truth"),
        pytest.param("x,w\n1,2\n", {"weights": "v"}, ("no column 'v'", "x, w"), id="unknown"),
        pytest.param("x,w\n1,2\n", {"weights": 2}, ("no column 2",), id="position"),
        pytest.param("x,w\n1,2\n", {"weights": ["w"]}, ("neither the name",), id="several"),
        pytest.param("x,w\n1,2\n", {"weights": "w", "labels": "w"}, ("'w' holds either",), id="both"),
        pytest.param("x,w\n1,2\n", {"weights": "w", "columns": "x,w"}, ("'w' holds the weights",), id="feature"),
        pytest.param("w\n1\n", {"weights": "w"}, ("no column for the features",), id="no-features"),
        pytest.param("x,g\n1,0.5\n", {"labels": "g"}, ("labels", "row 0", "labelled 0.5"), id="fraction"),
        pytest.param("x,g\n1,-3\n", {"labels": "g"}, ("labels", "labelled -3"), id="negative-label"),
        pytest.param("x,g\n1,a\ninf,b\n", {"labels": "g", "missing": "keep"}, ("line 3", "'inf'"), id="inf-kept"),
        pytest.param("x,g\n1,a\nb,b\n", {"labels": "g", "missing": "keep"}, ("line 3", "'b' is not a"), id="text-kept"),
        pytest.param("x,y\n1,2\n,3\n", {}, ("line 3", "empty", "--missing", "missing = 'keep'"), id="hint"),
        pytest.param(",w\n1,2\n", {"weights": "w"}, ("column 0", "no name"), id="nameless"),
    ],
)
def test_bad_roles_are_refused(write, refusal, text, options, parts):
    message = refusal(datasets.load, write("bad.csv", text), **options)
    assert "bad.csv" in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("table", "options", "parts"),
    [
        pytest.param({"x": [1.0], "w": ["a"]}, {"weights": "w"}, ("'w'", "not numeric but string"), id="text"),
        pytest.param({"x": [1.0], "w": [True]}, {"weights": "w"}, ("'w' holds true and false",), id="truth"),
        pytest.param({"x": [1.0, 2.0], "w": [1, None]}, {"weights": "w"}, ("weights", "row 1", "not there"), id="null"),
        pytest.param({"x": [1.0], "g": [b"a"]}, {"labels": "g"}, ("labels", "row 0", "whole numbers"), id="bytes"),
        pytest.param(
            {"x": [1.0], "g": [True]},
            {"labels": "g"},
            ("bad.parquet: labels holds true and false: write 1",),
            id="truth-labels",
        ),
        pytest.param({}, {"missing": "keep"}, ("has no column for the features: add one",), id="no-columns"),
        pytest.param({"x": [1.0, None]}, {}, ("row 1", "'x'", "missing", "--missing"), id="hint"),
        pytest.param({"x": [1.0, np.nan]}, {}, ("NaN in row 1", "--missing"), id="hint-for-nan"),
        pytest.param({"x": [1.0, np.inf]}, {"missing": "keep"}, ("infinite value in row 1",), id="infinite"),
    ],
)
def test_bad_roles_of_parquet_files(tmp_path, refusal, table, options, parts):
    parquet.write_table(pa.table(table), tmp_path / "bad.parquet")
    message = refusal(datasets.load, tmp_path / "bad.parquet", **options)
    for part in parts:
        assert part in message
    assert ("--missing" in message) == (options == {})


def test_labels_of_parquet_files_of_every_type(tmp_path):
    for labels in (
        pa.array([0, None, 1]),
        pa.array([0.0, None, 1.0]),
        pa.array(["a", None, "b"]),
        pa.array(["a", None, "b"]).dictionary_encode(),
    ):
        parquet.write_table(pa.table({"x": [1.0, 2.0, 3.0], "g": labels}), tmp_path / "labels.parquet")
        samples = as_samples(datasets.load(tmp_path / "labels.parquet", labels="g"), n_components=2)
        assert samples.labels.tolist() == [[0, -np.inf], [0, 0], [-np.inf, 0]]


def test_the_word_for_missing_is_one_of_two(write):
    with pytest.raises(ConfigError, match=r"missing='keeep' is not one of 'refuse', 'keep'; did you mean 'keep'\?"):
        datasets.load(write("a.csv", "x\n1\n"), missing="keeep")


@pytest.mark.parametrize("names", ["n,group,height,width", "n,group,weights,labels", "n,group,weights,weights_"])
def test_what_came_through_a_pipe_is_read_back_as_it_was(write, tmp_path, names):
    dataset = datasets.load(write("a.csv", TEXT.replace("n,group,height,width", names)), **ROLES)
    columns, roles = columns_of(dataset)
    parquet.write_table(pa.table(columns), tmp_path / "data.parquet")
    again = datasets.load(tmp_path / "data.parquet", **roles)
    assert again.feature_names == dataset.feature_names
    assert fingerprint_of(again) == fingerprint_of(dataset)
    assert again.weights.tolist() == dataset.weights.tolist()
    assert again.partial_labels.tolist() == dataset.partial_labels.tolist()
    plain = datasets.load("faithful")
    assert columns_of(plain)[1] == {}
