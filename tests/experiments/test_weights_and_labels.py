"""Weights, labels and empty cells of a data file: options, configs, studies, and runs that are opened again."""

import tomllib

import numpy as np
import pytest

import emjax
from emjax import datasets
from emjax.clock import now
from emjax.environment import describe_run, fingerprint_of
from emjax.errors import ConfigError, DataError
from emjax.experiments.archive.single import read_data
from emjax.experiments.config.overrides import Declared
from emjax.experiments.config.schema import Study, resolved
from emjax.experiments.plan.cells import checked_study
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.plan.jobs import Plan
from emjax.experiments.work.data import make_replicate

HEAD = "x,y,w,g\n"
ROWS = ["1.5,2,2,b", ",3,0,", "0.5,-1,1.5,a", "2,,1,b", "1,0.25,1,a", "4,1,1,b"]


@pytest.fixture
def data(workplace):
    path = workplace / "data.csv"
    path.write_text(HEAD + "\n".join(ROWS))
    return path


def refused(result) -> str:
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("emjax: error: ")
    assert result.err.count("\n") == 1
    return result.err


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--columns", "x,y"), ("line 3, column 'x': the cell is empty", "--missing")),
        (("--weights", "v", "--labels", "g"), ("no column 'v'", "x, y, w, g")),
        (("--weights", "y", "--labels", "g"), ("line 5, column 'y': '' is no weight",)),
        (("--weights", "g"), ("line 2, column 'g': 'b' is no weight",)),
        (("--weights", "w", "--labels", "w"), ("labels = 'w' is the column of the weights",)),
        (("--weights", "w", "--columns", "x,w"), ("weights = 'w' is among the columns, the features",)),
        (("--weights", "2", "--columns", "x,w", "--missing"), ("'w' holds the weights, so it is no feature",)),
        (
            ("--weights", "w", "--labels", "g", "--missing", "-k", "1"),
            ("2 names ('a', 'b')", "the 1 component asked"),
        ),
        (("--set", "data.missing=drop"), ("(data.missing) = 'drop' is not allowed; use one of refuse, keep",)),
    ],
)
@pytest.mark.parametrize("command", ["fit", "compare"])
def test_what_is_wrong_is_said_in_one_line(emjax_command, data, options, parts, command):
    message = refused(emjax_command(command, str(data), "-k", "2", *options))
    for part in parts:
        assert part in message
    assert not (data.parent / "runs").exists()


@pytest.mark.usefixtures("no_page")
def test_options_end_in_the_config_and_the_run_is_opened_with_them(emjax_command, workplace):
    rows = [f"{x},{y},1.0,," for x, y in datasets.load("faithful").values[:40].tolist()]
    (workplace / "data.csv").write_text("a,b,w,g,\n" + "\n".join(rows))
    options = ("--weights", "w", "--labels", "3", "--columns", "a,b", "--missing", "--n-init", "2", "--no-intervals")
    assert emjax_command("fit", "data.csv", "-k", "1", *options, "--quiet").code == 0
    folder = workplace / "runs" / "data-k1-fit"
    declared = tomllib.loads((folder / "config.toml").read_text())["data"]
    assert declared == {
        "kind": "source", "source": str(workplace / "data.csv"), "columns": ["a", "b"],
        "weights": "w", "labels": "3", "missing": "keep", "holdout": 0.0, "resample": "none",
    }  # fmt: skip
    run = emjax.open_run(folder)
    assert run.data.feature_names == ("a", "b")
    assert run.fit.feature_names == ("a", "b")


@pytest.mark.parametrize("command", ["fit", "sample", "compare"])
def test_help_names_the_options(emjax_command, command):
    shown = emjax_command(command, "--help").out
    for option in ("--weights", "--labels", "--missing"):
        assert option in shown
    assert max(map(len, shown.splitlines())) <= 80


def config(**data):
    return checked_study(Declared({"data": data, "model": {"n_components": 2}}, "c.toml"))


def test_a_config_names_columns_by_name_or_position():
    section = config(source="a.csv", weights=3, labels="g", missing="keep").data
    assert (section.weights, section.labels, section.missing) == ("3", "g", "keep")
    assert resolved(config(source="a.csv"))["data"].keys() == {"kind", "source", "holdout", "resample"}


