"""``python -m benchmarks.acceleration``: plain EM, SQUAREM and Anderson side by side on problems from easy to hopeless.

Every method starts from the same points, each start by itself. The optimum of a start is the one that plain EM goes to:
its last iterate, polished by Anderson. Counted are E-steps (of plain EM: iterations), and wall-clock milliseconds of
programs that are compiled already, until the objective is within 1e-8 per sample of that optimum. A method that ends
elsewhere is counted as below or above.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import jax
import numpy as np

import emjax
from emjax.em import accelerate
from emjax.em.accelerate import Accelerated
from emjax.em.init import drawn_starts
from emjax.em.loop import CHUNK, Plain
from emjax.em.problem import prepare
from emjax.em.state import RUNNING, Options, Program
from emjax.mixture import MixtureParams
from emjax.samples import as_samples

METHODS = {
    "none": ("none", 5),
    "squarem": ("squarem", 5),
    "anderson 3": ("anderson", 3),
    "anderson 5": ("anderson", 5),
    "anderson 10": ("anderson", 10),
}
"""The columns: a method, and how many differences it keeps."""

NEAR = 1e-8
"""How near to the optimum, per sample."""

_MOST_ITERATIONS = 20_000
_MOST_EVALUATIONS = 3_000
BEGIN, END = "<!-- acceleration: begin -->", "<!-- acceleration: end -->"


@dataclasses.dataclass(frozen=True)
class Case:
    """A declaration and data ``(n, d)``."""

    name: str
    mixture: emjax.Mixture
    x: np.ndarray


def cases() -> Iterator[Case]:
    """From well separated to identical components, in one to eight features, ML and MAP."""
    poisson = emjax.Poisson()
    deaths, galaxies, faithful = (np.asarray(emjax.datasets.load(name)) for name in ("deaths", "galaxies", "faithful"))
    yield Case("deaths K=2", emjax.Mixture(poisson, 2), deaths)
    yield Case("deaths K=2 MAP", emjax.Mixture(poisson, 2, "default"), deaths)
    yield Case("deaths K=3 MAP", emjax.Mixture(poisson, 3, "default"), deaths)
    for k in (2, 3, 4):
        yield Case(f"galaxies full K={k}", _normal("full", k), galaxies)
    yield Case("galaxies full K=5 MAP", _normal("full", 5, "default"), galaxies)
    yield Case("galaxies tied K=6", _normal("tied", 6), galaxies)
    yield Case("faithful full K=2", _normal("full", 2), faithful)
    yield Case("faithful tied K=3", _normal("tied", 3), faithful)
    yield Case("faithful diag K=3", _normal("diag", 3), faithful)
    yield Case("faithful full K=3 MAP", _normal("full", 3, "default"), faithful)
    for apart in (6.0, 3.0, 2.0, 1.5, 1.0, 0.0):
        x = _around([[0.0], [apart]], 2000, 11)
        yield Case(f"two normals {apart} sd apart", _normal("full", 2), x)
    yield Case("two normals 1.5 sd, MAP", _normal("full", 2, "default"), _around([[0.0], [1.5]], 2000, 11))
    yield Case("two normals 1.5 sd, tied", _normal("tied", 2), _around([[0.0], [1.5]], 2000, 12))
    yield Case("three normals 3 sd apart", _normal("full", 3), _around([[0.0], [3.0], [6.0]], 2000, 13))
    yield Case("three normals 1.5 sd apart", _normal("full", 3), _around([[0.0], [1.5], [3.0]], 2000, 13))
    yield Case(
        "four in a row 1.5 sd, spherical", _normal("spherical", 4), _around(1.5 * np.arange(4)[:, None], 3000, 29)
    )
    yield Case("d=2 K=3 full, 2 sd", _normal("full", 3), _scattered(2, 3, 2.0, 21))
    yield Case("d=2 K=3 full, 2 sd, MAP", _normal("full", 3, "default"), _scattered(2, 3, 2.0, 21))
    yield Case("d=2 K=5 full, 3 sd", _normal("full", 5), _scattered(2, 5, 3.0, 22))
    yield Case("d=2 K=2 diag, 0.3 sd, MAP", _normal("diag", 2, "default"), _around([[0.0, 0.0], [0.3, 0.0]], 1000, 42))
    yield Case("d=3 K=5 spherical, 8 sd", _normal("spherical", 5), _scattered(3, 5, 8.0, 28))
    yield Case("d=4 K=4 tied, 2 sd", _normal("tied", 4), _scattered(4, 4, 2.0, 24))
    yield Case("d=4 K=6 full, 3 sd", _normal("full", 6), _scattered(4, 6, 3.0, 23))
    yield Case("d=4 K=6 diag, 3 sd", _normal("diag", 6), _scattered(4, 6, 3.0, 23))
    yield Case("d=8 K=3 full, 2 sd", _normal("full", 3), _scattered(8, 3, 2.0, 27))
    yield Case("d=8 K=4 spherical, 2 sd", _normal("spherical", 4), _scattered(8, 4, 2.0, 25))
    yield Case("d=8 K=8 diag, 4 sd", _normal("diag", 8), _scattered(8, 8, 4.0, 26))
    yield Case("d=8 K=8 full, 4 sd, MAP", _normal("full", 8, "default"), _scattered(8, 8, 4.0, 26))
    yield Case("counts K=2, rates 2 and 4", emjax.Mixture(poisson, 2), _counts([[2.0], [4.0]], 1000, 31))
    rates = [[1.0, 2.0, 3.0], [2.0, 2.0, 2.0], [4.0, 1.0, 3.0], [5.0, 5.0, 1.0]]
    yield Case("counts d=3 K=4", emjax.Mixture(poisson, 4), _counts(rates, 1500, 32))
    yield Case("counts d=2 K=3 MAP", emjax.Mixture(poisson, 3, "default"), _counts([[1, 2], [2, 3], [4, 5]], 1000, 33))


def _normal(covariance: str, n_components: int, prior: str | None = None) -> emjax.Mixture:
    return emjax.Mixture(emjax.Normal(covariance=covariance), n_components, prior)


def _around(means: object, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    means = np.asarray(means, float)
    return means[rng.choice(len(means), size=n)] + rng.normal(size=(n, means.shape[1]))


def _scattered(n_features: int, n_components: int, apart: float, seed: int) -> np.ndarray:
    """Unit normals; two of their means are about ``apart`` standard deviations from each other."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n_components, n_features)) * apart / np.sqrt(2 * n_features)
    return _around(means, 2000, seed + 1)


