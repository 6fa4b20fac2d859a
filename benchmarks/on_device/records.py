"""What a run has found: a file of JSON lines, each on the disk before the next step begins."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from emjax.jsonable import to_json

Record = dict[str, Any]
"""``part`` says what it is about; ``"machine"`` begins a run, and a file may hold several."""


class Writer:
    """Appends records to a file; use it as a context."""

    def __init__(self, path: Path) -> None:
        # What stands in the file stays: an earlier run may have been the only one with that device.
        self._file = path.open("ab")
        if self._file.tell() and not path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")  # a run was cut in the middle of a line

    def __call__(self, record: Record) -> None:
        """Write a record, and return when it is on the disk."""
        self._file.write((to_json(with_words(record), indent=None) + "\n").encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


def with_words(record: Mapping[str, Any]) -> Record:
    """JSON has no NaN: where ``x`` is not finite it becomes None, and ``x_is`` says what it was."""
    found: Record = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found[name] = with_words(value)
        elif isinstance(value, float) and not math.isfinite(value):
            found[name], found[f"{name}_is"] = None, str(value)
        else:
            found[name] = value
    return found


def read(path: Path) -> list[Record]:
    """All whole records of a file. A line that a cut run left unfinished is no record, wherever it stands."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "part" in record:
            found.append(record)
    return found


def newest_run(records: Sequence[Record]) -> list[Record]:
    """The records of the last run; none where no run has begun."""
    begins = [place for place, record in enumerate(records) if record["part"] == "machine"]
    return list(records[begins[-1] :]) if begins else []
