"""One call keeps compiled programs between processes; it changes two settings of JAX, and none that a user made."""

import errno
import json
import os
import subprocess
import sys
import tempfile

import jax
import pytest

import emjax

PROGRAM = """
import json, os, sys, jax, emjax
from pathlib import Path

first, second = Path(sys.argv[1]), Path(sys.argv[2])
told = {}

def programs(folder):
    return len(list(folder.glob("*-cache"))) if folder.exists() else 0

def compiled(power):
    jax.jit(lambda x: x**power + power)(1.5).block_until_ready()

compiled(2)
before = dict(jax.config.values)
told["returned"] = str(emjax.enable_compilation_cache(first)) == str(first)
told["changed"] = sorted(name for name, value in jax.config.values.items() if value != before[name])
compiled(3)
told["first"] = programs(first)
emjax.enable_compilation_cache(second)
compiled(4)
told["moved"] = [programs(first) == told["first"], programs(second) > 0]
told["jax's own"] = str(emjax.enable_compilation_cache()) == str(second)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
emjax.enable_compilation_cache(first)
told["limit"] = jax.config.jax_persistent_cache_min_compile_time_secs
os.environ["EMJAX_NO_CACHE"] = "1"
told["off"] = emjax.enable_compilation_cache(second)
told["still"] = jax.config.jax_compilation_cache_dir == str(first)
print(json.dumps(told))
"""


def test_programs_are_kept_in_the_folder_and_settings_of_users_stay(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("EMJAX_", "JAX_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path / "first"), str(tmp_path / "second")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("first") > 0
    assert told == {
        "returned": True,
        "changed": ["jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"],
        "moved": [True, True],
        "jax's own": True,
        "limit": 0.5,
        "off": None,
        "still": True,
    }


def no_folder(path, _):
    path.write_text("a file")
    return path / "below"


def of_another_user(path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: path.parent.stat().st_uid + 1)
    return path


def open_to_all(path, _):
    path.mkdir()
    path.chmod(0o777)
    return path


def on_a_full_disk(path, monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (no_folder, "Not a directory"),
        (of_another_user, "another user"),
        (open_to_all, "everybody may write"),
        (on_a_full_disk, "No space left"),
    ],
)
def test_a_folder_that_will_not_do_is_one_line_of_warning(make, reason, tmp_path, monkeypatch):
    monkeypatch.delenv("EMJAX_NO_CACHE", raising=False)
    before = dict(jax.config.values)
    folder = make(tmp_path / "cache", monkeypatch)
    with pytest.warns(UserWarning, match=reason) as caught:
        assert emjax.enable_compilation_cache(folder) is None
    assert [str(each.message).isprintable() for each in caught] == [True]
    assert jax.config.values == before
