"""Finding out what a path is, and the reader for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from emjax.datasets.binary_files import read_npy, read_npz, read_parquet
from emjax.datasets.bundled import CATALOGUE, load_bundled
from emjax.datasets.columns import Columns, listed
from emjax.datasets.dataset import Dataset
from emjax.datasets.text_files import read_csv
from emjax.errors import DataError
from emjax.files import NotRegularError, regular_size, user_path
from emjax.floats import quoted
from emjax.nearest import nearest

__all__ = ["load"]

type _Reader = Callable[[Path, str, Columns], tuple[np.ndarray, tuple[str, ...]]]

_READERS: Mapping[str, _Reader] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".npy": read_npy,
    ".npz": read_npz,
}
_SUFFIXES = ".csv, .tsv, .txt, .parquet, .npy or .npz"

# what files begin with: (first bytes, what it is, the suffixes it may have)
_SIGNATURES: tuple[tuple[bytes, str, tuple[str, ...]], ...] = (
    (b"PAR1", "a Parquet file", (".parquet", ".pq")),
    (b"\x93NUMPY", "a NumPy array", (".npy",)),
    (b"PK\x03\x04", "a zip archive (NumPy's .npz and Excel's .xlsx are such)", (".npz",)),
    (b"PK\x05\x06", "an empty zip archive", (".npz",)),
    (b"\x1f\x8b", "a gzip archive, to be unpacked first", ()),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, to be converted first", ()),
    (b"\xff\xfe", "text in UTF-16, to be saved as UTF-8 first", ()),
    (b"\xfe\xff", "text in UTF-16, to be saved as UTF-8 first", ()),
)
_EXPECTED = {
    ".parquet": "a Parquet file",
    ".pq": "a Parquet file",
    ".npy": "a NumPy array",
    ".npz": "a zip archive",
}


def load(name_or_path: str | os.PathLike[str], columns: Columns = None) -> Dataset:
    """Load a bundled data set by name, or a file.

    Args:
        name_or_path: a bundled name (see :func:`emjax.datasets.available`) or the path of a ``.csv``,
            ``.tsv``, ``.txt``, ``.parquet``, ``.npy`` or ``.npz`` file.  A bundled name wins unless the text
            has a path separator or a suffix, so ``./faithful.csv`` is always a file.
        columns: the columns to keep, in this order: names or positions counting from 0, as a sequence or as
            one text separated by commas.  None keeps all of them.

    Returns:
        The data set; ``values`` is float64, shape ``(n_samples, n_features)``, all finite.

    Raises:
        DataError: in one line, for whatever is wrong with the name, the file or a value in it.  Lines of text
            files count from 1, as in an editor; rows of the others count from 0.
    """
    try:
        text = os.fsdecode(name_or_path)
    except TypeError as error:
        raise DataError(
            f"a data set is loaded by its name or path, not from a {type(name_or_path).__name__}: "
            "pass arrays to emjax "
            "as they are"
        ) from error
    if not text.strip():
        raise DataError(f"no data set was named: give the path of a file, or one of {listed(tuple(CATALOGUE))}")
    is_path = Path(text).suffix != "" or "/" in text or os.sep in text
    if not is_path and text in CATALOGUE:
        return load_bundled(CATALOGUE[text], columns)
    path = user_path(text, DataError)
    short = text if len(text) <= 250 else f"{text[:120]}...{text[-120:]}"
    place = short if short.isprintable() else quoted(short)
    size = _size_of_file(path, text, place)
    reader = _reader_for(path, place)
    if size == 0:
        raise DataError(f"{place} is empty (0 bytes): give a file with at least one row of numbers")
    try:
        _check_signature(path, reader, place)
        values, feature_names = reader(path, place, columns)
    except OSError as error:
        raise DataError(f"{place} cannot be read ({error.strerror or error}): check the file and its rights") from error
    return Dataset(values=values, feature_names=feature_names, name=path.stem, source=text)


def _size_of_file(path: Path, text: str, place: str) -> int:
    """The size in bytes, or a :class:`DataError` saying that there is no such file."""
    names = listed(tuple(CATALOGUE))
    try:
        return regular_size(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        close = nearest(path.stem, CATALOGUE)
        hint = f"did you mean {quoted(close)}? " if close else ""
        what = "file" if path.suffix or len(path.parts) > 1 else "file and no bundled data set"
        raise DataError(f"there is no {what} {quoted(text)}; {hint}Bundled data sets: {names}") from error
    except IsADirectoryError as error:
        raise DataError(f"{place} is a folder: give one file in it ({_SUFFIXES})") from error
    except NotRegularError as error:
        raise DataError(f"{place} is not a regular file: save the data as a file first ({_SUFFIXES})") from error
    except OSError as error:
        raise DataError(f"{place} cannot be read ({error.strerror}): give a file, or one of {names}") from error


def _reader_for(path: Path, place: str) -> _Reader:
    suffix = path.suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        what = f"files ending in {quoted(suffix)} are not read" if suffix else "the file name has no suffix"
        raise DataError(f"{place}: {what}: save the data as {_SUFFIXES}")
    return reader


def _check_signature(path: Path, reader: _Reader, place: str) -> None:
    """Refuse a file whose first bytes are not what its name says."""
    with path.open("rb") as file:
        head = file.read(8)
    for signature, what, suffixes in _SIGNATURES:
        if head.startswith(signature):
            if path.suffix.lower() in suffixes:
                return
            remedy = f"rename it to {suffixes[0]}" if suffixes else f"save it as {_SUFFIXES}"
            raise DataError(f"{place} is not what its name says: its content is {what}; {remedy}")
    if reader is not read_csv:
        looks_like_text = all(byte in b"\t\r\n" or byte >= 32 for byte in head)
        content = "its content looks like text; rename it to .csv" if looks_like_text else "write or fetch it again"
        raise DataError(f"{place} is not what its name says ({_EXPECTED[path.suffix.lower()]}): {content}")