def _counts(rates: object, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rates = np.asarray(rates, float)
    return rng.poisson(rates[rng.choice(len(rates), size=n)]).astype(float)


@dataclasses.dataclass(frozen=True)
class Run:
    """One method from one start: objectives by E-step, the seconds when each was known, and how it ended."""

    objectives: np.ndarray
    seconds: np.ndarray
    params: MixtureParams
    rate: float

    def reaches(self, target: float) -> tuple[float, float]:
        """E-steps and seconds until the target; infinite where it was never reached."""
        there = np.flatnonzero(self.objectives >= target)
        return (float(there[0] + 1), float(self.seconds[there[0]])) if len(there) else (np.inf, np.inf)


def _plain(program: Program, start: MixtureParams) -> Run:
    """Plain EM to its default tolerance's hundredth, timed as a whole."""
    engine = Plain(program)
    begin = perf_counter()
    state = engine.begin(start)
    rows = [np.asarray(state.objective)]
    while (np.asarray(state.code) == RUNNING).all() and int(np.asarray(state.n_iter)[0]) < _MOST_ITERATIONS:
        state, chunk = engine.advance(state, _MOST_ITERATIONS, CHUNK)
        rows.append(chunk[:, 0])
    objectives = np.concatenate(rows)
    seconds = (perf_counter() - begin) * np.arange(1, len(objectives) + 1) / len(objectives)
    return Run(objectives, seconds, jax.tree.map(np.asarray, state.params), float(np.asarray(state.rate)[0]))


def _accelerated(program: Program, start: MixtureParams) -> Run:
    engine = Accelerated(program)
    begin = perf_counter()
    walk = engine.begin(start)
    rows = [np.asarray(walk.objective)]
    while np.asarray(walk.code)[0] == RUNNING and int(np.asarray(walk.n_evaluations)[0]) < _MOST_EVALUATIONS:
        walk, chunk = engine.advance(walk, 10**9, _MOST_EVALUATIONS - int(np.asarray(walk.n_evaluations)[0]))
        rows.append(chunk[:, 0])
    objectives = np.concatenate(rows)
    seconds = (perf_counter() - begin) * np.arange(1, len(objectives) + 1) / len(objectives)
    # An E-step that was refused, or a probe, leaves the objective where it was.
    objectives = np.fmax.accumulate(objectives)
    ended = engine.ended(walk)
    return Run(objectives, seconds, ended.params, float(ended.rate[0]))


@dataclasses.dataclass(frozen=True)
class Row:
    """A case: for every method and start, E-steps and seconds to the target, and by how much it ended off it."""

    case: Case
    rate: float
    evaluations: dict[str, list[float]]
    seconds: dict[str, list[float]]
    ended: dict[str, list[float]]


def measure(case: Case, n_starts: int) -> Row:
    """All methods from all starts of one case."""
    with jax.enable_x64(True):
        problem = prepare(case.mixture, as_samples(case.x), "float64", drawn=True, n_starts=1)
        starts = drawn_starts(problem.likelihood, problem.z, key=jax.random.key(0), n_init=n_starts, starts="mixed")
        row = Row(case, np.nan, *({name: [] for name in METHODS} for _ in range(3)))
        rates = []
        for i in range(n_starts):
            start = jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i : i + 1], starts)
            runs = {}
            for name, (method, depth) in METHODS.items():
                accelerate.DEPTH = depth
                go = _plain if method == "none" else _accelerated
                # Twice: the first run compiles.
                runs[name] = [go(_program(problem, method, 1e-8), start) for _ in range(1 if i else 2)][-1]
            accelerate.DEPTH = 5
            polished = _accelerated(_program(problem, "anderson", 1e-10), runs["none"].params)
            optimum = max(runs["none"].objectives[-1], polished.objectives[-1])
            # A start that plain EM brought to rest to the last digit leaves no step to measure a rate by.
            rates.append(polished.rate if np.isfinite(polished.rate) else runs["none"].rate)
            for name, run in runs.items():
                evaluations, seconds = run.reaches(optimum - NEAR * len(case.x))
                row.evaluations[name].append(evaluations)
                row.seconds[name].append(seconds)
                row.ended[name].append((run.objectives[-1] - optimum) / len(case.x))
    return dataclasses.replace(row, rate=statistics.median(rates))


