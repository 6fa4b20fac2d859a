"""Cells and jobs follow from what they depend on: what is added elsewhere changes none of them."""

import copy
import dataclasses
import json
import shutil
from typing import Any

import pytest

from emjax.errors import ConfigError, DataError
from emjax.experiments.config.overrides import Declared
from emjax.experiments.config.schema import Study
from emjax.experiments.plan import cells
from emjax.experiments.plan.cells import checked_study
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.plan.jobs import Plan, data_seed, job_key, method_seed
from emjax.jsonable import canonical, digest

TREE: dict[str, Any] = {
    "seed": 5,
    "data": {"kind": "simulate", "weights": [0.5, 0.5], "mean": [0, 3], "scale": [1, 1]},
    "model": {"n_components": 2},
    "methods": [{"kind": "em"}, {"kind": "sklearn", "name": "peer"}, {"kind": "hmc"}],
}


def study(sweep: dict[str, Any] | None = None, **changes: Any) -> Study:
    tree = copy.deepcopy({**TREE, **changes, "sweep": sweep or {}})
    return checked_study(Declared(tree, "here"))


def refused(sweep: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        make_plan(study(sweep, **changes))
    assert str(caught.value).isprintable()
    return str(caught.value)


def by_key(plan: Plan) -> dict[str, Any]:
    return {job.key: job.spec for job in plan.jobs}


def test_grids_are_crossed_and_zips_run_in_step():
    cells = make_plan(
        study(
            {
                "grid": {"data.n_samples": [10, 20], "level": [0.5, 0.9]},
                "zip": {"data.overlap": [0.1, 0.2], "model.n_components": [2, 3]},
            }
        )
    ).cells
    assert [tuple(cell.settings.values()) for cell in cells] == [
        (n, level, *pair) for n in (10, 20) for level in (0.5, 0.9) for pair in ((0.1, 2), (0.2, 3))
    ]
    assert list(cells[0].settings) == ["data.n_samples", "level", "data.overlap", "model.n_components"]
    last = cells[-1].study
    assert (last.data.n_samples, last.level, last.data.overlap, last.model.n_components) == (20, 0.9, 0.2, 3)
    assert last.sweep.grid == last.sweep.zip == {}
    assert [cell.index for cell in cells] == list(range(8))
    assert len({cell.key for cell in cells}) == 8


def test_without_a_sweep_there_is_one_cell():
    (cell,) = make_plan(study()).cells
    assert cell.settings == {}
    assert len(cell.key) == 12


def test_a_method_is_swept_by_its_name():
    cells = make_plan(study({"grid": {"methods.peer.n_init": [1, 4], "methods.em.budget.evaluations": [1000]}})).cells
    assert [cell.study.methods[1].n_init for cell in cells] == [1, 4]
    assert cells[0].study.methods[0].budget.evaluations == 1000


def test_what_every_cell_has_from_the_sweep_need_not_stand_elsewhere():
    swept = study({"zip": {"model.n_components": [1, 3], "data.weights": [[1.0], [0.2, 0.3, 0.5]],
                           "data.mean": [[0], [0, 1, 2]], "data.scale": [[1], [1, 1, 1]]}}, model={})  # fmt: skip
    assert [cell.study.model.n_components for cell in make_plan(swept).cells] == [1, 3]


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ({"grid": {"data.overlap": [0.1, 0.2, 1.5]}}, 'here: sweep.grid."data.overlap"[2] = 1.5: data.overlap = 1.5'),
        ({"grid": {"methods.em.n_ini": [1]}}, "unknown key 'methods[0].n_ini'; did you mean 'methods[0].n_init'?"),
        ({"grid": {"methods.en.n_init": [1]}}, "with a name among 'em', 'peer', 'hmc'"),
        ({"grid": {"methods.em.name": ["a"]}}, "cannot be swept: list the methods one by one"),
        ({"grid": {"overlap": [1]}}, "'overlap' cannot be swept; write data.<key>, model.<key>"),
        ({"grid": {"modle.n_components": [1]}}, "did you mean 'model'?"),
        ({"grid": {"seed": [1]}}, "'seed' cannot be swept: say with sweep.replicates"),
        ({"grid": {"execution.batch": [1]}}, "no number depends on it"),
        ({"grid": {"data.n_samples": []}}, "is not allowed; it should have at least 1 item, not 0"),
        ({"grid": {"data.n_samples": 3}}, "should be a valid list"),
        ({"grid": {"data.n_samples": [10, 10]}}, "two cells are the same: data.n_samples = 10 and data.n_samples = 10"),
        ({"grid": {"model.covariance": ["diag"], "model.family": ["poisson"]}}, "covariance is for family 'normal'"),
        ({"grid": {"data.weights.x": [1]}}, "'data.weights' is a value, not a table"),
        ({"zip": {"data.n_samples": [1, 2], "level": [0.5]}}, "'data.n_samples' has 2 values and 'level' has 1"),
        ({"zip": {"level": [0.5]}, "grid": {"level": [0.5]}}, "'level' is in sweep.grid and in sweep.zip"),
        ({"grid": {"data.n_samples": list(range(1, 400)), "data.seed": list(range(400))}}, "has 159,600 cells"),
        ({"replicates": 10**9}, "sweep.replicates = 1000000000 is not allowed; it should be less than or equal"),
        (
            {"replicates": 10**6, "grid": {"level": [0.5, 0.6, 0.7, 0.8]}},
            "come to 960,000 jobs, and 200,000 are the most: raise execution.batch",
        ),
        (
            {"grid": {f"data.{name}{number}": [0, 1] for name in "ab" for number in range(10_000)}},
            "the sweep has 131,072 cells or more, and 100,000 are the most",
        ),
        ({"grid": {"level": [0.5] * 70_000}}, "70,000 cells and 3 methods come to more jobs than 200,000, the most"),
    ],
)  # fmt: skip
def test_a_wrong_sweep_is_refused(sweep, expected):
    assert expected in refused(sweep)


