"""The check for a borrowed accelerator: its file survives a cut, its time is planned, and all of it runs on a CPU."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.client import ROOT, PeerError, TooSlow
from benchmarks.on_device import parts, plan, profile, tables
from benchmarks.on_device.__main__ import main, show
from benchmarks.on_device.problems import PROBLEMS, compare
from benchmarks.on_device.records import Writer, newest_run, read

PARTS = {"machine", "agreement", "limits", "size", "workload", "starts", "many", "profile", "hmc", "end"}
FROZEN = Path(__file__).parent / "reference" / "on_device.jsonl"

LACKING = ("arviz", "arviz_stats", "pydantic", "pyarrow", "matplotlib", "typer", "rich")
"""What the machine with the GPU does not have."""


def _written(file: Path, records: list[dict]) -> bytes:
    with Writer(file) as write:
        for record in records:
            write(record)
    return file.read_bytes()


def test_a_file_cut_anywhere_holds_all_records_before(tmp_path: Path):
    file = tmp_path / "found.jsonl"
    records = [{"part": "machine", "device": "ä"}, {"part": "limits", "rates": {"send": 1.5}}, {"part": "end"}]
    whole = _written(file, records)
    for length in range(len(whole) + 1):
        file.write_bytes(whole[:length])
        # A line is whole without its newline.
        assert read(file) == records[: whole[: length + 1].count(b"\n")]


def test_a_run_is_appended_to_what_a_cut_one_left(tmp_path: Path):
    file = tmp_path / "found.jsonl"
    file.write_bytes(_written(file, [{"part": "machine"}, {"part": "limits"}])[:-5])
    _written(file, [{"part": "machine", "device": "another"}, {"part": "end"}])
    assert [record["part"] for record in read(file)] == ["machine", "machine", "end"]
    assert newest_run(read(file)) == [{"part": "machine", "device": "another"}, {"part": "end"}]
    assert newest_run([{"part": "limits"}]) == []


def test_what_is_no_number_is_null_and_a_word(tmp_path: Path):
    file = tmp_path / "found.jsonl"
    _written(file, [{"part": "size", "a": float("nan"), "rates": {"b": float("-inf")}, "c": np.float32(2)}])
    expected = {"part": "size", "a": None, "a_is": "nan", "rates": {"b": None, "b_is": "-inf"}, "c": 2.0}
    assert read(file) == [expected]
    assert "NaN" not in file.read_text()


def _result(status: str = "converged", shift: float = 0.0) -> dict:
    parameters = [np.array([0.25, 0.75]), np.array([[1.0], [4.0]]) + shift]
    times = {"compile_seconds": 1.0, "run_seconds": 0.1}
    return {"status": status, "n_iter": 7, "log_likelihood": -2.0 - shift, "parameters": parameters, **times}


def test_what_agrees_and_what_does_not():
    assert compare(_result(), _result(), "float64")["agrees"]
    off = compare(_result(shift=1e-6), _result(), "float64")
    assert (off["agrees"], off["difference"]) == (False, pytest.approx(5e-7))
    assert compare(_result(shift=1e-6), _result(), "float32")["agrees"]
    assert not compare(_result(shift=1e-2), _result(), "float32")["agrees"]
    assert not compare(_result(shift=float("nan")), _result(), "float32")["agrees"]
    assert not compare(_result("degenerate"), _result(), "float64")["agrees"]
    # On the way to where the likelihood has no bound numbers are accidents.
    assert compare(_result("degenerate"), _result("degenerate", 1.0), "float64")["agrees"]


def _step(part: str, expected: float, work) -> plan.Step:
    return plan.Step(part, {"n": part}, lambda: expected, lambda _: work(), judged=part == "agreement")


def _fails(error: Exception):
    def work():
        raise error

    return work


def test_a_step_that_does_not_fit_or_fails_costs_a_record_and_no_more():
    records: list[dict] = []
    steps = [
        _step("long", 11.0, lambda: {"never": 1}),
        _step("agreement", 1.0, _fails(PeerError("device: out of memory"))),
        dataclasses.replace(_step("slow", 1.0, _fails(TooSlow("device: took more than 1 s"))), judged=True),
        _step("host", 1.0, _fails(PeerError("host: gone"))),
        _step("mistake", 1.0, _fails(KeyError("x"))),
        _step("room", 1.0, _fails(plan.Skip("needs 9 GB"))),
        _step("short", 9.0, lambda: {"found": 1}),
    ]
    plan.run(steps, plan.Clock(10.0), records.append)
    found = {record["part"]: record for record in records}
    assert list(found) == ["long", "agreement", "slow", "host", "mistake", "room", "short"]
    assert found["long"]["skipped"] == "no time left: 11 s expected, 10 s left"
    assert found["agreement"]["error"] == "device: out of memory"
    assert found["agreement"]["agrees"] is False
    assert "agrees" not in found["slow"] | found["host"]
    assert found["mistake"]["error"] == "KeyError: 'x'"
    assert found["room"]["skipped"] == "needs 9 GB"
    assert found["short"]["found"] == 1


def test_a_part_that_takes_long_lets_the_others_go_first():
    records: list[dict] = []
    slow = [_step("size", expected, lambda: time.sleep(0.01) or {}) for expected in (1.0, 2.9, 5.0)]
    plan.run([*slow, _step("other", 1.0, dict)], plan.Clock(10.0), records.append)
    assert [record["part"] for record in records] == ["size", "size", "other", "size"]


class _Stub:
    """Processes that answer at once; the device's estimates are off by ``shift``."""

    shift = 0.0
    cores, beside = 2, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ask(self, where: str, timeout: float, method: str, *arguments):
        if method == "device":
            return {"device": "a stub", "platform": "stub", "n_devices": 1, "memory_bytes": 8e10}
        raise PeerError(f"{where}: cannot {method}")

    def both(self, timeout: float, method: str, *arguments):
        if method != "agreement":
            raise PeerError(f"device: cannot {method}")
        return _result(shift=self.shift), _result()


