"""The command: see `benchmarks.on_device`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from benchmarks.on_device import parts, plan, tables
from benchmarks.on_device.records import Record, Writer, newest_run, read, with_words
from benchmarks.on_device.speed import DRAWN
from benchmarks.report import write_between_marks

_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists the options)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, or show what was measured; the exit status is 1 where a result is another than the host's."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.write is not None and options.markdown is None:
        parser.error("--write needs --markdown FILE")
    try:
        return measure(options) if options.markdown is None else show(options.markdown, options.write)
    except (OSError, ValueError) as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks.on_device", description="emjax on an accelerator: its results, and its speed"
    )
    parser.add_argument("--quick", action="store_true", help="tiny problems: whether it all works, not how fast")
    parser.add_argument("--minutes", type=_minutes, default=6.0, help="the time to plan for (6)")
    parser.add_argument("--sizes", type=_sizes, metavar="N,N", help="rows (1e5,1e6,1e7,1e8; up to 1e6 on a CPU)")
    parser.add_argument(
        "--out", type=Path, default=Path("on_device.jsonl"), metavar="FILE", help="appended to (on_device.jsonl)"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="print the tables of the newest run in a file")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="and write them between the marks of a page")
    return parser


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1440:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1440")
    return value


def _sizes(text: str) -> tuple[int, ...]:
    found = tuple(sorted({int(float(size)) for size in text.split(",")}))
    for n in found:
        if n < 1000 or (n > DRAWN and n % DRAWN):
            raise argparse.ArgumentTypeError(f"{n} is below 1000, or above {DRAWN:,} and no multiple of it")
    return found


def measure(options: argparse.Namespace) -> int:
    """Run what there is time for."""
    clock, records = plan.Clock(60.0 * options.minutes), list[Record]()
    interrupted = False
    with Writer(options.out) as writer, plan.Workers() as workers:

        def write(record: Record) -> None:
            writer(record)
            records.append(with_words(record))
            print(f"# {clock.gone:4.0f} s  {tables.line(record)}", file=sys.stderr, flush=True)

        run = parts.Run(workers, options.quick, options.sizes)
        try:
            plan.run([parts.first(run)], clock, write)
            if run.device:
                plan.run(parts.steps(run), clock, write)
            write({"part": "end", "seconds": clock.gone})
        except KeyboardInterrupt:
            interrupted = True
    if records:
        print(tables.summary(records, str(options.out)))
    return _INTERRUPTED if interrupted else int(tables.disagrees(records))


def show(file: Path, page: Path | None) -> int:
    """Print the tables of the newest run in a file, and write them into a page."""
    records = newest_run(read(file))
    if not records:
        raise ValueError(f"{file} holds no run")
    markdown = tables.as_markdown(records)
    print(markdown, end="")
    if page is not None:
        write_between_marks(page, markdown, tables.MARKS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