# -- jobs


def test_jobs_cover_every_method_cell_and_replicate_once():
    plan = make_plan(study({"replicates": 25, "grid": {"data.n_samples": [10, 20]}}, execution={"batch": 10}))
    covered = [(job.cell, job.method, number) for job in plan.jobs for number in range(job.first, job.stop)]
    wanted = {(cell.key, name, number) for cell in plan.cells for name in ("em", "peer", "hmc") for number in range(25)}
    assert len(covered) == len(set(covered)) == plan.n_results == 150
    assert set(covered) == wanted
    assert [job.method for job in plan.jobs] == ["hmc"] * 6 + ["em"] * 6 + ["peer"] * 6, "the dearest first"
    for job in plan.jobs:
        assert job.first % 10 == 0
        assert job.key == job_key(job.spec) == digest(job.spec, 16)
        assert json.loads(canonical(job.spec)) == job.spec
        assert (job.spec["cell"], job.spec["method"]["name"]) == (job.cell, job.method)
        assert (job.spec["first"], job.spec["stop"], job.spec["seed"]) == (job.first, job.stop, 5)
    assert make_plan(plan.study) == plan


BEFORE = {"replicates": 20, "grid": {"data.n_samples": [10, 20]}}


@pytest.mark.parametrize(
    ("sweep", "changes"),
    [
        ({**BEFORE, "grid": {"data.n_samples": [5, 10, 15, 20]}}, {}),
        ({**BEFORE, "replicates": 35}, {}),
        ({**BEFORE, "grid": {"level": [0.9, 0.5], "data.n_samples": [10, 20]}}, {}),
        (BEFORE, {"methods": [{"kind": "map"}, *TREE["methods"], {"kind": "nuts"}]}),
        (BEFORE, {"title": "x", "question": "y", "output": {"dir": "z"}}),
        (BEFORE, {"execution": {"batch": 10, "retries": 0, "time_limit": 3}}),
    ],
)
def test_what_is_added_changes_no_job(sweep, changes):
    same_batch = {"execution": {"batch": 10}}
    before = by_key(make_plan(study(BEFORE, **same_batch)))
    after = by_key(make_plan(study(sweep, **{**same_batch, **changes})))
    assert len(before) == 12
    assert before.items() <= after.items()


def test_blocks_of_an_earlier_plan_stay_and_what_they_leave_open_is_cut_anew():
    def cut(replicates, known=(), **changes):
        plan = make_plan(study({"replicates": replicates}, execution={"batch": 10}, **changes), known)
        return [dataclasses.asdict(job) for job in plan.jobs]

    def blocks(jobs):
        return [(job["first"], job["stop"]) for job in jobs if job["method"] == "em"]

    seven = cut(7)
    more = cut(25, seven)
    assert blocks(more) == [(0, 7), (7, 10), (10, 20), (20, 25)]
    assert {job["key"] for job in seven} < {job["key"] for job in more}
    assert cut(25, more) == more
    assert blocks(cut(31, more)) == [*blocks(more), (25, 30), (30, 31)]
    assert blocks(cut(12, more)) == [(0, 7), (7, 10), (10, 12)]
    assert cut(25, seven, level=0.5) == cut(25, level=0.5), "other rows: none of the jobs are these"


