"""Columns of texts are levels where that is asked for."""

import numpy as np
import pytest

import emjax
from emjax import datasets
from emjax.datasets.dataset import Dataset
from emjax.environment import fingerprint_of
from emjax.errors import ConfigError, DataError
from emjax.experiments.config.schema import Study, resolved
from emjax.experiments.work.loading import columns_of

ROWS = ["colour,smokes,count", "red,true,0", "blue,false,2", "red,,1", "green,true,1", "blue,false,0"]
LEVELS = (("blue", "green", "red"), ("false", "true"), ("0", "1", "2"))


@pytest.fixture
def survey(tmp_path):
    path = tmp_path / "survey.csv"
    path.write_text("\n".join(ROWS) + "\n")
    return path


def test_texts_are_the_numbers_of_their_levels(survey):
    found = datasets.load(survey, texts="levels", missing="keep")
    assert found.level_names == LEVELS
    expected = [[2, 1, 0], [0, 0, 2], [2, np.nan, 1], [1, 1, 1], [0, 0, 0]]
    np.testing.assert_array_equal(found.values, expected)
    columns, roles = columns_of(found)
    assert roles == {"texts": "levels", "missing": "keep"}
    assert list(columns["colour"]) == ["red", "blue", "red", "green", "blue"]


def test_a_parquet_file_reads_alike(survey, tmp_path):
    import pandas as pd

    frame = pd.read_csv(survey)
    frame["smokes"] = frame["smokes"].map({True: "true", False: "false"})
    frame.to_parquet(tmp_path / "survey.parquet")
    found = datasets.load(tmp_path / "survey.parquet", texts="levels", missing="keep")
    expected = datasets.load(survey, texts="levels", missing="keep")
    assert found.level_names == LEVELS
    np.testing.assert_array_equal(found.values, expected.values)
    assert fingerprint_of(found) == fingerprint_of(expected)


def test_gaps_and_texts_are_refused_as_ever(survey):
    with pytest.raises(DataError, match="'red' is not a number"):
        datasets.load(survey)
    with pytest.raises(DataError, match="smokes"):
        datasets.load(survey, texts="levels")
    with pytest.raises(ConfigError, match="texts"):
        datasets.load(survey, texts="level")


def test_numbers_beside_texts_that_are_no_levels_are_refused_rather_than_named_one_by_one(tmp_path):
    (tmp_path / "identified.csv").write_text("colour,account\nred,7\ngreen,1e12\n")
    with pytest.raises(DataError, match=r"'account' has levels up to 1e\+12, and 1,000,000 are the most: give levels"):
        datasets.load(tmp_path / "identified.csv", texts="levels")


def test_other_levels_are_other_data(survey):
    before = fingerprint_of(datasets.load(survey, texts="levels", missing="keep"))
    survey.write_text(survey.read_text().replace("green", "grey"))
    assert fingerprint_of(datasets.load(survey, texts="levels", missing="keep")) != before


def test_no_other_mixture_takes_the_numbers_of_levels(survey):
    found = datasets.load(survey, columns="colour", texts="levels")
    with pytest.raises(DataError, match="columns of texts"):
        emjax.fit(emjax.Mixture(emjax.Normal(), 2), found, key=0)


def test_later_data_have_the_levels_of_the_estimate(survey):
    found = datasets.load(survey, columns="colour", texts="levels")
    fit = emjax.fit(emjax.Mixture(emjax.Categorical(), 1), found, key=0, n_init=1, accelerate="none")
    assert fit.mixture.family.levels == LEVELS[:1]
    later = Dataset(values=np.array([[0.0], [1.0]]), feature_names=("colour",), level_names=(("green", "red"),))
    np.testing.assert_allclose(np.exp(fit.score_samples(later)), [0.2, 0.4], rtol=1e-5)


def test_a_config_reads_texts_where_its_family_is_of_levels(survey):
    data = {"source": str(survey), "missing": "keep"}
    config = Study.model_validate({"data": data, "model": {"family": "categorical", "n_components": 2}})
    assert config.data.texts == "levels"
    assert resolved(config)["data"]["texts"] == "levels"
    assert Study.model_validate({"data": data, "model": {"n_components": 2}}).data.texts is None
    with pytest.raises(ValueError, match="is for families of levels"):
        Study.model_validate({"data": {**data, "texts": "levels"}, "model": {"n_components": 2}})


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("command", ["fit", pytest.param("compare", marks=pytest.mark.slow)])
def test_a_file_of_texts_from_the_command_line(command, tmp_path, emjax_command):
    rng = np.random.default_rng(0)
    rows = [f"{a},{b}" for a, b in zip(rng.choice(["no", "yes"], 60), rng.choice(["x", "y", "z"], 60), strict=True)]
    (tmp_path / "c.csv").write_text("smokes,kind\n" + "\n".join(rows) + "\n")
    options = (
        ["--method", "gibbs", "--warmup", "20", "--draws", "50"]
        if command == "compare"
        else ["--prior", "default", "--intervals", "information"]
    )
    result = emjax_command(
        command, str(tmp_path / "c.csv"), "-k", "2", "--family", "categorical", "--n-init", "2",
        "--out", str(tmp_path / "run"), "--no-progress", *options,
    )  # fmt: skip
    assert result.code in (0, 3)
    assert "2 categorical components" in result.out
    assert max(map(len, result.out.splitlines())) <= 80 or "/" in result.out
    assert (tmp_path / "run" / "report.html").exists()
