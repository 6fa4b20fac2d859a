"""mclust (R): models V, VVV and VVI behind a small script."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.peers.outside import Outside

_SCRIPT = Path(__file__).with_name("mclust_driver.R")


class Mclust(Outside):
    """float64."""

    name = "mclust"

    def missing(self) -> str:
        if shutil.which("Rscript") is None:
            return "not installed: R"
        return "" if self._ask() else "not installed: the R package mclust (r-cran-mclust)"

    def version(self) -> str:
        return self._ask()

    def command(self) -> list[str]:
        return ["Rscript", "--vanilla", str(_SCRIPT)]

    def _ask(self) -> str:
        line = ["Rscript", "--vanilla", "-e", "cat(format(packageVersion('mclust')))"]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        return "" if done.returncode else done.stdout.strip()
