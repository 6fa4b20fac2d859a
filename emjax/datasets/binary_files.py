"""Parquet and Arrow files and NumPy's ``.npy`` and ``.npz``; nothing is ever unpickled."""

from __future__ import annotations

import json
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from emjax.bounds import written
from emjax.datasets.columns import (
    KEEP,
    check_unique,
    check_width,
    for_option,
    listed,
    refuse_truth,
)
from emjax.datasets.dataset import Table
from emjax.datasets.packed import check_unpacked, one_line
from emjax.datasets.roles import Request, assembled, floats_of, without_payload
from emjax.errors import DataError
from emjax.floats import quoted, to_float
from emjax.matrix import check_finite, check_not_empty, default_feature_names

__all__ = ["read_arrow", "read_npy", "read_npz"]

# the one name that is taken out of an .npz with several arrays
_NPZ_ARRAY = "x"
# what numpy.load raises for a damaged file, by the part that is damaged: its header is Python source read by
# numpy, its shape may ask for any amount of memory, and an .npz is a zip archive besides
_DAMAGED_NPY = (ValueError, EOFError, OSError, SyntaxError, tokenize.TokenError, MemoryError, OverflowError)
_DAMAGED_NPZ = (*_DAMAGED_NPY, zipfile.BadZipFile, zlib.error, RuntimeError)  # NotImplementedError included


def read_arrow(path: Path, place: str, request: Request) -> Table:
    """The columns of a Parquet or Arrow (Feather) file that are asked for, features as float64, and their names.

    Integer, floating and decimal columns are numbers, and booleans where they are asked for by name.  The index that
    pandas has saved is not a column unless it is asked for.

    Raises:
        DataError: if the file is damaged or empty, or a feature or the weights are not numeric or have a null, NaN or
            infinite value (nulls and NaN are taken in features if ``request.missing``); the row counts from 0.
    """
    import pyarrow as pa
    from pyarrow import dataset, fs

    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    kind = dataset.ParquetFileFormat() if is_parquet else dataset.IpcFileFormat()
    notes: tuple[str, ...] = ()
    source = {"source": str(path.absolute()), "format": kind, "filesystem": fs.LocalFileSystem()}
    try:
        names = tuple(kind.inspect(source["source"], source["filesystem"]).names)
        check_width(len(names), place)
        check_unique(names, place)
        file = dataset.dataset(**source)
        default = None
        if request.columns is None:
            default, notes = _without_index(file.schema)
        places = request.places(names, place, default)
        numeric = [*places.features, *([] if places.weights is None else [places.weights])]
        if request.levels:
            numeric = [
                place for place in numeric if place == places.weights or not _is_text_type(file.schema.types[place])
            ]
        _check_types(file, numeric, place, truth=request.columns is not None)
        check_unpacked(8 * file.count_rows() * len(places.all), path.stat().st_size, place)
        table = file.to_table(columns=[names[position] for position in places.all])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        what = f"{'Parquet' if is_parquet else 'Arrow'} file"
        raise DataError(f"{place} is not a whole {what} ({one_line(error)}): write or fetch it again") from error
    check_not_empty((table.num_rows, table.num_columns), place)
    columns: dict[int, np.ndarray] = {}
    for position in places.all:
        column = table.column(names[position])
        if position == places.labels or (request.levels and position not in numeric):
            columns[position] = np.array(column.to_pylist(), dtype=object)
        else:  # gaps in weights are refused with all else that is no weight
            missing = request.missing or position == places.weights
            columns[position] = _numbers(column, names[position], place, missing=missing)
    chosen_names = tuple(names[position] for position in places.features)
    return assembled(columns, places, chosen_names, place, request, notes)


def _numbers(column: Any, name: str, place: str, *, missing: bool) -> np.ndarray:
    if column.null_count and not missing:
        row = column.is_null().index(True).as_py()
        raise DataError(
            f"{place}: row {row} (counting from 0), column {quoted(name)}: the value is missing "
            f"({column.null_count} in this column): remove such rows or fill in the values{KEEP}"
        )
    return floats_of(column)


def _without_index(schema: Any) -> tuple[list[str], tuple[str, ...]]:
    """The columns less those that pandas has saved as its index, and a sentence on those that have a name."""
    try:
        index = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    except (ValueError, AttributeError, RecursionError):
        index = []  # damaged words about a sound table
    index = [name for name in index if isinstance(name, str)] if isinstance(index, list) else []
    kept = [name for name in schema.names if name not in index and not name.startswith("__index_level_")]
    named = [name for name in schema.names if name in index and not name.startswith("__index_level_")]
    if not named or not kept:
        return kept or list(schema.names), ()
    left_out = (
        f"the index of pandas ({listed(named)}) was left out; --columns {for_option([*named, *kept])} takes it in"
    )
    return kept, (left_out,)


def read_npy(path: Path, place: str, request: Request) -> Table:
    """The columns that are asked for of a ``.npy`` file: an array ``(n_samples,)`` or ``(n_samples, n_features)``.

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
    return _from_array(array, place, request)


def read_npz(path: Path, place: str, request: Request) -> Table:
    """The columns that are asked for of the only array in a ``.npz`` file, or of the one called ``x``.

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
            check_unpacked(member.file_size, member.compress_size, place)
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
    return _from_array(array, f"{place}[{name}]", request)


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


def _from_array(array: np.ndarray, place: str, request: Request) -> Table:
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
    places = request.places(names, place)
    chosen_names = tuple(names[position] for position in places.features)
    if request.columns is None and array.dtype.kind == "b":
        refuse_truth(names, [True] * len(names), place)
    values = to_float(array[:, places.features], chosen_names, place)
    check_finite(values, chosen_names, place, missing=request.missing, keep=KEEP)
    weights, labels = (None if column is None else array[:, column] for column in (places.weights, places.labels))
    return Table(without_payload(values) if request.missing else values, chosen_names, (), weights, labels)


def _check_types(file: Any, chosen: list[int], place: str, *, truth: bool) -> None:
    """Raise for the first chosen column that does not hold numbers, with its first value."""
    from pyarrow import types as arrow_types

    names, types = file.schema.names, file.schema.types  # which pyarrow makes anew every time
    numeric = [name for name, kind in zip(names, types, strict=True) if _is_number_type(kind)]
    for position in chosen:
        name, kind = names[position], types[position]
        if _is_number_type(kind):
            continue
        first = file.head(1, columns=[name])
        example = f" (row 0, counting from 0, holds {quoted(first.column(0)[0].as_py())})" if len(first) else ""
        remedy = (
            f"choose numeric columns, --columns {for_option(numeric)}"
            if numeric
            else "no other column is numeric; give a file with numbers"
        )
        raise DataError(f"{place}: column {quoted(name)} is not numeric but {kind}{example}: {remedy}")
    if not truth:
        chosen_names = [names[position] for position in chosen]
        refuse_truth(chosen_names, [arrow_types.is_boolean(types[position]) for position in chosen], place)


def _is_text_type(kind: Any) -> bool:
    """Whether a column is of texts, or of true and false."""
    import pyarrow as pa

    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary, pa.types.is_boolean)
    return any(test(kind) for test in tests)


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
