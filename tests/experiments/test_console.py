"""What people see of the command line beside its results: lines on a terminal, a pipe without a reader, the Tab key."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from emjax.cli.console import Console, unbroken
from emjax.cli.options import data_names

COMMAND = [sys.executable, "-m", "emjax"]


def on_a_terminal(*arguments: str, columns: int = 60) -> tuple[int, list[str]]:
    """The lines that a command writes to stderr where that is a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    done = subprocess.run([*COMMAND, *arguments], stderr=theirs, stdout=subprocess.DEVNULL, check=False)
    os.close(theirs)
    return done.returncode, os.read(ours, 100_000).decode().splitlines()


def test_a_terminal_gets_whole_words_and_a_pipe_one_line():
    command = ["fit", "faithful", "--components", "2", "--covariance", "ful"]
    code, lines = on_a_terminal(*command)
    assert code == 2
    assert len(lines) > 1
    assert max(map(len, lines)) <= 60
    piped = subprocess.run([*COMMAND, *command], capture_output=True, text=True, check=False)
    assert (piped.returncode, piped.stderr.count("\n")) == (2, 1)
    assert " ".join(lines) == piped.stderr.strip(), "no word is cut"


@pytest.mark.parametrize("options", [pytest.param(["--json"], marks=pytest.mark.slow), ["--log-every", "1"]])
def test_what_nobody_reads_any_more_is_still_written(options, tmp_path):
    out = tmp_path / "run"
    command = [*COMMAND, "fit", "deaths", "-k", "1", "--family", "poisson", "--n-init", "1", "--out", str(out)]
    command += ["--no-progress", "--no-intervals", *options]
    asked = {**os.environ, "EMJAX_CACHE_DIR": os.environ.get("EMJAX_TESTS_PROGRAMS", str(tmp_path / "programs"))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=asked) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")
    assert (out / "em.json").exists()


def test_the_shell_completes_names_and_values():
    assert data_names("fai") == ["faithful"]
    asked = {"_EMJAX_COMPLETE": "complete_bash", "COMP_WORDS": "emjax fit faithful --covariance t", "COMP_CWORD": "4"}
    done = subprocess.run(COMMAND, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["tied"]


def test_what_is_there_to_be_copied_is_never_broken(capsys):
    Console().show(unbroken("x" * 300), "words " * 30)
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "x" * 300
    assert len(rest) > 1
