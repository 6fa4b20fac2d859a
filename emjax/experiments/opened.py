"""Runs opened from their folder: the fit, the posterior and the comparison that they held, nothing computed anew."""

from __future__ import annotations

import functools
import hashlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.errors import ConfigError, DataError, DataWarning
from emjax.experiments.archive import objects
from emjax.experiments.archive.door import DamagedError, MissingError, damaged, newer_note, read_bytes, read_json
from emjax.experiments.archive.single import CONFIG, SingleRun, is_single_run, open_single_run
from emjax.experiments.nearest import printable
from emjax.files import user_path

if TYPE_CHECKING:
    import xarray as xr

    from emjax.bayes.posterior import Posterior
    from emjax.comparison import Comparison
    from emjax.datasets import Dataset
    from emjax.experiments.results import StudyResult
    from emjax.result import Fit

TREE = "posterior.nc"
_MOST_BYTES_TREE = 2**34


class OpenedRun:
    """A single run, made by `open_run`.  What is on disk is read when it is first asked for, and not again.

    Attributes
    ----------
    folder
        Where the run lies.
    task
        ``"compare"``, ``"fit"`` or ``"sample"``.
    config
        Every setting in force, as ``config.toml`` has it.
    environment
        The content of ``environment.json``: versions, machine, devices, seconds, the data's hash.
    document
        What the command printed with ``--json``.
    """

    def __init__(self, run: SingleRun) -> None:
        self._run = run
        self.folder = run.folder
        self.task = run.task
        self.config: Mapping[str, Any] = run.config
        self.environment: Mapping[str, Any] = run.environment
        self.document: Mapping[str, Any] = run.document

    @functools.cached_property
    def data(self) -> Dataset:
        """The data, read or drawn again. Raises DataError where they are gone, or not those of the run any more."""
        from pydantic import TypeAdapter, ValidationError

        from emjax.experiments.config import Data
        from emjax.experiments.data import load_data
        from emjax.experiments.environment import fingerprint

        try:
            declared = TypeAdapter(Data).validate_python(self._run.settings["data"])
        except ValidationError:
            raise damaged(self.folder / CONFIG, "data") from None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # it was said when the run was made
            dataset = load_data(declared)
        if fingerprint(dataset.values) != self.environment["data"].get("sha256"):
            raise DataError(
                f"{printable(self.folder)}: its data ({printable(self.environment['data'].get('source', ''))}) have "
                "changed since: put them back, or run it again"
            )
        return dataset

    @property
    def fit(self) -> Fit:
        """EM's fit; for ``sample`` the posterior mode."""
        return self._objects["fit"]

    @property
    def posterior(self) -> Posterior | None:
        """The posterior; None for ``fit``."""
        return self._objects["posterior"]

    @property
    def comparison(self) -> Comparison | None:
        """The comparison; None but for ``compare``."""
        return self._objects["comparison"]

    @functools.cached_property
    def _objects(self) -> Mapping[str, Any]:
        path = self.folder / objects.FILE
        if self._run.newer is not None:
            raise ConfigError(self._run.newer)
        content = self._content(objects.FILE)
        if content is None:
            raise ConfigError(
                f"{printable(self.folder)}: holds no {objects.FILE}, because an older emjax wrote it or its family is "
                f"one of a model file: run it again, emjax run {printable(self.folder / CONFIG)}"
            )
        document = read_json(path, content)
        newer = newer_note(path, document, objects.FORMAT)
        if newer is not None:
            raise ConfigError(newer)
        tree = None if self.task == "fit" else self._tree()
        try:
            elsewhere = {"data": self.data.values, "tree": tree}
            found = objects.from_plain(document["objects"], {} if tree is None else draws_of(tree), elsewhere)
            return {name: found.get(name) for name in ("fit", "posterior", "comparison")}
        except (DataError, ConfigError):
            raise
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise damaged(path, error) from None

    def _tree(self) -> xr.DataTree:
        from emjax.bayes.tree import load_tree

        content = self._content(TREE)
        if content is None:
            raise MissingError(f"{printable(self.folder / TREE)}: is missing")
        try:
            return load_tree(io.BytesIO(content))
        except DataError as error:
            raise damaged(self.folder / TREE, error) from None

    def _content(self, name: str) -> bytes | None:
        """The bytes of a file whose hash the run has written down, or None where it has not written one."""
        files = self.environment.get("files")
        expected = files.get(name) if isinstance(files, Mapping) else None
        if expected is None:
            return None
        content = read_bytes(self.folder / name, _MOST_BYTES_TREE)
        if hashlib.sha256(content).hexdigest() != expected:
            raise DamagedError(f"{printable(self.folder / name)}: damaged: its bytes have changed since it was written")
        return content

    def __repr__(self) -> str:
        return f"OpenedRun({str(self.folder)!r}: {self.task} of {self._run.data_name}, {self._run.ended})"


def open_run(path: str | Path) -> OpenedRun | StudyResult:
    """Open the folder of a run and get back what it held, to the last bit; nothing is computed, or run, anew.

    Parameters
    ----------
    path
        The folder that ``emjax compare``, ``fit``, ``sample`` or ``run`` has written.

    Returns
    -------
    OpenedRun or StudyResult
        Of a single run ``fit``, ``posterior``, ``comparison`` (None where its task has none), ``data`` and ``config``;
        of a study what `emjax.experiments.open_study` returns, with its ``rows``.

    Raises
    ------
    ConfigError
        The folder is none of a run, or a file of it is missing or damaged, then or when it is first needed.
    DataError
        When the data are first needed: they are gone, or have changed.
    """
    folder = user_path(path)
    if is_single_run(folder):
        return OpenedRun(open_single_run(folder))
    from emjax.experiments.results import open_study

    return open_study(folder)


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def draws_of(tree: xr.DataTree) -> dict[str, np.ndarray]:
    """The draws of all chains, ``(chain * draw, ...)``, by variable."""
    variables = tree["posterior"].dataset.data_vars
    return {str(name): values.values.reshape(-1, *values.shape[2:]) for name, values in variables.items()}
