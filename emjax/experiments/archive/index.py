"""The finished jobs of an archive: read from their folders, remembered in ``index.json``.

The folders are the truth. The index saves reading the record of every job again; where it disagrees with a folder the
folder is read, and a lost index costs nothing but that reading.
"""

import dataclasses
import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emjax.atomic import write_atomically
from emjax.experiments.archive.door import DamagedError, checked, read_json
from emjax.experiments.archive.records import Entry, read_entry
from emjax.experiments.archive.shapes import IndexDocument
from emjax.jsonable import canonical, digest, to_jsonable

INDEX = "index.json"
FORMAT = 2
FEW = 32
"""Up to so many jobs are looked at without the index."""

_KEY = re.compile(r"[0-9a-f]{16}")


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
            jobs = {key: dataclasses.asdict(entry) for key, entry in now[0].items()}
            content = to_jsonable({"format": FORMAT, "jobs": jobs, "rows": now[1]})
            write_atomically(self._path, canonical({**content, "sha256": digest(content, 64)}) + "\n")
            self._stored = now
        return now[0]

    def _read(self) -> tuple[dict[str, Entry], dict[str, str]]:
        try:
            document = read_json(self._path)
            if not isinstance(document, dict) or document.get("format") != FORMAT:
                return {}, {}
            if document.pop("sha256", None) != digest(document, 64):
                return {}, {}
            checked(document, IndexDocument, self._path)
        except DamagedError:
            return {}, {}
        return {key: _restored(fields) for key, fields in document["jobs"].items()}, document["rows"]


def _restored(fields: dict[str, Any]) -> Entry:
    files = {name: (size, sha256) for name, (size, sha256) in fields["files"].items()}
    return Entry(**{**fields, "stamp": tuple(fields["stamp"]), "files": files})
