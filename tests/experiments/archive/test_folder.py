"""The folder of a study: whole jobs or none, one runner a job, one line for a full disk."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emjax import atomic
from emjax.errors import ConfigError, RunExistsError
from emjax.experiments.archive import records
from emjax.experiments.archive.folder import Archive, StorageError
from emjax.experiments.plan.grid import make_plan


def test_begin_declares_the_study_in_two_files(archive, study, plan):
    declared = json.loads((archive.path / "study.json").read_text())
    assert [job["key"] for job in declared["jobs"]] == [job.key for job in plan.jobs]
    assert [cell["settings"] for cell in declared["cells"]] == [{"data.n_samples": 50}, {"data.n_samples": 100}]
    assert declared["methods"] == ["km", "bayes"]
    assert declared["provenance"]["versions"]["numpy"]
    assert tomllib.loads((archive.path / "study.toml").read_text())["sweep"]["replicates"] == 4
    # What is read back is the same work: same keys.
    assert [job.key for job in make_plan(archive.study()).jobs] == [job.key for job in plan.jobs]


@pytest.mark.parametrize(
    "sweep",
    [
        {"grid": {}, "zip": {"data.weights": [[0.5, 0.5], [0.1, 0.9]], "data.scale": [[[1.0], [1.0]], [[2.0], [1.0]]]}},
        {"grid": {"data.misspecification": [{"kind": "student_t"}, {"kind": "skew_normal", "skewness": 0.5}]}},
        {"grid": {"data.contamination.share": [0.0, 0.1], "model.covariance": ["full", "diag"], "level": [0.8, 0.9]}},
        {"grid": {"methods.km.tol": [0.1, 1e-12], "data.overlap": [0.05, 0.1]}},
    ],
)
def test_the_declaration_reads_back_as_the_same_plan(tmp_path, declare, sweep):
    study = declare(**sweep)
    plan = make_plan(study)
    Archive(tmp_path / "s").begin(study, plan)
    assert [job.key for job in make_plan(Archive(tmp_path / "s").study()).jobs] == [job.key for job in plan.jobs]


def test_files_are_declared_by_their_absolute_path(tmp_path, declare, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("x\n" + "\n".join(map(str, range(30))) + "\n")
    Path("b.csv").write_text("x\n" + "\n".join(map(str, range(40))) + "\n")
    tree = declare(grid={"data.source": ["a.csv", "b.csv"]}).model_dump(exclude_unset=True)
    study = type(declare()).model_validate({**tree, "data": {"source": "a.csv"}})
    keys = [job.key for job in make_plan(study).jobs]
    Archive("s").begin(study, make_plan(study))
    monkeypatch.chdir("/")
    assert [job.key for job in make_plan(Archive(tmp_path / "s").study()).jobs] == keys


def test_a_job_is_finished_once_it_is_whole(archive, plan):
    first, second = plan.jobs[:2]
    with archive.claim(first.key), archive.writing(first.key, first.spec) as draft:
        (draft.path / "rows.parquet").write_bytes(b"rows")
        (draft.path / "posterior-0.nc").write_bytes(b"draws")
        assert archive.finished() == set()
        draft.summary = {"n_rows": 0, "statuses": {}}
    assert archive.finished() == {first.key}
    assert archive.finished([second.key, first.key], verify=True) == {first.key}
    record = archive.record(first.key)
    assert record["spec"] == json.loads(json.dumps(first.spec))
    assert record["files"]["posterior-0.nc"]["size"] == 5
    assert set(record["provenance"]) == {"started", "seconds", "versions", "machine", "devices"}
    assert archive.record(second.key) is None


def test_a_job_that_raises_leaves_nothing(archive, plan):
    job = plan.jobs[0]

    def fail() -> None:
        with archive.claim(job.key), archive.writing(job.key, job.spec) as draft:
            (draft.path / "rows.parquet").write_bytes(b"rows")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list((archive.path / "jobs").iterdir())


@pytest.mark.parametrize(
    "tear",
    [
        lambda job: (job / "job.json").unlink(),
        lambda job: (job / "job.json").write_text('{"format": 1, '),
        lambda job: (job / "job.json").write_text((job / "job.json").read_text().replace('"seed": 0', '"seed": 1')),
        lambda job: (job / "rows.parquet").unlink(),
        lambda job: os.truncate(job / "rows.parquet", 10),
        lambda job: (shutil.rmtree(job), job.mkdir()),
        lambda job: (shutil.rmtree(job), job.write_text("a file")),
        lambda job: (job / "job.json").write_text("[]"),
    ],
    ids=["no record", "half a record", "another spec", "no rows", "half of the rows", "empty", "a file", "a list"],
)
def test_a_torn_job_is_done_again(archive, plan, tear, write_job, monkeypatch):
    monkeypatch.setattr(records, "FEW", 0)
    job = plan.jobs[0]
    write_job(archive, job)
    archive.collect()
    tear(archive.path / "jobs" / job.key)
    # With the index that knew it whole, and without.
    assert archive.finished() == Archive(archive.path).finished() == set()
    write_job(archive, job)
    assert archive.finished(verify=True) == {job.key}


def test_a_foreign_folder_is_no_job(archive, plan, write_job):
    first, second = plan.jobs[:2]
    write_job(archive, first)
    shutil.copytree(archive.path / "jobs" / first.key, archive.path / "jobs" / second.key)
    assert archive.finished() == {first.key}


def test_only_verifying_sees_a_changed_byte(archive, plan, write_job):
    job = plan.jobs[0]
    write_job(archive, job)
    path = archive.path / "jobs" / job.key / "rows.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert archive.finished() == {job.key}
    assert archive.finished(verify=True) == set()


def test_what_somebody_else_finished_meanwhile_stays(archive, plan, write_job):
    job = plan.jobs[0]
    with archive.writing(job.key, job.spec) as draft:
        (draft.path / "rows.parquet").write_bytes(b"late")
        write_job(archive, job)
        theirs = archive.record(job.key)
    assert archive.record(job.key) == theirs
    assert theirs["files"]["rows.parquet"]["size"] > 4


def test_one_of_two_gets_a_job(archive, plan):
    key = plan.jobs[0].key
    with archive.claim(key) as first:
        assert first
        with Archive(archive.path).claim(key) as second, archive.claim(plan.jobs[1].key) as other:
            assert not second
            assert other
    with Archive(archive.path).claim(key) as free:
        assert free


def test_many_claims_never_overlap(archive):
    """Names of locks vanish while others wait for them: still at most one holds the lock."""
    holders, most, turns = [], [0], [0]

    def work(_: int) -> None:
        for _ in range(6000):  # a busy machine lets most of them come at the same time
            if turns[0] >= 60:
                return
            with Archive(archive.path).claim("key") as claimed:
                if claimed:
                    holders.append(1)
                    most[0] = max(most[0], len(holders))
                    turns[0] += 1
                    holders.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert most == [1]
    assert turns[0] >= 60


KILLED = """
import os, sys, time
from emjax.experiments.archive.folder import Archive
archive = Archive(sys.argv[1])
with archive.claim(sys.argv[2]), archive.writing(sys.argv[2], {}) as draft:
    (draft.path / "rows.parquet").write_bytes(b"half of the rows")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_kill_frees_the_job_and_its_remains_are_swept(archive, study, plan, write_job):
    job = plan.jobs[0]
    command = [sys.executable, "-c", KILLED, str(archive.path), job.key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        with archive.claim(job.key) as claimed:
            assert not claimed
        archive.sweep()
        remains = [path.name for path in (archive.path / "jobs").iterdir()]
        assert len(remains) == 1, "what a live runner writes is left alone"
        process.send_signal(signal.SIGKILL)
    assert archive.finished() == set()
    assert archive.begin(study, plan) == set()
    assert not list((archive.path / "jobs").iterdir())
    write_job(archive, job)
    assert archive.finished() == {job.key}


def test_sweeping_leaves_what_is_not_ours(archive):
    for name in (".keep", ".DS_Store", "notes.txt"):
        (archive.path / "jobs" / name).write_text("mine")
    left = atomic.partial_name(archive.path / "study.json")
    left.write_text("half")
    with atomic.held(archive.path / "study.json") as written:
        archive.sweep()
        assert written.exists(), "its writer is alive"
        written.unlink()
    assert sorted(path.name for path in (archive.path / "jobs").iterdir()) == [".DS_Store", ".keep", "notes.txt"]
    assert not left.exists()
    assert archive.finished() == set()
    for path in (archive.path / "jobs").iterdir():
        path.unlink()


def test_failures_are_kept_until_the_job_succeeds(archive, plan, write_job):
    first, second = plan.jobs[:2]
    archive.record_failure(first, "no\nluck", 2, traceback="Traceback ...")
    (archive.path / "failed" / f"{second.key}.json").write_text('{"key": ')
    found = archive.failures()
    assert list(found) == [first.key]
    assert found[first.key]["error"] == "no luck"
    assert found[first.key]["attempts"] == 2
    assert found[first.key]["spec"] == json.loads(json.dumps(first.spec))
    write_job(archive, first)
    assert archive.failures() == {}
    assert not (archive.path / "failed" / f"{first.key}.json").exists()


def test_a_study_may_grow_in_its_folder(tmp_path, declare, fill):
    archive = fill(tmp_path / "s", declare())
    assert len(archive.finished()) == 8
    more = declare(replicates=6, grid={"data.n_samples": [50, 100, 200]})
    plan = make_plan(more)
    assert len(Archive(tmp_path / "s").begin(more, plan)) == 8, "the blocks of four replicates are there already"
    third = declare(methods=("km", "bayes", "third"))
    assert len(Archive(tmp_path / "s").begin(third, make_plan(third))) == 8, "a method that is added changes no other"
    less = declare(replicates=2)
    assert len(Archive(tmp_path / "s").begin(less, make_plan(less))) == 4
    assert len(Archive(tmp_path / "s").finished()) == 8, "what the plan no longer asks for stays"


def test_another_study_is_refused_where_jobs_would_be_lost_sight_of(tmp_path, declare, fill):
    fill(tmp_path / "s", declare(), keys=set())
    other = declare(seed=1)
    # Nothing is done: the config was corrected.
    archive = fill(tmp_path / "s", other)
    before = (archive.path / "study.json").read_bytes()
    with pytest.raises(RunExistsError, match=r"finished jobs of another study .* choose another folder with --out"):
        archive.begin(declare(), make_plan(declare()))
    assert (archive.path / "study.json").read_bytes() == before


@pytest.mark.parametrize("name", ["config.toml", "thesis.tex"])
def test_a_folder_of_something_else_is_refused(tmp_path, study, plan, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunExistsError, match=f"holds '{name}' and no study, and was not touched"):
        Archive(tmp_path).begin(study, plan)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(RunExistsError, match="is a file"):
        Archive(tmp_path / name).begin(study, plan)


def test_a_damaged_declaration_is_written_anew(archive, study, plan, write_job):
    write_job(archive, plan.jobs[0])
    (archive.path / "study.json").write_text("{")
    with pytest.raises(ConfigError, match=r"study\.json: damaged.*run the study again"):
        archive.rows()
    assert archive.begin(study, plan) == {plan.jobs[0].key}
    assert len(archive.rows()) == 12


def test_folders_are_merged_by_copying(tmp_path, study, plan, fill):
    """As with ``cp -r other/jobs/* mine/jobs/``, and into a folder in which nothing was ever run."""
    half = {job.key for job in plan.jobs[::2]}
    mine = fill(tmp_path / "mine", study, keys=half)
    other = fill(tmp_path / "other", study, keys={job.key for job in plan.jobs} - half)
    whole = fill(tmp_path / "whole", study)
    assert len(mine.rows()) == len(other.rows()) == 48
    mine.collect()
    for source in ("other", "whole"):
        subprocess.run(f"cp -r {source}/jobs/* mine/jobs/", shell=True, check=True, cwd=tmp_path)
        assert mine.finished() == Archive(mine.path).finished() == {job.key for job in plan.jobs}
        assert _numbers(mine).equals(_numbers(whole))
    fresh = Archive(tmp_path / "fresh")
    shutil.copytree(tmp_path / "whole" / "jobs", fresh.path / "jobs")
    assert len(fresh.begin(study, plan)) == 8
    assert fresh.rows().equals(whole.rows())


def _numbers(archive: Archive):
    """The rows but for those that no two runs have in common."""
    return archive.rows().query("quantity != 'run_seconds'")


def test_the_index_follows_from_the_folders(tmp_path, study, plan, fill, monkeypatch):
    archive = fill(tmp_path / "s", study)
    archive.collect()
    monkeypatch.setattr(records, "FEW", 0)
    path = archive.path / "index.json"
    kept = path.read_text()
    for spoil in (path.unlink, lambda: path.write_text("{"), lambda: path.write_text('{"format": 1, "jobs": []}')):
        spoil()
        assert len(Archive(archive.path).finished()) == 8
        Archive(archive.path).collect()
        assert path.read_text() == kept
    # An index that knows a job that is gone, and not one that has come.
    gone, come = plan.jobs[:2]
    shutil.rmtree(archive.path / "jobs" / gone.key)
    document = json.loads(kept)
    del document["jobs"][come.key]
    path.write_text(json.dumps(document))
    assert Archive(archive.path).finished() == {job.key for job in plan.jobs[1:]}
    Archive(archive.path).collect()
    assert set(json.loads(path.read_text())["jobs"]) == {job.key for job in plan.jobs[1:]}


def test_a_known_record_is_not_read_again(tmp_path, study, fill, monkeypatch):
    archive = fill(tmp_path / "s", study)
    archive.collect()
    monkeypatch.setattr(records, "FEW", 0)
    monkeypatch.setattr(records, "read_record", lambda folder: pytest.fail("was read"))
    assert len(Archive(archive.path).finished()) == 8


def test_one_job_is_looked_up_without_the_index(archive, plan, write_job, monkeypatch):
    write_job(archive, plan.jobs[0])
    monkeypatch.setattr(records.Index, "_read", lambda self: pytest.fail("was read"))
    assert Archive(archive.path).finished([plan.jobs[0].key]) == {plan.jobs[0].key}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_tears_nothing(archive, study, plan, monkeypatch, number, write_job):
    first, second = plan.jobs[:2]
    write_job(archive, first)

    def full(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for action in (
            lambda: write_job(archive, second),
            lambda: archive.record_failure(second, "x", 1),
            lambda: archive.begin(study, plan),
            lambda: archive.collect(),
        ):
            with pytest.raises(StorageError) as caught:
                action()
            assert "\n" not in str(caught.value)
            assert "no space left; free some and run the same command again: finished jobs are kept" in str(
                caught.value
            )
    assert archive.finished(verify=True) == {first.key}
    assert archive.begin(study, plan) == {first.key}
    write_job(archive, second)
    assert len(archive.finished()) == 2


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
        RuntimeError("Problems closing file (file write failed: error message = 'No space left on device')"),
    ],
)
def test_a_job_that_meets_the_full_disk_is_not_a_failed_job(archive, plan, error):
    job = plan.jobs[0]
    with pytest.raises(StorageError, match="no space left"), archive.writing(job.key, job.spec):
        raise error
    with pytest.raises(FileNotFoundError), archive.writing(job.key, job.spec):
        raise FileNotFoundError(errno.ENOENT, "the job's own data are gone")


