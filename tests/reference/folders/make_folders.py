"""Makes the folders beside it: small runs and a small study, as emjax writes them, for tests that damage copies.

    uv run python tests/reference/folders/make_folders.py

Draws and the page of the comparison are left out, because looking at a run does not read them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MACHINE = {"python": "3.12.1", "implementation": "CPython", "system": "Linux", "release": "6", "processor": "x86_64"}
SAMPLER = ("--chains", "2", "--warmup", "150", "--draws", "150")
STUDY = """
title = "Two components"
question = "Is EM enough where they overlap?"
seed = 1
[data]
kind = "simulate"
weights = [0.4, 0.6]
mean = [[-1.0], [1.5]]
scale = [[1.0], [0.7]]
holdout = 50
[model]
n_components = 2
[[methods]]
kind = "em"
n_init = 4
[[methods]]
kind = "laplace"
verdict = true
[sweep]
replicates = 4
[sweep.grid]
"data.n_samples" = [60, 120]
[execution]
batch = 2
"""


def emjax(*arguments: str, codes: tuple[int, ...] = (0, 3)) -> None:
    done = subprocess.run([sys.executable, "-m", "emjax", *arguments], env={**os.environ, "EMJAX_NO_CACHE": "1"})
    if done.returncode not in codes:
        raise SystemExit(done.returncode)


def make_neutral(path: Path) -> None:
    """Take out of a document what says on which machine it was made."""
    document = json.loads(path.read_text())
    document.get("provenance", document)["machine"] = MACHINE
    path.write_text(json.dumps(document, indent=1) + "\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        emjax("fit", "faithful", "-k", "2", "--n-init", "5", "--out", "fit")
        emjax("sample", "faithful", "-k", "2", *SAMPLER, "--method", "hmc", "--out", "sample")
        emjax("compare", "galaxies", "-k", "2", *SAMPLER, "--method", "hmc", "--out", "compare")
        Path("study.toml").write_text(STUDY)
        emjax("run", "study.toml", "--out", "study")
        for name in ("*/environment.json", "study/study.json", "study/jobs/*/job.json"):
            for path in Path().glob(name):
                make_neutral(path)
        for name in ("sample/posterior.nc", "compare/posterior.nc", "compare/report.html"):
            Path(name).write_text("left out\n")
        shutil.rmtree("study/locks")
        for name in ("fit", "sample", "compare", "study"):
            shutil.rmtree(HERE / name, ignore_errors=True)
            shutil.copytree(name, HERE / name)


if __name__ == "__main__":
    main()
