"""What a fit will take of memory, estimated before anything is allocated.

Per start, parameters are held as they are, as EM's image, as coordinates, and (accelerated) as the last differences of
both, all of them twice while a step is taken; besides there are the sufficient statistics of a block of rows, and their
sums for every component of every start.
"""

from __future__ import annotations

import os
from pathlib import Path

import jax

from emjax.em.blocks import SMALLEST_BLOCK, n_statistics
from emjax.errors import DataError
from emjax.mixture import Mixture

_COPIES = {True: 100, False: 50}
"""Numbers held per free parameter of a start, accelerated or not: 20 starts of 2 full covariances of 300 features took
1.65 GB at their peak."""

_HESSIANS = 8
"""Square matrices of all parameters that a Laplace approximation or a set of intervals needs at its peak."""

_SHARE = 0.75
"""The share of the memory that an estimate may take: data, the interpreter and its libraries need some too."""


def check_memory(
    mixture: Mixture, n_features: int, n_starts: int, *, itemsize: int = 8, accelerated: bool = True
) -> None:
    """Raise `DataError` if the starts of a fit need more memory than there is."""
    needed, there = _needed(mixture, n_features, n_starts, itemsize, accelerated), memory_limit()
    if needed <= there:
        return
    remedies = ["fewer features", *_other_covariance(mixture)]
    if n_starts > 1 and _needed(mixture, n_features, 1, itemsize, accelerated) <= there:
        remedies.append("fewer starts (n_init=1)")
    starts = "1 start" if n_starts == 1 else f"{n_starts} starts"
    raise DataError(
        f"x has {n_features} features: {starts} of {mixture.n_components} {_described(mixture)} would need about "
        f"{_gigabytes(needed)}, and this machine has {_gigabytes(there)} for them: use {' or '.join(remedies)}"
    )


def check_hessians(mixture: Mixture, n_features: int, *, what: str) -> None:
    """Raise `DataError` if matrices of all parameters by all parameters do not fit; ``what`` needs them."""
    n_parameters = mixture.n_parameters(n_features)
    needed, there = 8.0 * _HESSIANS * n_parameters**2, memory_limit()
    if needed > there:
        raise DataError(
            f"x has {n_features} features: {what} of {mixture.n_components} {_described(mixture)} with "
            f"{n_parameters:,} parameters would need about {_gigabytes(needed)}, and this machine has "
            f"{_gigabytes(there)} for it: use {' or '.join(['fewer features', *_other_covariance(mixture)])}"
        )


def memory_limit() -> float:
    """Bytes that may be taken: of the accelerator's memory, or of the machine's (or the container's)."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return _SHARE * stats.get("bytes_limit", float("inf"))
    limits = [float("inf")]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"))
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(float(Path(place).read_text()))
        except (OSError, ValueError):
            continue  # no such control group, or no limit ("max")
    return _SHARE * min(limits)


def _needed(mixture: Mixture, n_features: int, n_starts: int, itemsize: int, accelerated: bool) -> float:
    family, k = mixture.family, mixture.n_components
    per_start = _COPIES[accelerated] * mixture.n_parameters(n_features)
    statistics = n_statistics(family, n_features) if family.natural else 0
    return itemsize * (n_starts * per_start + float(statistics) * (2 * k * n_starts + SMALLEST_BLOCK))


def _described(mixture: Mixture) -> str:
    covariance = getattr(mixture.family, "covariance", "")
    return f"components with {covariance} covariances" if covariance else f"{mixture.family.name} components"


def _other_covariance(mixture: Mixture) -> list[str]:
    return ["covariance='diag'"] if getattr(mixture.family, "covariance", "") in ("full", "tied") else []


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.0f} GB" if n_bytes >= 1e10 else f"{n_bytes / 1e9:.1f} GB"
