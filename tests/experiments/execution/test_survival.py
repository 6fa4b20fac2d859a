"""Studies survive: kills at any moment, two runners at once, a full disk, a lost worker. Rows are the same every time.

Slow: hundreds of processes. `pytest -m slow tests/experiments/execution/test_survival.py -s` prints the figures.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import tomli_w

from emjax.experiments.archive.folder import Archive
from emjax.experiments.execution.run import run_study
from emjax.experiments.plan.grid import make_plan

pytestmark = pytest.mark.slow

N_KILLS = 50
SECONDS = 300


def command(folder, out, *more):
    return [sys.executable, "-m", "emjax", "run", str(folder / "config.toml"), "--out", str(out), *more]


def start(folder, out, *more):
    return subprocess.Popen(
        command(folder, out, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process):
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    return out


def declare(folder, tree):
    (folder / "config.toml").write_text(tomli_w.dumps(tree))


def processes_of_session(leader):
    """Processes that a runner has started and that still live (its session has its number)."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    state, _, _, session = file.read().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(session) == leader and state != "Z":
                found.append(int(name))
    return found


def assert_all_end(leader):
    """Workers, and what the language starts beside them, end soon after their runner."""
    deadline = time.monotonic() + 20
    while processes_of_session(leader) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of_session(leader) == []


def assert_whole(folder, n_jobs):
    """Every job's folder is there once, whole to the byte, and nothing half-written lies beside."""
    names = sorted(path.name for path in (folder / "jobs").iterdir())
    assert len(names) == n_jobs
    assert not any(name.startswith(".") for name in names)
    assert Archive(folder).finished(verify=True) == set(names)


def names_in(folder):
    """The finished and half-written jobs of a study's folder."""
    jobs = folder / "jobs"
    return {path.name for path in jobs.iterdir()} if jobs.exists() else set()


def kill_at(process, moment, out, before):
    """Kill a runner ``moment`` seconds from its start, or -moment seconds after it began to write jobs.

    Returns False where it has ended before.
    """
    begun = time.monotonic()
    while moment < 0 and names_in(out) == before and process.poll() is None and time.monotonic() - begun < SECONDS:
        time.sleep(0.005)
    try:
        process.wait(timeout=abs(moment))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def test_fifty_kills_at_random_moments_change_no_row(tmp_path, study_tree, comparable_rows):
    n_jobs = 60
    declare(tmp_path, study_tree(n_cells=5, replicates=24, batch=2, n_samples=400))
    begun = time.monotonic()
    finish(start(tmp_path, tmp_path / "whole", "--workers", "2"))
    seconds = time.monotonic() - begun
    times = [path.stat().st_mtime for path in (tmp_path / "whole" / "jobs").glob("*/job.json")]
    working = max(times) - min(times)
    expected = comparable_rows(tmp_path / "whole")
    assert_whole(tmp_path / "whole", n_jobs)
    # Half of the moments fall anywhere, starts of processes included; the others while jobs are written.
    moments = random.Random(7)
    killed_at = Counter()
    n_runs = n_finished = n_half_written = 0
    out = tmp_path / "killed-0"
    while killed_at.total() < N_KILLS:
        n_runs += 1
        before = names_in(out)
        process = start(tmp_path, out, "--workers", "2")
        moment = moments.uniform(0.0, seconds) if n_runs % 2 else -moments.uniform(0.0, working / 2)
        if kill_at(process, moment, out, before):
            assert_all_end(process.pid)
            names = names_in(out)
            n_half_written += any(name.startswith(".") for name in names)
            killed_at[sum(not name.startswith(".") for name in names)] += 1
        else:
            assert process.returncode == 0
        if len([name for name in names_in(out) if not name.startswith(".")]) == n_jobs:
            finish(start(tmp_path, out, "--workers", "2"))
            assert_whole(out, n_jobs)
            assert comparable_rows(out).equals(expected)
            n_finished += 1
            shutil.rmtree(out)
            out = tmp_path / f"killed-{n_finished}"
    finish(start(tmp_path, out, "--workers", "2"))
    assert_whole(out, n_jobs)
    assert comparable_rows(out).equals(expected)
    print(
        f"\n{killed_at.total()} kills in {n_runs} runs of up to {seconds:.1f} s, {working:.1f} s of it work\n"
        f"jobs done at the kill: {dict(sorted(killed_at.items()))}; {n_half_written} kills left half-written jobs\n"
        f"{n_finished + 1} studies finished, all with the same {len(expected)} rows"
    )