def test_jobs_of_methods_that_sample_are_small_where_nothing_is_said():
    plan = make_plan(study({"replicates": 12}))
    found = {job.method: job.stop - job.first for job in plan.jobs if job.first == 0}
    assert found == {"hmc": 5, "em": 12, "peer": 12}


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 6},
        {"level": 0.8},
        {"model": {"n_components": 3}},
        {"model": {"n_components": 2, "prior": {"concentration": 2}}},
        {"data": {**TREE["data"], "holdout": 10}},
    ],
)
def test_what_changes_the_rows_changes_every_job(changes):
    assert by_key(make_plan(study())).keys().isdisjoint(by_key(make_plan(study(**changes))))


def test_defaults_may_be_written_out():
    written = {"model": {"n_components": 2, "covariance": "full", "prior": "default"}, "level": 0.9}
    assert by_key(make_plan(study())) == by_key(make_plan(study(**written)))


def test_seeds_depend_on_what_they_should():
    plan = make_plan(study({"grid": {"model.n_components": [2, 3]}, "replicates": 4}, execution={"batch": 2}))
    specs = [job.spec for job in plan.jobs]
    assert len({data_seed(spec, 3) for spec in specs}) == 1, "models and methods see the same data"
    assert len({data_seed(specs[0], number) for number in range(100)}) == 100
    assert len({method_seed(spec, 1) for spec in specs}) == 6, "two models, three methods, whatever the block"
    renamed = {**specs[0], "method": {**specs[0]["method"], "name": "other", "budget": {"evaluations": 300}}}
    assert method_seed(renamed, 1) == method_seed(specs[0], 1)
    other = {**specs[0], "data": {**specs[0]["data"], "n_samples": 7}}
    assert data_seed(other, 3) != data_seed(specs[0], 3)


# -- files


def test_data_from_a_file_count_by_their_values(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n5,7\n")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "x.csv", tmp_path / "elsewhere" / "y.csv")
    here, there = ({"source": str(tmp_path / name)} for name in ("x.csv", "elsewhere/y.csv"))
    one, other = make_plan(study(data=here)), make_plan(study(data=there))
    assert one.jobs[0].spec["data"]["source"] == here["source"]
    assert [job.key for job in one.jobs] == [job.key for job in other.jobs]
    assert method_seed(one.jobs[0].spec, 0) == method_seed(other.jobs[0].spec, 0)
    assert data_seed(one.jobs[0].spec, 0) == data_seed(other.jobs[0].spec, 0)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n5,8\n")
    changed = make_plan(study(data=here))
    assert by_key(changed).keys().isdisjoint(by_key(one))


def test_bundled_data_have_their_fingerprint():
    spec = make_plan(study(data={"source": "faithful"})).jobs[0].spec
    assert len(spec["data"]["sha256"]) == 64
    assert spec["data"]["source"] == "faithful"


def test_data_that_are_missing_are_refused_before_anything_runs():
    with pytest.raises(DataError, match=r"^there is no file 'absent\.csv'"):
        make_plan(study(data={"source": "absent.csv"}))


def test_a_prior_needs_enough_degrees_of_freedom_for_the_data():
    prior = {"degrees_of_freedom": 1.0}
    with pytest.raises(ConfigError, match="with 2 features and full covariances it has to be greater than 1"):
        make_plan(study(data={"source": "faithful"}, model={"n_components": 2, "prior": prior}))
    make_plan(study(data={"source": "faithful"}, model={"n_components": 2, "prior": prior, "covariance": "diag"}))
    make_plan(study(model={"n_components": 2, "prior": prior}))


def test_the_largest_plans_are_counted_before_they_are_made(monkeypatch):
    monkeypatch.setattr(cells, "MOST_JOBS", 5)
    assert "come to 24 jobs, and 5 are the most" in refused({"replicates": 100})


def test_a_study_is_read_back_from_what_it_says_of_itself(tmp_path):
    import tomli_w

    from emjax.experiments.config.reading import read_study

    declared = study(
        {"replicates": 3, "grid": {"model.prior.scatter": [0.5, 2.0], "methods.peer.n_init": [1, 2]}},
        model={"n_components": 2, "prior": {"concentration": 2.0}},
    )
    (tmp_path / "study.toml").write_text(tomli_w.dumps(declared.model_dump(mode="json", exclude_none=True)))
    again = read_study(tmp_path / "study.toml")
    assert [job.key for job in make_plan(again).jobs] == [job.key for job in make_plan(declared).jobs]
    assert make_plan(declared).jobs[0].spec["model"]["prior"] == {"concentration": 2.0, "scatter": 0.5}
