"""The one door through which the content of a folder is read.

A folder may be damaged, newer than this emjax, or written by somebody who means harm. What comes through here is
data: a regular file of bounded size, plain values of bounded depth, in the shape that the reader needs. Everything else
is one `ConfigError` of one line that names the file, so the code behind the door need not ask again. Nothing is run.
"""

import errno
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from emjax.errors import ConfigError
from emjax.experiments.config import positions
from emjax.files import NotRegularError, read_regular, regular_size
from emjax.wording import printable

MOST_BYTES = 2**27
"""The largest JSON file that is read: the declaration of a study of 200,000 jobs is half of it."""

MOST_BYTES_TOML = 2**22
"""The largest TOML file that is read: a sweep of 100,000 values is a quarter of it."""

DEEPEST = 64
"""How deep values may be nested; what emjax writes is a quarter of it. Readers may recurse that deep."""

LARGEST = 2**63
"""Whole numbers are smaller than this: they fit 64 bits and turn into floats."""


class DamagedError(ConfigError):
    """A file of a folder is not what emjax wrote."""


class MissingError(DamagedError):
    """A file of a folder is not there."""


class NewerError(DamagedError):
    """A newer emjax wrote a file, in a way that this one cannot read."""


class UnreadableError(DamagedError):
    """A file of a folder is there, and the system does not let it be read: nobody knows what it holds."""


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file, wherever a link leads. Never waits, as a pipe would make it.

    Raises MissingError and DamagedError.
    """
    shown = printable(path)
    try:
        return read_regular(path, most)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingError(f"{shown}: is missing") from None
    except (IsADirectoryError, NotRegularError):
        raise DamagedError(f"{shown}: is no file; emjax wrote one here") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise DamagedError(f"{shown}: {error.strerror}, more than emjax ever writes here") from None
        raise UnreadableError(f"{shown}: cannot be read: {error.strerror}") from None


def read_json(path: Path, content: bytes | None = None) -> Any:
    """The value of a JSON file: finite numbers, bounded in depth. Raises MissingError and DamagedError.

    ``content`` is that of the file where it has been read already.
    """
    content = read_bytes(path) if content is None else content
    return _parsed(path, lambda: json.loads(content, parse_constant=_refuse_constant))


def read_toml(path: Path) -> dict[str, Any]:
    """The tree of a TOML file, bounded as in `read_json`. Raises MissingError and DamagedError."""
    content = read_bytes(path, MOST_BYTES_TOML)
    found: dict[str, Any] = _parsed(path, lambda: positions.read_toml(content.decode("utf-8").replace("\r\n", "\n")))
    return found


def _parsed(path: Path, parse: Callable[[], Any]) -> Any:
    try:
        return _plain(parse(), path)
    except RecursionError:
        raise damaged(path, "nested too deeply") from None
    except DamagedError:
        raise
    except ValueError as error:
        raise damaged(path, error) from None


def checked(value: Any, shape: type[BaseModel], path: Path) -> Any:
    """The value itself, if it has the shape that its readers rely on. Raises DamagedError."""
    try:
        shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise damaged(path, f"{place[:80]}: {first['msg']}" if place else first["msg"]) from None
    return value


def damaged(path: Path, problem: object) -> DamagedError:
    """One line on a file that is not what emjax wrote."""
    words = printable(problem)
    return DamagedError(f"{printable(path)}: damaged: {words if len(words) <= 200 else words[:197] + '...'}")


def newer_note(path: Path, document: Any, known: int) -> str | None:
    """A sentence if a document says that it has a newer format than ``known``, else None."""
    found = document.get("format") if isinstance(document, Mapping) else None
    if type(found) is int and found > known:
        return f"{printable(path)}: written by a newer emjax (format {found}; this one knows {known}); update emjax"
    return None


def is_file(path: Path) -> bool:
    """Whether a regular file lies there, or a link that leads to one; what cannot be told is none."""
    with suppress(OSError):
        return regular_size(path) >= 0
    return False


@contextmanager
def looking(path: Path) -> Iterator[None]:
    """Turn an OSError of the block (a folder that cannot be read) into one ConfigError line about ``path``."""
    try:
        yield
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else path
        raise ConfigError(f"{printable(place)}: cannot be read: {printable(error.strerror or error)}") from None


def _plain(value: Any, path: Path) -> Any:
    """The value, if it is what JSON can say and no reader chokes on. Iterative: it may be nested without end."""
    level = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for entry in level:
            match entry:
                case dict():
                    below.extend(entry.values())
                case list():
                    below.extend(entry)
                case float() if not math.isfinite(entry):
                    raise damaged(path, "a number is not finite")
                case bool() | str() | float() | None:
                    pass
                case int() if abs(entry) < LARGEST:
                    pass
                case int():
                    raise damaged(path, "a number has more than 18 digits")
                case _:
                    raise damaged(path, f"holds a {type(entry).__name__}, which emjax never writes")
        if not below:
            return value
        level = below
    raise damaged(path, "nested too deeply")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
