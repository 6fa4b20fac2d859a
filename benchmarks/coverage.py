"""How often intervals hold the truth: every method of `Fit.intervals`, at four levels, over many simulated data sets.

Data sets of one cell share compiled programs. Components are numbered as the truth's by the rows they share. What has
been measured is kept, a line of JSON per batch, so that a run can be stopped and goes on from there:

    python -m benchmarks.coverage runs/coverage.jsonl [--sets 2000] [--resampled 200] [--minutes 60]

``--cell WORDS`` takes the cells with these words in their names; ``--table`` measures nothing and prints the table of
docs/verdict.md.
"""

import argparse
import dataclasses
import json
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import emjax
from benchmarks.coverage_tables import DEFAULT, LEVELS, Cell, tables
from emjax import align
from emjax.compilation_cache import enable_compilation_cache
from emjax.datasets.laws import MixtureLaw, normal_law, poisson_law
from emjax.em.many import fit_many
from emjax.result import Fit
from emjax.uncertainty import at_level, information
from emjax.uncertainty.curves import reach_of
from emjax.uncertainty.profile import problem_of_rows
from emjax.uncertainty.resampling import SCHEMES
from emjax.uncertainty.results import Intervals, IntervalStatus

QUICK = ("information", "sandwich", "profile")
REPLICATES = 400
"""Of the resampling methods; two tails of 95% hold ten each."""

_BATCH = {QUICK: 50, SCHEMES: 10}


def two_normals(distance: float, n: int, share: float) -> Cell:
    """Two normals of unit deviation."""
    law = normal_law(weights=[share, 1 - share], mean=[0.0, distance], scale=[1.0, 1.0])
    return Cell(
        f"two normals {distance:g} sd apart, share {share:g}, n = {n}", n, law, emjax.Mixture(emjax.Normal(), 2)
    )


def cells() -> tuple[Cell, ...]:
    """What is simulated."""
    three = normal_law(weights=[1 / 3, 1 / 3, 1 / 3], mean=[0.0, 3.0, 6.0], scale=[1.0, 1.0, 1.0])
    plane = normal_law(weights=[0.5, 0.5], mean=[[0.0, 0.0], [3.0, 0.0]], covariance=[np.eye(2), np.eye(2)])
    counts = poisson_law(weights=[0.5, 0.5], rate=[2.0, 9.0])
    near = poisson_law(weights=[0.3, 0.7], rate=[2.0, 5.0])
    return (
        *(two_normals(d, n, share) for d in (4.0, 3.0, 2.0) for n in (200, 1000) for share in (0.5, 0.1)),
        two_normals(4.0, 300, 0.05),
        Cell("three normals 3 sd apart, n = 600", 600, three, emjax.Mixture(emjax.Normal(), 3)),
        Cell("two normals in 2 dimensions 3 sd apart, n = 400", 400, plane, emjax.Mixture(emjax.Normal(), 2)),
        Cell("two Poisson, rates 2 and 9, n = 200", 200, counts, emjax.Mixture(emjax.Poisson(), 2)),
        Cell("two Poisson, rates 2 and 5, share 0.3, n = 1000", 1000, near, emjax.Mixture(emjax.Poisson(), 2)),
    )


def label_of(fit: Fit, x: np.ndarray, law: MixtureLaw) -> np.ndarray:
    """The component of the truth that each of the fit's is."""
    return np.argsort(align.classification(fit.predict_proba(x).T[None], law.responsibilities(x).T)[0])


def judged(known: Intervals, truth: np.ndarray, order: np.ndarray) -> dict[str, Any]:
    """What became of one data set: of the numbers in ``order`` whether each level's interval holds them, and widths."""
    found: dict[str, Any] = {"status": str(known.status), "held": {}, "width": {}}
    if known.status.withheld:
        return found
    for level in LEVELS:
        ends = np.array([(row.lower, row.upper) for row in at_level(known, level).rows])
        held, width = (ends[:, 0] <= truth) & (truth <= ends[:, 1]), float(np.diff(ends).mean())
        found["held"][f"{level:g}"] = "".join("01"[int(one)] for one in held[order])
        found["width"][f"{level:g}"] = float(f"{width:.5g}") if np.isfinite(width) else None
    return found


