"""Folders of single runs: written beside their place under a temporary name and renamed when whole.

A run that is ended early keeps the stages that it has marked as done (`RunFolder.mark`): its folder then gets its name
as it is, with `UNFINISHED` in it, at once or, where the process was killed, when the next run looks. A run of the same
key goes on from there.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli_w

from emjax import atomic
from emjax.atomic import NOTHING_WRITTEN
from emjax.environment import FORMAT
from emjax.errors import ConfigError, RunExistsError
from emjax.experiments.archive import door
from emjax.experiments.archive.single import CONFIG, ENVIRONMENT, PAGE, UNFINISHED
from emjax.experiments.execution.interrupts import held_back
from emjax.files import user_path
from emjax.jsonable import to_json
from emjax.wording import printable

FILES = {
    *(CONFIG, ENVIRONMENT, "em.json", "posterior.json", "comparison.json", "objects.json", "posterior.nc"),
    *("data.parquet", "assignments.csv", "assignments.parquet", PAGE, UNFINISHED),
}
"""All that a single run writes. A folder that holds anything else is not replaced."""

_open: dict[Path, list[Path]] = {}
"""Partial folders of this process, and the parents that were made for each."""

kept: list[Path] = []
"""Where unfinished runs of this process lie."""


@dataclasses.dataclass
class RunFolder:
    """A run folder while it is being written. Made by :func:`run_folder`."""

    target: Path  # where it will lie; final only once it is published
    partial: Path  # where its files are written until then
    begun: bool  # whether an earlier run of the same key has left the stages there that it had done
    key: str
    overwrite: bool
    next_name: Callable[[], Path] | None  # what to call it where the target is taken meanwhile, None: an error

    def write(self, name: str, content: Any) -> None:
        """Write a file: a text in UTF-8 as it is; anything else as what the name says.

        That is a tree of plain values as TOML; arrays ``(n_rows,)`` by name as Parquet; any value as strict JSON, where
        NaN and the infinities become null and floats keep every digit.
        """
        path = self.partial / name
        with atomic.storage(self.target.parent, NOTHING_WRITTEN):
            if path.suffix == ".parquet":
                import pyarrow
                from pyarrow import parquet

                parquet.write_table(pyarrow.table(dict(content)), path)
            else:
                if not isinstance(content, str):
                    content = tomli_w.dumps(content) if path.suffix == ".toml" else to_json(content) + "\n"
                path.write_bytes(content.encode("utf-8", errors="replace"))

    def mark(self, *done: str) -> None:
        """Have these stages kept, whatever ends the run from now on; the run of the same key goes on from them."""
        atomic.write_atomically(self.partial / UNFINISHED, to_json({"key": self.key, "done": list(done)}) + "\n")

    def publish(self) -> Path:
        """Bring every byte to the disk, then give the folder its name.

        Raises RunExistsError when something took the name in the meantime and may not be overwritten,
        StorageError when the disk is full or cannot be written.
        """
        with atomic.storage(self.target.parent, NOTHING_WRITTEN):
            atomic.sync_tree(self.partial)
            with held_back():
                (self.partial / UNFINISHED).unlink(missing_ok=True)
                if self.overwrite:
                    self._replace()
                else:
                    self.target = atomic.publish(self.partial, self.target, self._elsewhere) or self.target
            atomic.sync(self.target.parent)
        return self.target

    def _elsewhere(self, taken: Path) -> Path:
        if self.next_name is None:
            raise _exists(taken)
        return self.next_name()

    def _replace(self) -> None:
        old = atomic.partial_name(self.target, "old")
        # Locked, the old run is nothing that an ended process has left.
        with atomic.seized(self.target):
            try:
                os.rename(self.target, old)
            except FileNotFoundError:
                os.rename(self.partial, self.target)
                return
            with ExitStack() as otherwise:
                otherwise.callback(os.rename, old, self.target)
                # Looked at only now that nobody else knows its name: it had hours to fill.
                _refuse_others(old, self.target)
                os.rename(self.partial, self.target)
                otherwise.pop_all()
            _remove_run(old)


@contextmanager
def run_folder(
    target: str | Path | None, *, default: str = "run", overwrite: bool = False, key: str = ""
) -> Iterator[RunFolder]:
    """Open a run folder for writing; the caller ends with ``publish()``.

    With ``target=None`` the folder is ``runs/<default>``, or ``runs/<default>-2``, ``-3``, ... where that is
    taken. A ``target`` that is there already, and is not an empty folder, is refused at once, before anything
    is computed, unless ``overwrite`` says otherwise; then it is replaced in the end, whole. Only the folder of a
    single run that holds nothing else is ever replaced. Whatever interrupts the run, an error or Ctrl-C, leaves
    nothing behind but what was marked as done, and an older run untouched; what killed processes left in the folder of
    the runs is removed first, or named as far as it was marked.

    ``key`` says what the run computes: an unfinished one of the same key is gone on with, unless ``overwrite`` says to
    begin anew.

    Raises RunExistsError when the run is there, ConfigError when its parent folder cannot be written or the
    disk is full.
    """
    path = Path("runs") / default if target is None else user_path(target)
    if path.name in ("", ".."):
        path = path.resolve()
    _sweep(path.parent)
    next_name = None if target is not None else lambda: _first_free(Path("runs") / default)
    if target is None:
        path = _first_free(path, "" if overwrite else key)
    begun = not overwrite and _is_of(path, key)
    if not overwrite and not begun and atomic.taken(path):
        raise _exists(path)
    if overwrite and os.path.lexists(path):
        _refuse_others(path, path)
    made = _make_parents(path.parent)

    def begin(partial: Path) -> None:
        _open[partial] = made
        if begun:
            os.rename(path, partial)
        else:
            partial.mkdir()

    with ExitStack() as failed:
        failed.callback(atomic.remove_empty, *made)
        with atomic.drafted(path, begin, _discard, NOTHING_WRITTEN) as partial:
            failed.pop_all()
            yield RunFolder(path, partial, begun, key, overwrite, next_name)


def discard_open() -> bool:
    """End the unfinished runs of this process as their failure would; whether there were any."""
    found = list(_open)
    for partial in found:
        _discard(partial)
    return bool(found)


def interrupted() -> str:
    """What is to be said of runs of this process that were interrupted."""
    if not kept:
        return "interrupted; nothing was written"
    return f"interrupted; {printable(kept[-1])} keeps what is done, and the same command goes on from there"


def _discard(partial: Path) -> None:
    """Remove an unfinished run, and the parents that were made for it if they are empty; nothing of a finished one.

    One with stages that are marked as done gets its name instead.
    """
    settled = _settle(partial)
    if settled is None:
        atomic.remove(partial)
    else:
        kept.append(settled)
    atomic.remove_empty(*_open.pop(partial, []))


def _settle(partial: Path) -> Path | None:
    """Give an unfinished run with a mark its name, or the next that is free; None where there is no mark."""
    name = atomic.owner_of(partial)
    if name is None or not (partial / UNFINISHED).is_file():
        return None
    target = _first_free(partial.with_name(name))
    return target if atomic.renamed(partial, target) else None


def _sweep(parent: Path) -> None:
    """Remove what killed runs have left in a folder; a run that one was about to replace gets its name back."""
    with suppress(OSError):
        for path in filter(Path.is_dir, atomic.abandoned(parent)):
            if atomic.role_of(path) == "old":
                target = path.with_name(atomic.owner_of(path) or "")
                if atomic.taken(target) or not atomic.renamed(path, target):
                    _remove_run(path)
            elif _settle(path) is None:
                atomic.remove(path)


def _is_of(path: Path, key: str) -> bool:
    """Whether an unfinished run of this key lies at ``path``."""
    if not key or path.is_symlink() or not (path / UNFINISHED).is_file():
        return False
    try:
        found = door.read_json(path / UNFINISHED)
    except ConfigError:
        return False
    return isinstance(found, dict) and found.get("key") == key and _not_a_run(path) is None


def _remove_run(folder: Path) -> None:
    """Remove the files of a single run and their folder, and not what somebody has put there besides."""
    for name in FILES:
        with suppress(OSError):
            (folder / name).unlink()
    atomic.remove_empty(folder)


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
            atomic.remove_empty(*missing)
            raise atomic.storage_error(error, folder, NOTHING_WRITTEN) from None
        raise ConfigError(f"{printable(folder)}: cannot be made: {error.strerror}") from None
    return missing


def _first_free(path: Path, key: str = "") -> Path:
    """The first of the names that nothing lies at, or that an unfinished run of this key has."""
    candidate, number = path, 1
    while atomic.taken(candidate) and not _is_of(candidate, key):
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


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
        entries = sorted(path.iterdir())
        if not entries:
            return None
        for entry in entries:
            if entry.name not in FILES or entry.is_symlink() or not entry.is_file():
                return f"not a run folder: it holds {printable(entry.name)!r}, which no single run writes"
        if path / CONFIG not in entries:
            return "not a run folder: it holds no config.toml"
        environment = door.read_json(path / ENVIRONMENT)
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
    what = "is there already"
    if (path / UNFINISHED).is_file():
        what = "holds an unfinished run of other settings, data or versions"
    return RunExistsError(
        f"{printable(path)}: {what} and was not touched; choose another name with --out, or replace it with --overwrite"
    )
