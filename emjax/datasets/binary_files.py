"""Parquet files and NumPy's ``.npy`` and ``.npz``; nothing is ever unpickled."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from emjax.bounds import written
from emjax.datasets.columns import Columns, check_unique, check_width, choose_columns, listed
from emjax.errors import DataError
from emjax.floats import quoted, to_float
from emjax.samples import check_finite, check_not_empty, default_feature_names

__all__ = ["read_npy", "read_npz", "read_parquet"]

# the one name that is taken out of an .npz with several arrays
_NPZ_ARRAY = "x"
# what numpy.load raises for a damaged file, by the part that is damaged: its header is Python source read by
# numpy, its shape may ask for any amount of memory, and an .npz is a zip archive besides
MOST_UNPACKED = 2**30
_MOST_PACKED = 20
"""What files are unpacked to at most: a gigabyte, or so many times their size."""
_DAMAGED_NPY = (ValueError, EOFError, OSError, SyntaxError, tokenize.TokenError, MemoryError, OverflowError)
_DAMAGED_NPZ = (*_DAMAGED_NPY, zipfile.BadZipFile, zlib.error, RuntimeError)  # NotImplementedError included


def read_parquet(path: Path, place: str, columns: Columns = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The chosen columns of a Parquet file as float64 ``(n_samples, n_features)``, and their names.

    Integer, floating, boolean and decimal columns are numbers.  pandas' saved row labels
    (``__index_level_0__``) are not a column unless they are asked for by name.

    Raises:
        DataError: if the file is damaged or empty, or a chosen column is not numeric or has a null, NaN or
            infinite value; the row counts from 0.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        names = tuple(schema.names)
        check_width(len(names), place)
        check_unique(names, place)
        if columns is None:
            columns = [name for name in names if not name.startswith("__index_level_")]
        chosen = choose_columns(names, columns, place)
        chosen_names = tuple(names[position] for position in chosen)
        _check_parquet_types(path, schema, chosen, place)
        with parquet.ParquetFile(path) as file:
            _check_unpacked(8 * file.metadata.num_rows * len(chosen), path.stat().st_size, place)
            table = file.read(columns=list(chosen_names))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{place} is not a whole Parquet file ({one_line(error)}): write or fetch it again") from error
    check_not_empty((table.num_rows, table.num_columns), place)
    values = np.empty((table.num_rows, len(chosen)))
    for position, name in enumerate(chosen_names):
        column = table.column(name)
        if column.null_count:
            row = column.is_null().index(True).as_py()
            raise DataError(
                f"{place}: row {row} (counting from 0), column {quoted(name)}: the value is missing "
                f"({column.null_count} in this column): remove such rows or fill in the values"
            )
        values[:, position] = column.cast(pa.float64(), safe=False).to_numpy()
    check_finite(values, chosen_names, place)
    return values, chosen_names


def read_npy(path: Path, place: str, columns: Columns = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The chosen columns of a ``.npy`` file: an array ``(n_samples,)`` or ``(n_samples, n_features)``.

    Columns are called ``x0``, ``x1``, ... (a single one ``x``) and may be chosen by position.

    Raises:
        DataError: if the file is damaged, needs unpickling, or holds anything but finite numbers.
    """
    try:
        with path.open("rb") as file:
            _check_header(file, path.stat().st_size)
            file.seek(0)
            array = np.load(file, allow_pickle=False)
    except _DAMAGED_NPY as error:
        raise _damaged(place, error) from error
    return _from_array(array, place, columns)


