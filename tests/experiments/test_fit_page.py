"""The page of a fit alone, and the file with the component of every row."""

import dataclasses
import re

import jax
import numpy as np
import pyarrow.parquet as parquet
import pytest

import emjax
from emjax.experiments.archive import assignments
from emjax.experiments.archive.store import run_folder
from emjax.report.drawing.interval_methods import interval_pictures
from emjax.report.drawing.pit import pit, pit_picture, transforms
from emjax.report.page import render_fit
from emjax.result import Status
from emjax.uncertainty import ProfileCurve

FIGURE = re.compile(r'<figure id="([^"]*)"')
PROVENANCE = {"data": {"name": "<b>x</b>"}, "versions": {"emjax": "0.1.0"}, "files": {"objects.json": "abc"}}


@pytest.fixture(scope="module")
def fit():
    """Three features with an odd name, two components."""
    x = np.random.default_rng(0).normal(size=(60, 3)) + 5.0 * (np.arange(60)[:, None] % 2)
    data = emjax.datasets.Dataset(x, ("a", "<script>", "c"))
    return emjax.fit(
        emjax.Mixture(emjax.Normal(covariance="diag"), 2), data, key=jax.random.key(0), n_init=2, accelerate="none"
    )


@pytest.fixture(scope="module")
def page(fit):
    return render_fit(
        fit, fit.intervals(method="information"), provenance=PROVENANCE, command="emjax fit x", assignments_file="a.csv"
    )


def test_the_page_says_what_was_found(fit, page):
    assert '<h2 id="answer">EM: converged</h2>' in page
    assert "What EM found in &lt;b&gt;x&lt;/b&gt;" in page
    assert "A mixture of 2 normal components with diag covariance, 60 observations of a, &lt;script&gt; and c" in page
    assert set(FIGURE.findall(page)) == {"density", "pit", "certainty", "em-trace"}
    assert page.count('<tr><th scope="row" class="name') == len(fit.intervals(method="information").rows)
    assert "<code>a.csv</code>" in page
    assert "<code>emjax fit x</code>" in page
    assert "verdict" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "<script" not in page.lower()
    assert "objects.json" not in page


def test_the_same_fit_gives_the_same_page(fit, page):
    again = render_fit(
        fit, fit.intervals(method="information"), provenance=PROVENANCE, command="emjax fit x", assignments_file="a.csv"
    )
    assert again == page


@pytest.mark.parametrize("change", [{"status": Status.MAX_ITER}, {"spurious": True}], ids=["stopped", "spurious"])
def test_a_fit_that_is_no_estimate_says_so_first(fit, change):
    if "spurious" in change:
        change = {"optima": (dataclasses.replace(fit.optima[0], **change),)}
    other = dataclasses.replace(fit, **change)
    page = render_fit(other, fit.intervals(method="information"), provenance=PROVENANCE, command="")
    assert page.index("This is no estimate yet.") < page.index('id="answer"')
    assert other.message.split(";")[0] in page
    assert "EM: converged" not in page


def test_several_optima_have_an_atlas_and_other_intervals_a_picture(fit):
    other = dataclasses.replace(fit.optima[0], objective=fit.objective - 3.0, count=1)
    several = dataclasses.replace(fit, optima=(fit.optima[0], other))
    known = dataclasses.replace(fit.intervals(method="information"), method="bootstrap")
    page = render_fit(several, known, provenance=PROVENANCE, command="")
    assert {"optima", "interval-methods"} <= set(FIGURE.findall(page))
    assert "Intervals by the method bootstrap" in page
    assert "3 starts ended in 2 distinct places: 2 regular" in page


def test_intervals_by_the_profile_have_its_curves(fit):
    known = fit.intervals(method="information")
    curves = [ProfileCurve(row.name, row.estimate + row.se * np.array([-2.0, 0, 2]), np.array([-2.0, 0, 2]), 2.0, 100.0)
              for row in known.rows]  # fmt: skip
    cut = dataclasses.replace(curves[0], values=curves[0].values[:2], roots=curves[0].roots[:2])
    rows = dataclasses.replace(known.rows[0], note="open above"), *known.rows[1:]
    profile = dataclasses.replace(known, method="profile", rows=rows, curves=(cut, *curves[1:]))
    pictures = list(interval_pictures(fit, profile))
    assert [picture.name for picture in pictures] == ["interval-methods", "profile-curves"]
    assert "1 profile could not be followed" in pictures[1].caption
    assert not list(interval_pictures(fit, known))


def test_a_long_name_leaves_room_for_the_distance(fit):
    known = transforms(fit)
    figure = pit(dataclasses.replace(known, feature_names=("net income of the household, a month",) * 3))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.partition("…")[2].partition(": ")[2] for title in titles] == [
        f"distance {found:.2g}" for found in known.distances
    ]


def test_a_wrong_law_is_told(fit):
    assert "Outside the band: 0 of 3 curves. The band" in pit_picture(fit).caption
    x = np.random.default_rng(0).exponential(1.0, 400)
    wrong = emjax.fit(emjax.Mixture(emjax.Normal(), 1), x, key=0, n_init=1, accelerate="none")
    assert "Outside the band: 1 of 1 curve. The law is another one" in pit_picture(wrong).caption
    assert pit_picture(dataclasses.replace(fit, status=Status.MAX_ITER)) is None
    mixture = emjax.Mixture(emjax.Categorical(), 1, prior="default")
    of_levels = emjax.fit(mixture, np.array(["a", "b"] * 9), key=0, n_init=1, accelerate="none")
    assert pit_picture(of_levels) is None


def test_rows_of_large_data_are_parquet(fit, tmp_path, monkeypatch):
    monkeypatch.setattr(assignments, "MOST_ROWS_AS_TEXT", 10)
    with run_folder(tmp_path / "run") as folder:
        assert assignments.write_assignments(folder, fit) == ("assignments.parquet", "")
        table = parquet.read_table(folder.partial / "assignments.parquet")
        assert table.column_names == ["row", "component", "probability[0]", "probability[1]"]
        assert np.array_equal(table["probability[1]"], fit.predict_proba()[:, 1])
        monkeypatch.setattr(assignments, "MOST_CELLS", 10)
        name, why = assignments.write_assignments(folder, fit)
        assert name == ""
        assert why.startswith("assignments are not written: 60 rows times 2 components are more than 10")
        assert hasattr(fit, re.search(r"fit\.(\w+)", why)[1]), "what it names is there"
