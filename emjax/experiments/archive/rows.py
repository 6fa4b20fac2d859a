"""The rows of a study: one Parquet file per job, and one for all with the swept settings as columns.

Columns: ``cell``, the swept keys, ``replicate``, ``method``, ``quantity``, ``parameter``, ``value``, ``status``. Rows
are in the order of the sweep: by cell, method (as declared) and replicate.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from emjax.atomic import StorageError, replacing
from emjax.experiments.archive.door import is_file
from emjax.experiments.archive.records import ROWS, Entry
from emjax.files import sha256_of
from emjax.jsonable import canonical, digest
from emjax.wording import printable

COLUMNS = ("cell", "replicate", "method", "quantity", "parameter", "value", "status")
_JOBS_AT_ONCE = 512


def job_schema() -> Any:
    """The Arrow schema of a job's rows."""
    import pyarrow

    types = {"replicate": pyarrow.int32(), "value": pyarrow.float64()}
    return pyarrow.schema([pyarrow.field(name, types.get(name, pyarrow.string()), nullable=False) for name in COLUMNS])


def in_order(declaration: Mapping[str, Any], entries: Mapping[str, Entry]) -> list[str]:
    """The keys of those declared jobs that have an entry, in the order of rows."""
    cells = {cell["key"]: cell["index"] for cell in declaration["cells"]}
    methods = {label: index for index, label in enumerate(declaration["methods"])}
    jobs = [job for job in declaration["jobs"] if job["key"] in entries]
    return [
        job["key"] for job in sorted(jobs, key=lambda job: (cells[job["cell"]], methods[job["method"]], job["first"]))
    ]


def stamp(declaration: Mapping[str, Any], keys: Sequence[str], entries: Mapping[str, Entry]) -> str:
    """A hash of all that the rows of these jobs follow from."""
    cells = [[cell["key"], cell["settings"]] for cell in declaration["cells"]]
    return digest([cells, [[key, entries[key].files[ROWS][1]] for key in keys]], 32)


def write_rows(folder: Path, declaration: Mapping[str, Any], entries: Mapping[str, Entry]) -> dict[str, str]:
    """Write ``rows.parquet`` of the declared jobs that are finished; it takes the place of an older one whole.

    Returns what `read_rows` believes it by: ``stamp``, of what is in it, and the ``sha256`` of its bytes.

    Raises StorageError for a full disk and for a job whose rows are damaged.
    """
    import pyarrow.parquet as parquet

    keys = in_order(declaration, entries)
    with replacing(folder / ROWS) as partial:
        tables = _tables(folder, declaration, keys, entries)
        first = next(tables)
        with parquet.ParquetWriter(partial, first.schema, compression="zstd") as writer:
            writer.write_table(first)
            for table in tables:
                writer.write_table(table.cast(first.schema))
        return {"stamp": stamp(declaration, keys, entries), "sha256": sha256_of(partial)}


def read_rows(
    folder: Path, declaration: Mapping[str, Any], entries: Mapping[str, Entry], joined: Mapping[str, str]
) -> Any:
    """The same rows as an Arrow table: from ``rows.parquet`` if it holds just these jobs, else from the jobs' files.

    ``joined`` is what `write_rows` returned; every byte that is read is compared with its hash. Raises StorageError for
    a job whose rows are damaged.
    """
    import pyarrow
    import pyarrow.parquet as parquet

    keys = in_order(declaration, entries)
    tables = _tables(folder, declaration, keys, entries)
    first = next(tables)
    if joined.get("stamp") == stamp(declaration, keys, entries):
        # Missing or damaged, or not of these columns: the jobs' files are the truth.
        with suppress(OSError, pyarrow.ArrowException):
            content = (folder / ROWS).read_bytes() if is_file(folder / ROWS) else b""
            if hashlib.sha256(content).hexdigest() == joined.get("sha256"):
                table = parquet.read_table(pyarrow.BufferReader(content))
                if table.schema.equals(first.schema) and _complete(table):
                    return table
    return pyarrow.concat_tables([first, *tables])


def _tables(
    folder: Path, declaration: Mapping[str, Any], keys: Sequence[str], entries: Mapping[str, Entry]
) -> Iterator[Any]:
    """Tables of some hundred jobs each, with settings; an empty one first, so that there always is one."""
    schema = job_schema()
    settings = setting_columns(declaration)
    yield _with_settings(schema.empty_table(), declaration, settings)
    for start in range(0, len(keys), _JOBS_AT_ONCE):
        chosen = {key: entries[key] for key in keys[start : start + _JOBS_AT_ONCE]}
        yield _with_settings(read_job_rows(folder, chosen), declaration, settings)


def read_job_rows(folder: Path, entries: Mapping[str, Entry]) -> Any:
    """The rows of some jobs of a study's folder as one Arrow table, in their order.

    Raises StorageError for a file whose bytes are not those that were written.
    """
    import pyarrow
    from pyarrow import dataset

    paths = [folder / "jobs" / key / ROWS for key in entries]
    for path, entry in zip(paths, entries.values(), strict=True):
        try:
            problem = "" if sha256_of(path) == entry.files[ROWS][1] else "its bytes are not those that were written"
        except OSError as error:
            problem = printable(error.strerror)
        if problem:
            raise StorageError(
                f"{printable(path)}: damaged ({problem}); run the study again: it does this job anew and keeps all "
                "others"
            )
    try:
        table = dataset.dataset(list(map(str, paths)), schema=job_schema(), format="parquet").to_table()
    except (OSError, pyarrow.ArrowException) as error:
        raise StorageError(f"{printable(folder / 'jobs')}: cannot be read: {printable(error)}") from None
    if not _complete(table):
        raise StorageError(f"{printable(folder / 'jobs')}: damaged: a column of rows is missing, or a field is empty")
    return table


def _complete(table: Any) -> bool:
    """Whether every field but values is there; a column that is missing reads as empty."""
    return all(table[name].null_count == 0 for name in COLUMNS)


def setting_columns(declaration: Mapping[str, Any]) -> dict[str, Any]:
    """One Arrow array per swept key, with a value per cell."""
    cells = declaration["cells"]
    keys = dict.fromkeys(key for cell in cells for key in cell["settings"])
    return {key: column([cell["settings"].get(key) for cell in cells]) for key in keys}


def column(values: Iterable[Any]) -> Any:
    """Values as an Arrow array: numbers stay numbers, texts texts; lists, tables and mixtures become JSON text."""
    import pyarrow

    values = list(values)
    with suppress(pyarrow.ArrowException, OverflowError):
        array = pyarrow.array(values)
        if not pyarrow.types.is_nested(array.type):
            return array if any(value is not None for value in values) else array.cast(pyarrow.bool_())
    texts = [value if value is None or isinstance(value, str) else canonical(value) for value in values]
    return pyarrow.array(texts, pyarrow.string())


def _with_settings(table: Any, declaration: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    import pyarrow
    import pyarrow.compute as compute

    cells = pyarrow.array([cell["key"] for cell in declaration["cells"]], pyarrow.string())
    places = compute.index_in(table["cell"], value_set=cells)
    columns = {"cell": table["cell"]}
    columns.update({key: compute.take(values, places) for key, values in settings.items()})
    columns.update({name: table[name] for name in COLUMNS if name != "cell"})
    return pyarrow.table(columns)
