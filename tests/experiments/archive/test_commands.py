"""``emjax ls``, ``show`` and ``diff`` on made-up studies and runs."""

import json
import shutil
from types import SimpleNamespace

import pandas
import pytest
import tomli_w
from typer.testing import CliRunner

from emjax.cli import terminal_study
from emjax.cli.app import app
from emjax.experiments.archive.differences import compare_numbers
from emjax.experiments.archive.single import open_single_run
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.results import open_run
from emjax.jsonable import to_json

FIT = {
    "status": "converged",
    "message": "EM converged.",
    "converged": True,
    "exact_iterations": False,
    "prior": "none",
    "space": "natural",
    "log_likelihood": -10.5,
    "bic": 30.0,
    "n_iter": 12,
    "params": {"weights": [0.25, 0.75]},
    "intervals": {"level": 0.9, "status": "ok", "message": "", "rows": []},
    "optima": [{"objective": -10.5, "count": 3, "spurious": False}],
    "compile_seconds": 1.0,
    "run_seconds": 0.5,
}
ENVIRONMENT = {
    "started": "2026-05-04T12:00:00+00:00",
    "versions": {"emjax": "0.1.0", "jax": "0.12.0"},
    "machine": {"python": "3.12.1"},
    "devices": [{"id": 0, "platform": "cpu", "kind": "cpu"}],
    "data": {"name": "faithful", "n_samples": 272, "n_features": 2},
    "format": 1,
    "task": "fit",
    "model": {"family": "normal", "covariance": "full", "n_components": 2},
}


@pytest.fixture
def command(workplace):
    """Run a command in this process: ``code``, ``out``, ``err``."""

    def run(*arguments: object) -> SimpleNamespace:
        result = CliRunner().invoke(app, list(map(str, arguments)), prog_name="emjax", catch_exceptions=False)
        return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)

    return run


@pytest.fixture
def single(workplace):
    """Write the folder of a single ``fit``; keyword arguments change its document."""

    def write(name: str, *, jax: str = "0.12.0", tol: float = 1e-6, **changed) -> None:
        folder = workplace / "runs" / name
        folder.mkdir(parents=True)
        config = {"seed": 0, "data": {"source": "faithful"}, "model": {"n_components": 2}}
        (folder / "config.toml").write_text(tomli_w.dumps({**config, "methods": [{"kind": "em", "tol": tol}]}))
        environment = {**ENVIRONMENT, "versions": {"emjax": "0.1.0", "jax": jax}}
        (folder / "environment.json").write_text(to_json(environment))
        (folder / "em.json").write_text(to_json({"mle": {**FIT, **changed}, "map": None}))

    return write


def test_ls_tells_studies_from_runs(command, workplace, study, plan, fill, single):
    fill(workplace / "runs" / "sweep", study, keys={plan.jobs[0].key})
    single("fit")
    single("damaged")
    (workplace / "runs" / "damaged" / "em.json").write_text("{")
    (workplace / "runs" / "other").mkdir()
    listed = {entry["run"]: entry for entry in json.loads(command("ls", "--json").out)["runs"]}
    assert next(iter(listed)) == "runs/sweep", "the newest comes first"
    assert set(listed) == {"runs/sweep", "runs/fit", "runs/damaged"}
    sweep = listed["runs/sweep"]
    assert (sweep["kind"], sweep["data"], sweep["n_jobs"], sweep["n_done"]) == ("study", "simulated", 8, 1)
    assert sweep["status"] == "1 of 8 jobs done, 7 missing"
    fit = listed["runs/fit"]
    assert (fit["kind"], fit["data"], fit["n_components"], fit["status"]) == ("fit", "faithful", 2, "converged")
    assert listed["runs/damaged"]["status"].startswith("damaged: runs/damaged/em.json")
    shown = command("ls").out
    assert max(map(len, shown.splitlines())) <= 80
    assert "converged" in shown
    assert [entry["run"] for entry in json.loads(command("ls", "runs/fit", "--json").out)["runs"]] == ["runs/fit"]


def test_ls_of_nothing(command, workplace):
    assert command("ls").code == 2
    assert "runs: no such folder" in command("ls").err
    (workplace / "runs").mkdir()
    assert "No study and no single run in runs" in command("ls").out


