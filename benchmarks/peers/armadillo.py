"""Armadillo (C++): `gmm_full` and `gmm_diag` behind a small program that is compiled here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.peers.outside import Outside

_SOURCE = Path(__file__).with_name("armadillo_driver.cpp")


class Armadillo(Outside):
    """float64. A copy elsewhere is found through g++'s own CPLUS_INCLUDE_PATH, LIBRARY_PATH, and LD_LIBRARY_PATH."""

    name = "Armadillo"

    def missing(self) -> str:
        if shutil.which("g++") is None:
            return "not installed: g++"
        found = subprocess.run(
            ["g++", "-fsyntax-only", "-x", "c++", "-"],
            input="#include <armadillo>\n",
            capture_output=True,
            text=True,
            check=False,
        )
        return "not installed: Armadillo's headers (libarmadillo-dev)" if found.returncode else ""

    def version(self) -> str:
        return subprocess.run([*self.command(), "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def command(self) -> list[str]:
        program = self.folder / "driver"
        if not program.exists():
            build = ["g++", "-std=c++14", "-O3", "-march=native", "-DARMA_NO_DEBUG", "-DARMA_DONT_USE_OPENMP"]
            line = [*build, str(_SOURCE), "-o", str(program), "-larmadillo"]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"does not compile: {done.stderr.strip().splitlines()[-1]}")
        return [str(program)]