@pytest.mark.parametrize(("shift", "status"), [(0.0, 0), (1e-2, 1)])
def test_the_exit_status_says_whether_results_disagree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shift: float, status: int
):
    monkeypatch.setattr(plan, "Workers", _Stub)
    monkeypatch.setattr(_Stub, "shift", shift)
    file = tmp_path / "found.jsonl"
    assert main(["--out", str(file)]) == status
    records = read(file)
    judged = [record for record in records if "agrees" in record]
    assert len(judged) == 2 * len(PROBLEMS)
    assert all(record["agrees"] is (status == 0) for record in judged)
    # Whatever else failed is told, and is no disagreement.
    assert {record["part"] for record in records if "error" in record} == PARTS - {
        "machine",
        "agreement",
        "end",
        "profile",
    }
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert f"{0 if status else 24} of 24 agree" in text
    assert ("DISAGREES" in text) == bool(status)
    assert show(file, None) == 0


def test_the_time_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(plan, "Workers", _Stub)
    file = tmp_path / "found.jsonl"
    assert main(["--out", str(file), "--minutes", "0.4"]) == 0
    skipped = {record["part"] for record in read(file) if "no time left" in record.get("skipped", "")}
    assert skipped == {"many", "hmc"}
    assert main(["--out", str(file), "--minutes", "0"]) == 0
    assert [record["part"] for record in newest_run(read(file))] == ["machine", "end"]
    assert "Left out" in capsys.readouterr().out
    assert show(file, None) == 0


def test_sizes_that_fit_into_neither_memory_are_left_out():
    run = parts.Run(plan.Workers(), device={"platform": "gpu", "memory_bytes": 1e6})
    with pytest.raises(plan.Skip, match="the device has 0 GB"):
        parts._check_room(run, parts.Workload("G", 100_000, 16, 64))
    with pytest.raises(plan.Skip, match="the host has"):
        parts._check_room(run, parts.Workload("G", 10**12, 16, 64))


@pytest.mark.parametrize("beside", [False, True])
def test_what_the_host_cannot_do_costs_the_device_nothing(monkeypatch: pytest.MonkeyPatch, beside: bool):
    class Process:
        def __init__(self, name: str, *_, **__):
            self.name = name

        def ask(self, method: str, *_, timeout: float):
            if self.name == "host":
                raise TooSlow("took more than 1 s")
            return {"ms_per_iteration": 2.0, "log_likelihood": -1.0}

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(plan, "Worker", Process)
    with plan.Workers() as workers:
        workers.beside = beside
        run = parts.Run(workers, device={"platform": "gpu"})
        found = parts._workload(run, parts.WORKLOADS[0], "float64", 1.0)
        with pytest.raises(TooSlow, match="host: took"):
            parts._agreement(run, PROBLEMS[0], "float64").work(1.0)
    assert found["host_error"] == "host: took more than 1 s"
    assert found["ms_per_iteration"] == 2.0
    assert "agrees" not in found
    record = {"part": "workload", "workload": "W1", "dtype": "float64", "compile_seconds": 1.0, **found}
    markdown = tables.as_markdown([{"part": "machine"}, record])
    assert "| W1 | float64 | 2.00 | – | – | 1.00 | – |" in markdown
    assert "- workload W1 float64: 2.00 ms an iteration, host: took more than 1 s" in markdown