def of_default_level(fit: Fit, known: Intervals) -> Intervals:
    """A profile with the status that it has at `DEFAULT`: an end may be open at the highest level alone."""
    if not known.curves or known.status is not IntervalStatus.ROUGH:
        return known
    held, in_doubt = np.array([curve.effective_rows for curve in known.curves]), known.curves[0].in_doubt
    reach = float(reach_of(held, DEFAULT, in_doubt).max())
    good = not problem_of_rows(fit, list(at_level(known, DEFAULT).rows), reach, in_doubt)
    return dataclasses.replace(known, status=IntervalStatus.OK) if good else known


def of_one(cell: Cell, fit: Fit, x: np.ndarray, methods: tuple[str, ...], key: int) -> dict[str, Any]:
    """The intervals of one fit by all methods, against the truth."""
    label = label_of(fit, x, cell.law)
    found: dict[str, Any] = {"smallest": round(float(fit.optima[0].effective_counts.min()), 2)}
    for method in methods:
        options = {"n_replicates": REPLICATES, "key": key} if method in SCHEMES else {}
        known = of_default_level(fit, fit.intervals(max(LEVELS), method, **options))
        places = [(one.variable, (int(label[one.index[0]]), *one.index[1:])) for one in known.parameters]
        truth = np.array([cell.law.parameters[variable][index] for variable, index in places])
        order = np.array(sorted(range(len(places)), key=places.__getitem__))
        found[method] = judged(known, truth, order)
        found["names"] = [f"{places[i][0]}{list(places[i][1])}" for i in order]
        if method == "information":
            found |= {"shift": float(f"{known.shift:.3g}"), "gap": float(f"{fit.gap_to_rival:.3g}")}
    return found


def measured(cell: Cell, first: int, n_sets: int, methods: tuple[str, ...]) -> dict[str, Any]:
    """A batch of data sets."""
    seed = zlib.crc32(cell.words.encode())
    drawn = [cell.law.sample(cell.n, np.random.default_rng([seed, first + i]))[0] for i in range(n_sets)]
    fits = fit_many(cell.mixture, drawn, keys=[first + i for i in range(n_sets)])
    sets = [
        of_one(cell, fit, x, methods, first + i) if isinstance(fit, Fit) else {}
        for i, (x, fit) in enumerate(zip(drawn, fits, strict=True))
    ]
    names = next((one.pop("names") for one in sets if "names" in one), [])
    for one in sets:
        one.pop("names", None)
    return {"cell": cell.words, "methods": methods, "first": first, "names": names, "sets": sets}


def held_in(path: Path) -> list[dict[str, Any]]:
    """The batches of a file; the last line of a run that was killed may be half one."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def fill(path: Path, n_sets: int, n_resampled: int, until: float, words: str) -> None:
    """Measure what is missing in cells whose name has these words: a quarter and half of every one before the rest."""
    if path.exists():
        whole = path.read_bytes()
        path.write_bytes(whole[: whole.rfind(b"\n") + 1])
    done = {(batch["cell"], tuple(batch["methods"]), batch["first"]) for batch in held_in(path)}
    for share in (4, 2, 1):
        for methods, most in ((QUICK, n_sets // share), (SCHEMES, n_resampled // share)):
            for cell in (one for one in cells() if words in one.words):
                for first in range(0, most, _BATCH[methods]):
                    if (cell.words, methods, first) in done:
                        continue
                    if time.monotonic() > until:
                        return
                    batch = measured(cell, first, _BATCH[methods], methods)
                    with path.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(batch, separators=(",", ":")) + "\n")
                    done.add((cell.words, methods, first))


def main() -> None:
    """Measure, go on with what is there, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--resampled", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--cell", default="", help="words that the names of cells have")
    parser.add_argument("--table", action="store_true")
    chosen = parser.parse_args()
    if not chosen.table:
        # Thousands of data sets run each program: what compiles quickly and runs slowly costs more.
        information.FEW = 0
        enable_compilation_cache()
        fill(chosen.file, chosen.sets, chosen.resampled, time.monotonic() + 60 * chosen.minutes, chosen.cell)
    print(tables(cells(), held_in(chosen.file)))


if __name__ == "__main__":
    main()
