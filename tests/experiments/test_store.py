"""A run folder is whole or not there, and an older one is never lost by accident."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emjax.atomic import StorageError
from emjax.errors import ConfigError, RunExistsError
from emjax.experiments.archive import store
from emjax.experiments.archive.store import run_folder
from emjax.experiments.execution.interrupts import STOPPING


def write_run(target, **options) -> Path:
    with run_folder(target, **options) as folder:
        folder.write("config.toml", {"seed": 1})
        folder.write("em.json", {"value": np.float64(0.1)})
        folder.write("environment.json", {"format": 1, "versions": {"emjax": "0.1.0"}})
        return folder.publish()


WRITTEN = ["config.toml", "em.json", "environment.json"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_run_appears_whole_with_all_its_files(tmp_path):
    with run_folder(tmp_path / "runs" / "a") as folder:
        folder.write("em.json", {"x": 1})
        assert names_in(tmp_path / "runs") == [folder.partial.name]
        assert folder.partial.name.startswith(f".a.partial-{os.getpid()}-")
        folder.publish()
    assert names_in(tmp_path / "runs") == ["a"]
    assert json.loads((tmp_path / "runs" / "a" / "em.json").read_text()) == {"x": 1}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_a_failure_in_the_middle_leaves_nothing(tmp_path, error):
    def fail():
        with run_folder(tmp_path / "runs" / "a") as folder:
            folder.write("em.json", {})
            raise error

    with pytest.raises(error):
        fail()
    assert names_in(tmp_path) == []


def test_a_failure_leaves_the_folders_that_were_there(tmp_path):
    (tmp_path / "runs").mkdir()
    with pytest.raises(RuntimeError), run_folder(tmp_path / "runs" / "a"):
        raise RuntimeError
    assert names_in(tmp_path) == ["runs"]
    assert names_in(tmp_path / "runs") == []


def test_a_run_that_was_not_published_leaves_nothing(tmp_path):
    with run_folder(tmp_path / "a") as folder:
        folder.write("em.json", {})
    assert names_in(tmp_path) == []


def test_an_existing_run_is_refused_before_anything_is_done(tmp_path):
    write_run(tmp_path / "a")
    before = (tmp_path / "a" / "em.json").read_bytes()
    entered = False
    with pytest.raises(RunExistsError, match="--overwrite") as caught, run_folder(tmp_path / "a"):
        entered = True
    assert not entered
    assert str(tmp_path / "a") in str(caught.value)
    assert (tmp_path / "a" / "em.json").read_bytes() == before
    assert names_in(tmp_path) == ["a"]


def test_a_run_that_appears_meanwhile_is_not_overwritten(tmp_path):
    with run_folder(tmp_path / "a") as folder:
        folder.write("em.json", {})
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "other").write_text("mine")
        with pytest.raises(RunExistsError):
            folder.publish()
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a" / "other").read_text() == "mine"


def test_an_empty_folder_may_become_the_run(tmp_path):
    (tmp_path / "a").mkdir()
    write_run(tmp_path / "a")
    assert names_in(tmp_path / "a") == WRITTEN


def test_a_file_of_the_same_name_is_refused(tmp_path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(RunExistsError):
        write_run(tmp_path / "a")
    with pytest.raises(RunExistsError, match="not a run folder"):
        write_run(tmp_path / "a", overwrite=True)
    assert (tmp_path / "a").read_text() == "mine"


def test_overwrite_replaces_the_whole_folder(tmp_path):
    write_run(tmp_path / "a")
    (tmp_path / "a" / "report.html").write_text("old")
    write_run(tmp_path / "a", overwrite=True)
    assert names_in(tmp_path / "a") == WRITTEN
    assert names_in(tmp_path) == ["a"]


def test_overwrite_leaves_a_folder_that_is_no_run_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("mine")
    with pytest.raises(RunExistsError, match="not a run folder"):
        write_run(tmp_path / "photos", overwrite=True)
    assert names_in(tmp_path / "photos") == ["one.jpg"]


SOMEBODY_ELSES = {
    "notes": lambda run: (run / "notes.md").write_text("mine"),
    "a folder": lambda run: (run / "figures").mkdir(),
    "a folder of a file's name": lambda run: ((run / "em.json").unlink(), (run / "em.json").mkdir()),
    "a link": lambda run: ((run / "em.json").unlink(), (run / "em.json").symlink_to(run / "config.toml")),
    "a study": lambda run: [(run / name).write_text("{}") for name in ("study.json", "study.toml")],
    "no environment": lambda run: (run / "environment.json").unlink(),
    "no config": lambda run: (run / "config.toml").unlink(),
    "another's environment": lambda run: (run / "environment.json").write_text('{"format": 1}'),
    "a list": lambda run: (run / "environment.json").write_text("[1]"),
    "no format": lambda run: (run / "environment.json").write_text('{"versions": {"emjax": "0.1.0"}}'),
    "a newer format": lambda run: (run / "environment.json").write_text('{"format": 2, "versions": {"emjax": "9"}}'),
}


def contents(folder: Path) -> dict[str, object]:
    return {
        path.relative_to(folder).as_posix(): os.readlink(path)
        if path.is_symlink()
        else path.is_dir() or path.read_bytes()
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("change", SOMEBODY_ELSES.values(), ids=SOMEBODY_ELSES.keys())
def test_only_what_a_single_run_has_written_is_replaced(tmp_path, change):
    write_run(tmp_path / "a")
    change(tmp_path / "a")
    before = contents(tmp_path)
    with pytest.raises(RunExistsError, match=r"not a run folder.*--overwrite leaves it alone") as caught:
        write_run(tmp_path / "a", overwrite=True)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before


def test_a_link_to_a_run_is_not_replaced(tmp_path):
    write_run(tmp_path / "a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    before = contents(tmp_path)
    with pytest.raises(RunExistsError, match="not a run folder"):
        write_run(tmp_path / "b", overwrite=True)
    assert contents(tmp_path) == before


def test_what_was_added_while_the_run_was_computed_is_not_lost(tmp_path):
    write_run(tmp_path / "a")
    with run_folder(tmp_path / "a", overwrite=True) as folder:
        (tmp_path / "a" / "notes.md").write_text("mine")
        with pytest.raises(RunExistsError, match=r"notes\.md"):
            folder.publish()
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a" / "notes.md").read_text() == "mine"


def test_overwrite_fills_an_empty_folder(tmp_path):
    (tmp_path / "a").mkdir()
    write_run(tmp_path / "a", overwrite=True)
    assert names_in(tmp_path / "a") == WRITTEN


def test_a_failed_overwrite_keeps_the_old_run(tmp_path):
    write_run(tmp_path / "a")
    (tmp_path / "a" / "report.html").write_text("old")
    with pytest.raises(RuntimeError), run_folder(tmp_path / "a", overwrite=True):
        raise RuntimeError
    assert (tmp_path / "a" / "report.html").read_text() == "old"
    assert names_in(tmp_path) == ["a"]


def test_a_rename_that_fails_brings_the_old_run_back(tmp_path, monkeypatch):
    write_run(tmp_path / "a")
    (tmp_path / "a" / "report.html").write_text("old")
    rename = os.rename

    def failing(source, target):
        if ".partial-" in Path(source).name:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(store.os, "rename", failing)
    with pytest.raises(StorageError, match="no space left"):
        write_run(tmp_path / "a", overwrite=True)
    assert (tmp_path / "a" / "report.html").read_text() == "old"
    assert names_in(tmp_path) == ["a"]


def test_what_is_open_can_be_dropped_at_once(tmp_path):
    with run_folder(tmp_path / "runs" / "a") as folder:
        folder.write("em.json", {})
        assert store.discard_open()
        assert names_in(tmp_path) == []
    assert not store.discard_open()
    assert names_in(tmp_path) == []


def test_runs_without_a_name_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = [write_run(None, default="faithful-k2") for _ in range(3)]
    assert [str(path) for path in written] == ["runs/faithful-k2", "runs/faithful-k2-2", "runs/faithful-k2-3"]


def test_a_numbered_run_moves_on_when_its_name_is_taken_meanwhile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with run_folder(None, default="a") as folder:
        (tmp_path / "runs" / "a").mkdir()
        (tmp_path / "runs" / "a" / "other").write_text("mine")
        folder.write("em.json", {})
        assert folder.publish() == Path("runs/a-2")
    assert names_in(tmp_path / "runs") == ["a", "a-2"]


def test_a_parent_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be made"):
        write_run(tmp_path / "file" / "a")


KILLED = """
import os, signal, sys
from emjax.experiments.archive import store
rename = os.rename
def kill(source, target):
    if sys.argv[2] in str(source):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
