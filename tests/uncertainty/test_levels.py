"""Intervals at one level from those at another: what the fit itself says at that level."""

import dataclasses

import numpy as np
import pytest

import emjax
from emjax.catalogue import DEFAULT_INTERVALS, INTERVALS
from emjax.uncertainty import at_level

FIT = {}


def fit():
    if not FIT:
        x = np.random.default_rng(3).poisson(2.0, 40).astype(float)
        FIT["one"] = emjax.fit(emjax.Mixture(emjax.Poisson(), 1), x, key=0, n_init=1, accelerate="none")
    return FIT["one"]


# Replicates are read alike, whatever they are of.
METHODS = [
    pytest.param(one, marks=[pytest.mark.slow] * (one == "bootstrap"))
    for one in INTERVALS
    if one not in (DEFAULT_INTERVALS, "parametric")
]


@pytest.mark.parametrize("method", METHODS)
def test_another_level_is_that_of_the_fit(method):
    options = {"n_replicates": 40} if method not in ("information", "sandwich", "profile") else {}
    known, expected = (fit().intervals(level, method, **options) for level in (0.95, 0.6))
    found = at_level(known, 0.6)
    assert (found.level, found.method, found.status) == (0.6, expected.method, expected.status)
    for row, other in zip(found.rows, expected.rows, strict=True):
        assert (row.lower, row.upper) == pytest.approx((other.lower, other.upper), abs=1e-4 * max(row.se, 1e-9))
        assert (row.lower, row.upper) != (known[row.name].lower, known[row.name].upper) or row.se == 0


def test_a_profile_ends_where_it_was_followed_to():
    known = fit().intervals(0.8, "profile")
    (curve,), row = known.curves, known["rate[0, x]"]
    assert (curve.values[0], curve.values[-1]) == pytest.approx((row.lower, row.upper))
    top = fit().log_likelihood
    counts, rates = fit().data[:, 0], curve.values
    fall = np.array([2 * (top - np.sum(counts * np.log(rate) - rate)) for rate in rates])
    assert fall - fall.min() == pytest.approx(curve.roots**2, abs=1e-6)
    with pytest.raises(ValueError, match=r"followed to 0.8: ask the fit for intervals at 0.9"):
        at_level(known, 0.9)
    with pytest.raises(ValueError, match="level"):
        at_level(known, 1.0)


def test_an_end_that_was_not_reached_is_open_at_every_level_beyond():
    known = fit().intervals(0.95, "profile")
    (curve,) = known.curves
    shorter = dataclasses.replace(curve, values=curve.values[:-4], roots=curve.roots[:-4])
    cut = dataclasses.replace(known, curves=(shorter,))
    assert at_level(cut, 0.9).rows[1].upper == np.inf
    assert "open above" in at_level(cut, 0.9).rows[1].note
    assert at_level(cut, 0.5).rows[1].upper == pytest.approx(at_level(known, 0.5).rows[1].upper, rel=1e-4)
