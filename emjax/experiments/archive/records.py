"""The record of a job, ``job.json``: what says that its folder is whole.

A folder is a finished job if its ``job.json`` can be read, its key is both the folder's name and the hash of the spec
in it, and the files that it lists are there with the sizes (with ``verify`` also the SHA-256) that it lists. Anything
else is torn: it counts as not there, and is replaced by whoever does the job.
"""

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emjax.clock import Moment
from emjax.environment import PACKAGES, devices, machine, versions
from emjax.experiments.archive.door import DamagedError, checked, newer_note, read_json
from emjax.experiments.archive.shapes import Record
from emjax.experiments.plan.jobs import job_key
from emjax.files import regular_size
from emjax.jsonable import to_json, to_jsonable

RECORD = "job.json"
ROWS = "rows.parquet"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the index keeps of a finished job.

    Attributes
    ----------
    stamp
        Size in bytes and time of change in nanoseconds of its ``job.json``; where they differ, the record is read anew.
    files
        Size in bytes and SHA-256 of each file, by name.
    cell, method, first, stop
        As in its spec.
    n_rows, statuses, seconds
        Of its summary and provenance: rows, outcomes by status, wall seconds.
    """

    stamp: tuple[int, int]
    files: Mapping[str, tuple[int, str]]
    cell: str
    method: str
    first: int
    stop: int
    n_rows: int
    statuses: Mapping[str, int]
    seconds: float


def write_record(folder: Path, key: str, spec: Mapping[str, Any], summary: Any, started: Moment) -> None:
    """Write ``job.json`` beside the files that it lists."""
    document = {
        "format": FORMAT,
        "key": key,
        "spec": spec,
        "files": {path.name: _listed(path) for path in sorted(folder.iterdir())},
        "summary": summary,
        "provenance": provenance(started),
    }
    (folder / RECORD).write_text(to_json(document) + "\n", encoding="utf-8", newline="\n")


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a job's folder, None where there is none that belongs to it."""
    try:
        document = checked(read_json(folder / RECORD), Record, folder / RECORD)
        whole = document["format"] == FORMAT and document["key"] == folder.name == job_key(document["spec"])
    except (DamagedError, TypeError):  # a path that is no text has no key
        return None
    return document if whole and ROWS in document["files"] else None


def newer_record(folder: Path) -> str | None:
    """A sentence where a job's folder was written by a newer emjax, else None."""
    try:
        return newer_note(folder / RECORD, read_json(folder / RECORD), FORMAT)
    except DamagedError:
        return None


def read_entry(folder: Path, known: Entry | None = None, *, verify: bool = False) -> Entry | None:
    """The entry of a finished job, None for a torn folder; ``known`` saves reading an unchanged record.

    ``verify`` also reads every file and compares its SHA-256.
    """
    try:
        found = (folder / RECORD).stat()
        stamp = (found.st_size, found.st_mtime_ns)
        entry = known if known is not None and known.stamp == stamp else _entry(folder, stamp)
        if entry is None or not all(_whole(folder / name, *listed, verify) for name, listed in entry.files.items()):
            return None
    except OSError:
        return None
    return entry


def _entry(folder: Path, stamp: tuple[int, int]) -> Entry | None:
    document = read_record(folder)
    if document is None:
        return None
    spec, summary = document["spec"], document["summary"]
    return Entry(
        stamp=stamp,
        files={name: (listed["size"], listed["sha256"]) for name, listed in document["files"].items()},
        cell=spec["cell"],
        method=spec["method"]["name"],
        first=spec["first"],
        stop=spec["stop"],
        n_rows=summary.get("n_rows", 0),
        statuses=summary.get("statuses", {}),
        seconds=document["provenance"]["seconds"],
    )


def _whole(path: Path, size: int, sha256: str, verify: bool) -> bool:
    return regular_size(path) == size and (not verify or sha256_of(path) == sha256)


def _listed(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(started: Moment) -> dict[str, Any]:
    """When, how long and on what: nothing in it names the machine or its user.

    JAX's devices are told where JAX is loaded already; a job without it should not start its backend.
    """
    return {
        "started": started.text,
        "seconds": started.seconds,
        "versions": dict(_versions()),
        "machine": machine(),
        "devices": to_jsonable(devices()) if "jax" in sys.modules else [],
    }


@functools.cache
def _versions() -> dict[str, str | None]:
    return versions((*PACKAGES, "scikit-learn", "pyarrow"))
