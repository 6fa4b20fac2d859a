"""The cases of the reference posteriors: their data, and how long their runs are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
DATASETS = HERE.parents[2] / "emjax" / "datasets"
SEED = 20261120


@dataclasses.dataclass(frozen=True)
class Case:
    """One posterior: data, number of components, and how long the runs are.

    ``temper_weights`` says whether the weights share the exponent of the densities (``g = b``) or keep ``g = 1``.
    """

    name: str
    file: Path
    columns: tuple[int, ...]
    n_components: int
    betas: tuple[float, ...]
    temper_weights: bool = False
    ordered: bool = False
    chains: int = 64
    warmup: int = 300
    pilot: int = 700
    sweeps: int = 1000
    labellings: int = 100
    importance_draws: int = 50_000

    def data(self) -> np.ndarray:
        """The data ``(n, d)``."""
        return np.loadtxt(self.file, delimiter=",", skiprows=1, usecols=self.columns, ndmin=2)

    @property
    def rungs(self) -> np.ndarray:
        """The exponents ``(b, g)`` of each rung, ``(2, rungs)``."""
        betas = np.array(self.betas)
        return np.stack([betas, betas if self.temper_weights else np.ones_like(betas)])


def ladder(n_rungs: int, power: float, lowest: float = 0.0) -> tuple[float, ...]:
    """Exponents from 1 down to ``lowest``, denser towards it for a larger power."""
    return tuple((lowest + (1 - lowest) * np.linspace(1, 0, n_rungs) ** power).round(6).tolist())


CASES = {
    case.name: case
    for case in (
        Case("faithful", DATASETS / "faithful.csv", (0,), 2, ladder(6, 1.5, 0.1), ordered=True),
        Case("galaxies", DATASETS / "galaxies.csv", (0,), 3, ladder(16, 1.5, 0.05)),
        Case(
            "iris",
            DATASETS / "iris.csv",
            (0, 1, 2, 3),
            3,
            ladder(24, 2.0),
            temper_weights=True,
            sweeps=1200,
            labellings=500,
        ),
        Case("overlapping", HERE / "overlapping.csv", (0,), 3, (1.0,), pilot=5000, sweeps=2200, labellings=400),
    )
}


def simulate_overlapping() -> np.ndarray:
    """300 points of three normals with standard deviation 1 whose means are 1.5 apart."""
    rng = np.random.default_rng(SEED)
    labels = rng.choice(3, size=300, p=[0.3, 0.4, 0.3])
    return np.array([0.0, 1.5, 3.0])[labels] + rng.standard_normal(300)
