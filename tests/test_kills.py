"""The judge of `benchmarks.kills`: what counts as held, and what does not."""

import signal

import pytest

from benchmarks import kills

INTERRUPTED = "emjax: error: interrupted; 3 of 12 jobs are done, and the same command goes on from there\n"


@pytest.mark.parametrize(
    ("kind", "number", "returncode", "error"),
    [
        ("single", signal.SIGKILL, -9, ""),
        ("single", signal.SIGHUP, 129, "emjax: error: interrupted; nothing was written\n"),
        ("single", signal.SIGTERM, 0, ""),
        ("study", signal.SIGINT, 130, f"\nemjax: stopping; once more leaves at once\n{INTERRUPTED}"),
        ("study", signal.SIGTERM, -15, ""),
    ],
)
def test_what_an_interrupted_run_may_say(kind, number, returncode, error):
    assert kills.complaint(kind, number, returncode, error) is None


@pytest.mark.parametrize(
    ("number", "returncode", "error", "expected"),
    [
        (signal.SIGTERM, 143, "Traceback (most recent call last):\nKeyError: 3\n", "said 'KeyError: 3'"),
        (signal.SIGTERM, 1, "emjax: interrupted\n", "exit code 1"),
        (signal.SIGKILL, 2, "", "exit code 2"),
    ],
)
def test_what_it_may_not(number, returncode, error, expected):
    assert kills.complaint("single", number, returncode, error) == expected


def test_the_jobs_that_are_said_to_be_done_are_counted():
    assert kills.counted(INTERRUPTED) == 3
    assert kills.counted("emjax: interrupted\n") is None


def test_what_is_left_behind_is_found(tmp_path):
    for name in ("jobs/a/job.json", "locks/a.lock", "jobs/.a.partial-1-0a/rows.parquet", ".study.json.partial-1-0b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert kills.left_behind(tmp_path) == [".study.json.partial-1-0b", "jobs/.a.partial-1-0a", "locks/a.lock"]


def test_the_plan_sends_every_signal_as_often_as_it_says_and_is_the_same_each_time():
    counts = {"KILL": 3, "HUP": 2}
    planned = list(kills.plan(counts, seed=1))
    assert sorted(name for name, *_ in planned) == ["HUP", "HUP", "KILL", "KILL", "KILL"]
    assert all(0 <= share < 1 for _, share, _ in planned)
    assert planned == list(kills.plan(counts, seed=1)) != list(kills.plan(counts, seed=2))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["single", "study"])
def test_runs_that_are_killed_are_completed_by_the_next(kind, capsys):
    assert kills.main(["--only", kind, "--share", "0.1"]) == 0
    assert "| SIGHUP | 1 |" in capsys.readouterr().out
