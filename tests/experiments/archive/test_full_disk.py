"""A disk that takes no more is one line and exit code 2, whatever is being written, and nothing is torn.

The limit is that of a file's size, which the system lets anybody set, and which the code meets as it meets a full disk.
"""

import errno
import resource
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from emjax.atomic import StorageError
from emjax.bayes.tree import save_tree, to_tree
from emjax.experiments import starter
from emjax.experiments.archive.store import run_folder
from emjax.experiments.execution import runtime


@contextmanager
def files_of_at_most(n_bytes: int):
    """No file of this process grows beyond a size; Python ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SMALL = ("--n-init", "2", "--method", "laplace", "--chains", "2", "--draws", "50")


@pytest.mark.parametrize(
    ("arguments", "n_bytes"),
    [
        (("fit", "faithful", "-k", "2", "--out", "new"), 100),
        pytest.param(("sample", "faithful", "-k", "1", *SMALL, "--out", "a/b/new"), 20_000, marks=pytest.mark.slow),
        (("init", "new"), 100),
    ],
    ids=["the first file", "the posterior", "the first of two"],
)
def test_a_new_folder_is_whole_or_not_there(emjax_command, workplace, arguments, n_bytes):
    with files_of_at_most(n_bytes):
        refused = emjax_command(*arguments)
    assert refused.code == 2
    assert refused.out == ""
    assert [line for line in refused.err.splitlines() if not line.startswith("emjax: auto")] == [refused.err.strip()]
    assert "no space left; free some and run the same command again; nothing was written" in refused.err
    assert list(workplace.iterdir()) == []


def test_the_first_file_of_a_new_experiment_goes_with_the_second(workplace, monkeypatch):
    monkeypatch.setattr(starter, "FILES", tuple(reversed(starter.FILES)))  # the larger one last
    with files_of_at_most(900), pytest.raises(StorageError, match="nothing was written"):
        starter.init_experiment("new")
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize("n_bytes", [500, pytest.param(5_000, marks=pytest.mark.slow)])
def test_the_pages_of_a_study_are_each_the_old_or_the_new(emjax_command, workplace, declare, fill, n_bytes):
    archive = fill(workplace / "study", declare())
    archive.collect()
    assert emjax_command("report", "study").code == 0
    before = contents(workplace / "study")
    for path in ("report.html", "tables/summary.csv"):
        (workplace / "study" / path).write_text("old")
    with files_of_at_most(n_bytes):
        refused = emjax_command("report", "study")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "no space left; free some and run the same command again; the run itself is untouched" in refused.err
    after = contents(workplace / "study")
    assert set(after) == set(before)
    assert all(content in (before[name], b"old") for name, content in after.items())


def test_a_posterior_that_does_not_fit_is_an_error_and_no_crash(tmp_path):
    draws = {"weights": np.random.default_rng(0).random((2, 2000, 3))}
    tree = to_tree(draws, {}, None, None, ["x"])
    with files_of_at_most(10_000), pytest.raises(OSError, match="File too large"):
        save_tree(tree, tmp_path / "posterior.nc")

    def write() -> None:
        with run_folder(tmp_path / "a" / "b" / "new") as folder:
            folder.write("config.toml", {})
            save_tree(tree, folder.partial / "posterior.nc")

    with files_of_at_most(10_000), pytest.raises(StorageError, match=r"a/b: no space left; .* nothing was written"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["posterior.nc"]


def test_a_full_cache_is_one_line(workplace, monkeypatch):
    monkeypatch.setenv("EMJAX_NO_CACHE", "")
    monkeypatch.setenv("EMJAX_CACHE_DIR", str(workplace / "cache"))
    with files_of_at_most(1_000):
        assert "no compilation cache" in runtime.configure()
    runtime.one_line_warnings(show=True)
    text = "Error writing persistent compilation cache entry for 'jit_%d': OSError: [Errno 28] No space"
    said = [warnings.formatwarning(text % number, UserWarning, "compiler.py", 1) for number in range(3)]
    assert "make room there" in said[0]
    assert "[Errno 28] No space" in said[0]
    assert said[1:] == ["", ""]
    assert warnings.formatwarning("Other", UserWarning, "other.py", 1) == "emjax: warning: Other\n"


def test_an_error_of_a_full_disk_that_nobody_answers_for_is_bad_input(emjax_command, monkeypatch):
    from emjax.cli import terminal

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(terminal, "bundled_datasets", full)
    refused = emjax_command("datasets")
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert "no space left; free some" in refused.err
