"""A result in one file, and back to the last bit: `Fit.save`, `Posterior.save`, `Comparison.save` and `emjax.load`.

A file is an ``.npz`` whose members are arrays by their place (``params.weights.npy``; `numpy.load` reads them), the
posterior's tree as NetCDF (``sampled.nc``), and ``emjax.json``, which holds the format, emjax's version and the rest as
`emjax.plain` writes it.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emjax.atomic import NOTHING_WRITTEN, replacing
from emjax.bounds import flag
from emjax.errors import ConfigError, EmjaxError
from emjax.files import regular_size, user_path
from emjax.plain import (
    DATA,
    OF_PROGRAM,
    Stowed,
    UnknownTypeError,
    array_of,
    equal_array,
    from_plain,
    of_program,
    to_plain,
)
from emjax.wording import elided, listed, printable

FORMAT = 1
"""The format of files; a file of a later one is refused."""

_HEADER, _TREE, _PROGRAM_DATA = "emjax.json", "sampled.nc", "program"
_SAMPLED = "bayes.posterior.Posterior.sampled"


class Stored:
    """A result that can be kept in a file, with `save`, and had again with `emjax.load`."""

    __slots__ = ()

    def save(self, path: str | os.PathLike[str], *, data: bool = True) -> Path:
        """Write the object to one file, from which `emjax.load` gives it back to the last bit; returns its path.

        The file is an ``.npz`` without pickles: arrays by their place in the object (``params.weights``), as
        `numpy.load` reads them, and ``emjax.json`` with everything else and the versions of emjax and of the format. It
        is written whole or not at all, and takes the place of a file of that name.

        Parameters
        ----------
        path
            Where to, by custom a name that ends in ``.npz``; nothing is added to it.
        data
            Whether the data go with it. Without them the file is small and tells nobody's data, and what needs them
            (``intervals``, or ``predict`` without ``x``) says so.

        Raises
        ------
        ConfigError
            If the file cannot be written, as where ``path`` is a folder, or if there is something in the object that
            cannot be kept: a function, or a distribution of NumPyro of other things than numbers. A family of your own
            can be where it is a dataclass. Of a NumPyro program the file holds what tells it from others, and its data.
        """
        target = user_path(path)
        with_data = flag("data", data)
        if target.is_dir():
            raise ConfigError(f"{printable(target)}: it is a folder; give the name of a file, such as fit.npz")
        own: dict[str, type] = {}
        result: Any = getattr(self, "posterior", self)
        tree, mixture = getattr(result, "sampled", None), result.mixture
        draws, content = ({}, None) if tree is None else _tree_to_bytes(tree, data=with_data)
        members: dict[str, np.ndarray] = {}
        program = None if mixture.family.own_prior() is None else mixture.family.sketch
        if program is not None and not with_data:
            raise ConfigError(
                f"{printable(target)}: not written: a program is had again with its data alone; leave out data=False"
            )
        if program is not None:
            members[_PROGRAM_DATA] = mixture.family.packed
        hidden = () if with_data else DATA
        try:
            known = {**draws, **members}
            outside = {_SAMPLED, *OF_PROGRAM}
            plain = to_plain(self, _members_into(members, known), left_out=outside, hidden=hidden, own=own)
        except UnknownTypeError as error:
            raise ConfigError(
                f"{printable(target)}: not written, for the object holds {error}: only classes of emjax "
                "and dataclasses of your own are kept, each of another name"
            ) from None
        version = importlib.metadata.version("emjax")
        header = {"format": FORMAT, "emjax": version, "own": sorted(own), "object": plain, "program": program}
        with replacing(target, NOTHING_WRITTEN) as partial:
            _write(partial, json.dumps(header, allow_nan=False), members, content)
        return target


def load(path: str | os.PathLike[str], *, families: Iterable[type] = (), program: Any = None) -> Any:
    """The `Fit`, `Posterior`, `Comparison` or `NumberPosterior` that its ``save`` wrote, to the last bit.

    Nothing in a file is run: it is read as numbers and texts, of which the classes of emjax are made, and those of
    ``families``.

    Parameters
    ----------
    path
        The file.
    families
        Your own classes that the object is made of, where it is a mixture of a family of your own:
        ``families=[MyFamily]``. A file can only name them, never where they are.
    program
        The `emjax.program` that the object is of, where it is one: code is in no file. It is taken apart with the data
        in the file, and must have the same columns, sites and log density as when the object was saved.

    Raises
    ------
    ConfigError
        If the file is not there, is none of emjax's, is cut short or otherwise damaged, or was written by a newer
        emjax; and if it names classes that were not given, or is of a program that was not, or of another one. The
        message is one line.
    """
    target = user_path(path)
    shown = printable(target)
    given = {cls.__name__: cls for cls in _classes(families)}
    header, members, tree = _read(target)
    if header["format"] != FORMAT:
        raise ConfigError(
            f"{shown}: written by another emjax, {printable(header.get('emjax'))} (format "
            f"{printable(header['format'])}; this one knows {FORMAT}): use that one, or a newer one"
        )
    missing = [str(name) for name in header["own"] if name not in given]
    if missing:
        raise ConfigError(
            f"{shown}: is made of {listed(missing)}, no part of emjax: "
            f"give the classes, emjax.load(path, families=[{printable(', '.join(missing))}])"
        )
    given_program = _given_program(shown, header.get("program"), members, program)
    try:
        draws, sampled = ({}, None) if tree is None else _tree_from_bytes(tree)
        outside = {_SAMPLED: sampled, **given_program}
        found = from_plain(header["object"], {**members, **draws}, left_out=outside, own=given)
        if not isinstance(found, Stored):
            raise ValueError(f"holds a {type(found).__name__}")
    except _WRONG as error:
        raise _damaged(shown, error) from None
    return found


def _given_program(shown: str, sketch: Any, members: Mapping[str, np.ndarray], program: Any) -> dict[str, Any]:
    """What stands for a program in an object, where it is one of a program."""
    if sketch is None and program is not None:
        raise ConfigError(f"{shown}: is of no program: leave out program=")
    if sketch is None:
        return {}
    try:
        if not hasattr(program, "again"):
            name = printable(sketch["name"])
            raise ConfigError(
                f"is of the NumPyro program {name!r}, which no file holds: give it, "
                f"emjax.load(path, program=emjax.program({name}))"
            )
        return of_program(program.again(sketch, members[_PROGRAM_DATA]))
    except EmjaxError as error:
        raise ConfigError(f"{shown}: {error}") from None
    except _WRONG as error:
        raise _damaged(shown, error) from None


def _classes(families: Any) -> list[type]:
    several = families if isinstance(families, Iterable) else [families]
    return [each if isinstance(each, type) else type(each) for each in several]


_WRONG = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What the content of a file can lead to that somebody has changed."""


