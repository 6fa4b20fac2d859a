"""What the command line sets up before JAX starts: the compilation cache and the number of CPU devices.

Only the command line calls this; `import emjax` changes no setting of JAX.
"""

import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

from emjax.bounds import whole
from emjax.experiments.nearest import printable
from emjax.files import user_path

CACHE_FOLDER_VARIABLE = "EMJAX_CACHE_DIR"
NO_CACHE_VARIABLE = "EMJAX_NO_CACHE"
CPU_DEVICES_VARIABLE = "EMJAX_CPU_DEVICES"

_ROOM_FOR_PROGRAMS = 100_000
"""Bytes that a cache has to have left to be of use: a program takes some ten thousand."""

_CACHE_TROUBLE = re.compile("Error (reading|writing) persistent compilation cache entry")


def cache_folder() -> Path:
    """Return where compiled programs are kept: ``$EMJAX_CACHE_DIR``, else the user's cache folder."""
    chosen = os.environ.get(CACHE_FOLDER_VARIABLE)
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


def configure(*, cache: bool = True) -> str | None:
    """Set up JAX for a run of the command line; call before anything is computed.

    Turns on the persistent compilation cache, also for programs that compile fast, because a run is made of
    many of them: a second run with the same shapes then starts in about half the time. Returns one line that
    says why the cache is off although it was wanted (its folder cannot be written), else None.

    Raises ConfigError when ``EMJAX_CPU_DEVICES`` is not a whole number from 1 to 1,024.
    """
    import jax

    devices = os.environ.get(CPU_DEVICES_VARIABLE)
    if devices:
        n_devices = int(devices) if devices.isdecimal() and len(devices) <= 9 else devices
        jax.config.update("jax_num_cpu_devices", whole("workers", n_devices, shown=CPU_DEVICES_VARIABLE))
    return _configure_cache(cache)


def _configure_cache(cache: bool) -> str | None:
    import jax

    if not (cache and cache_wanted()):
        return None
    folder = cache_folder()
    problem = _problem_of(folder)
    if problem is not None:
        return f"no compilation cache in {folder}: {problem}; set {CACHE_FOLDER_VARIABLE} to another folder"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return None


def configure_ahead(*, cache: bool = True) -> None:
    """Say by environment variables what `configure` sets, for a process that imports JAX later or never.

    Importing JAX takes a second, and a process that runs other methods does not need it. Where JAX is imported
    already, only the cache is set: the devices cannot be changed once JAX computes. A cache folder that cannot be
    written is done without.
    """
    if not (cache and cache_wanted()):
        return
    if "jax" in sys.modules:
        _configure_cache(cache)
        return
    folder = cache_folder()
    if _problem_of(folder) is None:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def one_line_warnings(*, show: bool) -> None:
    """Give Python's warnings one line on stderr instead of a path and a line of source, or none at all.

    What JAX says about its cache for every program that it cannot keep or read is said once.
    """
    if not show:
        warnings.simplefilter("ignore")
    cache_troubles = []

    def one_line(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        text = printable(message)
        if _CACHE_TROUBLE.match(text):
            cache_troubles.append(text)
            if len(cache_troubles) > 1:
                return ""
            reason = printable(text.rpartition("': ")[2])
            text = (
                f"the compilation cache {printable(cache_folder())} is of no use to some programs, which are compiled "
                f"again ({reason}); make room there, or delete it if it is damaged"
            )
        return f"emjax: warning: {text}\n"

    warnings.formatwarning = one_line


def _problem_of(folder: Path) -> str | None:
    """Return why nothing can be written in a folder, or None; makes the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_ROOM_FOR_PROGRAMS))
            file.flush()
            return None
    except OSError as error:
        return error.strerror or "cannot be written"
