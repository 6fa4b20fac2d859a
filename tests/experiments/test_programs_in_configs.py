"""A NumPyro program as the model of a config and of a command: what is read, what is refused, what is never run."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import emjax
from emjax.errors import ConfigError
from emjax.experiments import make_plan, read_study
from emjax.experiments.config.programs import program_of
from emjax.experiments.config.schema import Study
from emjax.experiments.execution.single import run
from emjax.experiments.work.job import run_job
from emjax.experiments.work.program_data import dataset_of_program

pytestmark = pytest.mark.runs_numpyro

NORMALS = """
import numpy as np
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

def model(y, x, n_components=2, spread=5.0):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(n_components)))
    with numpyro.plate("component", n_components):
        level = numpyro.sample("level", dist.Normal(0.0, spread))
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("datum", len(y)):
        z = numpyro.sample("z", dist.Categorical(weights))
        numpyro.sample("y", dist.Normal(level[z] + slope * x, 1.0), obs=y)

def data(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=60)
    return {"y": np.where(rng.random(60) < 0.4, -4.0, 4.0) + x + rng.normal(size=60), "x": x}
"""

CONFIG = """
[model]
program = "normals.py"
arguments = { spread = 4.0 }
component_axis = { level = 0 }

[[methods]]
kind = "map"
n_init = 1
intervals = "none"

[[methods]]
kind = "map"
name = "one"
n_init = 1
intervals = "none"
model = { arguments = { n_components = 1 } }
"""


@pytest.fixture
def program(workplace):
    path = workplace / "normals.py"
    path.write_text(NORMALS)
    return path


@pytest.fixture
def config(program):
    path = program.with_name("config.toml")
    path.write_text(CONFIG)
    return path


# -- what is read


def test_a_program_is_known_by_its_content_and_its_arguments(config, program):
    jobs = {job.method: job for job in make_plan(read_study(config)).jobs}
    model = jobs["map"].spec["model"]
    assert model["program"] == str(program)
    assert len(model["sha256"]) == 64
    assert model["arguments"] == {"spread": 4.0}
    assert model["component_axis"] == {"level": 0}
    assert program_of(model, with_prior=True).component_axis == {"level": 0}
    assert jobs["one"].spec["model"]["arguments"] == {"n_components": 1}
    # The data are those of the study's program, for all methods; a job is the same from wherever its file is.
    assert len({str(job.spec["data"]) for job in jobs.values()}) == 1
    moved = program.parent / "elsewhere"
    moved.mkdir()
    for file in (config, program):
        (moved / file.name).write_text(file.read_text())
    same = {job.key for job in make_plan(read_study(moved / config.name)).jobs}
    assert same == {job.key for job in jobs.values()}
    (moved / program.name).write_text(NORMALS + "\n# another content\n")
    assert same.isdisjoint(job.key for job in make_plan(read_study(moved / config.name)).jobs)
    config.write_text(CONFIG.replace("n_components = 1 }", "n_components = 1 }, component_axis = { level = -1 }"))
    others = {job.method: job for job in make_plan(read_study(config)).jobs}
    assert others["one"].spec["model"]["component_axis"] == {"level": -1}
    assert {one for one in jobs if others[one].key == jobs[one].key} == {"map"}


@pytest.mark.slow
def test_methods_of_a_study_fit_programs_of_their_own(config, tmp_path):
    """K = 2 against K = 1; the likelihood is that of a formula of our own."""
    found = {}
    for job in make_plan(read_study(config)).jobs:
        folder = tmp_path / job.key
        folder.mkdir()
        assert run_job(job.spec, folder)["statuses"] == {"converged": 1}
        rows = pq.read_table(folder / "rows.parquet").to_pandas()
        of = rows[rows["quantity"] == "estimate"].set_index("parameter")["value"].to_dict()
        found[job.method] = of, float(rows[rows["quantity"] == "log_likelihood"]["value"].iloc[0])
    two, value = found["map"]
    assert list(two) == ["weights[0]", "weights[1]", "level[0]", "level[1]", "slope"]
    names: dict = {}
    exec(NORMALS, names)
    y, x = names["data"](0).values()
    residual = y - two["slope"] * x
    each = [np.log(two[f"weights[{k}]"]) - 0.5 * (residual - two[f"level[{k}]"]) ** 2 for k in (0, 1)]
    expected = np.logaddexp(*each).sum() - 0.5 * len(y) * np.log(2 * np.pi)
    assert value == pytest.approx(expected, abs=1e-6)
    assert list(found["one"][0]) == ["weights[0]", "level[0]", "slope"]
    assert found["one"][1] < value


@pytest.mark.slow
def test_columns_of_a_file_go_to_the_arguments_of_their_names(program, workplace):
    """In whatever order they stand, and whatever else there is; the same fit as with the program's own data."""
    names: dict = {}
    exec(NORMALS, names)
    y, x = names["data"](0).values()
    rows = np.stack([np.ones(60), x, y], axis=1)
    header = "other,x,y"
    np.savetxt(workplace / "rows.csv", rows, delimiter=",", header=header, comments="", fmt="%.17g")
    shared = {
        "model": {"program": str(program)},
        "methods": [{"kind": "map", "n_init": 1, "intervals": "none", "accelerate": "none"}],
    }
    fits = [
        run(Study.model_validate({**shared, **given, "output": {"dir": str(workplace / out)}}))
        for given, out in (({}, "own"), ({"data": {"source": str(workplace / "rows.csv")}}, "file"))
    ]
    levels = [one.fit.params.level for one in fits]
    np.testing.assert_allclose(levels[0], levels[1], atol=1e-8)
    assert fits[0].fit.feature_names == ("y", "x")
    assert json.loads((workplace / "own" / "em.json").read_text())["map"]["prior"] != "none"


