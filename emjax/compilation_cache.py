"""The folder in which compiled programs outlive the process, for Python by one call and for the command line.

`import emjax` changes no setting of JAX; who calls `enable_compilation_cache` or uses the command line asks for two.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from emjax.files import user_path

CACHE_FOLDER_VARIABLE = "EMJAX_CACHE_DIR"
NO_CACHE_VARIABLE = "EMJAX_NO_CACHE"

_FOLDER = "jax_compilation_cache_dir"
_LEAST_SECONDS = "jax_persistent_cache_min_compile_time_secs"
_JAX_LEAST_SECONDS = 1.0

_ROOM_FOR_PROGRAMS = 100_000
"""Bytes that a cache has to have left to be of use: a program takes some ten thousand."""


def enable_compilation_cache(folder: str | os.PathLike[str] | None = None) -> Path | None:
    """Keep the programs that JAX compiles from now on in a folder, so that the next process need not compile them.

    Numbers do not change. Of JAX's settings, ``jax_compilation_cache_dir`` becomes the folder, and
    ``jax_persistent_cache_min_compile_time_secs`` 0, because most programs compile in less than JAX's limit of a
    second; a limit that you have set yourself stays. Both hold for everything that this process compiles.

    Parameters
    ----------
    folder
        By default ``$EMJAX_CACHE_DIR``, else the folder that JAX has already been told
        (``JAX_COMPILATION_CACHE_DIR``), else the user's cache folder, which the command line uses too.

    Returns
    -------
    Path or None
        The folder. None, after one line of warning, where it cannot be written, is full, or where another user could
        write in it, whose programs would be run; None without a word where ``EMJAX_NO_CACHE=1`` says so.
    """
    if not cache_wanted():
        return None
    chosen = cache_folder() if folder is None else user_path(folder).absolute()
    problem = use_folder(chosen)
    if problem is not None:
        warnings.warn(f"no compilation cache in {chosen}: {problem}; give another folder", stacklevel=2)
        return None
    return chosen


def cache_folder() -> Path:
    """Where compiled programs are kept: ``$EMJAX_CACHE_DIR``, else JAX's own setting, else the user's cache folder."""
    jax = sys.modules.get("jax")
    told = os.environ.get("JAX_COMPILATION_CACHE_DIR") if jax is None else getattr(jax.config, _FOLDER)
    chosen = os.environ.get(CACHE_FOLDER_VARIABLE) or told
    if chosen:
        return user_path(chosen).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("emjax", appauthor=False)) / "jax"


def cache_wanted() -> bool:
    """Whether compiled programs are kept between processes; ``EMJAX_NO_CACHE=1`` says no."""
    return os.environ.get(NO_CACHE_VARIABLE, "").lower() in ("", "0", "false", "no")


def cache_size() -> tuple[int, int]:
    """Return the number of files in the cache folder and their bytes together; (0, 0) where there is none."""
    sizes = [path.stat().st_size for path in cache_folder().rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def use_folder(folder: Path) -> str | None:
    """Have this process keep its programs in a folder, or say in some words why it cannot."""
    problem = _problem_of(folder)
    if problem is not None:
        return problem
    if "jax" not in sys.modules:
        # Importing JAX takes a second, and not every process needs it: it reads these when it is imported.
        os.environ[_FOLDER.upper()] = str(folder)
        os.environ.setdefault(_LEAST_SECONDS.upper(), "0")
        return None
    import jax

    before: Any = getattr(jax.config, _FOLDER)
    jax.config.update(_FOLDER, str(folder))
    if before not in (None, str(folder)):
        # JAX has opened the other folder, and looks at its setting only then.
        from jax.experimental.compilation_cache.compilation_cache import reset_cache

        reset_cache()
    if getattr(jax.config, _LEAST_SECONDS) == _JAX_LEAST_SECONDS and _LEAST_SECONDS.upper() not in os.environ:
        jax.config.update(_LEAST_SECONDS, 0.0)
    return None


def _problem_of(folder: Path) -> str | None:
    """Return why nothing should be written in a folder, or None; makes the folder."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
            return "it belongs to another user, whose programs would be run"
        if os.name == "posix" and status.st_mode & 0o002:
            return "everybody may write there, and their programs would be run"
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_ROOM_FOR_PROGRAMS))
            file.flush()
            return None
    except OSError as error:
        return error.strerror or "cannot be written"
