"""Folders of single runs (`emjax compare`, `fit`, `sample`), opened for reading.

They hold ``config.toml``, ``environment.json`` and, as the task has them, ``comparison.json``, ``em.json`` and
``posterior.json``.
"""

import dataclasses
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emjax.errors import ConfigError
from emjax.experiments.nearest import printable

CONFIG = "config.toml"
_MAIN = {"compare": "comparison.json", "fit": "em.json", "sample": "posterior.json"}
_NUMBERS = ("comparison.json", "em.json", "posterior.json")
_WORDS = {"status", "verdict", "method", "prior", "converged"}


@dataclasses.dataclass(frozen=True)
class SingleRun:
    """A single run.

    Attributes
    ----------
    folder
        Where it lies.
    config
        The tree of its ``config.toml``: every setting in force.
    environment
        The content of ``environment.json``: ``started``, ``versions``, ``machine``, ``devices``, ``data``, ...
    document
        What its command prints with ``--json``: the comparison, the fit or the posterior.
    """

    folder: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    document: Mapping[str, Any]

    @property
    def task(self) -> str:
        """``compare``, ``fit`` or ``sample``."""
        return str(self.config["task"])

    @property
    def ended(self) -> str:
        """The verdict of a comparison, the status of anything else; ``spurious`` where EM found nothing but that."""
        if self.task == "fit" and self.document["status"] == "converged":
            optima = self.document.get("optima") or [{}]
            return "spurious" if optima[0].get("spurious") else "converged"
        return str(self.document["verdict" if self.task == "compare" else "status"])

    def values(self) -> Iterator[tuple[str, str, float | None, str]]:
        """Yield ``(file, path in it, number, word)`` of all that a repetition should find again.

        Numbers have the word ``""``; statuses and verdicts have the number None. Seconds and sentences are left out.
        """
        for name in _NUMBERS:
            content = _json(self.folder / name, missing={})
            for place, value in _leaves(content, ""):
                if isinstance(value, bool) or place.rpartition(".")[2] in _WORDS:
                    yield name, place, None, str(value)
                elif isinstance(value, int | float):
                    yield name, place, float(value), ""


def is_single_run(folder: Path) -> bool:
    """Whether a folder looks like a single run's: a study keeps no ``config.toml``."""
    return (folder / CONFIG).is_file() and (folder / "environment.json").is_file()


def open_single_run(folder: Path) -> SingleRun:
    """Open a single run. Raises ConfigError where a file of it is missing or damaged."""
    try:
        config = tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
        task = str(config.get("task"))
        if task not in _MAIN:
            raise ConfigError(f"{printable(folder / CONFIG)}: task {printable(task)!r} is no task of a single run")
        environment = _json(folder / "environment.json")
        document = _json(folder / _MAIN[task])
    except OSError as error:
        raise ConfigError(f"{printable(error.filename)}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{printable(folder / CONFIG)}: damaged: {printable(error)}") from None
    if task == "fit":
        document = document.get("mle") or document.get("map") or {}
    if not document.keys() & {"verdict", "status"}:
        raise ConfigError(f"{printable(folder / _MAIN[task])}: damaged; run it again")
    return SingleRun(folder, config, environment, document)


def _json(path: Path, missing: Any = None) -> Any:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        if missing is None:
            raise
        return missing
    except ValueError as error:
        raise ConfigError(f"{printable(path)}: damaged: {printable(error)}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{printable(path)}: damaged; run it again")
    return content


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if key != "cost" and not key.endswith(("seconds", "per_second")):
                yield from _leaves(entry, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            # Rows are better known by their name than by their place.
            name = entry["name"] if isinstance(entry, Mapping) and isinstance(entry.get("name"), str) else number
            yield from _leaves(entry, f"{place}[{name}]")
    else:
        yield place, value
