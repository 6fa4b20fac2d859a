"""What a fit says of itself: closed forms, rows left out for good, and the size of its test."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

import emjax
from emjax.em.refits import refit
from emjax.result import Status

RNG = np.random.default_rng(21)
X = np.r_[RNG.normal(0.0, 1.0, 80), RNG.normal(5.0, 1.5, 60), 13.0]


@pytest.fixture(scope="module")
def two():
    return emjax.fit(emjax.Mixture(emjax.Normal(), 2), X, key=0, tol=1e-9, n_init=4, accelerate="none")


def test_one_normal_has_leverages_of_its_moments():
    x = RNG.normal(2.0, 3.0, 50)
    found = emjax.fit(emjax.Mixture(emjax.Normal(), 1), x, key=0, tol=1e-10, n_init=1, accelerate="none").diagnose()
    z = (x - x.mean()) / x.std()
    # Information n for the mean over s, 2n for log s; scores z and z^2 - 1.
    np.testing.assert_allclose(found.influence, (z**2 + (z**2 - 1) ** 2 / 2) / len(x), rtol=1e-6)
    assert found.information_ratio == pytest.approx(found.influence.sum() / 2, rel=1e-6)
    assert found.condition == pytest.approx(1.0, rel=1e-6)
    assert found.entropy == 1.0
    np.testing.assert_array_equal(found.overlap, [[1.0]])
    exact = scipy.stats.kstest(z, "norm").statistic
    # 20,000 draws stand for the law: their own distance from it is below 1.36 / sqrt(20,000) in 95 of 100 cases.
    assert found.distances[0] == pytest.approx(exact, abs=0.015)


def test_the_most_influential_row_is_the_one_whose_absence_moves_most(two):
    found = two.diagnose()
    moved = []
    for row in (140, 0, 90):
        kept = np.delete(X, row)
        without = emjax.fit(two.mixture, kept, init=two, tol=1e-9)
        # The log-likelihood of all rows, at the estimate from the others.
        moved.append(2 * (two.log_likelihood - np.sum(without.score_samples(X))))
    assert found.influence.argmax() == 140
    assert 140 in found.influential
    assert moved[0] == max(moved)
    np.testing.assert_allclose(found.influence[[0, 90]], moved[1:], rtol=0.15)


def test_rows_are_counted_as_in_the_data_where_some_do_not_count():
    x = np.r_[50.0, X[:140], 1e3, X[140:]]
    weights = np.where(x > 20, 0.0, 1.0)
    found = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, weights=weights, key=0).diagnose()
    assert found.influential[0] == 142  # what is row 140 of those that count
    assert x[found.influential[0]] == X[140]
    np.testing.assert_array_equal(found.rows, np.flatnonzero(weights))
    axes = found.plot("influence").axes[0]
    assert axes.texts[0].get_text() == "142"
    assert axes.texts[0].xy[0] == 142


def test_of_a_collapse_nothing_is_said_that_nobody_knows():
    x = np.repeat([0.0, 1.0], 20)
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, key=0, n_init=2)
    assert fit.status.value == "degenerate"
    assert fit.rate > 1
    found = fit.diagnose()
    assert np.isnan(found.missing_information)
    assert "influence or more" not in str(found)


def test_overlap_and_entropy_are_those_of_the_responsibilities(two):
    found, shares = two.diagnose(), two.predict_proba()
    labels = shares.argmax(axis=1)
    expected = [[shares[labels == k, j].sum() / shares[:, j].sum() for k in range(2)] for j in range(2)]
    np.testing.assert_allclose(found.overlap, expected)
    logs = np.log(np.maximum(shares, 1e-300))
    assert found.entropy == pytest.approx(1 + (shares * logs).sum() / (len(X) * np.log(2)))
    assert found.missing_information == two.rate
    assert "of ten times the average influence" in str(found)


@pytest.mark.slow
def test_a_law_that_fits_passes_and_one_that_does_not_fails():
    """Thirty data sets from the model: the mean of uniform numbers has a standard error of .053."""
    mixture, values = emjax.Mixture(emjax.Exponential(), 1), []
    for seed in range(30):
        x = np.random.default_rng(seed).exponential(2.0, 60)
        values.append(
            emjax.fit(mixture, x, key=0, n_init=4, accelerate="none").diagnose(n_replicates=39, key=seed).p_value
        )
    assert abs(np.mean(values) - 0.51) < 4 * 0.053
    even = emjax.fit(mixture, np.linspace(1.0, 3.0, 60), key=0, n_init=4, accelerate="none").diagnose(n_replicates=39)
    assert even.p_value == pytest.approx(1 / 40)


@pytest.mark.slow
def test_counted_rows_are_as_repeated_ones():
    x, counts = np.arange(9.0), np.array([5, 12, 15, 9, 6, 8, 9, 5, 1])
    mixture = emjax.Mixture(emjax.Poisson(), 2)
    counted = emjax.fit(mixture, x, weights=counts, key=0, tol=1e-9, n_init=4, accelerate="none").diagnose()
    repeated = emjax.fit(mixture, np.repeat(x, counts), key=0, tol=1e-9, n_init=4, accelerate="none").diagnose()
    assert counted.information_ratio == pytest.approx(repeated.information_ratio, rel=1e-5)
    assert counted.entropy == pytest.approx(repeated.entropy, rel=1e-5)
    np.testing.assert_allclose(counted.influence / counts**2, repeated.influence[np.cumsum(counts) - 1], rtol=1e-4)


def test_its_pictures_show_its_numbers(two):
    found = two.diagnose()
    (axes,) = found.plot().axes
    curve = next(line for line in axes.get_lines() if len(line.get_xdata()) > 2)
    assert np.abs(curve.get_ydata()).max() == pytest.approx(found.distances[0])
    # The same of the fit, without its information.
    (axes,) = two.plot("pit").axes
    again = next(line for line in axes.get_lines() if len(line.get_xdata()) > 2)
    np.testing.assert_array_equal(again.get_ydata(), curve.get_ydata())
    (axes,) = found.plot("qq").axes
    ((x, y),) = (each.get_offsets().T for each in axes.collections if each.get_offsets().size > 2)
    assert (x[0], x[-1]) == pytest.approx(scipy.stats.norm.ppf([1 / (two.n_samples + 1), 1 - 1 / (two.n_samples + 1)]))
    np.testing.assert_allclose([y[0], y[-1]], scipy.stats.norm.ppf([found.pit.min(), found.pit.max()]))
    (axes,) = found.plot("influence").axes
    assert "140" in [text.get_text() for text in axes.texts]


def test_replicates_of_which_none_is_regular_give_no_p_value(two, monkeypatch):
    from emjax.uncertainty import diagnosis

    def failed(*given, **settings):
        found = refit(*given, **settings)
        return dataclasses.replace(found, code=np.full_like(found.code, -1))

    monkeypatch.setattr(diagnosis, "refit", failed)
    found = two.diagnose(n_replicates=2)
    assert np.isnan(found.p_value)
    assert found.p_value_error != 0.0
    assert "the p value rests on 0 of 2 data sets" in str(found)


def test_a_p_value_is_never_certain_and_a_fit_that_cannot_be_trusted_is_told_of(two, monkeypatch):
    from emjax.uncertainty import diagnosis

    monkeypatch.setattr(diagnosis, "_distances_of_replicates", lambda *_: np.ones(2))
    found = two.diagnose(n_replicates=3)
    assert found.p_value == 1.0
    assert found.p_value_error == pytest.approx(np.sqrt(3 / 4 * 1 / 4 / 5))  # of Beta(3, 1)
    assert "the p value rests on 2 of 3 data sets" in str(found)
    assert not found.doubt
    collapsed = dataclasses.replace(two, status=Status.DEGENERATE).diagnose()
    assert str(collapsed).startswith("A component collapsed on")
    assert "A component collapsed on" in collapsed._repr_html_()


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_of_an_information_that_is_none_nothing_is_told_and_nothing_is_warned_of():
    """Three different rows, each several times: a component has collapsed onto one of them."""
    x = np.random.default_rng(0).normal(size=(8, 3))[[0, 0, 1, 1, 1, 2, 2, 2]]
    found = emjax.fit(emjax.Mixture(emjax.Normal(), 3), x, key=1).diagnose()
    assert np.isnan([found.condition, found.information_ratio]).all()
    assert np.isnan(found.influence).all()
    np.testing.assert_allclose(found.overlap.sum(axis=1), 1.0)