def _program(problem: object, method: str, tol: float) -> Program:
    options = Options(parameters=np.asarray(tol), gain=np.asarray(-1.0), reach=np.asarray(np.inf))
    return Program(problem.likelihood, problem.blocks, problem.frame_prior, options, method)  # type: ignore[attr-defined]


def table(rows: list[Row]) -> str:
    """Markdown: medians over the starts of every case, then what sums them up."""
    names = list(METHODS)
    lines = [
        "| | n, d, K | EM's rate | " + " | ".join(f"{name}" for name in names) + " |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for row in rows:
        n, d = row.case.x.shape
        size = f"{n}, {d}, {row.case.mixture.n_components}"
        cells = [_cell(row.evaluations[name], row.seconds[name]) for name in names]
        lines.append(f"| {row.case.name} | {size} | {row.rate:.4f} | " + " | ".join(cells) + " |")
    lines += ["", *_summary(rows, names)]
    return "\n".join(lines)


def _cell(evaluations: list[float], seconds: list[float]) -> str:
    middle, time = statistics.median(evaluations), 1e3 * statistics.median(seconds)
    if not np.isfinite(middle):
        return "never"
    return f"{middle:,.0f} ({time:,.{0 if time >= 10 else 1}f} ms)"


def _summary(rows: list[Row], names: list[str]) -> list[str]:
    lines = ["| over all starts | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]

    def line(title: str, cells: list[str]) -> None:
        lines.append(f"| {title} | " + " | ".join(cells) + " |")

    n_starts = sum(len(row.ended["none"]) for row in rows)
    slow = [row for row in rows if row.rate > 0.95]
    for title, chosen in (("all", rows), ("EM's rate above 0.95", slow)):
        steps = [_mean(row.evaluations[name] for row in chosen) for name in names]
        times = [_mean(row.seconds[name] for row in chosen) for name in names]
        line(f"E-steps, geometric mean, {title}", [f"{value:,.0f}" for value in steps])
        line(f"milliseconds, geometric mean, {title}", [f"{1e3 * value:,.1f}" for value in times])
    off = {name: np.concatenate([row.ended[name] for row in rows]) for name in names}
    line(f"ended below plain EM's optimum, of {n_starts}", [str(int((off[name] < -1e-6).sum())) for name in names])
    line("ended above it", [str(int((off[name] > 1e-6).sum())) for name in names])
    return lines


def _mean(groups: Iterator[list[float]]) -> float:
    """The geometric mean; a start that never arrived does not count."""
    values = [value for group in groups for value in group if np.isfinite(value)]
    return float(np.exp(np.mean(np.log(values)))) if values else np.nan


def main() -> None:
    """Measure, print, and write the table into the page that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3, help="starts of every case")
    parser.add_argument("--only", default="", help="only cases with this in their name")
    parser.add_argument("--out", type=Path, help="a page with the markers of the table")
    options = parser.parse_args()
    rows = []
    for case in cases():
        if options.only in case.name:
            rows.append(measure(case, options.starts))
            print(table(rows[-1:]).splitlines()[2], flush=True)
    text = table(rows)
    print(text)
    if options.out is not None:
        head, _, rest = options.out.read_text(encoding="utf-8").partition(BEGIN)
        tail = rest.partition(END)[2]
        options.out.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
