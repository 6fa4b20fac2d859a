"""Files and folders that are there whole or not at all, and one line for a disk that will not take them."""

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emjax.errors import ConfigError
from emjax.experiments.nearest import printable

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The errors of a disk, a quota or a file size that is used up."""

_PARTIAL = re.compile(r"\.(.+)\.(?:partial|torn)-[0-9]+-[0-9a-f]{8}")
_FULL_WORDS = ("no space left on device", "disk quota exceeded", "file too large")


class StorageError(ConfigError):
    """The archive cannot be written or read: no job can go on, and every finished one is kept."""


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full; HDF5 and Arrow say so in words alone."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return isinstance(error, OSError | RuntimeError) and any(words in str(error).lower() for words in _FULL_WORDS)


def storage_error(error: BaseException, place: Path) -> StorageError:
    """One line that names the place and the remedy."""
    shown = printable(place)
    if is_full(error):
        return StorageError(f"{shown}: no space left; free some and run the same command again: finished jobs are kept")
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StorageError(
        f"{shown}: cannot be used: {printable(words)}; see to it and run the same command again: finished jobs are kept"
    )


@contextmanager
def storage(place: Path) -> Iterator[None]:
    """Turn an OSError of the block into a `StorageError` about ``place``."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, place) from None


def partial_name(path: Path, role: str = "partial") -> Path:
    """A hidden name beside ``path`` that nobody else uses."""
    return path.with_name(f".{path.name}.{role}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def owner_of(path: Path) -> str | None:
    """The name beside which `partial_name` made ``path``, None for any other name."""
    found = _PARTIAL.fullmatch(path.name)
    return found[1] if found else None


def sync(path: Path) -> None:
    """Bring a file or a folder's list of names to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8: readers see the old content or the new one. Raises StorageError."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary name for a file that takes the place of ``path`` at the end of the block.

    A link at ``path`` is replaced, not followed. ``durable=False`` leaves it to the system when bytes reach the disk,
    for what can be made again.

    Raises StorageError for an OSError; whatever is raised, nothing is left behind and ``path`` is as it was.
    """
    partial = partial_name(path)
    try:
        with storage(path.parent):
            yield partial
            if durable:
                sync(partial)
            os.replace(partial, path)
            if durable:
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
