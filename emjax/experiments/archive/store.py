"""Run folders: written beside their place under a temporary name and renamed when whole.

A run that is ended early keeps the stages that it has marked as done (`RunFolder.mark`): its folder then gets its name
as it is, with `UNFINISHED` in it, at once or, where the process was killed, when the next run looks. A run of the same
key goes on from there.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli_w

from emjax import atomic
from emjax.atomic import NOTHING_WRITTEN
from emjax.environment import FORMAT
from emjax.errors import ConfigError, RunExistsError
from emjax.experiments.archive import door
from emjax.experiments.archive.single import UNFINISHED
from emjax.experiments.execution.interrupts import held_back
from emjax.files import user_path
from emjax.jsonable import to_json
from emjax.wording import printable

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
        UNFINISHED,
    }
)
"""All that a single run writes. A folder that holds anything else is not replaced."""

_open: dict[Path, list[Path]] = {}
"""Partial folders of this process, and the parents that were made for each."""

kept: list[Path] = []
"""Where unfinished runs of this process lie."""


class RunFolder:
    """A run folder while it is being written. Made by :func:`run_folder`.

    Attributes:
        target: where the folder will lie; final only once it is published.
        partial: where its files are written until then.
        begun: whether an earlier run of the same key has left the stages there that it had done.
    """

    def __init__(
        self,
        target: Path,
        partial: Path,
        *,
        overwrite: bool,
        next_name: Callable[[], Path] | None,
        key: str,
        begun: bool,
    ) -> None:
        self.target = target
        self.partial = partial
        self.begun = begun
        self._key = key
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

    def mark(self, *done: str) -> None:
        """Have these stages kept, whatever ends the run from now on; the run of the same key goes on from them."""
        atomic.write_atomically(self.partial / UNFINISHED, to_json({"key": self._key, "done": list(done)}) + "\n")

    def publish(self) -> Path:
        """Bring every byte to the disk, then give the folder its name.

        Raises RunExistsError when something took the name in the meantime and may not be overwritten,
        StorageError when the disk is full or cannot be written.
        """
        with atomic.storage(self.target.parent, NOTHING_WRITTEN):
            atomic.sync_tree(self.partial)
            with held_back():
                (self.partial / UNFINISHED).unlink(missing_ok=True)
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
    next_name = None
    if target is None:

        def next_name() -> Path:
            return _first_free(Path("runs") / default)

        _sweep(Path("runs"))
        path = _first_free(Path("runs") / default, "" if overwrite else key)
    else:
        path = user_path(target)
        path = path if path.name not in ("", "..") else path.resolve()
        _sweep(path.parent)
    begun = not overwrite and _is_of(path, key)
    if not overwrite and not begun and _taken(path):
        raise _exists(path)
    if overwrite and os.path.lexists(path):
        _refuse_others(path, path)
    made = _make_parents(path.parent)
    with ExitStack() as stack:
        try:
            partial = stack.enter_context(
                atomic.held(path, lambda partial: _begin(partial, made, path if begun else None))
            )
        except OSError as error:
            _remove_parents(made)
            raise atomic.storage_error(error, path.parent, NOTHING_WRITTEN) from None
        stack.callback(_discard, partial)
        folder = RunFolder(path, partial, overwrite=overwrite, next_name=next_name, key=key, begun=begun)
        with atomic.room(path.parent, NOTHING_WRITTEN):
            yield folder


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


def _begin(partial: Path, parents: list[Path], unfinished: Path | None) -> None:
    _open[partial] = parents
    if unfinished is None:
        partial.mkdir()
    else:
        os.rename(unfinished, partial)


def _discard(partial: Path) -> None:
    """Remove an unfinished run, and the parents that were made for it if they are empty; nothing of a finished one.

    One with stages that are marked as done gets its name instead.
    """
    settled = _settle(partial)
    if settled is None:
        atomic.remove(partial)
    else:
        kept.append(settled)
    _remove_parents(_open.pop(partial, []))


def _settle(partial: Path) -> Path | None:
    """Give an unfinished run with a mark its name, or the next that is free; None where there is no mark."""
    name = atomic.owner_of(partial)
    if name is None or not (partial / UNFINISHED).is_file():
        return None
    target = _first_free(partial.with_name(name))
    try:
        os.rename(partial, target)
    except OSError:
        return None
    return target


def _is_of(path: Path, key: str) -> bool:
    """Whether an unfinished run of this key lies at ``path``."""
    if not key or path.is_symlink() or not (path / UNFINISHED).is_file():
        return False
    try:
        found = door.read_json(path / UNFINISHED)
    except ConfigError:
        return False
    return isinstance(found, dict) and found.get("key") == key and _not_a_run(path) is None


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
                        if _settle(path) is None:
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


def _first_free(path: Path, key: str = "") -> Path:
    """The first of the names that nothing lies at, or that an unfinished run of this key has."""
    candidate, number = path, 1
    while _taken(candidate) and not _is_of(candidate, key):
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
    what = "is there already"
    if (path / UNFINISHED).is_file():
        what = "holds an unfinished run of other settings, data or versions"
    return RunExistsError(
        f"{printable(path)}: {what} and was not touched; choose another name with --out, or replace it with --overwrite"
    )


def _rename(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        # A full folder at the target is ENOTEMPTY on Linux and EEXIST elsewhere: one meaning, one exception.
        if _taken(target):
            raise FileExistsError(error.errno, error.strerror, str(target)) from None
        raise