LIMITED = """
import resource, signal, sys
import pyarrow, pyarrow.parquet
from emjax.experiments.archive.folder import Archive, StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
archive = Archive(sys.argv[1])
try:
    with archive.claim("a"), archive.writing("a", {}) as draft:
        values = pyarrow.table({"value": [hash((n, n)) / 7 for n in range(20_000)]})
        pyarrow.parquet.write_table(values, draft.path / "rows.parquet")
except StorageError as error:
    print(error)
"""


def test_a_file_that_may_not_grow_further_is_a_full_disk(archive):
    command = [sys.executable, "-c", LIMITED, str(archive.path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.count("\n") == 1
    assert "no space left" in said
    assert not list((archive.path / "jobs").iterdir())


@pytest.mark.slow
def test_a_small_disk_fills_up_and_the_study_goes_on_elsewhere(tmp_path, study, plan, write_job):
    """A tmpfs of 256 kB: jobs until it is full, nothing torn, and the rest after making room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, text=True)
    assert mounted.returncode == 0, f"this test needs the right to mount: {mounted.stderr}"
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(200_000))
        archive = Archive(disk / "s")
        archive.begin(study, plan)

        def write_all() -> None:
            for job in plan.jobs:
                write_job(archive, job)

        with pytest.raises(StorageError, match="no space left"):
            write_all()
        done = archive.finished(verify=True)
        assert 0 < len(done) < len(plan.jobs)
        assert {path.name for path in (archive.path / "jobs").iterdir()} == done
        ballast.unlink()
        assert Archive(disk / "s").begin(study, plan) == done
        for job in plan.jobs:
            if job.key not in done:
                write_job(archive, job)
        archive.collect()
        assert len(archive.rows()) == 96
    finally:
        # Lazily: the write that failed may be kept open by its traceback.
        subprocess.run(["umount", "--lazy", disk], check=True)


def _claim_and_write(path: str, declared: dict, keys: list[str], queue) -> None:
    """Do every job that can be claimed and is not done, in a process of its own."""
    archive = Archive(path)
    wrote = []
    for key in keys:
        with archive.claim(key) as claimed:
            if claimed and not archive.finished([key]):
                with archive.writing(key, declared[key]) as draft:
                    (draft.path / "rows.parquet").write_bytes(b"rows")
                wrote.append(key)
    queue.put(wrote)


@pytest.mark.slow
def test_two_processes_share_the_jobs(archive, plan):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    declared, keys = {job.key: dict(job.spec) for job in plan.jobs}, [job.key for job in plan.jobs]
    processes = [
        context.Process(target=_claim_and_write, args=(str(archive.path), declared, keys, queue)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    wrote = [key for _ in processes for key in queue.get(timeout=60)]
    for process in processes:
        process.join()
    assert sorted(wrote) == sorted(keys), "each job once"
    assert archive.finished(verify=True) == set(keys)
