"""What lies in a folder of runs: studies and single runs, each as one line."""

import datetime
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emjax.errors import ConfigError
from emjax.experiments.archive.declaration import read_declaration
from emjax.experiments.archive.single import is_single_run, open_single_run
from emjax.experiments.nearest import printable
from emjax.files import user_path

DEEPEST = 3
"""How many folders deep runs are looked for."""


def list_runs(folder: str | Path) -> list[dict[str, Any]]:
    """The studies and single runs in a folder (or the one that it is), the newest first.

    Each has ``run`` (its path), ``kind`` (``study``, ``compare``, ``fit`` or ``sample``), ``started`` (ISO 8601, None
    if unknown), ``data``, ``n_components``, and ``status``: a verdict, a status, or a study's progress. Studies have
    ``title``, ``n_cells``, ``n_jobs``, ``n_done`` and ``n_failed`` too. A damaged run says so in its status.

    Raises ConfigError where the folder is not there.
    """
    folder = user_path(folder)
    if not folder.is_dir():
        raise ConfigError(f"{printable(folder)}: no such folder; name the folder that runs are in")
    found = [_described(run) for run in _runs(folder, DEEPEST)]
    return sorted(found, key=lambda entry: (entry["started"] or "", entry["run"]), reverse=True)


def _runs(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / "study.json").is_file() or is_single_run(folder):
        yield folder
    elif depth:
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
        except OSError:
            return
        for name in names:
            yield from _runs(folder / name, depth - 1)


def _described(folder: Path) -> dict[str, Any]:
    unknown = {"run": str(folder), "kind": "?", "started": None, "data": None, "n_components": None}
    try:
        if (folder / "study.json").is_file():
            return {**unknown, "kind": "study", **_study(folder)}
        return {**unknown, **_single(folder)}
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        text = str(error) if isinstance(error, ConfigError) else "a file of it is not what emjax wrote"
        return {**unknown, "status": f"damaged: {text}"}


def _study(folder: Path) -> dict[str, Any]:
    from emjax.experiments.results import open_study

    if read_declaration(folder) is None:
        raise ConfigError(f"{printable(folder / 'study.json')}: damaged; run the study again, finished jobs are kept")
    result = open_study(folder)
    declaration, progress = result.declaration, result.progress
    return {
        "started": declaration["provenance"]["started"],
        "data": _swept(declaration, "data.source", "data"),
        "n_components": _swept(declaration, "model.n_components", "n_components"),
        "status": str(progress),
        "title": result.title,
        "n_cells": len(declaration["cells"]),
        "n_jobs": progress.n_jobs,
        "n_done": progress.n_done,
        "n_failed": progress.n_failed,
    }


def _swept(declaration: Mapping[str, Any], key: str, name: str) -> Any:
    """What a study declares, or the swept values joined by commas."""
    values = dict.fromkeys(str(cell["settings"].get(key, declaration.get(name))) for cell in declaration["cells"])
    return declaration.get(name) if len(values) < 2 else ", ".join(os.path.basename(value) for value in values)


def _single(folder: Path) -> dict[str, Any]:
    run = open_single_run(folder)
    data = run.environment.get("data", {})
    return {
        "kind": run.task,
        "started": run.environment.get("started"),
        "data": data.get("name") or data_text(run.config["data"]),
        "n_components": run.config["model"]["n_components"],
        "status": run.ended,
    }


def data_text(data: Mapping[str, Any]) -> str:
    """A data section in a word or two: the source's name, or ``simulated``."""
    return Path(str(data["source"])).name if data.get("kind", "source") == "source" else "simulated"


def local_time(started: str | None) -> str:
    """A date and time to the minute, in the local time zone; ``?`` where it is unknown."""
    try:
        return datetime.datetime.fromisoformat(started or "").astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return "?"
