"""``python -m benchmarks``: measure, print, and write the tables where they are asked for."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from benchmarks import environment, report, scaling
from benchmarks.accuracy import CASES, EASY, compare_accuracy
from benchmarks.client import PeerError, Worker
from benchmarks.cold import compare_cold
from benchmarks.cores import compare_cores
from benchmarks.measure import Session, compare, session
from benchmarks.peers import PEERS
from benchmarks.restarts import compare_restarts
from benchmarks.results import Memory, Results
from benchmarks.workloads import RESTARTS, WORKLOADS, Workload

PARTS = ("limits", "W1", "W2", "W3", "W4", "W5", "W6", "cores", "memory", "cold", "accuracy", "scaling")
_BEGIN = perf_counter()

_HEAVY = ("W4", "W5")
"""The workloads whose memory is measured."""

_IN_MEMORY = ("emjax", "emjax32", "scikit-learn", "gmmx")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for; the exit status is 0 unless emjax itself gave no time."""
    options = _parser().parse_args(arguments)
    allowed = tuple(sorted(os.sched_getaffinity(0)))
    cores = allowed
    if options.core is not None:
        cores = (*(core for core in allowed if core != options.core), options.core)
    results = Results(environment.describe(cores, sys.argv[1:] if arguments is None else arguments))
    try:
        with session(cores[-1:], options.repeats, options.budget, _say) as run:
            _measure(run, results, options, cores)
    finally:
        # What was measured is shown and kept even where a later part fails or is interrupted; a page is not touched.
        results.seconds = perf_counter() - _BEGIN
        markdown = report.as_markdown(results)
        print(markdown)
        if options.json is not None:
            options.json.write_text(report.as_json(results), encoding="utf-8")
    if options.out is not None:
        report.write_between_marks(options.out, markdown)
    return int(any(row.package == "emjax" and row.reason for row in results.rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="emjax and other packages, side by side")
    parser.add_argument("--only", type=_parts, default=PARTS, metavar="A,B", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--peers", type=_peers, default=tuple(PEERS), metavar="A,B", help=f"some of {', '.join(PEERS)}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether it all works, not how fast")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repeats of every measurement (5)")
    parser.add_argument(
        "--budget",
        type=float,
        default=4.0,
        help="seconds for a package on a workload (4; four times that for emjax, scikit-learn, gmmx)",
    )
    parser.add_argument("--core", type=int, default=None, help="the core to measure on (the last one allowed)")
    parser.add_argument("--out", type=Path, help="a page whose part between the two marks is replaced")
    parser.add_argument("--json", type=Path, help="a file for all numbers")
    return parser


def _parts(text: str) -> tuple[str, ...]:
    return _some_of(text, PARTS)


def _peers(text: str) -> tuple[str, ...]:
    return ("emjax", *(name for name in _some_of(text, tuple(PEERS)) if name != "emjax"))


def _some_of(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} is none of {', '.join(known)}")
    return names


def _say(text: str) -> None:
    print(f"# {perf_counter() - _BEGIN:5.0f} s  {text}", file=sys.stderr, flush=True)


def _measure(run: Session, results: Results, options: argparse.Namespace, cores: tuple[int, ...]) -> None:
    def scaled(workload: Workload) -> Workload:
        return workload.smaller() if options.quick else workload

    if "limits" in options.only:
        _say("limits of the machine")
        results.limits = run.worker("emjax").ask("machine_limits", *((128, 1 << 18) if options.quick else ()))
    for workload in WORKLOADS:
        if workload.name in options.only:
            results.rows += compare(run, scaled(workload), options.peers)
    if "W6" in options.only:
        results.restarts = compare_restarts(run, scaled(RESTARTS), 4 if options.quick else 32)
    if "accuracy" in options.only:
        results.accuracy = compare_accuracy(run, *((EASY, 500) if options.quick else (CASES, 20_000)))
    if "scaling" in options.only:
        results.scaling = scaling.measure_scaling(run, scaling.QUICK if options.quick else None)
    results.packages = {PEERS[n].name: run.describe(n)["version"] or run.describe(n)["missing"] for n in options.peers}
    run.close()
    if "cores" in options.only:
        wanted = tuple(scaled(workload) for workload in WORKLOADS if workload.name in ("W3", "W4"))
        results.cores = compare_cores(wanted, cores, options.repeats, _say)
    if "memory" in options.only:
        results.memory = [
            _peak_memory(scaled(workload), name, cores[-1])
            for workload in WORKLOADS
            if workload.name in _HEAVY
            for name in options.peers
            if name in _IN_MEMORY
        ]
    if "cold" in options.only:
        results.cold = compare_cold(cores[-1], min(options.repeats, 3), _say)


def _peak_memory(workload: Workload, name: str, core: int) -> Memory:
    _say(f"{workload.title}: memory of {name}")
    row = Memory(workload, PEERS[name].name, PEERS[name].dtype)
    try:
        with Worker(name, (core,)) as worker:
            row.reason = worker.ask("describe")["missing"]
            if not row.reason:
                row.first, row.next = worker.ask("peak_memory", workload, 2, timeout=90)
    except PeerError as error:
        row.reason = str(error)
    return row


if __name__ == "__main__":
    sys.exit(main())
