"""Files and folders that are there whole or not at all, and one line for a disk that will not take them."""

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from emjax.errors import ConfigError, EmjaxError
from emjax.wording import printable

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The errors of a disk, a quota or a file size that is used up."""

_PARTIAL = re.compile(r"\.(.+)\.(partial|torn|old)-[0-9]+-[0-9a-f]{8}")
_FULL_WORDS = ("no space left on device", "disk quota exceeded", "file too large")


class StorageError(ConfigError):
    """The archive cannot be written or read: no job can go on, and every finished one is kept."""


KEPT = ": finished jobs are kept"
"""What a `StorageError` says of the rest where nothing else is given."""

NOTHING_WRITTEN = "; nothing was written"
"""What it says where a run or a folder is new."""

UNTOUCHED = "; the run itself is untouched"
"""What it says where pages and tables about a run are written."""

_HOUR = 3600.0
_LONG_AGO = {"file": _HOUR, "folder": 168 * _HOUR}
"""Seconds without a change after which nobody writes any more to what cannot be locked."""


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full; Arrow says so in words alone."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return isinstance(error, OSError | RuntimeError) and any(words in str(error).lower() for words in _FULL_WORDS)


def storage_error(error: BaseException, place: Path | str, rest: str = KEPT) -> StorageError:
    """One line that names the place and the remedy; ``rest`` says what is left untouched."""
    shown = printable(place)
    if is_full(error):
        return StorageError(f"{shown}: no space left; free some and run the same command again{rest}")
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StorageError(f"{shown}: cannot be used: {printable(words)}; see to it and run the same command again{rest}")


@contextmanager
def storage(place: Path, rest: str = KEPT) -> Iterator[None]:
    """Turn an OSError of the block into a `StorageError` about ``place``."""
    try:
        with room(place, rest):
            yield
    except EmjaxError:
        raise  # some are OSErrors too
    except OSError as error:
        raise storage_error(error, place, rest) from None


@contextmanager
def room(place: Path, rest: str = KEPT) -> Iterator[None]:
    """As `storage`, but for errors alone that say that the disk is full: others of the block are somebody else's."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if is_full(error):
            raise storage_error(error, place, rest) from None
        raise


def partial_name(path: Path, role: str = "partial") -> Path:
    """A hidden name beside ``path`` that nobody else uses."""
    return path.with_name(f".{path.name}.{role}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def owner_of(path: Path) -> str | None:
    """The name beside which `partial_name` made ``path``, None for any other name."""
    found = _PARTIAL.fullmatch(path.name)
    return found[1] if found else None


def role_of(path: Path) -> str | None:
    """The role for which `partial_name` made ``path``, None for any other name."""
    found = _PARTIAL.fullmatch(path.name)
    return found[2] if found else None


@contextmanager
def held(path: Path, make: Callable[[Path], object] = Path.touch) -> Iterator[Path]:
    """Yield a `partial_name` of ``path`` that other processes can see to be in use (`seized`) while the block runs.

    ``make`` makes what lies there, a file by default.
    """
    while True:
        partial = partial_name(path)
        make(partial)
        handle = _opened(partial)
        # Between its making and its locking another process may have swept it away: then once more.
        if handle is None or (_lock(handle) is not False and _lies_at(handle, partial)):
            break
        os.close(handle)
    try:
        yield partial
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def seized(path: Path) -> Iterator[bool]:
    """Yield whether what lies under a `partial_name` is abandoned; if so, nobody else seizes it during the block.

    A lock decides, which the end of a process frees on whatever machine it ran; where a file system has none, age.
    """
    handle = _opened(path)
    try:
        free = None if handle is None else _lock(handle)
        yield _is_old(path) if free is None else free
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def drafted(
    path: Path,
    make: Callable[[Path], object] = Path.mkdir,
    end: Callable[[Path], object] | None = None,
    rest: str = KEPT,
) -> Iterator[Path]:
    """Yield a folder under a name that is `held`, to be filled and then given the name ``path`` (`publish`).

    ``make`` makes it; ``end`` is called at the end of the block, by default to remove what still lies there. Raises
    StorageError where it cannot be made, or where the disk is full, in the block too.
    """
    with ExitStack() as stack:
        with storage(path.parent, rest):
            partial = stack.enter_context(held(path, make))
        stack.callback(end or remove, partial)
        with room(path.parent, rest):
            yield partial


def publish(partial: Path, path: Path, elsewhere: Callable[[Path], Path | None]) -> Path | None:
    """Give a folder its name, or what ``elsewhere`` says where that is taken; None, and nothing done, where it says so.

    What lies there is never replaced, but for an empty folder.
    """
    place: Path | None = path
    # os.rename replaces an empty folder and fails on any other, so nothing can be lost in between.
    while place is not None and (taken(place) or not renamed(partial, place)):
        place = elsewhere(place)
    return place


def taken(path: Path) -> bool:
    """Whether something lies at ``path`` that a rename must not replace; an empty folder may be."""
    if path.is_symlink() or not path.is_dir():
        return os.path.lexists(path)
    return any(path.iterdir())


def renamed(source: Path, target: Path) -> bool:
    """Rename a folder; False where something has taken the name meanwhile. Raises OSError for anything else."""
    try:
        os.rename(source, target)
    except OSError:
        if taken(target):
            return False
        raise
    return True


def abandoned(folder: Path) -> Iterator[Path]:
    """What ended processes have left in a folder under a `partial_name`; nobody else takes it while it is looked at."""
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in folder.iterdir():
            if owner_of(path) is not None and not path.is_symlink():
                with seized(path) as free:
                    if free:
                        yield path


def sweep(folder: Path) -> None:
    """Remove what was half-written in a folder by processes that have ended."""
    for path in abandoned(folder):
        remove(path)


def _opened(path: Path) -> int | None:
    """An open file or folder, None where it has gone or folders cannot be opened."""
    try:
        return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except OSError:
        return None


def _lock(handle: int) -> bool | None:
    """Lock an open file or folder; False where another process has it locked, None where nothing can be locked."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _lies_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _is_old(path: Path) -> bool:
    try:
        changed = path.stat().st_mtime
    except OSError:
        return False
    return time.time() - changed > _LONG_AGO["folder" if path.is_dir() else "file"]


def sync(path: Path) -> None:
    """Bring a file or a folder's list of names to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, content: str | bytes, rest: str = KEPT) -> None:
    """Write a file, texts in UTF-8: readers see the old content or the new one. Raises StorageError."""
    with replacing(path, rest) as partial:
        partial.write_bytes(content.encode("utf-8", errors="replace") if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, rest: str = KEPT) -> Iterator[Path]:
    """Yield a temporary name for a file that takes the place of ``path`` at the end of the block.

    A link at ``path`` is replaced, not followed.

    Raises StorageError for an OSError; whatever is raised, nothing is left behind and ``path`` is as it was.
    """
    with storage(path.parent, rest), held(path) as partial:
        try:
            yield partial
            sync(partial)
            os.replace(partial, path)
            sync(path.parent)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def sync_tree(folder: Path) -> None:
    """Bring a folder and all that it holds to the disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def set_aside(path: Path) -> None:
    """Take what lies at ``path`` out of the way at once, then remove it."""
    aside = partial_name(path, "torn")
    with suppress(FileNotFoundError):
        os.rename(path, aside)
        remove(aside)


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove_empty(*folders: Path) -> None:
    """Remove those of some folders that are empty, one after the other."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