@pytest.mark.parametrize(
    ("section", "part"),
    [
        ({"weights": ""}, "data.weights = ''"),
        ({"weights": -1}, "data.weights = -1"),
        ({"weights": True}, "data.weights = True"),
        ({"weights": ["w"]}, "data.weights = ['w']"),
        ({"weights": "w", "labels": "w"}, "data: labels = 'w' is the column of the weights"),
        ({"labels": "g", "columns": ["x", "g"]}, "data: labels = 'g' is among the columns"),
        ({"missing": True}, "use one of refuse, keep"),
        ({"weigths": "w"}, "did you mean 'data.weights'?"),
    ],
)
def test_a_config_that_does_not_go_together_is_refused(section, part):
    with pytest.raises(ConfigError) as caught:
        config(source="a.csv", **section)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_finds_its_weights_labels_and_gaps_again(data):
    declared = {"source": str(data), "weights": "w", "labels": "g", "missing": "keep"}
    dataset = datasets.load(data, weights="w", labels="g", missing="keep")
    environment = describe_run(dataset, model={}, precision="float64", seed=0, started=now())
    again = read_data(declared, environment, data.with_name("config.toml"))
    assert again.weights.tolist() == [2.0, 0.0, 1.5, 1.0, 1.0, 1.0]
    assert again.partial_labels.tolist() == ["b", None, "a", "b", "a", "b"]
    np.testing.assert_array_equal(again.values, dataset.values)
    for changed in (ROWS[0].replace(",2,b", ",3,b"), ROWS[0].replace("b", "a"), ROWS[0].replace("1.5", "")):
        data.write_text(HEAD + "\n".join([changed, *ROWS[1:]]))
        with pytest.raises(DataError, match="have changed since"):
            read_data(declared, environment, data.with_name("config.toml"))


# --- studies -------------------------------------------------------------------------------------------------


def plan(source, methods=({"kind": "em"},), **data) -> Plan:
    tree = {"data": {"source": str(source), **data}, "model": {"n_components": 2}, "methods": list(methods)}
    return make_plan(Study.model_validate(tree))


def test_the_jobs_of_a_study_know_the_roles_of_columns(data):
    asked = {"weights": "w", "labels": "g", "missing": "keep", "holdout": 0.5, "resample": "bootstrap"}
    (job,) = plan(data, **asked).jobs
    assert {key: job.spec["data"][key] for key in asked} == asked
    whole = datasets.load(data, weights="w", labels="g", missing="keep")
    assert job.spec["data"]["sha256"] == fingerprint_of(whole)
    replicate = make_replicate(job.spec, 0)
    known = {row.tobytes(): place for place, row in enumerate(whole.values)}
    for part in (replicate.data, replicate.holdout):
        rows = [known[row.tobytes()] for row in part.values]
        assert len(rows) == 3
        assert part.weights.tolist() == whole.weights[rows].tolist()
        assert part.partial_labels.tolist() == whole.partial_labels[rows].tolist()
    assert known.keys() >= {row.tobytes() for row in replicate.data.values}


def test_jobs_of_data_without_roles_are_those_of_before(workplace):
    (job,) = plan("faithful").jobs
    assert job.spec["data"].keys() == {"kind", "source", "holdout", "resample", "sha256"}


def test_peers_that_read_no_weights_are_refused_when_the_study_is_planned(data):
    with pytest.raises(ConfigError, match=r"methods.sklearn: scikit-learn's mixtures read no data.weights"):
        plan(data, methods=[{"kind": "sklearn"}], weights="w", labels="g", missing="keep")


def test_peers_that_read_no_gaps_are_refused_when_the_study_is_planned(tmp_path):
    (tmp_path / "gaps.csv").write_text("a,b\n1,2\n3,\n5,6\n7,9\n8,8\n")
    assert plan(tmp_path / "gaps.csv", missing="keep").jobs
    with pytest.raises(ConfigError, match=r"methods.sklearn: scikit-learn's mixtures read no empty cells, as .*gaps"):
        plan(tmp_path / "gaps.csv", methods=[{"kind": "em"}, {"kind": "sklearn"}], missing="keep")
