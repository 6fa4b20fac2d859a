"""Files that anybody may have written: regular ones alone, and never more of one than was asked for."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

from emjax.errors import ConfigError, EmjaxError
from emjax.floats import quoted


class NotRegularError(OSError):
    """A pipe, a socket or a device stands where a file should."""


def regular_size(path: str | os.PathLike[str]) -> int:
    """The size in bytes of a regular file, or of the one that a link names.

    Raises OSError, whose ``strerror`` says why, for whatever cannot be read to an end: nothing, a folder, a pipe, a
    device, a path that no file can have (with a NUL character).
    """
    try:
        status = os.stat(path)
    except ValueError:
        raise OSError(errno.EINVAL, "no path holds a NUL character, or half a character") from None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError(errno.EINVAL, "it is not a regular file")
    return status.st_size


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """The content of a regular file of at most ``most`` bytes; raises OSError as `regular_size` does, and for more."""
    content = b""
    if regular_size(path) <= most:
        # Not waiting, and never more than that: it may have become a pipe or a device meanwhile, and some regular files
        # say that they have no size.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            content = file.read(most + 1)
        if len(content) <= most:
            return content
    raise OSError(errno.EFBIG, f"it is larger than {most / 2**20:g} MiB")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_path(path: str | os.PathLike[str], error: type[EmjaxError] = ConfigError) -> Path:
    """A path that a user gave, with ``~`` expanded where there is such a home; raises ``error`` for a NUL in it."""
    text = os.fsdecode(path)
    if "\0" in text:
        raise error(f"{quoted(text)}: a path cannot hold a NUL character; give another one")
    return Path(os.path.expanduser(text))
