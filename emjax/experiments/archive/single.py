"""Folders of single runs (`emjax compare`, `fit`, `sample`), opened for reading.

They hold ``config.toml``, ``environment.json`` and, as the task has them, ``comparison.json``, ``em.json`` and
``posterior.json``; and what `emjax.experiments.archive.held` reads.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.catalogue import USABLE
from emjax.environment import FORMAT
from emjax.errors import ConfigError
from emjax.experiments.archive import shapes
from emjax.experiments.archive.differences import flattened
from emjax.experiments.archive.door import (
    DamagedError,
    MissingError,
    NewerError,
    checked,
    is_file,
    newer_note,
    read_json,
    read_toml,
)
from emjax.experiments.archive.held import DATA, FILE, given_program, read_data, read_objects
from emjax.shown import Shown
from emjax.wording import printable

if TYPE_CHECKING:
    import pandas

    from emjax.bayes.posterior import Posterior
    from emjax.comparison import Comparison
    from emjax.datasets import Dataset
    from emjax.result import Fit

CONFIG, ENVIRONMENT, PAGE = "config.toml", "environment.json", "report.html"
UNFINISHED = "unfinished.json"
"""In the folder of a run that was ended early: its ``key``, and the stages that are ``done``."""

_DOCUMENTS: dict[str, tuple[str, type[shapes.Shape]]] = {
    "compare": ("comparison.json", shapes.ComparisonDocument),
    "fit": ("em.json", shapes.EmDocument),
    "sample": ("posterior.json", shapes.PosteriorDocument),
}
_WORDS = {"status", "verdict", "method", "prior", "converged"}


class UnfinishedError(ConfigError):
    """A run was ended early; ``done`` says how far it came."""

    def __init__(self, message: str, done: str) -> None:
        super().__init__(message)
        self.done = done


@dataclasses.dataclass(frozen=True, repr=False)
class SingleRun(Shown):
    """A single run. What is on disk besides its documents is read when it is first asked for, and not again.

    Attributes
    ----------
    folder
        Where it lies.
    config
        The tree of its ``config.toml``: every setting in force. A key that this emjax does not know is let stand.
    environment
        The content of ``environment.json``: ``format``, ``started``, ``versions``, ``machine``, ``devices``, ``data``,
        ``model``, ...
    document
        What its command prints with ``--json``: the comparison, the fit or the posterior.
    newer
        A sentence where the folder says that a newer emjax wrote it, else None.
    documents
        All documents with numbers, by file.
    program
        What its fit, posterior and comparison are made with where its model is a NumPyro program; see `open_run`.
    """

    folder: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    document: Mapping[str, Any]
    newer: str | None
    documents: Mapping[str, Any]
    program: Any = None

    @property
    def task(self) -> str:
        """``compare``, ``fit`` or ``sample``."""
        return str(self.environment["task"])

    @functools.cached_property
    def data(self) -> Dataset:
        """The data, read or drawn again. Raises DataError where they are gone, or not those of the run any more."""
        return read_data(self.settings["data"], self.environment, self.folder / CONFIG)

    def holding(self, data: Dataset, objects: Mapping[str, Any]) -> SingleRun:
        """The same, with what it held still in memory: nothing of that is read."""
        vars(self).update(data=data, _held=objects)
        return self

    @property
    def fit(self) -> Fit:
        """EM's fit as it was, with nothing computed anew; for ``sample`` the posterior mode.

        Raises DataError as `data` does, ConfigError where a file is missing or damaged.
        """
        return self._held["fit"]

    @property
    def posterior(self) -> Posterior | None:
        """The posterior as it was, None for ``fit``; raises as `fit` does."""
        return self._held["posterior"]

    @property
    def comparison(self) -> Comparison | None:
        """The comparison as it was, None but for ``compare``; raises as `fit` does."""
        return self._held["comparison"]

    @functools.cached_property
    def _held(self) -> Mapping[str, Any]:
        if self.newer is not None:
            raise NewerError(self.newer)
        if FILE not in self.environment.get("files", {}):
            raise ConfigError(f"{printable(self.folder)}: holds no {FILE}, because its family is one of a model file")
        program = given_program(self.program, self.folder, self.config["model"], self.model)
        return read_objects(self.folder, self.environment, self.data, program)

    def __repr__(self) -> str:
        return f"SingleRun({str(self.folder)!r}: {self.task} of {self.data_name}, {self.ended})"

    @property
    def settings(self) -> Mapping[str, Any]:
        """`config`, with the file of data that the run itself keeps named by its path."""
        data = self.config["data"]
        if data.get("source") == DATA:
            return {**self.config, "data": {**data, "source": str((self.folder / DATA).absolute())}}
        return self.config

    @property
    def ended(self) -> str:
        """The verdict of a comparison, the status of anything else; ``spurious`` where EM found nothing but that."""
        if self.task == "fit" and self.document["status"] == "converged":
            return "spurious" if any(optimum["spurious"] for optimum in self.document["optima"][:1]) else "converged"
        return str(self.document["verdict" if self.task == "compare" else "status"])

    @property
    def trustworthy(self) -> bool:
        """Whether EM and the sampler, as far as it has them, report ``converged``.

        Exactly so many iterations of EM as were asked for are as they should be.
        """
        document = self.document
        if self.task == "compare":
            ends = [document["diagnostics"].get(part) for part in ("em", "posterior")]
            return all(end["status"] == "converged" for end in ends if end is not None)
        # An approximation is what was asked for, too.
        asked = self.task == "sample" and document["status"] in USABLE
        exact = self.task == "fit" and document["exact_iterations"] and document["status"] == "max_iter"
        return bool(exact or asked or document["status"] == "converged")

    @property
    def model(self) -> Mapping[str, Any]:
        """``family``, ``covariance`` and ``n_components`` of the mixture."""
        return self.environment["model"]

    @property
    def data_name(self) -> str:
        """The data in a word."""
        return str(self.environment["data"]["name"])

    def listed(self) -> dict[str, Any]:
        """What a list of runs says of it: ``kind``, ``started``, ``data``, ``n_components``, ``status``."""
        return {
            "kind": self.task,
            "started": self.environment["started"],
            "data": self.data_name,
            "n_components": self.model["n_components"],
            "status": self.ended,
        }

    def settings_by_key(self) -> dict[str, Any]:
        """The settings by dotted key, methods by their label."""
        methods = {method.get("name") or method["kind"]: method for method in self.config["methods"]}
        return flattened({**self.config, "methods": methods})

    def versions(self) -> dict[str, Any]:
        """The versions that the numbers were made with."""
        return dict(self.environment["versions"])

    def numbers(self) -> pandas.DataFrame:
        """All that a repetition should find again: ``file``, ``place`` in it, ``value`` and ``word``.

        Numbers have the word ``""``; statuses and verdicts have the value NaN. Seconds and sentences are left out.
        """
        import pandas

        rows = []
        for name, content in self.documents.items():
            for place, value in _leaves(content, ""):
                if isinstance(value, bool) or place.rpartition(".")[2] in _WORDS:
                    rows.append((name, place, math.nan, str(value)))
                elif isinstance(value, int | float):
                    rows.append((name, place, float(value), ""))
        columns = {"file": str, "place": str, "value": float, "word": str}
        return pandas.DataFrame(rows, columns=list(columns)).astype(columns)


def is_single_run(folder: Path) -> bool:
    """Whether a folder looks like a single run's: a study keeps no ``config.toml``."""
    return is_file(folder / CONFIG) and is_file(folder / ENVIRONMENT)


