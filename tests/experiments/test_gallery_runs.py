"""Every program of `models/` that emjax fits, the whole way: fit, sample, compare, report, and a study of two cells.

One of them by default; the others by name (``-m slow``).
"""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import emjax
from emjax.errors import ConfigError
from emjax.experiments.config.schema import Study
from emjax.experiments.plan.grid import make_plan
from emjax.experiments.work.job import run_job

pytestmark = pytest.mark.runs_numpyro

MODELS = Path(__file__).resolve().parents[2] / "models"
QUICK = ("mixture_of_regressions",)
OTHERS = (
    *("capture_recapture_m0", "capture_recapture_mb", "covariates_of_weights", "hierarchical_scales"),
    *("latent_class", "low_dim_gauss_mix", "normal_2", "normal_mixture", "poisson_mixture", "rater_agreement"),
    *("robust_regression", "zero_inflated_counts"),
)
ONE_COLUMN = {
    *("hierarchical_scales", "low_dim_gauss_mix", "normal_2", "poisson_mixture", "zero_inflated_counts"),
}
"""Programs whose data are one observed column: only these have a density to draw."""

SETTINGS = ("--n-init", "6", "--seed", "3")
SAMPLER = ("--method", "laplace", "--draws", "100")


def test_all_programs_are_here():
    there = {path.stem for path in MODELS.glob("*.py")} - {"overlapping", "change_point"}
    assert there == {*QUICK, *OTHERS}


@pytest.mark.usefixtures("words_alone")
@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_the_whole_way(emjax_command, workplace, name):
    program = str(MODELS / f"{name}.py")
    commands = {"fit": ("--no-intervals",), "sample": SAMPLER, "compare": SAMPLER}
    if name in QUICK:
        del commands["sample"]  # which does what a comparison begins with
    for command, options in commands.items():
        done = emjax_command(command, "--program", program, *SETTINGS, *options, "--out", command, "--json", "-q")
        assert done.code in (0, 3), done.err
        document = json.loads(done.out)
        assert document["run"] == command
    mode = json.loads((workplace / "fit" / "em.json").read_text())["map"]
    assert mode["status"] == "converged"
    # One key, one program, one set of data: the modes of all are one.
    for other in commands.keys() - {"fit"}:
        again = json.loads((workplace / other / "em.json").read_text())["map"]
        assert again["log_likelihood"] == pytest.approx(mode["log_likelihood"], abs=1e-5)
    check_opened(workplace, name)
    check_pages(workplace, emjax_command, name)
    check_study(workplace, program, mode["log_likelihood"])


def check_opened(workplace, name):
    """What a folder says of itself without running the program, and what it does not."""
    run = emjax.open_run(workplace / "compare")
    assert run.model["program"].endswith(f"{name}.py")
    assert re.fullmatch("[0-9a-f]{64}", run.model["sha256"])
    assert run.model["n_components"] >= 2
    assert len(run.numbers()) > 10
    with pytest.raises(ConfigError, match="opening does not run"):
        _ = run.fit
    # What its program's ``data()`` returned lies beside the config.
    assert len(run.data) == run.environment["data"]["n_samples"]


def check_pages(workplace, emjax_command, name):
    """The folder is shown, and its page has a density only where one column is all there is."""
    shown = emjax_command("show", "compare")
    assert shown.code == 0
    assert f"program {name}.py" in " ".join(shown.out.split())
    assert emjax_command("report", "compare").code == 0
    for task in ("fit", "compare"):
        page = (workplace / task / "report.html").read_text()
        assert "A NumPyro program whose label has" in page
        assert ("No density is drawn" in page) == (name not in ONE_COLUMN)
        assert page.count("<figure") >= 2


def check_study(workplace, program, log_likelihood):
    """Two cells, computed as a worker does."""
    methods = [{"kind": "map", "n_init": 6, "intervals": "none"}]
    study = Study.model_validate(
        {"model": {"program": program}, "methods": methods, "sweep": {"grid": {"data.seed": [0, 1]}}}
    )
    plan = make_plan(study)
    assert len(plan.cells) == 2
    found = {}
    for job in plan.jobs:
        folder = workplace / job.key
        folder.mkdir()
        assert "failed" not in run_job(job.spec, folder)["statuses"]
        rows = pq.read_table(folder / "rows.parquet").to_pandas()
        found[job.method, job.spec["data"]["seed"]] = rows[rows["quantity"] == "log_likelihood"]["value"].tolist()
        assert {"estimate", "trusted"} <= set(rows["quantity"])
    assert found["map", 0] == pytest.approx([log_likelihood], abs=1e-4)
