"""What `emjax doctor` finds: versions, devices, precision and the compilation cache."""

from typing import Any

from emjax import compilation_cache as cache
from emjax.environment import PACKAGES, devices, machine, versions
from emjax.experiments.execution import runtime


def examine() -> dict[str, Any]:
    """Return the findings, as printed by ``emjax doctor --json``.

    Keys: ``versions`` (package to version, null where not installed), ``machine``, ``devices``, ``precision``
    (``default``, and ``float64`` or ``float32``: whether a device really computes in it) and ``cache``
    (``folder``, ``enabled``, ``files``, ``bytes``, ``problem``).
    """
    problem = runtime.configure()
    n_files, n_bytes = cache.cache_size()
    return {
        "versions": versions((*PACKAGES, "typer", "rich", "matplotlib", "pyarrow")),
        "machine": machine(),
        "devices": devices(),
        "precision": {"default": "float64", "float64": _computes("float64"), "float32": _computes("float32")},
        "cache": {
            "folder": str(cache.cache_folder()),
            "enabled": cache.cache_wanted() and problem is None,
            "files": n_files,
            "bytes": n_bytes,
            "problem": problem,
        },
    }


def _computes(dtype: str) -> bool:
    """Whether the device keeps the last bit of a number of this type."""
    import jax.numpy as jnp

    from emjax.scope import computing

    with computing(dtype == "float64"):
        one = jnp.ones((), dtype)
        return bool((one + jnp.finfo(dtype).eps) - one > 0)
