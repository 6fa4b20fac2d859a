"""Jobs of a cluster by submitit, whose executor of local processes goes the same way; and tasks of a job array."""

import functools
import os

import pytest

from emjax.errors import ConfigError
from emjax.experiments.execution import run
from emjax.experiments.execution.run import run_study, shard_of
from emjax.experiments.execution.slurm import SlurmExecutor, is_slurm


def _dying():
    # Made here, it is handed over by value: the process of the job has no tests to import.
    return lambda *job, **more: os._exit(9)


@pytest.fixture
def local_cluster(monkeypatch):
    monkeypatch.setattr(run, "SlurmExecutor", functools.partial(SlurmExecutor, cluster="local"))


def test_a_cluster_writes_the_rows_of_local_processes(tmp_path, small_study, comparable_rows, local_cluster):
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


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "2"}, [2, 5]),
        ({"SGE_TASK_ID": "1", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "3"}, [0, 3, 6]),
        ({"PBS_ARRAY_INDEX": "2", "PBS_ARRAY_LAST": "4"}, [1, 5]),
    ],
)
def test_a_task_of_a_job_array_finds_its_share(monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert shard_of(range(7), "array") == range(expected[0], 7, expected[1] - expected[0])


def test_outside_a_job_array_there_is_no_share_of_one(monkeypatch):
    for name in ("SLURM_ARRAY_TASK_ID", "SGE_TASK_ID", "PBS_ARRAY_INDEX"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"--shard array: this is no task of a job array"):
        shard_of(range(7), "array")
