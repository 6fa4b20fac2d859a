"""Which method makes intervals where none is asked for, and what is said of it."""

import dataclasses

import numpy as np
import pytest

import emjax
from emjax.experiments.work.methods.em import _intervals
from emjax.uncertainty import limits
from emjax.uncertainty.choice import reason
from emjax.uncertainty.information import MOST_SHIFT
from emjax.uncertainty.profile import UNTRUSTED
from emjax.uncertainty.results import IntervalStatus

ONE = emjax.Mixture(emjax.Poisson(), 1)
FEW = np.array([3.0, 5.0, 2.0, 6.0])
MANY = np.tile(FEW, 15)


@pytest.fixture(scope="module")
def few():
    return emjax.fit(ONE, FEW, key=0, n_init=1)


@pytest.fixture(scope="module")
def many():
    return emjax.fit(ONE, MANY, key=0, n_init=1)


def test_many_rows_in_every_component_take_the_information(many):
    found = many.intervals()
    assert (found.method, found.why) == ("information", "")
    assert found.rows == many.intervals(method="information").rows


def test_few_rows_in_one_take_the_profile_and_say_so(few):
    found, profile = few.intervals(0.8), few.intervals(0.8, "profile")
    assert (found.method, found.rows) == ("profile", profile.rows)
    assert found.message == f"The smallest component holds 4 rows, too few for the information. {profile.message}"


def test_so_does_an_information_that_doubts_itself_and_then_nothing_of_em_is_trusted(many):
    best, rival = many.optima[0], dataclasses.replace(many.optima[0], objective=many.optima[0].objective - 2.0)
    found = dataclasses.replace(many, optima=(best, rival)).intervals()
    assert (found.method, found.status) == ("profile", IntervalStatus.ROUGH)
    assert found.message.startswith("The log-likelihood is not near enough to a parabola for the information")
    assert f"{UNTRUSTED}: another optimum" in found.message


def test_what_would_take_long_is_left_to_the_information(few, monkeypatch):
    monkeypatch.setattr(limits, "MOST_UNASKED", 0.0)
    assert few.intervals().method == "information"


def test_what_takes_ten_seconds_is_known_by_rows_and_by_parameters():
    """Iris with three components takes 3 s on two cores; of 30 rows in 20 features matrices alone took 30."""
    assert limits.is_quick(emjax.Mixture(emjax.Normal(), 3), (150, 4))
    assert not limits.is_quick(emjax.Mixture(emjax.Normal("diag"), 2), (30, 20))
    assert not limits.is_quick(emjax.Mixture(emjax.Normal(), 3), (1500, 4))
    # A profile that was asked for is bounded by the same count.
    many = emjax.Mixture(emjax.Normal("diag"), 5), (30, 20)
    assert limits.too_large(*many, followed=True)
    assert not limits.too_large(*many)


def test_without_standard_errors_nothing_is_followed(few):
    found = dataclasses.replace(few, params=few.params.replace(rate=few.params.rate + 1.0)).intervals()
    assert (found.method, found.status.withheld) == ("information", True)


def test_studies_choose_alike(few, many):
    spec = {"method": {"intervals": "auto", "resamples": 10}, "model": {}, "level": 0.9}
    found = _intervals(spec, [few, many])
    assert [one.method for one in found] == ["profile", "information"]
    assert found[0].rows == few.intervals().rows


def test_the_information_is_relied_on_up_to_half_of_its_own_limit():
    assert reason(50.0, MOST_SHIFT / 2, "ok") == ""
    assert "holds 49 rows" in reason(49.0, 0.0, "ok")
    assert all("parabola" in reason(500.0, *each) for each in ((0.13, "ok"), (float("nan"), "ok"), (0.1, "rough")))
