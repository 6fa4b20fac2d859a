"""``python -m benchmarks.posterior``: emjax's samplers, plain NumPyro NUTS, and PyMC with nutpie, side by side.

Every package samples the same posterior (the same data and conjugate prior) in a process of its own, pinned to one
core. Its draws are then judged by one piece of code: effective sample sizes of quantities that labels do not touch and
of parameters in the order of their means. `docs/benchmarks.md` describes the parts and columns.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from benchmarks import environment
from benchmarks.client import ROOT, PeerError
from benchmarks.report import write_between_marks
from benchmarks.samplers import SAMPLERS, problems, tables
from benchmarks.samplers.base import Draws, Problem, Settings
from benchmarks.samplers.process import Process, caches
from benchmarks.samplers.quantities import deviation, effective, invariants, parameters, quantiles, read_reference
from benchmarks.samplers.results import Results, Row
from emjax.jsonable import to_json

METHODS = ("nuts", "hmc", "gibbs", "laplace", "auto")
"""emjax's, each a row; a method that an installed emjax lacks says so in the table."""

PARTS = ("cold", "compiled", "large", "hard")
REFERENCES = ROOT / "tests" / "reference" / "posteriors"
BASE = "numpyro"
"""The package whose quantiles the others are compared with, where there is no frozen reference."""

QUICK = Settings(chains=2, warmup=30, draws=30)
_PATIENCE = 1800.0
_BEGIN = perf_counter()


