"""The loop of a run, with workers that do what the test says: failures, retries, other runners, a full disk."""

from collections import Counter
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import pytest
from pebble import ProcessExpired

from emjax.errors import ConfigError, EmjaxError
from emjax.experiments.execution import supervise
from emjax.experiments.execution.interrupts import StopWish
from emjax.experiments.execution.supervise import Supervisor


def job(key):
    return SimpleNamespace(key=key, spec={"key": key}, method="em", cell="c", first=0, stop=2)


def done(key):
    return {"state": "done", "key": key, "seconds": 0.5, "summary": {}}


def failed(key, error="ValueError: no"):
    return {"state": "failed", "key": key, "error": error, "traceback": "Traceback ..."}


class ScriptedExecutor:
    """Answers the n-th submission of a key with the n-th entry of its script: a state, or an exception to raise."""

    n_workers = 2

    def __init__(self, **scripts):
        self.scripts = {key: list(script) for key, script in scripts.items()}
        self.submitted = Counter()
        self.restarts = 0

    def submit(self, function, folder, spec, time_limit, *, limit=None, cache=True):
        assert function is supervise.do_job
        key = spec["key"]
        self.submitted[key] += 1
        answer = self.scripts[key].pop(0)
        future = Future()
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result({"done": done, "failed": failed}[answer](key) if answer in ("done", "failed") else answer)
        return future

    def restart(self):
        self.restarts += 1


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(supervise, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(supervise, "HELD_SECONDS", 0.001)


def supervised(executor, *keys, retries=1, finished=lambda keys: set(), wish=None, time_limit=None):
    notes = []
    wish = StopWish() if wish is None else wish
    supervisor = Supervisor("/study", executor, finished, wish, notes.append, time_limit, retries)
    ended = list(supervisor.run([job(key) for key in keys]))
    assert len({one.job.key for one in ended}) == len(ended)
    done = {one.job.key: one.seconds for one in ended if not one.error}
    failures = {one.job.key: one for one in ended if one.error}
    return SimpleNamespace(done=done, failures=failures, notes=notes, completed=len(ended) == len(keys))


def test_all_jobs_are_done_once():
    executor = ScriptedExecutor(**{key: ["done"] for key in "abcdefg"})
    heard = supervised(executor, *"abcdefg")
    assert heard.completed
    assert heard.done == dict.fromkeys("abcdefg", 0.5)
    assert executor.submitted == dict.fromkeys("abcdefg", 1)


def test_a_failed_job_is_tried_again_and_then_given_up_with_its_error():
    executor = ScriptedExecutor(a=["failed", "done"], b=["failed", "failed", "failed"], c=["done"])
    heard = supervised(executor, *"abc", retries=2)
    assert set(heard.done) == {"a", "c"}
    assert executor.submitted == {"a": 2, "b": 3, "c": 1}
    assert heard.failures["b"].error == "ValueError: no"
    assert heard.failures["b"].attempts == 3
    assert heard.failures["b"].traceback == "Traceback ..."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ProcessExpired("Abnormal termination", code=-9, pid=1), "its process died (exit code -9)"),
        (TimeoutError("Task timeout", 32.0), "execution.time_limit = 2 s"),
        (ValueError("cannot pickle"), "ValueError: cannot pickle"),
    ],
)
def test_whatever_happens_to_a_worker_fails_its_own_job_alone(error, expected):
    heard = supervised(ScriptedExecutor(a=[error], b=["done"]), *"ab", retries=0, time_limit=2.0)
    assert set(heard.done) == {"b"}
    assert expected in heard.failures["a"].error


def test_a_job_that_the_scheduler_took_back_is_handed_out_again_and_is_not_to_blame():
    heard = supervised(ScriptedExecutor(a=[CancelledError(), CancelledError(), "done"]), "a", retries=0)
    assert set(heard.done) == {"a"}
    assert heard.failures == {}


def test_a_job_that_another_runner_is_at_is_waited_for():
    looks = Counter()

    def finished(keys):
        looks.update(keys)
        return {key for key in keys if looks[key] >= 3}

    elsewhere = {"state": "elsewhere", "key": "a", "holder": "process 7 on there since 12:00:00"}
    executor = ScriptedExecutor(a=[elsewhere] * 5, b=["done"])
    heard = supervised(executor, *"ab", finished=finished)
    assert heard.completed
    assert heard.done == {"a": None, "b": 0.5}
    assert executor.submitted["a"] == 3
    assert heard.notes == [
        "the last 1 job is being done by another run of this study (process 7 on there since 12:00:00); waiting"
    ]


def test_a_job_that_another_runner_left_is_done_here():
    elsewhere = {"state": "elsewhere", "key": "a"}
    heard = supervised(ScriptedExecutor(a=[elsewhere, elsewhere, "done"]), "a")
    assert heard.done == {"a": 0.5}


def test_a_job_that_was_finished_meanwhile_counts_as_done():
    heard = supervised(ScriptedExecutor(a=[{"state": "finished", "key": "a"}]), "a")
    assert heard.done == {"a": None}


def test_a_folder_that_cannot_be_written_ends_the_run():
    full = {"state": "unwritable", "key": "b", "error": "/study/jobs: no space left"}
    with pytest.raises(ConfigError, match="no space left"):
        supervised(ScriptedExecutor(a=["done"], b=[full], c=["done"]), *"abc")


def test_broken_workers_are_replaced_and_no_job_is_blamed():
    executor = ScriptedExecutor(a=[BrokenProcessPool(), "done"], b=["done", "done"])
    heard = supervised(executor, *"ab", retries=0)
    assert executor.restarts == 1
    assert set(heard.done) == {"a", "b"}
    assert heard.failures == {}


def test_workers_that_never_begin_end_the_run():
    executor = ScriptedExecutor(a=[BrokenProcessPool() for _ in range(9)])
    with pytest.raises(EmjaxError, match="__main__"):
        supervised(executor, "a")
    assert executor.restarts == supervise.MOST_RESTARTS


def test_a_wish_to_stop_is_seen_before_the_next_job():
    wish = StopWish()

    class Stopping(ScriptedExecutor):
        def submit(self, *arguments, **more):
            wish.number = 2
            return super().submit(*arguments, **more)

    executor = Stopping(**{key: ["done"] for key in "abcdefghij"})
    heard = supervised(executor, *"abcdefghij", wish=wish)
    assert not heard.completed
    assert executor.submitted.total() <= supervise.AHEAD * executor.n_workers


def test_a_worker_that_ends_with_the_run_fails_no_job():
    wish = StopWish()

    class Stopping(ScriptedExecutor):
        def submit(self, *arguments, **more):
            wish.number = 1
            return super().submit(*arguments, **more)

    died = ProcessExpired("Abnormal termination", code=-1, pid=1)
    heard = supervised(Stopping(a=[died], b=[died]), *"ab", retries=0, wish=wish)
    assert not heard.completed
    assert heard.failures == {}


def test_few_jobs_are_handed_out_at_a_time(monkeypatch):
    wish = StopWish()

    class Slow(ScriptedExecutor):
        def submit(self, function, folder, spec, *arguments, **more):
            self.submitted[spec["key"]] += 1
            return Future()

    def wait(futures, **more):
        wish.number = 2
        return set(), futures

    monkeypatch.setattr(supervise, "wait", wait)
    executor = Slow()
    assert not supervised(executor, *"abcdefghij", wish=wish).completed
    assert sorted(executor.submitted) == list("abcd")
