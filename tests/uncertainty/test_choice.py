"""Which method makes intervals where none is asked for, and what is said of it."""

import dataclasses

import numpy as np
import pytest

import emjax
from emjax.experiments.work.methods.em import _intervals
from emjax.uncertainty import limits
from emjax.uncertainty.profile import UNTRUSTED
from emjax.uncertainty.results import IntervalStatus

ONE = emjax.Mixture(emjax.Poisson(), 1)
FEW = np.array([3.0, 5.0, 2.0, 6.0])
MANY = np.tile(FEW, 15)


@pytest.fixture(scope="module")
def few():
    return emjax.fit(ONE, FEW, key=0)


@pytest.fixture(scope="module")
def many():
    return emjax.fit(ONE, MANY, key=0)


def test_many_rows_in_every_component_take_the_information(many):
    found = many.intervals()
    assert (found.method, found.why) == ("information", "")
    assert found.rows == many.intervals(method="information").rows


def test_few_rows_in_one_take_the_profile_and_say_so(few):
    found, profile = few.intervals(0.8), few.intervals(0.8, "profile")
    assert (found.method, found.rows) == ("profile", profile.rows)
    assert found.message == f"The smallest component holds 4 rows, too few for the information. {profile.message}"


def test_so_does_an_information_that_doubts_itself_and_then_nothing_of_em_is_trusted(many):
    best, rival = many.optima[0], dataclasses.replace(many.optima[0], objective=many.optima[0].objective - 1.0)
    found = dataclasses.replace(many, optima=(best, rival)).intervals()
    assert (found.method, found.status) == ("profile", IntervalStatus.ROUGH)
    assert found.message.startswith(f"The information cannot be relied on here. {UNTRUSTED}: another optimum")


def test_what_would_take_long_is_left_to_the_information(few, monkeypatch):
    monkeypatch.setattr(limits, "MOST_UNASKED", 0.0)
    assert few.intervals().method == "information"


def test_without_standard_errors_nothing_is_followed(few):
    found = dataclasses.replace(few, params=few.params.replace(rate=few.params.rate + 1.0)).intervals()
    assert (found.method, found.status.withheld) == ("information", True)


def test_studies_choose_alike(few, many):
    spec = {"method": {"intervals": "auto", "resamples": 10}, "model": {}, "level": 0.9}
    found = _intervals(spec, [few, many])
    assert [one.method for one in found] == ["profile", "information"]
    assert found[0].rows == few.intervals().rows