@dataclasses.dataclass(frozen=True)
class Bench:
    """What all parts need: the programs to run, the core, folders for caches, and settings of a quick run."""

    programs: tuple[tuple[str, str], ...]
    core: int
    repeats: int
    quick: bool
    folder: Path
    say: Callable[[str], None]

    def settings(self, method: str, wanted: Settings = Settings()) -> Settings:  # noqa: B008 (frozen)
        """Those of a row; tiny ones in a quick run."""
        return dataclasses.replace(QUICK if self.quick else wanted, method=method)

    def process(self, package: str, name: str, *, keep_programs: bool = False) -> Process:
        """A process with its caches in the folder ``name``."""
        return Process(
            package, self.core, caches(self.folder / name, self.folder / "fonts", keep_programs=keep_programs)
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for and print the tables; the exit status is 0 unless a row of emjax gave no figure."""
    options = _parser().parse_args(arguments)
    core = max(os.sched_getaffinity(0)) if options.core is None else options.core
    about = environment.describe((core,), sys.argv[1:] if arguments is None else arguments)
    about["command"] = about["command"].replace("-m benchmarks", "-m benchmarks.posterior", 1)
    results = Results(about)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            programs = tuple(
                (name, method) for name in options.peers for method in (options.methods if name == "emjax" else ("",))
            )
            bench = Bench(programs, core, options.repeats, options.quick, Path(folder), _say)
            _measure(bench, results, options.only, 500 if options.quick else options.size)
    finally:
        # What was measured is shown and kept even where a later part fails or is interrupted; a page is not touched.
        results.seconds = perf_counter() - _BEGIN
        markdown = tables.as_markdown(results)
        print(markdown)
        if options.json is not None:
            options.json.write_text(to_json(results) + "\n", encoding="utf-8")
    if options.out is not None:
        write_between_marks(options.out, markdown, tables.MARKS)
    return int(any(row.reason for row in results.rows if row.package == "emjax"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.posterior", description="posteriors, side by side")
    known = tuple(SAMPLERS)
    parser.add_argument(
        "--only", type=_some_of(PARTS), default=PARTS, metavar="A,B", help=f"some of {', '.join(PARTS)}"
    )
    parser.add_argument(
        "--peers", type=_some_of(known), default=known, metavar="A,B", help=f"some of {', '.join(known)}"
    )
    parser.add_argument(
        "--methods",
        type=_some_of(METHODS),
        default=METHODS,
        metavar="A,B",
        help=f"emjax's: some of {', '.join(METHODS)}",
    )
    parser.add_argument("--quick", action="store_true", help="tiny runs: whether it all works, not how fast")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repeats (5; at most 3 of cold starts)")
    parser.add_argument("--size", type=int, default=20_000, help="how many the many data are (20,000)")
    parser.add_argument("--core", type=int, default=None, help="the core to measure on (the last one allowed)")
    parser.add_argument("--out", type=Path, help="a page whose part between the two marks is replaced")
    parser.add_argument("--json", type=Path, help="a file for all numbers")
    return parser


def _some_of(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} is none of {', '.join(known)}")
        return names

    return parse


def _say(text: str) -> None:
    print(f"# {perf_counter() - _BEGIN:5.0f} s  {text}", file=sys.stderr, flush=True)


def _measure(bench: Bench, results: Results, parts: tuple[str, ...], size: int) -> None:
    for name in dict.fromkeys(package for package, _ in bench.programs):
        about = SAMPLERS[name]()
        missing = about.missing()
        results.packages[about.title] = missing or about.version()
    if "cold" in parts:
        measure_cold(bench, problems.eruptions(), results.rows)
    if "compiled" in parts:
        measure_compiled(bench, problems.eruptions(), results.rows)
    if "large" in parts:
        measure_large(bench, problems.large(size), results.rows)
    if "hard" in parts:
        measure_hard(bench, results.rows)


# --- the parts ----------------------------------------------------------------------------------------------


def measure_cold(bench: Bench, problem: Problem, rows: list[Row]) -> None:
    """Fresh processes, from nothing to draws: without any cache of programs, and with one that a first run filled."""
    found = [
        _row("cold", problem, *program, caches_are=state) for state in ("cold", "warm") for program in bench.programs
    ]
    rows += found
    for repeat in range(min(bench.repeats, 3)):
        for i, row in enumerate(found):
            if row.reason:
                continue
            warm = row.caches == "warm"
            if warm and repeat == 0:
                bench.say(f"cold start of {row.title}, filling its cache")
                _attempt(row, lambda row=row, i=i: _fresh(bench, problem, row, f"warm-{i}", keep=False))
            if not row.reason:
                bench.say(f"cold start of {row.title}, caches {row.caches}, round {repeat + 1}")
                name = f"warm-{i}" if warm else f"cold-{i}-{repeat}"
                _attempt(row, lambda row=row, name=name: _fresh(bench, problem, row, name, keep=True))


def _fresh(bench: Bench, problem: Problem, row: Row, name: str, *, keep: bool) -> None:
    begin = perf_counter()
    with bench.process(row.package, name, keep_programs=row.caches == "warm") as process:
        process.ask("load", problem, bench.settings(row.method), timeout=_PATIENCE)
        (draws, _, _), cpu = process.ask("sample", 0, timeout=_PATIENCE)
        wall = perf_counter() - begin
    if keep:
        row.wall.append(wall)
        row.cpu.append(cpu)
        judge(row, draws, problem)


def measure_compiled(bench: Bench, problem: Problem, rows: list[Row]) -> None:
    """Calls in a process that has compiled all it needs, in turn with the other packages."""
    found = [_row("compiled", problem, *program) for program in bench.programs]
    rows += found
    processes: dict[int, Process] = {}
    try:
        for i, row in enumerate(found):
            if not row.reason:
                bench.say(f"compiling {row.title}")
                processes[i] = bench.process(row.package, f"compiled-{i}")
                _attempt(row, lambda row=row, i=i: _first(bench, problem, row, processes[i]))
        for repeat in range(bench.repeats):
            bench.say(f"compiled, round {repeat + 1}")
            for i, row in enumerate(found):
                if not row.reason:
                    _attempt(row, lambda row=row, i=i, seed=repeat + 1: _again(problem, row, processes[i], seed))
    finally:
        for process in processes.values():
            process.__exit__()
    _compare(found, "faithful")


def measure_large(bench: Bench, problem: Problem, rows: list[Row]) -> None:
    """Many data: a first call with what it compiles and a second one, packages one after the other."""
    for package, method in bench.programs:
        row = _row("large", problem, package, method)
        rows.append(row)
        if row.reason:
            continue
        bench.say(f"{problem.title}: {row.title}")
        peer = Settings() if package == "emjax" else Settings(4, 300, 200)

        def both(row: Row = row, peer: Settings = peer, method: str = method) -> None:
            with bench.process(row.package, f"large-{row.package}-{method}") as process:
                _first(bench, problem, row, process, peer)
                _again(problem, row, process, seed=1)

        _attempt(row, both)
    _compare([row for row in rows if row.part == "large"])


def measure_hard(bench: Bench, rows: list[Row]) -> None:
    """Posteriors that are far from normal or have several modes: emjax alone, against frozen references."""
    methods = [method for package, method in bench.programs if package == "emjax" and method in ("auto", "nuts")]
    for problem in (problems.galaxies(), problems.iris(), problems.overlapping()):
        for method in methods:
            row = _row("hard", problem, "emjax", method)
            rows.append(row)
            bench.say(f"{problem.title}: {row.title}")

            def once(row: Row = row, problem: Problem = problem, method: str = method) -> None:
                with bench.process("emjax", f"hard-{problem.name}-{method}") as process:
                    _first(bench, problem, row, process)
                row.wall, row.cpu = row.first_wall, row.first_cpu

            _attempt(row, once)
            _compare([row], problem.name)


# --- one row ------------------------------------------------------------------------------------------------


def _row(part: str, problem: Problem, package: str, method: str, *, caches_are: str = "") -> Row:
    about = SAMPLERS[package]()
    title = f"{about.title}, {method}" if method else about.title
    return Row(part, problem.title, package, method, title, caches=caches_are, reason=about.missing())


def _attempt(row: Row, step: Callable[[], None]) -> None:
    try:
        step()
    except PeerError as error:
        row.reason = str(error)


def _first(bench: Bench, problem: Problem, row: Row, process: Process, wanted: Settings = Settings()) -> None:  # noqa: B008
    """A first call with everything that it compiles; imports come before."""
    process.ask("warm", timeout=_PATIENCE)
    (load_wall, load_cpu), _ = process.ask("load", problem, bench.settings(row.method, wanted), timeout=_PATIENCE)
    (draws, wall, cpu), _ = process.ask("sample", 0, timeout=_PATIENCE)
    row.first_wall, row.first_cpu = [load_wall + wall], [load_cpu + cpu]
    judge(row, draws, problem, invariants_only=row.part == "hard")
    row.ess.clear()


def _again(problem: Problem, row: Row, process: Process, seed: int) -> None:
    (draws, wall, cpu), _ = process.ask("sample", seed, timeout=_PATIENCE)
    row.wall.append(wall)
    row.cpu.append(cpu)
    judge(row, draws, problem)


def judge(row: Row, draws: Draws, problem: Problem, *, invariants_only: bool = False) -> None:
    """Effective sample sizes, R-hat and quantiles of a run's draws, into its row."""
    quantities = invariants(draws, problem.x)
    if not invariants_only:
        quantities |= parameters(draws)
    found = effective(quantities)
    row.ess.append(found.least)
    row.bulk, row.tail, row.rhat, row.worst = found.bulk, found.tail, found.rhat, found.worst
    row.size, row.notes, row.quantiles = draws.size, draws.notes, quantiles(quantities)


def _compare(rows: list[Row], name: str = "") -> None:
    """Quantiles against those of the frozen reference ``name``, or else of `BASE` in the same run."""
    base = next((row for row in rows if row.package == BASE and row.quantiles and not row.reason), None)
    reference = read_reference(REFERENCES / f"{name}.json") if name else None
    for row in rows:
        if row.quantiles and reference is not None:
            row.deviation, row.deviation_of = deviation(row.quantiles, reference)
        elif row.quantiles and base is not None and row is not base:
            row.deviation, row.deviation_of = deviation(row.quantiles, base.quantiles)


if __name__ == "__main__":
    sys.exit(main())
