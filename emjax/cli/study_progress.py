"""The progress of a study on a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from emjax.cli.console import Console
from emjax.experiments.execution.listener import Bars
from emjax.experiments.execution.progress import StudyProgress, in_words, said

LINE_SECONDS = 30.0
"""How often a line is printed where there is no terminal for bars."""

MOST_BARS = 6
"""With more methods than this there is one bar for all of them."""


@contextmanager
def shown(console: Console) -> Iterator[Callable[[StudyProgress], None]]:
    """Yield a function that shows progress: as bars on a terminal, else as a line on stderr now and then."""
    with console.bars() as bars:
        # From nothing to the first line takes its time too: there is no news before.
        last = time.monotonic()

        def show(progress: StudyProgress) -> None:
            nonlocal last
            _move(bars, progress)
            now = time.monotonic()
            if console.prints_progress_lines and now - last >= LINE_SECONDS:
                last = now
                console.note(said(progress))

        yield show


def _move(bars: Bars, progress: StudyProgress) -> None:
    if progress.done:
        bars.update("results", progress.done, progress.total, in_words(progress))
    else:
        # Without a total the bar moves although nobody knows how far it is.
        bars.update("results", 0, None, f"of {progress.total}; the first jobs compile their programs")
    if 1 < len(progress.methods) <= MOST_BARS:
        for method, (done, total) in progress.methods.items():
            bars.update(f"  {method}", done, total)
