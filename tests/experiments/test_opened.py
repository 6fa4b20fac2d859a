"""Runs opened from their folder hold what they held when they were made, to the last bit."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from bits import same

import emjax
from emjax.datasets import packed
from emjax.errors import ConfigError, DataError
from emjax.experiments.config.schema import Study
from emjax.experiments.execution import single as runner
from emjax.plain import to_plain
from emjax.plots import FIGURES

EM = {"kind": "em", "n_init": 2}
VALUES = "samples.Samples.values"
STRUCTURES = ("full", "tied", "diag", "spherical")
SAMPLER = {"kind": "hmc", "verdict": True, "chains": 2, "warmup": 150, "draws": 150}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What a comparison held when it was made, with the programs of `test_runs.py`; its folder lies beside its data."""
    folder = tmp_path_factory.mktemp("opened")
    values = emjax.datasets.load("faithful").values
    (folder / "eruptions.csv").write_text("".join(f"{a!r},{b!r}\n" for a, b in values.tolist()))
    tree = {
        "data": {"source": str(folder / "eruptions.csv"), "columns": ["x1", "x0"]},
        "model": {"n_components": 2},
        "methods": [EM, SAMPLER],
        "output": {"dir": str(folder / "run")},
    }
    with jax.numpy_rank_promotion("allow"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("emjax.report.page.render_report", lambda *arguments, **more: "page")
        return runner.run(Study.model_validate(tree))


@pytest.fixture(scope="module")
def for_objects(made, tmp_path_factory):
    """A copy whose ``objects.json`` each test replaces."""
    return shutil.copytree(made.folder, tmp_path_factory.mktemp("objects") / "run")


@pytest.fixture
def copied(made, tmp_path):
    """The run in another folder, to be damaged."""
    return shutil.copytree(made.folder, tmp_path / "run")


def put(folder, name, content):
    """Replace a file of a run as somebody would who means harm: with its hash."""
    (folder / name).write_bytes(content)
    environment = json.loads((folder / "environment.json").read_text())
    environment["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / "environment.json").write_text(json.dumps(environment))


def test_a_comparison_is_given_back_to_the_last_bit(made):
    run = emjax.open_run(made.folder)
    assert same(run.fit, made.fit) > 250
    assert same(run.posterior, made.posterior) > 5_000
    assert same(run.comparison, made.comparison) > 5_000
    assert run.data.feature_names == ("x1", "x0")
    assert (run.task, run.config["model"]["n_components"]) == ("compare", 2)
    assert run.document["verdict"] == run.comparison.verdict == made.comparison.verdict
    assert repr(run).endswith(f": compare of eruptions, {made.comparison.verdict})")


@pytest.mark.usefixtures("words_alone")
def test_what_is_given_back_can_be_used(made, tmp_path):
    run = emjax.open_run(str(made.folder))
    assert run.fit.bic(run.data) == made.fit.bic(run.data)
    assert np.array_equal(run.posterior.log_predictive(run.data), made.posterior.log_predictive(run.data))
    assert run.comparison.to_dict() == json.loads((made.folder / "comparison.json").read_text())
    assert run.comparison.to_html(tmp_path / "page.html").stat().st_size > 10_000
    assert len(run.fit.intervals(method="information").rows) == len(made.comparison.intervals.rows)


def test_draws_are_not_written_twice(made):
    content = json.loads((made.folder / "objects.json").read_text())["objects"]["dict"]
    weights = content["posterior"]["fields"]["params"]["arguments"][1]["dict"]["weights"]
    assert weights == {"stowed": "weights"}
    assert (made.folder / "objects.json").stat().st_size < 300_000


@pytest.mark.parametrize("file", ["objects.json", "posterior.nc"])
def test_changed_bytes_are_refused(copied, file):
    content = bytearray((copied / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / file).write_bytes(content)
    run = emjax.open_run(copied)
    with pytest.raises(ConfigError, match=rf"{file}: damaged: its bytes have changed since it was written"):
        _ = run.fit
    (copied / file).unlink()
    with pytest.raises(ConfigError, match=rf"{file}: is missing"):
        _ = run.posterior


@pytest.mark.parametrize(
    "value",
    [
        7,
        {},
        {"dict": 3},
        {"type": "os.system", "fields": {}},
        {"type": "result.Fit", "fields": {}},
        {"type": "result.Status", "fields": {}},
        {"enum": "result.Status", "value": "?"},
        {"enum": "result.Fit", "value": "?"},
        {"array": "AAAA", "dtype": "<f8", "shape": [1]},
        {"array": "AAAA", "dtype": "O", "shape": [1]},
        {"array": "AAAA", "dtype": "no", "shape": [1]},
        {"array": "AAAA", "dtype": "<f8", "shape": [10**18]},
        {"array": "?", "dtype": "<f8", "shape": [1]},
        {"stowed": "none"},
        {"left_out": "none"},
        {"type": "__main__.main", "fields": {}},
        {"type": "experiments.config.Study", "fields": {}},
        {"type": "families.missing.Family", "fields": {}},
        {"same": 3},
        {"float": "x"},
    ],
)
def test_what_somebody_has_written_makes_nothing_else(for_objects, value):
    text = json.dumps({"format": 2, "objects": {"dict": {"fit": value}} if value != 7 else value})
    put(for_objects, "objects.json", text.encode())
    run = emjax.open_run(for_objects)
    with pytest.raises(ConfigError, match=r"objects\.json: damaged: ") as caught:
        _ = run.fit
    assert str(caught.value).isprintable()


def test_draws_that_are_none_or_would_fill_the_memory(copied, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(packed, "MOST_UNPACKED", 1)
        patch.setattr(packed, "_MOST_PACKED", 0)
        with pytest.raises(ConfigError, match=r"posterior\.nc: damaged: a tree would unpack from"):
            _ = emjax.open_run(copied).posterior
    put(copied, "posterior.nc", b"\x89HDF\r\n\x1a\nno more")
    with pytest.raises(ConfigError, match=r"posterior\.nc: damaged: a tree: not a NetCDF-4 file"):
        _ = emjax.open_run(copied).posterior


def test_a_run_that_keeps_no_objects_says_so(copied):
    environment = json.loads((copied / "environment.json").read_text())
    del environment["files"]
    (copied / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(ConfigError, match=r"holds no objects\.json"):
        _ = emjax.open_run(copied).fit


def test_data_that_are_gone_or_changed(made, copied):
    config = (copied / "config.toml").read_text()
    source = Path(made.folder).parent / "eruptions.csv"
    other = copied.parent / "eruptions.csv"
    (copied / "config.toml").write_text(config.replace(str(source), str(other)))
    run = emjax.open_run(copied)
    assert run.document["verdict"]
    with pytest.raises(DataError, match="there is no file"):
        _ = run.fit
    other.write_text(source.read_text().replace("3.6", "3.7", 1))
    with pytest.raises(DataError, match=r"its data \(.*eruptions\.csv\) have changed since: put them back"):
        _ = run.data


def test_what_is_no_run(tmp_path):
    with pytest.raises(ConfigError, match="neither a study nor a single run"):
        emjax.open_run(tmp_path)


@pytest.mark.parametrize("value", [object(), {"a": 1j}, dataclasses.make_dataclass("Other", ["x"])(1)])
def test_other_types_are_not_written(value):
    with pytest.raises(TypeError):
        to_plain(value)


def test_a_single_run_gives_figures_and_tables_from_the_command_line(
    copied, made, emjax_command, workplace, monkeypatch
):
    # That each of them is drawn, the tests of pictures hold.
    monkeypatch.setitem(FIGURES, "Comparison", {name: FIGURES["Comparison"][name] for name in ("forest", "ranks")})
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    done = emjax_command("report", str(copied), "--json", "--out", "files")
    (document,) = json.loads(done.out)["reports"]
    assert (done.code, document["kind"], document["page"]) == (0, "single", str(copied / "report.html"))
    written = {str(Path(path).relative_to("files")) for path in document["files"]}
    assert {"figures/forest.svg", "figures/ranks.pdf", "tables/parameters.csv", "tables/invariants.tex"} <= written
    assert all((workplace / path).stat().st_size for path in document["files"])
    rows = (workplace / "files/tables/parameters.csv").read_text().splitlines()
    assert len(rows) == 1 + len(made.comparison.rows)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before


def test_figures_that_cannot_be_drawn_leave_the_page(copied, emjax_command):
    (copied / "objects.json").unlink()
    done = emjax_command("report", str(copied))
    assert (done.code, len(done.err.splitlines())) == (0, 1)
    assert "no figures and tables" in done.err
    assert "report.html" in done.out
