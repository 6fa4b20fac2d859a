"""What a fit or a posterior will take of memory, estimated before anything is allocated.

Per start, parameters are held as they are, as EM's image, as coordinates, and (accelerated) as the last differences of
both, all of them twice while a step is taken. Besides there are the data in blocks; of one block, its sufficient
statistics, and the log density and the responsibility of every component of every start; and the sums of these.

An allocation that fails inside compiled code ends in an abort or in pages of XLA's words, so nothing is left to it.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import jax

from emjax.catalogue import OF_MATRICES
from emjax.em.blocks import block_size, n_statistics
from emjax.errors import DataError
from emjax.families.patterns import FILLED
from emjax.mixture import Mixture

_COPIES = {True: 100, False: 50}
"""Numbers held per free parameter of a start, accelerated or not: 20 starts of 2 full covariances of 300 features took
1.65 GB at their peak."""

_BLOCK_COPIES = 16
"""Numbers held per row of a block, component and start: 20,000 starts of two components in two features took 0.84 GB
more than twenty."""

_MATRICES = 6
"""Numbers held per row of a block, component, start and entry of a covariance matrix, where each row has other cells
missing: 20 starts of three components in ten features took 5.2."""

_HESSIANS = 8
"""Square matrices of all parameters that a Laplace approximation or a set of intervals needs at its peak."""

_DRAW_COPIES = 20
"""Numbers held per free parameter of a draw: 8 chains of 40,000 draws of 11 parameters took 0.5 GB more than short
ones."""

_SHARE = 0.75
"""The share of the memory that an estimate may take: data, the interpreter and its libraries need some too."""


def check_memory(
    mixture: Mixture,
    shape: tuple[int, int],
    n_starts: int,
    *,
    holes: bool = False,
    itemsize: int = 8,
    accelerated: bool = True,
) -> None:
    """Raise `DataError` if the starts of a fit to data of this ``shape`` need more memory than there is.

    ``holes``: whether there are cells that were not observed.
    """

    def needed(n_starts: int, n_components: int = mixture.n_components) -> float:
        other = dataclasses.replace(mixture.likelihood, n_components=n_components)
        return _needed(other, shape, n_starts, itemsize, accelerated, holes)

    there = memory_limit()
    if needed(n_starts) <= there:
        return
    remedies = ["fewer features", *_other_covariance(mixture)] if shape[1] > 1 else []
    if n_starts > 1 and needed(1) <= there:
        remedies.append("fewer starts (n_init=1)")
    elif needed(1, 1) <= there:
        remedies.append("fewer components")
    starts = "1 start" if n_starts == 1 else f"{n_starts} starts"
    raise DataError(
        f"x has {_features(shape[1])}: {starts} of {mixture.n_components} {_described(mixture)} would need about "
        f"{_gigabytes(needed(n_starts))}, and this machine has {_gigabytes(there)} for them: use "
        f"{' or '.join(remedies or ['fewer rows'])}"
    )


def check_draws(mixture: Mixture, n_features: int, n_chains: int, n_draws: int) -> None:
    """Raise `DataError` if so many draws of all parameters do not fit."""
    n_parameters = mixture.n_parameters(n_features)
    needed, there = 8.0 * _DRAW_COPIES * n_chains * n_draws * n_parameters, memory_limit()
    if needed > there:
        raise DataError(
            f"{n_chains} chains of {n_draws:,} draws of {n_parameters:,} parameters would need about "
            f"{_gigabytes(needed)}, and this machine has {_gigabytes(there)} for it: ask for fewer draws or chains"
        )


def check_hessians(mixture: Mixture, n_features: int, *, what: str) -> None:
    """Raise `DataError` if matrices of all parameters by all parameters do not fit; ``what`` needs them."""
    n_parameters = mixture.n_parameters(n_features)
    needed, there = 8.0 * _HESSIANS * n_parameters**2, memory_limit()
    if needed > there:
        raise DataError(
            f"x has {_features(n_features)}: {what} of {mixture.n_components} {_described(mixture)} with "
            f"{n_parameters:,} parameters would need about {_gigabytes(needed)}, and this machine has "
            f"{_gigabytes(there)} for it: use {' or '.join(['fewer features', *_other_covariance(mixture)])}"
        )


def memory_limit() -> float:
    """Bytes that may be taken: of the accelerator's memory, or of the machine's (the container's, the process's)."""
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
    return min(_SHARE * min(limits), _left_to_process())


def _left_to_process() -> float:
    """What a limit of this process (``ulimit -v``) leaves of its address space."""
    try:
        import resource

        allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
        if allowed == resource.RLIM_INFINITY:
            return float("inf")
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError, ValueError):
        return float("inf")
    return max(float(allowed - pages * resource.getpagesize()), 0.0)


def _needed(
    mixture: Mixture, shape: tuple[int, int], n_starts: int, itemsize: int, accelerated: bool, holes: bool
) -> float:
    (n_samples, n_features), family, k = shape, mixture.family, mixture.n_components
    per_start = _COPIES[accelerated] * mixture.n_parameters(n_features)
    statistics = n_statistics(family, n_features) if family.natural else 0
    block = min(n_samples, block_size(mixture, n_features, itemsize, n_starts))
    of_block = float(block) * (statistics + _BLOCK_COPIES * k * n_starts)
    data = float(n_samples) * (n_features + 2)
    if holes:
        data += float(n_samples) * n_features  # which cells were observed
    if holes and family.shares_patterns:
        data = FILLED * (data + float(n_samples) * n_features)  # rows in another order, some of which fill up
        of_block += float(block) * _MATRICES * k * n_starts * n_features**2
    return itemsize * (n_starts * per_start + float(statistics) * 2 * k * n_starts + of_block + data)


def _features(n_features: int) -> str:
    return "1 feature" if n_features == 1 else f"{n_features} features"


def _described(mixture: Mixture) -> str:
    structure = mixture.family.structured
    return f"components with {structure} covariances" if structure else f"{mixture.family.name} components"


def _other_covariance(mixture: Mixture) -> list[str]:
    return ["covariance='diag'"] if mixture.family.structured in OF_MATRICES else []


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.0f} GB" if n_bytes >= 1e10 else f"{n_bytes / 1e9:.1f} GB"
