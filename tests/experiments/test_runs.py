"""Runs from the command to the folder: what is written, what is printed, what is left when they fail."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tomli_w

import emjax
from emjax import matrix, samples
from emjax.errors import DataWarning
from emjax.experiments.config.reading import read_study
from emjax.experiments.execution import single as runner

SMALL = ("--method", "hmc", "--chains", "2", "--warmup", "150", "--draws", "150", "--n-init", "2")
FILES = ["comparison.json", "config.toml", "em.json", "environment.json", "objects.json", "posterior.json"]
FILES += ["posterior.nc", "report.html"]
FILES_OF_FIT = ["assignments.csv", "config.toml", "em.json", "environment.json", "objects.json", "report.html"]
ROW_KEYS = {"name", "em", "se", "em_lower", "em_upper", "mean", "sd", "lower", "upper"} | {
    "difference_in_sd",
    "width_ratio",
}


def strictly(text: str):
    """Read JSON as a strict reader does: NaN and Infinity are errors."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_compare_writes_a_whole_folder_and_prints_one_document(emjax_command, workplace, monkeypatch):
    checked = []

    def as_matrix(x, name, **options):
        checked.append(x)
        return matrix.as_matrix(x, name, **options)

    monkeypatch.setattr(samples, "as_matrix", as_matrix)
    result = emjax_command("compare", "faithful", "-k", "2", "--json", *SMALL)
    assert result.code == 0
    assert len(checked) == 1, "the data are converted and checked once"
    assert result.err == ""
    folder = workplace / "runs" / "faithful-k2"
    assert names_in(folder) == FILES
    assert names_in(workplace / "runs") == ["faithful-k2"]
    printed = strictly(result.out)
    assert printed.pop("run") == "runs/faithful-k2"
    assert printed == strictly((folder / "comparison.json").read_text())
    assert {"verdict", "reasons", "parameters", "invariants", "diagnostics", "cost"} <= set(printed)
    assert all(set(row) >= ROW_KEYS for row in printed["parameters"])

    em = strictly((folder / "em.json").read_text())
    assert em["mle"]["log_likelihood"] == pytest.approx(-1130.26396, abs=1e-5)
    assert em["map"]["log_likelihood"] < em["mle"]["log_likelihood"]
    assert len(em["mle"]["trace"]) == em["mle"]["n_iter"] + 1

    environment = strictly((folder / "environment.json").read_text())
    values = emjax.datasets.load("faithful").values
    assert environment["data"]["n_samples"] == len(values)
    assert len(environment["data"]["sha256"]) == 64
    assert environment["seed"] == 0
    assert environment["versions"]["numpyro"]
    assert environment["seconds"] > sum(printed["cost"][side]["run_seconds"] for side in ("em", "mcmc"))

    import arviz

    tree = arviz.from_netcdf(folder / "posterior.nc")
    assert dict(tree["posterior"].sizes)["chain"] == 2
    assert dict(tree["posterior"].sizes)["draw"] == 150
    tree.close()


@pytest.mark.usefixtures("no_page")
def test_the_config_of_a_run_gives_the_same_numbers_from_anywhere(emjax_command, workplace, monkeypatch):
    values = emjax.datasets.load("faithful").values
    np.save(workplace / "x.npy", values)
    assert emjax_command("compare", "x.npy", "-k", "2", "--seed", "5", "--quiet", *SMALL).code == 0
    first = workplace / "runs" / "x-k2"
    (workplace / "elsewhere").mkdir()
    monkeypatch.chdir(workplace / "elsewhere")
    result = emjax_command("run", str(first / "config.toml"), "--out", "again", "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")
    second = workplace / "elsewhere" / "again"
    assert (second / "config.toml").read_text() == (first / "config.toml").read_text()
    one, two = (strictly((folder / "comparison.json").read_text()) for folder in (first, second))
    assert one["parameters"] == two["parameters"]
    assert one["invariants"] == two["invariants"]
    hashes = [strictly((f / "environment.json").read_text())["data"]["sha256"] for f in (first, second)]
    assert hashes[0] == hashes[1]


@pytest.mark.usefixtures("no_page")
def test_compare_tells_the_verdict_first_in_80_columns(emjax_command, workplace):
    result = emjax_command("compare", "faithful", "-k", "2", "--out", "out", *SMALL)
    assert result.code == 0
    assert result.err == ""
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    verdict = next(line for line in lines if line.startswith(("EM is enough", "Use MCMC", "No verdict")))
    # Before it stands only what cannot be trusted, and 300 draws cannot.
    assert lines[0].startswith("MCMC cannot be trusted yet (")
    assert verdict.startswith("No verdict")
    assert lines.index(verdict) <= 2
    assert any(line.startswith("weights[0]") for line in lines)
    assert lines[-1] == "out/report.html"
    assert (workplace / "out" / "report.html").is_file()


