"""What a run ran on: date, machine, versions; nothing that names the machine or its user."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "torch")


def describe(cores: tuple[int, ...], arguments: Sequence[str]) -> dict[str, str]:
    """The lines at the head of the tables; of ``arguments`` those that name files are left out."""
    versions = [f"{package} {found}" for package, found in installed(_PACKAGES).items()]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{processor()}, {os.cpu_count()} cores, {memory()}, {platform.system()} {platform.machine()}",
        "versions": ", ".join([f"Python {platform.python_version()}", *versions]),
        "command": f"`{' '.join(['python -m benchmarks', *_without_files(arguments)])}`",
        "core": f"one core, unless said otherwise (number {cores[-1]} of this machine)",
        "load": _load(),
    }


def _without_files(arguments: Sequence[str]) -> list[str]:
    kept, skip = [], False
    for argument in arguments:
        names_file = argument.partition("=")[0] in ("--out", "--json")
        if not skip and not names_file:
            kept.append(argument)
        skip = names_file and "=" not in argument
    return kept


def processor() -> str:
    """The processor's name, and whether it has wide registers."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    found = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    wide = "AVX-512" if "avx512f" in found.get("flags", "") else "AVX2" if "avx2" in found.get("flags", "") else ""
    return " ".join([found.get("model name", platform.processor()), *([f"({wide})"] if wide else [])])


def memory() -> str:
    """The machine's memory."""
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f} processes running or waiting when the run began (one minute's average)"


def installed(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
