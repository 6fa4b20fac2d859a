"""The report: its order, its figures, what it escapes, and that it never passes off draws as a posterior."""

import base64
import dataclasses
import functools
import html
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import jax
import matplotlib
import numpy as np
import pytest
from imitation import compared

import emjax
from emjax import plots
from emjax.bayes.diagnostics import PosteriorStatus
from emjax.comparison import Comparison
from emjax.datasets.dataset import Dataset
from emjax.report import write_report
from emjax.report.drawing.chains import rank_counts
from emjax.report.drawing.forest import forest_picture
from emjax.report.drawing.outlines import outlines
from emjax.report.drawing.view import as_view, curves, entropy
from emjax.report.evidence import gauges
from emjax.report.svg import svg_text
from emjax.verdict import Thresholds, Verdict
from emjax.wording import printable

HOSTILE = "<script>alert(1)</script>"
HOSTILE_NAMES = (HOSTILE, "$x_1^2$ \\frac{a}{b} & \"quoted\" 'név' 数据 " + "long" * 50)


@pytest.fixture(scope="session")
def faithful() -> Comparison:
    return compared(emjax.datasets.load("faithful"), emjax.Mixture(emjax.Normal(), 2))


@pytest.fixture(scope="session")
def doubtful(faithful) -> Comparison:
    """The same as ``faithful``, but its chains disagree."""
    found = dataclasses.replace(
        faithful.posterior.diagnostics,
        status=PosteriorStatus.not_converged,
        reasons=("R-hat of lp is 1.400 (> 1.01)",),
    )
    posterior = dataclasses.replace(faithful.posterior, diagnostics=found)
    return dataclasses.replace(faithful, posterior=posterior, verdict=Verdict.INCONCLUSIVE)


@pytest.fixture(scope="session")
def eruptions() -> Comparison:
    x = emjax.datasets.load("faithful", columns=["eruptions"])
    return compared(x, emjax.Mixture(emjax.Normal(), 2))


@pytest.fixture(scope="session")
def deaths() -> Comparison:
    return compared(emjax.datasets.load("deaths"), emjax.Mixture(emjax.Poisson(), 2))


@pytest.fixture(scope="session")
def iris() -> Comparison:
    return compared(emjax.datasets.load("iris"), emjax.Mixture(emjax.Normal("tied"), 2))


@pytest.fixture(scope="session")
def single() -> Comparison:
    x = emjax.datasets.load("faithful", columns=["waiting"])
    return compared(x, emjax.Mixture(emjax.Normal(), 1))


@pytest.fixture(scope="session")
def hostile() -> Comparison:
    x = Dataset(np.asarray(emjax.datasets.load("faithful")), HOSTILE_NAMES, name=HOSTILE)
    return compared(x, emjax.Mixture(emjax.Normal(), 2))


