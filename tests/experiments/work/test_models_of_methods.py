"""Each method of a study may fit a model of its own."""

import pyarrow.parquet as pq
import pytest

from emjax.errors import ConfigError
from emjax.experiments import make_plan, read_study
from emjax.experiments.work.job import run_job

CONFIG = """
seed = 4
[data]
kind = "simulate"
weights = [0.4, 0.6]
mean = [[0.0], [4.0]]
scale = [[1.0], [1.0]]
n_samples = 80
holdout = 100

[model]
n_components = 2
covariance = "diag"

[[methods]]
kind = "sklearn"

[[methods]]
kind = "sklearn"
name = "three"
model = { n_components = 3 }

[[methods]]
kind = "em"
name = "t"
model = { family = "student_t" }
"""


@pytest.fixture
def plan_of(tmp_path):
    def plan(*changes):
        (tmp_path / "config.toml").write_text(CONFIG)
        return make_plan(read_study(tmp_path / "config.toml", changes))

    return plan


def test_a_model_of_a_method_is_put_over_that_of_the_study(plan_of):
    specs = {job.method: job.spec for job in plan_of().jobs}
    assert {name: spec["model"] for name, spec in specs.items()} == {
        "sklearn": {"family": "normal", "n_components": 2, "prior": "default", "covariance": "diag"},
        "three": {"family": "normal", "n_components": 3, "prior": "default", "covariance": "diag"},
        # Of another family only the number of components is taken over.
        "t": {"family": "student_t", "n_components": 2, "prior": "default", "covariance": "full"},
    }
    assert all("model" not in spec["method"] for spec in specs.values())
    one = {job.method: job for job in plan_of("model.n_components=1").jobs}
    assert one["three"].spec["model"]["n_components"] == 3
    # Beside the model the same data and, by their own names, the same methods.
    assert len({str(spec["data"]) for spec in specs.values()}) == 1


def test_models_are_compared_by_what_does_not_depend_on_them(plan_of, tmp_path):
    by_method = {}
    for job in plan_of().jobs:
        if job.method != "t":
            run_job(job.spec, tmp_path)
            rows = pq.read_table(tmp_path / "rows.parquet").to_pandas()
            by_method[job.method] = set(rows["quantity"])
    assert "error" in by_method["sklearn"]
    assert "error" not in by_method["three"]
    assert {"log_score_loss", "total_variation", "ari"} <= by_method["three"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("methods.three.model.n_components=0", "methods[1].model.n_components = 0 is not allowed"),
        ("methods.three.model.component=3", "unknown key 'methods[1].model.component'"),
        ("methods.three.model.family=poisson", "methods.three.model: model.family = 'poisson' is for counts"),
        ("methods.t.model.prior={rate = 1.0}", "prior.rate is not for family 'student_t'"),
        ("methods.three.model={file = 'absent.py'}", "absent.py: no such model file"),
        ("methods.three.model.file=absent.py", "n_components does not go with a file, whose build() decides it"),
        ("methods.t.model.family=gamma", "is for positive numbers"),
    ],
)
def test_what_does_not_go_together_is_refused(plan_of, change, problem):
    with pytest.raises(ConfigError) as caught:
        plan_of(change)
    assert problem.replace("methods.three.model: ", "") in str(caught.value)


def test_a_model_of_a_method_can_be_swept(plan_of):
    plan = plan_of("sweep.grid.methods.three.model.n_components=[3, 4]")
    assert {job.spec["model"]["n_components"] for job in plan.jobs if job.method == "three"} == {3, 4}
