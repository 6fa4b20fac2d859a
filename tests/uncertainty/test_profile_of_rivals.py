"""The profile where another optimum is about as high: the maximum under the constraint is that over both."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

import emjax
from emjax.uncertainty import at_level
from emjax.uncertainty.results import IntervalStatus

LEVEL = 0.9


def data():
    """Two normals 2.2 sd apart, 150 rows of each: two optima, three quarters of a nat apart."""
    random = np.random.default_rng(11)
    return np.r_[random.normal(0, 1, 150), random.normal(2.2, 1, 150)].round(2)


@pytest.fixture(scope="module")
def fit():
    return emjax.fit(emjax.Mixture(emjax.Normal(), 2), data(), key=0, tol=1e-10)


@pytest.fixture(scope="module")
def found(fit):
    return fit.intervals(LEVEL, "profile")


def best_with_mean(held, value, starts):
    """The highest log-likelihood of two normals with one mean held fixed, by plain EM from each start."""
    x, best = data()[:, None], -np.inf
    for weights, mean, scale in starts:
        mean = np.where(np.arange(2) == held, value, mean)
        for _ in range(3000):
            densities = weights * scipy.stats.norm.pdf(x, mean, scale)
            shares = densities / densities.sum(axis=1, keepdims=True)
            counts = shares.sum(axis=0)
            mean = np.where(np.arange(2) == held, value, (shares * x).sum(axis=0) / counts)
            weights, scale = counts / len(x), np.sqrt((shares * (x - mean) ** 2).sum(axis=0) / counts)
        best = max(best, np.log((weights * scipy.stats.norm.pdf(x, mean, scale)).sum(axis=1)).sum())
    return best


@pytest.mark.slow
def test_at_both_ends_the_higher_of_all_maxima_has_fallen_as_far_as_the_level_allows(fit, found):
    best, rival = fit.optima[:2]
    assert 0.5 < best.objective - rival.objective < 1.0
    starts = [
        tuple(np.asarray(each).ravel() for each in (one.params.weights, one.params.mean, one.params.scale))
        for one in (best, rival)
    ]
    for k in (0, 1):
        row = found[f"mean[{k}, x]"]
        n = (found[f"scale[{k}, x]"].estimate / row.se) ** 2  # rows with known labels that tell as much of a mean
        fall = n * np.log1p(scipy.stats.t.ppf(0.5 + LEVEL / 2, n - 1) ** 2 / (n - 1))
        for end in (row.lower, row.upper):
            assert 2 * (fit.log_likelihood - best_with_mean(k, end, starts)) == pytest.approx(fall, abs=1e-4)


def test_intervals_reach_around_both_tops_and_say_so(fit, found):
    alone = dataclasses.replace(fit, optima=fit.optima[:1]).intervals(LEVEL, "profile")
    rival = {
        f"{name}[{k}, x]": np.asarray(getattr(fit.optima[1].params, name))[k, 0]
        for name in ("mean", "scale")
        for k in (0, 1)
    }
    for name, value in rival.items():
        assert found[name].lower < value < found[name].upper
        assert found[name].lower <= alone[name].lower
        assert found[name].upper >= alone[name].upper
    assert rival["scale[1, x]"] < alone["scale[1, x]"].lower
    assert found.status is IntervalStatus.OK
    assert "reaches around all of them" in found.message
    assert [curve.gap == 0 for curve in found.curves] == [True] * 6 + [False] * 6


def test_a_rival_is_numbered_as_the_estimate_is(fit, found):
    best, rival = fit.optima[:2]
    exchanged = dataclasses.replace(rival, params=fit.mixture.permute(rival.params, np.array([1, 0])))
    others = dataclasses.replace(fit, optima=(best, exchanged)).intervals(LEVEL, "profile")
    for row, other in zip(found.rows, others.rows, strict=True):
        assert (row.lower, row.upper) == pytest.approx((other.lower, other.upper), rel=1e-6)


def test_at_a_level_that_ends_above_the_rival_it_counts_no_more(fit, found):
    for level in (0.8, 0.3):
        expected = fit.intervals(level, "profile")
        for row, other in zip(at_level(found, level).rows, expected.rows, strict=True):
            assert (row.lower, row.upper) == pytest.approx((other.lower, other.upper), abs=6e-3 * row.se)
    assert all(curve.gap == 0 for curve in expected.curves)
    assert expected.status is IntervalStatus.ROUGH
    assert "another optimum" in expected.message


def test_the_rival_has_a_dashed_curve_below_the_estimates(found):
    axes = found.plot("profile_curves").axes[0]
    (rival,) = [line for line in axes.get_lines() if line.get_label() == "from another optimum"]
    assert rival.get_linestyle() == "--"
    gap = max(curve.gap for curve in found.curves)
    assert rival.get_ydata().max() == pytest.approx(-gap, abs=0.01)


def test_nothing_that_can_move_has_nothing_to_follow():
    one = emjax.fit(emjax.Mixture(emjax.Poisson(), 1), np.array([3.0, 5.0, 2.0, 6.0]), key=0, n_init=1)
    found = one.intervals(method="profile", of=lambda params: 0.0 * params.rate[0, 0] + 7.0)
    assert (found.rows[0].lower, found.rows[0].upper, found.curves) == (7.0, 7.0, ())