@pytest.mark.usefixtures("no_page")
def test_a_run_keeps_the_data_that_came_through_a_pipe(emjax_command, workplace):
    lines = b"0,1\n" + b"".join(b"%.2f,%.2f\n" % tuple(row) for row in emjax.datasets.load("faithful").values)
    options = ("-k", "1", "--header", "--columns", "1", "--n-init", "1")
    assert emjax_command("fit", "-", *options, "--quiet", stdin=lines).code == 0
    folder = workplace / "runs" / "stdin-k1-fit"
    assert "data.parquet" in names_in(folder)
    os.rename(folder, workplace / "moved")
    again = emjax_command("rerun", "moved")
    assert (again.code, again.err) == (0, "")
    assert "The same numbers, bit by bit" in again.out
    assert emjax_command("fit", "-", *options, "--quiet", "--out", "moved", "--overwrite", stdin=lines).code == 0


@pytest.mark.usefixtures("no_page")
def test_what_the_first_line_was_read_as_is_said(emjax_command, workplace):
    (workplace / "a.csv").write_text("0,1\n" + "1.25,2.5\n3.5,1.75\n" * 9)
    with pytest.warns(DataWarning, match=r"a\.csv: the first line '0,1' was read as names; header = false \(--no-h"):
        result = emjax_command("fit", "a.csv", "-k", "100")
    assert "18 rows, fewer than the 100 components" in result.err


def test_fit_reaches_the_published_optimum(emjax_command, workplace):
    result = emjax_command("fit", "faithful", "-k", "2", "--n-init", "2", "--json")
    assert result.code == 0
    document = strictly(result.out)
    assert document["status"] == "converged"
    assert document["log_likelihood"] == pytest.approx(-1130.26396, abs=1e-5)
    assert document["intervals"]["level"] == 0.9
    assert sum(optimum["count"] for optimum in document["optima"]) == 2
    folder = workplace / document["run"]
    assert document["run"] == "runs/faithful-k2-fit"
    assert names_in(folder) == FILES_OF_FIT
    assert strictly((folder / "em.json").read_text())["map"] is None
    page = (folder / "report.html").read_text()
    assert "What EM found in faithful" in page
    assert "−1,130.264" in page
    rows = np.genfromtxt(folder / "assignments.csv", delimiter=",", names=True, deletechars="")
    assert rows.dtype.names == ("row", "component", "probability[0]", "probability[1]")
    assert rows["row"].tolist() == list(range(272))
    probabilities = np.column_stack([rows[f"probability[{k}]"] for k in range(2)])
    assert np.array_equal(rows["component"], probabilities.argmax(axis=1))
    fit = emjax.open_run(folder).fit
    assert np.array_equal(probabilities, fit.predict_proba())


@pytest.mark.usefixtures("no_page")
def test_fit_with_the_prior_is_a_map_estimate(emjax_command, workplace):
    document = strictly(emjax_command("fit", "faithful", "-k", "2", "--prior", "default", "--json").out)
    em = strictly((workplace / document["run"] / "em.json").read_text())
    assert em["mle"] is None
    assert em["map"]["log_prior"] != 0.0
    assert em["map"]["objective"] == pytest.approx(em["map"]["log_likelihood"] + em["map"]["log_prior"])


@pytest.mark.usefixtures("no_page")
def test_exact_iterations_are_logged_and_counted(emjax_command):
    arguments = ("fit", "deaths", "-k", "2", "--family", "poisson", "--iterations", "40", "--log-every", "10")
    result = emjax_command(*arguments, "--starts", "random")
    assert result.code == 0
    log = [line for line in result.out.splitlines() if line.startswith("iteration")]
    assert [int(line.split()[1]) for line in log] == [10, 20, 30, 40]
    assert all("weights" in line and "rate" in line for line in log)
    objectives = [float(line.split()[3]) for line in log]
    assert objectives == sorted(objectives)

    document = strictly(emjax_command(*arguments, "--starts", "random", "--json").out)
    assert document["n_iter"] == 40
    assert len(document["trace"]) == 41
    assert document["exact_iterations"] is True


