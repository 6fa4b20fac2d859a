"""One line that says how far a computation is, for ``progress=True``: on the terminal, or in a notebook.

It only shows what callers say. Nothing else below the command line writes anything.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from emjax.bounds import called, flag

_SECONDS = {"terminal": 0.1, "notebook": 0.2, "file": 30.0}
"""How often the line changes at most; into a file every change is a line of its own."""


Line = Callable[[str], None]
"""Shows a text in place of the one before."""


@contextmanager
def progress_line(wanted: bool, what: str) -> Iterator[Line | None]:
    """What shows a line about ``what`` while the block runs; None where it is not wanted.

    On a terminal (standard error) the line vanishes at the end. In a notebook it is one output of the cell, which keeps
    its last text. Where standard error is a file, it is a line every half minute.

    Raises
    ------
    ConfigError
        If ``wanted`` is not a truth value.
    """
    if not flag("progress", wanted):
        yield None
        return
    line = _Line(what)
    try:
        yield line
    finally:
        line.close()


def both(
    line: Line | None, on_progress: Callable[..., None] | None, words: Callable[..., str], first: str = ""
) -> Callable[..., None] | None:
    """Who is told how far a computation is: the line in these ``words``, the user's function, both, or None: nobody.

    ``first`` is what the line says until then. Raises ConfigError if ``on_progress`` cannot be called.
    """
    called("on_progress", on_progress)
    if line is None:
        return on_progress
    if first:
        line(first)

    def tell(*found: Any) -> None:
        if on_progress is not None:
            on_progress(*found)
        line(words(*found))

    return tell


class _Line:
    def __init__(self, what: str) -> None:
        self._what, self._text = what, ""
        self._began = time.monotonic()
        self._last = float("-inf")
        self._display: Any = None
        self._place = "notebook" if _in_a_notebook() else "terminal" if _stderr_is_a_terminal() else "file"
        if self._place == "file":
            self._last = self._began

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        self._text = f"{self._what}: {text}, {now - self._began:.0f} s"
        if now - self._last >= _SECONDS[self._place]:
            self._last = now
            self._show()

    def close(self) -> None:
        """Let the line settle or vanish."""
        if self._place == "notebook":
            self._show()
        elif self._place == "terminal":
            _write("\r\x1b[K")

    def _show(self) -> None:
        if self._place == "notebook":
            from IPython.display import display

            content = {"text/plain": self._text}
            if self._display is None:
                self._display = display(content, raw=True, display_id=True)
            else:
                self._display.update(content, raw=True)
        elif self._place == "terminal":
            # A longer line would be wrapped, and stay.
            _write(f"\r\x1b[K{self._text[: max(shutil.get_terminal_size().columns - 1, 1)]}")
        else:
            _write(f"{self._text}\n")


def _write(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # the terminal may be gone, or there may never have been one
        sys.stderr.write(text)
        sys.stderr.flush()


def _in_a_notebook() -> bool:
    # Whoever runs in a notebook has imported it.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def _stderr_is_a_terminal() -> bool:
    with suppress(AttributeError, ValueError):
        return sys.stderr.isatty()
    return False
