"""The atlas of optima: where each end of the starts stands, and what of it is drawn."""

import dataclasses

import numpy as np
import pytest

import emjax
from emjax.report.drawing import style
from emjax.report.drawing.optima import optima_picture
from emjax.result import Status

X = np.r_[np.random.default_rng(2).poisson(2.0, 60), np.random.default_rng(3).poisson(11.0, 40)].astype(float)


@pytest.fixture(scope="module")
def fit():
    """A fit with four invented ends: two regular ones, a spurious one and a collapsed one that is higher."""
    found = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), X, key=0, n_init=1)
    best = found.optima[0]
    other = found.mixture.params(weights=[0.5, 0.5], rate=[[4.0], [7.0]])

    def end(fall, count, **changes):
        changes = {"params": other, "count": count, "objective": best.objective - fall, **changes}
        return dataclasses.replace(best, **changes)

    ends = end(0.0, 12, params=best.params), end(2.5, 6), end(1.0, 1, spurious=True)
    return dataclasses.replace(found, optima=(*ends, end(-400.0, 1, status=Status.DEGENERATE)))


def points(axes):
    """The symbols of the atlas by their labels."""
    return {line.get_label(): line for line in axes.get_lines() if line.get_linestyle() == "None"}


def test_each_end_stands_at_its_distance_and_its_share_of_the_starts(fit):
    atlas = fit.plot("optima").axes[0]
    found = {line: [] for line in points(atlas)}
    for line in atlas.get_lines():
        if line.get_label() in found:
            found[line.get_label()] += line.get_xydata().tolist()
    np.testing.assert_allclose(sorted(found["regular"]), [[-2.5, 6 / 20], [0.0, 12 / 20]], atol=1e-9)
    np.testing.assert_allclose(found["spurious"], [[-1.0, 1 / 20]], atol=1e-9)
    np.testing.assert_allclose(found["degenerate"], [[400.0, 1 / 20]], atol=1e-9)
    assert points(atlas)["spurious"].get_color() == style.WARNING
    assert {line.get_marker() for line in points(atlas).values()} == {"o", "^", "X"}
    assert (atlas.get_xscale(), atlas.get_ylim()[0]) == ("symlog", 0.0)
    near = dataclasses.replace(fit, optima=fit.optima[:3])
    assert near.plot("optima").axes[0].get_xscale() == "linear"


def test_the_components_of_each_are_drawn_beside(fit):
    _, *panels = fit.plot("optima").axes
    assert [axes.get_title(loc="left") for axes in panels] == [
        "0: regular, 12 of 20 starts",
        "1: regular, 6 of 20 starts",
        "2: spurious, 1 of 20 starts",
        "3: degenerate, 1 of 20 starts",
    ]
    tops = [max(line.get_ydata().max() for line in axes.get_lines()) for axes in panels]
    assert tops[1] == tops[2] == tops[3] != tops[0]  # each at its own parameters
    alone = dataclasses.replace(fit, optima=fit.optima[:1])
    assert len(alone.plot("optima").axes) == 1


def test_ends_that_are_not_finite_have_no_place(fit):
    lost = dataclasses.replace(fit.optima[3], objective=np.nan, status=Status.NONFINITE)
    atlas = dataclasses.replace(fit, optima=(*fit.optima[:3], lost)).plot("optima").axes[0]
    assert set(points(atlas)) == {"regular", "spurious"}


def test_the_words_count_what_is_drawn(fit):
    caption = optima_picture(fit).caption
    assert "20 starts ended in 4 distinct places: 2 regular, 1 spurious, 1 degenerate" in caption
    assert "60.0% of them reached" in caption
    assert "next regular one is 2.50 nats lower" in caption
    assert "right of zero" in caption
    assert "right of zero" not in optima_picture(dataclasses.replace(fit, optima=fit.optima[:3])).caption
    assert optima_picture(dataclasses.replace(fit, optima=fit.optima[:1])) is None
