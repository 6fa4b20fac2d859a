"""What a run ran on: versions, machine, devices, settings and a fingerprint of the data."""

import functools
import hashlib
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from emjax.clock import Moment
from emjax.floats import is_gap
from emjax.threads import usable_cores

PACKAGES = ("emjax", "jax", "jaxlib", "numpy", "scipy", "numpyro", "arviz", "xarray", "h5netcdf", "pydantic")


FORMAT = 1
"""The format of a single run's folder, which its ``environment.json`` says. A newer one is read as far as it can be."""


def provenance(started: Moment) -> dict[str, Any]:
    """When, how long and on what: nothing in it names the machine or its user.

    JAX's devices are told where JAX is loaded already; a job without it should not start its backend.
    """
    return {
        "started": started.text,
        "seconds": started.seconds,
        "versions": dict(_versions()),
        "machine": machine(),
        "devices": devices() if "jax" in sys.modules else [],
    }


@functools.cache
def _versions() -> dict[str, str | None]:
    return versions((*PACKAGES, "scikit-learn", "pyarrow"))


def emjax_version() -> str:
    """Return the version of emjax, or ``unknown`` in a checkout that was never installed."""
    return versions(("emjax",))["emjax"] or "unknown"


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """Return the installed version of each package; None where one is not installed."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def machine() -> dict[str, Any]:
    """Return Python, operating system and processor, without anything that names the machine or its user."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "release": platform.release(),
        "processor": platform.machine(),
        "cpus": usable_cores(),
    }


def devices() -> list[dict[str, Any]]:
    """Return JAX's devices; starts JAX's backend."""
    import jax

    return [{"id": device.id, "platform": device.platform, "kind": device.device_kind} for device in jax.devices()]


def fingerprint(values: Any, weights: Any = None, labels: Any = None) -> str:
    """Return the SHA-256 of a data matrix: its shape and its float64 values, row by row, little-endian.

    The weights of rows and the labels of components follow where there are. The same data give the same fingerprint
    from whatever file or format they were read.
    """
    found = hashlib.sha256()
    for array in (values, weights):
        if array is not None:
            matrix = np.ascontiguousarray(np.asarray(array), dtype="<f8")
            found.update(f"{matrix.shape}".encode() + matrix.tobytes())
    if labels is not None:
        found.update("\0".join(["labels", *map(_written, np.asarray(labels).tolist())]).encode())
    return found.hexdigest()


def _written(label: Any) -> str:
    """A label as text: numbers of any type alike, a gap as nothing, names apart from both."""
    if isinstance(label, list):
        return str(label)
    return "" if is_gap(label) else f"={label}" if isinstance(label, str) else repr(float(label))


def fingerprint_of(dataset: Any) -> str:
    """Return the `fingerprint` of an ``emjax.datasets.Dataset``."""
    labels, levels = dataset.partial_labels, dataset.level_names
    found = fingerprint(dataset.values, dataset.weights, labels)
    # Numbers of levels say nothing without the levels.
    return found if levels is None else hashlib.sha256(f"{found} {levels}".encode()).hexdigest()


def describe_run(
    dataset: Any, *, started: Moment, roles: Mapping[str, float] | None = None, **about: Any
) -> dict[str, Any]:
    """Return the content of ``environment.json`` on an ``emjax.datasets.Dataset``.

    ``roles`` are `emjax.samples.Samples.roles`; ``about`` is said as it is, such as the ``model`` (``family``,
    ``covariance``, ``n_components``), so that nobody has to build a mixture to tell it.
    """
    n_samples, n_features = map(int, dataset.shape)
    data = {"name": dataset.name, "source": dataset.source, "n_samples": n_samples, "n_features": n_features}
    data |= {"feature_names": list(dataset.feature_names), **(roles or {}), "sha256": fingerprint_of(dataset)}
    command = ["emjax", *sys.argv[1:]]
    return {"format": FORMAT, **provenance(started), "devices": devices(), "command": command, **about, "data": data}
