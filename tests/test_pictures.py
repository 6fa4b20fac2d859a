"""Pictures and tables of every family, of data with weights, gaps and labels."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from imitation import imitated
from matplotlib.collections import PathCollection
from matplotlib.path import Path

import emjax
from emjax import plots
from emjax.plots import FIGURES
from emjax.report import svg
from emjax.report.drawing.assignments import assignment_pictures, by_certainty
from emjax.report.drawing.density import density_picture
from emjax.report.drawing.outlines import OUTLINE_MASS, component_outlines
from emjax.report.drawing.profile import profile_levels
from emjax.report.drawing.view import as_view, curves
from emjax.report.provenance import provenance_rows
from emjax.uncertainty import choice

N = 120


@pytest.fixture(autouse=True)
def closed(monkeypatch):
    # What is drawn of intervals does not depend on their method, and a profile of every family takes its time.
    monkeypatch.setattr(choice, "is_quick", lambda *_: False)
    yield
    plt.close("all")


def data_of(name):
    """Two groups of two features that a family takes; one cell in ten a gap, weights from 0 to 3, few labels."""
    rng = np.random.default_rng(3)
    group = np.repeat([0, 1], N // 2)
    draw = {
        "normal": lambda: rng.normal(4.0 * group[:, None], 1.0, (N, 2)),
        "student_t": lambda: 6.0 * group[:, None] + rng.standard_t(3.0, (N, 2)),
        "poisson": lambda: rng.poisson(np.array([2.0, 12.0])[group][:, None], (N, 2)),
        "exponential": lambda: rng.exponential(np.array([1.0, 20.0])[group][:, None], (N, 2)),
        "gamma": lambda: rng.gamma(np.array([2.0, 25.0])[group][:, None], 1.0, (N, 2)),
        "bernoulli": lambda: rng.random((N, 2)) < np.array([0.1, 0.9])[group][:, None],
    }
    if name == "categorical":
        shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
        x = np.array(["blue", "green", "red"], dtype=object)[[rng.choice(3, 2, p=shares[k]) for k in group]]
        x[rng.random(x.shape) < 0.1] = None
    else:
        x = draw[name]().astype(float)
        x[rng.random(x.shape) < 0.1] = np.nan
    known = np.full(N, -1)
    known[[0, 1, N - 2, N - 1]] = [0, 0, 1, 1]
    return x, {"weights": rng.integers(0, 4, N).astype(float), "labels": known}


@pytest.fixture(scope="module")
def fits():
    found = {}

    def fit(name):
        if name not in found:
            x, known = data_of(name)
            mixture = emjax.Mixture(emjax.families.FAMILIES[name](), 2, prior="default")
            found[name] = emjax.fit(mixture, x, key=0, n_init=2, accelerate="none", **known)
        return found[name]

    return fit


_BY_NAME = ("poisson", "gamma", "student_t", "bernoulli")
"""Others stand for them: counts, positive data, ellipses, levels."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in _BY_NAME)) for name in emjax.families.FAMILIES],
)
def test_every_picture_of_a_fit_is_drawn(fits, name):
    fit = fits(name)
    for kind in FIGURES["Fit"]:
        fit.plot(kind).canvas.draw()
    words = [density_picture(fit), *assignment_pictures(fit)]
    assert not any("nan" in one.alt for one in words)


@pytest.mark.parametrize("name", ["categorical", pytest.param("gamma", marks=pytest.mark.slow)])
def test_every_picture_of_a_comparison_is_drawn(fits, name, tmp_path, monkeypatch):
    fit = fits(name)
    comparison = emjax.compare(fit, imitated(fit), fit.samples, key=0)
    for kind in FIGURES["Comparison"]:
        if kind != "modes":  # the imitation has none
            comparison.plot(kind).canvas.draw()
    monkeypatch.setattr(svg, "svg_text", lambda figure, **_: "<svg></svg>")  # they are drawn above
    page = comparison.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Cells not seen" in page
    assert ">nan<" not in page


def test_a_histogram_is_weighted_and_has_no_gaps(fits):
    fit = fits("normal")
    axes = fit.plot("density_band").axes[0]
    column, weights = fit.data[:, 0], fit.samples.weights
    seen = ~np.isnan(column) & (weights > 0)
    bars = axes.patches[0].get_path().vertices
    edges = np.unique(bars[:, 0])
    expected, _ = np.histogram(column[seen], edges, weights=weights[seen], density=True)
    assert bars[:, 1].max() == pytest.approx(expected.max())
    plain, _ = np.histogram(column[seen], edges, density=True)
    assert abs(plain.max() - expected.max()) > 1e-3


def test_bars_add_up_to_the_weights(fits):
    fit = fits("poisson")
    axes = fit.plot("density_band").axes[0]
    weights = fit.samples.weights[~np.isnan(fit.data[:, 0])]
    assert sum(bar.get_height() for bar in axes.patches) == weights.sum()


def test_a_scatter_says_how_many_rows_it_lacks(fits):
    fit = fits("exponential")
    counting = fit.samples.weights > 0
    complete = ~np.isnan(fit.data).any(axis=1)
    (axes,) = fit.plot("density").axes
    (points,) = (one for one in axes.collections if isinstance(one, PathCollection))
    drawn = np.ma.filled(points.get_offsets(), np.nan)
    assert np.isfinite(drawn).all(axis=1).sum() == (counting & complete).sum()
    n_left_out = int((counting & ~complete).sum())
    assert f"{n_left_out} rows with cells that were not seen cannot be drawn." in density_picture(fit).caption


