"""Run folders: written beside their place under a temporary name and renamed when whole."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli_w

from emjax.errors import ConfigError, RunExistsError
from emjax.experiments.archive import atomic, door
from emjax.experiments.archive.atomic import NOTHING_WRITTEN
from emjax.experiments.environment import FORMAT
from emjax.experiments.execution.interrupts import held_back
from emjax.experiments.nearest import printable
from emjax.files import user_path
from emjax.jsonable import to_json

FILES = frozenset(
    {
        "assignments.csv",
        "assignments.parquet",
        "config.toml",
        "data.parquet",
        "environment.json",
        "em.json",
        "objects.json",
        "posterior.json",
        "posterior.nc",
        "comparison.json",
        "report.html",
    }
)
"""All that a single run writes. A folder that holds anything else is not replaced."""

_open: dict[Path, list[Path]] = {}
"""Partial folders of this process, and the parents that were made for each."""


class RunFolder:
    """A run folder while it is being written. Made by :func:`run_folder`.

    Attributes:
        target: where the folder will lie; final only once it is published.
        partial: where its files are written until then.
    """

    def __init__(self, target: Path, partial: Path, *, overwrite: bool, next_name: Callable[[], Path] | None) -> None:
        self.target = target
        self.partial = partial
        self._overwrite = overwrite
        self._next_name = next_name

    def write_json(self, name: str, value: Any) -> None:
        """Write ``value`` as strict JSON: NaN and the infinities become null, floats keep every digit."""
        self.write_text(name, to_json(value) + "\n")

    def write_toml(self, name: str, tree: dict[str, Any]) -> None:
        """Write a tree of plain values as TOML."""
        self.write_text(name, tomli_w.dumps(tree))

    def write_text(self, name: str, text: str) -> None:
        """Write a text file in UTF-8."""
        with atomic.storage(self.target.parent, NOTHING_WRITTEN):
            (self.partial / name).write_bytes(text.encode("utf-8", errors="replace"))

    def write_columns(self, name: str, columns: Mapping[str, Any]) -> None:
        """Write arrays ``(n_rows,)`` by name as Parquet."""
        import pyarrow
        from pyarrow import parquet

        with atomic.storage(self.target.parent, NOTHING_WRITTEN):
            parquet.write_table(pyarrow.table(dict(columns)), self.partial / name)

    def publish(self) -> Path:
        """Bring every byte to the disk, then give the folder its name.

        Raises RunExistsError when something took the name in the meantime and may not be overwritten,
        StorageError when the disk is full or cannot be written.
        """
        with atomic.storage(self.target.parent, NOTHING_WRITTEN):
            atomic.sync_tree(self.partial)
            with held_back():
                if self._overwrite:
                    self._replace()
                else:
                    self._rename()
            atomic.sync(self.target.parent)
        return self.target

    def _rename(self) -> None:
        while True:
            # os.rename replaces an empty folder and fails on any other, so nothing can be lost in between.
            if not _taken(self.target):
                with suppress(FileExistsError, NotADirectoryError):
                    return _rename(self.partial, self.target)
            if self._next_name is None:
                raise _exists(self.target)
            self.target = self._next_name()

    def _replace(self) -> None:
        old = _old_name(self.partial)
        try:
            os.rename(self.target, old)
        except FileNotFoundError:
            return _rename(self.partial, self.target)
        with ExitStack() as otherwise:
            otherwise.callback(os.rename, old, self.target)
            # Looked at only now that nobody else knows its name: it had hours to fill.
            _refuse_others(old, self.target)
            os.rename(self.partial, self.target)
            otherwise.pop_all()
        _remove_run(old)
        return None


@contextmanager
def run_folder(target: str | Path | None, *, default: str = "run", overwrite: bool = False) -> Iterator[RunFolder]:
    """Open a run folder for writing; the caller ends with ``publish()``.

    With ``target=None`` the folder is ``runs/<default>``, or ``runs/<default>-2``, ``-3``, ... where that is
    taken. A ``target`` that is there already, and is not an empty folder, is refused at once, before anything
    is computed, unless ``overwrite`` says otherwise; then it is replaced in the end, whole. Only the folder of a
    single run that holds nothing else is ever replaced. Whatever interrupts the run, an error or Ctrl-C, leaves
    nothing behind and an older run untouched; what killed processes left in the folder of the runs is removed first.

    Raises RunExistsError when the run is there, ConfigError when its parent folder cannot be written or the
    disk is full.
    """
    next_name = None
    if target is None:

        def next_name() -> Path:
            return _first_free(Path("runs") / default)

        path = next_name()
    else:
        path = user_path(target)
        path = path if path.name not in ("", "..") else path.resolve()
    if not overwrite and _taken(path):
        raise _exists(path)
    if overwrite and os.path.lexists(path):
        _refuse_others(path, path)
    made = _make_parents(path.parent)
    _sweep(path.parent)
    with ExitStack() as stack:
        try:
            partial = stack.enter_context(atomic.held(path, lambda partial: _begin(partial, made)))
        except OSError as error:
            _remove_parents(made)
            raise atomic.storage_error(error, path.parent, NOTHING_WRITTEN) from None
        stack.callback(_discard, partial)
        folder = RunFolder(path, partial, overwrite=overwrite, next_name=next_name)
        with atomic.room(path.parent, NOTHING_WRITTEN):
            yield folder


def discard_open() -> bool:
    """Remove what unfinished runs of this process have written, as their failure would; whether any was."""
    found = list(_open)
    for partial in found:
        _discard(partial)
    return bool(found)


def _begin(partial: Path, parents: list[Path]) -> None:
    _open[partial] = parents
    partial.mkdir()


def _discard(partial: Path) -> None:
    """Remove an unfinished run, and the parents that were made for it if they are empty; nothing of a finished one."""
    atomic.remove(partial)
    _remove_parents(_open.pop(partial, []))


def _remove_parents(made: list[Path]) -> None:
    for parent in made:
        with suppress(OSError):
            parent.rmdir()


def _sweep(parent: Path) -> None:
    """Remove what killed runs have left in a folder; a run that one was about to replace gets its name back."""
    with suppress(OSError):
        for path in parent.iterdir():
            name = atomic.owner_of(path)
            if name is None or path.is_symlink() or not path.is_dir():
                continue
            target, old = path.with_name(name), _old_name(path)
            if path != old:
                with atomic.seized(path) as free:
                    if free:
                        _bring_back(old, target)
                        atomic.remove(path)
            elif not path.with_name(path.name.replace(".old-", ".partial-")).exists():
                # It was replaced, or is being removed just now.
                _bring_back(path, target)


def _bring_back(old: Path, target: Path) -> None:
    """Give a run its name back where nothing has taken it, else remove it."""
    if not old.exists():
        return
    if _taken(target):
        _remove_run(old)
    else:
        _rename(old, target)


def _remove_run(folder: Path) -> None:
    """Remove the files of a single run and their folder, and not what somebody has put there besides."""
    for name in FILES:
        with suppress(OSError):
            (folder / name).unlink()
    with suppress(OSError):
        folder.rmdir()


def _old_name(partial: Path) -> Path:
    """The name that a run has while the one in ``partial`` takes its place."""
    return partial.with_name(partial.name.replace(".partial-", ".old-"))


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder and its parents; return those that were missing, deepest first."""
    missing = []
    for parent in (folder, *folder.parents):
        if parent.exists():
            break
        missing.append(parent)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if atomic.is_full(error):
            _remove_parents(missing)
            raise atomic.storage_error(error, folder, NOTHING_WRITTEN) from None
        raise ConfigError(f"{printable(folder)}: cannot be made: {error.strerror}") from None
    return missing


