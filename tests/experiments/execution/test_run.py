"""Real runs with real processes: done once, gone on with, shared out, stopped."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomli_w

from emjax import programs
from emjax.cli.console import Console
from emjax.errors import ConfigError
from emjax.experiments.archive.folder import Archive
from emjax.experiments.config.schema import Study
from emjax.experiments.execution import interrupts, local
from emjax.experiments.execution.interrupts import STOPPING, StudyInterrupted, stop_signals
from emjax.experiments.execution.local import LocalExecutor
from emjax.experiments.execution.run import folder_of, run_study, shard_of
from emjax.experiments.execution.worker import ONE_THREAD, do_job
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.results import open_study


def environment_of_a_worker():
    return {name: os.environ.get(name) for name in ONE_THREAD}, sorted({"jax", "pandas"} & set(sys.modules))


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_have_one_thread_outlive_deaths_and_are_killed_when_late(monkeypatch):
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.2)
    executor = LocalExecutor(1)
    try:
        assert executor.submit(environment_of_a_worker).result() == (ONE_THREAD, [])
        late, dead = executor.submit(time.sleep, 60, limit=0.2), executor.submit(die)
        after = [executor.submit(os.getpid) for _ in range(3)]
        with pytest.raises(TimeoutError):
            late.result(timeout=30)
        with pytest.raises(OSError, match="Abnormal termination"):
            dead.result(timeout=30)
        processes = [future.result(timeout=30) for future in after]
        assert len(set(processes)) == 1
        assert os.getpid() not in processes
    finally:
        begun = time.monotonic()
        executor.submit(time.sleep, 60)
        executor.close()
        assert time.monotonic() - begun < 10


def test_a_run_goes_on_where_the_last_one_stopped(
    tmp_path, small_study, comparable_rows, inline_workers, monkeypatch, capsys
):
    told = []
    first = run_study(small_study(replicates=2), folder=tmp_path / "a", workers=1, on_progress=told.append)
    assert (told[-1].done, told[-1].total, told[-1].n_own) == (4, 4, 4)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "a" / "jobs").glob("*/job.json")}
    assert len(stamps) == 2
    assert first.failures == {}
    rows = comparable_rows(tmp_path / "a")
    assert set(rows["replicate"]) == {0, 1}
    # More replicates: the jobs that are there stay as they are.
    monkeypatch.setattr("emjax.progress._SECONDS", {"file": 0.0})
    run_study(small_study(replicates=4), folder=tmp_path / "a", workers=1, on_progress=told.append, progress=True)
    assert "8/8 results" in capsys.readouterr().err.splitlines()[-1]
    assert (told[-1].done, told[-1].total, told[-1].n_own) == (8, 8, 4)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    more = comparable_rows(tmp_path / "a")
    assert set(more["replicate"]) == {0, 1, 2, 3}
    kept = more[more["replicate"] < 2].reset_index(drop=True)
    assert kept.equals(rows)


def test_a_study_that_grows_does_what_is_new_and_is_as_one_done_at_once(
    tmp_path, study_tree, inline_workers, comparable_rows
):
    def of(replicates):
        tree = study_tree(n_cells=1, replicates=replicates, batch=50)
        return Study.model_validate({**tree, "methods": [{"kind": "em", "n_init": 2, "intervals": "none"}]})

    def grown(replicates):
        told = []
        run_study(of(replicates), folder=tmp_path / "a", workers=1, on_progress=told.append)
        jobs = open_study(tmp_path / "a").declaration["jobs"]
        return told[-1].n_own if told else 0, [(job["first"], job["stop"]) for job in jobs]

    assert grown(3) == (3, [(0, 3)])
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "a" / "jobs").glob("*/*")}
    assert grown(5) == (2, [(0, 3), (3, 5)])
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    run_study(of(5), folder=tmp_path / "b", workers=1)
    assert len(open_study(tmp_path / "b").declaration["jobs"]) == 1
    # To the last bit, although the data sets were fitted in other company.
    assert comparable_rows(tmp_path / "a").equals(comparable_rows(tmp_path / "b"))
    assert grown(3) == (0, [(0, 3)])
    assert set(comparable_rows(tmp_path / "a")["replicate"]) == {0, 1, 2}


def test_do_job_publishes_once_and_knows_what_is_done_or_taken(tmp_path, small_study):
    study = small_study(n_cells=1, replicates=2)
    plan = make_plan(study)
    archive = Archive(tmp_path / "study")
    archive.begin(study, plan)
    job = plan.jobs[0]
    with Archive(tmp_path / "study").claim(job.key) as claimed:
        assert claimed
        assert do_job(str(archive.path), job.spec)["state"] == "elsewhere"
    result = do_job(str(archive.path), job.spec)
    assert (result["state"], result["key"]) == ("done", job.key)
    assert result["summary"]["n_rows"] > 0
    assert do_job(str(archive.path), job.spec)["state"] == "finished"
    Archive(tmp_path / "other").begin(study, plan)
    late = do_job(str(tmp_path / "other"), job.spec, 1e-9)
    assert late["state"] == "failed"
    assert "\n" not in late["error"]
    assert "TimeLimitReached" in late["traceback"]


def test_a_worker_makes_room_before_each_job(tmp_path, small_study, inline_workers, monkeypatch):
    made = []
    monkeypatch.setattr(programs, "make_room", lambda: made.append(True))
    run_study(small_study(), folder=tmp_path / "a", workers=1)
    assert len(made) == 4


MANY_SHAPES = """
import sys
from pathlib import Path
from emjax import programs
programs._SHARE = {share}
from emjax.experiments.archive.folder import Archive
from emjax.experiments.execution.worker import do_job
from emjax.experiments.results import open_study
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.config.schema import Study
from emjax.experiments.config.schema import Study
study = Study.model_validate({tree})
plan = make_plan(study)
Archive(sys.argv[1]).begin(study, plan)
for job in plan.jobs:
    assert do_job(sys.argv[1], job.spec)["state"] == "done"
    print(programs.mappings(), int(Path("/proc/self/statm").read_text().split()[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not programs._MAPPINGS.exists(), reason="only Linux counts the mappings of a process")
def test_a_worker_does_not_grow_with_the_shapes_of_its_study(tmp_path, study_tree):
    """Ten shapes of EM are 7,400 mappings where no program goes, 640 a shape, and the limit set here is 1,310.

    Mappings are counted after 16 programs, those of four shapes.
    """
    method = {"kind": "em", "name": "em", "n_init": 2, "intervals": "information"}
    tree = {**study_tree(n_cells=10, replicates=1, batch=1), "methods": [method]}
    program = MANY_SHAPES.format(share=0.02, tree=tree)
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    mappings, pages = zip(*(map(int, line.split()) for line in done.stdout.splitlines()), strict=True)
    assert max(mappings) < 4_500
    assert max(pages[5:]) < 1.2 * max(pages[:5])


def test_failed_jobs_are_written_down_and_done_by_the_next_run(tmp_path, small_study, inline_workers):
    failed = run_study(small_study(time_limit=1e-9, retries=1), folder=tmp_path / "a", workers=1)
    assert len(failed.failures) == 4
    assert all(failure["attempts"] == 2 for failure in failed.failures.values())
    result = run_study(small_study(), folder=tmp_path / "a", workers=1)
    assert result.failures == {}
    assert len(list((tmp_path / "a" / "jobs").iterdir())) == 4


def test_shards_share_out_all_jobs(small_study):
    plan = make_plan(small_study(n_cells=3, replicates=6))
    shards = [shard_of(plan.jobs, f"{i}/4") for i in (1, 2, 3, 4)]
    assert sorted(job.key for shard in shards for job in shard) == sorted(job.key for job in plan.jobs)
    assert list(shards[0]) == list(plan.jobs[0::4])
    assert list(shard_of(plan.jobs, None)) == list(plan.jobs)
    for wrong in ("0/4", "5/4", "1", "a/b", "1/0", "-1/2", "1/2/3"):
        with pytest.raises(ConfigError, match="--shard"):
            shard_of(plan.jobs, wrong)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"workers": 0}, "--workers = 0"),
        ({"scheduler": "localhost:8786"}, "--scheduler localhost:8786"),
        ({"scheduler": "local:0"}, "--scheduler local:0"),
        ({"scheduler": "tcp://a:1", "workers": 3}, "leave --workers out"),
        ({"shard": "3/2"}, "--shard 3/2"),
        ({"folder": None}, "name the folder"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, small_study, options, expected):
    with pytest.raises(ConfigError, match=expected):
        run_study(small_study(), **{"folder": tmp_path / "a", **options})
    assert list(tmp_path.iterdir()) == []