@pytest.mark.parametrize("name", ["exponential", pytest.param("gamma", marks=pytest.mark.slow)])
def test_densities_of_positive_data_are_drawn_on_their_support(fits, name):
    line = curves(as_view(fits(name)))
    assert 0.0 <= line.grid[0] < 0.1
    assert line.grid[-1] > np.nanmax(fits(name).data[:, 0])
    assert np.trapezoid(line.em_density, line.grid) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    "name", ["normal", "exponential", *(pytest.param(each, marks=pytest.mark.slow) for each in ("student_t", "gamma"))]
)
def test_an_outline_holds_its_share_of_a_component(fits, name):
    fit = fits(name)
    drawn, labels = (np.asarray(each) for each in fit.mixture.sample(fit.params, 0, 20_000))
    for k, (line,) in enumerate(component_outlines(as_view(fit), 0, 1)):
        own = drawn[labels == k]
        # A contour may end at the axes, which close it.
        corner = [] if np.allclose(line[0], line[-1]) else [[min(line[:, 0].min(), 0.0), min(line[:, 1].min(), 0.0)]]
        inside = Path([*line, *corner, line[0]]).contains_points(own)
        assert inside.mean() == pytest.approx(OUTLINE_MASS, abs=0.03)


def test_an_ellipse_of_heavy_tails_holds_its_share_where_there_is_no_variance():
    family = emjax.StudentT(df=1.5)
    mixture = emjax.Mixture(family, 1)
    params = mixture.params(mean=[[1.0, -1.0]], covariance=[[[2.0, 0.8], [0.8, 1.0]]])
    centre, matrix = (np.asarray(each)[0] for each in family.ellipses(params, 0.9))
    drawn = np.asarray(mixture.sample(params, 0, 40_000)[0]) - centre
    assert (np.einsum("ni,ij,nj->n", drawn, np.linalg.inv(matrix), drawn) <= 1).mean() == pytest.approx(0.9, abs=0.01)


def test_a_profile_has_the_probabilities_of_every_level(fits):
    fit = fits("categorical")
    rows = profile_levels(as_view(imitated(fit)))
    assert [row.name for row in rows] == ["blue", "green", "red"] * 2
    assert all(row.em is None and row.draws.shape[1] == 2 for row in rows)
    rows = profile_levels(as_view(fit))
    np.testing.assert_allclose([row.em for row in rows], np.asarray(fit.params.probability).reshape(2, 6).T, rtol=1e-6)
    weights = fit.samples.weights[~np.isnan(fit.data[:, 0])]
    blue = fit.data[~np.isnan(fit.data[:, 0]), 0] == 0
    assert rows[0].share == pytest.approx(weights[blue].sum() / weights.sum())
    (one, other) = profile_levels(as_view(fits("bernoulli")))
    assert (one.name, other.name) == fits("bernoulli").feature_names
    np.testing.assert_allclose(one.em, np.asarray(fits("bernoulli").params.probability)[:, 0], rtol=1e-6)


def test_certainty_counts_rows_by_their_weight():
    shares = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    chance, place = by_certainty(shares, np.array([1.0, 2.0, 1.0]))
    np.testing.assert_allclose(chance, [0.6, 0.8, 0.9])
    np.testing.assert_allclose(place, [25.0, 62.5, 87.5])


def test_the_data_of_a_report_have_their_weights_gaps_and_labels(fits):
    fit = fits("exponential")
    found = dict(provenance_rows(fit, None, None))
    assert found["Cells not seen"] == str(int(np.isnan(fit.data).sum()))
    assert float(found["Total weight of the observations"]) == fit.samples.weights.sum()
    assert found["Rows of a known component"] == "4"
    x, known = data_of("exponential")
    for other in ({**known, "weights": known["weights"] + 1.0}, {**known, "labels": None}):
        again = emjax.fit(fit.mixture, x, key=0, n_init=2, max_iter=1, accelerate="none", **other)
        assert dict(provenance_rows(again, None, None))["SHA-256 of the data"] != found["SHA-256 of the data"]


def test_names_of_levels_follow_the_declaration(fits):
    categorical = fits("categorical").to_frame()
    assert list(categorical["parameter"][2:8]) == [
        f"probability[0, {feature}, {level}]" for feature in ("x0", "x1") for level in ("blue", "green", "red")
    ]


@pytest.mark.slow  # tests/test_naming.py holds names of two parameters without a fit
def test_names_follow_the_declaration(fits):
    gamma = fits("gamma").to_frame()
    assert list(dict.fromkeys(gamma["variable"])) == ["weights", "shape", "rate"]
    assert [row.name.partition("[")[0] for row in fits("gamma").intervals(method="information").rows[2:]] == [
        "shape"
    ] * 4 + ["rate"] * 4
    frame = gamma.set_index("parameter")["estimate"]
    assert frame["rate[1, x1]"] == fits("gamma").params.rate[1, 1]
    assert frame["shape[1, x1]"] == fits("gamma").params.shape[1, 1]


def test_pictures_are_drawn_from_one_feature_of_levels():
    x = np.array(["a", "b", "b", "c", "a", "b"] * 10, dtype=object)[:, None]
    fit = emjax.fit(emjax.Mixture(emjax.Categorical(), 2, prior="default"), x, key=0, n_init=1, accelerate="none")
    axes = plots.density(fit).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [bar.get_height() for bar in axes.patches] == [20.0, 30.0, 10.0]
    for kind in FIGURES["Fit"]:
        fit.plot(kind).canvas.draw()
