"""The rows of a study: their order, their columns, and who can read them."""

import json
import os

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

from emjax.experiments.archive.folder import Archive, StorageError
from emjax.experiments.archive.rows import column, job_schema
from emjax.experiments.plan.grid import make_plan

COLUMNS = ["cell", "data.n_samples", "replicate", "method", "quantity", "parameter", "value", "status"]


def test_rows_are_in_the_order_of_the_sweep(tmp_path, study, plan, fill):
    """Whatever the order in which jobs were done: by cell, method as declared, replicate."""
    archive = fill(tmp_path / "s", study)
    archive.collect()
    rows = archive.rows()
    assert list(rows.columns) == COLUMNS
    outcomes = rows.drop_duplicates(["cell", "method", "replicate"])
    expected = [(n, method, r) for n in (50, 100) for method in ("km", "bayes") for r in range(4)]
    assert list(outcomes[["data.n_samples", "method", "replicate"]].itertuples(index=False, name=None)) == expected
    assert rows["replicate"].dtype == np.int32
    assert rows["data.n_samples"].dtype == np.int64
    chosen = rows[(rows["quantity"] == "estimate") & (rows["replicate"] == 3)]
    assert chosen["value"].tolist() == pytest.approx([50.3, 50.3, 100.3, 100.3])


def test_rows_do_not_depend_on_the_collected_file(tmp_path, study, fill):
    archive = fill(tmp_path / "s", study)
    from_jobs = archive.rows()
    path = archive.collect()
    assert path == archive.path / "rows.parquet"
    assert parquet.read_table(path).to_pandas().equals(from_jobs)
    assert archive.rows().equals(from_jobs)
    path.write_bytes(b"torn")
    assert archive.rows().equals(from_jobs)


def test_a_collected_file_that_is_old_is_not_believed(tmp_path, study, plan, fill, write_job):
    keys = {job.key for job in plan.jobs}
    last = plan.jobs[-1]
    archive = fill(tmp_path / "s", study, keys=keys - {last.key})
    archive.collect()
    assert len(archive.rows()) == 84
    write_job(archive, last)
    assert len(archive.rows()) == len(Archive(archive.path).rows()) == 96


def test_rows_of_nothing_have_their_columns(archive):
    assert list(archive.rows().columns) == COLUMNS
    assert parquet.read_table(archive.collect()).num_rows == 0


def test_rows_are_those_of_the_plan(tmp_path, declare, fill):
    archive = fill(tmp_path / "s", declare())
    less = declare(replicates=2)
    plan = make_plan(less)
    archive.begin(less, plan)
    assert sorted(archive.rows()["replicate"].unique()) == [0, 1]


def test_every_kind_of_setting_has_a_column(tmp_path, declare, fill):
    sweep = {
        "data.weights": [[0.5, 0.5], [0.1, 0.9]],
        "data.contamination": [{"share": 0.1}, {"share": 0.2, "kind": "normal"}],
        "model.covariance": ["full", "diag"],
        "data.overlap": [0.05, 0.1],
        "data.n_samples": [10, 20],
    }
    archive = fill(tmp_path / "s", declare(replicates=1, grid={}, zip=sweep))
    rows = parquet.read_table(archive.collect())
    last = rows.slice(rows.num_rows - 1).to_pylist()[0]
    assert json.loads(last["data.weights"]) == [0.1, 0.9]
    assert json.loads(last["data.contamination"]) == {"share": 0.2, "kind": "normal"}
    assert (last["model.covariance"], last["data.overlap"], last["data.n_samples"]) == ("diag", 0.1, 20)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, 2], "int64", [1, 2]),
        ([1, 2.5], "double", [1.0, 2.5]),
        ([True, False], "bool", [True, False]),
        (["a", "b"], "string", ["a", "b"]),
        ([1, "a"], "string", ["1", "a"]),
        ([True, 2], "string", ["true", "2"]),
        ([2**70, 1], "string", [str(2**70), "1"]),
        ([[1, 2], {"b": 1, "a": 2}], "string", ["[1,2]", '{"a":2,"b":1}']),
        ([None, 3], "int64", [None, 3]),
    ],
)
def test_settings_keep_their_type(values, kind, expected):
    found = column(values)
    assert str(found.type) == kind
    assert found.to_pylist() == expected


def test_damaged_rows_are_named(tmp_path, study, plan, fill):
    archive = fill(tmp_path / "s", study)
    job = archive.path / "jobs" / plan.jobs[3].key
    size = (job / "rows.parquet").stat().st_size
    (job / "rows.parquet").write_bytes(b"?" * size)
    with pytest.raises(StorageError, match=f"{plan.jobs[3].key}/rows.parquet: damaged") as caught:
        archive.collect()
    assert "\n" not in str(caught.value)
    assert not (archive.path / "rows.parquet").exists()
    assert not [name for name in os.listdir(archive.path) if name.startswith(".")]


def test_the_schema_of_jobs_is_read_whatever_way_it_was_written(tmp_path, plan, archive):
    """Texts stored as dictionaries and fields that may not be null, as the work's own writer has them."""
    job = plan.jobs[0]
    fields = [pyarrow.field(field.name, field.type, nullable=False) for field in job_schema()]
    row = dict(zip(job_schema().names, (job.cell, 0, job.method, "ari", "", 0.5, "converged"), strict=True))
    table = pyarrow.Table.from_pylist([row], pyarrow.schema(fields))
    for number, stored in enumerate((table, _as_dictionaries(table))):
        job = plan.jobs[number]
        with archive.writing(job.key, job.spec) as draft:
            parquet.write_table(stored, draft.path / "rows.parquet")
    assert archive.rows()["value"].tolist() == [0.5, 0.5]
    archive.collect()
    assert archive.rows()["value"].tolist() == [0.5, 0.5]


def _as_dictionaries(table):
    for position, name in enumerate(table.schema.names):
        if table.schema.field(name).type == pyarrow.string():
            table = table.set_column(position, name, table[name].combine_chunks().dictionary_encode())
    return table


def test_duckdb_reads_the_rows(tmp_path, study, fill, monkeypatch):
    """The example of the guide."""
    fill(tmp_path / "runs" / "mine", study).collect()
    monkeypatch.chdir(tmp_path)
    import duckdb

    query = (
        "select method, avg(value) as coverage from 'runs/mine/rows.parquet' where quantity = 'covered' group by all"
    )
    found = duckdb.sql(query).fetchall()
    assert sorted(found) == [("bayes", 0.5), ("km", 0.5)]
    swept = duckdb.sql("select distinct \"data.n_samples\" as n from 'runs/mine/rows.parquet' order by n").fetchall()
    assert swept == [(50,), (100,)]