def read_npz(path: Path, place: str, columns: Columns = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The chosen columns of the only array in a ``.npz`` file, or of the one called ``x``.

    Raises:
        DataError: if there are several arrays and none is called ``x``, and as :func:`read_npy`.
    """
    try:
        # opened here, because numpy leaves its own handle open when the archive is damaged
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = archive.files
            if not names:
                raise DataError(f"{place} holds no array: save one with numpy.savez(path, {_NPZ_ARRAY}=...)")
            if len(names) > 1 and _NPZ_ARRAY not in names:
                raise DataError(
                    f"{place} holds {len(names)} arrays ({listed(names)}): call the one to use "
                    f"{_NPZ_ARRAY!r}, "
                    "or save it alone"
                )
            name = _NPZ_ARRAY if _NPZ_ARRAY in names else names[0]
            member = archive.zip.getinfo(f"{name}.npy" if f"{name}.npy" in archive.zip.namelist() else name)
            _check_unpacked(member.file_size, member.compress_size, place)
            with archive.zip.open(member) as packed:
                if packed.peek(6)[:6] == np.lib.format.MAGIC_PREFIX:
                    _check_header(packed, member.file_size)
            array = archive[name]
    except DataError:
        raise
    except _DAMAGED_NPZ as error:
        raise _damaged(place, error) from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{place}: {quoted(name)} is not a NumPy array: save the data with numpy.savez")
    return _from_array(array, f"{place}[{name}]", columns)


def _check_header(file: IO[bytes], size: int) -> None:
    """Raise ValueError where an array of NumPy declares more than the ``size`` bytes of its file; reads the header."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    there = size - file.tell()
    # In Python's own numbers, which do not overflow. What has no size could be declared any number of times.
    declared = math.prod(shape) * (dtype.itemsize or there + 1)
    if declared > there or any(length < 0 for length in shape):
        raise ValueError(f"its header declares shape {written(shape)} of {written(dtype)}, and {there:,} bytes follow")


def _check_unpacked(unpacked: int, packed: int, place: str) -> None:
    """Refuse what is packed to next to nothing: it would unpack to any amount of memory."""
    if unpacked > max(MOST_UNPACKED, _MOST_PACKED * packed):
        raise DataError(
            f"{place} would unpack from {packed:,} to {unpacked:,} bytes, and beyond {MOST_UNPACKED:,} at most "
            f"{_MOST_PACKED} times its size is read: save the numbers without compression"
        )


def one_line(error: BaseException) -> str:
    """The message of another library's exception on one line, cut after 120 characters."""
    words = " ".join(str(error).split()).rstrip(".")
    text = "".join(letter if letter.isprintable() else "?" for letter in words)
    return text if len(text) <= 120 else text[:117] + "..."


def _from_array(array: np.ndarray, place: str, columns: Columns) -> tuple[np.ndarray, tuple[str, ...]]:
    """Checked columns of an array of one or two dimensions."""
    if array.dtype.names is not None:
        raise DataError(
            f"{place} is a structured array with fields {listed(array.dtype.names)}: save a plain array of numbers"
        )
    if array.ndim not in (1, 2):
        raise DataError(
            f"{place} has {array.ndim} dimensions, shape {array.shape}: save an array of shape "
            "(n_samples,) or "
            "(n_samples, n_features)"
        )
    if array.ndim == 1:
        array = array[:, np.newaxis]
    check_not_empty(array.shape, place)
    check_width(array.shape[1], place)
    names = default_feature_names(array.shape[1])
    chosen = choose_columns(names, columns, place)
    chosen_names = tuple(names[position] for position in chosen)
    values = to_float(array[:, chosen], chosen_names, place)
    check_finite(values, chosen_names, place)
    return values, chosen_names


def _check_parquet_types(path: Path, schema: Any, chosen: list[int], place: str) -> None:
    """Raise for the first chosen column that does not hold numbers, with its first value."""
    from pyarrow import parquet

    names, types = schema.names, schema.types  # which pyarrow makes anew every time
    numeric = [name for name, kind in zip(names, types, strict=True) if _is_number_type(kind)]
    for position in chosen:
        name, kind = names[position], types[position]
        if _is_number_type(kind):
            continue
        with parquet.ParquetFile(path) as file:
            first = next(file.iter_batches(1, columns=[name]), None)
        example = f" (row 0, counting from 0, holds {quoted(first.column(0)[0].as_py())})" if first else ""
        remedy = (
            f"choose numeric columns, --columns {listed(numeric).replace(', ', ',')}"
            if numeric
            else "no other column is numeric; give a file with numbers"
        )
        raise DataError(f"{place}: column {quoted(name)} is not numeric but {kind}{example}: {remedy}")


def _is_number_type(kind: Any) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return any(test(kind) for test in tests)


def _damaged(place: str, error: BaseException) -> DataError:
    if "allow_pickle" in str(error):
        return DataError(
            f"{place} holds Python objects, which emjax never unpickles: save an array of numbers "
            "(numpy.save of an array with dtype float)"
        )
    return DataError(f"{place} is not a whole NumPy file ({one_line(error)}): write or fetch it again")
