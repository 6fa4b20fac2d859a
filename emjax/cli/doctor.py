"""What `emjax doctor` finds: versions, devices, precision and the compilation cache."""

from typing import Any

from rich.console import RenderableType

from emjax import compilation_cache as cache
from emjax.cli.tables import terminal_table
from emjax.environment import PACKAGES, devices, machine, versions
from emjax.experiments.execution import runtime
from emjax.table import Cell, Column, Table


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


def findings_table(findings: dict[str, Any]) -> list[RenderableType]:
    """Return what ``doctor`` prints."""
    machine, precision, cache = findings["machine"], findings["precision"], findings["cache"]
    usable = [name for name in ("float64", "float32") if precision[name]]
    state = "on" if cache["enabled"] else cache["problem"] or "off (EMJAX_NO_CACHE)"
    versions = [
        (package, Cell("not installed", mark="bad") if version is None else version)
        for package, version in findings["versions"].items()
    ]
    rows = [
        *versions,
        ("python", f"{machine['python']} ({machine['implementation']})"),
        ("system", f"{machine['system']} {machine['processor']}, {machine['cpus']} cpus"),
        *(("device", f"{one['platform']}:{one['id']}  {one['kind']}") for one in findings["devices"]),
        ("precision", f"{precision['default']} by default; {' and '.join(usable)} work here"),
        ("cache", f"{state}; {cache['files']} files, {cache['bytes'] / 1e6:.1f} MB"),
        ("", cache["folder"]),
    ]
    return terminal_table(Table(("what", Column("found", "word")), rows), header=False)


def _computes(dtype: str) -> bool:
    """Whether the device keeps the last bit of a number of this type."""
    import jax.numpy as jnp

    from emjax.scope import computing

    with computing(dtype == "float64"):
        one = jnp.ones((), dtype)
        return bool((one + jnp.finfo(dtype).eps) - one > 0)
