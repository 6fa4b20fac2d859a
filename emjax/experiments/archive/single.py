"""Folders of single runs (`emjax compare`, `fit`, `sample`), opened for reading.

They hold ``config.toml``, ``environment.json`` and, as the task has them, ``comparison.json``, ``em.json`` and
``posterior.json``; and ``data.parquet`` where the data came through a pipe and lie nowhere else.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emjax.environment import FORMAT
from emjax.errors import ConfigError
from emjax.experiments.archive import shapes
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
from emjax.files import user_path
from emjax.shown import Shown
from emjax.wording import printable

if TYPE_CHECKING:
    from emjax.bayes.posterior import Posterior
    from emjax.comparison import Comparison
    from emjax.datasets import Dataset
    from emjax.result import Fit

CONFIG, ENVIRONMENT, DATA = "config.toml", "environment.json", "data.parquet"
UNFINISHED = "unfinished.json"
"""In the folder of a run that was ended early: its ``key``, and the stages that are ``done``."""

_SHAPES: dict[str, type[shapes.Shape]] = {
    "compare": shapes.ComparisonDocument,
    "fit": shapes.EmDocument,
    "sample": shapes.PosteriorDocument,
}
_MAIN = {"compare": "comparison.json", "fit": "em.json", "sample": "posterior.json"}
_NUMBERS = ("comparison.json", "em.json", "posterior.json")
_WORDS = {"status", "verdict", "method", "prior", "converged"}


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
    numbers
        The documents whose numbers a repetition should find again, by file.
    """

    folder: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    document: Mapping[str, Any]
    newer: str | None
    numbers: Mapping[str, Any]

    @property
    def task(self) -> str:
        """``compare``, ``fit`` or ``sample``."""
        return str(self.config["task"])

    @functools.cached_property
    def data(self) -> "Dataset":
        """The data, read or drawn again. Raises DataError where they are gone, or not those of the run any more."""
        from emjax.experiments.archive.contents import read_data

        return read_data(self.settings["data"], self.environment, self.folder / CONFIG)

    @property
    def fit(self) -> "Fit":
        """EM's fit as it was, with nothing computed anew; for ``sample`` the posterior mode.

        Raises DataError as `data` does, ConfigError where a file is missing or damaged, or of an older emjax.
        """
        return self._held["fit"]

    @property
    def posterior(self) -> "Posterior | None":
        """The posterior as it was, None for ``fit``; raises as `fit` does."""
        return self._held["posterior"]

    @property
    def comparison(self) -> "Comparison | None":
        """The comparison as it was, None but for ``compare``; raises as `fit` does."""
        return self._held["comparison"]

    @functools.cached_property
    def _held(self) -> Mapping[str, Any]:
        from emjax.experiments.archive.contents import read_objects

        if self.newer is not None:
            raise NewerError(self.newer)
        return read_objects(self.folder, self.environment, self.data)

    def __repr__(self) -> str:
        return f"SingleRun({str(self.folder)!r}: {self.task} of {self.data_name}, {self.ended})"

    @property
    def settings(self) -> Mapping[str, Any]:
        """`config`, with the file of data that the run itself keeps named by its path."""
        data = self.config["data"]
        if isinstance(data, Mapping) and data.get("source") == DATA:
            return {**self.config, "data": {**data, "source": str((self.folder / DATA).absolute())}}
        return self.config

    @property
    def ended(self) -> str:
        """The verdict of a comparison, the status of anything else; ``spurious`` where EM found nothing but that."""
        if self.task == "fit" and self.document["status"] == "converged":
            optima = self.document.get("optima") or [{}]
            return "spurious" if optima[0].get("spurious") else "converged"
        return str(self.document["verdict" if self.task == "compare" else "status"])

    @property
    def model(self) -> Mapping[str, Any]:
        """``family``, ``covariance`` and ``n_components`` of the mixture, each None where the folder does not say.

        Written down when the run was made. Runs that are older say it in their config, unless a file built the model.
        """
        declared = self.environment.get("model") or self.config["model"]
        return {name: declared.get(name) for name in ("family", "covariance", "n_components")}

    @property
    def data_name(self) -> str:
        """The data in a word."""
        return str(self.environment["data"]["name"])

    def values(self) -> Iterator[tuple[str, str, float | None, str]]:
        """Yield ``(file, path in it, number, word)`` of all that a repetition should find again.

        Numbers have the word ``""``; statuses and verdicts have the number None. Seconds and sentences are left out.
        """
        for name, content in self.numbers.items():
            for place, value in _leaves(content, ""):
                if isinstance(value, bool) or place.rpartition(".")[2] in _WORDS:
                    yield name, place, None, str(value)
                elif isinstance(value, int | float):
                    yield name, place, float(value), ""


def is_single_run(folder: Path) -> bool:
    """Whether a folder looks like a single run's: a study keeps no ``config.toml``."""
    return is_file(folder / CONFIG) and is_file(folder / ENVIRONMENT)


def stages_done(folder: Path) -> tuple[str, ...] | None:
    """What an unfinished run has done, None for one that is finished."""
    if not is_file(folder / UNFINISHED):
        return None
    path = folder / UNFINISHED
    return tuple(checked(read_json(path), shapes.Unfinished, path)["done"])


def open_single_run(path: str | Path) -> SingleRun:
    """Open a single run; nothing is run.

    Raises ConfigError for one that was ended early, and where a file is missing or damaged.
    """
    folder = user_path(path)
    done = stages_done(folder)
    if done is not None:
        again = f"emjax run {printable(folder / CONFIG)} --out {printable(folder)}"
        raise ConfigError(f"{printable(folder)}: unfinished: {' and '.join(done)} done; go on with: {again}")
    environment = read_json(folder / ENVIRONMENT)
    newer = newer_note(folder / ENVIRONMENT, environment, FORMAT)
    try:
        checked(environment, shapes.Environment, folder / ENVIRONMENT)
        config = checked(read_toml(folder / CONFIG), shapes.RunConfig, folder / CONFIG)
        main = folder / _MAIN[config["task"]]
        document = checked(read_json(main), _SHAPES[config["task"]], main)
        numbers = {name: content for name in _NUMBERS if (content := _numbers(folder / name)) is not None}
    except DamagedError as error:
        raise NewerError(newer) if newer else error from None
    if config["task"] == "fit":
        document = document.get("mle") or document.get("map")
        if not document:
            raise DamagedError(f"{printable(main)}: damaged: holds no fit")
    return SingleRun(folder, config, environment, document, newer, numbers)


def _numbers(path: Path) -> Any:
    """A document whose numbers are compared; None where the task has none."""
    try:
        return read_json(path)
    except MissingError:
        return None


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
