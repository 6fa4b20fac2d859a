"""The model section becomes a mixture and a prior; the one file that a config may name is run, and nothing else."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import emjax
from emjax.errors import ConfigError
from emjax.experiments.config.mixtures import mixture_for, mixture_of, prior_of, resolved_model
from emjax.experiments.config.model import FileModel, Model
from emjax.experiments.config.reading import read_study
from emjax.experiments.config.schema import resolved
from emjax.experiments.plan.grid import make_plan

ROOT = Path(__file__).resolve().parents[3]
GOOD = """\
import emjax


def build(n_components=2, covariance='diag'):
    return emjax.Mixture(emjax.Normal(covariance), n_components)
"""


@pytest.fixture
def model_file(tmp_path):
    def write(text: str) -> str:
        (tmp_path / "m.py").write_text(text, encoding="utf-8")
        return str(tmp_path / "m.py")

    return write


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_a_declared_model_is_that_mixture(covariance):
    model = resolved_model(Model(n_components=3, covariance=covariance))
    assert model == {"family": "normal", "n_components": 3, "prior": "default", "covariance": covariance}
    assert mixture_of(model, with_prior=False) == emjax.Mixture(emjax.Normal(covariance), 3)
    assert mixture_of(model, with_prior=True) == emjax.Mixture(emjax.Normal(covariance), 3, prior="default")


def test_a_poisson_model_has_no_covariance():
    model = resolved_model(Model(family="poisson", n_components=2, prior="none"))
    assert model == {"family": "poisson", "n_components": 2, "prior": "none"}
    mixture = mixture_of(model, with_prior=True)
    assert mixture.family == emjax.Poisson()
    assert prior_of(model, mixture, np.ones((4, 1))) is None


# -- priors


def test_a_prior_table_changes_the_numbers_it_has_and_no_others():
    x = np.random.default_rng(0).normal(size=(50, 2)) * [1.0, 3.0]
    table = {"concentration": 2.5, "mean_precision": 0.1, "degrees_of_freedom": 7.0, "scatter": 0.25}
    for given in (table, {"scatter": 0.25}, {"concentration": 2.5}):
        model = resolved_model(Model.model_validate({"n_components": 3, "prior": given}))
        mixture = mixture_of(model, with_prior=True)
        prior, default = prior_of(model, mixture, x), mixture.default_prior(x)
        np.testing.assert_allclose(prior.concentration, [given.get("concentration", 1.0)] * 3)
        assert prior["mean"].precision == given.get("mean_precision", 0.01)
        assert prior["covariance"].degrees_of_freedom == given.get("degrees_of_freedom", 4)
        np.testing.assert_array_equal(prior["mean"].mean, x.mean(axis=0))
        scatter = default["covariance"].scatter * given.get("scatter", 1.0)
        np.testing.assert_allclose(prior["covariance"].scatter, scatter)
        assert emjax.Mixture(mixture.family, 3, prior=prior).prior is prior


@pytest.mark.parametrize(
    ("table", "shape", "rates"),
    [
        ({"concentration": 3}, 2.0, [2 / 4, 2 / 10]),
        ({"shape": 5}, 5.0, [5 / 4, 5 / 10]),
        ({"rate": 0.7}, 2.0, [0.7, 0.7]),
    ],
)
def test_a_poisson_prior_keeps_its_mean_at_the_data_unless_its_rate_is_given(table, shape, rates):
    x = np.array([[3.0, 8.0], [5.0, 12.0]])
    model = resolved_model(Model.model_validate({"family": "poisson", "n_components": 2, "prior": table}))
    prior = prior_of(model, mixture_of(model, with_prior=True), x)
    assert prior["rate"].shape == shape
    np.testing.assert_allclose(prior["rate"].rate, rates)


# -- model files


def test_a_model_file_builds_the_mixture(model_file):
    model = resolved_model(FileModel(file=model_file(GOOD), arguments={"n_components": 4}))
    assert {key: model[key] for key in ("family", "covariance", "n_components", "arguments")} == {
        "family": "normal", "covariance": "diag", "n_components": 4, "arguments": {"n_components": 4}
    }  # fmt: skip
    assert len(model["sha256"]) == 64
    mixture = mixture_of(model, with_prior=True)
    assert mixture == emjax.Mixture(emjax.Normal("diag"), 4, prior="default")
    assert prior_of(model, mixture, np.ones(3)) == "default"


def test_a_model_file_may_bring_its_prior(model_file):
    file = str(ROOT / "models" / "overlapping.py")
    model = resolved_model(FileModel(file=file, arguments={"n_components": 3, "width": 0.25}))
    mixture = mixture_of(model, with_prior=True)
    assert (mixture.family, mixture.n_components) == (emjax.Normal("full"), 3)
    assert prior_of(model, mixture, np.ones(3)) is mixture.prior
    # The prior expects the width that was asked for: E[1 / variance] = degrees of freedom / scatter.
    law = mixture.prior["covariance"]
    assert float(law.scatter[0, 0] / law.degrees_of_freedom) == pytest.approx(0.25**2)
    assert mixture_of(model, with_prior=False).prior is None
    overridden = resolved_model(FileModel(file=file, prior="default"))
    assert prior_of(overridden, mixture_of(overridden, with_prior=True), np.ones(3)) == "default"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\n", "m.py: has no function build(); define one that returns an emjax.Mixture"),
        ("def build():\n    return 3\n", "m.py: build() returned a int, not an emjax.Mixture"),
        ("\n\ndef build():\n    return 1 / 0\n", "m.py, line 4: build() failed: ZeroDivisionError: division by zero"),
        ("def build():\n    raise SystemExit(3)\n", "m.py, line 2: build() failed: SystemExit: 3"),
        ("def build(:\n", "m.py, line 1: cannot be run: SyntaxError"),
        ("import no_such_module\n", "m.py, line 1: cannot be run: ModuleNotFoundError"),
        ("import emjax\ndef build(width):\n    return emjax.Mixture(emjax.Normal(), 2)\n", "missing 1 required"),
        ("import emjax\ndef build():\n    return emjax.Mixture(emjax.Normal(), 0)\n", "line 3: build() failed: Config"),
        ("def build():\n    raise ValueError('a\\nb' * 500)\n", "build() failed: ValueError: a ba ba"),
    ],
)  # fmt: skip
def test_a_wrong_model_file_is_refused_in_one_line(model_file, text, expected):
    with pytest.raises(ConfigError) as caught:
        resolved_model(FileModel(file=model_file(text)))
    assert expected in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_absent_model_file_is_refused():
    with pytest.raises(ConfigError, match=r"^absent\.py: no such model file; check model\.file$"):
        resolved_model(FileModel(file="absent.py"))


def test_a_model_file_that_has_changed_since_is_refused(model_file):
    file = model_file(GOOD)
    model = resolved_model(FileModel(file=file))
    model_file(GOOD + "\n# another\n")
    with pytest.raises(ConfigError, match="has changed since the study was planned"):
        mixture_of(model, with_prior=False)


def test_a_dataclass_in_a_model_file_is_no_trouble(model_file):
    text = "import dataclasses\n@dataclasses.dataclass\nclass Width:\n    value: 'float' = 1.0\nWidth()\n"
    assert resolved_model(FileModel(file=model_file(text + GOOD)))["n_components"] == 2


def test_a_study_counts_a_model_file_by_its_content(tmp_path):
    config = '[data]\nsource = "galaxies"\n[model]\nfile = "m.py"\n[[methods]]\nkind = "em"\n'
    plans = []
    for name, text in {"one": GOOD, "two": GOOD, "three": GOOD + "# changed\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.py").write_text(text)
        (tmp_path / name / "config.toml").write_text(config)
        plans.append(make_plan(read_study(tmp_path / name / "config.toml")))
    one, two, three = ([job.key for job in plan.jobs] for plan in plans)
    assert one == two != three
    assert plans[0].jobs[0].spec["model"]["file"] == str(tmp_path / "one" / "m.py")


def test_arguments_of_a_model_file_can_be_swept(tmp_path):
    (tmp_path / "m.py").write_text(GOOD)
    (tmp_path / "config.toml").write_text(
        '[data]\nsource = "galaxies"\n[model]\nfile = "m.py"\n[[methods]]\nkind = "em"\n'
        "[sweep.grid]\nmodel.arguments.n_components = [2, 3, 4]\n"
    )
    plan = make_plan(read_study(tmp_path / "config.toml"))
    assert [job.spec["model"]["n_components"] for job in plan.jobs] == [2, 3, 4]


def test_a_single_run_reads_the_model_from_its_file(tmp_path):
    (tmp_path / "m.py").write_text(GOOD)
    path = tmp_path / "config.toml"
    path.write_text('[data]\nsource = "galaxies"\n[model]\nfile = "m.py"\narguments = {n_components = 3}\n')
    study = read_study(path)
    assert (study.model.family, study.model.structure, study.model.n_components) == ("normal", "diag", 3)
    assert resolved(study)["model"] == {"file": str(tmp_path / "m.py"), "arguments": {"n_components": 3}}
    mixture = mixture_for(resolved(study)["model"], np.ones((3, 1)), with_prior=False)
    assert mixture == dataclasses.replace(emjax.Mixture(emjax.Normal("diag"), 3), prior=None)


def test_a_prior_table_has_laws_of_volume_shape_and_orientation():
    orientation = {"law": "uniform_rotations"}
    prior = {"degrees_of_freedom": 1.0, "shape": {"law": "log_ratios", "scale": 2.0}, "orientation": orientation}
    model = {"family": "normal", "n_components": 2, "covariance": "VEV", "prior": prior}
    found = prior_of(model, mixture_of(model, with_prior=True), np.asarray(emjax.datasets.load("faithful")))
    # The inverse gamma law of a volume takes fewer degrees of freedom than there are features.
    assert float(found["volume"].shape) == 0.5
    assert float(found["shape"].scale) == 2.0
    assert type(found["orientation"]) is emjax.laws.UniformRotations