os.rename = kill
with store.run_folder(sys.argv[1], overwrite=True) as folder:
    folder.write("config.toml", {"seed": 2})
    folder.publish()
"""


@pytest.mark.parametrize(("at", "left"), [("/a", 2), (".a.partial", 2)], ids=["before", "between its two names"])
def test_a_killed_run_is_swept_by_the_next_and_an_older_one_is_not_lost(tmp_path, at, left):
    write_run(tmp_path / "a")
    (tmp_path / "a" / "em.json").write_text("old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a"), at])
    assert killed.returncode == -signal.SIGKILL
    assert len(names_in(tmp_path)) == left
    (tmp_path / ".mine.partial-1-0").mkdir()
    write_run(tmp_path / "b")
    assert names_in(tmp_path) == [".mine.partial-1-0", "a", "b"]
    assert (tmp_path / "a" / "em.json").read_text() == "old"


def test_what_a_live_run_writes_is_left_alone(tmp_path):
    with run_folder(tmp_path / "a") as folder:
        folder.write("em.json", {})
        write_run(tmp_path / "b")
        folder.publish()
    assert names_in(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("number", STOPPING)
def test_signals_wait_until_an_overwritten_run_has_its_name(tmp_path, monkeypatch, number):
    write_run(tmp_path / "a")
    arrived, rename = [], os.rename

    def interrupted(source, target):
        os.kill(os.getpid(), number)
        assert arrived == []
        rename(source, target)

    before = signal.signal(number, lambda *_: arrived.append(names_in(tmp_path / "a")))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(store.os, "rename", interrupted)
            write_run(tmp_path / "a", overwrite=True)
    finally:
        signal.signal(number, before)
    assert arrived == [WRITTEN]
