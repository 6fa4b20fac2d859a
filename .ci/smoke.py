"""What an installation has to be able to do, whatever the versions beside it: `smoke.py [lowest]`, in an empty folder.

It imports, fits, samples, compares, reads every kind of file, and runs the command line on a study with its report.
With `lowest` it ends where a version is not the lowest that pyproject.toml names: such a bound is not the true one.
"""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from packaging.requirements import Requirement
from packaging.version import Version

import emjax
from emjax import datasets

STUDY = """
[data]
kind = "simulate"
weights = [0.5, 0.5]
mean = [0, 4]
scale = [1, 1]
n_samples = 60

[model]
n_components = 2

[[methods]]
kind = "em"

[[methods]]
kind = "gibbs"
draws = 50

[[methods]]
kind = "sklearn"

[sweep]
replicates = 2
"""


def check_library() -> None:
    """Import, fit, sample, compare, and the facade."""
    data = datasets.load("faithful")
    mixture = emjax.Mixture(emjax.Normal(), 2, prior="default")
    fit = emjax.fit(mixture, data, key=jax.random.key(0), throw=True)
    posterior = emjax.sample(mixture, data, key=jax.random.key(1), draws=100)
    comparison = emjax.compare(fit, posterior, data)
    print(comparison.verdict)
    comparison.to_html("page.html")
    from emjax.sklearn import GaussianMixture

    assert GaussianMixture(2, random_state=0).fit(data.values).converged_


def check_readers() -> None:
    """One file of each kind."""
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [1, 2, 3]})
    frame.to_csv("a.csv", index=False)
    frame.to_parquet("a.parquet")
    np.save("a.npy", frame.to_numpy())
    np.savez_compressed("a.npz", x=frame.to_numpy())
    for suffix in ("csv", "parquet", "npy", "npz"):
        assert datasets.load(f"a.{suffix}").values.tolist() == frame.to_numpy().tolist()


def check_command_line() -> None:
    """A comparison, a study with its report, on processes and on Dask."""
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    for arguments in (
        "compare faithful -k 2 --draws 100 --out run",
        "report run",
        "run study.toml --out study",
        "run study.toml --out study-dask --scheduler local:1",
        "report study",
        "ls .",
        "show study",
        "diff study study-dask",
        "schema --study",
        "doctor",
    ):
        print(f"$ emjax {arguments}", flush=True)
        subprocess.run([sys.executable, "-m", "emjax", *arguments.split()], check=True, stdout=subprocess.DEVNULL)


def check_versions() -> list[str]:
    """Complaints about versions that are not the lowest that are asked for."""
    complaints = []
    for requirement in map(Requirement, requires("emjax") or ()):
        try:
            found = Version(version(requirement.name))
        except PackageNotFoundError:
            continue  # of an extra that is not installed
        (least,) = (bound.version for bound in requirement.specifier)
        print(f"{requirement.name} {found}")
        if found != Version(least):
            complaints.append(f"{requirement.name}>={least} comes to {found}: raise its bound in pyproject.toml")
    return complaints


def main(arguments: list[str]) -> None:
    """Run the checks."""
    complaints = check_versions()
    if arguments == ["lowest"] and complaints:
        sys.exit("\n".join(complaints))
    check_library()
    check_readers()
    check_command_line()


if __name__ == "__main__":
    main(sys.argv[1:])
