"""The stopwatch: compile and run seconds add up to the wall time, and nothing is counted twice."""

import subprocess
import sys
import threading
import time

import jax
import jax.monitoring
import jax.numpy as jnp
import pytest

from emjax.clock import now as this_moment
from emjax.clock import stopwatch

TRACE = "/jax/core/compile/jaxpr_trace_duration"
BACKEND = "/jax/core/compile/backend_compile_duration"


def fresh_program():
    """A jitted function that no cache of this process knows."""
    return jax.jit(lambda x: jnp.sin(x) + jnp.cos(x).sum())


def test_a_first_call_compiles_and_a_second_does_not():
    program, x = fresh_program(), jnp.ones(3)
    with stopwatch() as first:
        program(x).block_until_ready()
    with stopwatch() as second:
        program(x).block_until_ready()
    assert first.compile_seconds > 0
    assert second.compile_seconds == 0
    for clock in (first, second):
        assert clock.run_seconds >= 0
        assert clock.compile_seconds + clock.run_seconds == pytest.approx(clock.total_seconds)


def test_overlapping_spans_are_counted_once():
    with stopwatch() as clock:
        now = time.time()
        time.sleep(0.06)
        jax.monitoring.record_event_time_span(TRACE, now, now + 0.04)
        jax.monitoring.record_event_time_span(BACKEND, now + 0.01, now + 0.02)
        jax.monitoring.record_event_time_span(BACKEND, now + 0.03, now + 0.05)
        jax.monitoring.record_event_time_span("/another/event", now, now + 0.06)
    assert clock.compile_seconds == pytest.approx(0.05, abs=1e-6)
    assert clock.total_seconds >= 0.06


def test_a_span_that_began_before_the_clock_is_cut():
    with stopwatch() as clock:
        now = time.time()
        jax.monitoring.record_event_time_span(TRACE, now - 100, now)
    assert 0 <= clock.compile_seconds <= clock.total_seconds < 100


@pytest.mark.parametrize("step", [-86_399.0, -0.5, 0.5, 86_399.0])
def test_a_wall_clock_that_is_set_during_a_compilation_changes_no_duration(monkeypatch, step):
    wall, set_by = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: wall() + set_by[0])
    begun = this_moment()
    with stopwatch() as watch:
        jax.monitoring.record_event_time_span(TRACE, time.time() - 0.001, time.time())
        start = time.time()
        time.sleep(0.05)
        set_by[0] = step
        time.sleep(0.05)
        jax.monitoring.record_event_time_span(BACKEND, start, time.time())
        again = time.time()
        time.sleep(0.02)
        jax.monitoring.record_event_time_span(TRACE, again, time.time())
    assert 0.1 <= watch.compile_seconds <= watch.total_seconds
    assert watch.run_seconds >= 0
    if abs(step) > 1:
        assert watch.compile_seconds == pytest.approx(0.121, abs=0.05)
    assert 0.1 < begun.seconds < 60


def test_nested_stopwatches_both_get_the_events():
    program, x = fresh_program(), jnp.ones(4)
    with stopwatch() as outer:
        fresh_program()(x).block_until_ready()
        with stopwatch() as inner:
            program(x).block_until_ready()
    assert 0 < inner.compile_seconds < outer.compile_seconds
    assert inner.total_seconds < outer.total_seconds


def test_threads_that_compile_together_never_exceed_the_wall_time():
    x = jnp.ones(5)
    threads = [threading.Thread(target=lambda: fresh_program()(x).block_until_ready()) for _ in range(3)]
    with stopwatch() as clock:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 0 < clock.compile_seconds <= clock.total_seconds


def test_it_can_be_read_while_it_runs_and_stops_on_an_error():
    clocks = []

    def fail():
        with stopwatch() as clock:
            clocks.append(clock)
            assert 0 < clock.total_seconds < clock.total_seconds
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    stopped = clocks[0].total_seconds
    fresh_program()(jnp.ones(6)).block_until_ready()
    assert clocks[0].total_seconds == stopped
    assert clocks[0].compile_seconds == 0


def test_one_listener_is_registered_at_the_first_use_and_none_at_import():
    code = """
import jax.monitoring
calls = []
original = jax.monitoring.register_event_time_span_listener
jax.monitoring.register_event_time_span_listener = lambda f: (calls.append(f), original(f))
from emjax.clock import stopwatch
assert calls == [], "registered at import"
for _ in range(2):
    with stopwatch():
        pass
assert len(calls) == 1, calls
"""
    subprocess.run([sys.executable, "-c", code], check=True)
