"""Runs that are killed at random moments: does the next one complete, with the same numbers, and leave nothing behind?

``python -m benchmarks.kills`` kills a single run (an EM fit) and a study (EM on simulated data, one worker) again and
again, by SIGKILL and by the signals that ask to stop. After each kill the same command is run again to its end. A kill
is *held* where that run completes, its numbers are those of an undisturbed run to the last bit, nothing half-written
and no lock is left, and the killed run said what it should: one line that it was interrupted, and nothing else.
"""

import argparse
import dataclasses
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

SECONDS = 300
SIGNALS = {"KILL": 50, "TERM": 10, "HUP": 10, "INT": 10}
"""How often each signal is sent, to single runs and to studies alike."""

STUDY = """
seed = 3
methods = [{kind = "em", name = "em", n_init = 2}]
data = {kind = "simulate", n_samples = 60, weights = [0.4, 0.6], mean = [[-2.0], [2.0]], scale = [[1.0], [1.0]]}
model = {n_components = 2}
sweep = {replicates = 24}
execution = {batch = 2, retries = 0}
"""

_EVERYTHING = "interrupted; ([0-9]+) of [0-9]+ jobs are done, and the same command goes on from there"
_SAID = {
    "single": re.compile("emjax: error: interrupted; nothing was written|emjax: interrupted"),
    "study": re.compile(f"emjax: stopping; once more leaves at once|emjax: error: {_EVERYTHING}|emjax: interrupted"),
}
_NEWS = re.compile(
    "emjax: [0-9]+ of [0-9]+ jobs are done already; going on from there|emjax: [0-9]+/[0-9]+ results, .*"
    # Python's own process for semaphores, which outlives a killed one.
    r"|.*resource_tracker: There appear to be .*|  warnings\.warn\('resource_tracker: .*"
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is killed: its command less ``--out``, the numbers in its folder, and whether it has begun to write."""

    name: str
    arguments: tuple[str, ...]
    numbers: Callable[[Path], Any]
    is_writing: Callable[[Path], bool]


def single_numbers(folder: Path) -> Any:
    """All numbers of a single run but for seconds."""
    from emjax.experiments.archive.single import open_single_run

    return open_single_run(folder).numbers().to_csv(index=False)


def study_numbers(folder: Path) -> Any:
    """All rows of a study but for costs, as lists; every byte of its jobs is compared with its hash before."""
    from emjax.experiments.archive.folder import Archive
    from emjax.experiments.work.measures import COST

    archive = Archive(folder)
    damaged = archive.damaged(job["key"] for job in archive.declaration()["jobs"])
    rows = archive.rows()
    return damaged, rows[~rows["quantity"].isin(COST)].to_csv(index=False)


def left_behind(folder: Path) -> list[str]:
    """Names under a folder that no finished run leaves: half-written files and folders, and locks."""
    paths = [path.relative_to(folder) for path in folder.rglob("*")]
    return sorted(str(path) for path in paths if path.name.startswith(".") or path.parent.name == "locks")


def complaint(kind: str, number: int, returncode: int, error: str) -> str | None:
    """What is wrong with how a run ended that a signal was sent to; None if nothing is."""
    lines = [line for line in error.splitlines() if line and not _NEWS.fullmatch(line)]
    unknown = [line for line in lines if not _SAID[kind].fullmatch(line)]
    if unknown:
        return f"said {unknown[-1]!r}"
    if number == signal.SIGKILL:
        return None if returncode in (0, -number) else f"exit code {returncode}"
    # By itself it dies of the signal before its handlers are there.
    return None if returncode in (0, -number, 128 + number) else f"exit code {returncode}"


def counted(error: str) -> int | None:
    """How many jobs an interrupted study says are done, None where it says nothing."""
    found = re.search(_EVERYTHING, error)
    return int(found[1]) if found else None


def plan(counts: dict[str, int], seed: int) -> Iterator[tuple[str, float, bool]]:
    """The kills in random order: the signal, the moment as a share of a run, and whether from its first writing on."""
    source = random.Random(seed)
    names = [name for name, count in counts.items() for _ in range(count)]
    source.shuffle(names)
    for name in names:
        yield name, source.random(), source.random() < 0.5


class Killer:
    """Kills runs of one kind in a folder of its own."""

    def __init__(self, kind: Kind, place: Path) -> None:
        self.kind = kind
        self.place = place
        self.held: Counter[str] = Counter()
        self.tried: Counter[str] = Counter()
        self.ended_before: Counter[str] = Counter()
        self.problems: list[str] = []
        whole = place / "whole" / "run"
        self._finish(whole)  # fills the compilation cache
        shutil.rmtree(whole)
        begun = time.monotonic()
        self._finish(whole)
        self.seconds = time.monotonic() - begun
        self.expected = kind.numbers(whole)

    def kill(self, name: str, share: float, while_writing: bool) -> None:
        """Kill one run, finish it by another and judge both."""
        number = getattr(signal, f"SIG{name}")
        out = self.place / f"{self.tried.total()}" / "run"
        out.parent.mkdir()
        process = self._start(out)
        begun = time.monotonic()
        while while_writing and process.poll() is None and not self.kind.is_writing(out):
            time.sleep(0.002)
        left = self.seconds - (time.monotonic() - begun) if while_writing else self.seconds
        try:
            process.wait(share * max(left, 0.1))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        _, error = process.communicate(timeout=SECONDS)
        self.tried[name] += 1
        self.ended_before[name] += process.returncode == 0
        problem = complaint(self.kind.name, number, process.returncode, error) or self._count(out, error)
        try:
            self._finish(out)
            problem = problem or self._compare(out)
        except RuntimeError as failure:
            problem = problem or str(failure)
        if problem is None:
            self.held[name] += 1
            shutil.rmtree(out.parent)
        else:
            self.problems.append(f"{self.kind.name}, {name} after {share:.2f}: {problem}")
            print(f"  {self.problems[-1]}", flush=True)

    def _count(self, out: Path, error: str) -> str | None:
        said = counted(error)
        there = len(list(out.glob("jobs/*/job.json")))
        return None if said in (None, there) else f"said that {said} jobs are done, and {there} are"

    def _compare(self, out: Path) -> str | None:
        if self.kind.numbers(out) != self.expected:
            return "other numbers"
        left = left_behind(out.parent)
        return f"left {left[0]}" if left else None

    def _start(self, out: Path, *more: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "emjax", *self.kind.arguments, "--out", str(out), *more]
        pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, preexec_fn=_answer_signals, **pipes)

    def _finish(self, out: Path) -> None:
        again = ("--overwrite",) if self.kind.name == "single" else ()
        process = self._start(out, *again)
        _, error = process.communicate(timeout=SECONDS)
        if process.returncode:
            raise RuntimeError(f"the next run ended with {process.returncode}: {error.strip()[-200:]}")


def kinds(place: Path) -> dict[str, Kind]:
    """The single run and the study, whose config is written to ``place``."""
    config = place / "study.toml"
    config.write_text(STUDY, encoding="utf-8")
    fit = ("fit", "faithful", "-k", "2", "--n-init", "4", "-q")
    return {
        "single": Kind("single", fit, single_numbers, lambda out: any(out.parent.iterdir())),
        "study": Kind("study", ("run", str(config), "--workers", "1", "-q"), study_numbers, _has_jobs),
    }


def _answer_signals() -> None:
    """What is ignored where this is started (nohup, a background job) would be ignored by the runs too."""
    for name in SIGNALS.keys() - {"KILL"}:
        signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_DFL)


def _has_jobs(out: Path) -> bool:
    return (out / "jobs").is_dir() and any((out / "jobs").iterdir())


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, and print a table; the exit code is 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="single,study", help="what to kill (%(default)s)")
    parser.add_argument("--signals", default=",".join(SIGNALS), help="by which signals (%(default)s)")
    parser.add_argument("--share", type=float, default=1.0, help="of the kills; 0.1 is a tenth of them (%(default)s)")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so many for each kind (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of the moments (%(default)s)")
    options = parser.parse_args(arguments)
    n_problems = 0
    with tempfile.TemporaryDirectory(prefix="emjax-kills-") as folder:
        os.environ["EMJAX_CACHE_DIR"] = str(Path(folder) / "cache")
        for name in options.only.split(","):
            place = Path(folder) / name
            place.mkdir()
            killer = Killer(kinds(place)[name], place)
            until = time.monotonic() + 60 * options.minutes
            counts = {number: max(1, round(options.share * SIGNALS[number])) for number in options.signals.split(",")}
            for kill in plan(counts, options.seed):
                if time.monotonic() > until:
                    break
                killer.kill(*kill)
            n_problems += len(killer.problems)
            print(table(killer), flush=True)
    return 1 if n_problems else 0


def table(killer: Killer) -> str:
    """A row per signal: how many were sent, how many came after the end of the run, how many held."""
    lines = [
        f"{killer.kind.name}, undisturbed {killer.seconds:.1f} s",
        "| signal | sent | too late | held |",
        "|---|---|---|---|",
    ]
    for name in SIGNALS:
        lines.append(f"| SIG{name} | {killer.tried[name]} | {killer.ended_before[name]} | {killer.held[name]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
