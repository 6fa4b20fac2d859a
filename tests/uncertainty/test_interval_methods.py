"""The picture of several methods' intervals: what stands where, and in which colour."""

import dataclasses

import numpy as np
import pytest

import emjax
from emjax import plots
from emjax.report.drawing import style

X = np.r_[np.random.default_rng(2).poisson(2.0, 90), np.random.default_rng(3).poisson(11.0, 60)].astype(float)


def test_each_method_is_a_line_on_the_scale_of_the_first():
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), X, key=0, n_init=4, accelerate="none")
    known = [fit.intervals(method="information"), fit.intervals(method="sandwich")]
    (axes,) = plots.interval_methods(known).axes
    named = {line.get_label(): line for line in axes.get_lines()}
    assert {"information", "sandwich"} <= set(named)
    row, other = known[0]["weights[0]"], known[1]["weights[0]"]
    ends = named["sandwich"].get_xdata()
    np.testing.assert_allclose(
        [ends[0], ends[-1]], [(other.lower - row.estimate) / row.se, (other.upper - row.estimate) / row.se]
    )
    assert named["information"].get_color() == style.EM


def test_rough_ones_are_grey_and_withheld_ones_left_out():
    fit = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), np.random.default_rng(9).poisson(6.0, 80).astype(float), key=0)
    rough = fit.intervals(method="information")
    early = emjax.fit(fit.mixture, X, key=0, max_iter=2, n_init=4, accelerate="none").intervals(method="bootstrap")
    assert (rough.status.value, early.status.value) == ("rough", "not_at_optimum")
    (axes,) = plots.interval_methods([early, rough]).axes
    labels = {line.get_label(): line.get_color() for line in axes.get_lines()}
    assert labels["information, rough"] == style.UNTRUSTED
    assert not any("bootstrap" in label for label in labels)
    with pytest.raises(ValueError, match="withheld"):
        plots.interval_methods([early])


def test_an_end_at_infinity_is_drawn_to_the_edge_with_a_triangle():
    known = emjax.fit(emjax.Mixture(emjax.Poisson(), 2), X, key=0, n_init=4, accelerate="none").intervals(
        method="information"
    )
    rows = [dataclasses.replace(row, upper=np.inf) if row.name == "rate[0, x]" else row for row in known.rows]
    _, axes = plots.intervals(dataclasses.replace(known, rows=tuple(rows))).axes
    (line, _), (first, other) = axes.collections, [known[f"rate[{k}, x]"] for k in (0, 1)]
    (lower, upper) = line.get_segments()[0][:, 0]
    assert lower == pytest.approx(first.lower)
    assert upper > max(first.upper, other.upper)
    (triangle,) = [each for each in axes.get_lines() if each.get_marker() == ">"]
    assert triangle.get_xydata().tolist() == [[upper, 0.0]]
