"""What the command line sets up before JAX starts: the compilation cache and the number of CPU devices.

Only the command line calls this; `import emjax` changes no setting of JAX.
"""

import os
import re
import warnings

from emjax.bounds import whole
from emjax.compilation_cache import CACHE_FOLDER_VARIABLE, cache_folder, cache_wanted, use_folder
from emjax.wording import printable

CPU_DEVICES_VARIABLE = "EMJAX_CPU_DEVICES"

_CACHE_TROUBLE = re.compile("Error (reading|writing) persistent compilation cache entry")


def configure(*, cache: bool = True) -> str | None:
    """Set up JAX for a run of the command line; call before anything is computed.

    Turns on the persistent compilation cache: a second run with the same shapes then starts in about half the time.
    Returns one line that says why the cache is off although it was wanted (its folder cannot be written), else None.

    Raises ConfigError when ``EMJAX_CPU_DEVICES`` is not a whole number from 1 to 1,024.
    """
    import jax

    devices = os.environ.get(CPU_DEVICES_VARIABLE)
    if devices:
        n_devices = int(devices) if devices.isdecimal() and len(devices) <= 9 else devices
        jax.config.update("jax_num_cpu_devices", whole("workers", n_devices, shown=CPU_DEVICES_VARIABLE))
    return configure_ahead(cache=cache)


def configure_ahead(*, cache: bool = True) -> str | None:
    """Turn the cache on in a process that may import JAX later or never: without JAX, by environment variables.

    A cache folder that cannot be written is done without, for the reason that is returned.
    """
    if not (cache and cache_wanted()):
        return None
    folder = cache_folder()
    problem = use_folder(folder)
    return problem and f"no compilation cache in {folder}: {problem}; set {CACHE_FOLDER_VARIABLE} to another folder"


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