def _first_free(path: Path) -> Path:
    candidate, number = path, 1
    while _taken(candidate):
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _taken(path: Path) -> bool:
    """Whether something lies at ``path`` that a rename must not replace; an empty folder may be."""
    if path.is_symlink() or not path.is_dir():
        return os.path.lexists(path)
    return any(path.iterdir())


def _refuse_others(path: Path, shown: Path) -> None:
    """Refuse to replace what lies at ``path``, unless it is an empty folder or one that a single run has written.

    Such a folder says so by the format in its ``environment.json``, and holds nothing but the files of a run.
    """
    problem = _not_a_run(path)
    if problem is not None:
        raise RunExistsError(
            f"{printable(shown)}: {problem}, so --overwrite leaves it alone; move it away, or choose another name "
            "with --out"
        )


def _not_a_run(path: Path) -> str | None:
    if path.is_symlink() or not path.is_dir():
        return "not a run folder"
    try:
        with os.scandir(path) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        if not entries:
            return None
        for entry in entries:
            if entry.name not in FILES or not entry.is_file(follow_symlinks=False):
                return f"not a run folder: it holds {printable(entry.name)!r}, which no single run writes"
        if not (path / "config.toml").exists():
            return "not a run folder: it holds no config.toml"
        environment = door.read_json(path / "environment.json")
    except door.DamagedError as error:
        return f"not a run folder ({str(error).replace(printable(path), '', 1).lstrip('/')})"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    found = environment if isinstance(environment, dict) else {}
    versions = found.get("versions")
    if found.get("format") not in range(1, FORMAT + 1) or not (isinstance(versions, dict) and "emjax" in versions):
        return "not a run folder: its environment.json is not one that this emjax writes"
    return None


def _exists(path: Path) -> RunExistsError:
    return RunExistsError(
        f"{printable(path)}: is there already and was not touched; choose another name "
        "with --out, or replace it with --overwrite"
    )


def _rename(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        # A full folder at the target is ENOTEMPTY on Linux and EEXIST elsewhere: one meaning, one exception.
        if _taken(target):
            raise FileExistsError(error.errno, error.strerror, str(target)) from None
        raise
