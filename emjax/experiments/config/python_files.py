"""Python files that a config names: the only things in it that run code."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from emjax.errors import ConfigError
from emjax.files import read_regular, user_path
from emjax.jsonable import canonical
from emjax.nearest import suggestion
from emjax.wording import printable

if TYPE_CHECKING:
    from emjax.mixture import Mixture

GROUPS = {"generator": "emjax.generators", "method": "emjax.methods", "measure": "emjax.measures"}
"""The groups of entry points under which packages offer parts of studies."""

_KEYS = {
    "model": "model.file",
    "program": "model.program",
    "generator": "data.generator",
    "method": "methods.file",
    "measure": "measures.file",
}

_MOST_BYTES = 2**20
"""The largest file that is run."""


def build_from_file(file: str, arguments: Mapping[str, Any], expected: str | None = None) -> Mixture:
    """The mixture that ``build(**arguments)`` of a Python file returns.

    The file is run once for each content; ``build`` once for each content and arguments.

    Raises ConfigError, with the file and the line, where it cannot be read, is not of the ``expected`` hash, cannot be
    run, has no ``build``, or where that returns no `emjax.Mixture`.
    """
    build = function_in(file, "model", "build", "define one that returns an emjax.Mixture", expected)
    return _built(build, absolute(file), canonical(arguments))


@functools.lru_cache(maxsize=256)
def _built(build: Callable[..., Any], file: str, arguments: str) -> Mixture:
    from emjax.mixture import Mixture

    built = called(build, file, **json.loads(arguments))
    if not isinstance(built, Mixture):
        raise ConfigError(f"{printable(file)}: build() returned a {type(built).__name__}, not an emjax.Mixture")
    return built


def resolved_part(part: Any) -> dict[str, str]:
    """Which function a part means and what it is, as it stands in the spec of a job.

    ``file`` (its absolute path) or ``entry_point``, with ``function`` or what the entry point names, and ``sha256`` of
    the content of the file that the function stands in. Nothing is run.

    Raises ConfigError where there is no such file, no such name, or nothing of the function's name in the file.
    """
    if part.file is not None:
        content, sha256 = content_of(part.file, part.what)
        function = part.function or part.default_function
        _check_names(part.file, content, function)
        return {"file": absolute(part.file), "function": function, "sha256": sha256}
    from importlib.util import find_spec

    offered = _entry_point(part.entry_point, part.what)

    try:
        home = find_spec(offered.module)
    except (ImportError, ValueError):
        home = None
    if home is None or home.origin is None or not os.path.isfile(home.origin):
        raise ConfigError(f"{part.what} {printable(part.entry_point)!r}: its module {offered.module} is not there")
    return {
        "entry_point": part.entry_point,
        "function": offered.value,
        "sha256": content_of(home.origin, part.what)[1],
    }


def function_of(section: Mapping[str, Any], what: str) -> tuple[Callable[..., Any], str]:
    """The function that a section of a spec names (see `resolved_part`), and the file that errors are told of.

    Raises ConfigError where it cannot be had, and where its file has changed since the study was planned.
    """
    if "entry_point" in section:
        name = section["entry_point"]
        try:
            function = _entry_point(name, what).load()
        except (Exception, SystemExit) as error:
            raise ConfigError(f"{what} {printable(name)!r} cannot be loaded: {_reason(error)}") from None
        if not callable(function):
            raise ConfigError(f"{what} {printable(name)!r} is no function, but a {type(function).__name__}")
        code = getattr(function, "__code__", None)
        return function, printable(name) if code is None else code.co_filename
    found = function_in(section["file"], what, section["function"], _NAME_ANOTHER, section.get("sha256"))
    return found, absolute(section["file"])


def _entry_point(name: str, what: str) -> Any:
    from importlib.metadata import entry_points

    group = GROUPS[what]
    offered = entry_points(group=group)
    for entry in offered:
        if entry.name == name:
            return entry
    names = sorted(entry.name for entry in offered)
    raise ConfigError(
        f"{printable(name)!r}: no installed package offers it in {group}"
        + (f" ({suggestion(name, names)})" if names else "; a file's name ends in .py")
    )


_ANY_NAME = {"*", "exec", "globals", "setattr", "vars", "__getattr__"}
"""Where one of these stands in a file, only running it tells which names it gives."""


def _check_names(file: str, content: bytes, function: str) -> None:
    """Refuse a file that cannot be read as Python, or that nowhere gives anything the function's name; runs nothing."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ConfigError(f"{_place(file, error)}: cannot be run: {_reason(error)}") from None
    names = {getattr(node, key, None) for node in ast.walk(tree) for key in ("name", "id", "asname")}
    if function not in names and _ANY_NAME.isdisjoint(names):
        there = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        others = f" ({suggestion(function, there)})" if there else ""
        raise ConfigError(f"{_lacks(file, function)}; {_NAME_ANOTHER}{others}")


def function_in(file: str, what: str, name: str, remedy: str, expected: str | None = None) -> Callable[..., Any]:
    """A function of a Python file, which is run, once for each content.

    Raises ConfigError where it cannot be read or run, its content is not of the ``expected`` hash, or, with the
    ``remedy``, where it has no such function.
    """
    content, sha256 = content_of(file, what)
    if expected not in (None, sha256):
        raise ConfigError(f"{printable(file)}: has changed since the study was planned; run the study again")
    path = absolute(file)
    found: Callable[..., Any] | None = getattr(_module(path, sha256, content), name, None)
    if not callable(found):
        raise ConfigError(f"{_lacks(path, name)}; {remedy}")
    return found


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """What a user's function takes; anything, where it does not say."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return inspect.signature(lambda *_, **__: None)


_NAME_ANOTHER = "define it, or name another with function"


def _lacks(file: str, function: str) -> str:
    return f"{printable(file)}: has no function {printable(function)}()"


def called(function: Callable[..., Any], file: str, /, *given: Any, **arguments: Any) -> Any:
    """What a user's function returns. Raises ConfigError with the file, the line and the reason where it fails."""
    try:
        return function(*given, **arguments)
    except (Exception, SystemExit) as error:
        name = getattr(function, "__name__", "it")
        raise ConfigError(f"{_place(file, error)}: {name}() failed: {_reason(error)}") from None


@functools.lru_cache(maxsize=64)
def _module(file: str, sha256: str, content: bytes) -> ModuleType:
    """Run a file. What it holds is registered under a name of its own, which dataclasses need."""
    module = ModuleType(f"emjax_file_{sha256[:16]}")
    module.__file__ = file
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, file, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise ConfigError(f"{_place(file, error)}: cannot be run: {_reason(error)}") from None
    return module


def content_of(file: str, what: str = "model") -> tuple[bytes, str]:
    """The bytes of a file and their SHA-256; ``what`` is in it, for the message where there is none."""
    shown = printable(file)
    try:
        content = read_regular(absolute(file), _MOST_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{shown}: no such {what} file; check {_KEYS.get(what, what)}") from None
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror}") from None
    return content, hashlib.sha256(content).hexdigest()


def absolute(file: str) -> str:
    """The path of a file that a config names, from the root on."""
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