@pytest.mark.parametrize("workers", [("--workers", "2"), ("--scheduler", "local:2")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_of_a_terminal_reaches_all_processes_and_is_two_lines(tmp_path, study_tree, workers, number):
    declare(tmp_path, study_tree(n_cells=2, replicates=400, batch=1))
    process = start(tmp_path, tmp_path / "out", *workers)
    deadline = time.monotonic() + SECONDS
    while not names_in(tmp_path / "out") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if number != signal.SIGTERM:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + number
    assert out == ""
    stopping, interrupted = err.split("\n")[1:3]
    assert stopping == "emjax: stopping; once more leaves at once"
    assert interrupted.endswith("of 800 jobs are done, and the same command goes on from there")
    assert len(err.splitlines()) == 3, err
    assert not any(name.startswith(".") for name in names_in(tmp_path / "out"))
    assert_all_end(process.pid)


def test_two_runners_at_once_do_each_job_once(tmp_path, study_tree, comparable_rows):
    declare(tmp_path, study_tree(n_cells=5, replicates=16, batch=2, n_samples=400))
    finish(start(tmp_path, tmp_path / "whole", "--workers", "2"))
    runners = [start(tmp_path, tmp_path / "shared", "--workers", "2", "--json") for _ in range(2)]
    documents = [json.loads(finish(runner)) for runner in runners]
    own = [document["n_results_of_this_run"] for document in documents]
    assert sum(own) == 80
    assert min(own) > 0
    assert [document["n_done"] for document in documents] == [40, 40]
    assert_whole(tmp_path / "shared", 40)
    assert comparable_rows(tmp_path / "shared").equals(comparable_rows(tmp_path / "whole"))
    print(f"\ntwo runners: {own[0]} + {own[1]} of 80 results")


def mount(*arguments):
    done = subprocess.run(["mount", "-t", "tmpfs", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"this test mounts a small tmpfs and has to run as root: {done.stderr}"


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path, study_tree, comparable_rows):
    declare(tmp_path, study_tree(n_cells=5, replicates=16, batch=2, n_samples=400))
    finish(start(tmp_path, tmp_path / "whole", "--workers", "2"))
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("-o", "size=256k", "tmpfs", str(disk))
    try:
        process = start(tmp_path, disk / "study", "--workers", "2")
        out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 2
        assert out == ""
        lines = err.splitlines()
        assert len(lines) == 1, err
        assert "no space left" in lines[0]
        assert "same command" in lines[0]
        n_done = len(Archive(disk / "study").finished(verify=True))
        assert 0 < n_done < 40
        mount("-o", "remount,size=16m", "tmpfs", str(disk))
        document = json.loads(finish(start(tmp_path, disk / "study", "--workers", "2", "--json")))
        assert document["n_results_of_this_run"] == 2 * (40 - n_done)
        assert_whole(disk / "study", 40)
        assert comparable_rows(disk / "study").equals(comparable_rows(tmp_path / "whole"))
        print(f"\nfull after {n_done} of 40 jobs: {lines[0]}")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_processes_a_cluster_with_a_loss_and_shards_give_the_same_rows(tmp_path, small_study, comparable_rows):
    study = small_study(n_cells=5, replicates=16, batch=2, n_samples=400)
    run_study(study, folder=tmp_path / "local", workers=2)
    expected = comparable_rows(tmp_path / "local")
    killed = []

    def lose_a_worker(progress):
        if not killed and progress.done >= progress.total / 2:
            workers = [child for child in multiprocessing.active_children() if child.name.startswith("Dask Worker")]
            assert len(workers) == 2
            os.kill(workers[0].pid, signal.SIGKILL)
            killed.append(workers[0].pid)

    result = run_study(study, folder=tmp_path / "dask", scheduler="local:2", on_progress=lose_a_worker)
    assert len(killed) == 1
    assert result.failures == {}
    assert comparable_rows(tmp_path / "dask").equals(expected)
    for number in (1, 2, 3):
        run_study(study, folder=tmp_path / f"shard-{number}", shard=f"{number}/3", workers=1)
    merged = tmp_path / "merged"
    plan = make_plan(study)
    Archive(merged).begin(study, plan)
    for number in (1, 2, 3):
        shutil.copytree(tmp_path / f"shard-{number}" / "jobs", merged / "jobs", dirs_exist_ok=True)
    Archive(merged).collect()
    assert_whole(merged, 40)
    assert comparable_rows(merged).equals(expected)
    # And into one folder, in any order.
    for number in (3, 1, 2):
        run_study(study, folder=tmp_path / "one", shard=f"{number}/3", workers=1)
    assert comparable_rows(tmp_path / "one").equals(expected)
    print(f"\n{len(expected)} rows each, by processes, a cluster that lost a worker, and three shards")
