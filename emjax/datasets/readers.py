"""Finding out what a path is, and the reader for it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from emjax.bounds import one_of
from emjax.datasets.binary_files import read_arrow, read_npy, read_npz
from emjax.datasets.bundled import CATALOGUE, load_bundled
from emjax.datasets.columns import Columns, listed
from emjax.datasets.dataset import Dataset, Table
from emjax.datasets.packed import PACKED, read_standard_input, unpack
from emjax.datasets.roles import Request
from emjax.datasets.text_files import read_csv
from emjax.errors import DataError, DataWarning
from emjax.files import NotRegularError, regular_size, user_path
from emjax.floats import quoted
from emjax.labels import read_labels
from emjax.nearest import nearest
from emjax.weights import checked_weights

__all__ = ["STANDARD_INPUT", "load", "read"]

STANDARD_INPUT = "-"
"""What stands for a path where the data come through a pipe."""

type _Reader = Callable[[Path, str, Request], Table]

_TEXT = (".csv", ".tsv", ".txt")
_BINARY: Mapping[str, _Reader] = {
    ".parquet": read_arrow,
    ".pq": read_arrow,
    ".feather": read_arrow,
    ".arrow": read_arrow,
    ".npy": read_npy,
    ".npz": read_npz,
}
_SUFFIXES = ".csv, .tsv, .txt (also packed, as .csv.gz), .parquet, .feather, .arrow, .npy or .npz"

# what files begin with: (first bytes, what it is, the suffixes it may have)
_SIGNATURES: tuple[tuple[bytes, str, tuple[str, ...]], ...] = (
    (b"PAR1", "a Parquet file", (".parquet", ".pq")),
    (b"\x93NUMPY", "a NumPy array", (".npy",)),
    (b"PK\x03\x04", "a zip archive (NumPy's .npz and Excel's .xlsx are such)", (".npz",)),
    (b"PK\x05\x06", "an empty zip archive", (".npz",)),
    (b"ARROW1", "an Arrow file", (".feather", ".arrow")),
    (b"FEA1", "a Feather file of version 1, to be converted first", ()),
    (b"\x1f\x8b", "packed by gzip", (".gz",)),
    (b"BZh", "packed by bzip2", (".bz2",)),
    (b"\xfd7zXZ\x00", "packed by xz", (".xz",)),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", (".zst",)),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, to be converted first", ()),
    (b"\xff\xfe", "text in UTF-16, to be saved as UTF-8 first", ()),
    (b"\xfe\xff", "text in UTF-16, to be saved as UTF-8 first", ()),
)


def load(
    name_or_path: str | os.PathLike[str],
    columns: Columns = None,
    *,
    header: bool | None = None,
    weights: str | int | None = None,
    labels: str | int | None = None,
    missing: Literal["refuse", "keep"] = "refuse",
    texts: Literal["refuse", "levels"] = "refuse",
) -> Dataset:
    """Load a bundled data set by name, or a file.

    Args:
        name_or_path: a bundled name (see :func:`emjax.datasets.available`), the path of a ``.csv``, ``.tsv`` or
            ``.txt`` file (also packed: ``.csv.gz``, ``.bz2``, ``.xz``, ``.zst``), of a ``.parquet``, ``.feather``,
            ``.arrow``, ``.npy`` or ``.npz`` file, or ``"-"`` for text from standard input.  A bundled name wins unless
            it has a path separator or a suffix, so ``./faithful.csv`` is always a file.
        columns: the columns to keep, in this order: names or positions counting from 0, as a sequence or as
            one text separated by commas (a name with a comma stands in quotes: ``'"a,b",c'``).  None keeps all of them
            but those of weights and labels, and the index that pandas saved with a table.
        header: whether the first row of a text file holds the names of the columns.  None finds out, see
            `emjax.datasets.header.find_header`.
        weights: the column that says how often each row counts, by name or position; it is no feature.
        labels: the column that says what is known of the component of each row, by name or position; it is no feature.
            Whole numbers from 0, or names; a cell that is empty or says NA, and -1, are rows without a label.  Of a
            bundled data set also the column of its `Dataset.labels`, such as ``"species"`` of the irises.
        missing: what becomes of cells that are empty or say NA, NaN or null: they are refused, or kept as NaN, cells
            that were not seen.
        texts: what becomes of columns of texts, true and false among them: they are refused, or kept as the numbers of
            their levels, the texts in alphabetical order.

    Returns:
        The data set; ``values`` is float64, shape ``(n_samples, n_features)``, all finite but for cells not seen.
        `fit` and `sample` find the weights and labels in it.

    Raises:
        DataError: in one line, for whatever is wrong with the name, the file or a value in it.  Lines of text
            files count from 1, as in an editor; rows of the others count from 0.
        ConfigError: for another word than these for ``missing`` or ``texts``.

    Warns:
        DataWarning: where a file could be read in another way too, such as a first line 1990,1991.
    """
    keep = one_of("missing", missing, ("refuse", "keep")) == "keep"
    levels = one_of("texts", texts, ("refuse", "levels")) == "levels"
    dataset, notes = read(name_or_path, Request(columns, header, weights, labels, keep, levels))
    for note in notes:
        warnings.warn(note, DataWarning, stacklevel=2)
    return dataset


def read(name_or_path: str | os.PathLike[str], request: Request) -> tuple[Dataset, tuple[str, ...]]:
    """What `load` loads, and what it warns of."""
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
    if text == STANDARD_INPUT:
        table = _read_text(read_standard_input(), "standard input", request)
        return _dataset(table, "stdin", text, "standard input")
    is_path = Path(text).suffix != "" or "/" in text or os.sep in text
    if not is_path and text in CATALOGUE:
        _no_header_but_of_text(request.header, text)
        return load_bundled(CATALOGUE[text], request), ()
    path = user_path(text, DataError)
    short = text if len(text) <= 250 else f"{text[:120]}...{text[-120:]}"
    place = short if short.isprintable() else quoted(short)
    size = _size_of_file(path, text, place)
    kind, packed = _suffixes(path, place)
    if size == 0:
        raise DataError(f"{place} is empty (0 bytes): give a file with at least one row of numbers")
    try:
        _check_signature(_head(path), packed or kind, place)
        if kind in _TEXT:
            content = unpack(path, place) if packed else path
            table = _read_text(content, place, request)
        else:
            _no_header_but_of_text(request.header, place)
            table = _BINARY[kind](path, place, request)
    except OSError as error:
        raise DataError(f"{place} cannot be read ({error.strerror or error}): check the file and its rights") from error
    name = Path(path.stem).stem if packed else path.stem
    return _dataset(table, name, text, place)


def _dataset(table: Table, name: str, source: str, place: str) -> tuple[Dataset, tuple[str, ...]]:
    """A table that was read, its weights and labels checked, and what is to be said of it."""
    n_samples, labels = len(table.values), table.labels
    dataset = Dataset(
        values=table.values,
        feature_names=table.feature_names,
        name=name,
        source=source,
        weights=checked_weights(table.weights, n_samples, name=f"{place}: weights"),
        partial_labels=None if labels is None else read_labels(labels, n_samples, name=f"{place}: labels"),
        level_names=table.level_names,
    )
    return dataset, tuple(f"{place}: {note}" for note in table.notes)


def _read_text(content: Path | bytes, place: str, request: Request) -> Table:
    if isinstance(content, bytes):
        if not content:
            raise DataError(f"{place} is empty (0 bytes): give at least one row of numbers")
        _check_signature(content[:8], ".csv", place)
    return read_csv(content, place, request)


def _no_header_but_of_text(header: bool | None, place: str) -> None:
    if header is not None:
        raise DataError(f"{place} is no text file, so that header says nothing of it: leave it out")


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


def _suffixes(path: Path, place: str) -> tuple[str, str]:
    """What kind of file the name says it is, and what a text is packed by, else ``""``."""
    suffix = path.suffix.lower()
    if suffix in PACKED:
        kind = Path(path.stem).suffix.lower()
        if kind in _TEXT:
            return kind, suffix
        raise DataError(f"{place}: of packed files those ending in .csv{suffix} or .txt{suffix} are read: unpack it")
    if suffix not in _TEXT and suffix not in _BINARY:
        what = f"files ending in {quoted(suffix)} are not read" if suffix else "the file name has no suffix"
        raise DataError(f"{place}: {what}: save the data as {_SUFFIXES}")
    return suffix, ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _check_signature(head: bytes, suffix: str, place: str) -> None:
    """Refuse a file whose first bytes are not what its name says."""
    for signature, what, suffixes in _SIGNATURES:
        if head.startswith(signature):
            if suffix in suffixes:
                return
            ending = (".csv" if suffixes and suffixes[0] in PACKED else "") + (suffixes[0] if suffixes else "")
            remedy = f"rename it to {ending}" if suffixes else f"save it as {_SUFFIXES}"
            raise DataError(f"{place} is not what its name says: its content is {what}; {remedy}")
    if suffix not in _TEXT:
        looks_like_text = all(byte in b"\t\r\n" or byte >= 32 for byte in head)
        content = "its content looks like text; rename it to .csv" if looks_like_text else "write or fetch it again"
        expected = next(what for _, what, suffixes in _SIGNATURES if suffix in suffixes)
        raise DataError(f"{place} is not what its name says ({expected}): {content}")