@pytest.mark.usefixtures("no_page")
def test_an_estimate_that_has_not_converged_is_written_and_exits_3(emjax_command, workplace):
    result = emjax_command("fit", "deaths", "-k", "2", "--family", "poisson", "--max-iter", "5", "--out", "out")
    assert result.code == 3
    assert "EM: max iter" in result.out
    assert strictly((workplace / "out" / "em.json").read_text())["mle"]["converged"] is False


def test_sample_writes_the_posterior_and_exits_3_when_it_is_too_short(emjax_command, workplace):
    result = emjax_command("sample", "faithful", "-k", "2", "--json", *SMALL)
    assert result.code == 3
    document = strictly(result.out)
    assert document["status"] != "converged"
    assert names_in(workplace / document["run"]) == [
        "config.toml", "em.json", "environment.json", "objects.json", "posterior.json", "posterior.nc"
    ]  # fmt: skip
    written = strictly((workplace / document.pop("run") / "posterior.json").read_text())
    assert written == document
    rows = {row["name"]: row for row in document["parameters"]}
    assert rows["weights[0]"]["lower"] < rows["weights[0]"]["mean"] < rows["weights[0]"]["upper"]
    assert "mean[1, waiting]" in rows


@pytest.mark.slow
def test_sample_prints_a_table_in_80_columns(emjax_command):
    result = emjax_command("sample", "galaxies", "-k", "1", "--method", "hmc", "--warmup", "300", "--draws", "1000")
    assert result.code == 0
    assert result.out.splitlines()[0] == "Posterior: converged"
    assert max(map(len, result.out.splitlines())) <= 80
    assert "one mode" in result.out
    assert "MCMC by hmc " in result.out


def test_what_auto_decides_is_said_at_once_and_kept(emjax_command, workplace):
    result = emjax_command("sample", "galaxies", "-k", "1", "--json", "--out", "out")
    assert result.code == 0
    document = strictly(result.out)
    assert len(document["decision"]) >= 2
    assert result.err.splitlines() == [f"emjax: {sentence}" for sentence in document["decision"]]
    assert document["decision"][0].startswith(f"auto: {document['method']}")
    assert document["n_modes"] == 1
    assert [mode["mass"] for mode in document["modes"]] == [1.0]
    assert document["modes"][0]["visited"] == 1.0
    assert "chains" not in (workplace / "out" / "config.toml").read_text()
    again = emjax_command("run", "out/config.toml", "--quiet", "--out", "again")
    assert (again.code, again.out, again.err) == (0, "", "")
    repeated = strictly((workplace / "again" / "posterior.json").read_text())
    assert repeated["parameters"] == document["parameters"]


@pytest.mark.usefixtures("no_page")
def test_a_simulation_is_declared_in_a_config(emjax_command, workplace):
    config = {
        "data": {
            "kind": "simulate",
            "weights": [0.4, 0.6],
            "mean": [0.0, 5.0],
            "scale": [1.0, 0.5],
            "n_samples": 2000,
        },
        "model": {"n_components": 2},
        "methods": [{"kind": "em", "precision": "float32", "tol": 1e-3, "n_init": 4, "intervals": "none"}],
    }
    (workplace / "config.toml").write_text(tomli_w.dumps(config))
    result = emjax_command("run", "config.toml", "--json")
    document = strictly(result.out)
    assert document["run"] == "runs/simulated-k2-fit"
    assert np.asarray(document["params"]["mean"])[:, 0] == pytest.approx([0.0, 5.0], abs=0.2)
    assert document["params"]["weights"] == pytest.approx([0.4, 0.6], abs=0.04)


@pytest.mark.parametrize("error", [KeyboardInterrupt, emjax.DataError])
def test_nothing_is_left_when_a_run_fails(emjax_command, workplace, monkeypatch, error):
    def failing(*arguments, **options):
        raise error("in the middle")

    monkeypatch.setattr(importlib.import_module("emjax.em.fit"), "fit", failing)
    result = emjax_command("fit", "faithful", "-k", "2")
    assert result.code == (130 if error is KeyboardInterrupt else 2)
    assert result.err.startswith("emjax: error: ")
    assert result.err.count("\n") == 1
    assert names_in(workplace) == []


def test_an_unexpected_error_is_not_hidden(emjax_command, workplace, monkeypatch):
    def failing(*arguments, **options):
        raise ZeroDivisionError

    monkeypatch.setattr(importlib.import_module("emjax.em.fit"), "fit", failing)
    with pytest.raises(ZeroDivisionError):
        emjax_command("fit", "faithful", "-k", "2")
    assert names_in(workplace) == []