def test_the_data_of_a_program_have_a_column_for_each_number_of_a_datum(workplace):
    (workplace / "some.py").write_text(
        "import numpy as np\ndef data(seed=0):\n"
        "    return {'y': np.arange(12).reshape(3, 2, 2) + seed, 't': np.array([True, False, True])}\n"
    )
    found = dataset_of_program({"program": str(workplace / "some.py")}, seed=5)
    assert found.feature_names == ("y[0, 0]", "y[0, 1]", "y[1, 0]", "y[1, 1]", "t")
    np.testing.assert_array_equal(found.values[1], [9, 10, 11, 12, 0])


# -- what is refused, before anything is computed

REFUSED = {
    "no file": ({"program": "nowhere.py"}, "nowhere.py: no such program file; check model.program"),
    "no Python": ({"program": "normals.txt"}, "is not a Python file: its name has to end in .py"),
    "an argument": ({"arguments": {"k": 3}}, r"model\(\) takes no argument 'k', which model.arguments gives"),
    "a family": ({"family": "poisson"}, r"model.family.*what that takes stands in model.arguments"),
    "components": ({"n_components": 2}, r"n_components.*what that takes stands in model.arguments"),
    "a prior": ({"prior": {"rate": 2.0}}, "model.prior: a program has priors of its own: change them there"),
    "an axis": (
        {"component_axis": {"level": "'first'"}},
        r"line 3: model.component_axis.level = 'first' is not allowed",
    ),
    "a file": ({"file": "normals.py"}, r"model.file.*does not go with model.program"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_settings_that_do_not_go_with_a_program(program, workplace, which):
    changes, message = REFUSED[which]
    table = {"program": "normals.py", **changes}
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += [f"{key} = {{ {', '.join(f'{name} = {one}' for name, one in value.items())} }}"]
    (workplace / "config.toml").write_text("[model]\n" + "\n".join(lines))
    with pytest.raises(ConfigError, match=message) as error:
        make_plan(read_study(workplace / "config.toml"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def other(): pass", r"has no function model\(\); define the NumPyro program under that name"),
        ("this is no Python", r"bad.py, line 1: cannot be run: SyntaxError"),
        ("1 / 0", r"bad.py, line 1: cannot be run: ZeroDivisionError"),
        ("def model(y): pass", r"has no function data\(\)"),
        ("def model(y): pass\ndef data(seed): return 3", r"data\(\) returned int, and no arguments by name"),
        ("def model(y): pass\ndef data(seed): return {'n': 3}", "'n', which is no array of numbers"),
        (
            "def model(y): pass\nimport numpy as np\ndef data(seed): return {'y': np.ones(3), 'x': np.ones(4)}",
            r"arrays of several lengths \(y 3, x 4\)",
        ),
    ],
)
def test_files_that_are_no_program(emjax_command, workplace, content, message):
    (workplace / "bad.py").write_text(content)
    done = emjax_command("fit", "--program", "bad.py")
    assert done.code == 2
    assert done.err.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(done.err)
    assert not (workplace / "runs").exists()


def test_a_program_that_has_changed_since_the_plan_is_refused(config, program, tmp_path):
    job = make_plan(read_study(config)).jobs[0]
    program.write_text(NORMALS + "\n")
    with pytest.raises(ConfigError, match="has changed since the study was planned"):
        run_job(job.spec, tmp_path)


def test_data_of_a_program_need_one():
    with pytest.raises(ValueError, match=r"is for a model\.program, which brings them"):
        Study.model_validate({"data": {"kind": "program"}, "model": {"n_components": 2}})


# -- the command line


@pytest.mark.slow
def test_a_command_takes_a_program_its_arguments_and_a_file_of_data(emjax_command, workplace):
    """Maximum likelihood of two Poissons on the death notices: -1989.946 in Hasselblad (1969) and all since."""
    model = str(Path(__file__).resolve().parents[2] / "models" / "poisson_mixture.py")
    options = ("--prior", "none", "--n-init", "1", "--no-intervals", "--argument", "n_components=2", "--json", "-q")
    done = emjax_command("fit", "deaths", "--program", model, *options)
    document = json.loads(done.out)
    assert document["log_likelihood"] == pytest.approx(-1989.946, abs=5e-4)
    assert document["run"] == "runs/deaths-poisson_mixture-fit"
    told = json.loads((workplace / document["run"] / "environment.json").read_text())["model"]
    assert (told["family"], told["n_components"], told["arguments"]) == ("program", 2, {"n_components": 2})
    shown = emjax_command("show", document["run"])
    assert "deaths (1096 x 1), program poisson_mixture.py with 2 values" in " ".join(shown.out.split())


def test_a_command_without_data_and_program_says_what_is_missing(emjax_command):
    done = emjax_command("fit", "-k", "2")
    assert (done.code, "DATA (data) is missing" in done.err) == (2, True)
    for option, form in (("--argument", "KEY=VALUE"), ("--component-axis", "SITE=AXIS")):
        done = emjax_command("fit", "--program", "p.py", option, "three")
        assert (done.code, f"{option} three: write {form}: a name, '='" in done.err) == (2, True)


def test_an_axis_that_a_program_does_not_have_is_refused_in_one_line(emjax_command, program):
    done = emjax_command("fit", "--program", program.name, "--component-axis", "slope=0")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "component_axis says 0 of 'slope', whose shape is (): that is no axis of length 2" in done.err


@pytest.mark.usefixtures("no_page")
def test_looking_at_a_run_runs_no_program(emjax_command, program, workplace):
    study = Study.model_validate(
        {
            "model": {"program": str(program)},
            "methods": [{"kind": "map", "n_init": 1, "intervals": "none", "accelerate": "none"}],
            "output": {"dir": "looked"},
        }
    )
    made = run(study)
    program.write_text("import pathlib\npathlib.Path(__file__).with_name('executed').touch()\n")
    for arguments in (("show", "looked"), ("show", "looked", "--json"), ("ls", "."), ("report", "looked")):
        assert emjax_command(*arguments).code == 0, arguments
    assert f"Would run the file {program}" in " ".join(
        emjax_command("rerun", "looked", "--dry-run").out.replace("\n", "").split()
    )
    opened = emjax.open_run("looked")
    with pytest.raises(ConfigError, match="which opening does not run"):
        _ = opened.fit
    for wrong in (True, program):
        with pytest.raises(
            ConfigError, match="its content is not that of the program of looked: give the file as it was"
        ):
            _ = emjax.open_run("looked", program=wrong).fit
    # What the program brought is there without it.
    np.testing.assert_array_equal(opened.data.values, made.data.values)
    assert opened.data.feature_names == ("y", "x")
    assert not (workplace / "executed").exists()
    copy = program.with_name("copy.py")
    copy.write_text(NORMALS)
    found = emjax.open_run("looked", program=str(copy)).fit
    assert found.log_likelihood == made.fit.log_likelihood
    np.testing.assert_array_equal(found.predict_proba(), made.fit.predict_proba())


@pytest.mark.slow
def test_a_run_comes_back_with_its_own_file_or_a_program_of_python(program):
    study = {"model": {"program": str(program)}, "methods": [{"kind": "map", "n_init": 1}], "output": {"dir": "kept"}}
    made = run(Study.model_validate(study))
    names: dict = {}
    exec(NORMALS, names)
    for given in (True, emjax.program(names["model"])):
        found = emjax.open_run("kept", program=given).fit
        assert (
            found.intervals(method="information").to_frame().equals(made.fit.intervals(method="information").to_frame())
        )
    with pytest.raises(
        ConfigError, match=r"kept: program\(model\) is not the program that this is of: its log density"
    ):
        _ = emjax.open_run("kept", program=emjax.program(names["model"], spread=1.0)).fit


def test_a_program_is_handed_over_to_a_run_of_one_alone():
    for folder in ("fit", "study"):
        with pytest.raises(ConfigError, match=f"{folder}: is no single run of a NumPyro program: leave out program="):
            emjax.open_run(Path(__file__).parents[1] / "reference" / "folders" / folder, program=True)
