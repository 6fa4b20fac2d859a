"""Files that are packed, and standard input: read into memory whole, and never more than a bound."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from emjax.errors import DataError

__all__ = ["MOST_UNPACKED", "PACKED", "check_unpacked", "one_line", "read_standard_input", "unpack"]

MOST_UNPACKED = 2**30
_MOST_PACKED = 20
"""What files are unpacked to at most: a gigabyte, or so many times their size."""


def _open_zstd(path: Path) -> Any:
    import pyarrow

    return pyarrow.input_stream(path, compression="zstd")


PACKED: Mapping[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _open_zstd}
"""How a file is unpacked, by its last suffix."""


def unpack(path: Path, place: str) -> bytes:
    """The content of a packed file. Raises `DataError` where it is damaged, or packed to next to nothing."""
    packed = path.stat().st_size
    try:
        with PACKED[path.suffix.lower()](path) as file:
            content = _bounded(file, _most_unpacked(packed))
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, PermissionError):
            raise
        raise DataError(f"{place} is not a whole packed file ({one_line(error)}): write or fetch it again") from error
    check_unpacked(len(content), packed, place)
    return content


def read_standard_input() -> bytes:
    """What standard input holds to its end."""
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError(
            "data from standard input (-) come through a pipe, and this is a terminal: emjax fit - -k 2 < data.csv"
        )
    content = _bounded(sys.stdin.buffer, MOST_UNPACKED)
    if len(content) > MOST_UNPACKED:
        raise DataError(f"standard input holds more than {MOST_UNPACKED:,} bytes: save the data as a file")
    return content


def check_unpacked(unpacked: int, packed: int, place: str) -> None:
    """Refuse what is packed to next to nothing: it would unpack to any amount of memory."""
    if unpacked > _most_unpacked(packed):
        raise DataError(
            f"{place} would unpack from {packed:,} to {unpacked:,} bytes or more, and beyond {MOST_UNPACKED:,} at most "
            f"{_MOST_PACKED} times its size is read: save the numbers without compression"
        )


def one_line(error: BaseException) -> str:
    """The message of another library's exception on one line, cut after 120 characters."""
    words = " ".join(str(error).split()).rstrip(".")
    text = "".join(letter if letter.isprintable() else "?" for letter in words)
    return text if len(text) <= 120 else text[:117] + "..."


def _most_unpacked(packed: int) -> int:
    return max(MOST_UNPACKED, _MOST_PACKED * packed)


def _bounded(file: IO[bytes], most: int) -> bytes:
    """The content to its end, or one byte more than ``most`` of it."""
    chunks, length = [], 0
    while length <= most and (chunk := file.read(min(1 << 20, most + 1 - length))):
        chunks.append(chunk)
        length += len(chunk)
    return b"".join(chunks)
