"""What a command says, and where: results on stdout, progress and warnings on stderr, errors always."""

import functools
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Text

from emjax.experiments.execution.listener import Bars, Listener
from emjax.jsonable import to_json
from emjax.wording import printable

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")
"""What a terminal acts on instead of showing it: controls, changes of the writing direction, what has no shape."""


class _SafeConsole(RichConsole):
    """What is printed may come from a folder that anybody has written: a terminal only gets our own control codes.

    Views write such characters as escapes (`printable`). This is the door that all of them go through, and it lets none
    pass that a view has forgotten.
    """

    def on_broken_pipe(self) -> None:
        """Say no more where nobody reads (``emjax fit ... | head``), and let the command finish what it writes."""
        self.quiet = True
        _close_for_good(self.file)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            if segment.control is None and _UNSAFE.search(segment.text):
                yield Segment(_UNSAFE.sub("\ufffd", segment.text), segment.style)
            else:
                yield segment


class TerminalBars(Bars):
    """The progress bars of a run; each stage has one, made when it is first heard of."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def update(self, stage: str, completed: int, total: int | None = None, detail: str = "") -> None:
        """Move the bar of ``stage`` to ``completed`` of ``total``; ``detail`` stands at its right."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(_label(stage), total=total, detail="")
        self._progress.update(self._tasks[stage], completed=completed, total=total, detail=printable(detail))

    def finish(self, stage: str, detail: str = "") -> None:
        """Fill the bar of ``stage``, however far it came (EM stops when it has converged)."""
        task = self._tasks.get(stage)
        if task is not None:
            completed = self._progress.tasks[self._progress.task_ids.index(task)].completed
            self._progress.update(task, total=completed, completed=completed, detail=printable(detail))


def _label(stage: str) -> str:
    """A stage on one line, indented as it was: a method may be called anything."""
    return stage[: len(stage) - len(stage.lstrip(" "))] + printable(stage)


class Console(Listener):
    """The one place that writes to the terminal.

    ``quiet`` prints nothing but errors, ``json`` exactly one document to stdout and no other line there; ``progress``
    shows bars, by default when stderr is a terminal.
    """

    def __init__(self, *, quiet: bool = False, json: bool = False, progress: bool | None = None) -> None:
        self.quiet = quiet
        self.json = json
        # Markup and highlighting are off: a column may be called "[red]".
        self._out = _SafeConsole(markup=False, highlight=False, emoji=False, soft_wrap=False)
        self._err = _SafeConsole(
            stderr=True, markup=False, highlight=False, emoji=False, force_terminal=progress or None
        )
        self._bars_shown = not quiet and (self._err.is_terminal if progress is None else progress)
        # Long work says from time to time how far it is, for want of a terminal for bars.
        self.prints_progress_lines = not (quiet or self._bars_shown) and progress is None

    @property
    def width(self) -> int:
        """Columns of the terminal that results are written to."""
        return self._out.width

    def show(self, *renderables: RenderableType) -> None:
        """Print results for a person: on stdout, and not with ``json`` or ``quiet``."""
        if not (self.quiet or self.json):
            for renderable in renderables:
                # Rich joins texts before it prints them, and what they say of wrapping is lost.
                self._out.print(renderable, soft_wrap=isinstance(renderable, Text) and renderable.no_wrap is True)

    def document(self, value: Any) -> None:
        """Print the JSON document of the command when ``json`` asks for it, with ``quiet`` too."""
        if self.json:
            try:
                text = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", to_json(value))
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
            except BrokenPipeError:
                _close_for_good(sys.stdout)

    def log(self, line: str) -> None:
        """Print a line of a log that was asked for: on stdout, or on stderr where stdout is for JSON."""
        if not self.quiet:
            target = self._err if self.json else self._out
            target.print(line, soft_wrap=True)

    def warn(self, message: str) -> None:
        """Print one line of warning on stderr."""
        self.note(f"warning: {message}")

    def note(self, message: str) -> None:
        """Print one line on stderr that is neither a warning nor a result: what a run has decided."""
        if not self.quiet:
            self._err.print(_between_words(f"emjax: {printable(message)}", sys.stderr), soft_wrap=True)

    @contextmanager
    def bars(self, wanted: bool = True) -> Iterator[Bars]:
        """Show progress bars on stderr while the block runs; they leave no trace behind.

        With ``wanted=False`` there are none: where a log is printed, that is the progress, and both would
        share one screen.
        """
        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            _Count(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", markup=False, style="dim"),
            console=self._err,
            transient=True,
            disable=not (wanted and self._bars_shown),
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with progress:
            yield TerminalBars(progress)

    @contextmanager
    def bar(self, stage: str) -> Iterator[Callable[..., None]]:
        """Show one bar; yields what is called with how many are done, of how many, and what else there is to say."""
        with self.bars() as bars:
            yield functools.partial(bars.update, stage)

    def start_jax(self, *, cache: bool) -> None:
        """Set up JAX before anything is computed, and say what is wrong with its cache."""
        from emjax.experiments.execution import runtime

        runtime.one_line_warnings(show=not self.quiet)
        problem = runtime.configure(cache=cache)
        if problem is not None:
            self.warn(problem)


def unbroken(line: str, style: str = "") -> Text:
    """A line that is there to be copied, such as a path or a command: on one line, however long."""
    return Text(line, no_wrap=True, overflow="ignore", style=style)


class _Count(ProgressColumn):
    """``done/total``, or ``done`` alone where nobody knows the total: EM stops when it has converged."""

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f"/{task.total:.0f}"
        return Text(f"{task.completed:.0f}{total}", justify="right")


def print_error(message: object) -> None:
    """Print ``emjax: error: ...`` on stderr, on one line whatever the message holds; a terminal wraps it at words."""
    with suppress(OSError):  # the terminal may be gone
        sys.stderr.write(_between_words(f"emjax: error: {printable(message)}", sys.stderr) + "\n")


def _between_words(line: str, stream: IO[str]) -> str:
    """A line as it is, for programs; on a terminal broken between words, which the terminal itself would not heed."""
    try:
        if not stream.isatty():
            return line
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return line
    return textwrap.fill(line, max(width, 20), break_long_words=False, break_on_hyphens=False)


def _close_for_good(stream: IO[str]) -> None:
    """Send to nowhere what is still to be written to a pipe without a reader, Python's own last flush included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