def test_show_a_study(command, workplace, study, plan, fill):
    archive = fill(workplace / "s", study, keys={job.key for job in plan.jobs[1:]})
    archive.record_failure(plan.jobs[0], "ValueError: \x1b[31mno luck", 2)
    shown = command("show", "s")
    assert shown.code == 0
    for part in ("A <b>study</b>", "Is 1 < 2?", "7 of 8 jobs done, 1 failed", "n_samples", "coverage", "50.0% ± 28.9%"):
        assert part in shown.out
    assert f"ValueError: \\x1b[31mno luck ({plan.jobs[0].key})" in " ".join(shown.out.split())
    assert "\x1b" not in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    document = json.loads(command("show", "s", "--json").out)
    assert document["progress"] == {"n_jobs": 8, "n_done": 7, "n_failed": 1, "n_missing": 0}
    assert [cell["data.n_samples"] for cell in document["cells"]] == [50, 100]
    assert document["failures"][plan.jobs[0].key]["attempts"] == 2
    measures = {"trusted", "coverage", "worst_coverage", "log_score_loss", "run_seconds"}
    assert {row["measure"] for row in document["summary"]} == measures


def test_show_says_first_what_cannot_be_trusted(workplace, study, fill):
    result = open_run(fill(workplace / "s", study).path)
    bad = (result.rows["quantity"] == "trusted") & (result.rows["method"] == "bayes")
    result.rows = result.rows.assign(value=result.rows["value"].mask(bad, 0.0))
    lines = [str(line) for line in terminal_study.study_view(result)]
    told = next(line for line in lines if "cannot be trusted: bayes" in line)
    assert told.startswith("8 outcomes of 16 cannot be trusted: bayes 8 (")
    assert "jobs done" in lines[lines.index(told) - 1]


def test_show_counts_verdicts(workplace, study, fill):
    result = open_run(fill(workplace / "s", study).path)
    given = result.rows[result.rows["quantity"] == "trusted"].assign(quantity="verdict", parameter="mcmc_needed")
    given.loc[given["replicate"] == 0, "parameter"] = "em_sufficient"
    result.rows = pandas.concat([result.rows, given[given["method"] == "bayes"]])
    lines = [str(line) for line in terminal_study.study_view(result)]
    assert "Verdicts of bayes: mcmc needed 6, em sufficient 2" in lines
    assert not any("Verdicts of km" in line for line in lines)


def test_show_a_single_run(command, single):
    single("fit")
    shown = command("show", "runs/fit").out
    for part in ("EM: converged", "faithful (272 x 2), 2 normal components, full", "-10.5", "jax 0.12.0"):
        assert part in shown
    assert json.loads(command("show", "runs/fit", "--json").out)["document"]["n_iter"] == 12


def test_show_refuses_in_one_line(command, workplace, single):
    (workplace / "empty").mkdir()
    single("damaged")
    (workplace / "runs" / "damaged" / "config.toml").write_text("seed = ")
    for name, words in (("nowhere", "no such folder"), ("empty", "neither a study"), ("runs/damaged", "damaged")):
        ended = command("show", name)
        assert ended.code == 2
        assert words in ended.err
        assert ended.err.count("\n") == 1


def test_diff_of_equal_studies(command, workplace, study, fill):
    """Seconds differ between the two, and are nobody's concern."""
    for name in ("a", "b"):
        fill(workplace / name, study)
    ended = command("diff", "a", "b")
    assert (ended.code, ended.out) == (0, "The same numbers, bit by bit: 80 compared\n")
    assert json.loads(command("diff", "a", "b", "--json").out)["same"] is True


@pytest.mark.parametrize(("shift", "state", "code"), [(1e-10, "within_rounding", 0), (1e-3, "different", 3)])
def test_diff_of_numbers(command, workplace, study, fill, shift, state, code):
    fill(workplace / "a", study)
    fill(workplace / "b", study, shift=shift)
    ended = command("diff", "a", "b", "--json")
    assert ended.code == code
    numbers = json.loads(ended.out)["numbers"]
    assert numbers["state"] == state
    assert numbers["n_compared"] == 80
    assert numbers["n_different"] + numbers["n_within_rounding"] == 16, "the estimates"
    largest = numbers["largest"][0]
    assert (largest["quantity"], largest["cell"]) == ("estimate", '{"data.n_samples":50}')
    assert largest["second"] - largest["first"] == pytest.approx(shift, rel=1e-3)
    shown = command("diff", "a", "b", "--page", "changed.html")
    assert ("16 of 80 differ beyond rounding" in shown.out) == (code == 3)
    page = (workplace / "changed.html").read_text()
    assert ("Different numbers" in page) == (code == 3)
    assert "Measures, those that moved most first" in page
    assert "mean estimate" not in page, "single parameters are in the summaries of both"
    assert "default-src 'none'" in page
    assert "script" not in page