class Page(HTMLParser):
    """The tags of a page in their order, with their attributes, and the text outside style sheets."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.raw = text
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def figures(self) -> list[str]:
        """The SVG of each image."""
        sources = [image["src"] for image in self.all("img")] + [image["srcset"] for image in self.all("source")]
        head = "data:image/svg+xml;base64,"
        assert all(source.startswith(head) for source in sources)
        return [base64.b64decode(source.removeprefix(head)).decode("utf-8") for source in sources]


def page(comparison: Comparison, folder: Path, **options: object) -> Page:
    path = write_report(comparison, folder / "report.html", **options)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def page_of(request, tmp_path_factory):
    """The page of a case by its name, written once, with what a run knows where there is something to see in it."""

    @functools.cache
    def written(case: str) -> Page:
        if case == "faithful":
            return Page(request.getfixturevalue("of_a_run").read_text(encoding="utf-8"))
        options = HOSTILE_SETTINGS if case == "hostile" else {}
        return page(request.getfixturevalue(case), tmp_path_factory.mktemp("page"), **options)

    return written


OF_A_RUN = {
    "provenance": {
        "started": "2026-01-01",
        "data": {"name": "faithful", "source": "Azzalini and Bowman 1990, https://example.org/x", "sha256": "ab12"},
        "versions": {"emjax": "0.1.0", "jax": "0.12.0"},
        "machine": {"python": "3.12.1"},
        "command": ["emjax", "compare", "faithful"],
    }
}
"""What a run tells its page of where its numbers come from."""

HOSTILE_SETTINGS = {
    "provenance": {
        "data": {"name": HOSTILE, "source": HOSTILE, "feature_names": list(HOSTILE_NAMES)},
        HOSTILE: HOSTILE,
    },
    "command": f"emjax compare {HOSTILE}",
}


@pytest.fixture(scope="session")
def of_a_run(faithful, tmp_path_factory) -> Path:
    """The page of ``faithful`` with all that a run knows, written once."""
    return write_report(faithful, tmp_path_factory.mktemp("page") / "report.html", **OF_A_RUN)


@pytest.mark.parametrize(
    "case",
    ["faithful", "hostile"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("deaths", "eruptions", "single", "iris")],
)
def test_every_kind_of_mixture_gets_a_whole_page(case, page_of, request):
    comparison = request.getfixturevalue(case)
    assert comparison.posterior.converged
    found = page_of(case)
    sections = [tag["id"] for tag in found.all("section")]
    expected = [
        "verdict",
        "fit",
        "parameters",
        "assignments",
        "invariants",
        "em",
        "mcmc",
        "cost",
        "table",
        "provenance",
    ]
    assert sections == [name for name in expected if case != "single" or name != "assignments"]
    assert {link["href"] for link in found.all("a")} == {f"#{name}" for name in [*sections[1:], "main"]}
    assert len(found.all("h1")) == 1
    assert len(found.all("main")) == 1
    assert comparison.verdict.value in found.text
    for reason in comparison.reasons:
        assert printable(reason) in found.text
    for row in comparison.rows:
        assert printable(row.name) in found.text


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("faithful", {"density", "forest", "map", "certainty", "em-trace", "chains-0"}),
        ("eruptions", {"density", "forest", "along", "certainty", "em-trace", "chains-0"}),
        pytest.param(
            "deaths", {"density", "forest", "along", "certainty", "em-trace", "chains-0"}, marks=pytest.mark.slow
        ),
        pytest.param("iris", {"density", "forest", "certainty", "em-trace", "chains-0"}, marks=pytest.mark.slow),
        pytest.param("single", {"density", "forest", "em-trace", "chains-0"}, marks=pytest.mark.slow),
    ],
)
def test_figures_say_what_they_show_in_numbers(case, names, page_of):
    found = page_of(case)
    figures = {tag["id"] for tag in found.all("figure")}
    assert names <= figures
    assert len(found.all("img")) == len(figures)
    for image in found.all("img"):
        assert len(image["alt"]) > 60
        assert re.search(r"\d", image["alt"])
        assert int(image["width"]) > 300
        assert int(image["height"]) > 150
    assert not any("nan" in image["alt"].lower().split() for image in found.all("img"))


@pytest.mark.usefixtures("words_alone")
def test_the_verdict_comes_first(faithful, tmp_path):
    found = page(faithful, tmp_path, title="Is EM enough for geysers?")
    headings = re.findall(r"<h[123][^>]*>(.*?)</h[123]>", found.raw)
    assert headings[0] == "Is EM enough for geysers?"
    assert found.tags[[tag for tag, _ in found.tags].index("main") + 1][1]["id"] == "verdict"
    assert html.unescape(headings[1]) in {"Yes, EM is enough", "Yes, with its intervals", "No, use MCMC"}
    assert found.text.index(faithful.sentence) < found.text.index("What was fitted")
    assert "alert" not in {tag.get("class") for tag in found.all("div")}
    assert "not-identified" not in {tag.get("class") for tag in found.all("p")}
    assert "not converged" not in found.text


def test_nothing_is_loaded_from_anywhere(of_a_run):
    found = Page(of_a_run.read_text(encoding="utf-8"))
    assert "https://example.org/x" in found.text
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {
        tag for tag, attributes in found.tags if attributes.get("href") != "data:,"
    }
    for tag, attributes in found.tags:
        for name in ("src", "srcset", "href", "data", "poster", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, name)
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in found.raw
    assert "@import" not in found.raw
    for figure in found.figures():
        assert not re.findall(r"https?://(?!www\.w3\.org/(?:2000/svg|1999/xlink))", figure)
    policy = next(tag["content"] for tag in found.all("meta") if "http-equiv" in tag)
    assert "default-src 'none'" in policy


def test_strings_from_the_data_are_text(page_of):
    found = page_of("hostile")
    assert found.all("script") == []
    assert HOSTILE in found.text
    assert f"mean[0, {HOSTILE}]" in found.text
    assert printable(HOSTILE_NAMES[1]) in found.text
    drawn = "".join(found.figures())
    assert "<script" not in drawn
    assert html.escape(HOSTILE, quote=False) in drawn
    assert "$x_1^2$" in drawn  # text, not a formula


@pytest.mark.usefixtures("words_alone")
def test_controls_and_surrogates_do_not_break_the_page(eruptions, tmp_path):
    found = page(eruptions, tmp_path, title="a\x00b\ud800", command="emjax \x1b[31m")
    assert "a\\x00b\\ud800" in found.text
    assert "\x1b" not in found.raw


def test_draws_that_have_not_converged_lead_and_are_no_posterior(page_of):
    found = page_of("doubtful")
    verdict = found.raw.index('id="verdict"')
    alert = found.raw.index("MCMC cannot be trusted yet (not converged)")
    assert verdict < alert < found.raw.index('id="answer">No verdict yet')
    assert "R-hat of lp is 1.400" in found.text
    assert {"class": "untrusted"} in found.all("body")
    assert "not converged ± sd" in found.text
    assert '<td class="stale"' in found.raw
    assert "unjudged" in found.raw
    for picture in found.figures():
        style, drawing = picture.split("</style>", 1)
        posterior = re.search(r"(--c\d+):#0072b2", style)
        assert posterior is not None
        assert f"var({posterior[1]})" not in drawing, "the posterior's colour is for posteriors"
    texts = " ".join(image["alt"] for image in found.all("img"))
    assert "averaged over the posterior" not in texts
    assert "not converged" in texts


@pytest.mark.parametrize("apart", [0.0, 0.1])
def test_an_estimate_that_is_the_map_has_no_second_one(faithful, apart):
    rows = tuple(dataclasses.replace(row, map=row.em * (1 + 1e-15) + apart * row.sd) for row in faithful.rows)
    found = dataclasses.replace(faithful, rows=rows)
    labels = [text.get_text() for text in plots.forest(found).legends[0].get_texts()]
    assert ("The diamond is EM under the sampler's prior" in forest_picture(found).caption) == bool(apart)
    assert ("MAP" in labels) == bool(apart)


def test_a_posterior_has_its_colour_and_em_too(page_of):
    density = page_of("faithful").figures()[0]
    style, drawing = density.split("</style>", 1)
    for color in ("#0072b2", "#d55e00"):
        variable = re.search(rf"(--c\d+):{color}", style)
        assert variable is not None
        assert f"var({variable[1]})" in drawing


@pytest.mark.usefixtures("words_alone")
def test_em_that_has_not_converged_leads(eruptions, tmp_path):
    fit = dataclasses.replace(eruptions.fit, status=emjax.Status.DEGENERATE)
    found = page(dataclasses.replace(eruptions, fit=fit, verdict=Verdict.INCONCLUSIVE), tmp_path)
    assert found.raw.index("EM cannot be trusted yet (degenerate)") < found.raw.index('id="answer">No verdict yet')
    assert fit.message in found.text


@pytest.mark.usefixtures("words_alone")
def test_labels_that_cannot_be_trusted_lead(eruptions, tmp_path):
    alignment = dataclasses.replace(eruptions.posterior.alignment, trust=0.12)
    posterior = dataclasses.replace(eruptions.posterior, alignment=alignment)
    found = page(dataclasses.replace(eruptions, posterior=posterior), tmp_path)
    alert = found.raw.index("Labels are not identified (alignment trust 0.12)")
    assert alert < found.raw.index('id="answer"')
    assert {"class": "trusted unlabelled"} in found.all("body")
    sections = found.raw.split("<section ")
    warned = [part.split('"')[1] for part in sections if 'class="not-identified"' in part]
    assert warned == ["parameters", "assignments", "table"]
    assert found.text.count("do not read these rows one by one") == 2
    set_aside = [gauge["class"] for gauge in found.all("li") if gauge.get("class", "").startswith("gauge")]
    assert [name == "gauge unlabelled" for name in set_aside] == [False, False, True, True, True]


@pytest.mark.usefixtures("words_alone")
def test_labels_that_are_trusted_less_than_asked_are_named_and_not_greyed_out(eruptions, tmp_path):
    alignment = dataclasses.replace(eruptions.posterior.alignment, trust=0.6)
    posterior = dataclasses.replace(eruptions.posterior, alignment=alignment)
    strict = dataclasses.replace(eruptions, posterior=posterior, thresholds=Thresholds(trust=0.9))
    found = page(strict, tmp_path)
    assert "Labels are not trusted enough (alignment trust 0.60)" in found.text
    assert {"class": "trusted"} in found.all("body")


@pytest.mark.usefixtures("words_alone")
def test_missing_numbers_are_dashes(eruptions, tmp_path):
    nothing = dict.fromkeys(("se", "em_lower", "em_upper", "width_ratio", "mass_in_em_interval"), math.nan)
    rows = tuple(dataclasses.replace(row, **nothing) for row in eruptions.rows)
    found = page(dataclasses.replace(eruptions, rows=rows), tmp_path)
    table = found.raw[found.raw.index('<table class="parameters">') :]
    table = table[: table.index("</table>")]
    assert table.count(">—</td>") == 3 * len(rows)
    assert not re.search(r"\bnan\b", found.text, flags=re.IGNORECASE)
    assert [gauge.zone for gauge in gauges(dataclasses.replace(eruptions, rows=rows))][3:] == ["unknown", "unknown"]


def test_the_same_input_gives_the_same_bytes_and_nothing_global_changes(faithful, of_a_run, tmp_path):
    first = of_a_run.read_bytes()
    with matplotlib.rc_context({"axes.facecolor": "red", "text.usetex": True, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        second = write_report(faithful, tmp_path / "second.html", **OF_A_RUN).read_bytes()
        assert dict(matplotlib.rcParams) == before
    assert first == second, "the reader's settings do not show"
    assert len(first) < 2_000_000
    assert b"2026-01-01" in first


def test_provenance_and_spaces_are_named(faithful, page_of, of_a_run):
    found = Page(of_a_run.read_text(encoding="utf-8"))
    for text in (
        "Is EM enough for faithful?",
        "Azzalini and Bowman 1990, https://example.org/x",
        "ab12",
        "emjax 0.1.0, jax 0.12.0",
        "emjax compare faithful",
        faithful.diagnostics["map"]["space"],
        faithful.diagnostics["em"]["intervals"]["space"],
        faithful.diagnostics["posterior"]["prior"],
        "auto: nuts, because this is a test.",
        "MCMC (NUTS)",
    ):
        assert text in found.text
    bare = page_of("eruptions").text
    assert "Is EM enough for this mixture?" in bare
    assert "SHA-256 of the data" in bare


def test_many_data_are_drawn_as_pixels_and_said_to_be_fewer(faithful):
    x = np.random.default_rng(0).normal(size=(12_000, 2))
    fit = emjax.fit(
        emjax.Mixture(emjax.Normal("spherical"), 2), x, key=jax.random.key(0), n_init=1, max_iter=5, accelerate="none"
    )
    view = as_view(fit)
    assert len(view.rows) == 10_000
    assert "10,000 random rows of 12,000" in view.sampled_note()
    assert "<image" in svg_text(plots.density(fit))
    assert "<image" not in svg_text(plots.density(faithful))


# -- the numbers behind the figures


def test_curves_are_the_densities_of_the_model(eruptions):
    found = curves(as_view(eruptions))
    with jax.enable_x64(True):
        expected = np.exp(eruptions.fit.score_samples(found.grid))
    np.testing.assert_allclose(found.em_density, expected, rtol=1e-10)
    one = jax.tree.map(lambda leaf: leaf[0], eruptions.posterior.params)
    with jax.enable_x64(True):
        first = np.exp(np.asarray(eruptions.fit.mixture.log_prob(one, found.grid[:, None])))
    np.testing.assert_allclose(found.draws[0].sum(axis=0), first, rtol=1e-10)
    lower, upper = found.band(0.9)
    assert (lower <= upper).all()


def test_marginals_of_a_normal_in_two_dimensions(faithful):
    found = curves(as_view(faithful), 1)
    params = faithful.fit.params
    mean, sd = params.mean[:, 1], np.sqrt(params.covariance[:, 1, 1])
    z = (found.grid - mean[:, None]) / sd[:, None]
    expected = (params.weights / sd)[:, None] * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(found.em, expected, rtol=1e-9)


def test_ellipses_hold_their_mass():
    covariance = np.array([[2.0, 0.9], [0.9, 0.7]])
    corners = outlines(np.array([1.0, -2.0]), -2 * np.log(0.1) * covariance)
    assert corners.shape[-1] == 2
    centred = corners - [1.0, -2.0]
    radius = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
    np.testing.assert_allclose(radius, -2 * np.log(0.1), rtol=1e-10)


def test_entropy_and_ranks():
    np.testing.assert_allclose(entropy(np.array([[1.0, 0.0], [0.5, 0.5]])), [0.0, 1.0], atol=1e-12)
    counts = rank_counts(np.stack([np.arange(100.0), np.arange(100.0) + 1000]), 4)
    np.testing.assert_array_equal(counts, [[50, 50, 0, 0], [0, 0, 50, 50]])


def test_gauges_place_the_limits_alike(faithful):
    for gauge in gauges(faithful):
        assert gauge.place is not None
        zone = "enough" if gauge.place <= 40 else "intervals" if gauge.place <= 75 else "mcmc"
        assert gauge.zone == zone


def test_plots_are_figures_of_their_own(faithful, eruptions, tmp_path):
    made = [
        plots.density(faithful.fit),
        plots.density(eruptions.posterior),
        plots.forest(faithful, width=4.0),
        plots.assignments(eruptions),
        plots.assignments(faithful.posterior),
        plots.certainty(faithful.fit),
        plots.em_trace(eruptions),
        plots.chains(faithful, "mean[0, waiting]"),
        plots.chains(faithful.posterior),
    ]
    for place, figure in enumerate(made):
        figure.savefig(tmp_path / f"{place}.png", dpi=40)
        assert (tmp_path / f"{place}.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="no quantity 'nowhere'"):
        plots.chains(faithful, "nowhere")
    # One component of two, as if there were no other.
    fit = eruptions.fit
    params = emjax.Mixture(emjax.Normal(), 1).params(mean=fit.params.mean[:1], scale=fit.params.scale[:1])
    one = dataclasses.replace(fit, mixture=emjax.Mixture(emjax.Normal(), 1), params=params)
    with pytest.raises(ValueError, match="no assignments"):
        plots.assignments(one)