def test_without_dask_the_option_says_what_to_install(tmp_path, small_study, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match="pip install distributed"):
        run_study(small_study(), folder=tmp_path / "a", scheduler="local:2")


def test_the_default_folder_is_named_after_the_config(tmp_path, small_study, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = small_study()
    assert folder_of(study, None, tmp_path / "config.toml") == tmp_path / "runs" / tmp_path.name
    assert folder_of(study, None, Path("wide.toml")) == tmp_path / "runs" / "wide"
    assert folder_of(study, "here", Path("wide.toml")) == tmp_path / "here"


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_is_a_wish_and_handlers_are_put_back(number, capfd):
    before = signal.getsignal(number)
    with stop_signals() as wish:
        assert not wish
        os.kill(os.getpid(), number)
        assert wish
        assert wish.number == number
    assert signal.getsignal(number) is before
    assert "once more" in capfd.readouterr().err


@pytest.mark.parametrize("number", STOPPING)
def test_ignored_signals_stay_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stop_signals() as wish:
            os.kill(os.getpid(), number)
        assert not wish
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_signal_after_the_terminal_has_gone_is_still_a_wish(monkeypatch):
    def gone(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, stop_signals() as wish:
        patch.setattr(interrupts.os, "write", gone)
        os.kill(os.getpid(), signal.SIGHUP)
    assert wish.number == signal.SIGHUP


def test_damaged_jobs_are_named_and_done_again(tmp_path, small_study, comparable_rows, inline_workers, capsys):
    study, folder = small_study(), tmp_path / "a"
    run_study(study, folder=folder, workers=1)
    expected = comparable_rows(folder)
    rotten, torn = (path.parent for path in sorted(folder.glob("jobs/*/rows.parquet"))[:2])
    content = bytearray((rotten / "rows.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (rotten / "rows.parquet").write_bytes(content)
    (torn / "job.json").write_text("{")
    told = []
    run_study(study, folder=folder, workers=1, listener=Console(), on_progress=told.append)
    said = " ".join(capsys.readouterr().err.split())
    assert f"2 jobs are damaged and are done again: {rotten.name}, {torn.name}" in said
    assert told[-1].n_own == 4
    assert comparable_rows(folder).equals(expected)


def test_jobs_that_vanish_during_a_run_are_not_counted_as_done(
    emjax_command, workplace, study_tree, inline_workers, monkeypatch
):
    record_rows, vanished = Archive.collect, []

    def collect(archive):
        vanished.append(sorted((archive.path / "jobs").iterdir())[0])
        shutil.rmtree(vanished[0])
        return record_rows(archive)

    config = write(workplace, study_tree())
    with monkeypatch.context() as patch:
        patch.setattr(Archive, "collect", collect)
        done = emjax_command("run", config, "--out", "out", "--json", "--workers", "1")
    document = json.loads(done.out)
    assert done.code == 3
    assert (document["n_jobs"], document["n_done"], document["n_missing"], document["n_results"]) == (4, 3, 1, 6)
    assert "1 job that was done is not there any more" in " ".join(done.err.split())
    assert emjax_command("run", config, "--out", "out", "--workers", "1").code == 0
    assert vanished[0].exists()


def test_the_holder_of_a_job_is_named_and_its_words_are_not_trusted(tmp_path, small_study):
    study = small_study(n_cells=1, replicates=2)
    plan = make_plan(study)
    archive = Archive(tmp_path / "study")
    archive.begin(study, plan)
    job = plan.jobs[0]
    assert archive.holder(job.key) is None
    with archive.claim(job.key):
        held = do_job(str(archive.path), job.spec)
        assert held["holder"].startswith(f"process {os.getpid()} on {platform.node()} since ")
        lock = archive.path / "locks" / f"{job.key}.lock"
        said = {"machine": "\x1b[31m\nred" * 50, "process": 7, "since": "2026-01-01T00:00:00+00:00"}
        lock.write_text(json.dumps({**said, "machine": said["machine"][:20]}))
        assert archive.holder(job.key).isprintable()
        for nonsense in ("", "{", "[]", json.dumps({**said, "process": "x"}), json.dumps(said) * 9, "\x00" * 5000):
            lock.write_text(nonsense)
            assert archive.holder(job.key) is None
        assert not Archive(archive.path).finished([job.key])


def test_a_stopped_run_says_what_is_done_and_the_next_one_does_the_rest(tmp_path, small_study, inline_workers):
    study = small_study(n_cells=6, replicates=4)

    def stop(progress):
        if progress.done == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StudyInterrupted) as caught:
        run_study(study, folder=tmp_path / "a", workers=1, on_progress=stop)
    n_done = len(list((tmp_path / "a" / "jobs").glob("*/job.json")))
    assert 2 <= n_done < 12
    assert f"interrupted; {n_done} of 12 jobs are done" in str(caught.value)
    assert caught.value.number == signal.SIGINT
    run_study(study, folder=tmp_path / "a", workers=1)
    assert len(list((tmp_path / "a" / "jobs").glob("*/job.json"))) == 12


def test_the_command_with_real_workers_stops_cleanly(tmp_path, study_tree):
    (tmp_path / "config.toml").write_text(tomli_w.dumps(study_tree(n_cells=4, replicates=200, batch=2)))
    command = [sys.executable, "-m", "emjax", "run", "config.toml", "--out", "out", "--workers", "1"]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes)
    jobs = tmp_path / "out" / "jobs"
    deadline = time.monotonic() + 120
    while not list(jobs.glob("*/job.json")) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    # As the end of a terminal does, to the workers too.
    os.killpg(running.pid, signal.SIGHUP)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 129
    assert out == ""
    assert [line for line in err.splitlines() if line][:-1] == ["emjax: stopping; once more leaves at once"]
    last = err.splitlines()[-1]
    n_done, total = map(int, re.findall(r"[0-9]+", last))
    assert last == (
        f"emjax: error: interrupted; {n_done} of {total} jobs are done, and the same command goes on from there"
    )
    assert total == 400
    assert len(list(jobs.glob("*/job.json"))) == n_done
    # Nothing half-written is left.
    assert [path.name for path in jobs.iterdir() if path.name.startswith(".")] == []


def write(folder, tree):
    path = folder / "config.toml"
    path.write_text(tomli_w.dumps(tree))
    return str(path)


def test_a_dry_run_prints_the_plan_and_writes_nothing(emjax_command, workplace, study_tree):
    config = write(workplace, study_tree(n_cells=2, replicates=4, batch=2))
    result = emjax_command("run", config, "--dry-run", "--out", "out")
    assert result.code == 0
    assert "2 cells x 4 replicates x 1 method" in result.out
    assert "4 jobs, 8 data sets, 8 results" in result.out
    assert max(map(len, result.out.splitlines())) <= 80
    plan = json.loads(emjax_command("run", config, "--dry-run", "--json", "--shard", "1/3").out)
    assert plan["n_results"] == 4
    assert [job["finished"] for job in plan["jobs"]] == [False, False]
    assert [path.name for path in workplace.iterdir()] == ["config.toml"]


def test_the_command_runs_a_study(emjax_command, workplace, study_tree, inline_workers):
    config = write(workplace, study_tree(n_cells=1, replicates=2))
    result = emjax_command("run", config, "--out", "out", "--workers", "1")
    assert result.code == 0
    assert "1 of 1 job done" in result.out
    assert result.out.splitlines()[-1] == "The report:  emjax report out"
    document = json.loads(emjax_command("run", config, "--out", "out", "--json").out)
    assert (document["n_jobs"], document["n_done"], document["n_results_of_this_run"]) == (1, 1, 0)
    failing = ("--set", "execution.time_limit=1e-9", "--set", "seed=4", "--out", "failing", "--workers", "1")
    result = emjax_command("run", config, *failing)
    assert result.code == 3
    assert "1 failed" in result.out
    document = json.loads(emjax_command("run", config, *failing, "--json").out)
    (failure,) = document["failures"]
    assert (failure["method"], failure["first"], failure["stop"]) == ("peer", 0, 2)
    assert "execution.time_limit" in failure["error"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--overwrite",), "--out"),
        (("--workers", "0"), "--workers = 0"),
        (("--shard", "9"), "--shard 9"),
        (("--scheduler", "here"), "--scheduler here"),
    ],
)
def test_wrong_options_of_the_command_are_one_line(emjax_command, workplace, study_tree, arguments, expected):
    result = emjax_command("run", write(workplace, study_tree()), *arguments)
    assert result.code == 2
    assert expected in result.err
    assert result.err.count("\n") == 1
    assert not (workplace / "runs").exists()


def test_options_of_studies_are_refused_for_a_single_run(emjax_command, workplace):
    (workplace / "one.toml").write_text('[data]\nsource = "faithful"\n[model]\nn_components = 2\n')
    for option in (("--workers", "2"), ("--scheduler", "local"), ("--shard", "1/2"), ("--dry-run",)):
        result = emjax_command("run", "one.toml", *option)
        assert result.code == 2
        assert option[0] in result.err
        assert "[sweep]" in result.err
