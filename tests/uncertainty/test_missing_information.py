"""The share of the information that is there: against the variances that complete data have, in closed form."""

import jax.numpy as jnp
import numpy as np
import pytest

import emjax
from emjax.scope import computing
from emjax.uncertainty.information import problem_of
from emjax.uncertainty.missing import share_there
from emjax.uncertainty.quantities import reading_of


def shares_of(fit, of=None):
    known = fit.intervals(method="information", of=of)
    with computing():
        reading = reading_of(fit, of)
        params, data, _, frame = problem_of(fit)
        information = jnp.asarray(known.information)
        found = np.asarray(share_there(fit.mixture.likelihood, reading, params, data, frame, information))
    return dict(zip([row.name for row in known.rows], found, strict=True)), known


def two_normals(distance=3.0):
    random = np.random.default_rng(2)
    return np.r_[random.normal(0, 1, 60), random.normal(distance, 2, 84)]


@pytest.fixture(scope="module")
def fit():
    return emjax.fit(emjax.Mixture(emjax.Normal(), 2), two_normals(), key=0, tol=1e-10, n_init=4, accelerate="none")


@pytest.fixture(scope="module")
def shares_and_intervals(fit):
    return shares_of(fit)


def test_two_normals_have_the_variances_of_complete_data(fit, shares_and_intervals):
    shares, known = shares_and_intervals
    rows, scale, w = fit.optima[0].effective_counts, fit.params.scale[:, 0], fit.params.weights
    for k in (0, 1):
        assert shares[f"mean[{k}, x]"] == pytest.approx(
            scale[k] ** 2 / rows[k] / known[f"mean[{k}, x]"].se ** 2, rel=1e-5
        )
        assert shares[f"scale[{k}, x]"] == pytest.approx(
            scale[k] ** 2 / (2 * rows[k]) / known[f"scale[{k}, x]"].se ** 2, rel=1e-5
        )
        assert shares[f"weights[{k}]"] == pytest.approx(
            w[0] * w[1] / rows.sum() / known["weights[0]"].se ** 2, rel=1e-5
        )
        assert 0 < shares[f"mean[{k}, x]"] < 1


@pytest.mark.slow
def test_means_in_two_dimensions_and_of_rows_that_count_several_times_or_not_at_all():
    random = np.random.default_rng(3)
    x = np.r_[random.normal(size=(50, 2)), random.normal([2.5, 0.0], 1.5, (70, 2))]
    counted = random.integers(0, 4, len(x)).astype(float)
    x[counted == 0] = 1e6
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), x, weights=counted, key=0, tol=1e-10, n_init=4, accelerate="none")
    shares, known = shares_of(fit)
    rows = fit.optima[0].effective_counts
    for k in (0, 1):
        for j, name in enumerate(fit.feature_names):
            own = fit.params.covariance[k, j, j] / rows[k]
            assert shares[f"mean[{k}, {name}]"] == pytest.approx(own / known[f"mean[{k}, {name}]"].se ** 2, rel=1e-5)


def test_everything_is_there_of_one_component_and_where_labels_are_known(shares_and_intervals):
    one, _ = shares_of(emjax.fit(emjax.Mixture(emjax.Normal(), 1), two_normals(), key=0, n_init=1, accelerate="none"))
    assert one["mean[0, x]"] == one["scale[0, x]"] == 1.0
    labels = np.repeat([0, 1], [60, 84])
    known, _ = shares_of(
        emjax.fit(emjax.Mixture(emjax.Normal(), 2), two_normals(), labels=labels, key=0, n_init=4, accelerate="none")
    )
    np.testing.assert_allclose(list(known.values()), 1.0, rtol=1e-9)
    few = np.where(np.arange(144) % 5 == 0, labels, -1)
    some, _ = shares_of(
        emjax.fit(emjax.Mixture(emjax.Normal(), 2), two_normals(), labels=few, key=0, n_init=4, accelerate="none")
    )
    none, _ = shares_and_intervals
    assert all(none[name] < some[name] < 1 for name in none)


def test_it_is_the_same_in_any_unit_and_on_any_scale(fit, shares_and_intervals):
    large = emjax.fit(fit.mixture, 1e8 * two_normals(), key=0, tol=1e-10, n_init=4, accelerate="none")
    shares, others = shares_and_intervals[0], shares_of(large)[0]
    np.testing.assert_allclose(list(others.values()), list(shares.values()), rtol=1e-5)
    variance, _ = shares_of(fit, {"variance": lambda params: params.scale[1, 0] ** 2})
    assert variance["variance"] == pytest.approx(shares["scale[1, x]"], rel=1e-9)


@pytest.mark.slow
def test_the_profile_counts_the_rows_that_tell_something():
    fit = emjax.fit(emjax.Mixture(emjax.Normal(), 2), two_normals(2.0), key=0, tol=1e-10, n_init=4, accelerate="none")
    shares, _ = shares_of(fit)
    rows = fit.optima[0].effective_counts
    counted = {curve.name: curve.effective_rows for curve in fit.intervals(method="profile").curves if curve.gap == 0}
    for k in (0, 1):
        # Two rows are the least of which Student's law has a degree of freedom.
        assert counted[f"mean[{k}, x]"] == pytest.approx(max(rows[k] * shares[f"mean[{k}, x]"], 2.0))
        assert counted[f"weights[{k}]"] == pytest.approx(max(rows.min() * shares[f"weights[{k}]"], 2.0))
    assert min(counted.values()) < 0.5 * rows.min()
