"""What a run says about how far it is."""

from types import SimpleNamespace

import pytest

from emjax.cli.commands import study as module
from emjax.cli.commands.study import shown
from emjax.cli.console import Console
from emjax.experiments.execution.progress import StudyProgress, Tracker, duration, in_words
from emjax.experiments.execution.supervise import Ended


def job(key, method="em", n_results=10):
    return SimpleNamespace(key=key, method=method, first=0, stop=n_results)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (8.4, "8 s"),
        (59.7, "1 min"),
        (80, "1 min 20 s"),
        (7500, "2 h 5 min"),
        (86400 * 3 + 3600, "3 d 1 h"),
    ],
)
def test_durations_have_two_units(seconds, words):
    assert duration(seconds) == words


def test_results_are_counted_and_the_time_left_follows_from_each_method():
    jobs = [job("a"), job("b"), job("c", "hmc"), job("d", "hmc"), job("e", "hmc"), job("f", "em", 5)]
    tracker = Tracker(jobs, {"f"}, n_workers=2)
    assert (tracker.now().done, tracker.now().total) == (5, 55)
    assert tracker.now().seconds_left is None
    tracker.add(Ended(jobs[0], 1.0))
    now = tracker.add(Ended(jobs[2], 9.0))
    assert (now.done, now.total, now.n_failed, now.n_own) == (25, 55, 0, 20)
    assert now.methods == {"em": (15, 25), "hmc": (10, 30)}
    # Ten results of em at 0.1 s and twenty of hmc at 0.9 s, on two workers.
    assert now.seconds_left == pytest.approx((1.0 + 18.0) / 2)
    assert tracker.add(Ended(jobs[3])).n_own == 20


def test_failures_are_counted():
    jobs = [job("a"), job("b")]
    now = Tracker(jobs, set(), 1).add(Ended(jobs[1], None, "ValueError: no", "", 2))
    assert (now.n_failed, now.done) == (10, 0)
    assert "10 failed" in in_words(now)


def test_without_a_terminal_there_is_a_line_now_and_then(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 31.0, 32.0, 62.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    progress = StudyProgress(5, 20, 0, 5, 2.0, 80.0, {"em": (5, 20)})
    with shown(Console()) as show:
        for _ in range(4):
            show(progress)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "emjax: 5/20 results, 2/s, 1 min 20 s left\n" * 2


@pytest.mark.parametrize("settings", [{"quiet": True}, {"progress": False}])
def test_who_wants_none_gets_none(monkeypatch, capsys, settings):
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    with shown(Console(**settings)) as show:
        show(StudyProgress(5, 20, 0, 5, 2.0, 80.0, {"em": (5, 20)}))
    assert capsys.readouterr().err == ""
