"""A job writes tidy rows that are the same whenever it runs."""

import json
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from job_specs import DATA, job_spec

from emjax.environment import fingerprint
from emjax.errors import DataError
from emjax.experiments.archive.rows import job_schema
from emjax.experiments.work import job
from emjax.experiments.work.data import make_replicate
from emjax.experiments.work.job import TimeLimitReached, run_job
from emjax.experiments.work.measures import COST, measure
from emjax.experiments.work.methods import iterate_method


def rows_of(folder):
    return pq.read_table(folder / job.ROWS_FILE).to_pylist()


def without_cost(rows):
    return [row for row in rows if row["quantity"] not in COST]


def test_rows_are_what_was_measured(tmp_path):
    spec = job_spec("sklearn", name="peer", stop=3)
    summary = run_job(spec, tmp_path)
    table = pq.read_table(tmp_path / job.ROWS_FILE)
    assert table.schema.equals(job_schema())
    rows = without_cost(table.to_pylist())
    replicates = [make_replicate(spec, number) for number in range(3)]
    expected = [
        {
            "cell": spec["cell"],
            "replicate": replicate.number,
            "method": "peer",
            "quantity": quantity,
            "parameter": parameter,
            "value": value,
            "status": outcome.status,
        }
        for replicate, outcome in zip(replicates, iterate_method(spec, replicates), strict=True)
        for quantity, parameter, value in measure(replicate, outcome, spec["level"])
        if quantity not in COST
    ]
    assert rows == expected
    assert {"estimate", "error", "log_score", "log_score_loss", "ari", "trusted"} <= {row["quantity"] for row in rows}
    assert summary["n_rows"] == table.num_rows
    assert summary["statuses"] == {"converged": 3}
    assert summary["failures"] == {}
    assert summary["data_sha256"] == [fingerprint(replicate.data.values) for replicate in replicates]
    assert summary["run_seconds"] > 0
    assert json.loads(json.dumps(summary)) == summary


def test_a_job_begins_at_any_replicate(tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    run_job(job_spec("sklearn", stop=3), whole)
    run_job({**job_spec("sklearn", stop=3), "first": 1}, part)
    later = [row for row in rows_of(whole) if row["replicate"] >= 1]
    assert without_cost(rows_of(part)) == without_cost(later)


def test_a_failed_replicate_has_rows_and_a_reason(tmp_path, monkeypatch):
    from emjax.experiments.work.methods import peers

    run = peers._run

    def fail_once(spec, replicate, max_iter):
        if replicate.number == 1:
            raise np.linalg.LinAlgError("not positive\ndefinite")
        return run(spec, replicate, max_iter)

    monkeypatch.setattr(peers, "_run", fail_once)
    summary = run_job(job_spec("sklearn", stop=3), tmp_path)
    assert summary["statuses"] == {"converged": 2, "failed": 1}
    assert summary["failures"] == {"1": "LinAlgError: not positive definite"}
    failed = [row for row in rows_of(tmp_path) if row["status"] == "failed"]
    assert [(row["replicate"], row["quantity"], row["value"]) for row in failed] == [(1, "trusted", 0.0)]


def test_the_deadline_ends_a_job_without_rows(tmp_path):
    with pytest.raises(TimeLimitReached, match="after 0 of 2 replicates"):
        run_job(job_spec("sklearn"), tmp_path, deadline=time.monotonic() - 1.0)
    assert list(tmp_path.iterdir()) == []


def test_data_that_cannot_be_read_are_an_error(tmp_path):
    spec = job_spec("sklearn", data={"kind": "source", "source": str(tmp_path / "none.csv")})
    with pytest.raises(DataError, match="there is no file"):
        run_job(spec, tmp_path)


def test_no_jax_is_needed_for_a_peer():
    import subprocess
    import sys

    program = (
        "import json, sys, tempfile\n"
        "from emjax.experiments.work.job import run_job\n"
        "run_job(json.loads(sys.argv[1]), tempfile.mkdtemp())\n"
        "print('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(job_spec("sklearn", stop=1))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "em", "intervals": "information"},
        {"kind": "map"},
        {"kind": "hmc", "draws": 60, "chains": 8, "keep_draws": True},
    ],
)
def test_two_runs_write_the_same_rows_in_every_process(tmp_path, settings):
    """The second run finds its programs compiled, and comes after a job of another size."""
    from emjax.bayes.tree import load_tree

    spec = job_spec(**settings)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        run_job(spec, folder)
        run_job(job_spec(**settings, data={**DATA, "n_samples": 80}, stop=1), tmp_path)
    assert without_cost(rows_of(first)) == without_cost(rows_of(second))
    if "keep_draws" in settings:
        names = [job.posterior_file(number) for number in range(2)]
        assert sorted(path.name for path in first.iterdir()) == [*names, job.ROWS_FILE]
        trees = [load_tree(folder / names[1]) for folder in (first, second)]
        np.testing.assert_array_equal(trees[0]["posterior"]["mean"].values, trees[1]["posterior"]["mean"].values)
