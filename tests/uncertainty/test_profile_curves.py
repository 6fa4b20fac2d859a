"""The curves of a profile: what is kept of them, and what their picture shows."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

import emjax
from emjax import plots
from emjax.report.drawing import style
from emjax.uncertainty import at_level
from emjax.uncertainty.curves import reach_of
from emjax.uncertainty.results import IntervalStatus


@pytest.fixture(scope="module")
def of_one_normal():
    x = np.random.default_rng(4).normal(3.0, 2.0, 12)
    return x, emjax.fit(emjax.Mixture(emjax.Normal(), 1), x, key=0, tol=1e-10, n_init=1, accelerate="none").intervals(
        method="profile"
    )


def test_the_points_lie_on_the_closed_form_of_one_normal(of_one_normal):
    x, found = of_one_normal
    n, s = len(x), x.std()
    assert [curve.name for curve in found.curves] == ["mean[0, x]", "scale[0, x]"]  # the one weight cannot move
    for curve in found.curves:
        row = found[curve.name]
        assert curve.values[[0, -1]] == pytest.approx([row.lower, row.upper])
        assert (np.diff(curve.values) > 0).all()
        assert curve.open_ends == (False, False)
    mean, scale = found.curves
    assert mean.reach**2 == pytest.approx(n * np.log1p(scipy.stats.t.ppf(0.95, n - 1) ** 2 / (n - 1)))
    np.testing.assert_allclose(mean.roots**2, n * np.log1p((mean.values - x.mean()) ** 2 / s**2), atol=1e-6)
    falls = 2 * n * (np.log(scale.values / s) + (s / scale.values) ** 2 / 2 - 0.5)
    np.testing.assert_allclose(scale.roots**2, falls, atol=1e-6)


def test_each_panel_has_the_profile_the_normal_curve_and_the_limit(of_one_normal):
    x, found = of_one_normal
    panels = found.plot("profile_curves").axes
    assert [axes.get_title(loc="left") for axes in panels] == ["mean[0, x]", "scale[0, x]"]
    for axes, curve in zip(panels, found.curves, strict=True):
        lines = {line.get_label(): line.get_xydata().T for line in axes.get_lines()}
        assert {"profile", "information", "limit for 90%"} <= set(lines)
        row, limit = found[curve.name], -0.5 * curve.reach**2
        np.testing.assert_allclose(lines["profile"][:, [0, -1]], [[row.lower, row.upper], [limit, limit]])
        np.testing.assert_allclose(lines["limit for 90%"][1], limit)
    # Between its points a line follows the closed form.
    at, below = {line.get_label(): line.get_xydata().T for line in panels[0].get_lines()}["profile"]
    np.testing.assert_allclose(-2 * below, len(x) * np.log1p((at - x.mean()) ** 2 / x.var()), atol=5e-3)
    # One standard error away, on the scale's own logarithm, the normal curve has fallen by a half.
    mean, scale = found.rows[1:]
    ends = mean.estimate + mean.se, scale.estimate * np.exp(scale.se / scale.estimate)
    for axes, end in zip(panels, ends, strict=True):
        at, below = {line.get_label(): line.get_xydata().T for line in axes.get_lines()}["information"]
        assert np.interp(end, at, below) == pytest.approx(-0.5, abs=1e-3)


@pytest.mark.parametrize("level", [0.5, 0.8])
def test_the_line_passes_the_ends_of_intervals_at_lower_levels(of_one_normal, level):
    """Read by the chords of its 200 points; of five points of the profile, between which one could go many ways."""
    known = of_one_normal[1]
    few = [dataclasses.replace(each, values=each.values[::4], roots=each.roots[::4]) for each in known.curves]
    found = dataclasses.replace(known, curves=tuple(few))
    lower = at_level(found, level)
    for axes, curve in zip(found.plot("profile_curves").axes, found.curves, strict=True):
        at, below = {line.get_label(): line.get_xydata().T for line in axes.get_lines()}["profile"]
        reach = float(reach_of(np.array([curve.effective_rows]), level)[0])
        row, spread = lower[curve.name], found[curve.name].se
        roots = np.sign(at - row.estimate) * np.sqrt(-2.0 * below)
        ends = np.interp([-reach, reach], roots, at)
        np.testing.assert_allclose(ends, [row.lower, row.upper], rtol=0, atol=1e-4 * spread)


def test_open_ends_are_marked_and_rough_curves_grey(of_one_normal):
    curve = of_one_normal[1].curves[0]
    cut = dataclasses.replace(curve, values=curve.values[3:], roots=curve.roots[3:])
    assert cut.open_ends == (True, False)
    rough = dataclasses.replace(of_one_normal[1], status=IntervalStatus.ROUGH, curves=(cut, of_one_normal[1].curves[1]))
    first, second = plots.profile_curves(rough).axes
    (mark,) = (line for line in first.get_lines() if line.get_label() == "open end")
    assert mark.get_xydata().tolist() == [[cut.values[0], -0.5 * cut.roots[0] ** 2]]
    assert not [line for line in second.get_lines() if line.get_label() == "open end"]
    followed = [line for line in first.get_lines() if line.get_label() == "profile, rough"]
    assert [line.get_color() for line in followed] == [style.UNTRUSTED]


@pytest.mark.slow
def test_a_profile_that_cannot_be_followed_has_an_open_curve():
    # Fifteen counts that one Poisson law explains as well.
    x = np.array([2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 7, 8, 9, 12.0])
    found = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), x, key=0, n_init=4, accelerate="none").intervals(
        method="profile", level=0.99
    )
    ends = {curve.name: curve.open_ends for curve in found.curves}
    assert any(True in each for each in ends.values())
    for name, (below, above) in ends.items():
        note = found[name].note
        assert ("below" in note or "both" in note, "above" in note or "both" in note) == (below, above)


def test_what_has_no_profile_is_not_drawn(of_one_normal):
    found = dataclasses.replace(of_one_normal[1], method="information", curves=())
    with pytest.raises(ValueError, match=r"by information; give fit.intervals\(method='profile'\)"):
        found.plot("profile_curves")
    withheld = dataclasses.replace(of_one_normal[1], status=IntervalStatus.NOT_AT_OPTIMUM)
    with pytest.raises(ValueError, match="status is not_at_optimum"):
        withheld.plot("profile_curves")
