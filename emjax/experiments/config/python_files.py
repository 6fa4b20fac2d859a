"""Python files that a config names: the only things in it that run code."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from emjax.errors import ConfigError
from emjax.files import read_regular, user_path
from emjax.jsonable import canonical
from emjax.wording import printable

if TYPE_CHECKING:
    from emjax.mixture import Mixture

_MOST_BYTES = 2**20
"""The largest file that is run."""


def build_from_file(file: str, arguments: Mapping[str, Any]) -> Mixture:
    """The mixture that ``build(**arguments)`` of a Python file returns.

    The file is run once for each content; ``build`` once for each content and arguments.

    Raises ConfigError, with the file and the line, where it cannot be read, cannot be run, has no ``build``, or where
    that returns no `emjax.Mixture`.
    """
    content, sha256 = content_of(file)
    return _build(absolute(file), sha256, content, canonical(arguments))


@functools.lru_cache(maxsize=256)
def _build(file: str, sha256: str, content: bytes, arguments: str) -> Mixture:
    from emjax.mixture import Mixture

    build = getattr(_module(file, sha256, content), "build", None)
    if not callable(build):
        raise ConfigError(f"{printable(file)}: has no function build(); define one that returns an emjax.Mixture")
    try:
        built = build(**json.loads(arguments))
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{_place(file, error)}: build() failed: {_reason(error)}") from None
    if not isinstance(built, Mixture):
        raise ConfigError(f"{printable(file)}: build() returned a {type(built).__name__}, not an emjax.Mixture")
    return built


@functools.lru_cache(maxsize=64)
def _module(file: str, sha256: str, content: bytes) -> ModuleType:
    """Run a model file. What it holds is registered under a name of its own, which dataclasses need."""
    module = ModuleType(f"emjax_model_file_{sha256[:16]}")
    module.__file__ = file
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, file, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise ConfigError(f"{_place(file, error)}: cannot be run: {_reason(error)}") from None
    return module


def content_of(file: str) -> tuple[bytes, str]:
    """The bytes of a model file and their SHA-256."""
    shown = printable(file)
    try:
        content = read_regular(absolute(file), _MOST_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{shown}: no such model file; check model.file") from None
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror}") from None
    return content, hashlib.sha256(content).hexdigest()


def absolute(file: str) -> str:
    return os.path.abspath(user_path(file))


def _place(file: str, error: BaseException) -> str:
    """The file, and the line of it that the error came from."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    return printable(file) + ("" if line is None else f", line {line}")


def _reason(error: BaseException) -> str:
    text = printable(error.msg if isinstance(error, SyntaxError) else error)
    text = text if len(text) <= 160 else text[:157] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
