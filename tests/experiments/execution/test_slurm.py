"""Jobs of a cluster by submitit, whose executor of local processes goes the same way; and tasks of a job array."""

import functools
import os

import pytest
import submitit

from emjax.errors import ConfigError
from emjax.experiments.execution import run, slurm
from emjax.experiments.execution.run import run_study, shard_of
from emjax.experiments.execution.slurm import SlurmExecutor, is_slurm


def _dying():
    # Made here, it is handed over by value: the process of the job has no tests to import.
    return lambda *job, **more: os._exit(9)


@pytest.fixture
def local_cluster(monkeypatch):
    monkeypatch.setattr(run, "SlurmExecutor", functools.partial(SlurmExecutor, cluster="local"))
    # Here no file is late: one that is not there when its process has ended does not come.
    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 0.5)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.1)


@pytest.mark.usefixtures("local_cluster", "inline_workers")
def test_a_cluster_writes_the_rows_of_a_run_here(tmp_path, small_study, comparable_rows):
    study = small_study(n_cells=1)
    run_study(study, folder=tmp_path / "here", workers=1)
    result = run_study(study, folder=tmp_path / "cluster", scheduler="slurm:2")
    assert result.progress.complete
    assert comparable_rows(tmp_path / "cluster").equals(comparable_rows(tmp_path / "here"))


@pytest.mark.parametrize(("ends", "said"), [(_dying(), "ended without a result"), (int, "failed: TypeError: int() ")])
def test_a_job_that_ends_without_a_result_says_why(tmp_path, small_study, local_cluster, monkeypatch, ends, said):
    monkeypatch.setattr("emjax.experiments.execution.supervise.do_job", ends)
    result = run_study(small_study(n_cells=1, replicates=2, retries=0), folder=tmp_path / "dead", scheduler="slurm:1")
    (failure,) = result.failures.values()
    assert failure["attempts"] == 1
    assert said in failure["error"]
    assert "\n" not in failure["error"]


def test_without_slurm_there_is_one_line(tmp_path, small_study, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"--scheduler slurm: no SLURM is found here"):
        run_study(small_study(n_cells=1), folder=tmp_path / "none", scheduler="slurm")
    with pytest.raises(ConfigError, match=r"--scheduler slurm:0: write"):
        run_study(small_study(n_cells=1), folder=tmp_path / "none", scheduler="slurm:0")
    assert is_slurm("slurm:20")
    assert not is_slurm("tcp://slurm:8786")


def test_a_cluster_that_takes_no_job_is_one_line(tmp_path, small_study, monkeypatch):
    for name in ("srun", "sbatch"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition' >&2\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(ConfigError, match=r"--scheduler slurm: the cluster takes no job: .*invalid partition"):
        run_study(small_study(n_cells=1), folder=tmp_path / "refused", scheduler="slurm")


def _slurm(task, first, last, step="1", count=None):
    names = {"ID": task, "MIN": first, "MAX": last, "STEP": step, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": value for name, value in names.items() if value is not None}


@pytest.fixture
def no_array(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SLURM_ARRAY_", "SGE_TASK_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "share"),
    [
        (_slurm("2", "0", "2", count="3"), range(2, 7, 3)),
        (_slurm("4", "0", "6", step="2", count="4"), range(2, 7, 4)),
        ({"SGE_TASK_ID": "1", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "3", "SGE_TASK_STEPSIZE": "1"}, range(0, 7, 3)),
    ],
)
def test_a_task_of_a_job_array_finds_its_share(monkeypatch, no_array, variables, share):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert shard_of(range(7), "array") == share


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "this is no task of a job array"),
        ({"SGE_TASK_ID": "undefined"}, "this is no task of a job array"),
        (_slurm("3", "1", "7", count="3"), "the numbers of the array have gaps"),
    ],
)
def test_a_share_that_cannot_be_told_is_refused(monkeypatch, no_array, variables, problem):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"--shard array: {problem}"):
        shard_of(range(7), "array")
