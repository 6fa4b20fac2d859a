"""The finished jobs of a study's folder: the record of each, ``job.json``, and an index of all, ``index.json``.

A folder is a finished job if its ``job.json`` can be read, its key is both the folder's name and the hash of the spec
in it, and the files that it lists are there with the sizes (with ``verify`` also the SHA-256) that it lists. Anything
else is torn: it counts as not there, and is replaced by whoever does the job.

The folders are the truth. The index saves reading the record of every job again; where it disagrees with a folder the
folder is read, and a lost index costs nothing but that reading.
"""

import dataclasses
import functools
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from emjax.atomic import write_atomically
from emjax.clock import Moment
from emjax.environment import provenance
from emjax.experiments.archive.door import DamagedError, checked, newer_note, read_json
from emjax.experiments.archive.shapes import FileName, JobKey, Record, Whole
from emjax.experiments.plan.jobs import job_key
from emjax.files import regular_size, sha256_of
from emjax.jsonable import canonical, digest, to_json, to_jsonable

RECORD, ROWS, INDEX = "job.json", "rows.parquet", "index.json"
FORMAT, INDEX_FORMAT = 1, 3

FEW = 32
"""Up to so many jobs are looked at without the index."""

_KEY = re.compile(r"[0-9a-f]{16}")


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the index keeps of a finished job, as its record says it."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    stamp: tuple[Whole, int]  # bytes and nanoseconds of change of its record, which is read anew where they differ
    files: dict[FileName, tuple[Whole, str]]  # bytes and SHA-256 of each
    cell: str
    method: str
    first: int
    stop: int
    n_rows: int
    statuses: dict[str, int]  # outcomes by status
    warnings: dict[str, int]  # how often each was given
    seconds: float


def write_record(folder: Path, key: str, spec: Mapping[str, Any], summary: Any, started: Moment) -> None:
    """Write ``job.json`` beside the files that it lists."""
    document = {
        "format": FORMAT,
        "key": key,
        "spec": spec,
        "files": {path.name: listed(path) for path in sorted(folder.iterdir())},
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
        for name, (size, sha256) in entry.files.items() if entry else ():
            path = folder / name
            if regular_size(path) != size or (verify and sha256_of(path) != sha256):
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
        files={name: (file["size"], file["sha256"]) for name, file in document["files"].items()},
        cell=spec["cell"],
        method=spec["method"]["name"],
        first=spec["first"],
        stop=spec["stop"],
        n_rows=summary.get("n_rows", 0),
        statuses=summary.get("statuses", {}),
        warnings=summary.get("warnings", {}),
        seconds=document["provenance"]["seconds"],
    )


def listed(path: Path) -> dict[str, Any]:
    """What a record says of a file."""
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}


class Index:
    """Entries of finished jobs by key, checked against the folders at every look."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / INDEX
        self._jobs = folder / "jobs"
        self._entries: dict[str, Entry] = {}

    @functools.cached_property
    def _stored(self) -> tuple[dict[str, Entry], dict[str, str]]:
        """What ``index.json`` says of jobs and of ``rows.parquet``; nothing where it is not there or damaged."""
        return self._read()

    @property
    def joined(self) -> dict[str, str]:
        """What ``rows.parquet`` is to be believed by: what `save` was given."""
        return self._stored[1]

    def entries(self, keys: Iterable[str] | None = None, *, verify: bool = False) -> dict[str, Entry]:
        """The entries of those of ``keys`` (default: all folders) that are finished now, in their order.

        ``verify`` also compares the SHA-256 of every file.
        """
        wanted = self.keys() if keys is None else list(dict.fromkeys(keys))
        # A worker asks about one job at a time, and should not read the index of all for that.
        known = {**self._stored[0], **self._entries} if len(wanted) > FEW else self._entries
        found = {key: read_entry(self._jobs / key, known.get(key), verify=verify) for key in wanted}
        finished = {key: entry for key, entry in found.items() if entry is not None}
        self._entries.update(finished)
        return finished

    def keys(self) -> list[str]:
        """The names under ``jobs/`` that may be jobs, sorted."""
        try:
            return sorted(name for name in os.listdir(self._jobs) if _KEY.fullmatch(name))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def save(self, joined: dict[str, str] | None = None) -> dict[str, Entry]:
        """Return the entries of all folders, written to ``index.json`` if it says otherwise. Raises StorageError.

        ``joined`` is what `emjax.experiments.archive.rows.write_rows` has just returned; default: as it was.
        """
        now = (self.entries(), self.joined if joined is None else joined)
        if now != self._stored or not self._path.exists():
            content = to_jsonable({"format": INDEX_FORMAT, "jobs": now[0], "rows": now[1]})
            write_atomically(self._path, canonical({**content, "sha256": digest(content, 64)}) + "\n")
            self._stored = now
        return now[0]

    def _read(self) -> tuple[dict[str, Entry], dict[str, str]]:
        try:
            document = read_json(self._path)
            # What is not whole to the last bit, or of another format, is as good as lost.
            if document.pop("sha256") == digest(document, 64) and document["format"] == INDEX_FORMAT:
                entries = TypeAdapter(dict[JobKey, Entry]).validate_python(document["jobs"])
                return entries, TypeAdapter(dict[str, str]).validate_python(document["rows"])
        except (DamagedError, ValidationError, LookupError, TypeError, AttributeError):
            pass
        return {}, {}