def _damaged(shown: str, problem: object) -> ConfigError:
    why = elided(str(problem), 160)
    return ConfigError(f"{shown}: damaged, or not as emjax wrote it: {why}; save the object again")


def _members_into(members: dict[str, np.ndarray], draws: Mapping[str, np.ndarray]) -> Stowed:
    """Keep arrays as members of a file, each once; those that are draws of the tree lie there."""
    kept: dict[int, str] = {}

    def stowed(array: np.ndarray, place: str) -> str | None:
        if array.ndim == 0:
            return None
        name = equal_array(array, draws) or kept.get(id(array))
        if name is None:
            first = re.sub(r"[^\w.-]", "_", place.removeprefix("."))
            name = next(one for one in _numbered(first) if one not in members)
            members[name] = array
            kept[id(array)] = name
        return name

    return stowed


def _numbered(name: str) -> Iterable[str]:
    yield name
    yield from (f"{name}-{number}" for number in range(2, 10**9))


def _write(path: Path, header: str, members: Mapping[str, np.ndarray], tree: bytes | None) -> None:
    # Stored, not packed: floats hardly get smaller, and no member can be larger than the file that it is read from.
    # Without the time of day, equal objects give equal files.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr(zipfile.ZipInfo(_HEADER), header)
        if tree is not None:
            file.writestr(zipfile.ZipInfo(_TREE), tree)
        for name, array in members.items():
            with file.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray], bytes | None]:
    """The header, the arrays and the bytes of the tree of a file; raises ConfigError in one line."""
    shown = printable(path)
    try:
        regular_size(path)
        with path.open("rb") as file:
            begins_as_zip = file.read(4) == b"PK\x03\x04"
    except OSError as error:
        hint = "; emjax.open_run opens the folder of a run" if isinstance(error, IsADirectoryError) else ""
        raise ConfigError(f"{shown}: cannot be read: {error.strerror or error}{hint}") from None
    other = ConfigError(f"{shown}: is no file that save() of emjax wrote; emjax.datasets.load reads files of data")
    if not begins_as_zip:
        raise other
    try:
        with zipfile.ZipFile(path) as file:
            if _HEADER not in file.namelist():
                raise other
            if any(info.compress_type != zipfile.ZIP_STORED for info in file.infolist()):
                raise ValueError("its members are packed")
            content = {name: file.read(name) for name in file.namelist()}
        header = json.loads(content.pop(_HEADER))
        if not (isinstance(header, dict) and {"format", "object"} <= header.keys() and isinstance(header["own"], list)):
            raise ValueError(f"{_HEADER} is none")
        tree = content.pop(_TREE, None)
        # The arrays of a later format may be others; the caller refuses it by its number.
        known = content if header["format"] == FORMAT else {}
        return header, {name.removesuffix(".npy"): _from_npy(bytes_) for name, bytes_ in known.items()}, tree
    except ConfigError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, *_WRONG) as error:
        raise _damaged(shown, error) from None


def _from_npy(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("holds an array of another format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    return array_of(content[file.tell() :], dtype, shape, "F" if fortran else "C")


def _tree_to_bytes(tree: Any, *, data: bool) -> tuple[dict[str, np.ndarray], bytes]:
    """The draws by their name in files and the tree's bytes, without the data where they are not wanted."""
    from emjax.bayes.tree import draws_of, tree_bytes

    kept = tree if data or "observed_data" not in tree.children else tree.drop_nodes("observed_data")
    return {f"{_TREE}/{name}": values for name, values in draws_of(tree).items()}, tree_bytes(kept)


def _tree_from_bytes(content: bytes) -> tuple[dict[str, np.ndarray], Any]:
    from emjax.bayes.tree import draws_of, load_tree

    tree = load_tree(content)
    return {f"{_TREE}/{name}": values for name, values in draws_of(tree).items()}, tree
