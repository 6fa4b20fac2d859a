"""Files that somebody has damaged, or made to take all time and memory, are read or refused in one line."""

import bz2
import gzip
import lzma
import warnings
import zipfile
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from emjax import datasets
from emjax.datasets import columns as columns_module
from emjax.datasets import packed, text_layout
from emjax.errors import DataError, DataWarning

OPENED = {
    ".gz": partial(gzip.open, mode="wb"),
    ".bz2": partial(bz2.open, mode="wb"),
    ".xz": partial(lzma.open, mode="wb"),
    ".zst": partial(pa.output_stream, compression="zstd"),
}
"""How a packed text is written, by suffix."""


def header_of(shape, descr="'<f8'", version=1):
    """A ``.npy`` header that declares what it likes."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    ("shape", "descr"),
    [
        ("(1000000000000,)", "'<f8'"),
        ("(4294967296, 4294967296)", "'<f8'"),
        ("(-1, 8)", "'<f8'"),
        ("(1000000000000,)", "'|S0'"),
        ("(9, 1)", "'<f8'"),
        (f"(1{'0' * 29},)", "'|u1'"),
    ],
)
def test_a_numpy_header_that_declares_more_than_the_file_holds(tmp_path, write, refusal, shape, descr, version):
    content = header_of(shape, descr, version) + bytes(64)
    path = write("a.npy", content)
    message = refusal(datasets.load, path)
    assert "is not a whole NumPy file (its header declares shape (" in message
    assert "64 bytes follow" in message
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    assert "64 bytes follow" in refusal(datasets.load, tmp_path / "a.npz")


def test_what_is_packed_to_next_to_nothing_is_not_unpacked(tmp_path, refusal, monkeypatch):
    monkeypatch.setattr(packed, "MOST_UNPACKED", 10_000)
    zeros = np.zeros(5_000)
    np.savez_compressed(tmp_path / "a.npz", zeros)
    parquet.write_table(pa.table({"a": zeros}), tmp_path / "a.parquet")
    feather.write_feather(pa.table({"a": zeros}), tmp_path / "a.feather", compression="zstd")
    for suffix, opened in OPENED.items():
        with opened(tmp_path / f"a.csv{suffix}") as file:
            file.write(b"0\n" * 10_000)
    for name in ("a.npz", "a.parquet", "a.feather", *(f"a.csv{suffix}" for suffix in OPENED)):
        message = refusal(datasets.load, tmp_path / name)
        assert "and beyond 10,000 at most 20 times its size is read: save the numbers without compression" in message
    np.savez(tmp_path / "a.npz", zeros)
    parquet.write_table(pa.table({"a": zeros}), tmp_path / "a.parquet", compression="none", use_dictionary=False)
    feather.write_feather(pa.table({"a": zeros}), tmp_path / "b.feather", compression="uncompressed")
    for name in ("a.npz", "a.parquet", "b.feather"):
        assert datasets.load(tmp_path / name).shape == (5_000, 1)


@pytest.mark.parametrize("suffix", OPENED)
def test_packed_texts_are_read(tmp_path, suffix):
    with OPENED[suffix](tmp_path / f"heights.csv{suffix}") as file:
        file.write(b"a,b\n1.5,2\n-3,4e-3\n")
    data = datasets.load(tmp_path / f"heights.csv{suffix}")
    assert (data.name, data.feature_names) == ("heights", ("a", "b"))
    assert data.values.tolist() == [[1.5, 2.0], [-3.0, 0.004]]


def test_more_columns_than_a_file_may_have(tmp_path, write, refusal, monkeypatch):
    monkeypatch.setattr(columns_module, "MOST_COLUMNS", 3)
    np.save(tmp_path / "a.npy", np.zeros((2, 4)))
    parquet.write_table(pa.table({name: [1.0] for name in "abcd"}), tmp_path / "a.parquet")
    write("a.csv", "a,b,c,d\n1,2,3,4\n")
    write("b.csv", "1,2,3,4\n")
    for path in (tmp_path / name for name in ("a.csv", "b.csv", "a.npy", "a.parquet")):
        assert "has 4 columns, and 3 are the most: write the columns to use" in refusal(datasets.load, path)


def test_thousands_of_columns_are_read(tmp_path):
    names = [f"c{number}" for number in range(3_000)]
    table = pa.table({name: [1.0, float(number)] for number, name in enumerate(names)})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert datasets.load(tmp_path / "a.parquet").feature_names == tuple(names)
    assert datasets.load(tmp_path / "a.parquet", columns=names[::-1]).values[1, 0] == 2_999.0


def test_a_row_without_an_end_is_not_read_to_its_end(write, refusal, monkeypatch):
    monkeypatch.setattr(text_layout, "_LONGEST_RECORD", 1000)
    for name, content, line in (
        ("a.csv", "1," * 5_000 + "1", 1),
        ("b.csv", "a,b\n1,2\n" + "3," * 5_000, 3),
        ("c.csv", "a,b\n" + '"1\n",' * 5_000, 2),
    ):
        message = refusal(datasets.load, write(name, content))
        assert f"the row that begins in line {line} has more than 1,000 characters" in message


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_millions_of_empty_lines_are_no_rows(write, refusal, end):
    lines = end * 2_000_001
    data = datasets.load(write("a.csv", f"x{end}1{end}2" + lines), missing="keep")
    assert data.values.tolist() == [[1.0], [2.0]]
    assert "is empty" in refusal(datasets.load, write("b.csv", lines))


@pytest.mark.parametrize(
    "columns", [[1.5], [1.0], 1.0, [True], True, [None], [[0]], [b"a"], b"a", [np.float64(1)], [np.True_], [{}], 1j]
)
def test_columns_are_names_or_whole_numbers(write, refusal, columns):
    message = refusal(datasets.load, write("a.csv", "a,b\n1,2\n"), columns=columns)
    assert "is neither the name of a column nor its position, a whole number from 0: choose from a, b" in message
    assert datasets.load(write("a.csv", "a,b\n1,2\n"), columns=[np.int64(1)]).feature_names == ("b",)


def test_positions_of_any_length_are_refused(write, refusal):
    path = write("a.csv", "a,b\n1,2\n")
    for columns in ("9" * 5000, [10**5000], [-(10**400)], "1" * 30, 2):
        assert "there is no column" in refusal(datasets.load, path, columns=columns)


@pytest.mark.parametrize(
    "path", ["a\0b.csv", "~a\0b.csv", "\0", "~nobody-at-all/x.csv", "x" * 5000 + ".csv", "\udc80.csv"]
)
def test_paths_that_no_file_has(refusal, path):
    assert refusal(datasets.load, path)


def test_a_device(refusal):
    for path in ("/dev/zero", "/dev/null"):
        assert "not a regular file" in refusal(datasets.load, path)


VALUES = np.arange(60.0).reshape(20, 3)
NAMES = ("a.csv", "b.csv", "a.csv.gz", "a.csv.zst", "a.parquet", "a.feather", "a.npy", "a.npz", "b.npz")
JUNK = (
    b"\x00", b"\xff", b"\n", b"\r", b",", b";", b"\t", b'"', b"nan", b"inf", b"1e999", b"-", b"9" * 400, b"'", b"{",
    b"(", b"\x93NUMPY", b"PAR1", b"PK\x03\x04", b"PK\x05\x06", b"|O", b"<f8", b"'shape': (99999999999, 3)",
    b"\xef\xbb\xbf",
    (2**31 - 1).to_bytes(4, "little"), (2**63 - 1).to_bytes(8, "little"), b"\xff" * 10, b"c__builtin__\neval\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The content of a sound file of each kind, by name, and the folder for mutated ones."""
    folder = tmp_path_factory.mktemp("whole")
    text = "".join(",".join(map(repr, row)) + "\n" for row in VALUES.tolist())
    (folder / "a.csv").write_text("a,b,c\n" + text)
    (folder / "b.csv").write_text(text.replace(",", ";"))
    (folder / "a.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    (folder / "a.csv.zst").write_bytes(pa.compress(text.encode(), "zstd", asbytes=True))
    table = pa.table({f"c{i}": VALUES[:, i] for i in range(3)})
    parquet.write_table(table, folder / "a.parquet")
    feather.write_feather(table, folder / "a.feather")
    np.save(folder / "a.npy", VALUES)
    np.savez_compressed(folder / "a.npz", x=VALUES)
    np.savez(folder / "b.npz", x=VALUES, y=VALUES)
    return {name: (folder / name).read_bytes() for name in NAMES}, folder


@st.composite
def mutations(draw):
    """The name of a file, and what is done to it: where (as a share of its length), and what."""
    place = st.floats(0.0, 1.0, exclude_max=True)
    action = st.sampled_from(("flip", "flip", "flip", "cut", "out", "in", "twice"))
    junk = st.sampled_from(JUNK) | st.binary(min_size=1, max_size=8)
    changes = st.lists(st.tuples(action, place, st.integers(1, 40), junk), min_size=1, max_size=5)
    return draw(st.sampled_from(NAMES)), draw(changes)


def check_mutated(whole, only_reading, name, changes):
    contents, folder = whole
    content = bytearray(contents[name])
    for action, place, length, junk in changes:
        at = int(place * len(content))
        if action == "cut":
            del content[at:]
        elif action == "out":
            del content[at : at + length]
        elif action == "in":
            content[at:at] = junk
        elif action == "twice":
            content[at:at] = content[at : at + 10 * length]
        else:
            content[at : at + len(junk)] = junk
    path = folder / f"mutated-{name}"
    path.write_bytes(bytes(content))
    message = None
    with only_reading(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            assert np.isfinite(datasets.load(path).values).all()
        except DataError as error:
            message = str(error)
    if message is not None:
        assert message.isprintable()
        assert 20 < len(message) < 400
    event(f"{name} {'refused' if message else 'read'}")


MUTATIONS = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)


@settings(MUTATIONS, max_examples=150)
@given(mutation=mutations())
def test_damaged_files_are_read_or_refused_and_nothing_else(whole, only_reading, mutation):
    check_mutated(whole, only_reading, *mutation)


@pytest.mark.slow
@settings(MUTATIONS, max_examples=3000)
@given(mutation=mutations())
def test_three_thousand_damaged_files_are_read_or_refused(whole, only_reading, mutation):
    check_mutated(whole, only_reading, *mutation)
