"""What lies in a folder of runs: studies and single runs, each as one line."""

import datetime
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emjax.errors import ConfigError
from emjax.experiments.archive.declaration import JSON as DECLARATION
from emjax.experiments.archive.door import looking
from emjax.experiments.archive.single import UnfinishedError, is_single_run
from emjax.experiments.results import open_run
from emjax.files import user_path
from emjax.wording import printable

DEEPEST = 3
"""How many folders deep runs are looked for."""


def list_runs(folder: str | Path) -> list[dict[str, Any]]:
    """The studies and single runs in a folder (or the one that it is), the newest first. Nothing is run.

    Each has ``run`` (its path), ``kind`` (``study``, ``compare``, ``fit`` or ``sample``; ``?`` where that cannot be
    told), ``started`` (ISO 8601, None if unknown), ``data``, ``n_components``, and ``status``: a verdict, a status, or
    a study's progress. Studies have ``title``, ``n_cells``, ``n_jobs``, ``n_done`` and ``n_failed`` too. What is
    damaged, newer than this emjax, or cannot be read says so in its status.

    Raises ConfigError where the folder is not there.
    """
    folder = user_path(folder)
    with looking(folder):
        if not folder.is_dir():
            raise ConfigError(f"{printable(folder)}: no such folder; name the folder that runs are in")
    found = [_described(run, problem) for run, problem in _runs(folder, DEEPEST, set())]
    return sorted(found, key=lambda entry: (entry["started"] or "", entry["run"]), reverse=True)


def _runs(folder: Path, depth: int, above: set[tuple[int, int]]) -> Iterator[tuple[Path, str | None]]:
    """Runs below a folder, and what cannot be looked into with the reason; ``above`` are the folders around it."""
    try:
        found = folder.stat()
        # A link that leads back up would show every run once more.
        if (found.st_dev, found.st_ino) in above:
            return
        names = sorted(os.listdir(folder))
    except (OSError, ValueError) as error:
        yield folder, getattr(error, "strerror", None) or str(error)
        return
    if DECLARATION in names or is_single_run(folder):
        yield folder, None
    elif depth:
        for name in names:
            path = folder / name
            if name[0] != "." and _may_be_folder(path):
                yield from _runs(path, depth - 1, above | {(found.st_dev, found.st_ino)})


def _may_be_folder(path: Path) -> bool:
    """Whether something is a folder, or a link of which nobody can say where it leads."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return False  # a link to nothing is no run
    except (OSError, ValueError):
        return True


def _described(folder: Path, problem: str | None) -> dict[str, Any]:
    unknown = {"run": str(folder), "kind": "?", "started": None, "data": None, "n_components": None}
    if problem is not None:
        return {**unknown, "status": f"cannot be read: {problem}"}
    try:
        with looking(folder):
            run = open_run(folder)
            found = {**unknown, **run.listed()}
            note = " (written by a newer emjax)" if run.newer else ""
            return {**found, "status": f"{found['status']}{note}"}
    except UnfinishedError as error:
        return {**unknown, "status": f"unfinished: {error.done} done"}
    except ConfigError as error:
        kind = "study" if os.path.lexists(folder / DECLARATION) else "?"
        return {**unknown, "kind": kind, "status": f"damaged: {str(error).replace(': damaged: ', ': ', 1)}"}


def local_time(started: str | None) -> str:
    """A date and time to the minute, in the local time zone; ``?`` where it is unknown."""
    try:
        return datetime.datetime.fromisoformat(started or "").astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):  # the years 1 and 9999 have no time zones
        return "?"
