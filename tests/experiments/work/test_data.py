"""The data of a replicate: streams that do not disturb each other, and what a data section declares."""

import numpy as np
import pytest
from scipy import stats

from emjax import datasets
from emjax.environment import fingerprint
from emjax.errors import DataError
from emjax.experiments.config.data import SimulatedData, SourceData
from emjax.experiments.work.data import make_replicate

MIXTURE = {"kind": "simulate", "weights": [0.4, 0.6], "mean": [[-2.0], [2.0]], "scale": [[1.0], [0.5]]}


def simulated(number=0, seed=7, **settings):
    data = SimulatedData(**{**MIXTURE, "n_samples": 300, **settings})
    return make_replicate({"seed": seed, "data": data.model_dump(mode="json", exclude_none=True)}, number)


def sourced(number=0, seed=7, sha256=None, **settings):
    data = SourceData(source="iris", **settings).model_dump(mode="json", exclude_none=True)
    return make_replicate({"seed": seed, "data": data if sha256 is None else {**data, "sha256": sha256}}, number)


def test_a_replicate_follows_from_seed_and_number_alone():
    first, again = simulated(3), simulated(3)
    assert np.array_equal(first.data.values, again.data.values)
    assert np.array_equal(first.data.labels, again.data.labels)
    assert first.number == 3
    assert first.data.shape == (300, 1)
    assert first.data.feature_names == ("x",)
    others = [simulated(4), simulated(3, seed=8)]
    assert not any(np.isin(first.data.values, other.data.values).any() for other in others)


def test_replicates_are_independent():
    means = np.array([simulated(number, n_samples=50).data.values.mean() for number in range(200)])
    sd = np.sqrt((0.4 * 1.0 + 0.6 * 0.25 + 0.24 * 16.0) / 50)
    assert abs(means.mean() - 0.4) < 4 * sd / np.sqrt(200)
    assert abs(means.std(ddof=1) / sd - 1) < 4 / np.sqrt(400)
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 4 / np.sqrt(199)


def test_a_holdout_and_contamination_leave_the_other_rows_as_they_were():
    plain = simulated()
    held = simulated(holdout=40)
    both = simulated(holdout=25, contamination={"share": 0.2})
    assert plain.holdout is None
    assert held.holdout.shape == (40, 1)
    assert both.holdout.shape == (25, 1)
    assert np.array_equal(plain.data.values, held.data.values)
    kept = both.data.labels >= 0
    assert np.array_equal(both.data.values[kept], plain.data.values[kept])
    assert np.array_equal(both.data.labels[kept], plain.data.labels[kept])
    assert not np.isin(both.data.values[~kept], plain.data.values).any()
    as_many = simulated(holdout=300)  # as many as there are rows: one stream would draw the same ones again
    assert not np.isin(as_many.holdout.values, plain.data.values).any()
    assert set(np.unique(both.holdout.labels)) <= {0, 1}


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_contamination_has_the_declared_share_and_spread(kind):
    n_samples = 20_000
    plain = simulated(n_samples=n_samples).data
    replicate = simulated(n_samples=n_samples, contamination={"share": 0.3, "kind": kind, "spread": 3.0})
    others = replicate.data.values[replicate.data.labels == -1, 0]
    assert abs(len(others) / n_samples - 0.3) < 4 * np.sqrt(0.21 / n_samples)
    low, high = plain.values.min(), plain.values.max()
    centre, width = (low + high) / 2, 3 * (high - low)
    law = {
        "uniform": stats.uniform(centre - width / 2, width),
        "normal": stats.norm(plain.values.mean(), 3 * plain.values.std()),
    }[kind]
    assert stats.kstest(others, law.cdf).pvalue > 1e-4
    # The truth is that of the uncontaminated rows.
    assert replicate.truth.log_density([[0.0]]) == simulated(n_samples=n_samples).truth.log_density([[0.0]])


def test_more_contamination_replaces_the_same_rows_and_more():
    little, much = (simulated(contamination={"share": share}).data for share in (0.1, 0.4))
    replaced = little.labels == -1
    assert (much.labels[replaced] == -1).all()
    assert np.array_equal(much.values[replaced], little.values[replaced])
    assert (much.labels == -1).sum() > replaced.sum()


def test_the_truth_names_the_parameters_and_knows_its_density():
    covariance = [[[1.0, 0.5], [0.5, 2.0]], [[1.0, 0.0], [0.0, 1.0]]]
    replicate = simulated(mean=[[0.0, 0.0], [3.0, 1.0]], scale=None, covariance=covariance)
    truth = replicate.truth
    assert list(truth.named) == ["weights", "mean", "scale", "covariance", "correlation"]
    assert truth.named["correlation"][0, 1, 0] == pytest.approx(0.5 / np.sqrt(2))
    rows, labels = truth.law.sample(5, np.random.default_rng(1))
    assert (rows.shape, labels.shape) == ((5, 2), (5,))
    each = [stats.multivariate_normal([0.0, 0.0], covariance[0]), stats.multivariate_normal([3.0, 1.0], covariance[1])]
    joint = np.stack([0.4 * each[0].pdf(rows), 0.6 * each[1].pdf(rows)], axis=1)
    assert np.allclose(truth.log_density(rows), np.log(joint.sum(axis=1)), rtol=0, atol=1e-10)
    assert np.allclose(truth.responsibilities(rows), joint / joint.sum(axis=1, keepdims=True), rtol=0, atol=1e-10)


