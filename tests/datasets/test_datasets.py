"""The bundled data sets: their published facts, and choosing among them and their columns."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm, poisson

import emjax
from emjax import datasets

REFERENCE = Path(__file__).parent.parent / "reference" / "posteriordb"


def test_every_bundled_data_set_loads_as_the_catalogue_says():
    assert datasets.available() == ("acidity", "carcinoma", "deaths", "faithful", "galaxies", "iris", "thyroid")
    for name in datasets.available():
        entry, data = datasets.describe(name), datasets.load(name)
        assert data.name == entry.name == name
        assert data.shape == (entry.n_samples, entry.n_features)
        assert data.feature_names == entry.feature_names
        assert data.values.dtype == np.float64
        assert np.isfinite(data.values).all()
        for text in (data.source, data.license, data.description, entry.title):
            assert len(text) > 10
            assert text.isprintable()


def test_faithful_has_the_published_rows_means_and_likelihood():
    data = datasets.load("faithful")
    assert data.feature_names == ("eruptions", "waiting")
    assert data[:3].tolist() == [[3.6, 79.0], [1.8, 54.0], [3.333, 74.0]]
    assert data.values.mean(axis=0) == pytest.approx([3.487783, 70.897059], abs=5e-7)
    # one normal at the maximum: -n/2 (d log 2 pi + log det S + d), here with S written out by numpy
    covariance = np.cov(data.values, rowvar=False, ddof=0)
    direct = multivariate_normal(data.values.mean(axis=0), covariance).logpdf(data.values).sum()
    assert direct == pytest.approx(-136 * (2 * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + 2))
    # R: cor(faithful)[1, 2], sd(eruptions), sd(waiting)
    assert np.corrcoef(data.values, rowvar=False)[0, 1] == pytest.approx(0.9008112, abs=5e-8)
    assert data.values.std(axis=0, ddof=1) == pytest.approx([1.141371, 13.594974], abs=5e-7)


def test_galaxies_are_those_of_mass():
    data = datasets.load("galaxies")
    assert data.feature_names == ("velocity",)
    velocity = data.values[:, 0]
    assert (velocity.size, velocity.min(), velocity.max()) == (82, 9.172, 34.279)
    assert velocity[77] == 26.690
    assert velocity.sum() == pytest.approx(1707.910, abs=1e-9)
    # log-likelihood of one normal (R: logLik(lm(velocity ~ 1)))
    assert norm(velocity.mean(), velocity.std()).logpdf(velocity).sum() == pytest.approx(-240.3379, abs=5e-5)


def test_thyroid_is_that_of_mclust():
    data = datasets.load("thyroid")
    # R: colMeans(thyroid[, -1]), cor(thyroid$T4, thyroid$T3), table(thyroid$Diagnosis), Mclust(thyroid[, -1])$bic
    means = [109.595348837, 9.804651163, 2.050232558, 2.880000000, 4.199069767]
    assert data.values.mean(axis=0) == pytest.approx(means, abs=1e-8)
    assert np.corrcoef(data.values, rowvar=False)[1, 2] == pytest.approx(0.71868158, abs=5e-9)
    assert dict(zip(*np.unique(data.labels, return_counts=True), strict=True)) == {
        "hyper": 35,
        "hypo": 30,
        "normal": 150,
    }
    fit = emjax.fit(emjax.Mixture(emjax.Normal("diag"), 3), data, key=0)
    assert fit.bic() == pytest.approx(4777.906858, abs=1e-2)


def test_acidity_is_that_of_mclust():
    data = datasets.load("acidity")
    assert data.feature_names == ("acidity",)
    index = data.values[:, 0]
    assert (index.size, index.min(), index.max()) == (155, 2.928524, 7.10513)
    assert index[[0, 35, 154]].tolist() == [2.928524, 4.2442, 4.497585]
    # That these are the published values follows from the published likelihood: tests/em/test_published.py.
    assert index.sum() == pytest.approx(791.289947, abs=1e-9)


def test_deaths_are_hasselblads_counts_one_row_a_day():
    data = datasets.load("deaths")
    assert data.shape == (1096, 1)
    counts = np.bincount(data.values[:, 0].astype(int))
    assert counts.tolist() == [162, 267, 271, 185, 111, 61, 27, 8, 3, 1]
    weight, low, high = 0.3598854, 1.2560951, 2.6634044
    x = data.values[:, 0]
    log_likelihood = np.log(weight * poisson(low).pmf(x) + (1 - weight) * poisson(high).pmf(x)).sum()
    assert log_likelihood == pytest.approx(-1989.945859883, abs=1e-8)


def test_iris_has_fishers_sums_and_the_species_only_as_labels():
    data = datasets.load("iris")
    assert data.values.sum(axis=0) == pytest.approx([876.5, 458.6, 563.7, 179.9], abs=1e-9)
    # the two rows in which the UCI copy differs from Fisher's paper
    assert data[34].tolist() == [4.9, 3.1, 1.5, 0.2]
    assert data[37].tolist() == [4.9, 3.6, 1.4, 0.1]
    assert data.labels is not None
    assert data.labels.shape == (150,)
    assert [str(label) for label in data.labels[[0, 50, 100]]] == ["setosa", "versicolor", "virginica"]
    assert "species" not in data.feature_names


def test_low_dim_gauss_mix_reference_has_the_published_figures():
    y = datasets.load(REFERENCE / "low_dim_gauss_mix.csv")
    assert (y.shape, y.feature_names) == ((1000, 1), ("y",))
    reference = json.loads((REFERENCE / "low_dim_gauss_mix.json").read_text())
    assert reference["n_chains"] * reference["n_draws_per_chain"] == 10_000
    parameters = reference["parameters"]
    means = {"mu[1]": -2.7335, "mu[2]": 2.8698, "sigma[1]": 1.0281, "sigma[2]": 1.0238, "theta": 0.6216}
    sds = {"mu[1]": 0.0421, "mu[2]": 0.0546, "sigma[1]": 0.0314, "sigma[2]": 0.0405, "theta": 0.0155}
    # published figures have four decimals
    assert {name: row["mean"] for name, row in parameters.items()} == pytest.approx(means, abs=6e-5)
    assert {name: row["sd"] for name, row in parameters.items()} == pytest.approx(sds, abs=6e-5)
    # posteriordb's own Monte Carlo standard errors of the means
    published = [0.00041644, 0.00055964, 0.00031586, 0.00041463, 0.00015438]
    assert [row["mcse_mean"] for row in parameters.values()] == pytest.approx(published, rel=3e-3)
    # the log-likelihood of the published maximum likelihood estimate is above that of the posterior mean
    assert log_likelihood(y.values, -2.7344, 2.8720, 1.0259, 1.0186, 0.6226) == pytest.approx(-2096.67750, abs=1e-4)
    at_mean = [parameters[name]["mean"] for name in means]
    assert -2096.75 < log_likelihood(y.values, *at_mean) < -2096.6775


def log_likelihood(y, mean_0, mean_1, scale_0, scale_1, weight):
    density = weight * norm(mean_0, scale_0).pdf(y) + (1 - weight) * norm(mean_1, scale_1).pdf(y)
    return np.log(density).sum()


def test_a_dataset_is_an_array_that_cannot_be_written_to():
    data = datasets.load("faithful")
    assert (len(data), data.shape, data.ndim, data.dtype) == (272, (272, 2), 2, np.float64)
    assert np.shares_memory(np.asarray(data), data.values)
    assert jnp.asarray(data).shape == (272, 2)
    with pytest.raises(ValueError, match="read-only"):
        data.values[0, 0] = 1.0
    copy = np.array(data)
    copy[0, 0] = -1.0
    assert data[0, 0] == 3.6
    assert repr(data) == "Dataset('faithful', n_samples=272, n_features=2, feature_names=('eruptions', 'waiting'))"


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (["petal_width", "sepal_length"], ("petal_width", "sepal_length")),
        ([3, 0], ("petal_width", "sepal_length")),
        ([np.int64(3), "sepal_length"], ("petal_width", "sepal_length")),
        ("petal_width, sepal_length", ("petal_width", "sepal_length")),
        ("3,0", ("petal_width", "sepal_length")),
        ("petal_width", ("petal_width",)),
        (3, ("petal_width",)),
    ],
)
def test_columns_by_name_or_position_in_the_order_asked(columns, names):
    everything, data = datasets.load("iris"), datasets.load("iris", columns=columns)
    assert data.feature_names == names
    positions = [everything.feature_names.index(name) for name in names]
    assert np.array_equal(data.values, everything.values[:, positions])
    assert data.labels is not None


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        (["erruptions"], ("'erruptions'", "did you mean 'eruptions'", "eruptions, waiting")),
        (["Waiting"], ("'Waiting'", "did you mean 'waiting'")),
        (["zzz"], ("'zzz'", "the columns are: eruptions, waiting")),
        ([2], ("no column 2", "from 0 to 1")),
        ([-1], ("no column -1", "from 0 to 1")),
        (["waiting", 1], ("chosen twice",)),
        ([], ("no column was chosen", "eruptions, waiting")),
        ("", ("no column was chosen",)),
        ("eruptions,", ("no column ''",)),
    ],
)
def test_wrong_columns(refusal, columns, parts):
    message = refusal(datasets.load, "faithful", columns=columns)
    assert message.startswith("faithful: ")
    for part in parts:
        assert part in message


def test_labels_are_not_a_column(refusal):
    assert "no column 'species'" in refusal(datasets.load, "iris", columns=["species"])


def test_unknown_catalogue_name(refusal):
    message = refusal(datasets.describe, "old\nfaithful")
    assert "deaths, faithful, galaxies, iris, thyroid" in message


def test_a_bundled_name_wins_over_a_file_unless_it_is_written_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faithful").write_text("not read")
    (tmp_path / "faithful.csv").write_text("a\n1\n2\n")
    assert datasets.load("faithful").shape == (272, 2)
    assert datasets.load("faithful.csv").shape == (2, 1)
    assert datasets.load("./faithful.csv").name == "faithful"


def test_files_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.csv").write_text("a\n1\n2\n")
    data = datasets.load("~/a.csv")
    assert (data.shape, data.source) == ((2, 1), "~/a.csv")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "faithfull",
            ("no file and no bundled data set 'faithfull'", "did you mean 'faithful'", "galaxies, iris, thyroid"),
        ),
        ("Galaxies", ("did you mean 'galaxies'",)),
        ("qqqqqq", ("Bundled data sets: acidity, carcinoma, deaths, faithful, galaxies, iris, thyroid",)),
        ("faithful.cvs", ("no file 'faithful.cvs'", "did you mean 'faithful'")),
        ("no/such/folder.csv", ("no file 'no/such/folder.csv'",)),
        ("", ("no data set was named", "deaths, faithful, galaxies, iris, thyroid")),
        ("a\nb.csv", (r"'a\nb.csv'",)),
        ("a\0b.csv", ("NUL character", "give another one")),
        ("x" * 260 + ".csv", ("cannot be read", "too long")),
    ],
    ids=["typo", "case", "unknown", "suffix", "folder", "empty", "newline", "null", "long"],
)
def test_names_and_paths_that_are_not_there(refusal, name, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refusal(datasets.load, name)
    for part in parts:
        assert part in message


def test_an_array_is_not_a_path(refusal):
    assert "pass arrays to emjax as they are" in refusal(datasets.load, np.zeros(3))
