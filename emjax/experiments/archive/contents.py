"""What a single run held: its data, read again, and its fit, posterior and comparison, to the last bit."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emjax.errors import ConfigError, DataError, DataWarning
from emjax.experiments.archive.door import DamagedError, damaged, newer_note, read_bytes, read_json
from emjax.plain import equal_array, from_plain, to_plain
from emjax.wording import printable

if TYPE_CHECKING:
    import xarray as xr

    from emjax.datasets import Dataset

FILE, FORMAT = "objects.json", 2
TREE = "posterior.nc"
_LEFT_OUT = ("samples.Samples.values", "bayes.posterior.Posterior.sampled")
"""Fields that lie elsewhere: the data, and the tree."""

_MOST_BYTES_TREE = 2**34


def read_data(declared: Any, environment: Mapping[str, Any], config: Path) -> Dataset:
    """The data of a run, read or drawn again as its ``config`` declares them.

    Raises DataError where they are gone, or not those of the run any more.
    """
    from pydantic import TypeAdapter, ValidationError

    from emjax.environment import fingerprint_of
    from emjax.experiments.config.single import Data
    from emjax.experiments.work.loading import load_data

    try:
        checked = TypeAdapter(Data).validate_python(declared)
    except ValidationError:
        raise damaged(config, "data") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # it was said when the run was made
        dataset = load_data(checked)
    if fingerprint_of(dataset) != environment["data"].get("sha256"):
        raise DataError(
            f"{printable(config.parent)}: its data ({printable(environment['data'].get('source', ''))}) have changed "
            "since: put them back, or run it again"
        )
    return dataset


def written_objects(found: Mapping[str, Any]) -> dict[str, Any]:
    """What `read_objects` gives back, as `FILE` holds it; raises `emjax.plain.UnknownTypeError`.

    The data are not written, for the config says where they are, and neither are draws, which `TREE` holds.
    """
    posterior = found["posterior"]
    draws = {} if posterior is None else _draws_of(posterior.sampled)
    plain = to_plain(dict(found), lambda array, place: equal_array(array, draws), left_out=_LEFT_OUT)
    return {"format": FORMAT, "objects": plain}


def read_objects(folder: Path, environment: Mapping[str, Any], data: Dataset) -> Mapping[str, Any]:
    """``fit``, ``posterior`` and ``comparison`` of a run, None where its task has none.

    Raises ConfigError where a file is missing or damaged, or the run is one of an older emjax.
    """
    path = folder / FILE
    content = _content(path, environment)
    if content is None:
        raise ConfigError(
            f"{printable(folder)}: holds no {FILE}, because an older emjax wrote it or its family is one of a "
            f"model file: run it again, emjax run {printable(folder / 'config.toml')}"
        )
    document = read_json(path, content)
    newer = newer_note(path, document, FORMAT)
    if newer is not None:
        raise ConfigError(newer)
    if isinstance(document, Mapping) and document.get("format") == 1:
        raise ConfigError(
            f"{printable(path)}: written by an older emjax: run it again, emjax run {printable(folder / 'config.toml')}"
        )
    tree = _tree(folder / TREE, environment)
    try:
        elsewhere = dict(zip(_LEFT_OUT, (data.values, tree), strict=True))
        found = from_plain(document["objects"], {} if tree is None else _draws_of(tree), left_out=elsewhere)
        return {name: found.get(name) for name in ("fit", "posterior", "comparison")}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise damaged(path, error) from None


def _draws_of(tree: xr.DataTree) -> dict[str, np.ndarray]:
    from emjax.bayes.tree import draws_of

    return draws_of(tree)


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tree(path: Path, environment: Mapping[str, Any]) -> xr.DataTree | None:
    from emjax.bayes.tree import load_tree

    content = _content(path, environment)
    try:
        return None if content is None else load_tree(content)
    except DataError as error:
        raise damaged(path, error) from None


def _content(path: Path, environment: Mapping[str, Any]) -> bytes | None:
    """The bytes of a file whose hash the run has written down, or None where it has not written one."""
    files = environment.get("files")
    expected = files.get(path.name) if isinstance(files, Mapping) else None
    if expected is None:
        return None
    content = read_bytes(path, _MOST_BYTES_TREE)
    if hashlib.sha256(content).hexdigest() != expected:
        raise DamagedError(f"{printable(path)}: damaged: its bytes have changed since it was written")
    return content
