"""What a single run held: its data, and fit, posterior and comparison to the last bit.

`FILE` and `TREE` are what the objects are made of; `DATA` lies there where the data lie in no file of their own: they
came through a pipe, or a program brought them. Of a NumPyro program, which is code, `FILE` has what tells it from
others (`emjax.probabilistic.sketch`).
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from emjax.environment import fingerprint_of
from emjax.errors import ConfigError, DataError, DataWarning, EmjaxError
from emjax.experiments.archive.door import DamagedError, damaged, is_file, newer_note, read_bytes, read_json
from emjax.experiments.config.data import Data, ProgramData, SimulatedData, SourceData
from emjax.experiments.config.programs import program_of
from emjax.experiments.config.python_files import content_of
from emjax.experiments.work.loading import load_data
from emjax.wording import printable

if TYPE_CHECKING:
    import xarray as xr

    from emjax.datasets import Dataset

DATA, FILE, TREE, FILE_FORMAT = "data.parquet", "objects.json", "posterior.nc", 2

_LEFT_OUT = ("samples.Samples.values", "bayes.posterior.Posterior.sampled")
"""Fields that lie elsewhere: the data, and the tree."""

_MOST_BYTES_TREE = 2**34


def read_data(declared: Any, environment: Mapping[str, Any], config: Path) -> Dataset:
    """The data of a run, read or drawn again as its ``config`` declares them.

    Raises DataError where they are gone, or not those of the run any more.
    """
    try:
        data = TypeAdapter(Data).validate_python(declared)
    except ValidationError:
        raise damaged(config, "data") from None
    if isinstance(data, ProgramData):
        # What its program brought, which is not run, lies beside the config.
        made = f"data(seed={data.seed}) of its program"
        if not is_file(config.parent / DATA):
            raise DataError(f"{printable(config.parent)}: holds no {DATA}, with what {made} returned: call it yourself")
        data = SourceData(source=str((config.parent / DATA).absolute()), missing="keep")
    if not isinstance(data, SourceData | SimulatedData):  # no single run has others, and nothing is run here
        raise damaged(config, "data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # it was said when the run was made
        dataset = load_data(data)
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
    from emjax.plain import OF_PROGRAM, equal_array, to_plain

    posterior, family = found["posterior"], found["fit"].mixture.family
    draws = {} if posterior is None else _draws_of(posterior.sampled)
    plain = to_plain(dict(found), lambda array, place: equal_array(array, draws), left_out=(*_LEFT_OUT, *OF_PROGRAM))
    program = {} if family.own_prior() is None else {"program": family.sketch}
    return {"format": FILE_FORMAT, "objects": plain, **program}


def given_program(given: Any, folder: Path, declared: Mapping[str, Any], model: Mapping[str, Any]) -> Any:
    """The program that a run's objects are made with, None where its model is none.

    ``given`` is what `emjax.experiments.results.open_run` was given: ``True`` or a path, whose file is run, or a
    program. ``declared`` and ``model`` are the run's model by its config and by its environment. Raises ConfigError if
    nothing was given, or the content of the file is not that of the run's.
    """
    named = model.get("program")
    if named is None:
        return None
    if given is None:
        raise ConfigError(
            f"{printable(folder)}: its model is the program {printable(named)}, which opening does not run: fit, "
            "posterior and comparison come with open_run(folder, program=True), which runs that file if unchanged"
        )
    if not (given is True or isinstance(given, str | os.PathLike)):
        return given

    file = str(named if given is True else given)
    if content_of(file, "program")[1] != model.get("sha256"):
        raise ConfigError(
            f"{printable(file)}: its content is not that of the program of {printable(folder)}: give the file as it "
            "was, open_run(folder, program=PATH), or run it again"
        )
    return program_of({**declared, "program": file}, with_prior=True)


def read_objects(folder: Path, environment: Mapping[str, Any], data: Dataset, program: Any = None) -> Mapping[str, Any]:
    """``fit``, ``posterior`` and ``comparison`` of a run, None where its task has none.

    ``program`` is the `emjax.Program` that its model is, if it is one.

    Raises ConfigError where a file is missing or damaged, or the program is another one.
    """
    from emjax.plain import from_plain, of_program

    path = folder / FILE
    content = _content(path, environment)
    if content is None:
        raise ConfigError(f"{printable(folder)}: holds no {FILE}")
    document = read_json(path, content)
    newer = newer_note(path, document, FILE_FORMAT)
    if newer is not None:
        raise ConfigError(newer)
    tree = _tree(folder / TREE, environment)
    try:
        elsewhere = dict(zip(_LEFT_OUT, (data.values, tree), strict=True))
        if program is not None:
            mixture = program.again(document["program"], data)
            elsewhere |= {_LEFT_OUT[0]: mixture.samples(data).values, **of_program(mixture)}
        found = from_plain(document["objects"], {} if tree is None else _draws_of(tree), left_out=elsewhere)
        return {name: found.get(name) for name in ("fit", "posterior", "comparison")}
    except EmjaxError as error:
        raise ConfigError(f"{printable(folder)}: {error}") from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise damaged(path, error) from None


def _draws_of(tree: xr.DataTree) -> dict[str, np.ndarray]:
    from emjax.bayes.tree import draws_of

    return draws_of(tree)


def _tree(path: Path, environment: Mapping[str, Any]) -> xr.DataTree | None:
    from emjax.bayes.tree import load_tree

    content = _content(path, environment)
    try:
        return None if content is None else load_tree(content)
    except DataError as error:
        raise damaged(path, error) from None


def _content(path: Path, environment: Mapping[str, Any]) -> bytes | None:
    """The bytes of a file whose hash the run has written down, or None where it has not written one."""
    expected = environment.get("files", {}).get(path.name)
    if expected is None:
        return None
    content = read_bytes(path, _MOST_BYTES_TREE)
    if hashlib.sha256(content).hexdigest() != expected:
        raise DamagedError(f"{printable(path)}: damaged: its bytes have changed since it was written")
    return content
