"""``progress=True`` is one line on the terminal or in a notebook, and changes no number."""

import io
import sys
import types

import numpy as np
import pytest

import emjax
from emjax import progress
from emjax.progress import progress_line

X = np.concatenate([np.random.default_rng(0).normal(size=60), np.random.default_rng(1).normal(5.0, 1.0, size=40)])
MIXTURE = emjax.Mixture(emjax.Normal(), 2)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_a_terminal(monkeypatch):
    """Called by a test itself: pytest puts its own standard error in place before that."""
    monkeypatch.setattr(progress, "_SECONDS", {"terminal": 0.0, "notebook": 0.0, "file": 0.0})
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def test_a_fit_says_how_far_it_is_and_stays_the_same(monkeypatch, capsys):
    terminal = on_a_terminal(monkeypatch)
    heard = []
    options = {"key": 0, "n_init": 3, "max_iter": 40, "log_every": 10}
    quiet = emjax.fit(MIXTURE, X, **options, on_progress=heard.append)
    assert terminal.getvalue() == ""
    n_heard = len(heard)
    shown = emjax.fit(MIXTURE, X, **options, on_progress=heard.append, progress=True)
    assert len(heard) == 2 * n_heard
    np.testing.assert_array_equal(shown.trace, quiet.trace)
    lines = terminal.getvalue().split("\r\x1b[K")
    assert lines[:2] == ["", "EM: starts, 0 s"]
    assert "10 iterations, 3 of 3 starts running" in lines[2]
    assert lines[-1] == ""  # it has vanished
    assert "\n" not in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_the_line_vanishes_after_an_error_and_is_never_wrapped(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "30")

    def fail():
        with progress_line(True, "work") as line:
            line("x" * 100)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert terminal.getvalue() == f"\r\x1b[Kwork: {'x' * 23}\r\x1b[K"


def test_a_file_gets_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_line(True, "work") as line:
        line("a")
    assert sys.stderr.getvalue() == ""
    monkeypatch.setitem(progress._SECONDS, "file", 0.0)
    with progress_line(True, "work") as line:
        line("a")
    assert sys.stderr.getvalue() == "work: a, 0 s\n"
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    with progress_line(True, "work") as line:
        line("a")


def test_in_a_notebook_it_is_one_output_that_keeps_its_last_text(monkeypatch):
    outputs: list[list[str]] = []

    class Handle:
        def update(self, content, raw):
            outputs[-1].append(content["text/plain"])

    def display(content, *, raw, display_id):
        outputs.append([content["text/plain"]])
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    shown = types.ModuleType("IPython.display")
    shown.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    with progress_line(True, "work") as line:
        line("a")
        line("b")
    assert outputs == [["work: a, 0 s", "work: b, 0 s"]]