@pytest.mark.parametrize(
    "options",
    [["--sizes", "150000"], ["--sizes", "x"], ["--minutes", "-1"], ["--what"], ["--write", "p"], ["--markdown", "/no"]],
)
def test_usage_errors_are_one_line(options: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_tables_of_a_frozen_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page = tmp_path / "page.md"
    page.write_text("\n".join(["# Title", *tables.MARKS, "after"]))
    assert main(["--markdown", str(FROZEN), "--write", str(page)]) == 0
    expected = FROZEN.with_suffix(".md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == expected
    assert expected.strip() in page.read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8").endswith("after")


def _plane(name: str, **lines: list[tuple[str, float]]) -> SimpleNamespace:
    def named(line: str, events: list[tuple[str, float]]) -> SimpleNamespace:
        return SimpleNamespace(name=line, events=[SimpleNamespace(name=n, duration_ns=t) for n, t in events])

    return SimpleNamespace(name=name, lines=[named(*each) for each in lines.items()])


def test_a_trace_counts_what_the_device_did_once():
    host = _plane("/host:CPU", tf_XLAEigen=[("while.1", 9.0), ("fusion", 1.0), ("fusion", 2.0)], python=[("fit", 9.0)])
    assert profile._times(SimpleNamespace(planes=[host])) == ({"fusion": 3.0}, 2)
    # A GPU's plane also has lines that sum its streams up.
    device = _plane("/device:GPU:0", Stream1=[("gemm", 4.0)], Modules=[("jit_run_chunk", 5.0)])
    assert profile._times(SimpleNamespace(planes=[host, device])) == ({"gemm": 4.0}, 1)
    with pytest.raises(ValueError, match="no operation"):
        profile._times(SimpleNamespace(planes=[]))


@pytest.mark.parametrize(
    ("flops", "n_bytes", "bound"),
    [(8e9, 1e9, "arithmetic"), (1e9, 8e9, "memory traffic"), (1e9, 1e9, "neither"), (8e9, 3e10, "arithmetic")],
)
def test_what_binds_in_words(flops: float, n_bytes: float, bound: str):
    limits = {"gemm XLA float64": 1e12, "read XLA float64": 1e12, "exp XLA float64": 1e12}
    found = {"flops": flops, "bytes": n_bytes, "n_blocks": 2, "block_rows": 500}
    workload = parts.Workload("G", 1000, 16, 64)
    assert f"It is bound by {bound}" in profile.in_words(found, workload, "float64", limits, 10.0)
    # Neither is there where JAX's interfaces have changed.
    assert "bound by" not in profile.in_words({}, workload, "float64", limits, 10.0)


def test_the_page_has_a_place_for_the_tables():
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert [page.count(mark) for mark in tables.MARKS] == [1, 1]


def test_nothing_is_imported_that_the_machine_lacks():
    program = (
        "import sys, benchmarks.on_device.__main__, benchmarks.on_device.worker\n"
        "import emjax.em.many, emjax.bayes.handoff, emjax.bayes.hmc, emjax.bayes.modes\n"
        f"print([name for name in {LACKING} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
    # What plans holds no device: it would be the second process there.
    program = "import sys, benchmarks.on_device.__main__; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def _check_quick(records: list[dict]) -> None:
    assert {record["part"] for record in records} == PARTS
    assert [record for record in records if "error" in record or "skipped" in record or "trace_error" in record] == []
    assert all(record["agrees"] for record in records if "agrees" in record)
    assert records[-1]["part"] == "end"


@pytest.mark.slow  # a minute; its parts are tested one by one above
def test_the_quick_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "found.jsonl"
    assert main(["--quick", "--minutes", "15", "--out", str(file)]) == 0
    _check_quick(read(file))
    assert "agree with the host's" in capsys.readouterr().out
    assert show(file, None) == 0
    markdown = capsys.readouterr().out
    assert "it shows that everything works, and nothing about speed" in markdown
    assert str(tmp_path) not in file.read_text() + markdown


def _bare(python: str, *options: str) -> list[str]:
    return [python, "-m", "benchmarks.on_device", *options]


@pytest.mark.slow
def test_the_quick_check_under_jax_0_11_2(tmp_path: Path):
    """As on the machine with the GPU: another JAX, a bare checkout, none of the larger dependencies."""
    python = str(tmp_path / "bare" / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "bare")], check=True)
    packages = ["jax==0.11.2", "numpyro==0.21.0", "numpy", "scipy", "jaxtyping", "xarray", "h5py", "pandas"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    file = tmp_path / "found.jsonl"
    subprocess.run(_bare(python, "--quick", "--out", str(file)), check=True, cwd=ROOT, env=variables, timeout=300)
    records = read(file)
    _check_quick(records)
    assert records[0]["versions"]["jax"] == "0.11.2"


@pytest.mark.slow
def test_the_command_is_cut_ten_times(tmp_path: Path):
    """At random moments, without warning; all runs go into one file, and it can be read each time."""
    file, before = tmp_path / "found.jsonl", []
    for cut in range(10):
        command = _bare(sys.executable, "--sizes", "2000,4000", "--minutes", "2", "--out", str(file))
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = random.uniform(0.2, 45.0)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(seconds)
        children = _children(process.pid)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        records = read(file) if file.exists() else []
        print(f"cut after {seconds:.1f} s: {len(records) - len(before)} records, {len(children)} processes")
        assert records[: len(before)] == before
        lines = file.read_bytes().splitlines() if file.exists() else []
        assert len(lines) - len(records) <= cut + 1  # a torn line for each cut
        if newest_run(records):
            assert show(file, None) == 0
        # Nobody holds the device any more.
        time.sleep(0.5)
        assert [pid for pid in children if _runs(pid)] == []
        before = records
    assert sum(record["part"] == "machine" for record in before) >= 5


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
