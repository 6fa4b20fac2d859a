"""Intervals that would take too long are left out, and say why."""

import jax
import numpy as np
import pytest

import emjax
from emjax import Mixture, Normal
from emjax.experiments.archive.documents import fit_document
from emjax.uncertainty import limits
from emjax.uncertainty.many import intervals_many
from emjax.uncertainty.results import IntervalStatus


@pytest.fixture(scope="module")
def wide():
    x = np.random.default_rng(0).normal(size=(8, 1001))
    return emjax.fit(Mixture(Normal("diag"), 1), x, key=jax.random.key(0), n_init=1, accelerate="none")


def test_so_many_parameters_have_estimates_and_no_intervals(wide):
    found = wide.intervals(method="information")
    assert found.status is IntervalStatus.LEFT_OUT
    assert found.status.withheld
    assert found.message.startswith("Intervals were left out: 2,002 parameters, and 2,000 are the most.")
    assert len(found.rows) == 1 + 2 * 1001
    np.testing.assert_allclose(found["mean[0, x7]"].estimate, wide.data[:, 7].mean())
    assert np.isnan([(row.se, row.lower, row.upper) for row in found.rows]).all()
    assert found.covariance.shape == (0, 0)
    assert intervals_many([wide])[0].message == found.message


def test_the_document_of_many_features_holds_no_matrix_of_zeros(wide):
    document = fit_document(wide, wide.intervals(method="information"))
    assert document["intervals"]["status"] == "left_out"
    assert "2,002 parameters" in document["intervals"]["message"]
    assert set(document["params"]) == {"weights", "mean", "scale"}


def test_work_for_many_rows_is_bounded_too_and_can_be_asked_for(monkeypatch):
    x = np.random.default_rng(1).normal(size=(50, 1))
    fit = emjax.fit(Mixture(Normal(), 1), x, key=jax.random.key(0), n_init=1, accelerate="none")
    monkeypatch.setattr(limits, "MOST_OPERATIONS", 3 * 2 * 50)
    assert "2 parameters of 50 rows would take" in fit.intervals(method="information").message
    computed = fit.intervals(method="information", bounded=False)
    assert computed.message == computed.status.message
    np.testing.assert_allclose(computed["mean[0, x]"].se, x.std() / np.sqrt(50), rtol=1e-6)


def test_a_profile_is_left_out_sooner(monkeypatch):
    fit = emjax.fit(Mixture(emjax.Poisson(), 1), np.arange(50.0), key=0, n_init=1, accelerate="none")
    monkeypatch.setattr(limits, "MOST_OPERATIONS", 1000.0)
    assert fit.intervals(method="information").status is not IntervalStatus.LEFT_OUT
    found = fit.intervals(method="profile")
    assert (found.method, found.status) == ("profile", IntervalStatus.LEFT_OUT)
    assert "1 parameters of 50 rows would take" in found.message