@pytest.mark.usefixtures("no_page")
def test_overwrite_replaces_a_run(emjax_command, workplace):
    for seed in ("1", "2"):
        arguments = ("fit", "faithful", "-k", "2", "--out", "out", "--seed", seed, "--overwrite", "--quiet")
        result = emjax_command(*arguments)
        assert (result.code, result.out, result.err) == (0, "", "")
        assert strictly((workplace / "out" / "environment.json").read_text())["seed"] == int(seed)
    assert names_in(workplace) == ["out"]


@pytest.mark.usefixtures("no_page")
def test_bars_go_to_stderr_when_forced_and_never_into_the_document(emjax_command):
    result = emjax_command("fit", "faithful", "-k", "2", "--json", "--progress")
    assert strictly(result.out)["status"] == "converged"
    assert "EM" in result.err


@pytest.mark.usefixtures("no_page")
def test_the_library_runs_a_config_without_a_word(workplace, capsys):
    text = '[data]\nsource = "faithful"\n[model]\nn_components = 2\n[[methods]]\nkind = "em"\n'
    (workplace / "c.toml").write_text(text)
    result = runner.run(read_study("c.toml", ["methods.em.n_init=2"]))
    assert result.trustworthy
    assert result.fit.converged
    assert result.folder.is_dir()
    assert capsys.readouterr() == ("", "")


def run_process(*arguments: str, cwd, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "EMJAX_NO_CACHE": "1", "COLUMNS": "80", **variables}
    command = [sys.executable, "-m", "emjax", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_file_with_a_hostile_column_name(workplace):
    values = emjax.datasets.load("galaxies").values[:, 0]
    name = "<script>[red]\x1b[31m"
    (workplace / "x.csv").write_text(f"{name}\n" + "\n".join(map(str, values)) + "\n")
    result = run_process("compare", "x.csv", "-k", "1", "--out", "out", *SMALL, cwd=workplace)
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert "<script>[red]" in result.stdout
    assert "<script>[red]" not in (workplace / "out" / "report.html").read_text()


def test_a_bad_file_ends_a_real_process_in_one_line(workplace):
    (workplace / "x.csv").write_text("a\n1\nnan\n")
    result = run_process("compare", "x.csv", "-k", "1", cwd=workplace)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("emjax: error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_cache_is_kept_in_the_folder_of_the_user(workplace):
    cache = workplace / "cache"
    arguments = ("fit", "faithful", "-k", "2", "--n-init", "2", "--json")
    result = run_process(*arguments, cwd=workplace, EMJAX_NO_CACHE="", EMJAX_CACHE_DIR=str(cache))
    assert (result.returncode, result.stderr) == (0, "")
    filled = len(names_in(cache))
    assert filled > 0
    again = run_process(*arguments, cwd=workplace, EMJAX_NO_CACHE="", EMJAX_CACHE_DIR=str(cache))
    assert (again.returncode, again.stderr) == (0, "")
    assert strictly(again.stdout)["log_likelihood"] == strictly(result.stdout)["log_likelihood"]
    off = workplace / "off"
    run_process(*arguments, "--no-cache", cwd=workplace, EMJAX_NO_CACHE="", EMJAX_CACHE_DIR=str(off))
    assert not off.exists()


@pytest.mark.usefixtures("no_page")
def test_a_cache_that_cannot_be_written_is_one_line_of_warning(emjax_command, workplace, monkeypatch):
    (workplace / "file").write_text("")
    monkeypatch.setenv("EMJAX_NO_CACHE", "")
    monkeypatch.setenv("EMJAX_CACHE_DIR", str(workplace / "file" / "cache"))
    result = emjax_command("fit", "deaths", "-k", "2", "--family", "poisson", "--no-intervals")
    assert result.code == 0
    assert result.err.startswith("emjax: warning: no compilation cache")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_a_killed_run_leaves_nothing(workplace, number, code):
    # A shell that starts the tests in the background has them ignore Ctrl-C, and so would their children.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from emjax.cli.app import main; main()"
    )
    arguments = ["compare", "faithful", "-k", "2", "--method", "nuts", "--draws", "100000", "--out", "r/out"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=workplace,
        env={**os.environ, "EMJAX_NO_CACHE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(workplace.glob("r/.out*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        (partial,) = names_in(workplace / "r")
        assert partial.startswith(f".out.partial-{process.pid}-")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code
    assert (out, err) == ("", "emjax: error: interrupted; nothing was written\n")
    assert names_in(workplace) == []