def test_overlap_moves_the_means_and_the_truth_knows():
    replicate = simulated(weights=[0.5, 0.5], scale=[1.0, 1.0], overlap=0.1)
    mean = replicate.truth.named["mean"][:, 0]
    assert mean == pytest.approx([stats.norm.ppf(0.1), -stats.norm.ppf(0.1)], rel=1e-4)
    with pytest.raises(DataError, match="coincide"):
        simulated(weights=[0.5, 0.5], scale=[1.0, 1.0], overlap=0.6)


@pytest.mark.parametrize(
    ("misspecification", "law"),
    [
        ({"kind": "student_t"}, stats.t(5, scale=np.sqrt(0.6))),
        ({"kind": "student_t", "degrees_of_freedom": 3.0}, stats.t(3, scale=np.sqrt(1 / 3))),
        ({"kind": "uniform"}, stats.uniform(-np.sqrt(3), 2 * np.sqrt(3))),
        ({"kind": "skew_normal", "skewness": 0.5}, stats.skewnorm(0.5 / np.sqrt(0.75))),
    ],
)
def test_misspecified_components_have_the_declared_shape(misspecification, law):
    replicate = simulated(n_samples=5000, misspecification=misspecification)
    standard = (replicate.data.values[replicate.data.labels == 1, 0] - 2.0) / 0.5
    assert stats.kstest(standard, lambda z: law.cdf(law.mean() + law.std() * z)).pvalue > 1e-4
    assert replicate.truth.named["scale"].tolist() == [[1.0], [0.5]]


def test_counts():
    replicate = simulated(mean=None, scale=None, rate=[[2.0, 5.0], [9.0, 1.0]], holdout=10)
    assert set(replicate.truth.named) == {"weights", "rate"}
    assert np.array_equal(replicate.data.values, np.round(replicate.data.values))
    assert replicate.holdout.shape == (10, 2)


def test_source_as_it_is():
    whole = datasets.load("iris")
    replicate = sourced(columns=("petal_length", "petal_width") if "petal_length" in whole.feature_names else None)
    assert replicate.truth is None
    assert replicate.holdout is None
    assert np.array_equal(replicate.data.labels, whole.labels)
    assert np.array_equal(replicate.data.values, datasets.load("iris", columns=replicate.data.feature_names).values)


def test_source_split_is_a_partition_of_one_size_drawn_anew():
    whole = datasets.load("iris")
    first, second = sourced(0, holdout=0.2), sourced(1, holdout=0.2)
    for replicate in (first, second):
        together = np.concatenate([replicate.data.values, replicate.holdout.values])
        assert (len(replicate.data), len(replicate.holdout)) == (120, 30)
        assert np.array_equal(np.sort(together, axis=0), np.sort(whole.values, axis=0))
    assert not np.array_equal(first.holdout.values, second.holdout.values)
    assert np.array_equal(first.holdout.values, sourced(0, holdout=0.2).holdout.values)


def test_bootstrap_draws_rows_with_their_labels_and_never_those_held_out(tmp_path):
    path = tmp_path / "numbers.csv"
    path.write_text("a\n" + "\n".join(str(number) for number in range(200)))
    spec = {"seed": 1, "data": {"kind": "source", "source": str(path), "holdout": 0.25, "resample": "bootstrap"}}
    replicate = make_replicate(spec, 0)
    drawn, held = replicate.data.values[:, 0], replicate.holdout.values[:, 0]
    assert (len(drawn), len(held)) == (150, 50)
    assert not np.isin(drawn, held).any()
    assert abs(len(np.unique(drawn)) / 150 - (1 - np.exp(-1))) < 0.15
    iris = datasets.load("iris")
    group = {tuple(row): label for row, label in zip(iris.values, iris.labels, strict=True)}
    resampled = sourced(resample="bootstrap").data
    assert all(group[tuple(row)] == label for row, label in zip(resampled.values, resampled.labels, strict=True))


def test_a_source_that_changed_is_refused_and_one_that_moved_is_not(tmp_path):
    values = np.arange(30.0).reshape(-1, 1)
    names = [tmp_path / "here.npy", tmp_path / "there.npy"]
    for name in names:
        np.save(name, values)
    data = {"kind": "source", "holdout": 0.5, "sha256": fingerprint(values)}
    first, second = (make_replicate({"seed": 1, "data": {**data, "source": str(name)}}, 0) for name in names)
    assert np.array_equal(first.data.values, second.data.values)
    with pytest.raises(DataError, match="changed since"):
        sourced(sha256=fingerprint(values))
    with pytest.raises(DataError, match="leaves none"):
        make_replicate({"seed": 1, "data": {**data, "source": str(names[0]), "holdout": 0.99}}, 0)