def open_single_run(folder: Path, program: Any = None) -> SingleRun:
    """Open a single run; nothing is run. ``program`` is what `emjax.experiments.results.open_run` takes.

    Raises UnfinishedError for one that was ended early, and ConfigError where a file is missing or damaged.
    """
    if is_file(folder / UNFINISHED):
        path = folder / UNFINISHED
        done = " and ".join(checked(read_json(path), shapes.Unfinished, path)["done"])
        again = f"emjax run {printable(folder / CONFIG)} --out {printable(folder)}"
        raise UnfinishedError(f"{printable(folder)}: unfinished: {done} done; go on with: {again}", done)
    environment = read_json(folder / ENVIRONMENT)
    newer = newer_note(folder / ENVIRONMENT, environment, FORMAT)
    try:
        checked(environment, shapes.Environment, folder / ENVIRONMENT)
        config = checked(read_toml(folder / CONFIG), shapes.RunConfig, folder / CONFIG)
        task = environment["task"]
        name, shape = _DOCUMENTS[task]
        document = checked(read_json(folder / name), shape, folder / name)
        documents = {name: document}
        for other, _ in _DOCUMENTS.values():
            with suppress(MissingError):  # the task has none
                documents[other] = read_json(folder / other)
    except DamagedError as error:
        raise NewerError(newer) if newer else error from None
    if task == "fit":
        document = document.get("mle") or document.get("map")
        if not document:
            raise DamagedError(f"{printable(folder / name)}: damaged: holds no fit")
    return SingleRun(folder, config, environment, document, newer, documents, program)


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
