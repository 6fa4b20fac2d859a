"""Whether a finished study, or a single run, is found to give its numbers again."""

import json
import os
from unittest import mock

import pytest

from emjax.errors import ConfigError
from emjax.experiments.archive.folder import Archive
from emjax.experiments.execution import rerun
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.results import open_study
from emjax.experiments.work.job import run_job
from emjax.files import sha256_of


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """Doing a job in this process sets variables of it."""
    monkeypatch.setenv("EMJAX_NO_CACHE", "1")
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture
def result(tmp_path, declare):
    """A study of four jobs that were really done, by scikit-learn."""
    pytest.importorskip("sklearn")
    study = declare(methods=("km",), batch=2)
    plan, archive = make_plan(study), Archive(tmp_path / "s")
    archive.begin(study, plan)
    for job in plan.jobs:
        with archive.claim(job.key), archive.writing(job.key, job.spec) as draft:
            draft.summary = run_job(job.spec, draft.path)
    return open_study(archive.path)


def test_a_study_gives_its_numbers_again(result):
    seen = []
    repetition = rerun.repeat(result, cache=False, on_job=lambda *counts: seen.append(counts))
    assert repetition.same
    assert repetition.numbers.state == "identical"
    assert len(repetition.jobs) == 4
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert repetition.numbers.n_compared > 100
    assert repetition.versions == {}
    assert not list(result.folder.glob(".*"))


def test_a_number_that_is_not_found_again_is_named(result):
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    key = sorted(result.finished)[0]
    path = result.folder / "jobs" / key / "rows.parquet"
    table = parquet.read_table(path)
    row = compute.index(table["quantity"], "estimate").as_py()
    values = table["value"].to_pylist()
    values[row] *= 1 + 1e-6
    table = table.set_column(table.schema.get_field_index("value"), table.schema.field("value"), [values])
    parquet.write_table(table, path)
    record = path.with_name("job.json")
    document = json.loads(record.read_text())
    document["files"]["rows.parquet"] = {"size": path.stat().st_size, "sha256": sha256_of(path)}
    document["provenance"]["versions"]["numpy"] = "1.0"
    record.write_text(json.dumps(document))
    repetition = rerun.repeat(open_study(result.folder), jobs=[key[:8]], cache=False)
    assert not repetition.same
    assert repetition.jobs == (key,)
    assert repetition.numbers.n_different == 1
    largest = repetition.numbers.largest[0]
    assert (largest["quantity"], largest["parameter"]) == ("estimate", table["parameter"][row].as_py())
    assert largest["relative"] == pytest.approx(1e-6, rel=1e-3)
    assert repetition.versions["numpy"][0] == "1.0"


def test_samples_are_spread_over_the_sweep(result):
    chosen = rerun.repeat(result, sample=2, cache=False).jobs
    cells = [result.archive.record(key)["spec"]["data"]["n_samples"] for key in chosen]
    assert cells == [50, 100]


def test_what_cannot_be_repeated_is_said(result, tmp_path, study, fill):
    with pytest.raises(ConfigError, match="no finished job is called 'zz'"):
        rerun.repeat(result, jobs=["zz"], cache=False)
    empty = open_study(fill(tmp_path / "empty", study, keys=set()).path)
    with pytest.raises(ConfigError, match="no job is finished"):
        rerun.repeat(empty, cache=False)