def test_diff_of_settings(command, workplace, declare, fill):
    fill(workplace / "a", declare())
    other = declare(seed=1, replicates=6, grid={"data.n_samples": [200, 100, 50]})
    # As a config is read: a swept setting stands elsewhere with the value of the first cell.
    other = other.model_copy(update={"data": other.data.model_copy(update={"n_samples": 200})})
    fill(workplace / "b", other)
    ended = command("diff", "a", "b", "--json")
    assert ended.code == 3
    found = json.loads(ended.out)
    assert found["settings"]["seed"] == [0, 1]
    assert found["settings"]["sweep.replicates"] == [4, 6]
    assert "data.n_samples" not in found["settings"], "the sweep says what it is, and the first cell does not"
    assert found["numbers"]["n_compared"] == 80
    assert found["numbers"]["n_only_first"] == 0
    assert found["numbers"]["n_only_second"] == 3 * 2 * 6 * 5 - 80
    assert "100 only in B" in command("diff", "a", "b").out


def test_diff_of_single_runs(command, workplace, single):
    single("a")
    single("same", compile_seconds=9.0, run_seconds=9.0)
    single("later", jax="0.13.0", n_iter=13, log_likelihood=-10.5 * (1 + 1e-12))
    single("ended", status="max_iter", converged=False)
    assert command("diff", "runs/a", "runs/same").out == "The same numbers, bit by bit: 14 compared\n"
    found = json.loads(command("diff", "runs/a", "runs/later", "--json").out)
    assert found["versions"] == {"jax": ["0.12.0", "0.13.0"]}
    numbers = found["numbers"]
    assert (numbers["state"], numbers["n_different"], numbers["n_within_rounding"]) == ("different", 1, 1)
    assert numbers["largest"][0]["place"] == "mle.n_iter"
    ended = command("diff", "runs/a", "runs/ended")
    assert ended.code == 3
    assert "em.json mle.status" in ended.out
    assert "max_iter" in ended.out


def test_diff_needs_two_of_a_kind(command, workplace, study, fill, single):
    fill(workplace / "s", study)
    single("fit")
    ended = command("diff", "s", "runs/fit")
    assert ended.code == 2
    assert "a study and a single run have nothing to compare" in ended.err


def test_numbers_that_are_missing_or_not_finite(workplace, single):
    single("a")
    first = open_single_run(workplace / "runs" / "a").numbers()
    second = first.copy()
    place = second.index[second["place"] == "mle.bic"][0]
    second.loc[place, "value"] = float("nan")
    assert compare_numbers(first, second).n_different == 1
    assert compare_numbers(second, second).state == "identical"
    second.loc[place, "value"] = float("inf")
    assert compare_numbers(first, second).n_different == 1
    assert compare_numbers(second, second).state == "identical"
    lacking = compare_numbers(first, second.drop(index=place))
    assert (lacking.n_only_first, lacking.n_only_second, lacking.state) == (1, 0, "identical")
    assert compare_numbers(first, second.iloc[:0]).state == "nothing_in_common"


def test_versions_of_a_study_are_those_of_its_jobs(workplace, study, plan, fill):
    archive = fill(workplace / "s", study)
    record = archive.path / "jobs" / plan.jobs[0].key / "job.json"
    document = json.loads(record.read_text())
    now = document["provenance"]["versions"]["numpy"]
    document["provenance"]["versions"]["numpy"] = "1.0"
    record.write_text(json.dumps(document))
    assert open_run(workplace / "s").versions()["numpy"] == f"1.0, {now}"


def test_merged_jobs_are_shown(command, workplace, declare, fill):
    """Two shards run in two folders; one is copied into the other."""
    study = declare()
    keys = [job.key for job in make_plan(study).jobs]
    fill(workplace / "a", study, keys=set(keys[::2]))
    fill(workplace / "b", study, keys=set(keys[1::2]))
    shutil.copytree(workplace / "b" / "jobs", workplace / "a" / "jobs", dirs_exist_ok=True)
    assert "8 of 8 jobs done" in command("show", "a").out
